//! One operation: its turn, the leave to go up, the request, and the answer, read whole.
//!
//! Beside `forward` the only code that calls the upstream pool. What may be sent is not judged here: [`super`] takes nothing but what was cleared,
//! and nobody else reaches this.

use std::error::Error as _;
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use tokio::time::timeout;
use tracing::{error, warn};
use uuid::Uuid;

use crate::data::reject::Rejection;
use crate::data::remoting::hold::USUAL_WAIT;
use crate::data::remoting::leave::Leave;
use crate::data::remoting::shells::Unanswered;
use crate::dialect::psrp::soap::{
    self, Fault, Frame, Operation, Peer, Response, read_response, write_request,
};
use crate::upstream::{Handover, Purpose, Turn, UpstreamBody, UpstreamError};

use super::{Ender, Line};

/// The largest answer: far above the envelope that any client takes.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How long an answer stays with the server while there is no room for it. Not for long: on a connection with others it may keep
/// theirs from coming.
const PATIENCE_FOR_ROOM: Duration = Duration::from_secs(5);

/// The size of an answer that the server gives if it is not told.
const USUAL_ENVELOPE: u32 = 153_600;

/// The largest answer that the server is asked for, whatever the client would take: twice what clients do ask for.
const LARGEST_ENVELOPE: u32 = 1 << 20;

/// The shortest time that the server is given for output, however long the request waited for its turn: with less it has no chance to say anything.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

const SOAP: HeaderValue = HeaderValue::from_static("application/soap+xml;charset=UTF-8");

impl Line<'_> {
    /// Asks the server, unless the leave to do so is over before a connection takes it, or the session is closed. What has left is waited for whether
    /// or not it is still permitted.
    pub(super) async fn exchange(
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
