//! A pipeline that runs: each further step of it is decided again, and so is the wait for its output whenever policies or
//! grants change. What goes on without its client, [`super::unasked`] decides by the same words.
//!
//! INVARIANT: it goes on by the grants that it began by, or where none is needed by now. Of another of the caller's grants
//! it took no use, and none of its records names that.

use std::sync::Arc;

use serde_json::Map;
use uuid::Uuid;

use crate::audit::{CallContext, Event, Recorded};
use crate::data::judge::{Scene, recordable};
use crate::data::reject::Rejection;
use crate::dialect::psrp::session::Stage;
use crate::dialect::psrp::soap::Response;
use crate::model::Principal;
use crate::policy::{Judgement, Permit};

use super::clearance::Cleared;
use super::decide::{Pending, answer, block_text, is_permitted, unknown};
use super::leave::Leave;
use super::shells::{Inner, Kept};
use super::standing::{Act, Passed, StandsOn};
use super::starting::Gone;
use super::upstream::Heard;
use super::visit::Visit;

/// What a client reads besides a block whose pipeline the caller could begin now.
const RUN_AGAIN: &str = "\nA pipeline goes on only by what it began by, and that is over. Another grant of yours covers it: run it again";

/// What speaks against it that a pipeline goes on.
pub(super) struct Against {
    refused: Vec<Judgement<Act>>,
    /// The caller could begin it now.
    is_covered_otherwise: bool,
}

/// Decides anew on the commands of a pipeline that runs, by the grants that each of them passed by.
pub(super) fn decide_again(
    scene: &Scene<'_>,
    context: &CallContext,
    acts: &[Act],
    stands_on: &StandsOn,
) -> Result<Vec<Permit<Act>>, Against> {
    let examined = stands_on.examined(acts, &scene.snapshot.policies);
    let mut examined = examined.iter();
    let mut permits: Vec<Permit<Act>> = Vec::new();
    let mut against = Against {
        refused: Vec::new(),
        is_covered_otherwise: true,
    };
    for (index, act) in acts.iter().enumerate() {
        let grant = stands_on.grant(index);
        let examined = match act {
            Act::Command(_) => examined.next(),
            Act::Session(_) => None,
        };
        match scene.decided_again(act.clone(), context, grant, examined) {
            Judgement::Permitted(permit) => permits.push(permit),
            refusal @ (Judgement::Own(_) | Judgement::Refused(_)) => {
                against.is_covered_otherwise &=
                    is_permitted(&scene.decided(act.clone(), context, None));
                against.refused.push(refusal);
            }
        }
    }
    if against.refused.is_empty() {
        Ok(permits)
    } else {
        Err(against)
    }
}

impl Against {
    /// Puts it on record; the text for the client, and whether it is on record. A pipeline that may not go on is stopped, even
    /// if that cannot be recorded.
    pub(super) async fn record(self, scene: &Scene<'_>, context: &CallContext) -> (String, bool) {
        let why: Vec<String> = self.refused.iter().map(reason).collect();
        for judgement in &self.refused {
            scene.count(judgement.decision());
        }
        let audit = &scene.gate.audit;
        let recorded = match audit.record(context, self.refused, recordable).await {
            Ok(recorded) => recorded,
            Err(unavailable) => {
                // It is stopped all the same, and that is on record as soon as something can be.
                audit.event_soon(stopped(scene, context, &why));
                let text = format!("the pipeline may not go on any more, and {unavailable}");
                return (text, false);
            }
        };
        let refusals: Vec<_> = recorded
            .iter()
            .filter_map(|it| match it {
                Recorded::Refused(id, refusal) => Some(block_text(*id, refusal, None)),
                Recorded::Own(..) | Recorded::Permitted(_) => None,
            })
            .collect();
        let mut text = refusals.join("\n");
        if self.is_covered_otherwise {
            text.push_str(RUN_AGAIN);
        }
        (text, true)
    }
}

/// What speaks against a command, by the words of records alone: no value of its parameters.
fn reason(judgement: &Judgement<Act>) -> String {
    let rule = judgement.decision().rule.as_str();
    match judgement.subject() {
        Act::Command(command) => format!("{} ({rule})", command.task),
        Act::Session(call) => format!("{} ({rule})", call.name),
    }
}

/// That a pipeline was stopped whose block cannot be recorded.
fn stopped(scene: &Scene<'_>, context: &CallContext, why: &[String]) -> Event {
    let mut details = Map::new();
    details.insert("endpoint".to_owned(), context.endpoint.to_string().into());
    details.insert(
        "pipeline".to_owned(),
        context.client_request_id.clone().into(),
    );
    details.insert("why".to_owned(), why.join(", ").into());
    let Principal { key, name, .. } = &*context.principal;
    Event {
        id: scene.gate.audit.new_id(context.decided),
        at: context.decided,
        kind: "pipeline.stopped".to_owned(),
        principal: Some((key.clone(), name.clone())),
        source: Some(context.source),
        request: None,
        grant: None,
        policy: None,
        decision: None,
        details,
    }
}

