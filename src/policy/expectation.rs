//! Expectations: a table of calls with the decision that each should get, and where the policies decide otherwise.

mod reading;

use std::net::IpAddr;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Command, Interner, PolicyId, Principal, PrincipalId, PrincipalKind};

use super::decide::decide;
use super::{
    Decision, Endpoint, Facts, HeldGrant, HeldGrants, Mode, Place, PolicySet, Rule, Subject,
    Verdict,
};

pub use reading::read_expectations;

/// A call, as an expectation or a question names it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who calls: the name or key of an account.
    pub account: String,
    /// Groups that the caller's token names.
    pub groups: Vec<String>,
    /// What is called.
    pub command: Command,
    /// From where.
    pub source: IpAddr,
    /// When; without it, at the moment of the test.
    pub at: Option<DateTime<Utc>>,
    /// Whether the caller has a grant under whatever policy governs.
    pub holds: Holds,
}

/// Which grants a caller is taken to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holds {
    /// One for everything.
    Everything,
    /// None.
    #[default]
    Nothing,
}

/// What should be decided on a call.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What it is about, for people.
    pub name: Option<String>,
    /// The call.
    pub asked: Asked,
    /// What should happen.
    pub verdict: Verdict,
    /// By which rule, if that matters.
    pub rule: Option<Rule>,
    /// Under which policy, if that matters: its scope.
    pub policy: Option<String>,
    /// Where it is written.
    pub place: Place,
}

/// An expectation that does not hold.
#[derive(Clone, Debug)]
pub struct Unmet<'e> {
    /// The expectation.
    pub expectation: &'e Expectation,
    /// What is otherwise, such as `verdict: expected allow, is block`.
    pub differences: Vec<String>,
    /// What is decided.
    pub decision: Decision,
}

/// Under which settings calls are decided.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// What the whole gateway does with decisions.
    pub mode: Mode,
    /// What the endpoint does.
    pub endpoint: Endpoint,
    /// The moment of calls that name none.
    pub now: DateTime<Utc>,
}

impl Asked {
    /// The caller, as far as policies look at callers.
    pub fn principal(&self, interner: &Interner) -> Principal {
        Principal {
            kind: PrincipalKind::User,
            key: self.account.clone(),
            id: interner.principal(&self.account),
            name: self.account.clone(),
            groups: self.groups.clone(),
            tenant: None,
            identity: String::new(),
        }
    }

    /// Has `tell` look at the facts of the call.
    pub fn with_facts<T>(
        &self,
        set: &PolicySet,
        setting: &Setting,
        tell: impl FnOnce(&Facts<'_>) -> T,
    ) -> T {
        let principal = self.principal(&Interner::default());
        tell(&Facts {
            policies: set,
            mode: setting.mode,
            endpoint: setting.endpoint,
            principal: &principal,
            source: self.source,
            grants: &self.holds,
            now: self.at.unwrap_or(setting.now),
        })
    }
}

impl HeldGrants for Holds {
    fn each(
        &self,
        _: PrincipalId,
        _: PolicyId,
        look: &mut dyn FnMut(HeldGrant<'_>) -> ControlFlow<()>,
    ) {
        if *self == Self::Everything {
            let _stopped = look(HeldGrant {
                id: Uuid::nil(),
                starts_ms: i64::MIN,
                ends_ms: i64::MAX,
                task: None,
                pins: None,
                uses_left: None,
                break_glass: false,
            });
        }
    }
}

/// The expectations that do not hold, in their order.
pub fn unmet<'e>(
    expectations: &'e [Expectation],
    set: &PolicySet,
    setting: &Setting,
) -> Vec<Unmet<'e>> {
    expectations
        .iter()
        .filter_map(|it| it.differences(set, setting))
        .collect()
}

impl Expectation {
    fn differences(&self, set: &PolicySet, setting: &Setting) -> Option<Unmet<'_>> {
        let decision = self.asked.with_facts(set, setting, |facts| {
            let judgement = decide(&self.asked.command, |it| Subject::Command(it), facts);
            judgement.decision().clone()
        });
        let mut differences = Vec::new();
        let mut compare = |what: &str, expected: &str, is: &str| {
            if !expected.eq_ignore_ascii_case(is) {
                differences.push(format!("{what}: expected {expected}, is {is}"));
            }
        };
        compare("verdict", self.verdict.as_str(), decision.verdict.as_str());
        if let Some(rule) = self.rule {
            compare("rule", rule.as_str(), decision.rule.as_str());
        }
        if let Some(policy) = &self.policy {
            compare(
                "policy",
                policy,
                decision.policy.as_deref().unwrap_or("none"),
            );
        }
        (!differences.is_empty()).then_some(Unmet {
            expectation: self,
            differences,
            decision,
        })
    }
}

#[cfg(test)]
mod tests;
