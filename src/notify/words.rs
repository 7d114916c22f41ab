//! The words of a notice, the same on every channel: a headline, a sentence, labelled facts, what to do. Pure.
//!
//! INVARIANT: every text in a [`Told`] is bounded, and has no control character and none that changes the direction of
//! writing; only [`Told::reason`] and [`Told::comment`] have more than one line. So whatever a requester writes stays where it is put: no
//! header, no line of its own, no other end of a link.

use chrono::{DateTime, Utc};
use serde::Serialize;
use url::Url;

use crate::model::{Answer, Deciders, Notice, NoticeKind};

use super::next::{NextCommand, commands};

/// What there is to tell, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Told {
    /// The kind of event, such as `request-filed`.
    pub(super) kind: &'static str,
    /// One line that says it all.
    pub(super) headline: String,
    /// What happened, and what it means for whoever reads it.
    pub(super) summary: String,
    /// Labelled lines.
    pub(super) facts: Vec<Fact>,
    /// The requester's words, in lines; empty where nobody asked.
    pub(super) reason: Vec<String>,
    /// The words of whoever did it, in lines; empty if there are none.
    pub(super) comment: Vec<String>,
    /// Where to sign in and look, and decide.
    pub(super) link: Option<String>,
    /// What the link is for.
    pub(super) link_text: &'static str,
    /// What to type instead.
    pub(super) commands: Vec<NextCommand>,
}

/// A labelled line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) value: String,
}

/// The longest single line, in characters.
pub(super) const LINE: usize = 500;

/// The longest headline, in characters: mail programs show less.
const HEADLINE: usize = 180;

/// The most lines of a reason or a comment.
const LINES: usize = 40;

/// The most parameters, lines of what it touches, and names that are listed.
const LISTED: usize = 20;

/// `notice` in words; `link` is where people sign in.
pub(super) fn tell(notice: &Notice, link: Option<&Url>) -> Told {
    Told {
        kind: notice.kind.as_str(),
        headline: line(&headline(notice), HEADLINE),
        summary: line(&summary(notice), LINE),
        facts: facts(notice),
        reason: if notice.kind == NoticeKind::Test {
            Vec::new()
        } else {
            lines(&notice.reason)
        },
        comment: notice.comment.as_deref().map(lines).unwrap_or_default(),
        link: link
            .filter(|_| notice.kind != NoticeKind::Test)
            .map(|link| {
                let base = link.as_str().trim_end_matches('/');
                format!("{base}/requests/{}", notice.request)
            }),
        link_text: if is_open(notice.kind) {
            "Sign in to decide"
        } else if awaits_review(notice.kind) {
            "Sign in to review it"
        } else {
            "Sign in to see the request"
        },
        commands: commands(notice),
    }
}

/// Whether somebody is to decide.
fn is_open(kind: NoticeKind) -> bool {
    match kind {
        NoticeKind::RequestEscalated
        | NoticeKind::RequestFiled
        | NoticeKind::RequestReminder
        | NoticeKind::RequestVoted => true,
        NoticeKind::BreakGlassReminder
        | NoticeKind::BreakGlassReviewed
        | NoticeKind::BreakGlassTaken
        | NoticeKind::GrantEnded
        | NoticeKind::GrantExpired
        | NoticeKind::GrantRevoked
        | NoticeKind::GrantUsedUp
        | NoticeKind::RequestApproved
        | NoticeKind::RequestDenied
        | NoticeKind::RequestExpired
        | NoticeKind::RequestWithdrawn
        | NoticeKind::Test => false,
    }
}

/// Whether an approver is to look at a grant that was taken without approval.
fn awaits_review(kind: NoticeKind) -> bool {
    matches!(
        kind,
        NoticeKind::BreakGlassReminder | NoticeKind::BreakGlassTaken
    )
}

