//! Gives the raw sections of policy files their meaning, section by section, then as a set. Every problem is noted, and
//! reading goes on, so that people mend a set in one go.

mod cmdlets;
mod exemptions;
mod groups;
mod options;
mod persons;
mod policies;
mod roles;
mod rules;
mod stored;

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::Interner;

use super::file;
use super::problem::{At, Located, Report, printable};
use super::scopes::{Conflict, ScopeIndex};
use super::{
    Catalogue, Exemption, Group, Person, Policy, PolicyFile, PolicyProblem, Role, RoleGroup,
    Source, StoredPolicy,
};

/// How many policies, groups and exemptions a set may have, each.
const MAX_DEFINITIONS: usize = 100_000;

/// The longest name, account, reason and the like, in bytes.
const MAX_TEXT_BYTES: usize = 1_024;

/// What a good set of files defines.
pub(super) struct Loaded {
    pub(super) policies: Vec<Policy>,
    pub(super) index: ScopeIndex,
    pub(super) groups: Vec<Group>,
    pub(super) exemptions: Vec<Exemption>,
    pub(super) persons: Vec<Person>,
    pub(super) roles: Vec<Role>,
    pub(super) role_groups: Vec<RoleGroup>,
    pub(super) catalogue: Arc<Catalogue>,
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

    bound("roles", raw.roles.iter().map(|it| it.at), &mut report);
    bound(
        "role groups",
        raw.role_groups.iter().map(|it| it.at),
        &mut report,
    );
    bound("cmdlets", raw.cmdlets.iter().map(|it| it.at), &mut report);

    let groups = groups::lower(raw.groups, raw.incomplete, &mut report);
    let roles = roles::lower(raw.roles, raw.role_groups, raw.incomplete, &mut report);
    let defined = policies::Definitions {
        groups: &groups,
        roles: &roles,
        default_approver_group,
    };
    let drafts = policies::lower(raw.policies, defined, &mut report);
    let exemptions = exemptions::lower(raw.exemptions, &mut report);
    let persons = persons::lower(raw.persons, &mut report);
    let cmdlets = cmdlets::lower(raw.cmdlets, &mut report);
    let (index, conflicts) = index(&drafts);
    for conflict in &conflicts {
        note(conflict, &drafts, &mut report);
    }

    let problems = report.finish();
    if !problems.is_empty() {
        return Err(problems);
    }
    let (drafts, index, skipped) = stored::add(drafts, index, stored, defined);
    let built_in = Catalogue::shipped();
    Ok(Loaded {
        // Only a good set's scopes get numbers, which are for the life of the process.
        policies: drafts.into_iter().map(|it| it.number(interner)).collect(),
        index,
        groups: groups.all,
        exemptions,
        persons,
        roles: roles.roles.all,
        role_groups: roles.groups.all,
        catalogue: if cmdlets.is_empty() {
            Arc::clone(built_in)
        } else {
            Arc::new(built_in.extended(cmdlets))
        },
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

fn index(drafts: &[policies::Draft]) -> (ScopeIndex, Vec<Conflict>) {
    let entries: Vec<_> = drafts.iter().map(policies::Draft::entry).collect();
    ScopeIndex::new(&entries)
}

/// Notes scopes that tie: at the later place, naming the earlier.
fn note(conflict: &Conflict, drafts: &[policies::Draft], report: &mut Report<'_>) {
    let (first, again) = match conflict {
        Conflict::Shared { first, again, .. } | Conflict::Tie(first, again) => (first, again),
        Conflict::TooMany(one) => (one, one),
    };
    let (Some(first), Some(again)) = (drafts.get(*first), drafts.get(*again)) else {
        return;
    };
    if report.is_full() {
        return report.problem(again.at, String::new());
    }
    let (message, hint) = told(conflict, first, again);
    report.problem_with_hint(again.at, message, hint);
}

/// What is wrong between two policies, and what to do about it.
fn told(
    conflict: &Conflict,
    first: &policies::Draft,
    again: &policies::Draft,
) -> (String, &'static str) {
    let (one, two) = (&again.scope_text, &first.scope_text);
    let place = match &first.source {
        Source::File(place) => format!("at {place}"),
        Source::Store { by, .. } => format!("in the store (by {by})"),
    };
    match conflict {
        Conflict::Shared { tasks, others, .. } => {
            let mut shared: Vec<String> = tasks.iter().map(|it| format!("`{it}`")).collect();
            match others {
                0 => {}
                1 => shared.push("one other task".to_owned()),
                _ => shared.push(format!("{others} other tasks")),
            }
            let shared = shared.join(", ");
            (
                format!("`{one}` and `{two}` {place} are equally specific for {shared}"),
                "write a policy that is enforced for each of these tasks, or take them out of one of the roles",
            )
        }
        Conflict::Tie(..) if first.folded == again.folded => (
            format!("a second policy for `{one}`; the first is {place}"),
            "remove one of them",
        ),
        Conflict::Tie(..) => (
            format!(
                "`{one}` and `{two}` {place} match some of the same tasks and are equally specific"
            ),
            "write out more of one of them before its first `*`, or name the tasks that both match",
        ),
        Conflict::TooMany(_) => (
            format!("too many patterns are like those of `{one}` to find those that tie"),
            "write out more of each pattern before its first `*`",
        ),
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
