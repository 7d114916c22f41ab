//! From a command to the policy that governs it: a [`TaskIndex`] for each kind of scope, asked from the most specific kind to the
//! least, then the effects of the command.
//!
//! Two policies that are equally specific for some task are refused when the index is built, unless a more specific policy
//! governs that task anyway. So at most one policy governs a command, whatever the order of the files is. Effects cannot tie: a
//! command may have several, and the most severe of those that have a policy counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::Task;

use super::ScopeKind;
use super::catalogue::{Catalogue, Effect};
use super::folded::FoldedMap;
use super::index::{self, FoldedTask, TaskIndex};
use super::pattern::Pattern;

/// How many comparisons of tasks with patterns of other roles are made to find ties: about a second's work.
const MAX_COMPARISONS: usize = 4_000_000;

/// How many tasks are told of two policies that tie.
const TASKS_TOLD: usize = 3;

/// What a policy is about, as the index needs it.
#[derive(Clone, Debug)]
pub(super) enum Reach {
    /// Commands of an effect.
    Effect(Effect),
    /// A role's tasks.
    Role(Arc<[Pattern]>),
    /// The tasks of a role group's roles.
    RoleGroup(Arc<[Pattern]>),
    /// A task, or those that a pattern matches.
    Task(Pattern),
}

impl Reach {
    /// Whether it has this task, in lower case, by its whole name.
    pub(super) fn names(&self, task: &[u8]) -> bool {
        let is_it = |it: &Pattern| it.is_exact() && it.matches(task);
        match self {
            Self::Effect(_) => false,
            Self::Role(tasks) | Self::RoleGroup(tasks) => tasks.iter().any(is_it),
            Self::Task(task) => is_it(task),
        }
    }

    pub(super) fn kind(&self) -> ScopeKind {
        match self {
            Self::Effect(_) => ScopeKind::Effect,
            Self::Role(_) => ScopeKind::Role,
            Self::RoleGroup(_) => ScopeKind::RoleGroup,
            Self::Task(pattern) if pattern.is_exact() => ScopeKind::Task,
            Self::Task(_) => ScopeKind::Pattern,
        }
    }
}

/// Why policies do not make an index. Policies have the numbers of their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Two policies whose roles or role groups share tasks that nothing more specific governs.
    Shared {
        first: usize,
        again: usize,
        /// Some of the tasks,
        tasks: Vec<String>,
        /// and how many others there are.
        others: usize,
    },
    /// Two policies with one scope, or with patterns that are equally specific for some task.
    Tie(usize, usize),
    /// Too many patterns, of which a policy has one, to compare them all.
    TooMany(usize),
}

/// The index over all policies' scopes.
#[derive(Clone, Debug, Default)]
pub(super) struct ScopeIndex {
    /// All scopes by their folded texts.
    scopes: FoldedMap,
    tasks: Level,
    roles: Level,
    role_groups: Level,
    /// By severity, the policy for each effect.
    effects: [Option<usize>; Effect::ALL.len()],
}

/// The scopes of one kind.
#[derive(Clone, Debug, Default)]
struct Level {
    index: TaskIndex,
    /// By the numbers of the index, the policies'.
    policies: Vec<usize>,
}

impl ScopeIndex {
    /// The index over scopes, each a folded text and what it is about, and every conflict between them.
    pub(super) fn new(scopes: &[(&str, &Reach)]) -> (Self, Vec<Conflict>) {
        let (by_text, repeated) = FoldedMap::number(scopes.iter().map(|it| it.0));
        let mut conflicts: Vec<Conflict> = repeated
            .iter()
            .map(|(first, again)| Conflict::Tie(*first, *again))
            .collect();
        // A repeated scope is told already; it would tie with whatever the first one ties with.
        let distinct = || {
            scopes
                .iter()
                .enumerate()
                .filter(|(number, (text, _))| by_text.find(text.as_bytes()) == Some(*number))
                .map(|(number, (_, reach))| (number, *reach))
        };
        let mut index = Self {
            tasks: Level::of_tasks(distinct(), &mut conflicts),
            ..Self::default()
        };
        for kind in [ScopeKind::Role, ScopeKind::RoleGroup] {
            let entries = distinct().filter_map(|(number, reach)| match (kind, reach) {
                (ScopeKind::Role, Reach::Role(tasks))
                | (ScopeKind::RoleGroup, Reach::RoleGroup(tasks)) => Some((number, &**tasks)),
                (_, Reach::Effect(_) | Reach::Role(_) | Reach::RoleGroup(_) | Reach::Task(_)) => {
                    None
                }
            });
            let entries: Vec<(&Pattern, usize)> = entries
                .flat_map(|(number, tasks)| tasks.iter().map(move |task| (task, number)))
                .collect();
            find_shared(&entries, &index, &mut conflicts);
            let level = Level::of_roles(&entries);
            if kind == ScopeKind::Role {
                index.roles = level;
            } else {
                index.role_groups = level;
            }
        }
        for (number, reach) in distinct() {
            if let Reach::Effect(effect) = reach
                && let Some(slot) = index.effects.get_mut(effect.severity())
            {
                *slot = Some(number);
            }
        }
        index.scopes = by_text;
        (index, conflicts)
    }

