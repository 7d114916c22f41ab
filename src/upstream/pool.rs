//! The pool: which connection a request goes out on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::client::conn::TrySendError;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::body::{Live, UpstreamBody};
use super::connect::{Connected, connect, timed_out};
use super::turns::{Purpose, Reserved, Turn};
use super::{Delivery, Keep, Target, Upstream, UpstreamError, http1, http2};

/// New connections that are tried for one request, if each closes before the request is sent.
const FRESH: usize = 2;

/// HTTP/2 connections to one upstream for ordinary calls. With all of them full, requests wait for a stream to end.
const MOST_HTTP2: usize = 8;

/// How long a connection whose answer is complete may take to be ready for the next request, such as for the upstream to read the rest of this one.
const GET_READY: Duration = Duration::from_secs(5);

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
    /// # Errors
    ///
    /// No connection, no answer in time, or none that is HTTP; see [`UpstreamError::delivery`] for what that means.
    pub fn send<'a>(
        &'a self,
        upstream: &'a Upstream,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + Send + 'a {
        self.send_by(upstream, None, request)
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
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let upstream = turn.upstream().clone();
        self.send_by(&upstream, Some(turn), request).await
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
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let target = &*upstream.0;
        let rack = self.rack(target);
        let purpose = turn.as_ref().map(Turn::purpose);
        let mut fresh = 0;
        loop {
            let line = if let Some(line) = rack.take(target, purpose) {
                line
            } else {
                fresh += 1;
                // Boxed because it is rare and large: the future of a request on a connection that exists stays small.
                Box::pin(rack.connect(target, purpose)).await?
            };
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
        let rack = self.rack(&upstream.0);
        let resting = rack.resting();
        resting
            .iter()
            .filter(|resting| resting.connection.is_usable())
            .count()
    }

    /// HTTP/2 connections that ordinary calls could use.
    pub(super) fn shared(&self, upstream: &Upstream) -> usize {
        let rack = self.rack(&upstream.0);
        let connections = rack.calls.connections();
        connections
            .iter()
            .filter(|connection| connection.is_alive(Instant::now(), upstream.0.keep.age))
            .count()
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

/// What a request goes out on.
#[derive(Debug)]
enum Line {
    Http1(http1::Connection),
    Http2(http2::Stream),
}

/// One upstream's connections.
#[derive(Debug)]
pub(super) struct Rack {
    /// HTTP/1.1 connections at rest, the longest unused first: for whatever comes next, since each request has one for itself.
    resting: Mutex<VecDeque<Resting>>,
    /// Whether the upstream is known to speak HTTP/1.1, so that connecting needs no queue.
    speaks_http1: AtomicBool,
    /// For ordinary calls,
    calls: Shared,
    /// for what clients end,
    ends: Reserved,
    /// for what the gateway ends,
    enforcement: Reserved,
    /// and for what waits.
    waits: Reserved,
}

/// HTTP/2 connections that requests of one kind share.
#[derive(Debug)]
pub(super) struct Shared {
    connections: Mutex<Vec<http2::Connection>>,
    /// How many there may be.
    pub(super) most: usize,
    /// Lets one request at a time connect while it may turn out that all can share its connection.
    connecting: Semaphore,
}

#[derive(Debug)]
struct Resting {
    connection: http1::Connection,
    since: Instant,
}

impl Default for Rack {
    fn default() -> Self {
        Self {
            resting: Mutex::default(),
            speaks_http1: AtomicBool::new(false),
            calls: Shared::at_most(MOST_HTTP2),
            ends: Reserved::new(Purpose::End),
            enforcement: Reserved::new(Purpose::Enforce),
            waits: Reserved::new(Purpose::Wait),
        }
    }
}

impl Shared {
    pub(super) fn at_most(most: usize) -> Self {
        Self {
            connections: Mutex::default(),
            most,
            connecting: Semaphore::new(1),
        }
    }

    /// The connection with the fewest requests, if it can take one more or there may be no more connections.
    fn take(&self, now: Instant, age: Duration) -> Option<Line> {
        let mut connections = self.connections();
        connections.retain(|connection| connection.is_alive(now, age));
        let enough = connections.len() >= self.most;
        connections
            .iter_mut()
            .filter(|connection| enough || connection.has_room())
            .min_by_key(|connection| connection.open())
            .map(|connection| Line::Http2(connection.stream(now)))
    }

    fn connections(&self) -> MutexGuard<'_, Vec<http2::Connection>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rack {
    /// A connection that exists and can take a request now: the one used last, so that those not needed grow old.
    fn take(&self, target: &Target, purpose: Option<Purpose>) -> Option<Line> {
        let now = Instant::now();
        let Keep { age, .. } = target.keep;
        {
            let mut resting = self.resting();
            while let Some(Resting { connection, since }) = resting.pop_back() {
                if now.saturating_duration_since(since) > age {
                    // Those before it have rested longer still.
                    resting.clear();
                } else if connection.is_usable() {
                    return Some(Line::Http1(connection));
                }
            }
        }
        // Without TLS there is no HTTP/2.
        target.tls.as_ref()?;
        self.shared(purpose).take(now, age)
    }

    /// A new connection; or one that another request made or gave back while this one waited for its turn.
    async fn connect(
        &self,
        target: &Target,
        purpose: Option<Purpose>,
    ) -> Result<Line, UpstreamError> {
        let began = Instant::now();
        if target.tls.is_none() || self.speaks_http1.load(Ordering::Relaxed) {
            return Ok(self.keep(connect(target, began).await?, target, purpose));
        }
        let deadline = began + target.timeouts.connect;
        let Ok(turn) = timeout_at(deadline, self.shared(purpose).connecting.acquire()).await else {
            return Err(timed_out(target));
        };
        if self.speaks_http1.load(Ordering::Relaxed) {
            drop(turn);
        }
        if let Some(line) = self.take(target, purpose) {
            return Ok(line);
        }
        Ok(self.keep(connect(target, began).await?, target, purpose))
    }

    fn keep(&self, connected: Connected, target: &Target, purpose: Option<Purpose>) -> Line {
        match connected {
            Connected::Http1(connection) => {
                self.speaks_http1.store(true, Ordering::Relaxed);
                Line::Http1(connection)
            }
            Connected::Http2(mut connection) => {
                self.speaks_http1.store(false, Ordering::Relaxed);
                let stream = connection.stream(Instant::now());
                let mut connections = self.shared(purpose).connections();
                debug!(authority = %target.authority, ?purpose, shared = connections.len() + 1, "An HTTP/2 connection was made");
                connections.push(connection);
                Line::Http2(stream)
            }
        }
    }

    /// Takes back a connection whose answer was read to its end.
    pub(super) fn put_back(
        self: Arc<Self>,
        mut connection: http1::Connection,
        upstream: &Upstream,
    ) {
        if connection.is_usable() {
            self.rest(connection, upstream.0.keep);
        } else if !connection.sender.is_closed() {
            // The answer ended before the connection's task came to rest, as when the request is still being written.
            let keep = upstream.0.keep;
            tokio::spawn(async move {
                if let Ok(Ok(())) = timeout(GET_READY, connection.sender.ready()).await {
                    self.rest(connection, keep);
                }
            });
        }
    }

    fn rest(&self, connection: http1::Connection, keep: Keep) {
        let since = Instant::now();
        let mut resting = self.resting();
        while resting.front().is_some_and(|oldest| {
            since.saturating_duration_since(oldest.since) > keep.age
                || !oldest.connection.is_usable()
        }) {
            resting.pop_front();
        }
        if resting.len() < keep.connections {
            resting.push_back(Resting { connection, since });
        }
    }

    fn resting(&self) -> MutexGuard<'_, VecDeque<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connections for this purpose; without one for ordinary calls.
    fn shared(&self, purpose: Option<Purpose>) -> &Shared {
        match purpose {
            None => &self.calls,
            Some(purpose) => &self.reserved(purpose).shared,
        }
    }

    pub(super) fn reserved(&self, purpose: Purpose) -> &Reserved {
        match purpose {
            Purpose::End => &self.ends,
            Purpose::Enforce => &self.enforcement,
            Purpose::Wait => &self.waits,
        }
    }
}
