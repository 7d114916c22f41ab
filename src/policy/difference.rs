//! What changes for whom between two sets: for each task, the policy that governs it and what that asks.

use std::collections::BTreeMap;

use crate::model::Task;

use super::pattern::Pattern;
use super::scopes::Reach;
use super::{Policy, PolicySet};

/// Tasks whose governing policy is another one, or asks for something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The tasks to which the same happens, in alphabetical order.
    pub tasks: Vec<String>,
    /// What was asked for them, a line for each policy that may govern them; none: nothing governed them.
    pub before: Vec<String>,
    /// What is asked for them.
    pub after: Vec<String>,
}

/// What differs between two sets, over all tasks that either of them knows or names. The largest difference comes first.
pub fn difference(old: &PolicySet, new: &PolicySet) -> Vec<Difference> {
    let mut changed: BTreeMap<(Vec<String>, Vec<String>), Vec<String>> = BTreeMap::new();
    for task in tasks(old, new) {
        let (before, after) = (asked(&task, old), asked(&task, new));
        if before != after {
            let tasks = changed.entry((before, after)).or_default();
            tasks.push(task.to_string());
        }
    }
    let mut differences: Vec<Difference> = changed
        .into_iter()
        .map(|((before, after), tasks)| Difference {
            tasks,
            before,
            after,
        })
        .collect();
    differences.sort_by_key(|it| std::cmp::Reverse(it.tasks.len()));
    differences
}

/// All tasks that one of two sets knows or names, once each.
fn tasks(old: &PolicySet, new: &PolicySet) -> impl Iterator<Item = Task> {
    let mut tasks: BTreeMap<String, Task> = BTreeMap::new();
    for set in [old, new] {
        for (folded, task) in set.known_tasks() {
            tasks.entry(folded).or_insert(task);
        }
    }
    // A pattern that matches none of these still governs what nobody has named: one task stands for those.
    for set in [old, new] {
        for pattern in set.policies().iter().filter_map(|it| match &it.reach {
            Reach::Task(pattern) if !pattern.is_exact() => Some(pattern),
            Reach::Effect(_) | Reach::Role(_) | Reach::RoleGroup(_) | Reach::Task(_) => None,
        }) {
            if !tasks.keys().any(|it| pattern.matches(it.as_bytes()))
                && let Some(task) = example(pattern)
            {
                tasks.entry(task.folded()).or_insert(task);
            }
        }
    }
    tasks.into_values()
}

/// A task that a pattern matches.
fn example(pattern: &Pattern) -> Option<Task> {
    ["", "Any", "Any-Any"]
        .into_iter()
        .find_map(|any| pattern.as_str().replace('*', any).parse().ok())
}

/// What is asked for a task, a line for each policy that may govern it.
fn asked(task: &Task, set: &PolicySet) -> Vec<String> {
    let governing: Vec<_> = set.possible(task).collect();
    let is_beside = |it: &&Policy| governing.iter().all(|one| one.id != it.id);
    let beside: Vec<_> = set.reporting(task).filter(is_beside).collect();
    governing
        .iter()
        .chain(&beside)
        .map(|policy| {
            let raised = !set.raising_parameters(task, policy).is_empty();
            let when = if raised {
                " (with dangerous parameters)"
            } else {
                ""
            };
            format!("{}{when}: {}", policy.scope.text, policy.asks())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use crate::model::Interner;
    use crate::policy::PolicyFile;

    use super::*;

    fn set(text: &str) -> PolicySet {
        let file = PolicyFile {
            path: "p.toml".to_owned(),
            text: format!("[[group]]\nname = 'ops'\nmembers = ['amy', 'bo']\n{text}"),
        };
        PolicySet::load(&[file], &[], Some("ops"), &Interner::default()).unwrap()
    }

    #[test]
    fn a_set_does_not_differ_from_itself_nor_from_another_order() {
        let policies = [
            "[[policy]]\ntask = 'Exchange\\Get-*'\napproval = 'auto'\n",
            "[[policy]]\neffect = 'change'\napproval = 'manual'\n",
        ];
        let (one, two) = (
            set(&policies.concat()),
            set(&[policies[1], policies[0]].concat()),
        );
        assert_eq!(difference(&one, &one), []);
        assert_eq!(difference(&one, &two), []);
    }

    #[test]
    fn what_changes_is_told_by_what_is_asked() {
        let old = set(
            "[[policy]]\ntask = 'Exchange\\New-JournalRule'\napproval = 'auto'\n\
             [[policy]]\ntask = 'Files\\Get-*'\napproval = 'auto'\n\
             [[role]]\nname = 'Files\\R'\ntasks = ['Files\\Set-Share']\n",
        );
        let new = set(
            "[[policy]]\ntask = 'Exchange\\New-JournalRule'\napproval = 'manual'\nmax_duration = '2h'\nmax_uses = 1\n\
             [[policy]]\nrole = 'Files\\R'\napproval = 'never'\n\
             [[role]]\nname = 'Files\\R'\ntasks = ['Files\\Set-Share']\n\
             [[policy]]\neffect = 'grant-privilege'\napproval = 'manual'\n",
        );
        let mut told = String::new();
        for Difference {
            tasks,
            before,
            after,
        } in difference(&old, &new)
        {
            let task = tasks.first().unwrap();
            let first = if tasks.len() > 20 { "many tasks" } else { task };
            let (before, after) = (before.join(" | "), after.join(" | "));
            writeln!(told, "{first}: [{before}] -> [{after}]").unwrap();
        }
        insta::assert_snapshot!(told, @r"
        many tasks: [] -> [effect:grant-privilege: manual; approvers: ops; lasts: 4h]
        many tasks: [] -> [effect:grant-privilege (with dangerous parameters): manual; approvers: ops; lasts: 4h]
        Files\Set-Share: [] -> [role:Files\R: never]
        Exchange\New-JournalRule: [Exchange\New-JournalRule: auto; lasts: 4h] -> [Exchange\New-JournalRule: manual; approvers: ops; lasts: 2h; at most: 2h; uses: at most 1 of a grant]
        files\get-Any: [Files\Get-*: auto; lasts: 4h] -> []
        ");
    }
}
