//! What people do to what is filed: answer or withdraw a request; give back, take away or review a grant. One loop for all:
//! read, decide by the life cycle, store over what was read, and begin again if somebody else was faster.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Answer, Grant, Narrowing, NoticeKind, Request, RequestState};
use crate::policy::{Approval, Policy, PolicySet};
use crate::store::StoreError;

use super::Caller;
use super::asking::compiled;
use super::desk::{Desk, Unfinished};
use super::filing::{may_govern, rules};
use super::lifecycle::{Authority, Case, Effect, Event, People, Quorum, apply};
use super::notices::{Deed, notice};
use super::reading;
use super::record::{Change, Circumstances};
use super::refusals::{
    WorkflowError, done_but_unrecorded, finished, gone, never, not_reached, refused, too_busy,
};
use super::words::Words;

/// An approver's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request.
    pub request: Uuid,
    /// Yes or no.
    pub answer: Answer,
    /// What the approver says with it.
    pub comment: Option<String>,
    /// What an approval holds for, where that is less than what was asked.
    pub narrowing: Narrowing,
    /// What else the approver's tool told with it; goes on record only.
    pub context: Vec<(String, String)>,
}

/// What somebody does to a case.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Answer(Reply),
    End { comment: Option<String> },
    Review { comment: Option<String> },
    Revoke { comment: Option<String> },
    Withdraw { comment: Option<String> },
}

impl Act {
    fn comment(&self) -> Option<&str> {
        match self {
            Self::Answer(reply) => reply.comment.as_deref(),
            Self::End { comment }
            | Self::Review { comment }
            | Self::Revoke { comment }
            | Self::Withdraw { comment } => comment.as_deref(),
        }
    }

    /// What people are told of it, when it has made the case what it is.
    fn told_as(&self, case: &Case) -> NoticeKind {
        match self {
            Self::Answer(_) => match case.request.state {
                RequestState::Approved => NoticeKind::RequestApproved,
                RequestState::Denied => NoticeKind::RequestDenied,
                RequestState::Expired | RequestState::Pending | RequestState::Withdrawn => {
                    NoticeKind::RequestVoted
                }
            },
            Self::End { .. } => NoticeKind::GrantEnded,
            Self::Review { .. } => NoticeKind::BreakGlassReviewed,
            Self::Revoke { .. } => NoticeKind::GrantRevoked,
            Self::Withdraw { .. } => NoticeKind::RequestWithdrawn,
        }
    }
}

/// How often a change is decided anew because somebody else was faster.
pub(super) const TRIES: u32 = 64;

/// Approves or denies a request.
pub(super) async fn reply(
    desk: &Desk,
    caller: &Caller,
    reply: Reply,
) -> Result<Case, WorkflowError> {
    let request = reply.request;
    let unseen = || reading::no_request(request, caller.words());
    let (case, done) = act(desk, caller, request, &Act::Answer(reply), unseen).await?;
    let what = match case.request.state {
        RequestState::Approved => "approved",
        RequestState::Denied => "denied",
        RequestState::Expired | RequestState::Pending | RequestState::Withdrawn => "answered",
    };
    finished(done, &case.request, what).map(|()| case)
}

/// Takes a request back.
pub(super) async fn withdraw(
    desk: &Desk,
    caller: &Caller,
    request: Uuid,
    comment: Option<String>,
) -> Result<Case, WorkflowError> {
    let unseen = || reading::no_request(request, caller.words());
    let (case, done) = act(desk, caller, request, &Act::Withdraw { comment }, unseen).await?;
    finished(done, &case.request, "withdrawn").map(|()| case)
}

/// Does `act` to a grant, named by its own id or by its request's.
pub(super) async fn on_grant(
    desk: &Desk,
    caller: &Caller,
    id: Uuid,
    what: Act,
) -> Result<Grant, WorkflowError> {
    let request = match desk.store.grant(id).await.map_err(not_reached)? {
        Some(grant) => grant.request,
        None => id,
    };
    let unseen = || reading::no_grant(id, caller.words());
    let (case, done) = act(desk, caller, request, &what, unseen).await?;
    let grant = case.grant.ok_or_else(unseen)?;
    match done {
        Ok(()) => Ok(grant),
        Err(error) => {
            let id = grant.id;
            let done = match what {
                Act::Review { .. } => format!("the review of the grant {id} is stored"),
                Act::Revoke { .. } => {
                    format!("the grant {id} is revoked and covers nothing any more")
                }
                Act::Answer(_) | Act::End { .. } | Act::Withdraw { .. } => {
                    format!("the grant {id} is ended and covers nothing any more")
                }
            };
            Err(done_but_unrecorded(&error, &done))
        }
    }
}

