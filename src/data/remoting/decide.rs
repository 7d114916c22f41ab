//! What a session proposes is decided, recorded, and carried out or refused.
//!
//! A pipeline's commands are decided together: all pass, or none runs. Where it begins, and where values are piped into it,
//! each is on record before anything goes upstream; where it only goes on it is decided again, and on record only if that
//! ends it.

use std::sync::Arc;

use http::StatusCode;
use uuid::Uuid;

use crate::audit::{CallContext, Recorded};
use crate::data::judge::{Filed, may_be_asked_for, recordable};
use crate::data::outcome::OutcomeGuard;
use crate::data::reject::Rejection;
use crate::data::uses::passes_by;
use crate::dialect::psrp::answer::Failure;
use crate::dialect::psrp::session::{Proposal, Stage, Subject, Whereabouts};
use crate::dialect::psrp::soap::{Fault, Response};
use crate::policy::{Judgement, Refusal};

use super::clearance::Cleared;
use super::hold::Held;
use super::shells::Kept;
use super::standing::{Act, Beginner, LISTING, Passed, Permitted, Standing, StandsOn};
use super::starting::Gone;
use super::upstream::{CLOSE, Ender, Heard, status};
use super::visit::{Visit, unless_left};

/// A proposal that is being decided on: dropped before that, because the client went away or the record cannot be written, a
/// pipeline that has not begun never was.
pub(super) struct Pending<'a> {
    pub(super) kept: &'a Kept,
    pub(super) proposal: Option<Box<Proposal>>,
}

/// Whether a pipeline may wait for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// It did, and does not again.
    HasWaited,
    /// It may, where the policies say so.
    Waits,
}

/// What became of the commands of a pipeline.
enum Judged {
    /// All pass.
    Permitted(Vec<Permitted>, Vec<OutcomeGuard>),
    /// At least one does not.
    Refused(Vec<(Uuid, Refusal<Act>)>),
}

