//! One request to a session, with all that it is answered by: what it means there, and how that is carried out.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::audit::{CallContext, Recorded};
use crate::data::call::Arrival;
use crate::data::judge::recordable;
use crate::data::outcome::OutcomeGuard;
use crate::data::reject::Rejection;
use crate::dialect::Unreadable;
use crate::dialect::psrp::session::{Context, Shell, Step};
use crate::dialect::psrp::soap::{Fault, Operation, Request, Response, Target};
use crate::policy::{Judgement, SessionCall};

use super::Remoting;
use super::clearance::Cleared;
use super::closing::ended;
use super::decide::{answer, record_end, unknown};
use super::hold::stopping;
use super::lanes::NoTurn;
use super::leave::Leave;
use super::shells::{Kept, NoRoom};
use super::standing::{Act, CREATE, DELETE};
use super::unread::Charged;
use super::upstream::{CLOSE, Ender, Heard, Line};

/// One request to a session.
pub(super) struct Visit<'a> {
    pub(super) arrival: &'a Arrival<'a>,
    pub(super) remoting: &'a Remoting,
    pub(super) request: &'a Request,
    pub(super) target: &'a Target,
    /// What its answer is charged with.
    pub(super) charged: &'a Charged,
    /// A decision about it is on record.
    pub(super) decided: bool,
}

