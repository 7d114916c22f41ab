//! From pending to decided: votes, waivers, break-glass, withdrawals, and the passing of time.

use chrono::{DateTime, Utc};

use crate::model::{Answer, Narrowing, Principal, Request, RequestState, Vote};
use crate::policy::{Comment, Group};

use super::granting::{Terms, approve};
use super::{BREAK_GLASS, Case, Effect, InvalidTransition, POLICY, People, Quorum, Rules};

/// An approver's answer with all that is said with it.
pub(super) struct Ballot {
    pub(super) answer: Answer,
    pub(super) comment: Option<String>,
    pub(super) narrowing: Narrowing,
}

pub(super) fn vote(
    case: &mut Case,
    by: &Principal,
    ballot: Ballot,
    rules: &Rules<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    still_pending(&case.request, now)?;
    let groups = may_approve(by, rules.quorum)?;
    let people = rules.quorum.people();
    let Request {
        principal_key,
        principal_name,
        ..
    } = &case.request;
    if people.is_same(by, principal_key, principal_name) {
        let groups = rules.quorum.to_string();
        return Err(InvalidTransition::OwnRequest { groups });
    }
    let mut votes = case.votes.iter();
    if let Some(earlier) = votes.find(|it| people.is_same(by, &it.approver_key, &it.approver_name))
    {
        return Err(InvalidTransition::AlreadyAnswered {
            answer: earlier.answer,
            missing: rules.quorum.missing(&case.votes),
        });
    }
    let Ballot {
        answer,
        comment,
        narrowing,
    } = ballot;
    if rules.comment == Comment::Required && comment.is_none() {
        return Err(InvalidTransition::CommentNeeded);
    }
    let narrowing = match answer {
        Answer::Approve => {
            Terms::of(case, rules, now).check(&narrowing)?;
            narrowing
        }
        Answer::Deny => Narrowing::default(),
    };
    let vote = Vote {
        approver_key: by.key.clone(),
        approver_name: by.name.clone(),
        groups,
        answer,
        comment: comment.clone(),
        narrowing,
        at: now,
    };
    case.votes.push(vote.clone());
    let mut effects = vec![Effect::VoteCast(vote)];
    match answer {
        Answer::Approve if rules.quorum.is_reached(&case.votes) => {
            let approvals = case.votes.iter().filter(|it| it.answer == Answer::Approve);
            let names = approvals.map(|it| it.approver_name.clone()).collect();
            case.request.decided_by = Some(by.name.clone());
            case.request.comment = comment;
            effects.extend(approve(case, names, rules, now)?);
        }
        // The version changes with each vote, so that of two who vote at once the second counts again.
        Answer::Approve => effects.push(Effect::RequestChanged(case.request.clone())),
        Answer::Deny => {
            case.request.comment = comment;
            effects.push(decide(case, RequestState::Denied, Some(&by.name), now));
        }
    }
    Ok(effects)
}

/// The policy asks nobody.
pub(super) fn waive(
    case: &mut Case,
    rules: &Rules<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    still_pending(&case.request, now)?;
    case.request.decided_by = Some(POLICY.to_owned());
    approve(case, vec![POLICY.to_owned()], rules, now)
}

/// The requester decides alone, which only members of the policy's break-glass groups may; the grant is marked.
pub(super) fn break_glass(
    case: &mut Case,
    by: &Principal,
    groups: &[&Group],
    rules: &Rules<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    still_pending(&case.request, now)?;
    if by.key != case.request.principal_key {
        let requester = case.request.principal_name.clone();
        return Err(InvalidTransition::NotRequester { requester });
    }
    if !groups.iter().any(|it| it.has(by)) {
        let names: Vec<String> = groups.iter().map(|it| format!("`{}`", it.name)).collect();
        let groups = if names.is_empty() {
            "a break-glass group (the policy has none)".to_owned()
        } else {
            names.join(" or ")
        };
        return Err(InvalidTransition::NotApprover { groups });
    }
    case.request.break_glass = true;
    case.request.decided_by = Some(by.name.clone());
    approve(case, vec![BREAK_GLASS.to_owned()], rules, now)
}

pub(super) fn withdraw(
    case: &mut Case,
    by: &Principal,
    people: People<'_>,
    comment: Option<String>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    let request = &case.request;
    if !people.is_same(by, &request.principal_key, &request.principal_name) {
        let requester = request.principal_name.clone();
        return Err(InvalidTransition::NotRequester { requester });
    }
    still_pending(request, now)?;
    case.request.comment = comment;
    Ok(vec![decide(
        case,
        RequestState::Withdrawn,
        Some(&by.name),
        now,
    )])
}

pub(super) fn lapse(case: &mut Case, now: DateTime<Utc>) -> Result<Vec<Effect>, InvalidTransition> {
    undecided(&case.request)?;
    if now < case.request.expires {
        let due = case.request.expires;
        return Err(InvalidTransition::NotDue { due });
    }
    Ok(vec![decide(case, RequestState::Expired, None, now)])
}

fn decide(case: &mut Case, state: RequestState, by: Option<&str>, now: DateTime<Utc>) -> Effect {
    let request = &mut case.request;
    request.state = state;
    request.decided = Some(now);
    request.decided_by = by.map(str::to_owned);
    Effect::RequestChanged(request.clone())
}

fn undecided(request: &Request) -> Result<(), InvalidTransition> {
    match request.state {
        RequestState::Pending => Ok(()),
        RequestState::Expired => Err(InvalidTransition::Lapsed {
            at: request.expires,
        }),
        state @ (RequestState::Approved | RequestState::Denied | RequestState::Withdrawn) => {
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
