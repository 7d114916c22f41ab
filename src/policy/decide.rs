//! The decision: one function, in the order of DESIGN 3.1, each step a few lines. Two steps of that order are moved, for
//! the reasons in docs/decisions/0002-order-of-the-decision.md.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Command, PolicyId, Principal, PrincipalId, Task};

use super::{
    Approval, Decision, Judgement, OwnCall, Permit, Policy, PolicySet, Refusal, Rule, Verdict,
    explain,
};

/// What the whole gateway does with decisions (`[access_control] mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is controlled; everything is still recorded.
    Disabled,
    /// Decisions hold.
    Enforce,
    /// Decisions are recorded, and blocks are not enforced.
    ReportOnly,
}

/// What an endpoint does with a task that no policy governs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ungoverned {
    /// It passes, as in Microsoft 365.
    Allow,
    /// It is blocked.
    Block,
}

/// What the decision needs to know of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What happens to a task without a policy.
    pub ungoverned: Ungoverned,
    /// Its blocks are recorded but not enforced.
    pub report_only: bool,
}

/// A grant of one principal under one policy, as the decision sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldGrant {
    /// Its id.
    pub id: Uuid,
    /// From here on, in milliseconds since the Unix epoch,
    pub starts_ms: i64,
    /// and to here, excluded.
    pub ends_ms: i64,
    /// The one task that it is narrowed to.
    pub task: Option<Box<Task>>,
}

/// Where the decision finds grants. `state`'s grant table is one; a test's slice is another.
pub trait HeldGrants {
    /// The id of the first grant of `principal` under `policy` for which `covers` holds.
    fn find(
        &self,
        principal: PrincipalId,
        policy: PolicyId,
        covers: &dyn Fn(&HeldGrant) -> bool,
    ) -> Option<Uuid>;
}

/// A call that sets up a client's session and runs no cmdlet, such as `EXOModuleFile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCall {
    /// As records name it.
    pub name: &'static str,
}

/// What is decided on.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A cmdlet, or an operation that is mapped to one.
    Command(&'a Command),
    /// A session call.
    Session(&'a SessionCall),
}

/// Everything that a decision depends on, besides the call itself.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The policies in force.
    pub policies: &'a PolicySet,
    /// What the whole gateway does with decisions.
    pub mode: Mode,
    /// Where the call came in.
    pub endpoint: Endpoint,
    /// Who calls.
    pub principal: &'a Principal,
    /// From where.
    pub source: IpAddr,
    /// The grants in force.
    pub grants: &'a dyn HeldGrants,
    /// When.
    pub now: DateTime<Utc>,
}

/// Decides `call`, whose meaning `subject` shows: the only maker of permits.
pub fn decide<C>(
    call: C,
    subject: impl FnOnce(&C) -> Subject<'_>,
    facts: &Facts<'_>,
) -> Judgement<C> {
    let decision = match subject(&call) {
        Subject::Command(command) => decide_command(command, facts),
        Subject::Session(SessionCall { name: _ }) => allow(Rule::SessionCall, None),
    };
    match (decision.verdict, decision.rule) {
        (Verdict::Allow, Rule::GatewayCmdlet) => Judgement::Own(OwnCall::new(call, decision)),
        (Verdict::Allow | Verdict::ReportOnly, _) => {
            Judgement::Permitted(Permit::new(call, decision))
        }
        (Verdict::Block, _) => Judgement::Refused(Refusal::new(call, decision)),
    }
}

/// The first step that speaks decides.
fn decide_command(command: &Command, facts: &Facts<'_>) -> Decision {
    let task = &command.task;
    if task.cmdlet.is_gateway_cmdlet() {
        return allow(Rule::GatewayCmdlet, None);
    }
    if facts.mode == Mode::Disabled {
        return allow(Rule::AccessControlDisabled, None);
    }
    let governing = facts.policies.governing(task);
    if let Some(policy) = governing
        && policy.approval == Approval::Never
    {
        return block(Rule::Never, governing, facts, explain::never(task, policy));
    }
    if let Some(exemption) =
        facts
            .policies
            .exemption(facts.principal, task, facts.source, facts.now)
    {
        return Decision {
            exemption: Some(exemption.place.clone()),
            ..allow(Rule::Exempt, governing)
        };
    }
    let Some(policy) = governing else {
        return match facts.endpoint.ungoverned {
            Ungoverned::Allow => allow(Rule::UngovernedAllowed, None),
            Ungoverned::Block => block(
                Rule::UngovernedBlocked,
                None,
                facts,
                explain::ungoverned(task),
            ),
        };
    };
    if let Err(breach) = policy.parameters.check(&command.parameters) {
        let explanation = explain::parameter_rule(task, policy, &breach);
        return block(Rule::ParameterRule, governing, facts, explanation);
    }
    if let Some(grant) = covering_grant(task, policy, facts) {
        return Decision {
            grant: Some(grant),
            ..allow(Rule::Granted, governing)
        };
    }
    let explanation = explain::needs_approval(task, policy);
    block(Rule::NeedsApproval, governing, facts, explanation)
}

fn covering_grant(task: &Task, policy: &Policy, facts: &Facts<'_>) -> Option<Uuid> {
    let now_ms = facts.now.timestamp_millis();
    facts
        .grants
        .find(facts.principal.id, policy.id, &|grant: &HeldGrant| {
            (grant.starts_ms..grant.ends_ms).contains(&now_ms)
                && grant.task.as_ref().is_none_or(|it| **it == *task)
        })
}

fn allow(rule: Rule, policy: Option<&Policy>) -> Decision {
    Decision {
        verdict: Verdict::Allow,
        rule,
        policy: policy.map(|it| Arc::clone(&it.name)),
        grant: None,
        exemption: None,
        explanation: String::new(),
    }
}

/// A block, unless the whole gateway, the endpoint or the policy is report-only: then what would have been one.
fn block(rule: Rule, policy: Option<&Policy>, facts: &Facts<'_>, explanation: String) -> Decision {
    let is_report_only = facts.mode == Mode::ReportOnly
        || facts.endpoint.report_only
        || policy.is_some_and(|it| it.report_only);
    Decision {
        verdict: if is_report_only {
            Verdict::ReportOnly
        } else {
            Verdict::Block
        },
        explanation,
        ..allow(rule, policy)
    }
}

#[cfg(test)]
mod tests;