/// A request that sees to a pipeline which runs, until it is dropped.
pub(super) struct Attending<'a> {
    kept: &'a Kept,
    command: Uuid,
}

impl Kept {
    /// Marks a pipeline as one that a request of its client sees to; none if the gateway stops it at this moment, which is on
    /// record once.
    pub(super) fn attend(&self, command: Uuid) -> Option<Attending<'_>> {
        if let Some(standing) = self.lock().standing.get_mut(&command) {
            if standing.is_being_stopped {
                return None;
            }
            standing.attended += 1;
        }
        Some(Attending {
            kept: self,
            command,
        })
    }
}

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        if let Some(standing) = self.kept.lock().standing.get_mut(&self.command) {
            standing.attended = standing.attended.saturating_sub(1);
        }
    }
}

impl Visit<'_> {
    /// A pipeline goes on, if what it began by still permits it.
    pub(super) async fn go_on(
        &mut self,
        mut pending: Pending<'_>,
        context: &CallContext,
    ) -> Result<Response, Rejection> {
        let kept = pending.kept;
        let command = pending.command();
        let Some(_attending) = kept.attend(command) else {
            kept.until(|it| !it.is_being_stopped(command) || !it.shell.is_running(command))
                .await;
            return if self.waits_for_output() {
                self.look_again(kept).await
            } else {
                // The client reads why where it waits for output.
                Ok(self.refuse(pending, "").await)
            };
        };
        let stands_on = kept.stands_on(command);
        let acts = pending.acts();
        let scene = self.arrival.scene;
        let generation = self.generation();
        let permits = match decide_again(&scene, context, &acts, &stands_on) {
            Ok(permits) => permits,
            Err(against) => {
                let (text, is_recorded) = against.record(&scene, context).await;
                if is_recorded {
                    self.seen_decided();
                }
                return Ok(self.refuse(pending, &text).await);
            }
        };
        let Some(proposal) = pending.proposal.take() else {
            return Ok(unknown());
        };
        let cleared = {
            let mut inner = kept.lock();
            let standing = inner.standing.get(&command);
            let standing = standing.map(|it| Arc::clone(&it.permitted));
            let standing = standing.unwrap_or_default();
            Cleared::again(&mut inner.shell, *proposal, &standing, &permits)
        };
        let cleared = cleared.ok_or_else(Rejection::not_cleared)?;
        if !self.waits_for_output() {
            // The end of input, or what the client says to the server: like input, it goes up only while the pipeline may go on.
            let passed = Passed {
                command,
                stage: Stage::Onward,
                acts: &acts,
                stands_on: &stands_on,
                generation,
            };
            return match self.send_while_permitted(kept, cleared, &passed).await {
                Gone::Back(response, _) => Ok(response),
                Gone::Up(heard) => answer(heard),
            };
        }
        let heard = self
            .wait_while_permitted(kept, command, cleared, &acts, &stands_on)
            .await;
        match heard {
            Some(heard) => answer(heard),
            None => self.look_again(kept).await,
        }
    }

    /// Waits for output as long as the pipeline would be permitted; none if it is not any more, or the gateway has stopped it.
    async fn wait_while_permitted(
        &self,
        kept: &Kept,
        command: Uuid,
        cleared: Cleared,
        acts: &[Act],
        stands_on: &StandsOn,
    ) -> Option<Heard> {
        let state = &self.arrival.scene.gate.state;
        let leave = Leave::always();
        let mut waiting = std::pin::pin!(self.wait_or_send(kept, cleared, &leave));
        let is_stopped = |it: &Inner| it.is_being_stopped(command) && !it.shell.is_running(command);
        let mut stopped = std::pin::pin!(kept.until(is_stopped));
        loop {
            let mut changed = std::pin::pin!(state.changes().notified());
            changed.as_mut().enable();
            if !self.would_go_on(acts, stands_on) {
                return None;
            }
            tokio::select! {
                heard = &mut waiting => return Some(heard),
                () = &mut stopped => return None,
                () = changed => {}
            }
        }
    }

    /// Whether a pipeline is still permitted by the policies of this moment and the grants that it began by.
    pub(super) fn would_go_on(&self, acts: &[Act], stands_on: &StandsOn) -> bool {
        let snapshot = self.arrival.scene.gate.state.snapshot();
        let arrival = self.arrival.with(&snapshot);
        let context = arrival.context(None);
        decide_again(&arrival.scene, &context, acts, stands_on).is_ok()
    }

    /// Answers the request anew, by the policies and grants of this moment.
    async fn look_again(&mut self, kept: &Kept) -> Result<Response, Rejection> {
        let step = self.again(kept)?;
        Box::pin(self.carry_out(kept, step)).await
    }
}
