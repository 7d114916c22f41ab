//! What a `[[policy]]` says besides its scope and its approval: reasons, hours, uses, spread, emergencies.

use std::time::Duration;

use chrono::{NaiveTime, Weekday};
use chrono_tz::Tz;

use super::super::expression::compile_anywhere;
use super::super::file::{RawReason, RawSpread, RawWindow};
use super::super::problem::{At, Located, Report, nearest, printable};
use super::super::windows::{Window, Windows};
use super::super::{Approval, Comment, OnBlock, ReasonPattern, ReasonRule, Spread};
use super::groups::Groups;
use super::{distinct, readable};

/// The most characters that a reason can be asked to have; a request's reason may have more.
const MAX_REASON_LENGTH: usize = 500;

/// How many windows a policy may have.
const MAX_WINDOWS: usize = 50;

/// The most uses, calls or identities that a bound can allow.
const MAX_COUNT: u32 = 1_000_000;

pub(super) fn reason(raw: Option<RawReason>, report: &mut Report<'_>) -> ReasonRule {
    let Some(RawReason {
        at,
        required,
        min_length,
        pattern,
        hint,
    }) = raw
    else {
        return ReasonRule::default();
    };
    if required.as_ref().is_none_or(|it| it.value)
        && min_length.is_none()
        && pattern.is_none()
        && hint.is_none()
    {
        report.problem_with_hint(
            at,
            "`reason` asks for nothing but what is asked anyway: that there is one",
            "add min_length or pattern, write required = false, or leave it out",
        );
    }
    let min_length = min_length.and_then(|Located { value, at }| {
        let length = usize::try_from(value).ok();
        let length = length.filter(|it| (1..=MAX_REASON_LENGTH).contains(it));
        if length.is_none() {
            let message = format!(
                "`min_length` must be from 1 to {MAX_REASON_LENGTH} characters, not {value}"
            );
            report.problem(at, message);
        }
        length
    });
    let hint = readable("`hint`", hint, report);
    if let (Some(hint), None) = (&hint, &pattern) {
        report.problem_with_hint(
            hint.at,
            "`hint` without a `pattern`",
            "it tells people what the pattern asks for: write one, or remove the hint",
        );
    }
    let pattern =
        pattern.and_then(
            |Located { value: source, at }| match compile_anywhere(&source) {
                Ok(regex) => Some(ReasonPattern {
                    source,
                    regex,
                    hint: hint.map(|it| it.value),
                }),
                Err(why) => {
                    report.problem_with_hint(
                    at,
                    format!("`pattern` cannot be used: {why}"),
                    r"write a regular expression in single quotes, such as '\b(CHG|INC)\d{7}\b'",
                );
                    None
                }
            },
        );
    ReasonRule {
        required: required.is_none_or(|it| it.value),
        min_length: min_length.unwrap_or_default(),
        pattern,
    }
}

/// A list of groups, each of which is defined; empty if the list is absent.
pub(super) fn groups(
    key: &'static str,
    what: &'static str,
    listed: Option<Located<Vec<Located<String>>>>,
    groups: &Groups,
    report: &mut Report<'_>,
) -> Vec<String> {
    let Some(Located { value, at }) = listed else {
        return Vec::new();
    };
    if value.is_empty() {
        report.problem_with_hint(
            at,
            format!("`{key}` lists no group"),
            format!("list one, or leave `{key}` out"),
        );
    }
    let listed = distinct(key, value, report);
    for Located { value, at } in &listed {
        if let Some(group) = groups.find(value, what, *at, report)
            && group.members.is_empty()
            && group.claim.is_none()
        {
            let message = format!("nobody is in {what} `{}` ({})", group.name, group.place);
            report.problem_with_hint(
                *at,
                message,
                "give it members, or the claim of a group in the callers' tokens",
            );
        }
    }
    listed.into_iter().map(|it| it.value).collect()
}

pub(super) fn comment(text: Option<&Located<String>>, report: &mut Report<'_>) -> Comment {
    let all = [Comment::Optional, Comment::Required];
    word("approver_comment", text, all, Comment::as_str, report).unwrap_or_default()
}

pub(super) fn on_block(text: Option<&Located<String>>, report: &mut Report<'_>) -> OnBlock {
    let all = [OnBlock::Block, OnBlock::Hold, OnBlock::Request];
    word("on_block", text, all, OnBlock::as_str, report).unwrap_or_default()
}

/// Refuses requests that blocked calls file for themselves, and nobody looks at, where people would have to say why: the
/// reason of such a request is the gateway's own text.
pub(super) fn refuse_reasonless(at: At, reason: &ReasonRule, report: &mut Report<'_>) {
    if reason.required && (reason.min_length > 0 || reason.pattern.is_some()) {
        report.problem_with_hint(
            at,
            "`on_block` files requests without a person's reason, `reason` asks for one, and with `approval = \"auto\"` nobody would see that it lacks",
            "take `on_block` out: the text of a block says how to ask; or write required = false in `reason`",
        );
    }
}

