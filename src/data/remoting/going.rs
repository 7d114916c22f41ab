//! A pipeline that runs: each further step of it is decided again, and so is the wait for its output whenever policies or
//! grants change.
//!
//! INVARIANT: it goes on by the grants that it began by, or where none is needed by now. Of another of the caller's grants
//! it took no use, and none of its records names that.

use std::sync::Arc;

use uuid::Uuid;

use crate::audit::{CallContext, Recorded};
use crate::data::judge::recordable;
use crate::data::reject::Rejection;
use crate::dialect::psrp::soap::{Operation, Response};
use crate::policy::{Judgement, Permit};

use super::clearance::Cleared;
use super::decide::{Pending, answer, block_text, is_permitted, unknown};
use super::shells::Kept;
use super::standing::Act;
use super::upstream::Heard;
use super::visit::Visit;

/// What a client reads besides a block whose pipeline the caller could begin now.
const RUN_AGAIN: &str = "\nA pipeline goes on only by what it began by, and that is over. Another grant of yours covers it: run it again";

impl Visit<'_> {
    /// A pipeline goes on, if what it began by still permits it.
    pub(super) async fn go_on(
        &mut self,
        mut pending: Pending<'_>,
        context: &CallContext,
    ) -> Result<Response, Rejection> {
        let kept = pending.kept;
        let scene = &self.arrival.scene;
        let grants = kept.grants_of(pending.command());
        let mut permits: Vec<Permit<Act>> = Vec::new();
        let mut refused = Vec::new();
        let mut is_covered_otherwise = true;
        let acts = pending.acts();
        for (index, act) in acts.iter().cloned().enumerate() {
            let grant = grants.get(index).copied().flatten();
            match scene.decided_again(act.clone(), context, grant) {
                Judgement::Permitted(permit) => permits.push(permit),
                refusal @ (Judgement::Own(_) | Judgement::Refused(_)) => {
                    is_covered_otherwise &= is_permitted(&scene.decided(act, context, None));
                    refused.push(refusal);
                }
            }
        }
        if refused.is_empty() {
            let Some(proposal) = pending.proposal.take() else {
                return Ok(unknown());
            };
            let cleared = {
                let mut inner = kept.lock();
                let standing = inner.standing.get(&proposal.command());
                let standing = standing.map(|it| Arc::clone(&it.permitted));
                let standing = standing.unwrap_or_default();
                Cleared::again(&mut inner.shell, *proposal, &standing, &permits)
            };
            let cleared = cleared.ok_or_else(Rejection::not_cleared)?;
            if !matches!(self.request.operation, Operation::Receive { .. }) {
                return answer(self.line(kept).send(cleared).await);
            }
            return match self
                .wait_while_permitted(kept, cleared, &acts, &grants)
                .await
            {
                Some(heard) => answer(heard),
                None => self.look_again(kept).await,
            };
        }
        for judgement in &refused {
            scene.count(judgement.decision());
        }
        let audit = &scene.gate.audit;
        let recorded = audit.record(context, refused, recordable).await;
        // A pipeline that may not go on is stopped, even if that cannot be recorded.
        let text = match &recorded {
            Ok(recorded) => {
                self.seen_decided();
                let refusals: Vec<_> = recorded
                    .iter()
                    .filter_map(|it| match it {
                        Recorded::Refused(id, refusal) => Some(block_text(*id, refusal, None)),
                        Recorded::Own(..) | Recorded::Permitted(_) => None,
                    })
                    .collect();
                let mut text = refusals.join("\n");
                if is_covered_otherwise {
                    text.push_str(RUN_AGAIN);
                }
                text
            }
            Err(unavailable) => format!("the pipeline may not go on any more, and {unavailable}"),
        };
        Ok(self.refuse(pending, &text).await)
    }

    /// Waits for output as long as the pipeline would be permitted; none if it is not any more.
    async fn wait_while_permitted(
        &self,
        kept: &Kept,
        cleared: Cleared,
        acts: &[Act],
        grants: &[Option<Uuid>],
    ) -> Option<Heard> {
        let state = &self.arrival.scene.gate.state;
        let mut waiting = std::pin::pin!(self.wait_or_send(kept, cleared));
        loop {
            let mut changed = std::pin::pin!(state.changes().notified());
            changed.as_mut().enable();
            if !self.would_go_on(acts, grants) {
                return None;
            }
            tokio::select! {
                heard = &mut waiting => return Some(heard),
                () = changed => {}
            }
        }
    }

    /// Whether a pipeline is still permitted by the policies of this moment and the grants that it began by.
    fn would_go_on(&self, acts: &[Act], grants: &[Option<Uuid>]) -> bool {
        let snapshot = self.arrival.scene.gate.state.snapshot();
        let arrival = self.arrival.with(&snapshot);
        let context = arrival.context(None);
        acts.iter().enumerate().all(|(index, act)| {
            let grant = grants.get(index).copied().flatten();
            is_permitted(&arrival.scene.decided_again(act.clone(), &context, grant))
        })
    }

    /// Answers the request anew, by the policies and grants of this moment.
    async fn look_again(&mut self, kept: &Kept) -> Result<Response, Rejection> {
        let step = self.again(kept)?;
        Box::pin(self.carry_out(kept, step)).await
    }
}