fn headline(notice: &Notice) -> String {
    let (who, what) = (&notice.requester, notice.what());
    let more = if notice.extends.is_some() {
        "more time for "
    } else {
        ""
    };
    match notice.kind {
        NoticeKind::BreakGlassReminder => {
            format!("Not reviewed yet: {who} took {what} without approval")
        }
        NoticeKind::BreakGlassReviewed => {
            format!("Reviewed: break-glass grant of {who} for {what}")
        }
        NoticeKind::BreakGlassTaken => format!("BREAK GLASS: {who} took {what} without approval"),
        NoticeKind::GrantEnded => format!("Given back: {what} of {who}"),
        NoticeKind::GrantExpired => format!("Over: {what} of {who}"),
        NoticeKind::GrantRevoked => format!("Revoked: {what} of {who}"),
        NoticeKind::GrantUsedUp => format!("Used up: {what} of {who}"),
        NoticeKind::RequestApproved => format!("Approved: {more}{what} for {who}"),
        NoticeKind::RequestDenied => format!("Denied: {more}{what} for {who}"),
        NoticeKind::RequestEscalated => format!("Nobody has decided: {who} asks for {more}{what}"),
        NoticeKind::RequestExpired => format!("Not decided in time: {more}{what} for {who}"),
        NoticeKind::RequestFiled => format!("{who} asks for {more}{what}"),
        NoticeKind::RequestReminder => format!("Still waiting: {who} asks for {more}{what}"),
        NoticeKind::RequestVoted => format!("More approvals needed: {who} asks for {more}{what}"),
        NoticeKind::RequestWithdrawn => format!("Withdrawn: {who} asks no longer for {more}{what}"),
        NoticeKind::Test => "Test message of Portcullis".to_owned(),
    }
}

fn summary(notice: &Notice) -> String {
    let (who, what) = (&notice.requester, notice.what());
    let by = notice.by.as_deref().unwrap_or("the policy");
    let asks = || {
        format!(
            "{who} asks to run {what} for {}.",
            duration_text(notice.seconds)
        )
    };
    match notice.kind {
        NoticeKind::BreakGlassReminder => format!(
            "In an emergency, {who} took a grant for {what} without anybody's approval. No approver has reviewed it yet."
        ),
        NoticeKind::BreakGlassReviewed => {
            format!("{by} has reviewed the grant that {who} took for {what} without approval.")
        }
        NoticeKind::BreakGlassTaken => format!(
            "In an emergency, {who} took a grant for {what} without anybody's approval. It holds now; an approver can revoke it, and has to review it."
        ),
        NoticeKind::GrantEnded => format!("{who} gave the grant for {what} back before its end."),
        NoticeKind::GrantExpired => format!("The grant of {who} for {what} is over."),
        NoticeKind::GrantRevoked => {
            format!("{by} took the grant of {who} for {what} away. It covers nothing any more.")
        }
        NoticeKind::GrantUsedUp => {
            format!("{who} has made the last call that the grant for {what} covers.")
        }
        NoticeKind::RequestApproved => match (&notice.starts, &notice.ends) {
            (Some(starts), Some(ends)) => format!(
                "{by} approved it: {who} may run {what} from {} until {}.",
                time_text(*starts),
                time_text(*ends)
            ),
            _ => format!("{by} approved it: {who} may run {what}."),
        },
        NoticeKind::RequestDenied => format!("{by} said no: {who} may not run {what}."),
        NoticeKind::RequestEscalated => {
            format!("{} Nobody has decided it in good time.", asks())
        }
        NoticeKind::RequestExpired => format!(
            "Nobody decided the request of {who} for {what} in time. It has to be filed again if it is still needed."
        ),
        NoticeKind::RequestFiled => asks(),
        NoticeKind::RequestReminder => format!("{} The request still waits.", asks()),
        NoticeKind::RequestVoted => {
            format!("{by} approved it. {} It needs more approvals.", asks())
        }
        NoticeKind::RequestWithdrawn => {
            format!("{who} took the request for {what} back. There is nothing to decide.")
        }
        NoticeKind::Test => format!(
            "{} tries whether messages of Portcullis arrive here. They do; there is nothing to decide.",
            notice.by.as_deref().unwrap_or("Somebody")
        ),
    }
}