impl Visit<'_> {
    /// Decides on a proposal, by the policies and grants of this moment, and carries out what comes of it: its request may have
    /// come long ago, and waited for what came before it or for output.
    pub(super) async fn decide(
        &mut self,
        kept: &Kept,
        proposal: Box<Proposal>,
    ) -> Result<Response, Rejection> {
        let snapshot = self.arrival.scene.gate.state.snapshot();
        let arrival = self.arrival.with(&snapshot);
        let mut now = self.at(&arrival);
        let answer = now.decide_now(kept, proposal).await;
        self.decided = now.decided;
        answer
    }

    async fn decide_now(
        &mut self,
        kept: &Kept,
        proposal: Box<Proposal>,
    ) -> Result<Response, Rejection> {
        let context = self.context(Some(proposal.command()));
        let pending = Pending {
            kept,
            proposal: Some(proposal),
        };
        match (pending.subject(), pending.stage()) {
            (Some(Subject::Own(command)), _) => {
                let command = Arc::clone(command);
                self.run_own(pending, command, &context).await
            }
            (Some(_), Stage::Start | Stage::Input) => {
                self.begin(pending, &context, Patience::Waits).await
            }
            (Some(_), Stage::Onward) => self.go_on(pending, &context).await,
            (None, _) => Ok(unknown()),
        }
    }

    /// A pipeline begins, or values are piped into it.
    async fn begin(
        &mut self,
        mut pending: Pending<'_>,
        context: &CallContext,
        patience: Patience,
    ) -> Result<Response, Rejection> {
        let stage = pending.stage();
        let kept = pending.kept;
        let acts = pending.acts();
        // Read before it is decided, so that what changes meanwhile is seen before anything goes up.
        let generation = self.generation();
        match self.judge_all(acts.clone(), stage, context).await? {
            Judged::Refused(refusals) => {
                let filed = match (stage, patience) {
                    (Stage::Start, Patience::Waits) => self.file_requests(&refusals, context).await,
                    // What it waited for was filed and is approved; what is piped into it is not to be had by asking.
                    (Stage::Input | Stage::Onward | Stage::Start, _) => vec![None; refusals.len()],
                };
                if stage == Stage::Start
                    && patience == Patience::Waits
                    && let Some(waiting) = pending.hold(&filed)
                {
                    return Ok(waiting);
                }
                let texts: Vec<String> = refusals
                    .iter()
                    .zip(filed)
                    .map(|((id, refusal), filed)| {
                        let text = block_text(*id, refusal, filed);
                        match patience {
                            Patience::HasWaited => format!(
                                "{text}. What was approved does not cover it; Get-ElevatedAccessAuthorization shows your grants"
                            ),
                            Patience::Waits => text,
                        }
                    })
                    .collect();
                Ok(self.refuse(pending, &texts.join("\n")).await)
            }
            Judged::Permitted(permitted, mut outcomes) => {
                let Some(proposal) = pending.proposal.take() else {
                    return Ok(unknown());
                };
                let command = proposal.command();
                let stands_on = StandsOn::new(permitted.iter().map(|it| it.grant));
                let cleared = {
                    let mut inner = kept.lock();
                    let permits = permitted.iter().map(|it| &it.permit);
                    let cleared = Cleared::recorded(&mut inner.shell, *proposal, permits);
                    // It may have been ended while it was decided on.
                    if stage == Stage::Start && inner.shell.runs(command) {
                        let counted = self.arrival.scene.route.metrics.pipeline();
                        let outcomes = std::mem::take(&mut outcomes);
                        let standing = Standing::new(
                            permitted,
                            stands_on.clone(),
                            self.beginner(),
                            outcomes,
                            counted,
                        );
                        inner.standing.insert(command, standing);
                    } else if stage == Stage::Start {
                        not_run(&mut outcomes);
                    }
                    inner.settle();
                    cleared.ok_or_else(Rejection::not_cleared)?
                };
                if cleared.is_nothing() {
                    not_run(&mut outcomes);
                }
                let passed = Passed {
                    command,
                    stage,
                    acts: &acts,
                    stands_on: &stands_on,
                    generation,
                };
                match self.send_while_permitted(kept, cleared, &passed).await {
                    Gone::Back(answer, result) => {
                        for outcome in &mut outcomes {
                            outcome.finish(result);
                        }
                        Ok(answer)
                    }
                    Gone::Up(heard) => {
                        for outcome in &mut outcomes {
                            record_end(outcome, &heard);
                        }
                        answer(heard)
                    }
                }
            }
        }
    }

    /// Decides each command, takes the uses that they need if all pass, and puts it all on record.
    async fn judge_all(
        &mut self,
        acts: Vec<Act>,
        stage: Stage,
        context: &CallContext,
    ) -> Result<Judged, Rejection> {
        let scene = self.arrival.scene;
        // Uses are taken where a pipeline begins, all or none: each command is decided with what those before it leave.
        let mut judgements: Vec<Judgement<Act>> = if stage == Stage::Start {
            scene.decided_together(acts, context)
        } else {
            let decided = |act| scene.decided(act, context, None);
            acts.into_iter().map(decided).collect()
        };
        if stage == Stage::Start && judgements.iter().all(is_permitted) {
            let mut settled = Vec::with_capacity(judgements.len());
            let mut all_pass = true;
            for judgement in judgements {
                if all_pass {
                    // No call is recognised as the repetition of a pipeline, whose id is new each time, so the receipt that
                    // its use could be gone on with is dropped. A limit of `spread`, or another call that was quicker, may
                    // still stop a later command: what was taken for those before it stays taken.
                    let (judgement, _) = scene.settled(judgement, context, None).await?;
                    all_pass = is_permitted(&judgement);
                    settled.push(judgement);
                } else {
                    scene.count(judgement.decision());
                    settled.push(judgement);
                }
            }
            judgements = settled;
        } else {
            for judgement in &judgements {
                scene.count(judgement.decision());
            }
        }
        let grants: Vec<_> = judgements
            .iter()
            .map(|it| passes_by(it.decision()))
            .collect();
        let audit = &scene.gate.audit;
        let recorded = audit.record(context, judgements, recordable).await?;
        self.seen_decided();
        let mut permitted = Vec::new();
        let mut outcomes = Vec::new();
        let mut refused = Vec::new();
        for (recorded, grant) in recorded.into_iter().zip(grants) {
            match recorded {
                Recorded::Permitted(permit) => {
                    outcomes.push(OutcomeGuard::new(audit, permit.decision_id()));
                    permitted.push(Permitted { permit, grant });
                }
                Recorded::Refused(id, refusal) => refused.push((id, refusal)),
                // A gateway cmdlet is the only command of its pipeline, and proposed as such.
                Recorded::Own(..) => return Err(Rejection::not_cleared()),
            }
        }
        if refused.is_empty() {
            return Ok(Judged::Permitted(permitted, outcomes));
        }
        not_run(&mut outcomes);
        Ok(Judged::Refused(refused))
    }

    /// Files the request that each refused command needs, where its policy says so. Approvers are not asked for what could not
    /// run with their approval: none is filed if something else is against the pipeline.
    async fn file_requests(
        &self,
        refusals: &[(Uuid, Refusal<Act>)],
        context: &CallContext,
    ) -> Vec<Option<Filed>> {
        let scene = &self.arrival.scene;
        let is_of_use = |it: &(Uuid, Refusal<Act>)| may_be_asked_for(it.1.decision());
        if !refusals.iter().all(is_of_use) {
            return vec![None; refusals.len()];
        }
        let mut filed = Vec::with_capacity(refusals.len());
        for (id, refusal) in refusals {
            filed.push(scene.file_request(refusal, *id, context).await);
        }
        filed
    }

    /// A pipeline that waited for approval begins, or is refused. If the server does not take it, its fault: the client, which
    /// was told long ago that the pipeline is started, hears it where it waits for output.
    pub(super) async fn begin_held(
        &mut self,
        kept: &Kept,
        proposal: Box<Proposal>,
    ) -> Result<Option<Response>, Rejection> {
        let context = self.context(Some(proposal.command()));
        let pending = Pending {
            kept,
            proposal: Some(proposal),
        };
        let heard = self.begin(pending, &context, Patience::HasWaited).await?;
        Ok(matches!(heard, Response::Fault(_)).then_some(heard))
    }

    /// A pipeline that waited for approval is refused.
    pub(super) async fn refuse_held(&mut self, kept: &Kept, proposal: Box<Proposal>, text: &str) {
        let pending = Pending {
            kept,
            proposal: Some(proposal),
        };
        self.refuse(pending, text).await;
    }

    pub(super) fn beginner(&self) -> Beginner {
        Beginner {
            voucher: self.arrival.caller.voucher().clone(),
            source: self.arrival.source,
        }
    }

    /// Ends a pipeline with `text`, here and at the server if it runs there.
    pub(super) async fn refuse(&mut self, mut pending: Pending<'_>, text: &str) -> Response {
        let Some(proposal) = pending.proposal.take() else {
            return unknown();
        };
        let kept = pending.kept;
        let cleared = kept.refuse(proposal, text);
        let line = self.line(kept);
        let ending = line.send_ending(cleared, Ender::Gateway);
        let answer = unless_left(self.arrival.leaving, CLOSE, ending).await;
        answer.flatten().unwrap_or_else(unknown)
    }
}

