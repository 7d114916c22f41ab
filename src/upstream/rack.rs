//! One upstream's connections: those at rest, and those that are shared.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::connect::{Connected, connect, timed_out};
use super::turns::{Purpose, Reserved};
use super::{Keep, Phase, Target, Upstream, UpstreamError, http1, http2};

/// HTTP/2 connections to one upstream for ordinary calls. With all of them full, requests wait for a stream to end.
const MOST_HTTP2: usize = 8;

/// How long a connection whose answer is complete may take to be ready for the next request, such as for the upstream to read the rest of this one.
const GET_READY: Duration = Duration::from_secs(5);

/// What a request goes out on.
#[derive(Debug)]
pub(super) enum Line {
    Http1(http1::Connection),
    Http2(http2::Stream),
}

impl Line {
    /// Nothing goes out on it after all.
    pub(super) fn give_back(self, rack: &Arc<Rack>, upstream: &Upstream) {
        match self {
            Self::Http1(connection) => Arc::clone(rack).put_back(connection, upstream),
            // Others share the connection, and its place is given up with it.
            Self::Http2(stream) => drop(stream),
        }
    }
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
    /// What a request does when all are full.
    when_full: WhenFull,
    /// Lets one request at a time wait for room; the others wait for that, in their order.
    queue: Semaphore,
}

/// What a request does when all connections are full and there may be no more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// It goes to the one with the fewest requests: it has a turn, so this is rare.
    Joins,
    /// It waits until one has room.
    Waits,
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
            calls: Shared::at_most(MOST_HTTP2, WhenFull::Waits),
            ends: Reserved::new(Purpose::End),
            enforcement: Reserved::new(Purpose::Enforce),
            waits: Reserved::new(Purpose::Wait),
        }
    }
}

impl Shared {
    pub(super) fn at_most(most: usize, when_full: WhenFull) -> Self {
        Self {
            connections: Mutex::default(),
            most,
            connecting: Semaphore::new(1),
            when_full,
            queue: Semaphore::new(1),
        }
    }

    /// The connection with the fewest requests, if it can take one more or is to be joined though it cannot.
    fn take(&self, now: Instant, age: Duration) -> Option<Line> {
        let mut connections = self.connections();
        connections.retain(|connection| connection.is_alive(now, age));
        let enough = connections.len() >= self.most && self.when_full == WhenFull::Joins;
        connections
            .iter_mut()
            .filter(|connection| enough || connection.has_room())
            .min_by_key(|connection| connection.open())
            .map(|connection| Line::Http2(connection.stream(now)))
    }

    /// Whether there may be no more connections, and what has none waits.
    fn is_closed_to_more(&self) -> bool {
        self.when_full == WhenFull::Waits && self.connections().len() >= self.most
    }

    /// Whether requests wait for room: then what comes now waits behind them.
    fn has_queue(&self) -> bool {
        self.queue.available_permits() == 0
    }

    /// A connection with room, once there is one; none if another may be made.
    async fn room(&self, target: &Target) -> Option<Line> {
        if !self.is_closed_to_more() {
            return None;
        }
        // It is never closed, so this waits for nothing but its turn.
        let _first = self.queue.acquire().await.ok()?;
        loop {
            let mut freed = pin!(target.freed.notified());
            freed.as_mut().enable();
            if let Some(line) = self.take(Instant::now(), target.keep.age) {
                return Some(line);
            }
            if !self.is_closed_to_more() {
                return None;
            }
            freed.await;
        }
    }

    fn connections(&self) -> MutexGuard<'_, Vec<http2::Connection>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rack {
    /// A connection that exists and can take a request now: the one used last, so that those not needed grow old.
    pub(super) fn take(&self, target: &Target, purpose: Option<Purpose>) -> Option<Line> {
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
        let shared = self.shared(purpose);
        if shared.has_queue() {
            return None;
        }
        shared.take(now, age)
    }

    /// A new connection; or one that another request made or gave back while this one waited for its turn, or for room.
    pub(super) async fn connect(
        &self,
        target: &Target,
        purpose: Option<Purpose>,
    ) -> Result<Line, UpstreamError> {
        let began = Instant::now();
        if target.tls.is_none() || self.speaks_http1.load(Ordering::Relaxed) {
            return Ok(self.keep(connect(target, began).await?, target, purpose));
        }
        let shared = self.shared(purpose);
        let limit = target.timeouts.head;
        loop {
            match timeout_at(began + limit, shared.room(target)).await {
                Ok(Some(line)) => return Ok(line),
                Ok(None) => {}
                Err(_elapsed) => return Err(no_room(target, limit)),
            }
            let began = Instant::now();
            let deadline = began + target.timeouts.connect;
            let Ok(turn) = timeout_at(deadline, shared.connecting.acquire()).await else {
                return Err(timed_out(target));
            };
            if self.speaks_http1.load(Ordering::Relaxed) {
                drop(turn);
            }
            if let Some(line) = self.take(target, purpose) {
                return Ok(line);
            }
            if let Some(line) = shared.take(Instant::now(), target.keep.age) {
                return Ok(line);
            }
            if !shared.is_closed_to_more() {
                return Ok(self.keep(connect(target, began).await?, target, purpose));
            }
        }
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

/// All connections were full for so long.
fn no_room(target: &Target, limit: Duration) -> UpstreamError {
    UpstreamError::Timeout {
        authority: target.authority.clone(),
        phase: Phase::Connect,
        limit,
    }
}

#[cfg(test)]
impl Rack {
    pub(super) fn at_rest(&self) -> usize {
        let resting = self.resting();
        resting
            .iter()
            .filter(|resting| resting.connection.is_usable())
            .count()
    }

    pub(super) fn shareable(&self, age: Duration) -> usize {
        let connections = self.calls.connections();
        connections
            .iter()
            .filter(|connection| connection.is_alive(Instant::now(), age))
            .count()
    }
}
