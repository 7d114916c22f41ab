//! What would happen to a call and why, step by step: the decision's own steps, each with what it looks at and finds.
//!
//! The verdict is [`decide`]'s; the steps are only told, and a property test holds the two together: the step that is said to
//! decide is the one whose rule the decision names.

use super::decide::{counts_unnamed, decide};
use super::{
    Approval, Decision, Effect, Facts, Judgement, Mode, OnBlock, Policy, PolicySet, Reported, Rule,
    Subject, Ungoverned, Verdict, Whereabouts, explain,
};
use crate::model::Command;

/// What one step finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it looks at, such as `governing policy`.
    pub what: &'static str,
    /// What it finds.
    pub found: String,
    /// Whether it decides.
    pub decides: bool,
}

/// A decision and how it comes about.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The steps up to the one that decides, in their order.
    pub steps: Vec<Step>,
    /// The decision.
    pub decision: Decision,
    /// What the caller can do next, if there is something; in the order in which it is worth trying.
    pub next: Vec<String>,
}

/// Decides `command`, and tells how; where policies are written, as closely as `places` says.
pub fn trace(command: &Command, facts: &Facts<'_>, places: Whereabouts) -> Trace {
    let judgement: Judgement<&Command> = decide(command, |it| Subject::Command(it), facts);
    let decision = judgement.decision().clone();
    let mut teller = Teller {
        steps: Vec::new(),
        rule: decision.rule,
        places,
    };
    teller.tell_all(command, facts, &decision);
    let next = next(command, facts, &decision);
    Trace {
        steps: teller.steps,
        decision,
        next,
    }
}

struct Teller {
    steps: Vec<Step>,
    rule: Rule,
    places: Whereabouts,
}

impl Teller {
    /// Adds a step; whether it is the one that decides, by one of `rules`.
    fn tell(&mut self, what: &'static str, found: impl Into<String>, rules: &[Rule]) -> bool {
        let decides = rules.contains(&self.rule);
        self.steps.push(Step {
            what,
            found: found.into(),
            decides,
        });
        decides
    }

    fn tell_all(&mut self, command: &Command, facts: &Facts<'_>, decision: &Decision) {
        let is_own = command.task.cmdlet.is_gateway_cmdlet();
        let found = if is_own {
            "the gateway answers it itself"
        } else {
            "it is none of the gateway's own cmdlets"
        };
        if self.tell("own cmdlet", found, &[Rule::GatewayCmdlet]) {
            return;
        }
        let mode = match facts.mode {
            Mode::Disabled => "disabled: everything passes",
            Mode::Enforce => "enforced",
            Mode::ReportOnly => "report-only: blocks are recorded, and not enforced",
        };
        if self.tell("access control", mode, &[Rule::AccessControlDisabled]) {
            return;
        }
        let governing = facts.policies.governing_command(command).policy;
        self.tell("effect", effect(command, facts.policies), &[]);
        self.tell(
            "governing policy",
            govern(command, governing, facts, self.places),
            &[],
        );
        if let Some(reported) = &decision.reporting {
            self.tell("also reports", reporting(reported, facts, self.places), &[]);
        }
        if let Some(policy) = governing
            && policy.approval == Approval::Never
        {
            let found = "never: blocked for everyone, exempt or not";
            if self.tell("approval", found, &[Rule::Never]) {
                return;
            }
        }
        let (found, rules) = (exemption(command, facts, self.places), [Rule::Exempt]);
        if self.tell("exemption", found, &rules) {
            return;
        }
        let Some(policy) = governing else {
            let found = match facts.endpoint.ungoverned {
                Ungoverned::Allow => "the endpoint lets pass what no policy governs",
                Ungoverned::Block => "the endpoint blocks what no policy governs",
            };
            let rules = [Rule::UngovernedAllowed, Rule::UngovernedBlocked];
            self.tell("no policy", found, &rules);
            return;
        };
        let found = match policy.parameters.check(&command.parameters) {
            Ok(()) if counts_unnamed(command, policy) => {
                format!("identities are counted, and {}", explain::UNNAMED)
            }
            Ok(()) if policy.parameters.is_empty() => "the policy has none".to_owned(),
            Ok(()) => "all hold".to_owned(),
            Err(breach) => breach.to_string(),
        };
        if self.tell("parameter rules", found, &[Rule::ParameterRule]) {
            return;
        }
        if !policy.windows.is_empty() {
            let found = match policy.windows.next_opening_text(facts.now) {
                _ if policy.windows.is_open(facts.now) => "a window is open".to_owned(),
                Some(opens) => format!("closed until {opens}"),
                None => "closed".to_owned(),
            };
            if self.tell("hours", found, &[Rule::OutsideWindow]) {
                return;
            }
        }
        let grant = decision.grant.map_or(String::new(), |it| format!(" {it}"));
        let found = match self.rule {
            Rule::BreakGlass => format!("a break-glass grant covers it:{grant}"),
            Rule::Granted => format!("a grant covers it:{grant}"),
            Rule::GrantsUnknown => "nobody can say now which grants are in force".to_owned(),
            Rule::PinnedParameters => format!("the grant{grant} is for other parameters"),
            Rule::UsedUp => format!("the grant{grant} has no uses left"),
            Rule::AccessControlDisabled
            | Rule::Exempt
            | Rule::GatewayCmdlet
            | Rule::NeedsApproval
            | Rule::Never
            | Rule::OutsideWindow
            | Rule::ParameterRule
            | Rule::SessionCall
            | Rule::SpreadLimit
            | Rule::UngovernedAllowed
            | Rule::UngovernedBlocked => "no grant covers it".to_owned(),
        };
        let rules = [
            Rule::BreakGlass,
            Rule::Granted,
            Rule::GrantsUnknown,
            Rule::NeedsApproval,
            Rule::PinnedParameters,
            Rule::UsedUp,
        ];
        self.tell("grant", found, &rules);
    }
}

