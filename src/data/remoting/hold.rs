//! Requests that wait: for the rest of a pipeline that comes over several requests, and for approvers.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::data::reject::Rejection;
use crate::dialect::psrp::session::{Proposal, Step};
use crate::dialect::psrp::soap::{Fault, Response};

use super::shells::Kept;
use super::visit::Visit;

/// How long a client that does not say waits for output.
const USUAL_WAIT: Duration = Duration::from_secs(20);

/// A pipeline that waits for approval.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) proposal: Box<Proposal>,
    /// The requests that were filed for it.
    pub(super) requests: Vec<Uuid>,
    /// When it is given up.
    pub(super) until: Instant,
}

impl Visit<'_> {
    /// Waits until there is something to say, or as long as the client does: it asks again then.
    pub(super) async fn hold(&mut self, kept: &Kept) -> Result<Response, Rejection> {
        let wait = self.request.frame.timeout.unwrap_or(USUAL_WAIT);
        let deadline = Instant::now() + wait.min(self.remoting.longest_hold());
        loop {
            let mut changed = std::pin::pin!(kept.changed.notified());
            changed.as_mut().enable();
            match self.again(kept)? {
                Step::Hold => {}
                step @ (Step::Answer(_) | Step::Decide(_) | Step::Forward(_)) => {
                    return Box::pin(self.carry_out(kept, step)).await;
                }
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(deadline) => return Ok(Response::Fault(Fault::timed_out())),
                () = self.arrival.scene.worker.gate.stopping.cancelled() => return Ok(stopping()),
            }
        }
    }
}

/// The gateway stops, and its sessions with it.
pub(super) fn stopping() -> Response {
    Response::Fault(Fault::aborted(
        "the gateway is stopping, and this session ends with it; open a new one in a moment",
    ))
}
