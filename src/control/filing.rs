//! Filing a request: under which policy, whether this person may, and for how much; then, where the policy asks nobody or the
//! requester breaks the glass, its approval in the same transaction.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::{GrantState, Notice, NoticeKind, Pins, RequestState, Task};
use crate::policy::{Approval, Policy, PolicySet, ScopeKind};
use crate::store::StoreError;

use super::Caller;
use super::acting::TRIES;
use super::asking::{Target, break_glass_groups, longest, request};
use super::desk::Desk;
use super::lifecycle::{Case, Event, Quorum, Rules, apply};
use super::notices::{Deed, by_time, notice};
use super::reading;
use super::record::{Change, Circumstances};
use super::refusals::{WorkflowError, finished, gone, never, not_reached, refused, too_busy};
use super::words::Words;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What a grant shall cover.
    pub scope: Asked,
    /// Why.
    pub reason: String,
    /// For how long; the policy's default if it is not said. For an extension, how much longer.
    pub duration: Option<TimeDelta>,
    /// From when; at once if it is not said.
    pub starts: Option<DateTime<Utc>>,
    /// For how many commands; any number if neither this nor the policy says.
    pub uses: Option<u32>,
    /// What the commands' parameters must be.
    pub pins: Pins,
    /// Whether somebody is to approve.
    pub manner: Manner,
    /// What else the requester's tool tells with it.
    pub context: Vec<(String, String)>,
    /// The requester's own reference, such as a ticket's number.
    pub external_identity: Option<String>,
}

/// What a grant shall cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// What the grant of this id covers, for longer.
    Extension(Uuid),
    /// All that the policy of this scope governs, or one task of it.
    Policy {
        /// In any case, such as `role:Exchange\Mail Recipients`.
        scope: String,
        /// The one task.
        task: Option<Task>,
    },
    /// A task, under the policy that governs it; or all that the policy with this scope governs.
    Scope(String),
}

/// Whether somebody is to approve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nobody before; an approver afterwards. Only for the policy's break-glass groups.
    BreakGlass,
    /// As the policy says.
    Ordinary,
}

/// A request that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// It, and what came of it at once.
    pub case: Case,
    /// Whether it is new.
    pub novelty: Novelty,
}

/// Whether a request was filed just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// The same person's equal request was pending already.
    Known,
    /// It was filed just now.
    New,
}

/// Files a request; the equal one that is pending already, if there is one.
pub(super) async fn file(desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Filed, WorkflowError> {
    let who = &caller.principal;
    for _ in 0..TRIES {
        let now = desk.now();
        let at = desk.at(Some(caller), now);
        let snapshot = desk.state.snapshot();
        let policies = &snapshot.policies;
        let target = target(desk, caller, ask, policies).await?;
        let policy = target.policy;
        let request = request(caller, ask, &target, policies, desk.redaction(), now)?;
        let known = desk
            .store
            .pending_like(&request)
            .await
            .map_err(not_reached)?;
        let mut change = Change::default();
        let (mut case, novelty) = match known {
            Some(known) if known.expires <= now => {
                lapse(desk, known.id, at).await?;
                continue;
            }
            Some(known) => {
                let case = desk.case(known.id).await.map_err(not_reached)?;
                let Some(case) = case else { continue };
                (case, Novelty::Known)
            }
            None => {
                change.file(&request, at).map_err(not_reached)?;
                let case = Case {
                    request,
                    votes: Vec::new(),
                    grant: None,
                    extended: target.extended,
                };
                (case, Novelty::New)
            }
        };
        if case.request.state == RequestState::Pending {
            let quorum = Quorum::of(policy, policies);
            let rules = rules(policy, &quorum);
            let approved = match ask.manner {
                Manner::BreakGlass => {
                    // The reason of this moment is what counts, also where a request was pending.
                    case.request.comment = Some(ask.reason.clone());
                    let groups = break_glass_groups(policy, policies);
                    let event = Event::BrokenGlass {
                        by: who,
                        groups: &groups,
                        rules,
                    };
                    Some((apply(&case, event, now), at))
                }
                // Nobody approved it: the record names the policy, not the requester.
                Manner::Ordinary if policy.approval == Approval::Auto => {
                    let at = desk.at(None, now);
                    Some((apply(&case, Event::Waived { rules }, now), at))
                }
                Manner::Ordinary => None,
            };
            if let Some((approved, at)) = approved {
                let (next, effects) = approved.map_err(|it| refused(&it, caller.words()))?;
                change.add(effects, &[], at).map_err(not_reached)?;
                case = next;
            }
        }
        if change.writes.is_empty() {
            let case = case.without(desk.redaction());
            return Ok(Filed { case, novelty });
        }
        let filed = filed(desk, &case, ask, policies, at);
        change.tell(&filed, &desk.channels).map_err(not_reached)?;
        match desk.make(change).await {
            Ok(done) => {
                finished(done, &case.request, "filed")?;
                let case = case.without(desk.redaction());
                return Ok(Filed { case, novelty });
            }
            Err(StoreError::Changed) => {}
            Err(error) => return Err(not_reached(error)),
        }
    }
    Err(too_busy())
}

/// What there is to tell of a request that was filed, and perhaps approved at once: one message says both.
fn filed(
    desk: &Desk,
    case: &Case,
    ask: &Ask,
    policies: &PolicySet,
    at: Circumstances<'_>,
) -> Notice {
    let by = at.caller.map(|it| it.principal.name.as_str());
    let (kind, by) = match (case.request.state, ask.manner) {
        (RequestState::Approved, Manner::BreakGlass) => (NoticeKind::BreakGlassTaken, by),
        (RequestState::Pending, _) => (NoticeKind::RequestFiled, by),
        // The policy did.
        (
            RequestState::Approved
            | RequestState::Denied
            | RequestState::Expired
            | RequestState::Withdrawn,
            _,
        ) => (NoticeKind::RequestApproved, None),
    };
    let deed = Deed {
        by,
        comment: case.request.comment.as_deref(),
        at: at.now,
    };
    notice(kind, case, policies, desk.redaction(), deed)
}

/// Whether a grant under `policy` covers `task`, as far as can be told from what is pinned: a parameter can have a command
/// governed by its effect.
pub(super) fn may_govern(policies: &PolicySet, policy: &Policy, task: &Task, pins: &Pins) -> bool {
    let governs = |it: &Policy| it.scope.folded == policy.scope.folded;
    policies
        .governing_with(task, names(pins))
        .is_some_and(governs)
        || policy.scope.kind == ScopeKind::Effect
}

fn names(pins: &Pins) -> impl Iterator<Item = &str> + Clone {
    pins.0.iter().map(|it| it.name.as_str())
}

async fn target<'a>(
    desk: &Desk,
    caller: &Caller,
    ask: &Ask,
    policies: &'a PolicySet,
) -> Result<Target<'a>, WorkflowError> {
    let words = caller.words();
    let target = match &ask.scope {
        Asked::Extension(id) => extension(desk, caller, *id, policies).await?,
        Asked::Policy { scope, task } => {
            let policy = policies
                .policy(scope)
                .ok_or_else(|| no_policy(scope, words))?;
            if let Some(task) = task
                && !may_govern(policies, policy, task, &ask.pins)
            {
                return Err(WorkflowError::Invalid(format!(
                    "the policy `{}` does not govern `{task}`; ask for the task alone, and the policy that governs it is found",
                    policy.scope.text
                )));
            }
            Target {
                policy,
                task: task.clone(),
                extended: None,
            }
        }
        Asked::Scope(text) => match text.parse::<Task>() {
            Ok(task) => match policies.governing_with(&task, names(&ask.pins)) {
                Some(policy) => Target {
                    policy,
                    task: Some(task),
                    extended: None,
                },
                None => {
                    return Err(WorkflowError::Invalid(format!(
                        "no policy governs `{task}`, so there is nothing to request for it; {} lists the policies",
                        words.policies
                    )));
                }
            },
            Err(_) => Target {
                policy: policies
                    .policy(text)
                    .ok_or_else(|| no_policy(text, words))?,
                task: None,
                extended: None,
            },
        },
    };
    if target.policy.approval == Approval::Never {
        return Err(never(target.policy));
    }
    Ok(target)
}

