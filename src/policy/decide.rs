//! The decision: one function, in the order of DESIGN 3.1, each step a few lines. Two steps of that order are moved, for
//! the reasons in docs/decisions/0002-order-of-the-decision.md.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{
    CmdletIs, Command, Names, ParameterName, PolicyId, Principal, PrincipalId, Task,
};

use super::explain::Blocked;
use super::parameters::{Breach, is_common};
use super::scopes::Reach;
use super::{
    Approval, Decision, Examined, Exemption, Governing, Judgement, OwnCall, ParameterRules, Permit,
    Policy, PolicySet, Refusal, Reported, Rule, Spread, Verdict, explain,
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
#[derive(Clone, Copy, Debug)]
pub struct HeldGrant<'a> {
    /// Its id.
    pub id: Uuid,
    /// From here on, in milliseconds since the Unix epoch,
    pub starts_ms: i64,
    /// and to here, excluded.
    pub ends_ms: i64,
    /// The one task that it is narrowed to, if it is.
    pub task: Option<&'a Task>,
    /// The parameters that it is pinned to, if it is.
    pub pins: Option<&'a ParameterRules>,
    /// How many uses are left, if they are counted. Whoever forwards a call under a counted grant takes one first, durably.
    pub uses_left: Option<u32>,
    /// Whether it was taken without an approval, in an emergency.
    pub break_glass: bool,
}

/// Where the decision finds grants. `state`'s grant table is one; a test's slice is another.
pub trait HeldGrants {
    /// Whether nobody can say now which grants are in force. Then [`HeldGrants::each`] shows none.
    fn are_unknown(&self) -> bool {
        false
    }

    /// Shows each grant of `principal` under `policy` to `look`, until it says to stop.
    fn each(
        &self,
        principal: PrincipalId,
        policy: PolicyId,
        look: &mut dyn FnMut(HeldGrant<'_>) -> ControlFlow<()>,
    );
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

/// Decides `call`, whose meaning `subject` shows.
pub fn decide<C>(
    call: C,
    subject: impl FnOnce(&C) -> Subject<'_>,
    facts: &Facts<'_>,
) -> Judgement<C> {
    decide_examined(call, subject, facts, None)
}

/// Decides as [`decide`] does, by what was found of the call's parameters before if that is of this call under these policies: the only maker of
/// permits.
pub fn decide_examined<C>(
    call: C,
    subject: impl FnOnce(&C) -> Subject<'_>,
    facts: &Facts<'_>,
    examined: Option<&Examined>,
) -> Judgement<C> {
    let decision = match subject(&call) {
        Subject::Command(command) => decide_command(command, facts, examined),
        Subject::Session(SessionCall { name: _ }) => allow(Rule::SessionCall, None),
    };
    judged(call, decision)
}

/// Why a call that was permitted under a grant does not go on after all: what is counted was counted, and there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// As many calls passed as may.
    Calls(SpreadLimit),
    /// As many different identities were named as may be.
    Identities(SpreadLimit),
    /// Another call took the grant's last use.
    UsedUp,
}

/// A bound of a policy's `spread` that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpreadLimit {
    /// This many under one grant.
    PerGrant(u32),
    /// This many in any minute.
    PerMinute(u32),
}

/// Takes back a permit whose grant turned out to be used up, as a block of `subject`'s policy: unless that is report-only.
pub fn withhold<C>(
    permit: Permit<C>,
    why: Withheld,
    subject: impl FnOnce(&C) -> Subject<'_>,
    facts: &Facts<'_>,
) -> Judgement<C> {
    let policy = permit.decision().policy.as_ref();
    let policy = policy.and_then(|scope| facts.policies.policy(scope));
    let (Subject::Command(command), Some(policy)) = (subject(permit.subject()), policy) else {
        // Without a policy there was no grant, so nothing was counted.
        return Judgement::Permitted(permit);
    };
    let blocked = Blocked {
        command,
        policy,
        policies: facts.policies,
    };
    let (rule, explanation) = match why {
        Withheld::Calls(limit) => (Rule::SpreadLimit, explain::spread(blocked, limit, "calls")),
        Withheld::Identities(limit) => (
            Rule::SpreadLimit,
            explain::spread(blocked, limit, "different identities"),
        ),
        Withheld::UsedUp => (Rule::UsedUp, explain::used_up(blocked)),
    };
    let decision = block(rule, Some(policy), facts, explanation);
    let (call, permitted) = permit.into_parts();
    let decision = Decision {
        grant: permitted.grant,
        reporting: permitted.reporting,
        ..decision
    };
    judged(call, decision)
}

