//! Filing a request: under which policy, whether this person may, and for how much; then, where the policy asks nobody or the
//! requester breaks the glass, its approval in the same transaction.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::{
    Command, Grant, GrantState, MOST_PINS, Notice, NoticeKind, Pins, Request, RequestState, Task,
    is_sensitive,
};
use crate::policy::{Approval, Group, ParameterRules, Policy, PolicySet, ScopeKind};
use crate::store::StoreError;

use super::Caller;
use super::acting::TRIES;
use super::desk::Desk;
use super::lifecycle::{Case, Event, PENDING_FOR, Quorum, Rules, apply};
use super::notices::{Deed, by_time, notice};
use super::reading;
use super::record::{Change, Circumstances};
use super::refusals::{WorkflowError, finished, gone, never, not_reached, too_busy};

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

/// The longest duration that can be asked for, in hours: 180 days (exchange-rest section 8).
pub(super) const MOST_HOURS: u32 = 4_320;

/// How far ahead a grant may start.
const MOST_AHEAD: TimeDelta = TimeDelta::days(180);

/// Files a request; the equal one that is pending already, if there is one.
pub(super) async fn file(desk: &Desk, caller: &Caller, ask: &Ask) -> Result<Filed, WorkflowError> {
    let who = &caller.principal;
    for _ in 0..TRIES {
        let now = desk.now();
        let at = Circumstances {
            caller: Some(caller),
            now,
        };
        let snapshot = desk.state.snapshot();
        let policies = &snapshot.policies;
        let target = target(desk, caller, &ask.scope, policies).await?;
        let policy = target.policy;
        let request = request(caller, ask, &target, policies, now)?;
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
                    Some((apply(&case, event, now)?, at))
                }
                // Nobody approved it: the record names the policy, not the requester.
                Manner::Ordinary if policy.approval == Approval::Auto => {
                    let at = Circumstances { caller: None, now };
                    Some((apply(&case, Event::Waived { rules }, now)?, at))
                }
                Manner::Ordinary => None,
            };
            if let Some(((next, effects), at)) = approved {
                change.add(effects, &[], at).map_err(not_reached)?;
                case = next;
            }
        }
        if change.writes.is_empty() {
            return Ok(Filed { case, novelty });
        }
        let filed = filed(&case, ask, caller, policies, now);
        change.tell(&filed, &desk.channels).map_err(not_reached)?;
        match desk.make(change).await {
            Ok(done) => {
                finished(done, &case.request, "filed")?;
                return Ok(Filed { case, novelty });
            }
            Err(StoreError::Changed) => {}
            Err(error) => return Err(not_reached(error)),
        }
    }
    Err(too_busy())
}

/// What a blocked call asks for by itself: its one task, as long as the policy has it by default.
pub(super) fn for_blocked(command: &Command, policy: &str) -> Ask {
    Ask {
        scope: Asked::Policy {
            scope: policy.to_owned(),
            task: Some(command.task.clone()),
        },
        reason: format!("blocked call of {}", command.task.cmdlet),
        duration: None,
        starts: None,
        uses: None,
        pins: Pins::default(),
        manner: Manner::Ordinary,
        context: Vec::new(),
        external_identity: None,
    }
}

/// How long a block goes by what an equal one filed before it, whatever became of that: a script that tries again and again
/// does not bother approvers again and again.
const BLOCKS_AS_ONE: TimeDelta = TimeDelta::minutes(5);

/// How many blocks are remembered.
const MOST_BLOCKS: usize = 10_000;

/// Requests that blocked calls filed lately, by person, policy and task.
#[derive(Debug, Default)]
pub(super) struct Blocks(Mutex<HashMap<BlockKey, (Uuid, DateTime<Utc>)>>);

type BlockKey = (String, String, Option<Task>);

/// Files the request of a blocked call, unless an equal one did so lately; its id, and where it stands.
pub(super) async fn file_for_blocked(
    desk: &Desk,
    caller: &Caller,
    ask: &Ask,
) -> Result<(Uuid, RequestState), WorkflowError> {
    let Asked::Policy { scope, task } = &ask.scope else {
        return Err(no_policy(""));
    };
    let key = (caller.principal.key.clone(), scope.clone(), task.clone());
    let now = desk.now();
    if let Some(id) = desk.blocks.lately(&key, now)
        && let Some(known) = desk.store.request(id).await.map_err(not_reached)?
    {
        return Ok((id, known.state));
    }
    let request = file(desk, caller, ask).await?.case.request;
    desk.blocks.remember(key, request.id, now);
    Ok((request.id, request.state))
}

