//! What people do: file a request, answer one, revoke a grant.

use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::model::{Answer, Grant, NoticeKind, Request, RequestState, Task};
use crate::policy::{Approval, Policy, PolicySet};
use crate::state::OwnCmdletError;
use crate::store::StoreError;

use super::Caller;
use super::desk::{Desk, chain, log_unfinished};
use super::lifecycle::{Case, Event, PENDING_FOR, Quorum, Terms, apply};
use super::notices::{Deed, by_time, notice};
use super::reading;
use super::record::{Change, Circumstances};
use super::refusals::{finished, gone, never, not_reached, refused, too_busy};

/// What somebody asks for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// A task, or a policy's own scope.
    pub(super) scope: String,
    pub(super) reason: String,
    /// The policy's default if it is not said.
    pub(super) hours: Option<u32>,
    pub(super) context: Vec<(String, String)>,
    pub(super) external_identity: Option<String>,
}

/// An approver's answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) request: Uuid,
    pub(super) answer: Answer,
    pub(super) comment: Option<String>,
    /// What else the approver's tool told with it; goes on record only.
    pub(super) context: Vec<(String, String)>,
}

/// The longest duration that can be asked for, in hours: 180 days (exchange-rest section 8).
pub(super) const MOST_HOURS: u32 = 4_320;

/// How often a change is decided anew because somebody else was faster.
const TRIES: u32 = 16;

