//! What is needed around the use of a grant that counts them.
//!
//! A use is stored before the call goes upstream, and each use is one call: its further pages, and the repetition of one that
//! the upstream did not take, go on with it; a few repetitions of one that may have run. A trial (`WhatIf`, or the validation before a confirmation) takes none.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::{PolicyId, PrincipalId};
use crate::policy::{Decision, Effect, HeldGrant, HeldGrants, Rule, Verdict};
use crate::state::{CallMark, Failure, GrantTable, GrantUses};

/// The uses that a call need not take, and those that are not its to take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spoken<'a> {
    /// Of this grant a use was taken before, with which the call goes on.
    pub(super) continued: Option<Uuid>,
    /// What stands beside the call needs a use of each of these, as often as they are named.
    pub(super) claimed: &'a [Uuid],
    /// What the caller's further grants are to the call.
    pub(super) others: Others,
}

/// What grants are to a call besides the one with which it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Others {
    /// It may pass by them, too.
    #[default]
    Count,
    /// It began without them: going on by one would take no use of it, and be on no record.
    DoNotCount,
}

/// The grants in force: nothing is left to count of the one of which the call goes on with a use, less of those that are
/// claimed, and the others are there or not.
pub(super) struct Continuing<'a> {
    pub(super) grants: &'a GrantTable,
    pub(super) spoken: Spoken<'a>,
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
        let Spoken {
            continued,
            claimed,
            others,
        } = self.spoken;
        match (continued, others) {
            (None, Others::DoNotCount) => return,
            (None, Others::Count) if claimed.is_empty() => {
                return self.grants.each(principal, policy, look);
            }
            (None | Some(_), Others::Count) | (Some(_), Others::DoNotCount) => {}
        }
        self.grants.each(principal, policy, &mut |grant| {
            if others == Others::DoNotCount && continued != Some(grant.id) {
                return ControlFlow::Continue(());
            }
            let claims = claimed.iter().filter(|it| **it == grant.id).count();
            let claims = u32::try_from(claims).unwrap_or(u32::MAX);
            let left = grant.uses_left.filter(|_| continued != Some(grant.id));
            look(HeldGrant {
                uses_left: left.map(|it| it.saturating_sub(claims)),
                ..grant
            })
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
    /// What the command does with the parameters that it has.
    pub(super) effect: Effect,
}

impl Receipt {
    /// How the call ended. Only what the upstream did not do may be done again: a client that hangs up has perhaps been served.
    pub(super) fn ended(&self, result: &str, upstream_status: Option<u16>) {
        let may_have_run = self.effect != Effect::Read;
        let how = match upstream_status {
            // What clients repeat by themselves (exchange-rest section 3.3). A 504 is a gateway's that waited for somebody else.
            Some(504) if may_have_run => Failure::MayHaveRun,
            Some(401 | 429 | 503 | 504) => Failure::NotTaken,
            Some(_) => return,
            None => match result {
                "upstream-timeout" if may_have_run => Failure::MayHaveRun,
                "not-run" | "upstream-unreachable" | "upstream-timeout" => Failure::NotTaken,
                _ => return,
            },
        };
        self.uses.failed(&self.mark, how);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.mark).finish()
    }
}
