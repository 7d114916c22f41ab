//! From a command to the policy that governs it: the most specific of those that are enforced, or where none is, of those that
//! only report.
//!
//! Two policies that are equally specific for some task are refused when the index is built, unless a more specific policy
//! governs that task anyway. So at most one policy governs a command, whatever the order of the files is. One that only reports
//! settles nothing between those that are enforced, and takes no command from them.

mod levels;

use std::sync::Arc;

use crate::model::Task;

use super::ScopeKind;
use super::catalogue::{Catalogue, Effect};
use super::folded::FoldedMap;
use super::index::FoldedTask;
use super::pattern::Pattern;

use levels::Levels;

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

/// A policy, as the index needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// The scope's folded text,
    pub(super) text: &'a str,
    /// and what it is about.
    pub(super) reach: &'a Reach,
    /// Whether it blocks whoever asks.
    pub(super) is_never: bool,
    /// Whether it only reports.
    pub(super) reports: bool,
}

/// The policies that have to do with a command, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The one that governs it.
    pub(super) governing: Option<usize>,
    /// One that only reports, and would govern it if it were enforced.
    pub(super) reporting: Option<usize>,
}

/// The index over all policies' scopes.
#[derive(Clone, Debug, Default)]
pub(super) struct ScopeIndex {
    /// All scopes by their folded texts.
    scopes: FoldedMap,
    all: Levels,
    /// Those that are enforced, if any other is not.
    enforced: Option<Box<Levels>>,
    /// By the numbers of policies, whether each only reports; empty if none does.
    reports: Vec<bool>,
}

impl ScopeIndex {
    /// The index over policies' scopes, and every conflict between them.
    pub(super) fn new(entries: &[Entry<'_>]) -> (Self, Vec<Conflict>) {
        let (scopes, repeated) = FoldedMap::number(entries.iter().map(|it| it.text));
        let mut conflicts: Vec<Conflict> = repeated
            .iter()
            .map(|(first, again)| Conflict::Tie(*first, *again))
            .collect();
        // A repeated scope is told already; it would tie with whatever the first one ties with.
        let numbered = entries.iter().enumerate();
        let distinct: Vec<(usize, &Entry<'_>)> = numbered
            .filter(|(number, it)| scopes.find(it.text.as_bytes()) == Some(*number))
            .collect();
        let all = Levels::new(&distinct, &mut conflicts);
        let (mut enforced, mut reports) = (None, Vec::new());
        if entries.iter().any(|it| it.reports) {
            let those = distinct.into_iter().filter(|(_, it)| !it.reports);
            let those: Vec<_> = those.collect();
            let mut found = Vec::new();
            enforced = Some(Box::new(Levels::new(&those, &mut found)));
            found.retain(|it| !conflicts.iter().any(|known| known.is_between(it)));
            conflicts.append(&mut found);
            reports = entries.iter().map(|it| it.reports).collect();
        }
        let index = Self {
            scopes,
            all,
            enforced,
            reports,
        };
        (index, conflicts)
    }

    /// The policies that have to do with a command of `task` with parameters of these names.
    pub(super) fn find<'p>(
        &self,
        task: &Task,
        parameters: impl IntoIterator<Item = &'p str> + Clone,
        catalogue: &Catalogue,
    ) -> Found {
        let folded = FoldedTask::new(task);
        let most_specific = self
            .all
            .governing(task, &folded, parameters.clone(), catalogue);
        let (Some(number), Some(enforced)) = (most_specific, &self.enforced) else {
            return Found {
                governing: most_specific,
                reporting: None,
            };
        };
        if !self.only_reports(number) {
            return Found {
                governing: most_specific,
                reporting: None,
            };
        }
        match enforced.governing(task, &folded, parameters, catalogue) {
            Some(governing) => Found {
                governing: Some(governing),
                reporting: most_specific,
            },
            None => Found {
                governing: most_specific,
                reporting: None,
            },
        }
    }

    /// All policies that govern some command of `task`: those that are enforced, the most severe effect first, and then those that
    /// only report.
    pub(super) fn possible(&self, task: &Task, catalogue: &Catalogue) -> Vec<usize> {
        let Some(enforced) = &self.enforced else {
            return self.all.possible(task, catalogue);
        };
        let mut possible = enforced.possible(task, catalogue);
        let plain = enforced.governing(task, &FoldedTask::new(task), [], catalogue);
        if plain.is_none() {
            possible.extend(self.reporting(task, catalogue));
        }
        possible
    }

    /// All policies that only report, and would govern some command of `task` if they were enforced.
    pub(super) fn reporting(&self, task: &Task, catalogue: &Catalogue) -> Vec<usize> {
        let mut all = self.all.possible(task, catalogue);
        all.retain(|it| self.only_reports(*it));
        all
    }

    fn only_reports(&self, number: usize) -> bool {
        self.reports.get(number).copied().unwrap_or(false)
    }

    /// The policy with this scope, in any case.
    pub(super) fn scope(&self, scope: &str) -> Option<usize> {
        self.scopes.find(scope.as_bytes())
    }
}

impl Conflict {
    /// Whether it is between the same policies as another.
    fn is_between(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Shared { first, again, .. },
                Self::Shared {
                    first: one,
                    again: two,
                    ..
                },
            ) => (first, again) == (one, two),
            (Self::Shared { .. } | Self::Tie(..) | Self::TooMany(_), _) => self == other,
        }
    }
}

#[cfg(test)]
mod tests;