impl Blocks {
    fn lately(&self, key: &BlockKey, now: DateTime<Utc>) -> Option<Uuid> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, at) = known.get(key)?;
        (now - *at < BLOCKS_AS_ONE).then_some(*id)
    }

    fn remember(&self, key: BlockKey, id: Uuid, now: DateTime<Utc>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_BLOCKS {
            known.retain(|_, (_, at)| now - *at < BLOCKS_AS_ONE);
        }
        if known.len() < MOST_BLOCKS {
            known.insert(key, (id, now));
        }
    }
}

/// What there is to tell of a request that was filed, and perhaps approved at once: one message says both.
fn filed(
    case: &Case,
    ask: &Ask,
    caller: &Caller,
    policies: &PolicySet,
    now: DateTime<Utc>,
) -> Notice {
    let by = Some(caller.principal.name.as_str());
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
        at: now,
    };
    notice(kind, case, policies, deed)
}

/// Whether a grant under `policy` covers `task`, as far as can be told without a command's parameters.
pub(super) fn may_govern(policies: &PolicySet, policy: &Policy, task: &Task) -> bool {
    let governs = |it: &Policy| it.scope.folded == policy.scope.folded;
    policies.governing(task).is_some_and(governs) || policy.scope.kind == ScopeKind::Effect
}

/// Under which policy something is asked for.
struct Target<'a> {
    policy: &'a Policy,
    task: Option<Task>,
    extended: Option<Grant>,
}

async fn target<'a>(
    desk: &Desk,
    caller: &Caller,
    asked: &Asked,
    policies: &'a PolicySet,
) -> Result<Target<'a>, WorkflowError> {
    let target = match asked {
        Asked::Extension(id) => extension(desk, caller, *id, policies).await?,
        Asked::Policy { scope, task } => {
            let policy = policies.policy(scope).ok_or_else(|| no_policy(scope))?;
            if let Some(task) = task
                && !may_govern(policies, policy, task)
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
            Ok(task) => match policies.governing(&task) {
                Some(policy) => Target {
                    policy,
                    task: Some(task),
                    extended: None,
                },
                None => {
                    return Err(WorkflowError::Invalid(format!(
                        "no policy governs `{task}`, so there is nothing to request for it; Get-ElevatedAccessApprovalPolicy lists the policies"
                    )));
                }
            },
            Err(_) => Target {
                policy: policies.policy(text).ok_or_else(|| no_policy(text))?,
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
    let case = reading::case_of_grant(desk, &caller.principal, id).await?;
    let grant = case.grant.ok_or_else(|| reading::no_grant(id))?;
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
        .ok_or_else(|| gone(&case.request))?;
    Ok(Target {
        policy,
        task: grant.task.clone(),
        extended: Some(grant),
    })
}

fn no_policy(text: &str) -> WorkflowError {
    WorkflowError::Invalid(format!(
        r"`{}` is neither a task, such as `Exchange\New-MoveRequest`, nor the scope of a policy; Get-ElevatedAccessApprovalPolicy lists the policies",
        text.escape_debug()
    ))
}

/// The request that `ask` means, if this person may file it.
fn request(
    caller: &Caller,
    ask: &Ask,
    target: &Target<'_>,
    policies: &PolicySet,
    now: DateTime<Utc>,
) -> Result<Request, WorkflowError> {
    let (who, policy) = (&caller.principal, target.policy);
    let is_extension = target.extended.is_some();
    match ask.manner {
        Manner::BreakGlass => check_break_glass(ask, target, caller, policies)?,
        Manner::Ordinary if !policy.may_request(who, policies) => {
            return Err(WorkflowError::Forbidden(format!(
                "the policy `{}` takes requests only from members of {}",
                policy.scope.text,
                named(&policy.requesters)
            )));
        }
        Manner::Ordinary => {}
    }
    if let Err(problem) = policy.reason.check(&ask.reason) {
        return Err(WorkflowError::Invalid(format!(
            "the policy `{}`: {problem} (-Reason)",
            policy.scope.text
        )));
    }
    if is_extension && (ask.starts.is_some() || ask.uses.is_some() || !ask.pins.is_empty()) {
        return Err(WorkflowError::Invalid(
            "an extension moves a grant's end and nothing else: leave out the start, the uses and the parameters"
                .to_owned(),
        ));
    }
    compiled(&ask.pins)?;
    Ok(Request {
        id: Uuid::now_v7(),
        principal_key: who.key.clone(),
        principal_name: who.name.clone(),
        policy: policy.scope.folded.clone(),
        task: target.task.clone(),
        pins: ask.pins.clone(),
        reason: ask.reason.trim().to_owned(),
        context: ask.context.clone(),
        external_identity: ask.external_identity.clone(),
        duration: duration(ask.duration, policy)?,
        starts: start(ask.starts, now)?,
        uses: if is_extension {
            None
        } else {
            uses(ask.uses, policy)?
        },
        extends: target.extended.as_ref().map(|it| it.id),
        break_glass: false,
        state: RequestState::Pending,
        created: now,
        expires: now + PENDING_FOR,
        decided: None,
        decided_by: None,
        comment: None,
        version: 0,
    })
}

fn check_break_glass(
    ask: &Ask,
    target: &Target<'_>,
    caller: &Caller,
    policies: &PolicySet,
) -> Result<(), WorkflowError> {
    let policy = target.policy;
    if target.extended.is_some() {
        return Err(WorkflowError::Invalid(
            "nothing is extended by break-glass: take a new grant, or ask for the extension"
                .to_owned(),
        ));
    }
    if !policy.may_break_glass(&caller.principal, policies) {
        let who = if policy.break_glass.is_empty() {
            "nobody: it names no `break_glass` groups".to_owned()
        } else {
            format!("only members of {}", named(&policy.break_glass))
        };
        return Err(WorkflowError::Forbidden(format!(
            "break-glass under the policy `{}` is for {who}; file the request without -BreakGlass",
            policy.scope.text
        )));
    }
    if ask.reason.trim().is_empty() {
        return Err(WorkflowError::Invalid(
            "break-glass needs a reason, whatever the policy says: give it with -Reason".to_owned(),
        ));
    }
    Ok(())
}

fn break_glass_groups<'a>(policy: &Policy, policies: &'a PolicySet) -> Vec<&'a Group> {
    let names = policy.break_glass.iter();
    names.filter_map(|name| policies.group(name)).collect()
}

