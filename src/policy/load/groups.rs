//! `[[group]]`

use std::collections::HashMap;

use super::super::Group;
use super::super::file::RawGroup;
use super::super::problem::{At, Located, Report, nearest, printable};
use super::{distinct, readable, value_or_empty, visible};

/// The groups of a set, and their names.
pub(super) struct Groups {
    pub(super) all: Vec<Group>,
    by_name: HashMap<String, usize>,
    /// Whether there may be groups besides these, in a file that could not be read.
    incomplete: bool,
}

impl Groups {
    /// The group of this name, in any case; a problem at `at` if there is none.
    pub(super) fn find(
        &self,
        name: &str,
        what: &str,
        at: At,
        report: &mut Report<'_>,
    ) -> Option<&Group> {
        let found = self.by_name.get(&name.to_ascii_lowercase());
        if found.is_none() && !self.incomplete {
            let names = self.all.iter().map(|it| it.name.as_str());
            let near = if report.is_full() {
                None
            } else {
                nearest(name, names)
            };
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "define it: [[group]] with this name, and members or a claim".to_owned(),
            };
            let message = format!("{what} `{}` is not defined", printable(name));
            report.problem_with_hint(at, message, hint);
        }
        found.and_then(|it| self.all.get(*it))
    }
}

pub(super) fn lower(raw: Vec<RawGroup>, incomplete: bool, report: &mut Report<'_>) -> Groups {
    let mut groups = Groups {
        all: Vec::with_capacity(raw.len()),
        by_name: HashMap::with_capacity(raw.len()),
        incomplete,
    };
    for raw in raw {
        let (at, group) = (raw.at, lower_one(raw, report));
        let key = group.name.to_ascii_lowercase();
        if !key.is_empty() {
            let first = *groups.by_name.entry(key).or_insert(groups.all.len());
            if let Some(first) = groups.all.get(first) {
                let message = format!(
                    "a second group `{}`; the first is at {}",
                    group.name, first.place
                );
                report.problem_with_hint(at, message, "group names are compared without case");
            }
        }
        groups.all.push(group);
    }
    groups
}

fn lower_one(raw: RawGroup, report: &mut Report<'_>) -> Group {
    let RawGroup {
        at,
        name,
        email,
        members,
        claim,
    } = raw;
    let email = readable("`email`", email, report);
    if let Some(Located { value, at }) = &email
        && (!value.contains('@') || value.contains(char::is_whitespace))
    {
        report.problem(
            *at,
            format!("`{}` is not an e-mail address", printable(value)),
        );
    }
    let members = members.map(|it| it.value).unwrap_or_default();
    let members = distinct("members", members, report);
    Group {
        name: value_or_empty(visible("`name`", name, report)),
        email: email.map(|it| it.value),
        members: members
            .into_iter()
            .filter_map(|member| visible("a member", Some(member), report))
            .map(|it| it.value)
            .collect(),
        claim: readable("`claim`", claim, report).map(|it| it.value),
        place: report.place(at),
    }
}