impl Pending<'_> {
    fn subject(&self) -> Option<&Subject> {
        self.proposal.as_ref().map(|it| it.subject())
    }

    fn stage(&self) -> Stage {
        self.proposal
            .as_ref()
            .map_or(Stage::Onward, |it| it.stage())
    }

    pub(super) fn command(&self) -> Uuid {
        self.proposal
            .as_ref()
            .map_or(Uuid::nil(), |it| it.command())
    }

    pub(super) fn acts(&self) -> Vec<Act> {
        match self.subject() {
            Some(Subject::Commands(commands)) => commands
                .iter()
                .map(|it| Act::Command(Arc::clone(it)))
                .collect(),
            Some(Subject::Listing) => vec![Act::Session(LISTING)],
            Some(Subject::Own(command)) => vec![Act::Command(Arc::clone(command))],
            None => Vec::new(),
        }
    }
}

impl Pending<'_> {
    /// Lets the pipeline wait for approval, if all that it lacks may be waited for; what the client hears meanwhile.
    fn hold(&mut self, filed: &[Option<Filed>]) -> Option<Response> {
        let proposal = self.proposal.take()?;
        let waiting = proposal.while_waiting();
        let command = proposal.command();
        match (Held::new(proposal, filed), waiting) {
            (Ok(held), Some(waiting)) => {
                let mut inner = self.kept.lock();
                inner.held.insert(command, held);
                // It may have been ended while it was decided on.
                inner.settle();
                Some(waiting)
            }
            (Ok(_), None) => None,
            (Err(proposal), _) => {
                self.proposal = Some(proposal);
                None
            }
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(proposal) = self.proposal.take() {
            let mut inner = self.kept.lock();
            inner.shell.dropped(*proposal);
            inner.settle();
        }
    }
}

