//! The gateway's own cmdlets in a session: the server never hears of them.

use std::sync::Arc;

use http::StatusCode;

use crate::audit::{CallContext, Recorded};
use crate::data::judge::recordable;
use crate::data::outcome::OutcomeGuard;
use crate::data::reject::Rejection;
use crate::dialect::psrp::answer::Failure;
use crate::dialect::psrp::session::Go;
use crate::dialect::psrp::soap::Response;
use crate::model::Command;
use crate::state::OwnCmdletError;

use super::decide::{Pending, block_text, unknown};
use super::standing::Act;
use super::visit::Visit;

impl Visit<'_> {
    /// The gateway runs its own cmdlet.
    pub(super) async fn run_own(
        &mut self,
        mut pending: Pending<'_>,
        command: Arc<Command>,
        context: &CallContext,
    ) -> Result<Response, Rejection> {
        let gate = &*self.arrival.scene.worker.gate;
        let act = Act::Command(Arc::clone(&command));
        let judgement = self.arrival.scene.decided(act, context, None);
        self.arrival.scene.count(judgement.decision());
        let recorded = gate
            .audit
            .record_one(context, judgement, recordable)
            .await?;
        self.seen_decided();
        let decision = match recorded {
            Recorded::Own(decision, _) => decision,
            Recorded::Permitted(_) => return Err(Rejection::not_cleared()),
            Recorded::Refused(id, refusal) => {
                let text = block_text(id, &refusal, None);
                return Ok(self.refuse(pending, &text).await);
            }
        };
        let mut outcome = OutcomeGuard::new(&gate.audit, decision);
        let result = gate
            .own_cmdlets
            .answer(&context.principal, context.source, &command, decision)
            .await;
        outcome.answers(StatusCode::OK.as_u16());
        let Some(proposal) = pending.proposal.take() else {
            return Ok(unknown());
        };
        let mut inner = pending.kept.lock();
        let go = match result {
            Ok(objects) => {
                outcome.finish("answered");
                inner.shell.answered(*proposal, &objects)
            }
            Err(error) => {
                outcome.finish("failed");
                let failure = match &error {
                    OwnCmdletError::Forbidden(_) => Failure::Forbidden,
                    OwnCmdletError::Invalid(_) => Failure::Invalid,
                    OwnCmdletError::NotFound(_) => Failure::NotFound,
                    OwnCmdletError::Unavailable(_) => Failure::Unavailable,
                };
                let text = format!("{error} (decision {decision})");
                inner.shell.refused(*proposal, failure, &text)
            }
        };
        inner.settle();
        drop(inner);
        pending.kept.changed.notify_waiters();
        let Go { answer, .. } = go;
        Ok(answer.unwrap_or_else(unknown))
    }
}
