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
        NoticeKind::BreakGlassReminder => {
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

#[cfg(test)]
mod tests {
    use crate::notify::sample;

    use super::*;

    fn told(change: impl Fn(&mut Notice)) -> Vec<(NoticeKind, Vec<String>)> {
        let escalate_to = ["Boss@fabrikam.example".to_owned()];
        NoticeKind::ALL
            .into_iter()
            .map(|kind| {
                let mut notice = sample::notice(kind);
                change(&mut notice);
                let told = mailed_to(&notice, &escalate_to);
                (kind, told.into_iter().map(str::to_owned).collect())
            })
            .collect()
    }

    #[test]
    fn each_kind_is_mailed_to_those_whom_it_concerns() {
        let lines: Vec<String> = told(|_| {})
            .into_iter()
            .map(|(kind, told)| format!("{}: {}", kind.as_str(), told.join(", ")))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        break-glass-reminder: movers@fabrikam.example, Boss@fabrikam.example
        break-glass-reviewed: amy@fabrikam.example
        break-glass-taken: amy@fabrikam.example, movers@fabrikam.example, Boss@fabrikam.example
        grant-ended: 
        grant-expired: 
        grant-revoked: amy@fabrikam.example
        grant-used-up: 
        request-approved: amy@fabrikam.example
        request-denied: amy@fabrikam.example
        request-escalated: Boss@fabrikam.example
        request-expired: amy@fabrikam.example
        request-filed: movers@fabrikam.example
        request-reminder: movers@fabrikam.example
        request-voted: 
        request-withdrawn: movers@fabrikam.example
        test: 
        ");
    }

    #[test]
    fn a_group_without_an_address_is_told_member_by_member_but_not_who_asks_or_has_answered() {
        let told = told(|notice| {
            notice.requester = "DEE@fabrikam.example".to_owned();
            let group = &mut notice.deciders[0];
            group.address = None;
            group.members.push("Cy@fabrikam.example".to_owned());
            let mut second = group.clone();
            second.members.push("cy@FABRIKAM.example".to_owned());
            notice.deciders.push(second);
        });
        let of = |wanted: NoticeKind| {
            let found = told.iter().find(|it| it.0 == wanted);
            found.unwrap().1.join(", ")
        };
        assert_eq!(
            of(NoticeKind::RequestFiled),
            "bo@fabrikam.example, Cy@fabrikam.example"
        );
        // Bo has answered already.
        assert_eq!(of(NoticeKind::RequestReminder), "Cy@fabrikam.example");
    }

    #[test]
    fn a_notice_is_mailed_to_a_bounded_number() {
        let told = told(|notice| {
            let group = &mut notice.deciders[0];
            group.address = None;
            group.members = (0..1_000)
                .map(|it| format!("m{it}@fabrikam.example"))
                .collect();
        });
        assert!(told.iter().all(|it| it.1.len() <= MOST_RECIPIENTS));
    }
}
