//! What a blocked caller is told: what is missing, and the exact next command to type (DESIGN 5.6).
//!
//! The caller gets a policy's scope; where it is written is the operators' to know. Names of tasks and parameters are of a
//! closed alphabet, so nothing that a caller sends can break out of the quotes here.

use chrono::{DateTime, Utc};

use crate::model::Task;

use super::decide::SpreadLimit;
use super::parameters::Breach;
use super::{Approval, OnBlock, Policy};

pub(super) fn needs_approval(task: &Task, policy: &Policy) -> String {
    let at_once = match policy.approval {
        Approval::Auto => ", which is given at once",
        Approval::Manual | Approval::Never => "",
    };
    let cmdlet = &task.cmdlet;
    match policy.on_block {
        OnBlock::Block => format!(
            "{cmdlet} needs approval{at_once}. Request it with: {}",
            request_command(task, policy)
        ),
        // Whoever files the request appends what came of it.
        OnBlock::Request => format!("{cmdlet} needs approval{at_once}"),
    }
}

/// The command that requests a grant for the task.
fn request_command(task: &Task, policy: &Policy) -> String {
    let reason = if policy.reason.required {
        " -Reason '…'"
    } else {
        ""
    };
    let hours = match hours(policy) {
        Some(hours) => format!(" -DurationHours {hours}"),
        None => String::new(),
    };
    format!("New-ElevatedAccessRequest -Task '{task}'{reason}{hours}")
}

/// The default duration in whole hours, rounded up; `None` if that would be longer than the policy allows, since a request
/// that does not say gets the default.
fn hours(policy: &Policy) -> Option<u64> {
    const HOUR: u64 = 3600;
    let hours = policy.default_duration.as_secs().div_ceil(HOUR);
    policy
        .max_duration
        .is_none_or(|max| hours * HOUR <= max.as_secs())
        .then_some(hours)
}

pub(super) fn never(task: &Task, policy: &Policy) -> String {
    let (cmdlet, scope) = (&task.cmdlet, &policy.scope.text);
    format!(
        "{cmdlet} is blocked for everyone by policy '{scope}', and no request can change that. \
         If it has to run, ask those who keep the gateway's policies"
    )
}

pub(super) fn parameter_rule(task: &Task, policy: &Policy, breach: &Breach<'_>) -> String {
    let (cmdlet, scope) = (&task.cmdlet, &policy.scope.text);
    format!(
        "{cmdlet} is blocked by a parameter rule of policy '{scope}': {breach}. \
         Change the parameters and run it again"
    )
}

pub(super) fn ungoverned(task: &Task) -> String {
    format!(
        "{} is blocked: no policy governs '{task}', and only governed tasks pass here. \
         If it has to run, ask those who keep the gateway's policies to add one",
        task.cmdlet
    )
}

pub(super) fn outside_window(task: &Task, policy: &Policy, now: DateTime<Utc>) -> String {
    let (cmdlet, scope) = (&task.cmdlet, &policy.scope.text);
    let opens = match policy.windows.next_opening_text(now) {
        Some(opens) => format!("the next begin on {opens}. Run it again then"),
        None => "and none begins in the next two weeks".to_owned(),
    };
    format!(
        "{cmdlet} is blocked outside the hours of policy '{scope}'; {opens}; \
         a request can be filed now: {}",
        request_command(task, policy)
    )
}

pub(super) fn pinned(task: &Task, policy: &Policy, breach: &str) -> String {
    format!(
        "{} is blocked: your grant is for other parameters: {breach}. \
         Change the parameters and run it again, or request another grant with: {}",
        task.cmdlet,
        request_command(task, policy)
    )
}

pub(super) fn used_up(task: &Task, policy: Option<&Policy>) -> String {
    let again = match policy {
        Some(policy) => format!(". Request another with: {}", request_command(task, policy)),
        None => String::new(),
    };
    format!(
        "{} is blocked: your grant has no uses left{again}",
        task.cmdlet
    )
}

/// `what` is counted: `calls` or `different identities`.
pub(super) fn spread(
    task: &Task,
    policy: Option<&Policy>,
    limit: SpreadLimit,
    what: &str,
) -> String {
    let scope = policy.map_or(String::new(), |it| {
        format!(" of policy '{}'", it.scope.text)
    });
    match limit {
        SpreadLimit::PerMinute(count) => format!(
            "{} is blocked by a limit{scope}: {count} {what} in a minute. Run it again in a minute",
            task.cmdlet
        ),
        SpreadLimit::PerGrant(count) => {
            let again = policy.map_or(String::new(), |policy| {
                format!(
                    ". Request another grant with: {}",
                    request_command(task, policy)
                )
            });
            format!(
                "{} is blocked by a limit{scope}: {count} {what} under one grant{again}",
                task.cmdlet
            )
        }
    }
}
