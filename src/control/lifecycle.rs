//! The life of a request and of the grant that it becomes, as a pure function of what happens to it.
//!
//! ```text
//!            approved by each group (or by an auto policy)
//! Pending ─┬──────────────────────────────────────────────▶ Approved ── grant ─┬─ revoked ─▶ Revoked
//!          ├─ denied by one approver ─▶ Denied                                 └─ its end ─▶ Expired
//!          └─ 24 h without decision ──▶ Expired
//! ```
//!
//! INVARIANT: nothing leaves a terminal state; nobody decides an own request; a grant exists only once every group of the
//! policy gave its share of approvals, by people who are members.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod quorum;

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::model::{Answer, Grant, GrantState, Principal, Request, RequestState, Revocation, Vote};

pub(crate) use quorum::Quorum;

/// How long a request waits for its approvers (exchange-rest section 8).
pub(crate) const PENDING_FOR: Duration = Duration::hours(24);

/// A request with all that came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) request: Request,
    /// In the order they were given.
    pub(crate) votes: Vec<Vote>,
    pub(crate) grant: Option<Grant>,
}

/// What happens to a case.
#[derive(Clone, Debug)]
pub(crate) enum Event<'a> {
    /// The grant's time is over.
    Ended,
    /// Nobody decided in time.
    Lapsed,
    /// Somebody who may takes the grant away.
    Revoked {
        by: &'a Principal,
        quorum: &'a Quorum<'a>,
        comment: Option<String>,
    },
    /// Somebody answers the request.
    Voted {
        by: &'a Principal,
        answer: Answer,
        comment: Option<String>,
        terms: Terms<'a>,
    },
    /// The policy lets it pass without approvers.
    Waived { terms: Terms<'a> },
}

/// What the policy of this moment says about a grant, and the id that a grant made now would have.
#[derive(Clone, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) quorum: &'a Quorum<'a>,
    /// The longest grant, if there is a bound.
    pub(crate) longest: Option<Duration>,
    /// UUID v7.
    pub(crate) grant: Uuid,
}

/// What a change consists of, for the store, the audit log and the grant table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The grant is over by time.
    GrantEnded(Grant),
    /// A grant was made.
    GrantMade(Grant),
    /// The grant was taken away.
    GrantRevoked(Grant),
    /// The request's state, decision or version changed.
    RequestChanged(Request),
    /// A vote was given.
    VoteCast(Vote),
}

/// Why an event cannot happen to a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTransition {
    #[error("you have answered this request already ({}); it still needs {missing}", past(*answer))]
    AlreadyAnswered { answer: Answer, missing: String },
    #[error("the request is {} already{}", state.as_str().to_lowercase(), by_whom(by.as_deref()))]
    AlreadyDecided {
        state: RequestState,
        by: Option<String>,
    },
    #[error("the request expired at {}: it was not decided within {} hours; it has to be filed again", shown(*at), PENDING_FOR.num_hours())]
    Lapsed { at: DateTime<Utc> },
    #[error("there is no grant: the request is {}", state.as_str().to_lowercase())]
    NoGrant { state: RequestState },
    #[error("only a member of {groups} may do this")]
    NotApprover { groups: String },
    #[error("it is not due before {}", shown(*due))]
    NotDue { due: DateTime<Utc> },
    #[error("the grant is {} already", state.as_str().to_lowercase())]
    Over { state: GrantState },
    #[error("nobody can decide an own request: another member of {groups} has to")]
    OwnRequest { groups: String },
    #[error("the grant's end lies beyond what can be told as a time")]
    TooLong,
}

/// What `event` at `now` makes of `case`, and what there is to store, record and publish for it.
pub(crate) fn apply(
    case: &Case,
    event: Event<'_>,
    now: DateTime<Utc>,
) -> Result<(Case, Vec<Effect>), InvalidTransition> {
    let mut case = case.clone();
    let effects = match event {
        Event::Ended => end(&mut case, now),
        Event::Lapsed => lapse(&mut case, now),
        Event::Revoked {
            by,
            quorum,
            comment,
        } => revoke(&mut case, by, quorum, comment, now),
        Event::Voted {
            by,
            answer,
            comment,
            terms,
        } => vote(&mut case, by, answer, comment, &terms, now),
        Event::Waived { terms } => {
            still_pending(&case.request, now)?;
            case.request.decided_by = Some(POLICY.to_owned());
            grant(&mut case, vec![POLICY.to_owned()], &terms, now)
        }
    }?;
    Ok((case, effects))
}

/// Who approves where the policy asks nobody.
pub(crate) const POLICY: &str = "policy";

