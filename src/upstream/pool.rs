//! The pool: which connection a request goes out on.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::client::conn::TrySendError;
use tracing::debug;

use super::body::{Live, UpstreamBody};
use super::rack::{Line, Rack};
use super::turns::{Purpose, Turn};
use super::{Delivery, Target, Upstream, UpstreamError};

/// New connections that are tried for one request, if each closes before the request is sent.
const FRESH: usize = 2;

/// When a connection takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// It waited for one.
    AfterWaiting,
    /// As soon as it came.
    AtOnce,
}

/// A worker's connections, for all upstreams.
///
/// Made for one runtime: its connections are driven by tasks there, so it must be used there only. The locks are never held across an
/// await and never waited for, since one thread uses them.
#[derive(Debug, Default)]
pub struct Pool {
    /// By [`Target::index`].
    racks: RwLock<Vec<Arc<Rack>>>,
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends `request`, an ordinary call, and waits for the head of the answer.
    ///
    /// Of the request's URI only path and query count; `Host` or `:authority` is always the upstream's own. Hop-by-hop headers are the caller's
    /// business. The request is sent at most once: it is tried on another connection only if not a byte of it had been sent. Dropping the future
    /// abandons the request.
    ///
    /// `may` is asked right before a connection takes the request: whether it is still to be sent. It is asked again where that connection closes
    /// before anything was sent on it.
    ///
    /// # Errors
    ///
    /// No connection, no answer in time, none that is HTTP, or `may` said no; see [`UpstreamError::delivery`] for what that means.
    pub fn send<'a>(
        &'a self,
        upstream: &'a Upstream,
        request: Request<Full<Bytes>>,
        may: &'a (dyn Fn(Handover) -> bool + Sync),
    ) -> impl Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + Send + 'a {
        self.send_by(upstream, None, request, may)
    }

    /// Sends `request` in its turn, to the upstream that the turn is of; it ends when the answer was read to its end, or dropped. Otherwise as
    /// [`send`](Self::send) does.
    ///
    /// # Errors
    ///
    /// As those of [`send`](Self::send).
    pub async fn send_in_turn(
        &self,
        turn: Turn,
        request: Request<Full<Bytes>>,
        may: &(dyn Fn(Handover) -> bool + Sync),
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let upstream = turn.upstream().clone();
        self.send_by(&upstream, Some(turn), request, may).await
    }

    /// A turn for a request of `whose` to `upstream`, or none if there is none within `patience`.
    ///
    /// Requests of different purposes never wait for each other, and one person never keeps all turns from the others. Dropping the future gives
    /// the wait up.
    pub async fn turn(
        &self,
        upstream: &Upstream,
        purpose: Purpose,
        whose: &str,
        patience: Duration,
    ) -> Option<Turn> {
        let rack = self.rack(&upstream.0);
        rack.turn(upstream, purpose, whose, patience).await
    }

    async fn send_by(
        &self,
        upstream: &Upstream,
        turn: Option<Turn>,
        mut request: Request<Full<Bytes>>,
        may: &(dyn Fn(Handover) -> bool + Sync),
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let target = &*upstream.0;
        let rack = self.rack(target);
        let purpose = turn.as_ref().map(Turn::purpose);
        let mut fresh = 0;
        loop {
            let (line, handover) = if let Some(line) = rack.take(target, purpose) {
                (line, Handover::AtOnce)
            } else {
                fresh += 1;
                // Boxed because it is rare and large: the future of a request on a connection that exists stays small.
                let line = Box::pin(rack.connect(target, purpose)).await?;
                (line, Handover::AfterWaiting)
            };
            if !may(handover) {
                line.give_back(&rack, upstream);
                return Err(UpstreamError::Withdrawn {
                    authority: target.authority.clone(),
                });
            }
            let failure = match line {
                Line::Http1(mut connection) => match connection.send(target, request).await {
                    Ok(response) => {
                        return answer(upstream, turn, response, || Live::Http1(connection, rack));
                    }
                    Err(failure) => failure,
                },
                Line::Http2(stream) => match stream.send(target, request).await {
                    Ok((response, place, timer)) => {
                        return answer(upstream, turn, response, || Live::Http2(place, timer));
                    }
                    Err(failure) => failure,
                },
            };
            match failure {
                Failure::Sent(error) => return Err(error),
                Failure::Unsent(unsent) => {
                    let Unsent { back, error } = *unsent;
                    debug!(authority = %target.authority, %error, "A connection closed before the request was sent; taking another");
                    if fresh >= FRESH {
                        return Err(UpstreamError::Closed {
                            authority: target.authority.clone(),
                            delivery: Delivery::NotSent,
                            source: error,
                        });
                    }
                    request = back;
                }
            }
        }
    }

    fn rack(&self, target: &Target) -> Arc<Rack> {
        let racks = self.racks.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rack) = racks.get(target.index) {
            return Arc::clone(rack);
        }
        drop(racks);
        let mut racks = self.racks.write().unwrap_or_else(PoisonError::into_inner);
        while racks.len() <= target.index {
            racks.push(Arc::default());
        }
        racks
            .get(target.index)
            .map_or_else(Arc::default, Arc::clone)
    }
}

#[cfg(test)]
impl Pool {
    /// HTTP/1.1 connections at rest that could be used.
    pub(super) fn at_rest(&self, upstream: &Upstream) -> usize {
        self.rack(&upstream.0).at_rest()
    }

    /// HTTP/2 connections that ordinary calls could use.
    pub(super) fn shared(&self, upstream: &Upstream) -> usize {
        self.rack(&upstream.0).shareable(upstream.0.keep.age)
    }
}

fn answer(
    upstream: &Upstream,
    turn: Option<Turn>,
    response: Response<hyper::body::Incoming>,
    live: impl FnOnce() -> Live,
) -> Result<Response<UpstreamBody>, UpstreamError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it. What follows would be no longer HTTP, and no longer looked at.
        return Err(UpstreamError::Protocol {
            authority: upstream.authority().clone(),
            source: None,
        });
    }
    Ok(response.map(|incoming| UpstreamBody::new(incoming, live(), turn, upstream)))
}

/// Why a connection gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something of the request went out.
    Sent(UpstreamError),
    /// Nothing did.
    Unsent(Box<Unsent>),
}

/// A request that hyper gave back.
#[derive(Debug)]
pub(super) struct Unsent {
    back: Request<Full<Bytes>>,
    error: hyper::Error,
}

#[cfg(test)]
impl Unsent {
    pub(super) fn into_request(self) -> Request<Full<Bytes>> {
        self.back
    }
}

impl Failure {
    pub(super) fn new(target: &Target, mut error: TrySendError<Request<Full<Bytes>>>) -> Self {
        match error.take_message() {
            Some(back) => Self::Unsent(Box::new(Unsent {
                back,
                error: error.into_error(),
            })),
            None => Self::Sent(UpstreamError::after_sending(
                &target.authority,
                error.into_error(),
            )),
        }
    }
}
