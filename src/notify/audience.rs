//! Whom a notice concerns. Pure.

use crate::model::{Deciders, Notice, NoticeKind};

/// The most people that one notice is mailed to: beyond, a group should have an address of its own.
pub(super) const MOST_RECIPIENTS: usize = 200;

/// The accounts and addresses that a notice is mailed to, each once without case, at most [`MOST_RECIPIENTS`].
///
/// A group with an address of its own is told there, any other member by member. Whoever asked is not asked to decide.
pub(super) fn mailed_to<'a>(notice: &'a Notice, escalate_to: &'a [String]) -> Vec<&'a str> {
    let mut told: Vec<&str> = Vec::new();
    match notice.kind {
        NoticeKind::BreakGlassTaken => {
            told.push(&notice.requester);
            told.extend(deciders(notice));
            told.extend(escalate_to.iter().map(String::as_str));
        }
        NoticeKind::BreakGlassReviewed
        | NoticeKind::GrantRevoked
        | NoticeKind::RequestApproved
        | NoticeKind::RequestDenied
        | NoticeKind::RequestExpired => told.push(&notice.requester),
        NoticeKind::RequestEscalated => told.extend(escalate_to.iter().map(String::as_str)),
        NoticeKind::RequestFiled | NoticeKind::RequestWithdrawn => told.extend(deciders(notice)),
        NoticeKind::RequestReminder => told.extend(deciders(notice).filter(|it| {
            let mut answers = notice.answers.iter();
            !answers.any(|answer| is_same(&answer.by, it))
        })),
        // Others learn of these from webhooks and listings: a mail for each would teach people to delete mails.
        NoticeKind::GrantEnded
        | NoticeKind::GrantExpired
        | NoticeKind::GrantUsedUp
        | NoticeKind::RequestVoted
        | NoticeKind::Test => {}
    }
    let mut once: Vec<&str> = Vec::new();
    for account in told {
        if once.len() < MOST_RECIPIENTS && !once.iter().any(|it| is_same(it, account)) {
            once.push(account);
        }
    }
    once
}

fn deciders(notice: &Notice) -> impl Iterator<Item = &str> {
    notice
        .deciders
        .iter()
        .flat_map(|group: &Deciders| match &group.address {
            Some(address) => std::slice::from_ref(address),
            None => group.members.as_slice(),
        })
        .map(String::as_str)
        .filter(|it| !is_same(it, &notice.requester))
}

fn is_same(one: &str, two: &str) -> bool {
    one.eq_ignore_ascii_case(two)
}
