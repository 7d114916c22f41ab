//! What a blocked caller is told: what is missing, and the exact next command to type (DESIGN 5.6).
//!
//! The caller gets a policy's scope; where it is written is the operators' to know. Names of tasks and parameters are of a
//! closed alphabet, so nothing that a caller sends can break out of the quotes here.

use crate::model::Task;

use super::parameters::Breach;
use super::{Approval, Policy};

pub(super) fn needs_approval(task: &Task, policy: &Policy) -> String {
    let cmdlet = &task.cmdlet;
    let at_once = match policy.approval {
        Approval::Auto => ", which is given at once",
        Approval::Manual | Approval::Never => "",
    };
    let hours = match hours(policy) {
        Some(hours) => format!(" -DurationHours {hours}"),
        None => String::new(),
    };
    format!(
        "{cmdlet} needs approval{at_once}. Request it with: \
         New-ElevatedAccessRequest -Task '{task}' -Reason '…'{hours}"
    )
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