impl Kept {
    /// Ends a pipeline with `text` here; what ends it at the server, if it runs there.
    pub(super) fn refuse(&self, proposal: Box<Proposal>, text: &str) -> Cleared {
        let go = {
            let mut inner = self.lock();
            let go = inner.shell.refused(*proposal, Failure::Blocked, text);
            inner.settle();
            go
        };
        self.changed.notify_waiters();
        Cleared::refused(go)
    }

    /// What a pipeline goes on by.
    pub(super) fn stands_on(&self, command: Uuid) -> StandsOn {
        let inner = self.lock();
        let standing = inner.standing.get(&command);
        standing.map_or_else(|| StandsOn::new([]), |it| it.stands_on.clone())
    }

    /// The server did not say that it takes a pipeline: it never had it, or whether it runs there is not known, and nobody can ask
    /// for its output.
    pub(super) fn lost(&self, command: Uuid, whereabouts: Whereabouts, rejection: &Rejection) {
        let mut inner = self.lock();
        if let Some(mut standing) = inner.standing.remove(&command) {
            standing.answers(StatusCode::INTERNAL_SERVER_ERROR.as_u16());
            standing.finish(rejection.reason_of_outcome());
        }
        match whereabouts {
            Whereabouts::Here => inner.shell.lost(command),
            Whereabouts::Unknown => inner.shell.unanswered(command),
        }
        inner.settle();
        drop(inner);
        self.changed.notify_waiters();
    }
}

/// The text of a block: what is missing, and the decision by which it is found again.
pub(super) fn block_text(decision: Uuid, refusal: &Refusal<Act>, filed: Option<Filed>) -> String {
    let text = filed.map_or_else(|| refusal.decision().explanation.clone(), |it| it.text());
    format!("{text} (decision {decision})")
}

pub(super) fn is_permitted(judgement: &Judgement<Act>) -> bool {
    match judgement {
        Judgement::Permitted(_) => true,
        Judgement::Own(_) | Judgement::Refused(_) => false,
    }
}

/// Puts on record what came of something that the server answers at once.
pub(super) fn record_end(outcome: &mut OutcomeGuard, heard: &Heard) {
    match heard {
        Heard::Answer(response) => {
            outcome.upstream_answered(status(response).as_u16());
            outcome.finish_answered();
        }
        Heard::Lost(rejection) => {
            outcome.answers(StatusCode::INTERNAL_SERVER_ERROR.as_u16());
            outcome.finish(rejection.reason_of_outcome());
        }
    }
}

pub(super) fn answer(heard: Heard) -> Result<Response, Rejection> {
    match heard {
        Heard::Answer(response) => Ok(response),
        Heard::Lost(rejection) => Err(*rejection),
    }
}

/// What passed by itself is not run, because of what stands beside it or because it was ended before.
fn not_run(outcomes: &mut [OutcomeGuard]) {
    for outcome in outcomes {
        outcome.finish("not-run");
    }
}

pub(super) fn unknown() -> Response {
    Response::Fault(Fault::unknown("such command"))
}