/// Files a request; the equal one that is pending already, if there is one.
pub(super) async fn file(desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Case, OwnCmdletError> {
    let who = &caller.principal;
    for _ in 0..TRIES {
        let now = desk.now();
        let at = Circumstances {
            caller: Some(caller),
            now,
        };
        let snapshot = desk.state.snapshot();
        let policies = &snapshot.policies;
        let (policy, task) = scope(&ask.scope, policies)?;
        let duration = duration(ask.hours, policy)?;
        let quorum = Quorum::of(policy, policies);
        let folded = &policy.scope.folded;
        let task_text = task.as_ref().map(Task::folded);
        let known = desk
            .store
            .pending_request(&who.key, folded, task_text.as_deref())
            .await
            .map_err(not_reached)?;
        let mut change = Change::default();
        let mut case = match known {
            Some(known) if known.expires <= now => {
                lapse(desk, known.id, at).await?;
                continue;
            }
            Some(known) => desk.case(known.id).await.map_err(not_reached)?,
            None => {
                let request = Request {
                    id: Uuid::now_v7(),
                    principal_key: who.key.clone(),
                    principal_name: who.name.clone(),
                    policy: folded.clone(),
                    task,
                    reason: ask.reason.clone(),
                    context: ask.context.clone(),
                    external_identity: ask.external_identity.clone(),
                    duration,
                    state: RequestState::Pending,
                    created: now,
                    expires: now + PENDING_FOR,
                    decided: None,
                    decided_by: None,
                    comment: None,
                    version: 0,
                };
                change.file(&request, at).map_err(not_reached)?;
                Some(Case {
                    request,
                    votes: Vec::new(),
                    grant: None,
                })
            }
        }
        .ok_or_else(|| not_reached(StoreError::Changed))?;
        if policy.approval == Approval::Auto && case.request.state == RequestState::Pending {
            let event = Event::Waived {
                terms: terms(policy, &quorum),
            };
            let (next, effects) = apply(&case, event, now).map_err(|why| refused(&why))?;
            // Nobody approved it: the record names the policy, not the requester.
            let at = Circumstances { caller: None, now };
            change
                .add(&next.request, effects, &[], at)
                .map_err(not_reached)?;
            case = next;
        }
        if change.writes.is_empty() {
            return Ok(case);
        }
        let (kind, by) = match case.request.state {
            RequestState::Pending => (NoticeKind::RequestFiled, Some(who.name.as_str())),
            // The policy did, at once: one message says both.
            RequestState::Approved | RequestState::Denied | RequestState::Expired => {
                (NoticeKind::RequestApproved, None)
            }
        };
        let deed = Deed {
            by,
            comment: None,
            at: now,
        };
        change
            .tell(&notice(kind, &case, policies, deed), &desk.channels)
            .map_err(not_reached)?;
        match desk.make(change).await {
            Ok(done) => return finished(done, &case.request, "filed").map(|()| case),
            Err(StoreError::Changed) => {}
            Err(error) => return Err(not_reached(error)),
        }
    }
    Err(too_busy())
}

/// Approves or denies a request.
pub(super) async fn reply(
    desk: &Desk,
    caller: &Caller,
    reply: &Reply,
) -> Result<Case, OwnCmdletError> {
    let who = &caller.principal;
    for _ in 0..TRIES {
        let now = desk.now();
        let snapshot = desk.state.snapshot();
        let policies = &snapshot.policies;
        let case = desk.case(reply.request).await.map_err(not_reached)?;
        let case = case
            .filter(|it| {
                let request = &it.request;
                reading::may_know(who, &request.principal_key, &request.policy, policies)
            })
            .ok_or_else(|| reading::no_request(reply.request))?;
        let policy = policy_of_now(&case.request, policies)?;
        if reply.answer == Answer::Approve && policy.approval == Approval::Never {
            return Err(never(policy));
        }
        let quorum = Quorum::of(policy, policies);
        let event = Event::Voted {
            by: who,
            answer: reply.answer,
            comment: reply.comment.clone(),
            terms: terms(policy, &quorum),
        };
        let (case, effects) = apply(&case, event, now).map_err(|why| refused(&why))?;
        let mut change = Change::default();
        let at = Circumstances {
            caller: Some(caller),
            now,
        };
        change
            .add(&case.request, effects, &reply.context, at)
            .map_err(not_reached)?;
        let kind = match case.request.state {
            RequestState::Approved => NoticeKind::RequestApproved,
            RequestState::Denied => NoticeKind::RequestDenied,
            RequestState::Expired | RequestState::Pending => NoticeKind::RequestVoted,
        };
        let deed = Deed {
            by: Some(&who.name),
            comment: reply.comment.as_deref(),
            at: now,
        };
        change
            .tell(&notice(kind, &case, policies, deed), &desk.channels)
            .map_err(not_reached)?;
        match desk.make(change).await {
            Ok(done) => {
                let what = match case.request.state {
                    RequestState::Approved => "approved",
                    RequestState::Denied => "denied",
                    RequestState::Expired | RequestState::Pending => "answered",
                };
                return finished(done, &case.request, what).map(|()| case);
            }
            Err(StoreError::Changed) => {}
            Err(error) => return Err(not_reached(error)),
        }
    }
    Err(too_busy())
}

/// Revokes a grant, named by its own id or by its request's.
pub(super) async fn revoke(
    desk: &Desk,
    caller: &Caller,
    id: Uuid,
    comment: Option<&str>,
) -> Result<Grant, OwnCmdletError> {
    let who = &caller.principal;
    for _ in 0..TRIES {
        let now = desk.now();
        let snapshot = desk.state.snapshot();
        let policies = &snapshot.policies;
        let request = match desk.store.grant(id).await.map_err(not_reached)? {
            Some(grant) => grant.request,
            None => id,
        };
        let case = desk.case(request).await.map_err(not_reached)?;
        let case = case
            .filter(|it| {
                let request = &it.request;
                reading::may_know(who, &request.principal_key, &request.policy, policies)
            })
            .ok_or_else(|| reading::no_grant(id))?;
        let policy = policies
            .policy(&case.request.policy)
            .ok_or_else(|| gone(&case.request))?;
        let quorum = Quorum::of(policy, policies);
        let event = Event::Revoked {
            by: who,
            quorum: &quorum,
            comment: comment.map(str::to_owned),
        };
        let (case, effects) = apply(&case, event, now).map_err(|why| refused(&why))?;
        let mut change = Change::default();
        let at = Circumstances {
            caller: Some(caller),
            now,
        };
        change
            .add(&case.request, effects, &[], at)
            .map_err(not_reached)?;
        let deed = Deed {
            by: Some(&who.name),
            comment,
            at: now,
        };
        let revoked = notice(NoticeKind::GrantRevoked, &case, policies, deed);
        change.tell(&revoked, &desk.channels).map_err(not_reached)?;
        match desk.make(change).await {
            Ok(done) => {
                let grant = case.grant.ok_or_else(|| reading::no_grant(id))?;
                return match done {
                    Ok(()) => Ok(grant),
                    Err(error) => {
                        log_unfinished(&error);
                        Err(OwnCmdletError::Unavailable(format!(
                            "the grant {} is revoked and covers nothing any more, but the audit log does not have the record yet ({}); it gets it as soon as it can: do not revoke again",
                            grant.id,
                            chain(&error)
                        )))
                    }
                };
            }
            Err(StoreError::Changed) => {}
            Err(error) => return Err(not_reached(error)),
        }
    }
    Err(too_busy())
}

/// The policy that `text` asks under, and the one task asked for.
fn scope<'a>(
    text: &str,
    policies: &'a PolicySet,
) -> Result<(&'a Policy, Option<Task>), OwnCmdletError> {
    let found = match text.parse::<Task>() {
        Ok(task) => match policies.governing(&task) {
            Some(policy) => (policy, Some(task)),
            None => {
                return Err(OwnCmdletError::Invalid(format!(
                    "no policy governs `{task}`, so there is nothing to request for it; Get-ElevatedAccessApprovalPolicy lists the policies"
                )));
            }
        },
        Err(_) => match policies.policy(text) {
            Some(policy) => (policy, None),
            None => {
                return Err(OwnCmdletError::Invalid(format!(
                    r"`{}` is neither a task, such as `Exchange\New-MoveRequest`, nor the scope of a policy; Get-ElevatedAccessApprovalPolicy lists the policies",
                    text.escape_debug()
                )));
            }
        },
    };
    if found.0.approval == Approval::Never {
        return Err(never(found.0));
    }
    Ok(found)
}