impl Visit<'_> {
    /// Answers the request.
    pub(super) async fn answer(&mut self) -> Result<Response, Rejection> {
        if let Operation::Create { protocol, creation } = &self.request.operation {
            return self.open(protocol.as_deref(), creation).await;
        }
        let owner = &self.arrival.caller.principal.key;
        let Some(kept) = self.remoting.shells.find(self.request.shell, owner) else {
            return Ok(unknown_shell());
        };
        let _in_use = kept.in_use();
        if matches!(self.request.operation, Operation::Receive { .. }) && kept.is_busy() {
            return Err(Rejection::session_busy());
        }
        // What goes in goes on in its order. Waiting for output and signals wait for nobody.
        let leaving = self.arrival.leaving;
        let turn = match &self.request.operation {
            Operation::Command { command, .. } => {
                Some(kept.lanes.turn(Some(*command), leaving).await)
            }
            Operation::Send { command, .. } => Some(kept.lanes.turn(*command, leaving).await),
            Operation::Create { .. }
            | Operation::Delete
            | Operation::Receive { .. }
            | Operation::Signal { .. } => None,
        };
        let _turn = match turn.transpose() {
            Ok(turn) => turn,
            Err(NoTurn::Busy) => return Err(Rejection::session_busy()),
            Err(NoTurn::Left) => return Ok(stopping()),
        };
        let step = {
            let catalogue = self.remoting.catalogue();
            let mut inner = kept.lock();
            let context = self.reading(&catalogue);
            let step = inner.shell.step(owner, self.request, &context);
            if !inner.charge() {
                inner.shell.shed(self.command());
                inner.charge();
                inner.settle();
                return Err(Rejection::no_room_for_body());
            }
            inner.settle();
            step?
        };
        kept.changed.notify_waiters();
        let closes = matches!(self.request.operation, Operation::Delete);
        // While its client closes it, that it is gone is no loss, whichever request hears of it first.
        let _closing = closes.then(|| kept.closing());
        let answer = match (&self.request.operation, step) {
            (Operation::Delete, Step::Forward(_)) => self.close(&kept).await,
            (_, step) => self.carry_out(&kept, step).await,
        };
        if (closes || !kept.is_being_closed()) && kept.is_to_be_forgotten() {
            // That it is gone the server may have said of one that it has.
            if !closes {
                let scene = &self.arrival.scene;
                let lost = ended(scene.gate, scene.route, &kept, "lost-by-server");
                scene.gate.audit.event_soon(lost);
                self.line(&kept).close_or_keep_on(&kept).await;
            }
            self.remoting.shells.remove(&kept);
        }
        match answer {
            Err(rejection) if rejection.is_withdrawn() && kept.closed.is_cancelled() => {
                Ok(unknown_shell())
            }
            answer => answer,
        }
    }

    /// Carries out what a request means.
    pub(super) async fn carry_out(
        &mut self,
        kept: &Kept,
        step: Step,
    ) -> Result<Response, Rejection> {
        match step {
            Step::Answer(response) => Ok(response),
            Step::Decide(proposal) => self.decide(kept, proposal).await,
            Step::End(go) => {
                let line = self.line(kept);
                let ending = line.send_ending(Cleared::refused(go), Ender::Client);
                let answer = unless_left(self.arrival.leaving, CLOSE, ending).await;
                Ok(answer.flatten().unwrap_or_else(unknown))
            }
            Step::Forward(operations) => {
                let cleared = Cleared::plumbing(operations).ok_or_else(Rejection::not_cleared)?;
                answer(self.wait_or_send(kept, cleared, &Leave::always()).await)
            }
            Step::Hold => self.hold(kept).await,
        }
    }

    /// What a request that was held means by now.
    pub(super) fn again(&self, kept: &Kept) -> Result<Step, Unreadable> {
        let catalogue = self.remoting.catalogue();
        let context = self.reading(&catalogue);
        kept.lock().shell.again(self.request, &context)
    }

    /// Opens a session.
    async fn open(
        &mut self,
        protocol: Option<&str>,
        creation: &[u8],
    ) -> Result<Response, Rejection> {
        let scene = self.arrival.scene;
        let gate = scene.gate;
        let owner = scene.principal;
        let limits = self.remoting.limits();
        let (shell, operation) =
            Shell::open(self.request.shell, protocol, creation, &owner.key, limits)?;
        if gate.stopping.is_cancelled() {
            return Ok(stopping());
        }
        let settings = &self.remoting.settings;
        let kept = self
            .remoting
            .shells
            .add(
                shell,
                Arc::clone(owner),
                (settings, &scene.snapshot.policies),
                gate.bodies.empty_share(),
                scene.route.metrics.shell(),
            )
            .map_err(|why| match why {
                NoRoom::Late => Rejection::session_late(),
                NoRoom::TooManyLate => Rejection::too_many_late(),
                NoRoom::Taken => Rejection::session_taken(),
                NoRoom::TooMany => Rejection::too_many_sessions(),
                NoRoom::TooManyOfOne(count) => Rejection::too_many_of_one(count),
            })?;
        let _in_use = kept.in_use();
        let result = self.on_record(&kept, CREATE, operation).await;
        // Whether the server has opened it is not known: there it is closed, and here it is there until then.
        let may_be_open = match &result {
            Ok(Heard::Answer(Response::Fault(fault))) => !fault.subcode.refuses(),
            Ok(Heard::Lost(rejection)) => !rejection.is_unsent(),
            Ok(Heard::Answer(_)) | Err(_) => false,
        };
        if may_be_open {
            self.line(&kept).close_or_keep_on(&kept).await;
        }
        // One that the server has not opened was never there.
        if !matches!(result, Ok(Heard::Answer(Response::Created { .. }))) {
            self.remoting.shells.remove(&kept);
        }
        answer(result?)
    }

    /// Closes a session, as its client asks. It is there until the server says that it is not.
    async fn close(&mut self, kept: &Kept) -> Result<Response, Rejection> {
        let heard = self.on_record(kept, DELETE, Operation::Delete).await?;
        answer(heard)
    }

    /// Puts a session call on record, and sends its operation.
    async fn on_record(
        &mut self,
        kept: &Kept,
        call: &'static SessionCall,
        operation: Operation,
    ) -> Result<Heard, Rejection> {
        let scene = self.arrival.scene;
        let audit = &scene.gate.audit;
        let context = self.context(None);
        let judgement: Judgement<Act> = scene.decided(Act::Session(call), &context, None);
        scene.count(judgement.decision());
        let recorded = audit.record_one(&context, judgement, recordable).await?;
        self.seen_decided();
        let Recorded::Permitted(permit) = recorded else {
            return Err(Rejection::not_cleared());
        };
        let mut outcome = OutcomeGuard::new(audit, permit.decision_id());
        let cleared = Cleared::session(operation, &permit).ok_or_else(Rejection::not_cleared)?;
        let heard = self.wait_or_send(kept, cleared, &Leave::always()).await;
        record_end(&mut outcome, &heard);
        Ok(heard)
    }

    /// Sends what was cleared; what only waits for output ends when its client goes away, or the gateway stops, and what ends a
    /// pipeline or a session soon after.
    pub(super) async fn wait_or_send(
        &self,
        kept: &Kept,
        cleared: Cleared,
        leave: &Leave<'_>,
    ) -> Heard {
        let line = self.line(kept);
        let leaving = self.arrival.leaving;
        match self.request.operation {
            Operation::Command { .. } | Operation::Create { .. } | Operation::Send { .. } => {
                line.send(cleared, leave).await
            }
            Operation::Delete | Operation::Signal { .. } => {
                let heard = unless_left(leaving, CLOSE, line.send(cleared, leave)).await;
                heard.unwrap_or_else(|| Heard::Lost(Box::new(Rejection::not_waited_for())))
            }
            Operation::Receive { .. } => tokio::select! {
                heard = line.send(cleared, leave) => heard,
                () = leaving.cancelled() => Heard::Answer(stopping()),
            },
        }
    }

    pub(super) fn waits_for_output(&self) -> bool {
        matches!(self.request.operation, Operation::Receive { .. })
    }

    pub(super) fn line<'k>(&'k self, kept: &'k Kept) -> Line<'k> {
        let scene = &self.arrival.scene;
        Line {
            pool: &self.arrival.worker.pool,
            route: scene.route,
            remoting: self.remoting,
            kept,
            authorization: scene
                .route
                .credential
                .for_call(self.arrival.caller.authorization()),
            target: self.target,
            frame: &self.request.frame,
            charged: Some(self.charged),
        }
    }

    /// The pipeline that it is about, if it is about one.
    pub(super) fn command(&self) -> Option<Uuid> {
        match self.request.operation {
            Operation::Command { command, .. } | Operation::Signal { command, .. } => Some(command),
            Operation::Receive { command, .. } | Operation::Send { command, .. } => command,
            Operation::Create { .. } | Operation::Delete => None,
        }
    }

    /// What records tell of it. A pipeline's id is the client's own for the call.
    pub(super) fn context(&self, command: Option<Uuid>) -> CallContext {
        self.arrival
            .context(command.map(|it| it.hyphenated().to_string()))
    }

    /// The same request at an arrival with other policies and settings.
    pub(super) fn at<'v>(&'v self, arrival: &'v Arrival<'v>) -> Visit<'v> {
        Visit { arrival, ..*self }
    }

    pub(super) fn seen_decided(&mut self) {
        self.decided = true;
    }

    fn reading<'c>(
        &'c self,
        catalogue: &'c crate::dialect::psrp::pipeline::Catalogue,
    ) -> Context<'c> {
        Context {
            workload: &self.arrival.scene.route.workload,
            catalogue,
        }
    }
}

/// What `work` comes to; none if that takes longer than `patience` once `leaving` has fired: nobody waits for it any more.
pub(super) async fn unless_left<T>(
    leaving: &CancellationToken,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => Some(done),
        () = leaving.cancelled() => timeout(patience, work).await.ok(),
    }
}

fn unknown_shell() -> Response {
    Response::Fault(Fault::unknown("such session"))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_nobody_waits_for_is_waited_for_a_little() {
        let leaving = CancellationToken::new();
        let mut stays = Box::pin(unless_left(&leaving, Duration::ZERO, pending::<()>()));
        assert!(poll!(&mut stays).is_pending());
        leaving.cancel();
        assert_eq!(stays.await, None);
        assert_eq!(
            unless_left(&leaving, Duration::ZERO, ready(7)).await,
            Some(7)
        );
    }
}
