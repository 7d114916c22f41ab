//! To the server and back: what was cleared goes up in its order, and what the answers mean for the session.
//!
//! It takes nothing but [`Cleared`]; each operation goes up by [`exchange`].

mod exchange;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::time::timeout;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::data::gate::Route;
use crate::data::reject::Rejection;
use crate::dialect::psrp::session::Whereabouts;
use crate::dialect::psrp::soap::{Fault, Frame, Operation, Response, Signal, Subcode, Target};
use crate::upstream::Pool;

use super::Remoting;
use super::clearance::Cleared;
use super::leave::Leave;
use super::shells::Kept;
use super::unread::Charged;

/// How long the server may take to close a session, and how long a stop waits for it to close them all.
pub(super) const CLOSE: Duration = Duration::from_secs(10);

/// Whom to ask about one session, and how.
pub(super) struct Line<'a> {
    pub(super) pool: &'a Pool,
    pub(super) route: &'a Route,
    pub(super) remoting: &'a Remoting,
    pub(super) kept: &'a Kept,
    pub(super) authorization: HeaderValue,
    pub(super) target: &'a Target,
    pub(super) frame: &'a Frame,
    /// Where the charge of an answer goes that a client waits for.
    pub(super) charged: Option<&'a Charged>,
}

/// Who wants something to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ender {
    /// The client, who asked for it.
    Client,
    /// The gateway: it may not go on, or nobody uses it. That never waits for what clients end.
    Gateway,
}

/// What came of closing a session at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Closing {
    /// It is not there any more.
    Confirmed,
    /// It may be there, and run what it ran.
    Unconfirmed,
}

/// What the client hears of what went upstream.
#[derive(Debug)]
pub(super) enum Heard {
    /// This.
    Answer(Response),
    /// The server did not answer an operation, or not in a way that can be passed on.
    Lost(Box<Rejection>),
}

