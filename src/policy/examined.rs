//! What the rules on parameters say of a command, looked at once: of all that a decision depends on this alone may cost much, where a command has
//! many values, and it changes with neither grants nor the clock.
//!
//! INVARIANT: a decision with it is the one without it. It speaks of one command under one set of policies, and is not heard on any other.

use std::sync::Arc;

use crate::model::{Command, PolicyId};

use super::decide::broken_rule;
use super::explain::Blocked;
use super::{Governing, Policy, PolicySet};

/// What the rules of the policies that have to do with a command say of its parameters.
#[derive(Clone, Debug)]
pub struct Examined {
    command: Arc<Command>,
    policies: Arc<PolicySet>,
    /// Of the policy that governs the command, and of one that only reports.
    rules: Vec<Rules>,
}

/// What the rules of one policy say.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    policy: PolicyId,
    /// How they are broken, if they are, as a block says it.
    pub(super) broken: Option<String>,
}

impl Examined {
    /// Looks at a command.
    pub fn new(command: Arc<Command>, policies: Arc<PolicySet>) -> Self {
        let look = |policy: &Policy| {
            let blocked = Blocked {
                command: &command,
                policy,
                policies: &policies,
            };
            Rules {
                policy: policy.id,
                broken: broken_rule(blocked),
            }
        };
        let Governing { policy, reporting } = policies.governing_command(&command);
        let rules = policy.into_iter().chain(reporting).map(look).collect();
        Self {
            command,
            policies,
            rules,
        }
    }

    /// Whether it speaks of this command under these policies: of the very same, since one that is equal would have to be compared.
    pub fn is_of(&self, command: &Command, policies: &PolicySet) -> bool {
        std::ptr::eq(&raw const *self.command, command)
            && std::ptr::eq(&raw const *self.policies, policies)
    }

    /// What the rules of a policy say, if it was looked at.
    pub(super) fn rules_of(&self, policy: &Policy) -> Option<&Rules> {
        self.rules.iter().find(|it| it.policy == policy.id)
    }
}