/// How long a call waits for its approval.
pub(super) fn hold(
    seconds: Option<&Located<i64>>,
    on_block: OnBlock,
    report: &mut Report<'_>,
) -> Duration {
    const USUAL: Duration = Duration::from_mins(10);
    const LONGEST: Duration = Duration::from_hours(1);
    let Some(Located { value, at }) = seconds else {
        return USUAL;
    };
    if on_block != OnBlock::Hold {
        report.problem_with_hint(
            *at,
            "`hold_seconds` without `on_block = \"hold\"`",
            "nothing waits then: take it out, or set `on_block`",
        );
    }
    match u64::try_from(*value).map(Duration::from_secs) {
        Ok(hold) if !hold.is_zero() && hold <= LONGEST => hold,
        Ok(_) | Err(_) => {
            let message = format!(
                "`hold_seconds` must be from 1 to {}, not {value}",
                LONGEST.as_secs()
            );
            let hint =
                "servers close sessions that say nothing for long: Exchange after 15 minutes";
            report.problem_with_hint(*at, message, hint);
            USUAL
        }
    }
}

fn word<T: Copy, const N: usize>(
    key: &str,
    text: Option<&Located<String>>,
    all: [T; N],
    as_str: impl Fn(T) -> &'static str,
    report: &mut Report<'_>,
) -> Option<T> {
    let Located { value, at } = text?;
    let found = all.into_iter().find(|it| as_str(*it) == value);
    if found.is_none() {
        let words = all.map(&as_str);
        let hint = match nearest(value, words) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", words.map(|it| format!("\"{it}\"")).join(", ")),
        };
        report.problem_with_hint(
            *at,
            format!("`{key}` cannot be `{}`", printable(value)),
            hint,
        );
    }
    found
}

pub(super) fn max_uses(count: Option<&Located<i64>>, report: &mut Report<'_>) -> Option<u32> {
    bounded("max_uses", count, report)
}

fn bounded(key: &str, count: Option<&Located<i64>>, report: &mut Report<'_>) -> Option<u32> {
    let Located { value, at } = count?;
    if let Ok(count @ 1..=MAX_COUNT) = u32::try_from(*value) {
        return Some(count);
    }
    let message = format!("`{key}` must be from 1 to {MAX_COUNT}, not {value}");
    report.problem_with_hint(*at, message, format!("leave `{key}` out for no bound"));
    None
}

pub(super) fn spread(raw: Option<RawSpread>, report: &mut Report<'_>) -> Option<Spread> {
    let RawSpread {
        at,
        calls_per_minute,
        calls_per_grant,
        identities_per_minute,
        identities_per_grant,
    } = raw?;
    let is_empty = [
        &calls_per_minute,
        &calls_per_grant,
        &identities_per_minute,
        &identities_per_grant,
    ]
    .into_iter()
    .all(Option::is_none);
    if is_empty {
        report.problem_with_hint(
            at,
            "`spread` has no limit",
            "such as spread = { calls_per_minute = 30, identities_per_grant = 10 }",
        );
    }
    let mut read = |key: &str, count: Option<Located<i64>>| bounded(key, count.as_ref(), report);
    let spread = Spread {
        calls_per_minute: read("calls_per_minute", calls_per_minute),
        calls_per_grant: read("calls_per_grant", calls_per_grant),
        identities_per_minute: read("identities_per_minute", identities_per_minute),
        identities_per_grant: read("identities_per_grant", identities_per_grant),
    };
    (spread != Spread::default()).then_some(spread)
}

pub(super) fn windows(raw: Vec<RawWindow>, report: &mut Report<'_>) -> Windows {
    if let Some(window) = raw.get(MAX_WINDOWS) {
        let message = format!("more than {MAX_WINDOWS} windows in a policy");
        report.problem(window.at, message);
    }
    Windows {
        windows: raw
            .into_iter()
            .take(MAX_WINDOWS)
            .filter_map(|it| window(it, report))
            .collect(),
    }
}

fn window(raw: RawWindow, report: &mut Report<'_>) -> Option<Window> {
    let RawWindow {
        at,
        days,
        from,
        to,
        zone,
    } = raw;
    let days = read_days(days, report);
    let from = from.and_then(|it| read_time("from", &it, report));
    let to = to.and_then(|it| read_time("to", &it, report));
    let zone = zone.and_then(|it| read_zone(&it, report));
    if let (Some(Clock::Midnight), _) = (&from, &to) {
        report.problem_with_hint(
            at,
            "a window cannot begin at 24:00",
            r#"write "00:00" of the next day"#,
        );
    }
    let (from, to) = (from?.time(), to?.time());
    if from == to && from != NaiveTime::MIN {
        report.problem_with_hint(
            at,
            "a window ends when it begins",
            r#"write from = "00:00" and to = "24:00" for the whole day"#,
        );
    }
    Some(Window {
        days: days?,
        from,
        to,
        zone: zone?,
    })
}

/// A time of the day as it is written.
enum Clock {
    /// `24:00`, the end of the day.
    Midnight,
    Time(NaiveTime),
}

impl Clock {
    fn time(&self) -> NaiveTime {
        match self {
            Self::Midnight => NaiveTime::MIN,
            Self::Time(time) => *time,
        }
    }
}

