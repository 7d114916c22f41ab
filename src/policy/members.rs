//! The tasks that a set knows or names, and those of them that a role or role group stands for. A pattern also stands for
//! tasks that nobody has named; those are not here.

use std::collections::BTreeMap;

use crate::model::Task;

use super::scopes::Reach;
use super::{Policy, PolicySet};

impl PolicySet {
    /// The tasks of the role of this name, in alphabetical order.
    pub fn tasks_of_role(&self, name: &str) -> Option<Vec<Task>> {
        let role = self.role(name)?;
        Some(self.known_tasks_where(|it| role.has(it)))
    }

    /// The tasks of the role group of this name, in alphabetical order.
    pub fn tasks_of_role_group(&self, name: &str) -> Option<Vec<Task>> {
        let group = self.role_group(name)?;
        Some(self.known_tasks_where(|it| group.has(it)))
    }

    fn known_tasks_where(&self, is_in: impl Fn(&Task) -> bool) -> Vec<Task> {
        self.known_tasks().into_values().filter(is_in).collect()
    }

    /// All tasks of the catalogue, of roles and of policies for one task, by their folded names.
    pub(super) fn known_tasks(&self) -> BTreeMap<String, Task> {
        let listed = self.catalogue().entries().iter();
        let of_roles = self.roles().iter().flat_map(|it| &it.tasks);
        let exact = |it: &&Policy| match &it.reach {
            Reach::Task(pattern) => pattern.is_exact(),
            Reach::Effect(_) | Reach::Role(_) | Reach::RoleGroup(_) => false,
        };
        let of_policies = self.policies().iter().filter(exact);
        let texts = listed
            .map(|it| it.task.as_str())
            .chain(of_roles.map(String::as_str))
            .chain(of_policies.map(|it| it.scope.text.as_str()));
        let mut tasks = BTreeMap::new();
        for text in texts {
            if let Ok(task) = text.parse::<Task>() {
                tasks.entry(task.folded()).or_insert(task);
            }
        }
        tasks
    }
}
