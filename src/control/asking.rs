//! Whether a person may ask for what they ask for, and what it comes to: reason, duration, start, uses and pins, within the
//! policy's bounds.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::{
    Grant, MOST_PINNED_PATTERNS, MOST_PINS, MOST_PINS_BYTES, Pins, Redaction, Request,
    RequestState, Task,
};
use crate::policy::{Group, ParameterRules, Policy, PolicySet};

use super::lifecycle::{InvalidTransition, PENDING_FOR};
use super::refusals::{WorkflowError, refused};
use super::words::Words;
use super::{Ask, Caller, Manner};

/// Under which policy something is asked for.
pub(super) struct Target<'a> {
    pub(super) policy: &'a Policy,
    pub(super) task: Option<Task>,
    pub(super) extended: Option<Grant>,
}

/// The longest duration that can be asked for, in hours: 180 days (exchange-rest section 8).
pub(super) const MOST_HOURS: u32 = 4_320;

/// How far ahead a grant may start.
const MOST_AHEAD: TimeDelta = TimeDelta::days(180);

/// The request that `ask` means, if this person may file it.
pub(super) fn request(
    caller: &Caller,
    ask: &Ask,
    target: &Target<'_>,
    policies: &PolicySet,
    redaction: &Redaction,
    now: DateTime<Utc>,
) -> Result<Request, WorkflowError> {
    let (who, policy, words) = (&caller.principal, target.policy, caller.words());
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
            "the policy `{}`: {problem} ({})",
            policy.scope.text, words.reason
        )));
    }
    if is_extension && (ask.starts.is_some() || ask.uses.is_some() || !ask.pins.is_empty()) {
        return Err(WorkflowError::Invalid(
            "an extension moves a grant's end and nothing else: leave out the start, the uses and the parameters"
                .to_owned(),
        ));
    }
    compiled(&ask.pins, redaction)?;
    Ok(Request {
        id: Uuid::now_v7(),
        principal_key: who.key.clone(),
        principal_name: who.name.clone(),
        policy: policy.scope.folded.clone(),
        task: target.task.clone(),
        pins: ask.pins.clone(),
        reason: ask.reason.trim().to_owned(),
        // It is stored, and shown to approvers: of what holds a secret, only that it was there.
        context: redaction.shown_pairs(&ask.context),
        external_identity: ask.external_identity.clone(),
        duration: duration(ask.duration, target, words)?,
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
            "break-glass under the policy `{}` is for {who}; file the request without {}",
            policy.scope.text,
            caller.words().break_glass
        )));
    }
    if ask.reason.trim().is_empty() {
        return Err(WorkflowError::Invalid(format!(
            "break-glass needs a reason, whatever the policy says: give it with {}",
            caller.words().reason
        )));
    }
    Ok(())
}

pub(super) fn break_glass_groups<'a>(policy: &Policy, policies: &'a PolicySet) -> Vec<&'a Group> {
    let names = policy.break_glass.iter();
    names.filter_map(|name| policies.group(name)).collect()
}

fn named(groups: &[String]) -> String {
    let names: Vec<String> = groups.iter().map(|it| format!("`{it}`")).collect();
    names.join(" or ")
}

/// The rules that pins come to; in the words of who gave them, what is wrong with them.
pub(super) fn compiled(
    pins: &Pins,
    redaction: &Redaction,
) -> Result<ParameterRules, WorkflowError> {
    let invalid = |text: String| Err(WorkflowError::Invalid(text));
    if pins.0.len() > MOST_PINS {
        return invalid(format!("more than {MOST_PINS} parameters are pinned"));
    }
    if pins.patterns() > MOST_PINNED_PATTERNS {
        return invalid(format!(
            "more than {MOST_PINNED_PATTERNS} parameters are pinned by a pattern: list values, or pin fewer"
        ));
    }
    if serde_json::to_vec(pins).map_or(true, |it| it.len() > MOST_PINS_BYTES) {
        return invalid(format!(
            "the pinned parameters take more than {} KiB: list fewer values, or file several requests",
            MOST_PINS_BYTES >> 10
        ));
    }
    if let Some(pin) = pins.0.iter().find(|it| redaction.hides(it.name.as_str())) {
        return invalid(format!(
            "`{}` holds a secret, or begins the name of what does, which would be shown to approvers: it cannot be pinned",
            pin.name
        ));
    }
    ParameterRules::of_pins(pins).map_err(|error| WorkflowError::Invalid(error.to_string()))
}

/// For how long, or, for an extension, how much longer: with what the grant lasts already, no longer than the policy allows.
fn duration(
    asked: Option<TimeDelta>,
    target: &Target<'_>,
    words: &Words,
) -> Result<TimeDelta, WorkflowError> {
    let policy = target.policy;
    let longest = longest(policy);
    let left = match &target.extended {
        None => longest,
        Some(grant) => longest - (grant.ends - grant.starts),
    };
    let least = TimeDelta::milliseconds(1);
    if left < least {
        let why = InvalidTransition::AtItsLongest { longest };
        return Err(refused(&why, words));
    }
    let asked = asked.unwrap_or_else(|| bounded(policy.default_duration).min(left));
    let most = TimeDelta::hours(i64::from(MOST_HOURS));
    if asked < least || asked > most {
        return Err(WorkflowError::Invalid(format!(
            "a grant lasts up to {MOST_HOURS} hours"
        )));
    }
    if asked <= left {
        return Ok(asked);
    }
    let allowed = format!(
        "the policy `{}` allows at most {} hours",
        policy.scope.text,
        hours_text(longest)
    );
    Err(WorkflowError::Invalid(match &target.extended {
        None => format!("{allowed}: ask for less with {}", words.duration),
        Some(grant) => format!(
            "{allowed} from a grant's start to its end, extensions included, so this one can last until {}: ask for less with {}",
            (grant.starts + longest).format("%Y-%m-%d %H:%M:%S UTC"),
            words.duration
        ),
    }))
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

/// The longest grant under `policy`.
pub(super) fn longest(policy: &Policy) -> TimeDelta {
    let most = TimeDelta::hours(i64::from(MOST_HOURS));
    policy.max_duration.map_or(most, bounded)
}

/// A policy's duration, up to what a request may ask for.
fn bounded(duration: Duration) -> TimeDelta {
    let most = TimeDelta::hours(i64::from(MOST_HOURS));
    TimeDelta::from_std(duration).map_or(most, |it| it.clamp(TimeDelta::milliseconds(1), most))
}

/// `4`, or `0.5` where a policy counts in less.
pub(super) fn hours_text(duration: TimeDelta) -> String {
    format!("{}", duration.as_seconds_f64() / 3600.0)
}
