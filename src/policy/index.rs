//! From a task to the most specific of many tasks and patterns: exact ones through a hash map, patterns through their literal
//! parts.
//!
//! An exact one comes first, then the pattern with the longest literal prefix. Two that tie are told when the index is built.

use std::collections::BTreeMap;

use crate::model::{CmdletName, MAX_NAME_BYTES, Task};

use super::folded::FoldedMap;
use super::pattern::Pattern;
use super::prefixes::PrefixTable;

/// How many pairs of patterns with the same literal prefix are compared for ties: about a second's work. Only a
/// thousand patterns that begin alike, and that neither noun nor end tells apart, come to more.
const MAX_COMPARISONS: usize = 500_000;

/// The index over tasks and patterns, by their numbers in order.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskIndex {
    /// All scopes by their texts; no task's text is that of a pattern.
    scopes: FoldedMap,
    /// The patterns by literal prefix.
    patterns: PrefixTable<Tails>,
}

/// The patterns that share a literal prefix.
#[derive(Clone, Debug)]
struct Tails {
    /// Those that tell what the noun begins with, by that: `*-Mailbox`, `*-Mail*`.
    by_noun: PrefixTable<Bucket>,
    /// The rest, by their literal ends, reversed: `Get-*`, `*Box`.
    by_end: PrefixTable<Bucket>,
}

type Bucket = Vec<(Pattern, usize)>;

/// Why scopes do not make an index.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Two scopes, by number, are equally specific for some task.
    Tie(usize, usize),
    /// Too many patterns, of which this is one, share a literal prefix to compare them all.
    TooMany(usize),
}

impl TaskIndex {
    /// The index over `scopes`, and every conflict between them.
    pub(super) fn new(scopes: &[Pattern]) -> (Self, Vec<Conflict>) {
        let (index, repeated) = Self::build(scopes);
        let mut conflicts: Vec<Conflict> = repeated
            .into_iter()
            .map(|(first, again)| Conflict::Tie(first, again))
            .collect();
        for tails in index.patterns.values() {
            tails.find_conflicts(&mut conflicts);
        }
        (index, conflicts)
    }

    /// The index over `scopes` where ties do not matter, or are found elsewhere: of two that tie, any is found.
    pub(super) fn without_conflicts(scopes: &[Pattern]) -> Self {
        Self::build(scopes).0
    }

    /// The index, and the pairs (first, again) of scopes with the same text.
    fn build(scopes: &[Pattern]) -> (Self, Vec<(usize, usize)>) {
        let (by_text, repeated) = FoldedMap::number(scopes.iter().map(Pattern::as_str));
        let mut by_prefix: BTreeMap<String, Bucket> = BTreeMap::new();
        for (number, scope) in scopes.iter().enumerate() {
            // A repeated text is told already; it would tie with whatever the first one ties with.
            if !scope.is_exact() && by_text.find(scope.as_str().as_bytes()) == Some(number) {
                let prefix = scope.literal_prefix().to_owned();
                let bucket = by_prefix.entry(prefix).or_default();
                bucket.push((scope.clone(), number));
            }
        }
        let tails = by_prefix
            .into_iter()
            .map(|(prefix, bucket)| (prefix, Tails::new(bucket)));
        let patterns = PrefixTable::new(tails.collect());
        let index = Self {
            scopes: by_text,
            patterns,
        };
        (index, repeated)
    }

    /// The most specific scope that matches `task`.
    pub(super) fn find(&self, task: &FoldedTask) -> Option<usize> {
        self.scopes.find(task.as_bytes()).or_else(|| {
            self.patterns
                .matching(task.as_bytes())
                .find_map(|tails| tails.find(task))
        })
    }

    /// The number of this scope, in any case.
    pub(super) fn scope(&self, scope: &str) -> Option<usize> {
        self.scopes.find(scope.as_bytes())
    }
}

impl Tails {
    fn new(patterns: Bucket) -> Self {
        let (mut by_noun, mut by_end) = (BTreeMap::new(), BTreeMap::new());
        for (pattern, number) in patterns {
            let noun = pattern.noun_prefix().unwrap_or_default();
            // A noun in the shared prefix tells nothing apart.
            let (map, key) = if noun.is_empty() || pattern.literal_prefix().contains('-') {
                (&mut by_end, pattern.literal_end().chars().rev().collect())
            } else {
                (&mut by_noun, noun.to_owned())
            };
            let bucket: &mut Bucket = map.entry(key).or_insert_with(Vec::new);
            bucket.push((pattern, number));
        }
        Self {
            by_noun: PrefixTable::new(by_noun),
            by_end: PrefixTable::new(by_end),
        }
    }