fn judged<C>(call: C, decision: Decision) -> Judgement<C> {
    match (decision.verdict, decision.rule) {
        (Verdict::Allow, Rule::GatewayCmdlet) => Judgement::Own(OwnCall::new(call, decision)),
        (Verdict::Allow | Verdict::ReportOnly, _) => {
            Judgement::Permitted(Permit::new(call, decision))
        }
        (Verdict::Block, _) => Judgement::Refused(Refusal::new(call, decision)),
    }
}

/// The first step that speaks decides.
fn decide_command(command: &Command, facts: &Facts<'_>, examined: Option<&Examined>) -> Decision {
    let task = &command.task;
    if task.cmdlet.is_gateway_cmdlet() {
        return allow(Rule::GatewayCmdlet, None);
    }
    if facts.mode == Mode::Disabled {
        return allow(Rule::AccessControlDisabled, None);
    }
    let Governing { policy, reporting } = facts.policies.governing_command(command);
    Decision {
        reporting: reporting.map(|it| would_say(command, it, facts, examined)),
        ..decide_under(command, policy, facts, examined)
    }
}

/// What `policy`, which only reports, would say of a command if it governed it.
fn would_say(
    command: &Command,
    policy: &Policy,
    facts: &Facts<'_>,
    examined: Option<&Examined>,
) -> Reported {
    let exemption = || {
        let task = &command.task;
        let Facts {
            policies,
            principal,
            source,
            now,
            ..
        } = facts;
        policies.exemption(principal, task, *source, *now)
    };
    let decision = if is_never(policy) {
        never(command, policy, facts)
    } else if exemption().is_some() {
        allow(Rule::Exempt, Some(policy))
    } else {
        decide_governed(command, policy, facts, examined)
    };
    Reported {
        policy: Arc::clone(&policy.name),
        verdict: decision.verdict,
        rule: decision.rule,
    }
}

