//! What a grant would let its holder do, in lines that an approver reads.

use crate::model::Task;

use super::{Effect, Policy, PolicySet, ScopeKind};

/// The most tasks that a line names.
const NAMED: usize = 8;

/// What a grant under `policy` touches, the worst first: of one task its effect, and that of each parameter with one of its
/// own; of several tasks those that the catalogue knows, by effect.
pub fn touches(set: &PolicySet, policy: &Policy, task: Option<&Task>) -> Vec<String> {
    let exact: Option<Task> = match task {
        Some(task) => Some(task.clone()),
        None if policy.scope.kind == ScopeKind::Task => policy.scope.text.parse().ok(),
        None => None,
    };
    match exact {
        Some(task) => of_task(set, &task),
        None => of_scope(set, policy),
    }
}

fn of_task(set: &PolicySet, task: &Task) -> Vec<String> {
    let catalogue = set.catalogue();
    let mut lines = vec![format!("{}: {task}", catalogue.effect(task).as_str())];
    if let Some(facts) = catalogue.facts(task) {
        for effect in Effect::ALL.into_iter().rev() {
            let parameters: Vec<String> = facts
                .dangerous
                .iter()
                .filter(|it| it.effect == effect)
                .map(|it| format!("-{}", it.name))
                .collect();
            if !parameters.is_empty() {
                let named = named(&parameters);
                lines.push(format!("{} with {named}", effect.as_str()));
            }
        }
    }
    lines
}

fn of_scope(set: &PolicySet, policy: &Policy) -> Vec<String> {
    let governed: Vec<_> = set
        .catalogue()
        .entries()
        .iter()
        .filter(|it| {
            let task = it.task.parse::<Task>();
            task.is_ok_and(|task| set.may_govern(policy, &task))
        })
        .collect();
    Effect::ALL
        .into_iter()
        .rev()
        .filter_map(|effect| {
            let tasks = governed.iter().filter(|it| it.effect == effect);
            let tasks: Vec<String> = tasks.map(|it| it.task.clone()).collect();
            (!tasks.is_empty()).then(|| format!("{}: {}", effect.as_str(), named(&tasks)))
        })
        .collect()
}

/// The first names, and how many more there are.
fn named(names: &[String]) -> String {
    let shown = names.get(..NAMED).unwrap_or(names).join(", ");
    match names.len().checked_sub(NAMED).filter(|it| *it > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Interner;
    use crate::policy::PolicyFile;

    fn lines(policies: &str, scope: &str, task: Option<&str>) -> Vec<String> {
        let file = PolicyFile {
            path: "policies/a.toml".to_owned(),
            text: policies.to_owned(),
        };
        let set = PolicySet::load(&[file], &[], None, &Interner::default()).unwrap();
        let task: Option<Task> = task.map(|it| it.parse().unwrap());
        touches(&set, set.policy(scope).unwrap(), task.as_ref())
    }

    #[test]
    fn of_one_task_it_is_the_effect_and_what_parameters_add() {
        let policy = "[[policy]]\ntask = 'Exchange\\Set-Mailbox'\napproval = \"auto\"\n";
        let lines = lines(policy, r"exchange\set-mailbox", None);
        assert_eq!(lines[0], r"change: Exchange\Set-Mailbox");
        assert!(
            lines.iter().any(
                |it| it.starts_with("exfiltrate with") && it.contains("-ForwardingSmtpAddress")
            ),
            "{lines:?}"
        );
    }

    #[test]
    fn of_several_tasks_the_worst_come_first_and_what_others_govern_is_left_out() {
        let policies = concat!(
            "[[policy]]\ntask = 'Exchange\\Remove-*'\napproval = \"auto\"\n",
            "[[policy]]\ntask = 'Exchange\\Remove-Mailbox'\napproval = \"auto\"\n",
        );
        let all = lines(policies, r"exchange\remove-*", None);
        assert!(
            all.iter()
                .any(|it| it.starts_with("destroy: ") && it.contains(" more")),
            "{all:?}"
        );
        assert!(
            !all.iter()
                .any(|it| it.contains(r"Exchange\Remove-Mailbox,")),
            "{all:?}"
        );
        let one = lines(
            policies,
            r"exchange\remove-*",
            Some(r"Exchange\Remove-Contact"),
        );
        assert_eq!(one.len(), 1, "{one:?}");
    }
}