/// What the command does at worst.
fn effect(command: &Command, policies: &PolicySet) -> String {
    let catalogue = policies.catalogue();
    let of_task = catalogue.effect(&command.task);
    let listed = match catalogue.facts(&command.task) {
        Some(_) => "",
        None => ", by its verb",
    };
    let names = || command.parameters.iter().map(|it| it.name.as_str());
    let raised: Vec<String> = Effect::ALL
        .into_iter()
        .rev()
        .filter(|effect| *effect != of_task)
        .filter_map(|effect| {
            let parameter = catalogue.raising(&command.task, effect, names())?;
            Some(format!("{} for -{parameter}", effect.as_str()))
        })
        .collect();
    if raised.is_empty() {
        format!("{}{listed}", of_task.as_str())
    } else {
        format!("{}{listed}; {}", of_task.as_str(), raised.join("; "))
    }
}

fn govern(
    command: &Command,
    governing: Option<&Policy>,
    facts: &Facts<'_>,
    places: Whereabouts,
) -> String {
    let Some(policy) = governing else {
        return "none".to_owned();
    };
    let approval = policy.approval.as_str();
    let report_only = match (policy.report_only, facts.endpoint.report_only) {
        (true, _) => ", report-only",
        (false, true) => ", on a report-only endpoint",
        (false, false) => "",
    };
    let raised = match facts.policies.raising_parameter(command, policy) {
        Some(parameter) => format!(", for -{parameter}"),
        None => String::new(),
    };
    format!(
        "`{}` ({approval}{report_only}) at {}{raised}",
        policy.scope.text,
        policy.source.told(places)
    )
}

/// What a policy that only reports would have said.
fn reporting(reported: &Reported, facts: &Facts<'_>, places: Whereabouts) -> String {
    let Reported {
        policy,
        verdict,
        rule,
    } = reported;
    let (scope, place) = match facts.policies.policy(policy) {
        Some(it) => (&*it.scope.text, format!(" at {}", it.source.told(places))),
        None => (&**policy, String::new()),
    };
    let would = match verdict {
        Verdict::Allow => "would let it pass",
        Verdict::Block | Verdict::ReportOnly => "would block it",
    };
    format!(
        "`{scope}`{place} {would} ({}), if it were enforced",
        rule.as_str()
    )
}

fn exemption(command: &Command, facts: &Facts<'_>, places: Whereabouts) -> String {
    let Facts {
        policies,
        principal,
        source,
        now,
        ..
    } = facts;
    if let Some(holds) = policies.exemption(principal, &command.task, *source, *now) {
        return format!("holds, by {} ({})", holds.owner, holds.place.told(places));
    }
    let account = policies
        .exemptions()
        .iter()
        .filter(|it| principal.is_account(&it.account));
    let others: Vec<String> = account.map(|it| it.place.told(places)).collect();
    if others.is_empty() {
        "none of this caller".to_owned()
    } else {
        format!(
            "of this caller, but its bounds do not hold: {}",
            others.join(", ")
        )
    }
}

/// What the caller can do where the call is blocked.
fn next(command: &Command, facts: &Facts<'_>, decision: &Decision) -> Vec<String> {
    let Some(policy) = facts.policies.governing_command(command).policy else {
        return Vec::new();
    };
    let needs_grant = matches!(
        decision.rule,
        Rule::NeedsApproval | Rule::OutsideWindow | Rule::PinnedParameters | Rule::UsedUp
    );
    if !needs_grant {
        return Vec::new();
    }
    let mut next = Vec::new();
    let (set, principal) = (facts.policies, facts.principal);
    if !policy.may_request(principal, set) {
        next.push(format!(
            "{} may not ask: only members of {} may",
            principal.name,
            policy.requesters.join(", ")
        ));
    } else if policy.on_block != OnBlock::Block && decision.rule == Rule::NeedsApproval {
        next.push("the blocked call files the request itself".to_owned());
        if policy.on_block == OnBlock::Hold {
            let seconds = policy.hold.as_secs();
            next.push(format!(
                "in a session of PowerShell remoting it waits up to {seconds} seconds for the answer"
            ));
        }
    } else {
        next.push(match policy.approval {
            Approval::Auto => "a request is approved at once".to_owned(),
            Approval::Manual | Approval::Never => {
                let plural = if policy.approvals == 1 { "" } else { "s" };
                let each = if policy.approvers.len() == 1 {
                    ""
                } else {
                    "each of "
                };
                format!(
                    "a request needs {} approval{plural} of {each}{}",
                    policy.approvals,
                    policy.approvers.join(", ")
                )
            }
        });
    }
    if policy.may_break_glass(principal, set) {
        next.push("in an emergency they may take a grant at once (break-glass)".to_owned());
    }
    next
}

#[cfg(test)]
mod tests;
