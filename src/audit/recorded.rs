//! The proof that a decision is on record.

use uuid::Uuid;

use crate::policy::{Judgement, OwnCall, Permit, Refusal};

/// Proof that a decision is on record, and with it what was decided on. Only [`super::AuditLog::record`] makes one.
///
/// It cannot be made up, neither whole nor from a permit:
///
/// ```compile_fail,E0451
/// fn forge<C>(permit: portcullis::policy::Permit<C>) -> portcullis::audit::RecordedPermit<C> {
///     portcullis::audit::RecordedPermit { decision_id: uuid::Uuid::nil(), permit }
/// }
/// ```
///
/// nor used twice:
///
/// ```compile_fail,E0599
/// fn double<C: Clone>(permit: &portcullis::audit::RecordedPermit<C>) -> portcullis::audit::RecordedPermit<C> {
///     portcullis::audit::RecordedPermit::clone(permit)
/// }
/// ```
#[derive(Debug)]
pub struct RecordedPermit<C> {
    /// The decision's id: the `decision` of its records.
    decision_id: Uuid,
    permit: Permit<C>,
}

impl<C> RecordedPermit<C> {
    /// The decision's id.
    pub fn decision_id(&self) -> Uuid {
        self.decision_id
    }

    /// What may go upstream.
    pub fn subject(&self) -> &C {
        self.permit.subject()
    }
}

/// A judgement that is on record.
#[derive(Debug)]
pub enum Recorded<C> {
    /// To be answered by the gateway.
    Own(Uuid, OwnCall<C>),
    /// To be forwarded.
    Permitted(RecordedPermit<C>),
    /// To be refused.
    Refused(Uuid, Refusal<C>),
}

impl<C> Recorded<C> {
    /// `judgement`, which is on record as `decision_id`.
    pub(super) fn new(decision_id: Uuid, judgement: Judgement<C>) -> Self {
        match judgement {
            Judgement::Own(call) => Self::Own(decision_id, call),
            Judgement::Permitted(permit) => Self::Permitted(RecordedPermit {
                decision_id,
                permit,
            }),
            Judgement::Refused(refusal) => Self::Refused(decision_id, refusal),
        }
    }
}