async fn extension<'a>(
    desk: &Desk,
    caller: &Caller,
    id: Uuid,
    policies: &'a PolicySet,
) -> Result<Target<'a>, WorkflowError> {
    let case = reading::case_of_grant(desk, caller, id).await?;
    let grant = case
        .grant
        .ok_or_else(|| reading::no_grant(id, caller.words()))?;
    if grant.principal_key != caller.principal.key {
        return Err(WorkflowError::Forbidden(format!(
            "only its holder, {}, can have a grant extended; file a request of your own",
            grant.principal_name
        )));
    }
    let state = grant.state(desk.now());
    match state {
        GrantState::Active | GrantState::Scheduled => {}
        GrantState::Ended | GrantState::Expired | GrantState::Revoked | GrantState::UsedUp => {
            return Err(WorkflowError::Conflict(format!(
                "the grant {id} is over ({}), so there is nothing to extend: file a new request",
                state.as_str()
            )));
        }
    }
    let policy = policies
        .policy(&grant.policy)
        .ok_or_else(|| gone(&case.request, caller.words()))?;
    Ok(Target {
        policy,
        task: grant.task.clone(),
        extended: Some(grant),
    })
}

pub(super) fn no_policy(text: &str, words: &Words) -> WorkflowError {
    WorkflowError::Invalid(format!(
        r"`{}` is neither a task, such as `Exchange\New-MoveRequest`, nor the scope of a policy; {} lists the policies",
        text.escape_debug(),
        words.policies
    ))
}

/// What `policy` says about deciding a request now.
pub(super) fn rules<'a>(policy: &Policy, quorum: &'a Quorum<'a>) -> Rules<'a> {
    Rules {
        quorum,
        longest: longest(policy),
        most_uses: policy.max_uses,
        comment: policy.approver_comment,
        grant: Uuid::now_v7(),
    }
}

/// Marks a request as expired that a new one takes the place of.
async fn lapse(desk: &Desk, request: Uuid, at: Circumstances<'_>) -> Result<(), WorkflowError> {
    let Some(case) = desk.case(request).await.map_err(not_reached)? else {
        return Ok(());
    };
    // An error means that somebody was faster, and so does a changed row: the caller looks again.
    let Ok((case, effects)) = apply(&case, Event::Lapsed, at.now) else {
        return Ok(());
    };
    let mut change = Change::default();
    let at = Circumstances { caller: None, ..at };
    change.add(effects, &[], at).map_err(not_reached)?;
    let snapshot = desk.state.snapshot();
    let expired = by_time(
        NoticeKind::RequestExpired,
        &case,
        &snapshot.policies,
        desk.redaction(),
        at.now,
    );
    change.tell(&expired, &desk.channels).map_err(not_reached)?;
    match desk.make(change).await {
        Ok(_) | Err(StoreError::Changed) => Ok(()),
        Err(error) => Err(not_reached(error)),
    }
}
