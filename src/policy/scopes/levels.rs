//! Policies by the kinds of their scopes: a [`TaskIndex`] for each, asked from the most specific kind to the least, then the effects
//! of the command.
//!
//! Effects cannot tie: a command may have several. Of their policies a `never` governs it before any other, so that nothing that
//! is added to a command takes it out of a `never`; then that of the most severe effect.

use std::collections::{BTreeMap, HashMap};

use crate::model::Task;

use super::super::ScopeKind;
use super::super::catalogue::{Catalogue, Effect, Effects};
use super::super::index::{self, FoldedTask, TaskIndex};
use super::super::pattern::Pattern;
use super::{Conflict, Entry, Reach};

/// How many comparisons of tasks with patterns of other roles are made to find ties: about a second's work.
const MAX_COMPARISONS: usize = 4_000_000;

/// How many tasks are told of two policies that tie.
const TASKS_TOLD: usize = 3;

/// Policies of all kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels {
    tasks: Level,
    roles: Level,
    role_groups: Level,
    /// By severity, the policy for each effect.
    effects: [Option<OfEffect>; Effect::ALL.len()],
}

/// The scopes of one kind.
#[derive(Clone, Debug, Default)]
struct Level {
    index: TaskIndex,
    /// By the numbers of the index, the policies'.
    policies: Vec<usize>,
}

/// The policy for an effect.
#[derive(Clone, Copy, Debug)]
struct OfEffect {
    policy: usize,
    is_never: bool,
}

impl Levels {
    /// Policies with their numbers; adds every conflict between them.
    pub(super) fn new(entries: &[(usize, &Entry<'_>)], conflicts: &mut Vec<Conflict>) -> Self {
        let mut index = Self {
            tasks: Level::of_tasks(entries, conflicts),
            ..Self::default()
        };
        for kind in [ScopeKind::Role, ScopeKind::RoleGroup] {
            let of_kind = entries
                .iter()
                .filter_map(|(number, entry)| match (kind, entry.reach) {
                    (ScopeKind::Role, Reach::Role(tasks))
                    | (ScopeKind::RoleGroup, Reach::RoleGroup(tasks)) => Some((*number, &**tasks)),
                    (
                        _,
                        Reach::Effect(_) | Reach::Role(_) | Reach::RoleGroup(_) | Reach::Task(_),
                    ) => None,
                });
            let of_kind: Vec<(&Pattern, usize)> = of_kind
                .flat_map(|(number, tasks)| tasks.iter().map(move |task| (task, number)))
                .collect();
            find_shared(&of_kind, &index, conflicts);
            let level = Level::of_roles(&of_kind);
            if kind == ScopeKind::Role {
                index.roles = level;
            } else {
                index.role_groups = level;
            }
        }
        for (number, entry) in entries {
            if let Reach::Effect(effect) = entry.reach
                && let Some(slot) = index.effects.get_mut(effect.severity())
            {
                *slot = Some(OfEffect {
                    policy: *number,
                    is_never: entry.is_never,
                });
            }
        }
        index
    }

    /// The policy that governs a command of `task` with parameters of these names.
    pub(super) fn governing<'p>(
        &self,
        task: &Task,
        folded: &FoldedTask,
        parameters: impl IntoIterator<Item = &'p str>,
        catalogue: &Catalogue,
    ) -> Option<usize> {
        self.by_task(folded).or_else(|| {
            if self.effects.iter().all(Option::is_none) {
                return None;
            }
            self.by_effects(catalogue.effects(task, folded, parameters))
        })
    }

    /// The policy that governs `task` by its name, whatever the parameters are.
    fn by_task(&self, task: &FoldedTask) -> Option<usize> {
        [&self.tasks, &self.roles, &self.role_groups]
            .into_iter()
            .find_map(|level| level.find(task))
    }

    /// The policy that governs a command with these effects, which nothing governs by its name.
    fn by_effects(&self, effects: Effects) -> Option<usize> {
        let mut most_severe = None;
        for effect in effects.most_severe_first() {
            match self.of_effect(effect) {
                Some(it) if it.is_never => return Some(it.policy),
                Some(it) if most_severe.is_none() => most_severe = Some(it.policy),
                Some(_) | None => {}
            }
        }
        most_severe
    }

    /// All policies that govern some command of `task`: one that governs it by its name, or those of its effects.
    pub(super) fn possible(&self, task: &Task, catalogue: &Catalogue) -> Vec<usize> {
        if let Some(policy) = self.by_task(&FoldedTask::new(task)) {
            return vec![policy];
        }
        // Every command has at least the effect of its task. What governs one with a further effect may govern others with more; what
        // does not, governs none.
        let own = Effects::of(catalogue.effect(task));
        let effects = catalogue.possible_effects(task).most_severe_first();
        effects
            .filter_map(|effect| {
                let policy = self.of_effect(effect)?.policy;
                (self.by_effects(own.with(effect)) == Some(policy)).then_some(policy)
            })
            .collect()
    }

    fn of_effect(&self, effect: Effect) -> Option<OfEffect> {
        self.effects.get(effect.severity()).copied().flatten()
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
    fn of_tasks(entries: &[(usize, &Entry<'_>)], conflicts: &mut Vec<Conflict>) -> Self {
        let (patterns, policies): (Vec<Pattern>, Vec<usize>) = entries
            .iter()
            .filter_map(|(number, entry)| match entry.reach {
                Reach::Task(pattern) => Some((pattern.clone(), *number)),
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
fn find_shared(entries: &[(&Pattern, usize)], index: &Levels, conflicts: &mut Vec<Conflict>) {
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
