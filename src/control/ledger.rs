//! Where the workflow's records go.

use crate::audit::{AuditLog, Event, Unavailable};
use crate::state::BoxFuture;

/// Takes events on record. The audit log is one; a test's can fail at will.
pub trait Ledger: Send + Sync {
    /// Puts `event` on record; durable when it returns. The same event may come twice after a crash: it has the same id.
    fn event(&self, event: Event) -> BoxFuture<'_, Result<(), Unavailable>>;
}

impl Ledger for AuditLog {
    fn event(&self, event: Event) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(self.event(event))
    }
}
