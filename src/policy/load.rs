//! Gives the raw sections of policy files their meaning, section by section, then as a set. Every problem is noted, and
//! reading goes on, so that people mend a set in one go.

mod exemptions;
mod groups;
mod options;
mod persons;
mod policies;
mod rules;
mod stored;

use std::collections::HashSet;

use crate::model::Interner;

use super::file;
use super::index::{Conflict, TaskIndex};
use super::problem::{At, Located, Report, printable};
use super::{Exemption, Group, Person, Policy, PolicyFile, PolicyProblem, StoredPolicy};

/// How many policies, groups and exemptions a set may have, each.
const MAX_DEFINITIONS: usize = 100_000;

/// The longest name, account, reason and the like, in bytes.
const MAX_TEXT_BYTES: usize = 1_024;

/// What a good set of files defines.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) policies: Vec<Policy>,
    pub(super) index: TaskIndex,
    pub(super) groups: Vec<Group>,
    pub(super) exemptions: Vec<Exemption>,
    pub(super) persons: Vec<Person>,
    /// What is wrong with stored policies, which were left out for it.
    pub(super) skipped: Vec<PolicyProblem>,
}

pub(super) fn load(
    files: &[PolicyFile],
    stored: &[StoredPolicy],
    default_approver_group: Option<&str>,
    interner: &Interner,
) -> Result<Loaded, Vec<PolicyProblem>> {
    let mut report = Report::new(files);
    let raw = file::read(files, &mut report);
    bound("policies", raw.policies.iter().map(|it| it.at), &mut report);
    bound("groups", raw.groups.iter().map(|it| it.at), &mut report);
    bound(
        "exemptions",
        raw.exemptions.iter().map(|it| it.at),
        &mut report,
    );
    bound("persons", raw.persons.iter().map(|it| it.at), &mut report);

    let groups = groups::lower(raw.groups, raw.incomplete, &mut report);
    let drafts = policies::lower(raw.policies, &groups, default_approver_group, &mut report);
    let exemptions = exemptions::lower(raw.exemptions, &mut report);
    let persons = persons::lower(raw.persons, &mut report);
    let index = index(&drafts, &mut report);

    let problems = report.finish();
    if !problems.is_empty() {
        return Err(problems);
    }
    let (drafts, index, skipped) =
        stored::add(drafts, index, stored, &groups, default_approver_group);
    Ok(Loaded {
        // Only a good set's scopes get numbers, which are for the life of the process.
        policies: drafts.into_iter().map(|it| it.number(interner)).collect(),
        index,
        groups: groups.all,
        exemptions,
        persons,
        skipped,
    })
}

fn bound(what: &str, mut places: impl Iterator<Item = At>, report: &mut Report<'_>) {
    if let Some(first_too_many) = places.nth(MAX_DEFINITIONS) {
        let message = format!("more than {MAX_DEFINITIONS} {what}");
        report.problem_with_hint(
            first_too_many,
            message,
            "cover several tasks with a pattern",
        );
    }
}

/// Notes scopes that tie: each at the later place, naming the earlier.
fn index(drafts: &[policies::Draft], report: &mut Report<'_>) -> TaskIndex {
    let scopes: Vec<_> = drafts.iter().map(|it| it.pattern.clone()).collect();
    let (index, conflicts) = TaskIndex::new(&scopes);
    for conflict in conflicts {
        match conflict {
            Conflict::Tie(first, again) => {
                if let (Some(first), Some(again)) = (drafts.get(first), drafts.get(again)) {
                    note_tie(first, again, report);
                }
            }
            Conflict::TooMany(one) => {
                if let Some(draft) = drafts.get(one) {
                    report.problem_with_hint(
                        draft.at,
                        format!(
                            "too many patterns begin like `{}` to find those that tie",
                            draft.scope_text
                        ),
                        "write out more of each pattern before its first `*`",
                    );
                }
            }
        }
    }
    index
}

fn note_tie(first: &policies::Draft, again: &policies::Draft, report: &mut Report<'_>) {
    if report.is_full() {
        return report.problem(again.at, String::new());
    }
    let place = &first.source;
    if first.pattern == again.pattern {
        report.problem_with_hint(
            again.at,
            format!(
                "a second policy for `{}`; the first is at {place}",
                again.scope_text
            ),
            "remove one of them",
        );
    } else {
        report.problem_with_hint(
            again.at,
            format!(
                "`{}` and `{}` at {place} match some of the same tasks and are equally specific",
                again.scope_text, first.scope_text
            ),
            "write out more of one of them before its first `*`, or name the tasks that both match",
        );
    }
}

/// A text that people will read: of bounded length, not blank, without control characters. `what` begins the message.
fn readable(
    what: &str,
    text: Option<Located<String>>,
    report: &mut Report<'_>,
) -> Option<Located<String>> {
    let Located { value, at } = text?;
    let wrong = if value.trim().is_empty() {
        "is empty".to_owned()
    } else if value.len() > MAX_TEXT_BYTES {
        format!("is longer than {MAX_TEXT_BYTES} bytes")
    } else if value.trim() != value {
        "begins or ends with a blank".to_owned()
    } else if value.chars().any(char::is_control) {
        "has a control character".to_owned()
    } else {
        return Some(Located { value, at });
    };
    report.problem(at, format!("{what} {wrong}"));
    None
}

/// The text without its place; empty where it is absent or wrong, both of which are noted.
fn value_or_empty(text: Option<Located<String>>) -> String {
    text.map(|it| it.value).unwrap_or_default()
}

/// The list without the items that it has a second time, compared without ASCII case, each of which is noted.
fn distinct(
    key: &str,
    items: Vec<Located<String>>,
    report: &mut Report<'_>,
) -> Vec<Located<String>> {
    let mut seen = HashSet::with_capacity(items.len());
    let is_first = |Located { value, at }: &Located<String>| {
        let is_new = seen.insert(value.to_ascii_lowercase());
        if !is_new {
            report.problem(*at, format!("`{key}` lists `{}` twice", printable(value)));
        }
        is_new
    };
    items.into_iter().filter(is_first).collect()
}
