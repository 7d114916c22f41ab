//! What policy files define: policies, groups and exemptions, as the rest of the program knows them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use ipnet::IpNet;

use crate::model::{PolicyId, Principal};

use super::pattern::Pattern;
use super::{ParameterRules, Place, PolicySet};

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

impl Approval {
    /// The word that policy files and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Never => "never",
        }
    }
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
    /// Names of groups; each gives its share of approvals. Of a manual policy never empty: where the file lists none, the
    /// default approver group stands here.
    pub approvers: Vec<String>,
    /// How many approvals, per group.
    pub approvals: u32,
    /// The longest grant, if there is a bound.
    pub max_duration: Option<Duration>,
    /// How long a grant lasts when the request does not say.
    pub default_duration: Duration,
    /// Its blocks are recorded but not enforced.
    pub report_only: bool,
    /// What must hold of a command's parameters, whatever the grant says.
    pub parameters: ParameterRules,
    /// Where it is defined.
    pub place: Place,
    /// `scope.folded`, to be shared by decisions.
    pub(super) name: Arc<str>,
}

impl Policy {
    /// The groups that approve, in the policy's order.
    pub fn approver_groups<'a>(
        &'a self,
        set: &'a PolicySet,
    ) -> impl Iterator<Item = &'a Group> + use<'a> {
        self.approvers.iter().filter_map(|name| set.group(name))
    }
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
    /// `tasks`, compiled.
    pub(super) patterns: Vec<Pattern>,
}

impl Exemption {
    /// Whether the bounds hold for a call from `source` at `now`, of a task in lower case.
    pub(super) fn covers(&self, task: &[u8], source: IpAddr, now: DateTime<Utc>) -> bool {
        // A listener on `::` shows IPv4 callers as `::ffff:…`.
        let source = source.to_canonical();
        self.expires.is_none_or(|last| now.date_naive() <= last)
            && (self.from.is_empty() || self.from.iter().any(|it| it.contains(&source)))
            && (self.patterns.is_empty() || self.patterns.iter().any(|it| it.matches(task)))
    }
}
