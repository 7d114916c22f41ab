//! Stored policies, added to those of the files: each by itself, so that a bad one is left out and takes no other with it.

use std::collections::HashSet;

use super::super::file;
use super::super::problem::{Place, PolicyProblem, Report, printable};
use super::super::scopes::{Conflict, ScopeIndex};
use super::super::{PolicyFile, Source, StoredPolicy};
use super::policies::{self, Definitions, Draft};
use super::{index, told};

/// All policies with those of `stored` that are good, their index, and what is wrong with the others.
pub(super) fn add(
    mut drafts: Vec<Draft>,
    of_files: ScopeIndex,
    stored: &[StoredPolicy],
    defined: Definitions<'_>,
) -> (Vec<Draft>, ScopeIndex, Vec<PolicyProblem>) {
    if stored.is_empty() {
        return (drafts, of_files, Vec::new());
    }
    let first_stored = drafts.len();
    let mut problems = Vec::new();
    // The older of two that tie stays.
    let mut ordered: Vec<&StoredPolicy> = stored.iter().collect();
    ordered.sort_by_key(|it| (it.at, it.definition.folded_scope()));
    for stored in ordered {
        match read(stored, defined) {
            Ok(draft) => drafts.push(draft),
            Err(mut found) => problems.append(&mut found),
        }
    }
    loop {
        let (index, conflicts) = index(&drafts);
        let mut left_out = HashSet::new();
        for conflict in conflicts {
            let (first, again) = match &conflict {
                Conflict::Shared { first, again, .. } | Conflict::Tie(first, again) => {
                    (*first, *again)
                }
                // The files alone have no such conflict, so it goes with the youngest of the store.
                Conflict::TooMany(one) => (*one, drafts.len().saturating_sub(1)),
            };
            let (Some(one), Some(two)) = (drafts.get(first), drafts.get(again)) else {
                continue;
            };
            // Of two in conflict, the later is of the store, unless a policy of it goes that settled the matter.
            if again >= first_stored && !left_out.contains(&first) && left_out.insert(again) {
                let (message, _) = told(&conflict, one, two);
                problems.push(PolicyProblem {
                    place: place(&two.folded),
                    message,
                    hint: Some(match one.source {
                        Source::File(_) => "what a file defines, only the file changes".to_owned(),
                        Source::Store { .. } => "remove one of them".to_owned(),
                    }),
                });
            }
        }
        if left_out.is_empty() {
            return (drafts, index, problems);
        }
        let mut number = 0;
        drafts.retain(|_| {
            number += 1;
            !left_out.contains(&(number - 1))
        });
    }
}

fn read(stored: &StoredPolicy, defined: Definitions<'_>) -> Result<Draft, Vec<PolicyProblem>> {
    let scope = stored.definition.folded_scope().unwrap_or_default();
    let files = [PolicyFile {
        path: place(&scope).file,
        text: stored.definition.to_toml(),
    }];
    let mut report = Report::new(&files);
    let raw = file::read(&files, &mut report);
    let drafts = policies::lower(raw.policies, defined, &mut report);
    let mut problems = report.finish();
    for problem in &mut problems {
        // The lines are of a text that nobody wrote.
        problem.place.line = 0;
    }
    match drafts.into_iter().next() {
        Some(mut draft) if problems.is_empty() => {
            draft.source = Source::Store {
                by: stored.by.clone(),
                at: stored.at,
            };
            Ok(draft)
        }
        Some(_) | None => Err(problems),
    }
}

fn place(scope: &str) -> Place {
    Place {
        file: format!("stored policy `{}`", printable(scope)),
        line: 0,
    }
}
