//! Who may run a task: who asks, who approves, who needs no grant.

use crate::model::Task;

use super::{Effect, Exemption, Group, Policy, PolicySet};

/// Everybody who has to do with a task.
#[derive(Clone, Debug)]
pub struct WhoCan<'s> {
    /// What the task does, whatever its parameters are.
    pub effect: Effect,
    /// The policies that govern its commands, from the most severe effect; none if it is ungoverned.
    pub policies: Vec<Governed<'s>>,
    /// Exemptions for the task, whoever else they need to hold.
    pub exemptions: Vec<&'s Exemption>,
}

/// Who has to do with a policy.
#[derive(Clone, Debug)]
pub struct Governed<'s> {
    /// The policy.
    pub policy: &'s Policy,
    /// Whose members may ask; none: everybody may.
    pub requesters: Vec<&'s Group>,
    /// Whose members approve.
    pub approvers: Vec<&'s Group>,
    /// Whose members may take a grant without an approval.
    pub break_glass: Vec<&'s Group>,
    /// The parameters for which it governs, if only for some.
    pub parameters: Vec<&'s str>,
}

/// Who may run `task` under `set`.
pub fn who_can<'s>(task: &Task, set: &'s PolicySet) -> WhoCan<'s> {
    let groups = |names: &'s [String]| names.iter().filter_map(|it| set.group(it)).collect();
    let effect = set.catalogue().effect(task);
    let policies = set.possible(task).map(|policy| Governed {
        policy,
        requesters: groups(&policy.requesters),
        approvers: groups(&policy.approvers),
        break_glass: groups(&policy.break_glass),
        parameters: set.raising_parameters(task, policy),
    });
    let folded = task.folded();
    let exemptions = set.exemptions().iter();
    WhoCan {
        effect,
        policies: policies.collect(),
        exemptions: exemptions
            .filter(|it| it.is_for(folded.as_bytes()))
            .collect(),
    }
}
