//! All policy files as one set: validated whole, immutable, indexed for the decision.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, Utc};

use crate::model::{Command, Interner, Principal, Redaction, Task};

use super::folded::FoldedMap;
use super::index::FoldedTask;
use super::load::{self, Loaded};
use super::scopes::{Found, Reach, ScopeIndex};
use super::{
    Catalogue, Exemption, Group, Person, Policy, PolicyProblem, Role, RoleGroup, StoredPolicy,
};

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
    index: ScopeIndex,
    groups: Vec<Group>,
    group_names: FoldedMap,
    exemptions: Vec<Exemption>,
    exempt_accounts: FoldedMap,
    /// By the numbers of `exempt_accounts`, indices into `exemptions`.
    exemptions_of: Vec<Vec<usize>>,
    persons: Vec<Person>,
    /// Every account of every person,
    accounts: FoldedMap,
    /// and by its number, the index of its person in `persons`.
    persons_of: Vec<usize>,
    roles: Vec<Role>,
    role_names: FoldedMap,
    role_groups: Vec<RoleGroup>,
    role_group_names: FoldedMap,
    catalogue: Arc<Catalogue>,
    skipped: Vec<PolicyProblem>,
    /// What is hidden in what callers are told.
    redaction: Redaction,
    hash: Arc<str>,
}

/// The policies that have to do with a command.
#[derive(Clone, Copy, Debug)]
pub struct Governing<'s> {
    /// The one that governs it, if one does.
    pub policy: Option<&'s Policy>,
    /// One that only reports and would govern it if it were enforced, beside the one that does and is.
    pub reporting: Option<&'s Policy>,
}

impl PolicySet {
    /// Reads the files as one set. On any problem there is no set, and all problems are told, in file and line order.
    /// `default_approver_group` is what a manual policy without `approvers` uses (`[access_control]` of the configuration).
    ///
    /// What operators made while the gateway ran, `stored`, is added to what the files define. Files have the last word: a
    /// stored policy that cannot be read, or that ties with one of a file, is left out and told by [`PolicySet::skipped`].
    ///
    /// Bounds: 4 MiB a file; 100,000 policies, groups, persons, roles, role groups, cmdlets and exemptions each; regular expressions of 4 KiB, 10,000 different ones.
    pub fn load(
        files: &[PolicyFile],
        stored: &[StoredPolicy],
        default_approver_group: Option<&str>,
        interner: &Interner,
    ) -> Result<Self, Vec<PolicyProblem>> {
        let loaded = load::load(files, stored, default_approver_group, interner)?;
        Ok(Self::new(loaded, hash(files, stored)))
    }

    /// A set without a policy: everything is ungoverned.
    pub fn empty() -> Self {
        let loaded = Loaded {
            policies: Vec::new(),
            index: ScopeIndex::default(),
            groups: Vec::new(),
            exemptions: Vec::new(),
            persons: Vec::new(),
            roles: Vec::new(),
            role_groups: Vec::new(),
            catalogue: Arc::clone(Catalogue::shipped()),
            skipped: Vec::new(),
        };
        Self::new(loaded, hash(&[], &[]))
    }