    fn find(&self, task: &FoldedTask) -> Option<usize> {
        let first_match = |bucket: &Bucket| {
            bucket
                .iter()
                .find(|(pattern, _)| pattern.matches(task.as_bytes()))
                .map(|(_, number)| *number)
        };
        let by_noun = self.by_noun.matching(task.noun()).find_map(first_match);
        by_noun.or_else(|| {
            let end = task.reversed_end(self.by_end.longest());
            self.by_end.matching(end.as_bytes()).find_map(first_match)
        })
    }

    /// Adds a conflict for each two patterns that share a task. Patterns whose keys are not prefixes of one another cannot,
    /// so most pairs are never looked at.
    fn find_conflicts(&self, conflicts: &mut Vec<Conflict>) {
        let mut budget = MAX_COMPARISONS;
        let mut compare = |one: &(Pattern, usize), two: &(Pattern, usize)| {
            budget = budget.checked_sub(1).ok_or(Conflict::TooMany(one.1))?;
            if one.0.overlaps(&two.0) {
                conflicts.push(Conflict::Tie(one.1.min(two.1), one.1.max(two.1)));
            }
            Ok(())
        };
        let mut compare_all = || -> Result<(), Conflict> {
            for table in [&self.by_noun, &self.by_end] {
                for (bucket, shorter) in table.families() {
                    for (position, one) in bucket.iter().enumerate() {
                        let others = bucket.iter().skip(position + 1);
                        others.into_iter().try_for_each(|two| compare(one, two))?;
                    }
                    for two in shorter.flatten() {
                        bucket.iter().try_for_each(|one| compare(one, two))?;
                    }
                }
            }
            for one in self.by_noun.values().flatten() {
                for two in self.by_end.values().flatten() {
                    compare(one, two)?;
                }
            }
            Ok(())
        };
        if let Err(conflict) = compare_all() {
            conflicts.push(conflict);
        }
    }
}

/// A task's text in lower case, on the stack.
pub(super) struct FoldedTask {
    bytes: [u8; Self::CAPACITY],
    length: usize,
    hyphen: usize,
}

impl FoldedTask {
    /// Two names and the backslash between them.
    const CAPACITY: usize = 2 * MAX_NAME_BYTES + 1;

    pub(super) fn new(task: &Task) -> Self {
        Self::of_cmdlet(task.workload.as_str(), &task.cmdlet)
    }

    /// A cmdlet's task in a workload.
    pub(super) fn of_cmdlet(workload: &str, cmdlet: &CmdletName) -> Self {
        let mut folded = Self::default();
        folded.push(workload.as_bytes());
        folded.push(b"\\");
        folded.hyphen = folded.length + cmdlet.verb().len();
        folded.push(cmdlet.as_str().as_bytes());
        folded
    }

    /// The task with this text, which is in lower case already.
    pub(super) fn of_folded(text: &str) -> Option<Self> {
        let hyphen = text.find('-')?;
        let mut folded = Self::default();
        folded.push(text.as_bytes());
        folded.hyphen = hyphen;
        Some(folded)
    }

    fn push(&mut self, text: &[u8]) {
        let end = self.length + text.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            for (to, from) in room.iter_mut().zip(text) {
                *to = from.to_ascii_lowercase();
            }
            self.length = end;
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// What stands after the hyphen.
    fn noun(&self) -> &[u8] {
        self.as_bytes().get(self.hyphen + 1..).unwrap_or_default()
    }

    /// The last `length` bytes, backwards.
    fn reversed_end(&self, length: usize) -> Self {
        let mut reversed = Self::default();
        for (to, from) in reversed
            .bytes
            .iter_mut()
            .zip(self.as_bytes().iter().rev().take(length))
        {
            *to = *from;
            reversed.length += 1;
        }
        reversed
    }
}

impl Default for FoldedTask {
    fn default() -> Self {
        Self {
            bytes: [0; Self::CAPACITY],
            length: 0,
            hyphen: 0,
        }
    }
}

#[cfg(test)]
mod tests;
