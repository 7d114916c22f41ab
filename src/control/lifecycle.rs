//! The life of a request and of the grant that it becomes, as a pure function of what happens to it.
//!
//! ```text
//!            approved by each group (or by an auto policy, or taken by break-glass)
//! Pending ─┬────────────────────────────▶ Approved ── grant: Scheduled ─▶ Active ─┬─ its end ──▶ Expired
//!          ├─ denied by one approver ───▶ Denied                                  ├─ revoked ──▶ Revoked
//!          ├─ 24 h without decision ────▶ Expired                                 ├─ given back ▶ Ended
//!          └─ taken back ───────────────▶ Withdrawn                               └─ last use ─▶ UsedUp
//! ```
//!
//! A scheduled grant may be revoked or given back as well. An approved extension makes no grant but moves the end of one.
//!
//! INVARIANT: nothing leaves a terminal state; nobody decides an own request; a grant exists only once every group of the
//! policy gave its share of approvals, by people who are members, or is marked as break-glass; a grant never holds for more
//! than was asked.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod closing;
mod deciding;
mod granting;
mod quorum;
mod refusal;

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::model::{Answer, Grant, Narrowing, Principal, Request, Vote};
use crate::policy::{Comment, Group};

pub(crate) use quorum::{People, Quorum};
pub(crate) use refusal::InvalidTransition;

/// How long a request waits for its approvers (exchange-rest section 8).
pub(crate) const PENDING_FOR: Duration = Duration::hours(24);

/// Who approves where the policy asks nobody.
pub(crate) const POLICY: &str = "policy";

/// Who approves where the holder did, in an emergency.
pub(crate) const BREAK_GLASS: &str = "break-glass";

/// A request with all that came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What was asked.
    pub request: Request,
    /// In the order they were given.
    pub votes: Vec<Vote>,
    /// What it became.
    pub grant: Option<Grant>,
    /// The grant whose end it asks to move, or has moved.
    pub extended: Option<Grant>,
}

/// What happens to a case.
#[derive(Clone, Debug)]
pub(crate) enum Event<'a> {
    /// A member of one of the policy's break-glass groups takes the grant without approval.
    BrokenGlass {
        by: &'a Principal,
        /// The policy's groups whose members may.
        groups: &'a [&'a Group],
        rules: Rules<'a>,
    },
    /// The holder gives the grant back.
    Ended {
        by: &'a Principal,
        people: People<'a>,
        comment: Option<String>,
    },
    /// The grant's time is over.
    Expired,
    /// Nobody decided in time.
    Lapsed,
    /// Somebody looks at a grant that was taken by break-glass.
    Reviewed {
        by: &'a Principal,
        authority: Authority<'a>,
        comment: Option<String>,
    },
    /// Somebody who may takes the grant away.
    Revoked {
        by: &'a Principal,
        authority: Authority<'a>,
        comment: Option<String>,
    },
    /// A command is about to run under the grant.
    Used,
    /// Somebody answers the request.
    Voted {
        by: &'a Principal,
        answer: Answer,
        comment: Option<String>,
        narrowing: Narrowing,
        rules: Rules<'a>,
    },
    /// The policy lets it pass without approvers.
    Waived { rules: Rules<'a> },
    /// The requester takes it back.
    Withdrawn {
        by: &'a Principal,
        people: People<'a>,
        comment: Option<String>,
    },
}

/// What the policy of this moment says about deciding a request, and the id that a grant made now would have.
#[derive(Clone, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) quorum: &'a Quorum<'a>,
    /// The longest grant, from its start to its end, extensions included.
    pub(crate) longest: Duration,
    /// The most uses of a grant, if there is a bound.
    pub(crate) most_uses: Option<u32>,
    /// Whether an answer needs a comment.
    pub(crate) comment: Comment,
    /// UUID v7.
    pub(crate) grant: Uuid,
}

/// Those who may take a grant away or review it: its policy's approvers, and the operators.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authority<'a> {
    pub(crate) quorum: &'a Quorum<'a>,
    pub(crate) operators: Option<&'a Group>,
}

/// What a change consists of, for the store, the audit log, the grant table and those who are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The grant was closed before its time; it says how.
    GrantClosed(Grant),
    /// The grant is over by time.
    GrantExpired(Grant),
    /// The grant's end moved.
    GrantExtended(Grant),
    /// A grant was made.
    GrantMade(Grant),
    /// An approver looked at the grant.
    GrantReviewed(Grant),
    /// A use of the grant was taken; not the last one, which closes it.
    GrantUsed(Grant),
    /// The request's state, decision or version changed.
    RequestChanged(Request),
    /// A vote was given.
    VoteCast(Vote),
}

/// What `event` at `now` makes of `case`, and what there is to store, record and publish for it.
pub(crate) fn apply(
    case: &Case,
    event: Event<'_>,
    now: DateTime<Utc>,
) -> Result<(Case, Vec<Effect>), InvalidTransition> {
    let mut case = case.clone();
    let effects = match event {
        Event::BrokenGlass { by, groups, rules } => {
            deciding::break_glass(&mut case, by, groups, &rules, now)
        }
        Event::Ended {
            by,
            people,
            comment,
        } => closing::end(&mut case, by, people, comment, now),
        Event::Expired => closing::expire(&case, now),
        Event::Lapsed => deciding::lapse(&mut case, now),
        Event::Reviewed {
            by,
            authority,
            comment,
        } => closing::review(&mut case, by, authority, comment, now),
        Event::Revoked {
            by,
            authority,
            comment,
        } => closing::revoke(&mut case, by, authority, comment, now),
        Event::Used => closing::take_use(&mut case, now),
        Event::Voted {
            by,
            answer,
            comment,
            narrowing,
            rules,
        } => {
            let ballot = deciding::Ballot {
                answer,
                comment,
                narrowing,
            };
            deciding::vote(&mut case, by, ballot, &rules, now)
        }
        Event::Waived { rules } => deciding::waive(&mut case, &rules, now),
        Event::Withdrawn {
            by,
            people,
            comment,
        } => deciding::withdraw(&mut case, by, people, comment, now),
    }?;
    Ok((case, effects))
}

#[cfg(test)]
mod tests;
