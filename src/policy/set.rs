//! All policy files as one set: validated whole, immutable, indexed for the decision.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, Utc};

use crate::model::{Interner, Principal, Task};

use super::folded::FoldedMap;
use super::index::{FoldedTask, TaskIndex};
use super::load::{self, Loaded};
use super::{Exemption, Group, Policy, PolicyProblem};

/// A policy file as it was read: its path as people know it, and its text.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// As it is shown in messages, such as `policies/exchange.toml`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// All policy files, validated and compiled. Replaced whole, never changed.
#[derive(Debug)]
pub struct PolicySet {
    policies: Vec<Policy>,
    index: TaskIndex,
    groups: Vec<Group>,
    group_names: FoldedMap,
    exemptions: Vec<Exemption>,
    exempt_accounts: FoldedMap,
    /// By the numbers of `exempt_accounts`, indices into `exemptions`.
    exemptions_of: Vec<Vec<usize>>,
    hash: Arc<str>,
}

impl PolicySet {
    /// Reads the files as one set. On any problem there is no set, and all problems are told, in file and line order.
    /// `default_approver_group` is what a manual policy without `approvers` uses (`[access_control]` of the configuration).
    ///
    /// Bounds: 4 MiB a file; 100,000 policies, groups and exemptions each; regular expressions of 4 KiB, 10,000 different ones.
    pub fn load(
        files: &[PolicyFile],
        default_approver_group: Option<&str>,
        interner: &Interner,
    ) -> Result<Self, Vec<PolicyProblem>> {
        let loaded = load::load(files, default_approver_group, interner)?;
        Ok(Self::new(loaded, hash(files)))
    }

    /// A set without a policy: everything is ungoverned.
    pub fn empty() -> Self {
        Self::new(Loaded::default(), hash(&[]))
    }

    fn new(loaded: Loaded, hash: Arc<str>) -> Self {
        let Loaded {
            policies,
            index,
            groups,
            exemptions,
        } = loaded;
        let (group_names, _) = FoldedMap::number(groups.iter().map(|it| it.name.as_str()));
        let (exempt_accounts, _) =
            FoldedMap::number(exemptions.iter().map(|it| it.account.as_str()));
        let mut exemptions_of = vec![Vec::new(); exemptions.len()];
        for (index, exemption) in exemptions.iter().enumerate() {
            // An account's number is that of its first exemption.
            let number = exempt_accounts.find(exemption.account.as_bytes());
            if let Some(of_account) = number.and_then(|it| exemptions_of.get_mut(it)) {
                of_account.push(index);
            }
        }
        Self {
            policies,
            index,
            groups,
            group_names,
            exemptions,
            exempt_accounts,
            exemptions_of,
            hash,
        }
    }

    /// SHA-256 of the files' names and texts, in hex: what records name the set by.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// [`PolicySet::hash`], to be shared by the records of many calls.
    pub fn shared_hash(&self) -> Arc<str> {
        Arc::clone(&self.hash)
    }

    /// The policy that governs `task`: the most specific scope that matches.
    pub fn governing(&self, task: &Task) -> Option<&Policy> {
        self.policies.get(self.index.governing(task)?)
    }

    /// The policy with this scope, in any case.
    pub fn policy(&self, scope: &str) -> Option<&Policy> {
        self.policies.get(self.index.scope(scope)?)
    }

    /// All policies, in file order.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The group of this name, in any case.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(self.group_names.find(name.as_bytes())?)
    }

    /// All groups, in file order.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// All exemptions, in file order.
    pub fn exemptions(&self) -> &[Exemption] {
        &self.exemptions
    }

    /// The first exemption whose account is `principal` and whose bounds hold.
    pub(super) fn exemption(
        &self,
        principal: &Principal,
        task: &Task,
        source: IpAddr,
        now: DateTime<Utc>,
    ) -> Option<&Exemption> {
        if self.exempt_accounts.is_empty() {
            return None;
        }
        let accounts = [&principal.name, &principal.key].map(|account| {
            let number = self.exempt_accounts.find(account.as_bytes());
            number.and_then(|it| self.exemptions_of.get(it))
        });
        if accounts == [None, None] {
            return None;
        }
        let task = FoldedTask::new(task);
        accounts
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|index| self.exemptions.get(*index))
            .find(|it| it.covers(task.as_bytes(), source, now))
    }
}

/// Each name and each text goes in after its length, so that no two sets run together into the same bytes.
fn hash(files: &[PolicyFile]) -> Arc<str> {
    let mut digest = Context::new(&SHA256);
    for PolicyFile { path, text } in files {
        for part in [path, text] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in digest.finish().as_ref() {
        // Writing to a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex.into()
}