fn read_time(key: &str, text: &Located<String>, report: &mut Report<'_>) -> Option<Clock> {
    let Located { value, at } = text;
    if value == "24:00" {
        return Some(Clock::Midnight);
    }
    let well_formed = value.len() == 5 && value.bytes().all(|it| it.is_ascii_digit() || it == b':');
    let time = NaiveTime::parse_from_str(value, "%H:%M")
        .ok()
        .filter(|_| well_formed);
    if time.is_none() {
        let message = format!("`{key}` cannot be `{}`", printable(value));
        report.problem_with_hint(
            *at,
            message,
            r#"a time of the day, such as "08:00"; "24:00" is its end"#,
        );
    }
    time.map(Clock::Time)
}

fn read_zone(text: &Located<String>, report: &mut Report<'_>) -> Option<Tz> {
    let Located { value, at } = text;
    let zone = value.parse::<Tz>().ok();
    if zone.is_none() {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|it| it.name());
        let hint = match nearest(value, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "a name of the IANA time zone database, such as `Europe/Berlin` or `UTC`".to_owned()
            }
        };
        let message = format!("there is no time zone `{}`", printable(value));
        report.problem_with_hint(*at, message, hint);
    }
    zone
}

/// All days if none is listed. `mon-fri` stands for the days from one to the other.
fn read_days(
    days: Option<Located<Vec<Located<String>>>>,
    report: &mut Report<'_>,
) -> Option<Vec<Weekday>> {
    const WEEK: [Weekday; 7] = [
        Weekday::Mon,
        Weekday::Tue,
        Weekday::Wed,
        Weekday::Thu,
        Weekday::Fri,
        Weekday::Sat,
        Weekday::Sun,
    ];
    let Some(Located { value, at }) = days else {
        return Some(WEEK.to_vec());
    };
    if value.is_empty() {
        report.problem_with_hint(at, "`days` lists no day", "leave it out for every day");
    }
    let mut is_good = true;
    let mut chosen = [false; 7];
    for Located { value, at } in distinct("days", value, report) {
        let day = |text: &str| {
            WEEK.iter()
                .position(|it| text.eq_ignore_ascii_case(&it.to_string()))
        };
        let (first, last) = value.split_once('-').unwrap_or((&value, &value));
        let (Some(first), Some(last)) = (day(first), day(last)) else {
            let message = format!("there is no day `{}`", printable(&value));
            let hint = r#"mon, tue, wed, thu, fri, sat, sun, or a span such as "mon-fri""#;
            report.problem_with_hint(at, message, hint);
            is_good = false;
            continue;
        };
        let span = (last + WEEK.len() - first) % WEEK.len();
        for ahead in 0..=span {
            if let Some(chosen) = chosen.get_mut((first + ahead) % WEEK.len()) {
                *chosen = true;
            }
        }
    }
    let days = WEEK.iter().zip(chosen).filter(|it| it.1).map(|it| *it.0);
    is_good.then(|| days.collect())
}

/// Notes options that mean nothing where nobody can be granted anything.
pub(super) fn refuse_of_never(
    approval: Option<Approval>,
    given: &[(&str, Option<At>)],
    report: &mut Report<'_>,
) {
    if approval != Some(Approval::Never) {
        return;
    }
    for (key, at) in given {
        if let Some(at) = at {
            let message = format!("`{key}` in a policy with approval = \"never\"");
            report.problem_with_hint(*at, message, "nobody can ask for a grant: remove it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Interner;
    use crate::policy::{PolicyFile, PolicySet};

    /// How long a policy with these lines lets calls wait, or what is wrong with it.
    fn hold(lines: &str) -> Result<(OnBlock, u64), String> {
        let files = [PolicyFile {
            path: "p.toml".to_owned(),
            text: format!("[[policy]]\ntask = 'X\\Get-It'\napproval = 'auto'\n{lines}"),
        }];
        let set = PolicySet::load(&files, &[], None, &Interner::default());
        match set {
            Ok(set) => {
                let policy = &set.policies()[0];
                Ok((policy.on_block, policy.hold.as_secs()))
            }
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_call_waits_ten_minutes_unless_it_is_said_and_an_hour_at_most() {
        assert_eq!(hold(""), Ok((OnBlock::Block, 600)));
        assert_eq!(hold("on_block = 'hold'"), Ok((OnBlock::Hold, 600)));
        assert_eq!(
            hold("on_block = 'hold'\nhold_seconds = 3600"),
            Ok((OnBlock::Hold, 3600))
        );
        for (lines, text) in [
            (
                "on_block = 'hold'\nhold_seconds = 0",
                "must be from 1 to 3600, not 0",
            ),
            (
                "on_block = 'hold'\nhold_seconds = 3601",
                "must be from 1 to 3600, not 3601",
            ),
            (
                "on_block = 'request'\nhold_seconds = 5",
                "without `on_block = \"hold\"`",
            ),
            ("hold_seconds = 5", "without `on_block = \"hold\"`"),
        ] {
            let told = hold(lines).unwrap_err();
            assert!(told.contains(text), "{told}");
        }
    }
}