fn vote(
    case: &mut Case,
    by: &Principal,
    answer: Answer,
    comment: Option<String>,
    terms: &Terms<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    still_pending(&case.request, now)?;
    let groups = may_approve(by, terms.quorum)?;
    if is_same_person(
        by,
        &case.request.principal_key,
        &case.request.principal_name,
    ) {
        let groups = terms.quorum.to_string();
        return Err(InvalidTransition::OwnRequest { groups });
    }
    let earlier = case
        .votes
        .iter()
        .find(|it| is_same_person(by, &it.approver_key, &it.approver_name));
    if let Some(earlier) = earlier {
        return Err(InvalidTransition::AlreadyAnswered {
            answer: earlier.answer,
            missing: terms.quorum.missing(&case.votes),
        });
    }
    let vote = Vote {
        approver_key: by.key.clone(),
        approver_name: by.name.clone(),
        groups,
        answer,
        comment: comment.clone(),
        at: now,
    };
    case.votes.push(vote.clone());
    let mut effects = vec![Effect::VoteCast(vote)];
    match answer {
        Answer::Approve if terms.quorum.is_reached(&case.votes) => {
            let names = case.votes.iter().map(|it| it.approver_name.clone());
            let names = names.collect();
            case.request.decided_by = Some(by.name.clone());
            case.request.comment = comment;
            effects.extend(grant(case, names, terms, now)?);
        }
        // The version changes with each vote, so that of two who vote at once the second counts again.
        Answer::Approve => effects.push(Effect::RequestChanged(case.request.clone())),
        Answer::Deny => {
            case.request.state = RequestState::Denied;
            case.request.decided = Some(now);
            case.request.decided_by = Some(by.name.clone());
            case.request.comment = comment;
            effects.push(Effect::RequestChanged(case.request.clone()));
        }
    }
    Ok(effects)
}

/// Approves the request: the grant begins now, and lasts as asked or as long as the policy allows.
fn grant(
    case: &mut Case,
    approved_by: Vec<String>,
    terms: &Terms<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    let request = &mut case.request;
    let lasts = terms
        .longest
        .map_or(request.duration, |longest| longest.min(request.duration));
    let ends = now
        .checked_add_signed(lasts)
        .ok_or(InvalidTransition::TooLong)?;
    request.state = RequestState::Approved;
    request.decided = Some(now);
    let grant = Grant {
        id: terms.grant,
        request: request.id,
        principal_key: request.principal_key.clone(),
        principal_name: request.principal_name.clone(),
        policy: request.policy.clone(),
        task: request.task.clone(),
        starts: now,
        ends,
        approved_by,
        created: now,
        revoked: None,
        version: 0,
    };
    case.grant = Some(grant.clone());
    Ok(vec![
        Effect::RequestChanged(request.clone()),
        Effect::GrantMade(grant),
    ])
}

fn lapse(case: &mut Case, now: DateTime<Utc>) -> Result<Vec<Effect>, InvalidTransition> {
    undecided(&case.request)?;
    if now < case.request.expires {
        return Err(InvalidTransition::NotDue {
            due: case.request.expires,
        });
    }
    case.request.state = RequestState::Expired;
    case.request.decided = Some(now);
    Ok(vec![Effect::RequestChanged(case.request.clone())])
}

fn revoke(
    case: &mut Case,
    by: &Principal,
    quorum: &Quorum<'_>,
    comment: Option<String>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    may_approve(by, quorum)?;
    let state = case.request.state;
    let grant = case
        .grant
        .as_mut()
        .ok_or(InvalidTransition::NoGrant { state })?;
    match grant.state(now) {
        GrantState::Active | GrantState::Scheduled => {}
        state @ (GrantState::Expired | GrantState::Revoked) => {
            return Err(InvalidTransition::Over { state });
        }
    }
    grant.revoked = Some(Revocation {
        at: now,
        by: by.name.clone(),
        comment,
    });
    Ok(vec![Effect::GrantRevoked(grant.clone())])
}

fn end(case: &mut Case, now: DateTime<Utc>) -> Result<Vec<Effect>, InvalidTransition> {
    let state = case.request.state;
    let grant = case
        .grant
        .as_ref()
        .ok_or(InvalidTransition::NoGrant { state })?;
    match grant.state(now) {
        GrantState::Expired => Ok(vec![Effect::GrantEnded(grant.clone())]),
        GrantState::Active | GrantState::Scheduled => {
            Err(InvalidTransition::NotDue { due: grant.ends })
        }
        GrantState::Revoked => Err(InvalidTransition::Over {
            state: GrantState::Revoked,
        }),
    }
}

fn undecided(request: &Request) -> Result<(), InvalidTransition> {
    match request.state {
        RequestState::Pending => Ok(()),
        RequestState::Expired => Err(InvalidTransition::Lapsed {
            at: request.expires,
        }),
        state @ (RequestState::Approved | RequestState::Denied) => {
            let by = request.decided_by.clone();
            Err(InvalidTransition::AlreadyDecided { state, by })
        }
    }
}

fn still_pending(request: &Request, now: DateTime<Utc>) -> Result<(), InvalidTransition> {
    undecided(request)?;
    if now < request.expires {
        Ok(())
    } else {
        Err(InvalidTransition::Lapsed {
            at: request.expires,
        })
    }
}

fn may_approve(by: &Principal, quorum: &Quorum<'_>) -> Result<Vec<String>, InvalidTransition> {
    let groups = quorum.groups_of(by);
    if groups.is_empty() {
        let groups = quorum.to_string();
        return Err(InvalidTransition::NotApprover { groups });
    }
    Ok(groups)
}

/// Whether this is the same person: by key, or by name in any case, since one person may sign in in several ways.
pub(crate) fn is_same_person(person: &Principal, key: &str, name: &str) -> bool {
    person.key == key || person.name.to_lowercase() == name.to_lowercase()
}

fn past(answer: Answer) -> &'static str {
    match answer {
        Answer::Approve => "approved",
        Answer::Deny => "denied",
    }
}

fn by_whom(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" by {name}"))
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests;
