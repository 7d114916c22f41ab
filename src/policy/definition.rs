//! What policies define: policies, groups, persons and exemptions, as the rest of the program knows them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use ipnet::IpNet;

use crate::model::{Parameters, PolicyId, Principal, Task, Value};

use super::parameters::is_beginning;
use super::pattern::Pattern;
use super::reason::ReasonRule;
use super::scopes::Reach;
use super::windows::Windows;
use super::{ParameterRules, Place, PolicySet, Whereabouts};

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

/// What kind of scope it is, from the least specific to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScopeKind {
    /// All commands of one effect.
    Effect,
    /// The tasks of the roles of a role group.
    RoleGroup,
    /// The tasks of a role.
    Role,
    /// All tasks that a pattern matches.
    Pattern,
    /// One task.
    Task,
}

/// Which tasks a policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What kind of scope it is.
    pub kind: ScopeKind,
    /// As the file spells it, such as `Exchange\Remove-*`, `role:Exchange\Mail Recipients`,
    /// `role-group:Exchange\Recipient Management` or `effect:exfiltrate`.
    pub text: String,
    /// In lower case: what grants and requests name the policy by.
    pub folded: String,
}

impl Scope {
    /// Whether the scope is one exact task.
    pub fn is_exact(&self) -> bool {
        self.kind == ScopeKind::Task
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

/// Accounts of one person, who is the same whichever of them signs in.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their name, unique without case.
    pub name: String,
    /// Accounts, as policy files write them ([`Principal::is_account`]); none is another person's too.
    pub accounts: Vec<String>,
    /// Where they are defined.
    pub place: Place,
}

/// A named set of tasks, as a management role is.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name with its workload, such as `Exchange\Mail Recipients`, unique without case.
    pub name: String,
    /// Tasks and patterns of the same workload, as the file spells them.
    pub tasks: Vec<String>,
    /// Where it is defined.
    pub place: Place,
    /// `tasks`, compiled.
    pub(super) patterns: Arc<[Pattern]>,
}

/// A named set of roles, as a role group is.
#[derive(Clone, Debug)]
pub struct RoleGroup {
    /// Its name with its workload, such as `Exchange\Recipient Management`, unique without case.
    pub name: String,
    /// The names of its roles.
    pub roles: Vec<String>,
    /// Where it is defined.
    pub place: Place,
    /// The tasks of its roles, each once.
    pub(super) patterns: Arc<[Pattern]>,
}

impl Role {
    /// Whether `task` is in it.
    pub fn has(&self, task: &Task) -> bool {
        matches_any(&self.patterns, task)
    }
}

impl RoleGroup {
    /// Whether `task` is in one of its roles.
    pub fn has(&self, task: &Task) -> bool {
        matches_any(&self.patterns, task)
    }
}

fn matches_any(patterns: &[Pattern], task: &Task) -> bool {
    let task = task.folded();
    patterns.iter().any(|it| it.matches(task.as_bytes()))
}

/// Whether an approver has to say something with the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comment {
    /// They may.
    #[default]
    Optional,
    /// They must.
    Required,
}

impl Comment {
    /// The word that policy files and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// What happens to a call that needs an approval, besides its being blocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBlock {
    /// Nothing.
    #[default]
    Block,
    /// It files the request for itself, and in a session waits until that is decided. Where there is no session to wait in, as
    /// [`OnBlock::Request`].
    Hold,
    /// It files the request for itself.
    Request,
}

impl OnBlock {
    /// The word that policy files and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Hold => "hold",
            Self::Request => "request",
        }
    }
}

/// How many calls may pass under a grant, and how many different objects they may name ([`Spread::NAMING`]).
///
/// INVARIANT: at least one is set, and none is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Calls under one grant, in any minute.
    pub calls_per_minute: Option<u32>,
    /// Calls under one grant, in its whole life.
    pub calls_per_grant: Option<u32>,
    /// Different identities under one grant, in any minute.
    pub identities_per_minute: Option<u32>,
    /// Different identities under one grant, in its whole life.
    pub identities_per_grant: Option<u32>,
}

impl Spread {
    /// The parameters that name what a command is about. `Name` is none of them: it also names requests and assignments,
    /// whose object is elsewhere.
    pub const NAMING: [&'static str; 2] = ["Identity", "Mailbox"];

    /// Whether a parameter of this name may name what a command is about: by itself, or once the server completes it.
    pub fn may_name(given: &str) -> bool {
        Self::NAMING.iter().any(|it| is_beginning(given, it))
    }

    /// Whether it lets a command with these parameters pass: where identities are counted, one has to be named.
    pub(super) fn can_count(self, parameters: &Parameters) -> bool {
        let is_named = |name: &&str| {
            let mut says_any = false;
            if let Some(value) = parameters.get(name) {
                value.for_each_leaf(&mut |it| {
                    says_any |= *it != Value::Null && !it.display().trim().is_empty();
                });
            }
            says_any
        };
        !self.counts_identities() || Self::NAMING.iter().any(is_named)
    }

    /// Whether it bounds how many different identities are named.
    pub fn counts_identities(&self) -> bool {
        self.identities_per_minute.is_some() || self.identities_per_grant.is_some()
    }
}

/// Who wrote a policy, and so who alone changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A policy file.
    File(Place),
    /// An operator, by a cmdlet or the management API.
    Store {
        /// The name of the operator who changed it last.
        by: String,
        /// When.
        at: DateTime<Utc>,
    },
}

impl Source {
    /// Who wrote it, with a file's place as closely as `to` says.
    pub fn told(&self, to: Whereabouts) -> String {
        match self {
            Self::File(place) => place.told(to),
            Self::Store { .. } => self.to_string(),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(place) => write!(f, "{place}"),
            Self::Store { by, at } => {
                let at = at.format("%Y-%m-%d %H:%M UTC");
                write!(f, "store, by {by} on {at}")
            }
        }
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
    /// What a request's reason has to be.
    pub reason: ReasonRule,
    /// Names of the groups whose members may ask; empty: everybody may.
    pub requesters: Vec<String>,
    /// Whether an approver has to say something with the answer.
    pub approver_comment: Comment,
    /// When grants cover commands; outside, requests may still be filed and decided.
    pub windows: Windows,
    /// Names of the groups whose members may take a grant without an approval, in an emergency.
    pub break_glass: Vec<String>,
    /// What happens to a call that needs an approval.
    pub on_block: OnBlock,
    /// How long a call waits for its approval, with [`OnBlock::Hold`].
    pub hold: Duration,
    /// The most uses that a grant can have, if there is a bound: 1 for single-use grants.
    pub max_uses: Option<u32>,
    /// How much may be done under one grant, if there is a bound.
    pub spread: Option<Spread>,
    /// Who wrote it.
    pub source: Source,
    /// What its scope covers.
    pub(super) reach: Reach,
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

    /// Whether `who` may ask for a grant.
    pub fn may_request(&self, who: &Principal, set: &PolicySet) -> bool {
        self.requesters.is_empty() || is_member(who, &self.requesters, set)
    }

    /// Whether `who` may take a grant without an approval.
    pub fn may_break_glass(&self, who: &Principal, set: &PolicySet) -> bool {
        self.approval != Approval::Never && is_member(who, &self.break_glass, set)
    }
}

fn is_member(who: &Principal, groups: &[String], set: &PolicySet) -> bool {
    groups
        .iter()
        .filter_map(|name| set.group(name))
        .any(|group| group.has(who))
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
            && self.is_for(task)
    }

    /// Whether it is for a task in lower case, if its other bounds hold.
    pub(super) fn is_for(&self, task: &[u8]) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|it| it.matches(task))
    }
}