fn named(groups: &[String]) -> String {
    let names: Vec<String> = groups.iter().map(|it| format!("`{it}`")).collect();
    names.join(" or ")
}

/// The rules that pins come to; in the words of who gave them, what is wrong with them.
pub(super) fn compiled(pins: &Pins) -> Result<ParameterRules, WorkflowError> {
    let invalid = |text: String| Err(WorkflowError::Invalid(text));
    if pins.0.len() > MOST_PINS {
        return invalid(format!("more than {MOST_PINS} parameters are pinned"));
    }
    if let Some(pin) = pins.0.iter().find(|it| is_sensitive(it.name.as_str())) {
        return invalid(format!(
            "`{}` holds a secret, which would be shown to approvers: it cannot be pinned",
            pin.name
        ));
    }
    ParameterRules::of_pins(pins).map_err(|error| WorkflowError::Invalid(error.to_string()))
}

fn duration(asked: Option<TimeDelta>, policy: &Policy) -> Result<TimeDelta, WorkflowError> {
    let longest = policy.max_duration.map(bounded);
    let asked = if let Some(asked) = asked {
        asked
    } else {
        let default = bounded(policy.default_duration);
        longest.map_or(default, |longest| default.min(longest))
    };
    let most = TimeDelta::hours(i64::from(MOST_HOURS));
    match longest {
        _ if asked < TimeDelta::milliseconds(1) || asked > most => Err(WorkflowError::Invalid(
            format!("a grant lasts up to {MOST_HOURS} hours"),
        )),
        Some(longest) if asked > longest => Err(WorkflowError::Invalid(format!(
            "the policy `{}` allows at most {} hours: ask for less with -DurationHours",
            policy.scope.text,
            hours_text(longest),
        ))),
        _ => Ok(asked),
    }
}

/// A start that has passed already would only hide when the grant really began.
fn start(
    asked: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, WorkflowError> {
    match asked {
        Some(asked) if asked <= now => Err(WorkflowError::Invalid(format!(
            "the start {} has passed: leave it out to start at the approval",
            asked.format("%Y-%m-%d %H:%M:%S UTC")
        ))),
        Some(asked) if asked - now > MOST_AHEAD => Err(WorkflowError::Invalid(format!(
            "a grant starts at most {} days ahead",
            MOST_AHEAD.num_days()
        ))),
        asked => Ok(asked),
    }
}

fn uses(asked: Option<u32>, policy: &Policy) -> Result<Option<u32>, WorkflowError> {
    match (asked, policy.max_uses) {
        (Some(0), _) => Err(WorkflowError::Invalid(
            "a grant has at least one use".to_owned(),
        )),
        (Some(asked), Some(most)) if asked > most => Err(WorkflowError::Invalid(format!(
            "the policy `{}` allows at most {most} uses of a grant",
            policy.scope.text
        ))),
        (asked, most) => Ok(asked.or(most)),
    }
}

/// A policy's duration, up to what a request may ask for.
fn bounded(duration: Duration) -> TimeDelta {
    let most = TimeDelta::hours(i64::from(MOST_HOURS));
    TimeDelta::from_std(duration).map_or(most, |it| it.clamp(TimeDelta::milliseconds(1), most))
}

/// What `policy` says about deciding a request now.
pub(super) fn rules<'a>(policy: &Policy, quorum: &'a Quorum<'a>) -> Rules<'a> {
    Rules {
        quorum,
        longest: policy.max_duration.map(bounded),
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
