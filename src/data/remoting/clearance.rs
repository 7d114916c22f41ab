//! What may go upstream, and why: the only values that `upstream` takes.
//!
//! INVARIANT: an operation that starts a pipeline, goes on with one, or opens or closes a session is cleared only by
//! [`RecordedPermit`]s of what was proposed; a further step besides that by permits of this moment. What runs nothing by
//! itself is cleared by [`Cleared::plumbing`], which is a closed list.

use std::sync::Arc;

use crate::audit::RecordedPermit;
use crate::dialect::psrp::session::{Go, Proposal, Shell, Subject};
use crate::dialect::psrp::soap::{Operation, Response};
use crate::model::Command;
use crate::policy::Permit;

use super::standing::{Act, LISTING, Permitted};

/// Operations that may go upstream, in order, and what the client hears.
#[derive(Debug)]
pub(super) struct Cleared {
    operations: Vec<Operation>,
    answer: Option<Response>,
}

impl Cleared {
    /// A pipeline begins, or takes input: each of its commands is on record as permitted.
    pub(super) fn recorded<'p>(
        shell: &mut Shell,
        proposal: Proposal,
        permits: impl Iterator<Item = &'p RecordedPermit<Act>>,
    ) -> Option<Self> {
        covers(proposal.subject(), permits.map(RecordedPermit::subject))
            .then(|| Self::of(shell.permitted(proposal)))
    }

    /// A pipeline goes on: it is on record as permitted, and would be permitted now.
    pub(super) fn again(
        shell: &mut Shell,
        proposal: Proposal,
        standing: &[Permitted],
        now: &[Permit<Act>],
    ) -> Option<Self> {
        let subject = proposal.subject();
        let may = covers(subject, standing.iter().map(|it| it.permit.subject()))
            && covers(subject, now.iter().map(Permit::subject));
        may.then(|| Self::of(shell.permitted(proposal)))
    }

    /// A session is opened or closed, which is on record.
    pub(super) fn session(operation: Operation, permit: &RecordedPermit<Act>) -> Option<Self> {
        let is_session = matches!(permit.subject(), Act::Session(_));
        let is_of_session = matches!(operation, Operation::Create { .. } | Operation::Delete);
        (is_session && is_of_session).then(|| Self {
            operations: vec![operation],
            answer: None,
        })
    }

    /// What starts nothing, goes on with nothing and answers nothing of a pipeline: waiting for what the session itself says,
    /// the exchange of keys, the number of runspaces, and signals, which only ever end something.
    pub(super) fn plumbing(operations: Vec<Operation>) -> Option<Self> {
        let is_plumbing = |it: &Operation| match it {
            Operation::Receive { command, .. } | Operation::Send { command, .. } => {
                command.is_none()
            }
            Operation::Signal { .. } => true,
            Operation::Command { .. } | Operation::Create { .. } | Operation::Delete => false,
        };
        operations.iter().all(is_plumbing).then_some(Self {
            operations,
            answer: None,
        })
    }

    /// A pipeline was refused: all that goes upstream is that it ends there.
    pub(super) fn refused(mut go: Go) -> Self {
        go.operations
            .retain(|it| matches!(it, Operation::Signal { .. }));
        Self::of(go)
    }

    /// The gateway closes a session that nobody uses any more.
    pub(super) fn closing() -> Self {
        Self {
            operations: vec![Operation::Delete],
            answer: None,
        }
    }

    /// Whether nothing goes upstream: what it was cleared for has ended meanwhile.
    pub(super) fn is_nothing(&self) -> bool {
        self.operations.is_empty()
    }

    pub(super) fn into_parts(self) -> (Vec<Operation>, Option<Response>) {
        (self.operations, self.answer)
    }

    fn of(go: Go) -> Self {
        let Go { operations, answer } = go;
        Self { operations, answer }
    }
}

/// Whether the permits are for exactly what was proposed.
fn covers<'a>(subject: &Subject, permits: impl Iterator<Item = &'a Act>) -> bool {
    let permits: Vec<&Act> = permits.collect();
    match subject {
        Subject::Commands(commands) => {
            let is_for = |(act, command): (&&Act, &Arc<Command>)| match act {
                Act::Command(permitted) => permitted == command,
                Act::Session(_) => false,
            };
            permits.len() == commands.len() && permits.iter().zip(commands).all(is_for)
        }
        Subject::Listing => match permits.as_slice() {
            [Act::Session(call)] => *call == LISTING,
            _ => false,
        },
        // The gateway answers it: nothing goes upstream.
        Subject::Own(_) => false,
    }
}
