//! `[[person]]`

use std::collections::HashMap;

use super::super::Person;
use super::super::file::RawPerson;
use super::super::problem::{Located, Report, printable};
use super::{distinct, value_or_empty, visible};

/// All persons; an account of two of them, and a name of two, is a problem.
pub(super) fn lower(raw: Vec<RawPerson>, report: &mut Report<'_>) -> Vec<Person> {
    let mut names: HashMap<String, usize> = HashMap::with_capacity(raw.len());
    let mut owners: HashMap<String, usize> = HashMap::with_capacity(raw.len());
    let mut persons: Vec<Person> = Vec::with_capacity(raw.len());
    for RawPerson { at, name, accounts } in raw {
        let number = persons.len();
        let name = value_or_empty(visible("`name`", name, report));
        if !name.is_empty()
            && let Some(first) = names.insert(name.to_ascii_lowercase(), number)
            && let Some(first) = persons.get(first)
        {
            let message = format!("a second person `{name}`; the first is at {}", first.place);
            report.problem_with_hint(at, message, "list all accounts of a person in one place");
        }
        let listed = accounts.unwrap_or(Located {
            value: Vec::new(),
            at,
        });
        if listed.value.len() == 1 {
            report.problem_with_hint(
                listed.at,
                "`accounts` lists one account",
                "one account is one person anyway: add the others, or remove the person",
            );
        } else if listed.value.is_empty() && listed.at != at {
            report.problem(listed.at, "`accounts` lists no account");
        }
        let mut accounts = Vec::with_capacity(listed.value.len());
        for account in distinct("accounts", listed.value, report) {
            let Some(Located { value, at }) = visible("an account", Some(account), report) else {
                continue;
            };
            if let Some(other) = owners.insert(value.to_ascii_lowercase(), number)
                && let Some(other) = persons.get(other)
            {
                let message = format!(
                    "`{}` is an account of person `{}` too ({})",
                    printable(&value),
                    printable(&other.name),
                    other.place
                );
                report.problem_with_hint(
                    at,
                    message,
                    "an account is one person's: remove it here or there",
                );
            }
            accounts.push(value);
        }
        persons.push(Person {
            name,
            accounts,
            place: report.place(at),
        });
    }
    persons
}
