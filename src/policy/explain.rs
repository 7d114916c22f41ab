//! What a blocked caller is told: what is missing, and the exact next command to type (DESIGN 5.6).
//!
//! The caller gets a policy's scope; where it is written is the operators' to know. Names of tasks and parameters are of a
//! closed alphabet, so nothing that a caller sends can break out of the quotes here.

use chrono::{DateTime, Utc};

use crate::model::{CmdletName, Command, Task};

use super::decide::SpreadLimit;
use super::parameters::Breach;
use super::{Approval, OnBlock, Policy, PolicySet};

/// A blocked command and the policy that governs it.
#[derive(Clone, Copy)]
pub(super) struct Blocked<'a> {
    pub(super) command: &'a Command,
    pub(super) policy: &'a Policy,
    pub(super) policies: &'a PolicySet,
}

impl Blocked<'_> {
    /// The cmdlet's name and the policy's scope.
    fn names(&self) -> (&CmdletName, &str) {
        (&self.command.task.cmdlet, &self.policy.scope.text)
    }

    /// The command that requests a grant for it. Where a policy governs it for one of its parameters, the request has to name
    /// that one; what holds a secret no request can name, so there it is for all that the policy governs, which the text says.
    fn request(&self) -> String {
        let task = &self.command.task;
        let raising = self.policies.raising_parameter(self.command, self.policy);
        let scope = &self.policy.scope.text;
        let (asked, remark) = match raising {
            Some(name) if self.policies.hides(name) => (
                format!("'{scope}'"),
                format!(
                    " (for all that policy '{scope}' governs, since {name} holds a secret and no request can name it)"
                ),
            ),
            Some(name) => (
                format!("'{task}' -Parameters @{{{name}='…'}}"),
                String::new(),
            ),
            None => (format!("'{task}'"), String::new()),
        };
        let reason = if self.policy.reason.required {
            " -Reason '…'"
        } else {
            ""
        };
        let hours = match hours(self.policy) {
            Some(hours) => format!(" -DurationHours {hours}"),
            None => String::new(),
        };
        format!("New-ElevatedAccessRequest -Task {asked}{reason}{hours}{remark}")
    }
}

pub(super) fn needs_approval(blocked: Blocked<'_>) -> String {
    let at_once = match blocked.policy.approval {
        Approval::Auto => ", which is given at once",
        Approval::Manual | Approval::Never => "",
    };
    let (cmdlet, _) = blocked.names();
    match blocked.policy.on_block {
        OnBlock::Block => format!(
            "{cmdlet} needs approval{at_once}. Request it with: {}",
            blocked.request()
        ),
        // Whoever files the request appends what came of it.
        OnBlock::Hold | OnBlock::Request => format!("{cmdlet} needs approval{at_once}"),
    }
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

pub(super) fn never(blocked: Blocked<'_>) -> String {
    let (cmdlet, scope) = blocked.names();
    format!(
        "{cmdlet} is blocked for everyone by policy '{scope}', and no request can change that. \
         If it has to run, ask those who keep the gateway's policies"
    )
}

pub(super) fn grants_unknown(blocked: Blocked<'_>) -> String {
    let (cmdlet, _) = blocked.names();
    format!(
        "{cmdlet} needs a grant, and the gateway cannot tell now which grants are in force, so none counts; \
         requests cannot be filed either. Try again in a moment"
    )
}

pub(super) fn parameter_rule(blocked: Blocked<'_>, breach: &Breach<'_>) -> String {
    let (cmdlet, scope) = blocked.names();
    format!(
        "{cmdlet} is blocked by a parameter rule of policy '{scope}': {breach}. \
         Change the parameters and run it again"
    )
}

pub(super) fn unnamed(blocked: Blocked<'_>) -> String {
    let (cmdlet, scope) = blocked.names();
    format!(
        "{cmdlet} is blocked by policy '{scope}', which limits how many identities are named: {UNNAMED}. \
         Name what it is about and run it again"
    )
}

/// What is wrong with a command that names nothing, where that is counted.
pub(super) const UNNAMED: &str = "it has neither -Identity nor -Mailbox";

pub(super) fn ungoverned(task: &Task) -> String {
    format!(
        "{} is blocked: no policy governs '{task}', and only governed tasks pass here. \
         If it has to run, ask those who keep the gateway's policies to add one",
        task.cmdlet
    )
}

pub(super) fn perhaps_alias(task: &Task) -> String {
    format!(
        "{} is blocked: no list of the server's commands has this name, so it could be an alias of a cmdlet that is governed. \
         Load the list and run it again (`Import-PSSession`), or send the cmdlet by its own name. If it has to run without, \
         ask those who keep the gateway's policies to name '{task}' in a policy or `[[cmdlet]]`",
        task.cmdlet
    )
}

pub(super) fn outside_window(blocked: Blocked<'_>, now: DateTime<Utc>) -> String {
    let (cmdlet, scope) = blocked.names();
    let opens = match blocked.policy.windows.next_opening_text(now) {
        Some(opens) => format!("They begin again {opens}: run it again then"),
        None => "They do not begin within the next two weeks".to_owned(),
    };
    format!(
        "{cmdlet} is blocked outside the hours of policy '{scope}'. {opens}. \
         A grant can be requested now: {}",
        blocked.request()
    )
}

pub(super) fn pinned(blocked: Blocked<'_>, breach: &str) -> String {
    let (cmdlet, _) = blocked.names();
    format!(
        "{cmdlet} is blocked: your grant is for other parameters: {breach}. \
         Change the parameters and run it again, or request another grant with: {}",
        blocked.request()
    )
}

pub(super) fn used_up(blocked: Blocked<'_>) -> String {
    let (cmdlet, _) = blocked.names();
    format!(
        "{cmdlet} is blocked: your grant has no uses left for it. Request another with: {}",
        blocked.request()
    )
}

/// `what` is counted: `calls` or `different identities`.
pub(super) fn spread(blocked: Blocked<'_>, limit: SpreadLimit, what: &str) -> String {
    let (cmdlet, scope) = blocked.names();
    match limit {
        SpreadLimit::PerMinute(count) => format!(
            "{cmdlet} is blocked by a limit of policy '{scope}': {count} {what} in a minute. \
             Run it again in a minute"
        ),
        SpreadLimit::PerGrant(count) => format!(
            "{cmdlet} is blocked by a limit of policy '{scope}': {count} {what} under one grant. \
             Request another grant with: {}",
            blocked.request()
        ),
    }
}
