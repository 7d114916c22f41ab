//! Policies, groups and exemptions as loaded: validated whole, immutable, with an index from task to governing policy.

use std::time::Duration;

use chrono::NaiveDate;
use ipnet::IpNet;

use crate::model::{Interner, PolicyId, Principal, Task};

/// A policy file as it was read: its path as people know it, and its text.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// As it is shown in messages, such as `policies/exchange.toml`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// Where in the policy files something is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// [`PolicyFile::path`].
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// Something wrong in a policy file. Displayed as `file:line: message`; `hint` says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {message}", .place.file, .place.line)]
pub struct PolicyProblem {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do, if it is not obvious.
    pub hint: Option<String>,
}

/// Who says yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody needs to: approved at once, still requested and recorded.
    Auto,
    /// The approver groups do.
    Manual,
    /// Nobody can: the commands are blocked, whoever asks.
    Never,
}

/// Which tasks a policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// As the file spells it, such as `Exchange\Remove-*`.
    pub text: String,
    /// In lower case: what grants and requests name the policy by.
    pub folded: String,
}

impl Scope {
    /// Whether the scope is one exact task.
    pub fn is_exact(&self) -> bool {
        !self.folded.contains('*')
    }
}

/// People who decide requests.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name, unique without case.
    pub name: String,
    /// Where requests are announced.
    pub email: Option<String>,
    /// Accounts, as policy files write them ([`Principal::is_account`]).
    pub members: Vec<String>,
    /// A group id in the caller's token that makes a member.
    pub claim: Option<String>,
    /// Where it is defined.
    pub place: Place,
}

impl Group {
    /// Whether `principal` is a member.
    pub fn has(&self, principal: &Principal) -> bool {
        self.members.iter().any(|it| principal.is_account(it))
            || self
                .claim
                .as_ref()
                .is_some_and(|claim| principal.groups.contains(claim))
    }
}

/// A policy: who may be granted its scope, by whom, for how long, with which parameters.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The number of `scope.folded` in this process.
    pub id: PolicyId,
    /// Which tasks it is about.
    pub scope: Scope,
    /// Who says yes.
    pub approval: Approval,
    /// Names of groups; each gives its share of approvals.
    pub approvers: Vec<String>,
    /// How many approvals, per group.
    pub approvals: u32,
    /// The longest grant, if there is a bound.
    pub max_duration: Option<Duration>,
    /// How long a grant lasts when the request does not say.
    pub default_duration: Duration,
    /// Its blocks are recorded but not enforced.
    pub report_only: bool,
    /// Where it is defined.
    pub place: Place,
    // `parameters`: the compiled rules, added by the parameter-rule module.
}

/// A system account that needs no grant, within bounds.
#[derive(Clone, Debug)]
pub struct Exemption {
    /// Who ([`Principal::is_account`]).
    pub account: String,
    /// Who answers for it.
    pub owner: String,
    /// Why it exists.
    pub reason: String,
    /// Its last day (UTC), inclusive; `None` if it has no end.
    pub expires: Option<NaiveDate>,
    /// Source networks it is bound to; empty: any.
    pub from: Vec<IpNet>,
    /// Task patterns it is bound to, as the file spells them; empty: any task.
    pub tasks: Vec<String>,
    /// Where it is defined.
    pub place: Place,
}

/// All policy files, validated and compiled. Replaced whole, never changed.
#[derive(Debug)]
pub struct PolicySet {}

impl PolicySet {
    /// Reads the files as one set. On any problem there is no set, and all problems are told, in file and line order.
    /// `default_approver_group` is what a manual policy without `approvers` uses (`[access_control]` of the configuration).
    pub fn load(
        files: &[PolicyFile],
        default_approver_group: Option<&str>,
        interner: &Interner,
    ) -> Result<Self, Vec<PolicyProblem>> {
        let _ = (files, default_approver_group, interner);
        todo!()
    }

    /// A set without a policy: everything is ungoverned.
    pub fn empty() -> Self {
        todo!()
    }

    /// SHA-256 of the files' names and texts, in hex: what records name the set by.
    pub fn hash(&self) -> &str {
        todo!()
    }

    /// The policy that governs `task`: the most specific scope that matches.
    pub fn governing(&self, task: &Task) -> Option<&Policy> {
        let _ = task;
        todo!()
    }

    /// The policy with this scope, in any case.
    pub fn policy(&self, scope: &str) -> Option<&Policy> {
        let _ = scope;
        todo!()
    }

    /// All policies, in file order.
    pub fn policies(&self) -> &[Policy] {
        todo!()
    }

    /// The group of this name, in any case.
    pub fn group(&self, name: &str) -> Option<&Group> {
        let _ = name;
        todo!()
    }

    /// All groups, in file order.
    pub fn groups(&self) -> &[Group] {
        todo!()
    }

    /// All exemptions, in file order.
    pub fn exemptions(&self) -> &[Exemption] {
        todo!()
    }
}
