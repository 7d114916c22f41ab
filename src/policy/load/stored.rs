//! Stored policies, added to those of the files: each by itself, so that a bad one is left out and takes no other with it.

use std::collections::HashSet;

use super::super::index::{Conflict, TaskIndex};
use super::super::problem::{Place, PolicyProblem, Report};
use super::super::{PolicyFile, Source, StoredPolicy, file};
use super::groups::Groups;
use super::policies::{self, Draft};

/// All policies with those of `stored` that are good, their index, and what is wrong with the others.
pub(super) fn add(
    mut drafts: Vec<Draft>,
    index: TaskIndex,
    stored: &[StoredPolicy],
    groups: &Groups,
    default_approver_group: Option<&str>,
) -> (Vec<Draft>, TaskIndex, Vec<PolicyProblem>) {
    if stored.is_empty() {
        return (drafts, index, Vec::new());
    }
    let of_files = drafts.len();
    let mut problems = Vec::new();
    // The older of two that tie stays.
    let mut ordered: Vec<&StoredPolicy> = stored.iter().collect();
    ordered.sort_by_key(|it| (it.at, it.definition.folded_scope()));
    for stored in ordered {
        match read(stored, groups, default_approver_group) {
            Ok(draft) => drafts.push(draft),
            Err(mut found) => problems.append(&mut found),
        }
    }
    loop {
        let scopes: Vec<_> = drafts.iter().map(|it| it.pattern.clone()).collect();
        let (index, conflicts) = TaskIndex::new(&scopes);
        let mut left_out = HashSet::new();
        for conflict in conflicts {
            let (first, again) = match conflict {
                Conflict::Tie(first, again) => (first, again),
                // Files alone have no such conflict, so it goes with the youngest of the store.
                Conflict::TooMany(_) => (of_files, drafts.len().saturating_sub(1)),
            };
            let (Some(one), Some(two)) = (drafts.get(first), drafts.get(again)) else {
                continue;
            };
            if again < of_files || left_out.contains(&first) || !left_out.insert(again) {
                continue;
            }
            problems.push(tie(one, two));
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

fn read(
    stored: &StoredPolicy,
    groups: &Groups,
    default_approver_group: Option<&str>,
) -> Result<Draft, Vec<PolicyProblem>> {
    let scope = stored.definition.folded_scope().unwrap_or_default();
    let files = [PolicyFile {
        path: format!("stored policy `{scope}`"),
        text: stored.definition.to_toml(),
    }];
    let mut report = Report::new(&files);
    let raw = file::read(&files, &mut report);
    let drafts = policies::lower(raw.policies, groups, default_approver_group, &mut report);
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

fn tie(first: &Draft, again: &Draft) -> PolicyProblem {
    let scope = again.pattern.as_str();
    let what = if first.pattern == again.pattern {
        "there is a policy for it already"
    } else {
        "it and another match some of the same tasks and are equally specific"
    };
    PolicyProblem {
        place: Place {
            file: format!("stored policy `{scope}`"),
            line: 0,
        },
        message: format!("{what}: `{}` ({})", first.scope_text, first.source),
        hint: Some(match first.source {
            Source::File(_) => "what a file defines, only the file changes".to_owned(),
            Source::Store { .. } => "remove one of them".to_owned(),
        }),
    }
}