    /// The policy that governs a command of `task` with parameters of these names.
    pub(super) fn governing<'p>(
        &self,
        task: &Task,
        parameters: impl IntoIterator<Item = &'p str>,
        catalogue: &Catalogue,
    ) -> Option<usize> {
        let folded = FoldedTask::new(task);
        self.by_task(&folded).or_else(|| {
            if self.effects.iter().all(Option::is_none) {
                return None;
            }
            let effects = catalogue.effects(task, &folded, parameters);
            effects.most_severe_first().find_map(|it| self.effect(it))
        })
    }

    /// The policy that governs `task` by its name, whatever the parameters are.
    fn by_task(&self, task: &FoldedTask) -> Option<usize> {
        [&self.tasks, &self.roles, &self.role_groups]
            .into_iter()
            .find_map(|level| level.find(task))
    }

    /// All policies that govern some command of `task`: one that governs it by its name, or those of its effects.
    pub(super) fn possible(&self, task: &Task, catalogue: &Catalogue) -> Vec<usize> {
        if let Some(policy) = self.by_task(&FoldedTask::new(task)) {
            return vec![policy];
        }
        let effects = catalogue.possible_effects(task).most_severe_first();
        let base = effects.filter_map(|it| Some((it, self.effect(it)?)));
        let mut possible = Vec::new();
        for (effect, policy) in base {
            possible.push(policy);
            // Every command has at least the effect of its task: milder ones never count.
            if effect.severity() <= catalogue.effect(task).severity() {
                break;
            }
        }
        possible
    }

    fn effect(&self, effect: Effect) -> Option<usize> {
        self.effects.get(effect.severity()).copied().flatten()
    }

    /// The policy with this scope, in any case.
    pub(super) fn scope(&self, scope: &str) -> Option<usize> {
        self.scopes.find(scope.as_bytes())
    }

    /// Whether something more specific than what is not yet in the index governs all that `task` is.
    fn settles(&self, task: &Pattern) -> bool {
        if task.is_exact() {
            return FoldedTask::of_folded(task.as_str())
                .is_some_and(|it| self.by_task(&it).is_some());
        }
        // Of patterns, only the same one is known to cover this one.
        self.tasks.index.scope(task.as_str()).is_some()
    }
}

impl Level {
    fn of_tasks<'r>(
        scopes: impl Iterator<Item = (usize, &'r Reach)>,
        conflicts: &mut Vec<Conflict>,
    ) -> Self {
        let (patterns, policies): (Vec<Pattern>, Vec<usize>) = scopes
            .filter_map(|(number, reach)| match reach {
                Reach::Task(pattern) => Some((pattern.clone(), number)),
                Reach::Effect(_) | Reach::Role(_) | Reach::RoleGroup(_) => None,
            })
            .unzip();
        let (index, found) = TaskIndex::new(&patterns);
        let policy = |number: usize| policies.get(number).copied().unwrap_or_default();
        conflicts.extend(found.into_iter().map(|conflict| match conflict {
            index::Conflict::Tie(first, again) => Conflict::Tie(policy(first), policy(again)),
            index::Conflict::TooMany(one) => Conflict::TooMany(policy(one)),
        }));
        Self { index, policies }
    }

    fn of_roles(entries: &[(&Pattern, usize)]) -> Self {
        let patterns: Vec<Pattern> = entries.iter().map(|it| it.0.clone()).collect();
        Self {
            index: TaskIndex::without_conflicts(&patterns),
            policies: entries.iter().map(|it| it.1).collect(),
        }
    }

    fn find(&self, task: &FoldedTask) -> Option<usize> {
        let number = self.index.find(task)?;
        self.policies.get(number).copied()
    }
}

/// Adds a conflict for each two policies whose roles share tasks, unless what is in `index` already governs them.
fn find_shared(entries: &[(&Pattern, usize)], index: &ScopeIndex, conflicts: &mut Vec<Conflict>) {
    let mut shared: BTreeMap<(usize, usize), (Vec<String>, usize)> = BTreeMap::new();
    let mut note = |task: &Pattern, one: usize, two: usize| {
        if one != two && !index.settles(task) {
            let (told, others) = shared.entry((one.min(two), one.max(two))).or_default();
            if told.len() < TASKS_TOLD {
                told.push(task.as_str().to_owned());
            } else {
                *others += 1;
            }
        }
    };
    let mut exact: HashMap<&str, Vec<usize>> = HashMap::new();
    let (tasks, patterns): (Vec<_>, Vec<_>) = entries.iter().partition(|(it, _)| it.is_exact());
    for (task, policy) in &tasks {
        let owners = exact.entry(task.as_str()).or_default();
        if let Some(first) = owners.first() {
            note(task, *first, *policy);
        }
        owners.push(*policy);
    }
    let mut budget = MAX_COMPARISONS;
    for (position, (pattern, policy)) in patterns.iter().enumerate() {
        let others = patterns.iter().skip(position + 1);
        // To compare two patterns takes longer than to match a task.
        let Some(left) = budget.checked_sub(tasks.len() + others.len() * 16) else {
            conflicts.push(Conflict::TooMany(*policy));
            break;
        };
        budget = left;
        for (task, other) in &tasks {
            if other != policy && pattern.matches(task.as_str().as_bytes()) {
                note(task, *policy, *other);
            }
        }
        for (second, other) in others {
            if other != policy && !index.settles(second) && pattern.overlaps(second) {
                note(pattern, *policy, *other);
            }
        }
    }
    conflicts.extend(shared.into_iter().map(|((first, again), (tasks, others))| {
        Conflict::Shared {
            first,
            again,
            tasks,
            others,
        }
    }));
}

#[cfg(test)]
mod tests;
