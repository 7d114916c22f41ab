//! To the server and back: what was cleared is written anew and sent, and the answer is read whole.
//!
//! Beside `forward` the only code that calls the upstream pool, and it takes nothing but [`Cleared`].

use std::error::Error as _;
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use tokio::time::timeout;
use tracing::{debug, error, warn};
use uuid::Uuid;

use crate::data::gate::Route;
use crate::data::reject::Rejection;
use crate::dialect::psrp::session::Whereabouts;
use crate::dialect::psrp::soap::{
    self, Fault, Frame, Operation, Peer, Response, Signal, Subcode, Target, read_response,
    write_request,
};
use crate::upstream::{Handover, Pool, Purpose, Turn, UpstreamBody, UpstreamError};

use super::Remoting;
use super::clearance::Cleared;
use super::hold::USUAL_WAIT;
use super::leave::Leave;
use super::shells::{Kept, Unanswered};
use super::unread::Charged;

/// The largest answer: far above the envelope that any client takes.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How long an answer stays with the server while there is no room for it. Not for long: on a connection with others it may keep
/// theirs from coming.
const PATIENCE_FOR_ROOM: Duration = Duration::from_secs(5);

/// The size of an answer that the server gives if it is not told.
const USUAL_ENVELOPE: u32 = 153_600;

/// The largest answer that the server is asked for, whatever the client would take: twice what clients do ask for.
const LARGEST_ENVELOPE: u32 = 1 << 20;

/// How long the server may take to close a session, and how long a stop waits for it to close them all.
pub(super) const CLOSE: Duration = Duration::from_secs(10);

/// The shortest time that the server is given for output, however long the request waited for its turn: with less it has no chance to say anything.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

