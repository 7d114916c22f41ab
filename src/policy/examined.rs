//! What the rules on parameters say of a command, looked at once: of all that a decision depends on this alone may cost much, where a command has
//! many values, and it changes with neither grants nor the clock.
//!
//! INVARIANT: a decision with it is the one without it. It speaks of one command under one set of policies, and is not heard on any other.

use std::sync::Arc;

use crate::model::Command;

use super::PolicySet;
use super::decide::broken_rule;
use super::explain::Blocked;

/// What the governing policy's rules say of a command's parameters.
#[derive(Clone, Debug)]
pub struct Examined {
    command: Arc<Command>,
    policies: Arc<PolicySet>,
    broken: Option<String>,
}

impl Examined {
    /// Looks at a command.
    pub fn new(command: Arc<Command>, policies: Arc<PolicySet>) -> Self {
        let broken = policies.governing_command(&command).and_then(|policy| {
            broken_rule(Blocked {
                command: &command,
                policy,
                policies: &policies,
            })
        });
        Self {
            command,
            policies,
            broken,
        }
    }

    /// Whether it speaks of this command under these policies: of the very same, since one that is equal would have to be compared.
    pub fn is_of(&self, command: &Command, policies: &PolicySet) -> bool {
        std::ptr::eq(&raw const *self.command, command)
            && std::ptr::eq(&raw const *self.policies, policies)
    }

    /// How the rules of the policy that governs the command are broken, if they are: as a block says it.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }
}
