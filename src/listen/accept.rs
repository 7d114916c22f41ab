//! The accept loop: takes connections as they come, counts them, and hands them to workers in turn.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{ListenError, Workers};

/// The first pause after an accept failed for want of resources; doubled each time, up to [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause. A freed file descriptor is then noticed within a second.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The least time between two log lines about the same trouble.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// How many connections there are and were.
#[derive(Debug)]
pub struct Connections {
    limit: usize,
    free: Arc<Semaphore>,
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Connections {
    fn new(limit: usize) -> Arc<Self> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            limit,
            free: Arc::new(Semaphore::new(limit)),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// Open now.
    pub fn open(&self) -> usize {
        self.limit.saturating_sub(self.free.available_permits())
    }

    /// Handed to a worker so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Closed at once so far, because the limit was reached.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Accepts that failed so far.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// A connection on its way to a worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    /// Its share of the connection limit, given back when the connection ends.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Accepts connections and hands them to workers, each in turn.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    dispatch: Dispatch,
}

impl Acceptor {
    /// Takes over `listener` for `workers`, with at most `limit` connections open at once.
    ///
    /// Must be called within the runtime that will [`run`](Self::run) it.
    ///
    /// # Errors
    ///
    /// The runtime cannot take the socket.
    pub fn new(
        listener: std::net::TcpListener,
        workers: &Workers,
        limit: usize,
    ) -> Result<Self, ListenError> {
        let address = listener
            .local_addr()
            .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let listener = TcpListener::from_std(listener)
            .map_err(|source| ListenError::Other { address, source })?;
        let dispatch = Dispatch::new(workers, limit);
        Ok(Self { listener, dispatch })
    }

    /// The counts, for metrics.
    pub fn connections(&self) -> Arc<Connections> {
        Arc::clone(&self.dispatch.connections)
    }

    /// Accepts until `stop`, or until all workers are gone; then closes the listening socket.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            listener,
            mut dispatch,
        } = self;
        // Cancel-safe: a connection that is accepted but not handed over when `stop` comes is closed unserved, as those behind it are.
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = accept_all(listener, &mut dispatch) => {}
        }
    }
}

/// Where connections come from; a trait so that tests can have them fail to come.
pub(super) trait Source {
    /// The next connection. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Source for TcpListener {
    async fn next(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept().await
    }
}

/// Accepts for ever; returns when there is no worker left.
pub(super) async fn accept_all(mut source: impl Source, dispatch: &mut Dispatch) {
    let mut trouble = Trouble::default();
    loop {
        match source.next().await {
            Ok((stream, peer)) => {
                trouble.over();
                match dispatch.hand_over(stream, peer).await {
                    Ok(()) => {}
                    Err(NoWorkers) => return,
                }
            }
            // The client was gone before we came to it.
            Err(error) if concerns_one_connection(&error) => {
                dispatch.connections.failed.fetch_add(1, Ordering::Relaxed);
                debug!(%error, "A connection was gone before it was accepted");
            }
            Err(error) => {
                dispatch.connections.failed.fetch_add(1, Ordering::Relaxed);
                let pause = trouble.another(Instant::now());
                if pause.worth_a_line {
                    warn!(
                        %error,
                        open = dispatch.connections.open(),
                        "Cannot accept connections; if files ran out, raise LimitNOFILE (ulimit -n) above twice `limits.connections`"
                    );
                }
                tokio::time::sleep(pause.length).await;
            }
        }
    }
}

/// Whether an error of `accept` is about the connection that it would have returned; accept(2) names them.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

/// Trouble that does not pass by itself, such as no file descriptor left (EMFILE, ENFILE).
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pause: Option<Duration>,
    last_line: Option<Instant>,
}

pub(super) struct Pause {
    pub(super) length: Duration,
    pub(super) worth_a_line: bool,
}

impl Trouble {
    pub(super) fn over(&mut self) {
        self.pause = None;
    }

    pub(super) fn another(&mut self, now: Instant) -> Pause {
        let length = self
            .pause
            .map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        self.pause = Some(length);
        let worth_a_line = self
            .last_line
            .is_none_or(|last| now.duration_since(last) >= BETWEEN_LINES);
        if worth_a_line {
            self.last_line = Some(now);
        }
        Pause {
            length,
            worth_a_line,
        }
    }
}

/// Hands connections to workers in turn, within the limit.
#[derive(Debug)]
pub(super) struct Dispatch {
    workers: Vec<mpsc::Sender<Accepted>>,
    next: usize,
    pub(super) connections: Arc<Connections>,
}

/// There is no worker left to hand a connection to.
#[derive(Debug)]
pub(super) struct NoWorkers;

impl Dispatch {
    pub(super) fn new(workers: &Workers, limit: usize) -> Self {
        Self {
            workers: workers.doors(),
            next: 0,
            connections: Connections::new(limit),
        }
    }

    async fn hand_over(&mut self, stream: TcpStream, peer: SocketAddr) -> Result<(), NoWorkers> {
        let Ok(permit) = Arc::clone(&self.connections.free).try_acquire_owned() else {
            // Dropping the stream closes it. A client that waits learns at once, not after its own timeout.
            self.connections.refused.fetch_add(1, Ordering::Relaxed);
            debug!(%peer, limit = self.connections.limit, "Connection refused: the limit is reached");
            return Ok(());
        };
        // Answers are written whole, so waiting for more to send only costs time.
        let stream = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) => {
                self.connections.failed.fetch_add(1, Ordering::Relaxed);
                debug!(%peer, %error, "A connection was gone before it was served");
                return Ok(());
            }
        };
        let accepted = Accepted {
            stream,
            peer,
            permit,
        };
        self.pass_on(accepted).await?;
        self.connections.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// To the next worker whose queue has room; if none has, waits for the next one, and the kernel's backlog holds what comes meanwhile.
    async fn pass_on(&mut self, mut accepted: Accepted) -> Result<(), NoWorkers> {
        loop {
            let mut full = None;
            for _ in 0..self.workers.len() {
                let index = self.next % self.workers.len().max(1);
                self.next = self.next.wrapping_add(1);
                let Some(worker) = self.workers.get(index) else {
                    break;
                };
                match worker.try_send(accepted) {
                    Ok(()) => return Ok(()),
                    Err(TrySendError::Full(back)) => {
                        accepted = back;
                        full = Some(worker.clone());
                    }
                    Err(TrySendError::Closed(back)) => accepted = back,
                }
            }
            match full {
                None => return Err(NoWorkers),
                Some(worker) => match worker.send(accepted).await {
                    Ok(()) => return Ok(()),
                    Err(mpsc::error::SendError(back)) => accepted = back,
                },
            }
        }
    }
}