fn facts(notice: &Notice) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |label, value: &str| {
        facts.push(Fact {
            label,
            value: line(value, LINE),
        });
    };
    if notice.kind == NoticeKind::Test {
        fact("At", &time_text(notice.at));
        return facts;
    }
    fact("Who", &notice.requester);
    fact("What", notice.what());
    if notice.task.is_some() {
        fact("Policy", &notice.scope);
    }
    for (name, value) in notice.shown_parameters().take(LISTED) {
        fact("Only with", &format!("-{name} {value}"));
    }
    if let Some(more) = notice
        .parameters
        .len()
        .checked_sub(LISTED)
        .filter(|it| *it > 0)
    {
        fact("Only with", &format!("{more} more parameters"));
    }
    for touched in notice.touches.iter().take(LISTED) {
        fact("Touches", touched);
    }
    fact("For", &duration_text(notice.seconds));
    match (notice.starts, notice.ends) {
        (Some(starts), Some(ends)) => {
            fact("From", &time_text(starts));
            fact("Until", &time_text(ends));
        }
        (Some(starts), None) => fact("From", &time_text(starts)),
        (None, Some(ends)) => fact("Until", &time_text(ends)),
        (None, None) => {}
    }
    if let Some(uses) = notice.uses {
        let plural = if uses == 1 { "" } else { "s" };
        fact("Covers", &format!("{uses} call{plural}"));
    }
    if let Some(reference) = &notice.reference {
        fact("Reference", reference);
    }
    if notice.break_glass {
        fact("Break-glass", "taken without approval");
    }
    if is_open(notice.kind) || awaits_review(notice.kind) {
        for group in notice.deciders.iter().take(LISTED) {
            let label = if awaits_review(notice.kind) {
                "Who can review"
            } else {
                "Who can decide"
            };
            fact(label, &decided_by(group, &notice.requester, notice.kind));
        }
    }
    for answer in notice.answers.iter().take(LISTED) {
        let said = match answer.answer {
            Answer::Approve => "approved",
            Answer::Deny => "denied",
        };
        fact("Answered", &format!("{} ({said})", answer.by));
    }
    if let Some(lapses) = notice.lapses.filter(|_| is_open(notice.kind)) {
        fact("Lapses", &time_text(lapses));
    }
    fact("Request", &notice.request.to_string());
    if let Some(extends) = notice.extends {
        fact("Extends", &extends.to_string());
    }
    if let Some(grant) = notice.grant {
        fact("Grant", &grant.to_string());
    }
    facts
}

/// `1 of movers (amy@…, bo@…)`; who asks does not decide, and one is enough for a review.
fn decided_by(group: &Deciders, requester: &str, kind: NoticeKind) -> String {
    let needed = if awaits_review(kind) {
        1
    } else {
        group.approvals
    };
    let others: Vec<&str> = group
        .members
        .iter()
        .map(String::as_str)
        .filter(|it| !it.eq_ignore_ascii_case(requester))
        .collect();
    let first: Vec<&str> = others.iter().copied().take(LISTED).collect();
    let mut names = first.join(", ");
    if let Some(more) = others.len().checked_sub(LISTED).filter(|it| *it > 0) {
        names = format!("{names} and {more} more");
    }
    if names.is_empty() {
        format!("{needed} of {}", group.group)
    } else {
        format!("{needed} of {} ({names})", group.group)
    }
}

/// `2027-01-15 08:00 UTC`
fn time_text(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// `4 hours`, `1 hour 30 minutes`, `2 days`.
fn duration_text(seconds: u64) -> String {
    let minutes = seconds.div_ceil(60);
    let parts = [
        (minutes / 1_440, "day"),
        (minutes / 60 % 24, "hour"),
        (minutes % 60, "minute"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|it| it.0 > 0)
        .map(|(count, unit)| format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
        .collect();
    if parts.is_empty() {
        "no time".to_owned()
    } else {
        parts.join(" ")
    }
}

/// A text as one bounded line.
pub(super) fn line(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len().min(longest));
    let mut count = 0;
    for character in text.chars() {
        let character = if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            ' '
        } else {
            character
        };
        if steers(character) || (character == ' ' && (out.is_empty() || out.ends_with(' '))) {
            continue;
        }
        if count == longest {
            out.push('…');
            break;
        }
        count += 1;
        out.push(character);
    }
    out.truncate(out.trim_end().len());
    out
}

/// A text as bounded lines; blank ones at its ends are dropped.
fn lines(text: &str) -> Vec<String> {
    let mut kept: Vec<String> = text
        .trim()
        .split(['\n', '\u{2028}', '\u{2029}'])
        .take(LINES + 1)
        .map(|it| line(it, LINE))
        .collect();
    if kept.len() > LINES {
        kept.truncate(LINES);
        kept.push("…".to_owned());
    }
    while kept.last().is_some_and(String::is_empty) {
        kept.pop();
    }
    kept
}

/// Whether a character is invisible and changes how others are shown: directions of writing ([UAX 9], section 2) and
/// joiners.
///
/// [UAX 9]: https://www.unicode.org/reports/tr9/
fn steers(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests;
