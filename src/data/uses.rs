//! What is needed around the use of a grant that counts them.
//!
//! A use is stored before the call goes upstream, and each use is one call: its further pages, and the repetition of one that
//! the upstream did not take, go on with it. A trial (`WhatIf`, or the validation before a confirmation) takes none.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::{PolicyId, PrincipalId};
use crate::policy::{Decision, HeldGrant, HeldGrants, Rule, Verdict};
use crate::state::{CallMark, GrantTable, GrantUses};

/// The grants in force, among them one of which the call goes on with a use: nothing is left to count of that.
pub(super) struct Continuing<'a> {
    pub(super) grants: &'a GrantTable,
    pub(super) continued: Option<Uuid>,
}

impl HeldGrants for Continuing<'_> {
    fn are_unknown(&self) -> bool {
        self.grants.are_unknown()
    }

    fn each(
        &self,
        principal: PrincipalId,
        policy: PolicyId,
        look: &mut dyn FnMut(HeldGrant<'_>) -> ControlFlow<()>,
    ) {
        let Some(continued) = self.continued else {
            return self.grants.each(principal, policy, look);
        };
        self.grants.each(principal, policy, &mut |grant| {
            if grant.id == continued {
                look(HeldGrant {
                    uses_left: None,
                    ..grant
                })
            } else {
                look(grant)
            }
        });
    }
}

/// The grant that a decision lets a call pass by.
pub(super) fn passes_by(decision: &Decision) -> Option<Uuid> {
    match (decision.verdict, decision.rule) {
        (Verdict::Allow, Rule::BreakGlass | Rule::Granted) => decision.grant,
        _ => None,
    }
}

/// A use that a call took: whoever learns that the upstream did not take the call gives notice of it.
#[derive(Clone)]
pub(super) struct Receipt {
    pub(super) uses: Arc<dyn GrantUses>,
    pub(super) mark: CallMark,
}

impl Receipt {
    /// How the call ended. Only what the upstream did not do may be done again: a client that hangs up has perhaps been served.
    pub(super) fn ended(&self, result: &str, upstream_status: Option<u16>) {
        let was_not_taken = match upstream_status {
            // What clients repeat by themselves (exchange-rest section 3.3).
            Some(status) => matches!(status, 401 | 429 | 503 | 504),
            None => matches!(result, "upstream-unreachable" | "upstream-timeout"),
        };
        if was_not_taken {
            self.uses.failed(&self.mark);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.mark).finish()
    }
}