fn duration(hours: Option<u32>, policy: &Policy) -> Result<TimeDelta, OwnCmdletError> {
    let longest = policy.max_duration.map(bounded);
    let asked = if let Some(hours) = hours {
        TimeDelta::hours(i64::from(hours))
    } else {
        let default = bounded(policy.default_duration);
        longest.map_or(default, |longest| default.min(longest))
    };
    match longest {
        Some(longest) if asked > longest => Err(OwnCmdletError::Invalid(format!(
            "the policy `{}` allows at most {} hours: ask for less with -DurationHours",
            policy.scope.text,
            hours_text(longest),
        ))),
        _ => Ok(asked),
    }
}

/// A policy's duration, up to what a request may ask for.
fn bounded(duration: Duration) -> TimeDelta {
    let most = TimeDelta::hours(i64::from(MOST_HOURS));
    TimeDelta::from_std(duration).map_or(most, |it| it.clamp(TimeDelta::milliseconds(1), most))
}

fn terms<'a>(policy: &Policy, quorum: &'a Quorum<'a>) -> Terms<'a> {
    Terms {
        quorum,
        longest: policy.max_duration.map(bounded),
        grant: Uuid::now_v7(),
    }
}

/// The policy that a pending request is decided under: the one that it was filed for, as it is now, if it still governs.
fn policy_of_now<'a>(
    request: &Request,
    policies: &'a PolicySet,
) -> Result<&'a Policy, OwnCmdletError> {
    let policy = policies
        .policy(&request.policy)
        .ok_or_else(|| gone(request))?;
    let governing = request
        .task
        .as_ref()
        .map_or(Some(policy), |task| policies.governing(task));
    match governing {
        Some(governing) if governing.scope.folded == policy.scope.folded => Ok(policy),
        governing => Err(OwnCmdletError::Forbidden(format!(
            "what the request asks for is now governed by {}, so a grant under `{}` would cover nothing: it has to be filed again",
            governing.map_or("no policy".to_owned(), |it| format!("`{}`", it.scope.text)),
            policy.scope.text,
        ))),
    }
}

/// Marks a request as expired that a new one takes the place of.
async fn lapse(desk: &Desk, request: Uuid, at: Circumstances<'_>) -> Result<(), OwnCmdletError> {
    let Some(case) = desk.case(request).await.map_err(not_reached)? else {
        return Ok(());
    };
    // An error means that somebody was faster, and so does a changed row: the caller looks again.
    let Ok((case, effects)) = apply(&case, Event::Lapsed, at.now) else {
        return Ok(());
    };
    let mut change = Change::default();
    let at = Circumstances { caller: None, ..at };
    change
        .add(&case.request, effects, &[], at)
        .map_err(not_reached)?;
    let snapshot = desk.state.snapshot();
    let expired = by_time(
        NoticeKind::RequestExpired,
        &case,
        &snapshot.policies,
        at.now,
    );
    change.tell(&expired, &desk.channels).map_err(not_reached)?;
    match desk.make(change).await {
        Ok(_) | Err(StoreError::Changed) => Ok(()),
        Err(error) => Err(not_reached(error)),
    }
}

/// `4`, or `0.5` where a policy counts in less.
pub(super) fn hours_text(duration: TimeDelta) -> String {
    format!("{}", duration.as_seconds_f64() / 3600.0)
}