fn decide_under(
    command: &Command,
    governing: Option<&Policy>,
    facts: &Facts<'_>,
    examined: Option<&Examined>,
) -> Decision {
    let task = &command.task;
    if let Some(policy) = governing
        && is_never(policy)
        && !policy.report_only
    {
        return never(command, policy, facts);
    }
    let unclear = unclear_names(command, facts.policies);
    let exemption = facts
        .policies
        .exemption(facts.principal, task, facts.source, facts.now);
    if command.parameters.cmdlet() == CmdletIs::PerhapsAlias
        && let Some(decision) = hidden_cmdlet(command, governing, exemption, facts)
    {
        return decision;
    }
    let hidden = match (&unclear, exemption) {
        (None, _) => None,
        // Rules on parameters do not bind who is exempt; `never` does, whatever it depends on.
        (Some(_), Some(_)) => facts
            .policies
            .possible(task)
            .find(|it| is_never(it) && !it.report_only),
        (Some(_), None) => hidden_policy(command, governing, facts.policies),
    };
    if let (Some(policy), Some(breach)) = (hidden, &unclear) {
        let blocked = Blocked {
            command,
            policy,
            policies: facts.policies,
        };
        let explanation = explain::parameter_rule(blocked, breach);
        return block(Rule::ParameterRule, Some(policy), facts, explanation);
    }
    // One that only reports opens nothing to a command that could be another than it seems.
    if let Some(policy) = governing
        && is_never(policy)
    {
        return never(command, policy, facts);
    }
    if let Some(exemption) = exemption {
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
    decide_governed(command, policy, facts, examined)
}

fn never(command: &Command, policy: &Policy, facts: &Facts<'_>) -> Decision {
    let blocked = Blocked {
        command,
        policy,
        policies: facts.policies,
    };
    block(Rule::Never, Some(policy), facts, explain::never(blocked))
}

/// The steps from the policy's own rules on, of a command that it governs.
fn decide_governed(
    command: &Command,
    policy: &Policy,
    facts: &Facts<'_>,
    examined: Option<&Examined>,
) -> Decision {
    let governing = Some(policy);
    let blocked = Blocked {
        command,
        policy,
        policies: facts.policies,
    };
    let examined = examined.filter(|it| it.is_of(command, facts.policies));
    let broken = match examined.and_then(|it| it.rules_of(policy)) {
        Some(found) => found.broken.clone(),
        None => broken_rule(blocked),
    };
    if let Some(explanation) = broken {
        return block(Rule::ParameterRule, governing, facts, explanation);
    }
    let is_open = policy.windows.is_open(facts.now);
    let found = look_for_grant(command, policy, is_open, facts);
    if let Found::Covers { grant, rule } = found {
        return Decision {
            grant: Some(grant),
            ..allow(rule, governing)
        };
    }
    if facts.grants.are_unknown() {
        let explanation = explain::grants_unknown(blocked);
        return block(Rule::GrantsUnknown, governing, facts, explanation);
    }
    if !is_open {
        let explanation = explain::outside_window(blocked, facts.now);
        return block(Rule::OutsideWindow, governing, facts, explanation);
    }
    match found {
        Found::UsedUp(grant) => Decision {
            grant: Some(grant),
            ..block(Rule::UsedUp, governing, facts, explain::used_up(blocked))
        },
        Found::PinnedOtherwise(grant, breach) => Decision {
            grant: Some(grant),
            ..block(
                Rule::PinnedParameters,
                governing,
                facts,
                explain::pinned(blocked, &breach),
            )
        },
        Found::Covers { .. } | Found::Nothing => {
            let explanation = explain::needs_approval(blocked);
            block(Rule::NeedsApproval, governing, facts, explanation)
        }
    }
}

/// How a command breaks the rules on parameters of the policy that governs it, if it does. All that a decision looks at in the parameters' values is
/// this, and the pins of grants.
pub(super) fn broken_rule(blocked: Blocked<'_>) -> Option<String> {
    let Blocked {
        command, policy, ..
    } = blocked;
    if let Err(breach) = policy.parameters.check(&command.parameters) {
        return Some(explain::parameter_rule(blocked, &breach));
    }
    counts_unnamed(command, policy).then(|| explain::unnamed(blocked))
}

/// Whether `policy` counts what commands are about, and `command` names nothing.
pub(super) fn counts_unnamed(command: &Command, policy: &Policy) -> bool {
    let spread = policy.spread;
    spread.is_some_and(|it| !it.can_count(&command.parameters))
}

fn is_never(policy: &Policy) -> bool {
    policy.approval == Approval::Never
}

/// The block of a command whose name could be an alias, where what it could stand for is governed otherwise than the name: by
/// any policy, or for the exempt by one that binds them too. A name that a policy or the catalogue has in full is a cmdlet's.
fn hidden_cmdlet(
    command: &Command,
    governing: Option<&Policy>,
    exemption: Option<&Exemption>,
    facts: &Facts<'_>,
) -> Option<Decision> {
    let task = &command.task;
    if facts.policies.names_in_full(task) {
        return None;
    }
    // An exemption for some tasks says nothing of what the name could stand for.
    let is_exempt = exemption.is_some_and(|it| it.tasks.is_empty());
    let others_pass = is_exempt || facts.endpoint.ungoverned == Ungoverned::Allow;
    if !others_pass && governing.is_none() && exemption.is_none() {
        return None;
    }
    let policies = facts.policies.policies().iter();
    let mut hidden = policies.filter(|it| !is_exempt || is_never(it)).peekable();
    if others_pass && hidden.peek().is_none() {
        return None;
    }
    let decision = block(
        Rule::UngovernedBlocked,
        None,
        facts,
        explain::perhaps_alias(task),
    );
    // What all policies only report is no more than reported.
    Some(if others_pass && hidden.all(|it| it.report_only) {
        Decision {
            verdict: Verdict::ReportOnly,
            ..decision
        }
    } else {
        decision
    })
}

/// What is wrong with the parameters' names, if they cannot be told apart ([`Names`]) or could be aliases.
fn unclear_names<'a>(command: &'a Command, policies: &PolicySet) -> Option<Breach<'a>> {
    let parameters = &command.parameters;
    if parameters.names() != Names::Known {
        return Some(Breach::Unclear);
    }
    if parameters.unresolved().is_empty() {
        return None;
    }
    let facts = policies.catalogue().facts(&command.task);
    let dangerous = facts.map_or(&[][..], |it| &it.dangerous);
    let is_strange = |name: &&ParameterName| {
        !name.is(COUNTED_PARAMETER)
            && !is_common(name)
            && !dangerous.iter().any(|it| name.is(&it.name))
    };
    let given = parameters.unresolved().iter().find(is_strange)?;
    Some(Breach::Strange {
        given,
        listed: None,
    })
}