/// Does `act` to the case of `request`. The case as it is then, and whether its record has been delivered; `unseen` is what
/// to say when there is no such case, or it is not the caller's to know of.
async fn act(
    desk: &Desk,
    caller: &Caller,
    request: Uuid,
    act: &Act,
    unseen: impl Fn() -> WorkflowError,
) -> Result<(Case, Result<(), Unfinished>), WorkflowError> {
    for _ in 0..TRIES {
        let now = desk.now();
        let snapshot = desk.state.snapshot();
        let policies = &snapshot.policies;
        let case = desk.case(request).await.map_err(not_reached)?;
        let case = case
            .filter(|it| reading::may_know(desk, &caller.principal, &it.request, policies))
            .ok_or_else(&unseen)?;
        let (case, effects) = after(desk, caller, &case, act, policies, now)?;
        let context = match act {
            Act::Answer(reply) => reply.context.as_slice(),
            Act::End { .. } | Act::Review { .. } | Act::Revoke { .. } | Act::Withdraw { .. } => &[],
        };
        let mut change = Change::default();
        let at = Circumstances {
            caller: Some(caller),
            now,
        };
        change.add(effects, context, at).map_err(not_reached)?;
        let deed = Deed {
            by: Some(&caller.principal.name),
            comment: act.comment(),
            at: now,
        };
        let told = notice(act.told_as(&case), &case, policies, deed);
        change.tell(&told, &desk.channels).map_err(not_reached)?;
        match desk.make(change).await {
            Ok(done) => return Ok((case, done)),
            Err(StoreError::Changed) => {}
            Err(error) => return Err(not_reached(error)),
        }
    }
    Err(too_busy())
}

/// The case after `act`, by the life cycle and the policy of this moment.
fn after(
    desk: &Desk,
    caller: &Caller,
    case: &Case,
    act: &Act,
    policies: &PolicySet,
    now: DateTime<Utc>,
) -> Result<(Case, Vec<Effect>), WorkflowError> {
    let by = &caller.principal;
    let people = People::of(policies);
    let policy = policies.policy(&case.request.policy);
    let quorum = policy.map_or_else(
        || Quorum::nobody(policies),
        |policy| Quorum::of(policy, policies),
    );
    let authority = Authority {
        quorum: &quorum,
        operators: desk.operators(policies),
    };
    let event = match act {
        Act::Answer(reply) => {
            let policy = policy_of_now(&case.request, policies, caller.words())?;
            if reply.answer == Answer::Approve {
                check_narrowing(&case.request, reply, policy, policies)?;
            }
            Event::Voted {
                by,
                answer: reply.answer,
                comment: reply.comment.clone(),
                narrowing: reply.narrowing.clone(),
                rules: rules(policy, &quorum),
            }
        }
        Act::End { comment } => Event::Ended {
            by,
            people,
            comment: comment.clone(),
        },
        Act::Review { comment } => Event::Reviewed {
            by,
            authority,
            comment: comment.clone(),
        },
        Act::Revoke { comment } => Event::Revoked {
            by,
            authority,
            comment: comment.clone(),
        },
        Act::Withdraw { comment } => Event::Withdrawn {
            by,
            people,
            comment: comment.clone(),
        },
    };
    apply(case, event, now).map_err(|it| refused(&it, caller.words()))
}

fn check_narrowing(
    request: &Request,
    reply: &Reply,
    policy: &Policy,
    policies: &PolicySet,
) -> Result<(), WorkflowError> {
    if policy.approval == Approval::Never {
        return Err(never(policy));
    }
    compiled(&reply.narrowing.pins)?;
    match &reply.narrowing.task {
        Some(task) if !may_govern(policies, policy, task, &request.pins) => {
            Err(WorkflowError::Invalid(format!(
                "the policy `{}` does not govern `{task}`, so a grant narrowed to it would cover nothing",
                policy.scope.text
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// The policy that a pending request is decided under: the one that it was filed for, as it is now, if it still governs.
fn policy_of_now<'a>(
    request: &Request,
    policies: &'a PolicySet,
    words: &Words,
) -> Result<&'a Policy, WorkflowError> {
    let policy = policies
        .policy(&request.policy)
        .ok_or_else(|| gone(request, words))?;
    match &request.task {
        Some(task) if !may_govern(policies, policy, task, &request.pins) => {
            let governing = policies.governing(task);
            Err(WorkflowError::Conflict(format!(
                "what the request asks for is now governed by {}, so a grant under `{}` would cover nothing: it has to be filed again",
                governing.map_or("no policy".to_owned(), |it| format!("`{}`", it.scope.text)),
                policy.scope.text,
            )))
        }
        Some(_) | None => Ok(policy),
    }
}
