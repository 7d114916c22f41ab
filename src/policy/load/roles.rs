//! `[[role]]` and `[[role_group]]`

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::Workload;

use super::super::file::{RawRole, RawRoleGroup};
use super::super::pattern::Pattern;
use super::super::problem::{At, Located, Report, nearest, printable};
use super::super::{Role, RoleGroup};
use super::{distinct, readable, value_or_empty};

/// How many tasks a role may have; Exchange's largest has some seven hundred.
const MAX_TASKS: usize = 5_000;

/// The roles and role groups of a set, and their names.
pub(super) struct Roles {
    pub(super) roles: Named<Role>,
    pub(super) groups: Named<RoleGroup>,
}

/// Definitions by name.
pub(super) struct Named<T> {
    pub(super) all: Vec<T>,
    by_name: HashMap<String, usize>,
    /// Whether there may be others besides these, in a file that could not be read.
    incomplete: bool,
}

impl<T> Named<T> {
    fn new(incomplete: bool) -> Self {
        Self {
            all: Vec::new(),
            by_name: HashMap::new(),
            incomplete,
        }
    }

    /// The definition of this name, in any case; a problem at `at` if there is none. `what` is such as `role`.
    pub(super) fn find(
        &self,
        name: &str,
        what: &str,
        at: At,
        report: &mut Report<'_>,
    ) -> Option<&T> {
        let found = self.by_name.get(&name.to_ascii_lowercase());
        if found.is_none() && !self.incomplete {
            let names = self.by_name.keys().map(String::as_str);
            let near = if report.is_full() {
                None
            } else {
                nearest(name, names)
            };
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "define it: [[{}]] with this name, or have it written by `portcullis roles import`",
                    what.replace(' ', "_")
                ),
            };
            let message = format!("{what} `{}` is not defined", printable(name));
            report.problem_with_hint(at, message, hint);
        }
        found.and_then(|it| self.all.get(*it))
    }

    /// Adds a definition; where its name is taken, `repeated` is told the first one.
    fn add(&mut self, name: &str, definition: T, repeated: impl FnOnce(&T)) {
        if !name.is_empty() {
            let key = name.to_ascii_lowercase();
            let first = *self.by_name.entry(key).or_insert(self.all.len());
            if let Some(first) = self.all.get(first) {
                repeated(first);
            }
        }
        self.all.push(definition);
    }
}

pub(super) fn lower(
    roles: Vec<RawRole>,
    groups: Vec<RawRoleGroup>,
    incomplete: bool,
    report: &mut Report<'_>,
) -> Roles {
    let mut lowered = Roles {
        roles: Named::new(incomplete),
        groups: Named::new(incomplete),
    };
    for raw in roles {
        let (at, role) = (raw.at, lower_role(raw, report));
        let name = role.name.clone();
        lowered.roles.add(&name, role, |first| {
            note_repeated("role", &name, &first.place, at, report);
        });
    }
    for raw in groups {
        let (at, group) = (raw.at, lower_group(raw, &lowered.roles, report));
        let name = group.name.clone();
        lowered.groups.add(&name, group, |first| {
            note_repeated("role group", &name, &first.place, at, report);
        });
    }
    lowered
}

fn note_repeated(
    what: &str,
    name: &str,
    first: &super::super::Place,
    at: At,
    report: &mut Report<'_>,
) {
    let message = format!(
        "a second {what} `{}`; the first is at {first}",
        printable(name)
    );
    report.problem_with_hint(
        at,
        message,
        format!("{what} names are compared without case"),
    );
}

/// A name such as `Exchange\Mail Recipients`; empty where it is absent or wrong, which is noted.
fn lower_name(name: Option<Located<String>>, report: &mut Report<'_>) -> String {
    let name = readable("`name`", name, report);
    if let Some(Located { value, at }) = &name {
        let (workload, rest) = value.split_once('\\').unwrap_or(("", value));
        if workload.parse::<Workload>().is_err() || rest.trim() != rest || rest.is_empty() {
            let message = format!("`{}` does not begin with a workload", printable(value));
            let hint = r"such as 'Exchange\Mail Recipients', in single quotes";
            report.problem_with_hint(*at, message, hint);
        }
    }
    value_or_empty(name)
}

fn lower_role(raw: RawRole, report: &mut Report<'_>) -> Role {
    let RawRole { at, name, tasks } = raw;
    let name = lower_name(name, report);
    let tasks = tasks.unwrap_or(Located {
        value: Vec::new(),
        at,
    });
    if tasks.value.is_empty() && tasks.at != at {
        report.problem(tasks.at, "`tasks` lists no task");
    }
    if tasks.value.len() > MAX_TASKS {
        let message = format!(
            "`tasks` lists {} tasks; {MAX_TASKS} are read",
            tasks.value.len()
        );
        report.problem_with_hint(tasks.at, message, "cover several tasks with a pattern");
    }
    let mut patterns = Vec::with_capacity(tasks.value.len().min(MAX_TASKS));
    let mut texts = Vec::with_capacity(tasks.value.len().min(MAX_TASKS));
    let tasks = tasks.value.into_iter().take(MAX_TASKS).collect();
    for Located { value, at } in distinct("tasks", tasks, report) {
        match Pattern::parse(&value) {
            Ok(pattern) if !is_of_workload(&pattern, &name) => {
                let message = format!(
                    "`{value}` is of another workload than role `{}`",
                    printable(&name)
                );
                report.problem_with_hint(at, message, "write a role for each workload");
            }
            Ok(pattern) => {
                patterns.push(pattern);
                texts.push(value);
            }
            Err(invalid) => report.problem_with_hint(at, invalid.message, invalid.hint),
        }
    }
    Role {
        name,
        tasks: texts,
        place: report.place(at),
        patterns: patterns.into(),
    }
}

/// Whether a task is of the workload that a role's name begins with; where that is wrong, it is told already.
fn is_of_workload(task: &Pattern, role: &str) -> bool {
    let workload = |text: &str| text.split_once('\\').map(|it| it.0.to_ascii_lowercase());
    workload(role).is_none_or(|it| workload(task.as_str()) == Some(it))
}

fn lower_group(raw: RawRoleGroup, roles: &Named<Role>, report: &mut Report<'_>) -> RoleGroup {
    let RawRoleGroup {
        at,
        name,
        roles: listed,
    } = raw;
    let name = lower_name(name, report);
    let listed = listed.unwrap_or(Located {
        value: Vec::new(),
        at,
    });
    if listed.value.is_empty() && listed.at != at {
        report.problem(listed.at, "`roles` lists no role");
    }
    let listed = distinct("roles", listed.value, report);
    let mut seen = HashSet::new();
    let mut patterns: Vec<Pattern> = Vec::new();
    for Located { value, at } in &listed {
        if let Some(role) = roles.find(value, "role", *at, report) {
            let new = role
                .patterns
                .iter()
                .filter(|it| seen.insert(it.as_str().to_owned()));
            patterns.extend(new.cloned());
        }
    }
    RoleGroup {
        name,
        roles: listed.into_iter().map(|it| it.value).collect(),
        place: report.place(at),
        patterns: Arc::from(patterns),
    }
}