const SOAP: HeaderValue = HeaderValue::from_static("application/soap+xml;charset=UTF-8");

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

    /// Asks the server, unless the leave to do so is over before a connection takes it, or the session is closed. What has left is waited for whether
    /// or not it is still permitted.
    async fn exchange(
        &self,
        operation: &Operation,
        ender: Ender,
        leave: &Leave<'_>,
    ) -> Result<Response, Rejection> {
        // What is late of these would begin something in another session of this id; all else waits for something, or ends it.
        let begins = matches!(
            operation,
            Operation::Command { .. } | Operation::Create { .. } | Operation::Send { .. }
        );
        // Of what has left; what has not goes nowhere once the session is closed.
        let unanswered: Mutex<Option<Unanswered<'_>>> = Mutex::new(None);
        let has_left = AtomicBool::new(false);
        let may = |_: Handover| {
            // In this order: whoever closes the session meanwhile sees it, or it sees that.
            let leaving = begins.then(|| self.kept.unanswered());
            let may = self.kept.takes(operation) && leave.holds();
            let before = if may {
                has_left.store(true, Ordering::Release);
                leave.leaves();
                let mut unanswered = unanswered.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *unanswered, leaving)
            } else {
                leaving
            };
            // Of what left before and comes again nothing was sent.
            if let Some(before) = before {
                before.settle();
            }
            may
        };
        let is_closed = async {
            match operation {
                Operation::Delete => pending().await,
                Operation::Command { .. }
                | Operation::Create { .. }
                | Operation::Receive { .. }
                | Operation::Send { .. }
                | Operation::Signal { .. } => self.kept.closed.cancelled().await,
            }
        };
        let mut is_over = pin!(leave.is_over());
        let mut answer = pin!(self.answer_of(operation, ender, &may));
        let mut is_closed = pin!(is_closed);
        let heard = loop {
            let is_here = !has_left.load(Ordering::Acquire);
            tokio::select! {
                biased;
                heard = &mut answer => break heard,
                () = &mut is_closed => break Err(if has_left.load(Ordering::Acquire) {
                    Rejection::session_closed()
                } else {
                    Rejection::withdrawn()
                }),
                () = &mut is_over, if is_here => {
                    if !has_left.load(Ordering::Acquire) {
                        break Err(Rejection::withdrawn());
                    }
                    is_over.set(leave.is_over());
                }
            }
        };
        let is_over = match &heard {
            Ok(Response::Fault(fault)) => fault.subcode.refuses(),
            Ok(_) => true,
            Err(rejection) => rejection.is_certain(),
        };
        let unanswered = unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(unanswered) = unanswered
            && is_over
        {
            unanswered.settle();
        }
        heard
    }

    async fn answer_of(
        &self,
        operation: &Operation,
        ender: Ender,
        may: &(dyn Fn(Handover) -> bool + Sync),
    ) -> Result<Response, Rejection> {
        let mut patience = self.wait_for(operation);
        let turn = match purpose(operation, ender) {
            None => None,
            Some(purpose) => {
                let began = Instant::now();
                let Some(turn) = self.turn(purpose, patience).await else {
                    return match purpose {
                        Purpose::End | Purpose::Enforce => Err(Rejection::no_turn()),
                        // As the server would say: its client asks again.
                        Purpose::Wait => Ok(Response::Fault(Fault::timed_out())),
                    };
                };
                patience = patience.map(|it| {
                    let left = it.saturating_sub(began.elapsed());
                    left.max(SHORTEST_WAIT).min(it)
                });
                Some(turn)
            }
        };
        let message = Uuid::now_v7();
        let request = soap::Request {
            frame: Frame {
                message,
                timeout: patience,
                max_envelope: self.frame.max_envelope.map(|it| it.min(LARGEST_ENVELOPE)),
                ..self.frame.clone()
            },
            shell: self.kept.id,
            operation: operation.clone(),
        };
        let upstream = &self.route.upstream;
        let url = format!("{}{}", self.remoting.origin, self.route.path);
        let peer = Peer {
            url: &url,
            configuration: &self.remoting.settings.configuration,
            machine: "",
            owner: "",
        };
        let mut sent = Request::new(Full::new(Bytes::from(write_request(&request, &peer))));
        *sent.method_mut() = Method::POST;
        // INVARIANT: path and query are made of checked parts, so they always parse; `/` would be refused upstream.
        *sent.uri_mut() =
            Uri::try_from(self.target.path_and_query(&self.route.path)).unwrap_or_default();
        let headers = sent.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, SOAP);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let began = Instant::now();
        let answer = match turn {
            None => self.pool.send(upstream, sent, may).await,
            Some(turn) => self.pool.send_in_turn(turn, sent, may).await,
        };
        let answer = answer.map_err(|error| self.failed(&error))?;
        self.route.metrics.upstream(began.elapsed());
        let status = answer.status();
        match status {
            StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR => {}
            StatusCode::UNAUTHORIZED if self.route.credential.is_injected() => {
                error!(endpoint = %self.route.path, upstream = %upstream.authority(), "Upstream refused the gateway's own credential; look at the endpoint's `upstream_auth` and the file that it names");
                return Err(Rejection::credential_refused());
            }
            StatusCode::UNAUTHORIZED => {
                return Err(Rejection::upstream_refused(
                    "the server behind the gateway did not take your name and password",
                ));
            }
            _ => {
                let text = format!(
                    "the server behind the gateway answered with status {}",
                    status.as_u16()
                );
                let may_come_yet =
                    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
                return Err(if may_come_yet {
                    Rejection::upstream_answer(&text)
                } else {
                    Rejection::upstream_refused(&text)
                });
            }
        }
        if answer.headers().contains_key(CONTENT_ENCODING) {
            return Err(Rejection::upstream_answer(
                "the server's answer is compressed, though that was not asked for",
            ));
        }
        let body = self.read(operation, answer.into_body()).await?;
        read_response(&body, message)
            .map_err(|unreadable| Rejection::upstream_answer(&unreadable.text))
    }

    /// A turn for what is no ordinary call, shared with other people's: while their own requests of its kind take all that they may, it waits
    /// as long as it might for an answer.
    async fn turn(&self, purpose: Purpose, patience: Option<Duration>) -> Option<Turn> {
        let patience = patience.unwrap_or(USUAL_WAIT);
        let whose = &self.kept.owner.key;
        self.pool
            .turn(&self.route.upstream, purpose, whose, patience)
            .await
    }

    /// How long the server may hold an answer back: less than the gateway waits for it. For output, as long as the client waits;
    /// for all else not the client says when the server gives up, since it may do what it was asked for all the same.
    fn wait_for(&self, operation: &Operation) -> Option<Duration> {
        let longest = self.remoting.upstream_timeout / 4 * 3;
        match operation {
            Operation::Receive { .. } => self.frame.timeout.map(|it| it.min(longest)),
            Operation::Command { .. }
            | Operation::Create { .. }
            | Operation::Delete
            | Operation::Send { .. }
            | Operation::Signal { .. } => Some(longest),
        }
    }

    /// Reads an answer whole. Output is what there may be much of, and clients that do not read it: it is charged before.
    async fn read(
        &self,
        operation: &Operation,
        mut body: UpstreamBody,
    ) -> Result<Bytes, Rejection> {
        let charged = match operation {
            Operation::Receive { .. } => self.charged,
            Operation::Command { .. }
            | Operation::Create { .. }
            | Operation::Delete
            | Operation::Send { .. }
            | Operation::Signal { .. } => None,
        };
        let mut charge = None;
        if charged.is_some() {
            let asked_for = self.frame.max_envelope.unwrap_or(USUAL_ENVELOPE);
            let asked_for = u64::from(asked_for.min(LARGEST_ENVELOPE));
            let size = body.size_hint().exact().unwrap_or(asked_for);
            let size = usize::try_from(size)
                .unwrap_or(usize::MAX)
                .min(ANSWER_BYTES);
            let share = self.kept.lock().empty_share();
            let room = self.kept.unread.charge(size, share);
            let room = timeout(PATIENCE_FOR_ROOM, room).await;
            charge = Some(room.map_err(|_| Rejection::answers_unread())?);
        }
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.failed(&error))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if whole.len() + data.len() > ANSWER_BYTES {
                return Err(Rejection::upstream_answer(
                    "the server's answer is too large",
                ));
            }
            if let Some(charge) = &mut charge
                && !charge.covers(whole.len() + data.len())
            {
                return Err(Rejection::answers_unread());
            }
            whole.extend_from_slice(&data);
        }
        if let (Some(charged), Some(charge)) = (charged, charge) {
            charged.put(charge);
        }
        Ok(whole.freeze())
    }

    /// Tells operators why the server did not answer; the client learns less.
    fn failed(&self, error: &UpstreamError) -> Rejection {
        if matches!(error, UpstreamError::Withdrawn { .. }) {
            return Rejection::withdrawn();
        }
        warn!(endpoint = %self.route.path, %error, cause = error.source().map(tracing::field::display), "Upstream did not answer");
        Rejection::from(error)
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

/// What an operation is for, if it is no ordinary call.
fn purpose(operation: &Operation, ender: Ender) -> Option<Purpose> {
    match operation {
        Operation::Command { .. } | Operation::Create { .. } | Operation::Send { .. } => None,
        Operation::Delete | Operation::Signal { .. } => Some(match ender {
            Ender::Client => Purpose::End,
            Ender::Gateway => Purpose::Enforce,
        }),
        Operation::Receive { .. } => Some(Purpose::Wait),
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