    fn new(loaded: Loaded, hash: Arc<str>) -> Self {
        let Loaded {
            policies,
            index,
            groups,
            exemptions,
            persons,
            roles,
            role_groups,
            catalogue,
            skipped,
        } = loaded;
        let (role_names, _) = FoldedMap::number(roles.iter().map(|it| it.name.as_str()));
        let (role_group_names, _) =
            FoldedMap::number(role_groups.iter().map(|it| it.name.as_str()));
        let accounts = || {
            let persons = persons.iter().enumerate();
            persons.flat_map(|(index, it)| it.accounts.iter().map(move |account| (account, index)))
        };
        let (account_names, _) = FoldedMap::number(accounts().map(|it| it.0.as_str()));
        let persons_of = accounts().map(|it| it.1).collect();
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
            accounts: account_names,
            persons_of,
            persons,
            roles,
            role_names,
            role_groups,
            role_group_names,
            catalogue,
            skipped,
            redaction: Redaction::default(),
            hash,
        }
    }

    /// It, with all hidden in what callers are told that `redaction` hides.
    #[must_use]
    pub fn with_redaction(mut self, redaction: &Redaction) -> Self {
        for policy in &mut self.policies {
            policy.parameters.hide(redaction);
        }
        self.redaction = redaction.clone();
        self
    }

    /// Whether the value of a parameter of this name is hidden, so that no request can name it.
    pub(super) fn hides(&self, parameter: &str) -> bool {
        self.redaction.hides(parameter)
    }

    /// SHA-256 of the files' names and texts and of the stored policies, in hex: what records name the set by.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// [`PolicySet::hash`], to be shared by the records of many calls.
    pub fn shared_hash(&self) -> Arc<str> {
        Arc::clone(&self.hash)
    }

    /// The policies that have to do with a command. It is governed by the most specific scope that covers it, of those that are
    /// enforced if any is. That of an effect governs what nothing more specific does; of a command with several effects, a `never`
    /// counts before the others, and then the most severe that has a policy.
    pub fn governing_command(&self, command: &Command) -> Governing<'_> {
        let names = command.parameters.iter().map(|it| it.name.as_str());
        let Found {
            governing,
            reporting,
        } = self.index.find(&command.task, names, &self.catalogue);
        let policy = |it: Option<usize>| self.policies.get(it?);
        Governing {
            policy: policy(governing),
            reporting: policy(reporting),
        }
    }

    /// The policy that governs commands of `task` with parameters of these names.
    pub fn governing_with<'p>(
        &self,
        task: &Task,
        parameters: impl IntoIterator<Item = &'p str> + Clone,
    ) -> Option<&Policy> {
        let found = self.index.find(task, parameters, &self.catalogue);
        self.policies.get(found.governing?)
    }

    /// The policy that governs commands of `task` without dangerous parameters. One with such may be governed by the policy of
    /// an effect: see [`PolicySet::possible`].
    pub fn governing(&self, task: &Task) -> Option<&Policy> {
        self.governing_with(task, [])
    }

    /// The parameter for which `policy` governs `command`, where it would not without it.
    pub fn raising_parameter(&self, command: &Command, policy: &Policy) -> Option<&str> {
        let Reach::Effect(effect) = policy.reach else {
            return None;
        };
        if self.catalogue.effect(&command.task) == effect {
            return None;
        }
        let names = command.parameters.iter().map(|it| it.name.as_str());
        self.catalogue.raising(&command.task, effect, names)
    }

    /// The parameters for which `policy` governs commands of `task` that it would not govern without them.
    pub fn raising_parameters(&self, task: &Task, policy: &Policy) -> Vec<&str> {
        let Reach::Effect(effect) = policy.reach else {
            return Vec::new();
        };
        if self.catalogue.effect(task) == effect {
            return Vec::new();
        }
        let dangerous = self
            .catalogue
            .facts(task)
            .map_or(&[][..], |it| &it.dangerous);
        let raising = dangerous.iter().filter(|it| it.effect == effect);
        raising.map(|it| it.name.as_str()).collect()
    }

    /// All policies that govern some command of `task`: the one that governs it by its name, or else those of the effects that
    /// its commands can have, from the most severe. Those that only report come last.
    pub fn possible(&self, task: &Task) -> impl Iterator<Item = &Policy> {
        let numbers = self.index.possible(task, &self.catalogue);
        numbers.into_iter().filter_map(|it| self.policies.get(it))
    }

    /// All policies that only report what they would do with some command of `task`, whether they govern it or another does.
    pub fn reporting(&self, task: &Task) -> impl Iterator<Item = &Policy> {
        let numbers = self.index.reporting(task, &self.catalogue);
        numbers.into_iter().filter_map(|it| self.policies.get(it))
    }

    /// Whether `policy` governs some command of `task`, so that a grant under it for this task covers something.
    pub fn may_govern(&self, policy: &Policy, task: &Task) -> bool {
        self.possible(task).any(|it| it.id == policy.id)
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

    /// The role of this name, in any case.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(self.role_names.find(name.as_bytes())?)
    }

    /// All roles, in file order.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The role group of this name, in any case.
    pub fn role_group(&self, name: &str) -> Option<&RoleGroup> {
        let number = self.role_group_names.find(name.as_bytes())?;
        self.role_groups.get(number)
    }

    /// All role groups, in file order.
    pub fn role_groups(&self) -> &[RoleGroup] {
        &self.role_groups
    }

    /// What cmdlets do, with what the files add to it.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Whether the catalogue or the scope of a policy has this very name, so that it is a cmdlet's and no alias. Those of
    /// Exchange are Exchange's under whatever name the workload has.
    pub(super) fn names_in_full(&self, task: &Task) -> bool {
        let is_shipped = || Catalogue::shipped_cmdlet(&task.cmdlet);
        let folded = FoldedTask::new(task);
        let is_named = |it: &Policy| it.reach.names(folded.as_bytes());
        self.catalogue.facts(task).is_some() || is_shipped() || self.policies.iter().any(is_named)
    }

    /// All persons, in file order.
    pub fn persons(&self) -> &[Person] {
        &self.persons
    }

    /// What is wrong with stored policies, which were left out for it.
    pub fn skipped(&self) -> &[PolicyProblem] {
        &self.skipped
    }

    /// The person who has the account with this key and name.
    pub fn person(&self, key: &str, name: &str) -> Option<&Person> {
        let number = [key, name]
            .into_iter()
            .find_map(|account| self.accounts.find(account.as_bytes()))?;
        self.persons.get(*self.persons_of.get(number)?)
    }

    /// Whether `who` is the person with this key and name ([`Principal::key`], [`Principal::name`]): by the same key, the same
    /// name, or two accounts of one `[[person]]`.
    pub fn is_same_person(&self, who: &Principal, key: &str, name: &str) -> bool {
        self.are_same_person((&who.key, &who.name), (key, name))
    }

    /// Whether two accounts, each its key and its name, are one person's.
    pub fn are_same_person(&self, one: (&str, &str), two: (&str, &str)) -> bool {
        if one.0 == two.0 || one.1.eq_ignore_ascii_case(two.1) {
            return true;
        }
        // Key and name of one account may be listed with two persons; whoever shares any of them is the same.
        let persons = |(key, name): (&str, &str)| {
            [key, name].map(|account| {
                let number = self.accounts.find(account.as_bytes())?;
                self.persons_of.get(number).copied()
            })
        };
        let two = persons(two);
        persons(one)
            .into_iter()
            .flatten()
            .any(|person| two.contains(&Some(person)))
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

/// Each name and each text goes in after its length, so that no two sets run together into the same bytes. Without stored
/// policies it is the files' alone.
fn hash(files: &[PolicyFile], stored: &[StoredPolicy]) -> Arc<str> {
    let mut digest = Context::new(&SHA256);
    let mut add = |part: &str| {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    };
    for PolicyFile { path, text } in files {
        add(path);
        add(text);
    }
    for StoredPolicy { definition, by, at } in stored {
        add("");
        add(&definition.to_toml());
        add(by);
        add(&at.timestamp_millis().to_string());
    }
    let mut hex = String::with_capacity(64);
    for byte in digest.finish().as_ref() {
        // Writing to a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex.into()
}