/// The policy whose word depends on parameters with [`unclear_names`]: one of a more severe effect that one of them might have, or
/// the governing one, if it counts what they name. A report-only policy would let pass what the others, who might govern as
/// well, do not: only those that are enforced count.
fn hidden_policy<'a>(
    command: &Command,
    governing: Option<&'a Policy>,
    policies: &'a PolicySet,
) -> Option<&'a Policy> {
    let takes_over =
        |it: &&Policy| !it.report_only && governing.is_none_or(|one| takes_over(it, one));
    let hidden = policies.possible(&command.task).find(takes_over);
    if hidden.is_some() {
        return hidden;
    }
    let parameters = &command.parameters;
    let names = parameters.names();
    let may_name = names == Names::Unknown || parameters.get(COUNTED_PARAMETER).is_none();
    let is_counted = |it: Spread| names == Names::Piped || it.counts_identities() && may_name;
    governing.filter(|it| it.spread.is_some_and(is_counted))
}

/// Whether the enforced `policy` of an effect would govern a command in place of `governing` if it had that effect as well.
fn takes_over(policy: &Policy, governing: &Policy) -> bool {
    let severity = |it: &Policy| match it.reach {
        Reach::Effect(effect) => Some(effect.severity()),
        Reach::Role(_) | Reach::RoleGroup(_) | Reach::Task(_) => None,
    };
    let (Some(one), Some(two)) = (severity(policy), severity(governing)) else {
        // What governs by the command's name does so with whatever effects, if it is enforced.
        return governing.report_only;
    };
    governing.report_only || (is_never(policy), one) > (is_never(governing), two)
}

/// The parameter that names what a command is about: `spread` counts its values. It is never an alias of another.
const COUNTED_PARAMETER: &str = "Identity";

/// What the caller's grants come to, from the least to the best.
enum Found {
    Nothing,
    /// A grant has no uses left, and nothing else is against it.
    UsedUp(Uuid),
    /// A grant is pinned to other parameters, and nothing else is against it; how the command breaks the pins.
    PinnedOtherwise(Uuid, String),
    Covers {
        grant: Uuid,
        rule: Rule,
    },
}

impl Found {
    /// A plain grant is the best: nobody has to review it, and no use of it is taken.
    fn rank(&self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::UsedUp(_) => 1,
            Self::PinnedOtherwise(..) => 2,
            Self::Covers { rule, .. } if *rule == Rule::BreakGlass => 3,
            Self::Covers { .. } => 4,
        }
    }
}

/// The best of the caller's grants under `policy`. Outside the policy's windows only a break-glass grant covers anything: an
/// emergency keeps no hours.
fn look_for_grant(command: &Command, policy: &Policy, is_open: bool, facts: &Facts<'_>) -> Found {
    let now_ms = facts.now.timestamp_millis();
    let mut best = Found::Nothing;
    let mut look = |grant: HeldGrant<'_>| {
        let is_active = (grant.starts_ms..grant.ends_ms).contains(&now_ms);
        let is_for_task = grant.task.is_none_or(|it| *it == command.task);
        if !is_active || !is_for_task || !(is_open || grant.break_glass) {
            return ControlFlow::Continue(());
        }
        let found = examine(grant, command);
        let is_plain = grant.uses_left.is_none() && !grant.break_glass;
        let is_best = is_plain && matches!(found, Found::Covers { .. });
        if is_best || found.rank() > best.rank() {
            best = found;
        }
        if is_best {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    facts.grants.each(facts.principal.id, policy.id, &mut look);
    best
}

fn examine(grant: HeldGrant<'_>, command: &Command) -> Found {
    if let Some(pins) = grant.pins
        && let Err(breach) = pins.check(&command.parameters)
    {
        return Found::PinnedOtherwise(grant.id, breach.to_string());
    }
    if grant.uses_left.is_some() && command.parameters.names() == Names::Piped {
        let breach = "its uses are counted, and values that are piped in are not, so name what it is about by a parameter";
        return Found::PinnedOtherwise(grant.id, breach.to_owned());
    }
    if grant.uses_left == Some(0) {
        return Found::UsedUp(grant.id);
    }
    Found::Covers {
        grant: grant.id,
        rule: if grant.break_glass {
            Rule::BreakGlass
        } else {
            Rule::Granted
        },
    }
}

fn allow(rule: Rule, policy: Option<&Policy>) -> Decision {
    Decision {
        verdict: Verdict::Allow,
        rule,
        policy: policy.map(|it| Arc::clone(&it.name)),
        grant: None,
        exemption: None,
        explanation: String::new(),
        reporting: None,
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