impl Line<'_> {
    /// Sends what was cleared, in order. A fault ends it and is passed on. A pipeline of which the server may have more than it
    /// says is told to end.
    /// Each operation goes up only with `leave`; where that is over, those that are left do not, and what becomes of the pipeline is the caller's to see to.
    pub(super) async fn send(&self, cleared: Cleared, leave: &Leave<'_>) -> Heard {
        self.send_for(cleared, Ender::Client, leave).await
    }

    async fn send_for(&self, cleared: Cleared, ender: Ender, leave: &Leave<'_>) -> Heard {
        let heard = self.send_in_order(cleared, ender, leave).await;
        let to_end = self.kept.lock().shell.take_to_end();
        for command in to_end {
            self.forget(command).await;
        }
        heard
    }

    async fn send_in_order(&self, cleared: Cleared, ender: Ender, leave: &Leave<'_>) -> Heard {
        let (operations, answer) = cleared.into_parts();
        let mut last = None;
        // The pipeline that the server has the beginning of, and the one that it has some input of.
        let mut begun = None;
        let mut fed = None;
        for operation in operations {
            let heard = match self.exchange(&operation, ender, leave).await {
                Ok(response) => self.hear(&operation, response),
                Err(rejection) => Err(rejection),
            };
            match heard {
                Ok(Response::Fault(fault)) => {
                    match (begun, input_of(&operation)) {
                        (Some(command), _) => self.kept.failed(command, &fault),
                        (None, Some(command)) if fed.is_some() || !fault.subcode.refuses() => {
                            self.kept.input_lost(command);
                        }
                        (None, _) => {}
                    }
                    return Heard::Answer(Response::Fault(fault));
                }
                Ok(response) => last = Some(response),
                Err(rejection) if rejection.is_withdrawn() => {
                    return Heard::Lost(Box::new(rejection));
                }
                Err(rejection) => {
                    match (begun, &operation) {
                        (None, Operation::Command { command, .. }) if rejection.is_unsent() => {
                            self.kept.lost(*command, Whereabouts::Here, &rejection);
                        }
                        (Some(command), _) | (None, &Operation::Command { command, .. }) => {
                            self.kept.lost(command, Whereabouts::Unknown, &rejection);
                        }
                        (None, operation) => {
                            if let Some(command) = input_of(operation)
                                && (fed.is_some() || !rejection.is_certain())
                            {
                                self.kept.input_lost(command);
                            }
                        }
                    }
                    return Heard::Lost(Box::new(rejection));
                }
            }
            if let Operation::Command { command, .. } = operation {
                begun = Some(command);
            }
            fed = input_of(&operation).or(fed);
        }
        match answer.or(last) {
            Some(answer) => Heard::Answer(answer),
            None => Heard::Answer(Response::Sent),
        }
    }

    /// Sends what ends a pipeline. What the server says to it does not matter: it may have ended by itself.
    pub(super) async fn send_ending(&self, cleared: Cleared, ender: Ender) -> Option<Response> {
        let (operations, answer) = cleared.into_parts();
        for operation in operations {
            if let Ok(response) = self.exchange(&operation, ender, &Leave::always()).await {
                drop(self.hear(&operation, response));
            }
        }
        answer
    }

    /// Has the server forget a pipeline that it has not the whole of, which waits there for the rest, or that it may run though it
    /// did not say so.
    async fn forget(&self, command: Uuid) {
        let signal = Operation::Signal {
            command,
            signal: Signal::Terminate,
        };
        let Some(cleared) = Cleared::plumbing(vec![signal]) else {
            return;
        };
        if timeout(CLOSE, self.send_ending(cleared, Ender::Gateway))
            .await
            .is_err()
        {
            warn!(shell = %self.kept.id, pipeline = %command, "The server did not say whether it forgets a pipeline whose beginning failed; it ends with its session");
        }
    }

    /// Tells the server once more to end the pipelines that it did not say to have ended, as long as it answers.
    pub(super) async fn end_again(&self) {
        let stopping = self.kept.lock().shell.stopping();
        for command in stopping {
            let signals = [Signal::Stop, Signal::Terminate];
            let ends = signals.map(|signal| Operation::Signal { command, signal });
            let Some(cleared) = Cleared::plumbing(ends.into()) else {
                return;
            };
            if timeout(CLOSE, self.send_ending(cleared, Ender::Gateway))
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Has the server close the session, if it does so soon. Whatever else it answers than that the session is closed or not there,
    /// the session and its pipelines may run on there.
    pub(super) async fn close(&self) -> Closing {
        let leave = Leave::always();
        let closing = self.send_for(Cleared::closing(), Ender::Gateway, &leave);
        match timeout(CLOSE, closing).await {
            Ok(Heard::Answer(Response::Deleted)) => Closing::Confirmed,
            Ok(Heard::Answer(Response::Fault(fault))) => {
                debug!(shell = %self.kept.id, text = fault.text, "The server did not close a session");
                match fault.subcode {
                    Subcode::InvalidSelectors => Closing::Confirmed,
                    _ => Closing::Unconfirmed,
                }
            }
            Ok(Heard::Answer(_) | Heard::Lost(_)) | Err(_) => Closing::Unconfirmed,
        }
    }

    /// Has the server close a session that nobody here has any more. If it does not say that it did, it is told again, as long as
    /// the gateway has a credential to say so with.
    pub(super) async fn close_or_keep_on(&self, kept: &Arc<Kept>) {
        match self.close().await {
            Closing::Confirmed => {}
            Closing::Unconfirmed if self.route.credential.is_injected() => {
                warn!(shell = %kept.id, endpoint = %self.route.path, "The server did not say that it closed a session; it is told again");
                self.remoting.shells.keep_closing(kept);
            }
            Closing::Unconfirmed => {
                warn!(shell = %kept.id, endpoint = %self.route.path, "A session could not be closed upstream; the server's own idle time ends it");
            }
        }
    }

    /// What an answer means for the session.
    fn hear(&self, operation: &Operation, response: Response) -> Result<Response, Rejection> {
        let (heard, learned) = {
            let mut inner = self.kept.lock();
            if let Operation::Command { command, .. } = operation
                && let Some(standing) = inner.standing.get_mut(command)
            {
                standing.upstream_answered(status(&response).as_u16());
            }
            let heard = inner.shell.heard(operation, response, &self.remoting.own);
            let learned = inner.shell.take_learned();
            inner.settle();
            if inner.shell.is_closed() {
                self.kept.closed.cancel();
            }
            (heard, learned)
        };
        self.remoting.learn(&learned);
        self.kept.changed.notify_waiters();
        heard.map_err(|unreadable| Rejection::upstream_answer(&unreadable.text))
    }
}

impl Kept {
    /// What the server has of a pipeline's input is not known.
    fn input_lost(&self, command: Uuid) {
        let mut inner = self.lock();
        inner.shell.input_lost(command);
        inner.settle();
        drop(inner);
        self.changed.notify_waiters();
    }

    /// The server took the beginning of a pipeline and not the rest.
    fn failed(&self, command: Uuid, fault: &Fault) {
        let mut inner = self.lock();
        if let Some(standing) = inner.standing.get_mut(&command) {
            standing.upstream_answered(StatusCode::INTERNAL_SERVER_ERROR.as_u16());
        }
        inner.shell.broken_off(command, fault);
        inner.settle();
        drop(inner);
        self.changed.notify_waiters();
    }
}

/// The pipeline that an operation is input of.
fn input_of(operation: &Operation) -> Option<Uuid> {
    match operation {
        Operation::Send { command, .. } => *command,
        Operation::Command { .. }
        | Operation::Create { .. }
        | Operation::Delete
        | Operation::Receive { .. }
        | Operation::Signal { .. } => None,
    }
}

/// The status that an answer comes with.
pub(super) fn status(response: &Response) -> StatusCode {
    match response {
        Response::Fault(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Response::Created { .. }
        | Response::Deleted
        | Response::Received(_)
        | Response::Sent
        | Response::Signalled
        | Response::Started { .. } => StatusCode::OK,
    }
}
