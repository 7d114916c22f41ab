//! Worker threads, each with a runtime of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use super::ListenError;
use super::accept::Accepted;

/// Connections that wait for a worker that is busy; more wait in the kernel.
const QUEUE: usize = 64;

/// How long a worker that was told to abort may take before its thread is left to end with the process.
const ABORT: Duration = Duration::from_secs(1);

/// Threads that serve connections.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<Worker>,
    /// Tells connections to finish what they are doing.
    finish: CancellationToken,
    /// Tells workers not to wait for them any longer.
    abort: CancellationToken,
    /// Connections that were cut off.
    cut: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Worker {
    door: mpsc::Sender<Accepted>,
    /// Resolves, with an error, when the worker's thread is about to end.
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut off.
    pub cut: usize,
}

impl Workers {
    /// Starts `count` threads (at least one), named `worker-0` and on, each with a current-thread runtime.
    ///
    /// `make` is called once in each, within its runtime, for the context that its connections share; `serve` once for each connection. A connection
    /// lasts as long as the future that `serve` returns. Its token is cancelled when it should finish: take no further request, complete those in
    /// flight, close. The token is the worker's own, so watching it takes no lock that workers share; create its `cancelled()` once a connection.
    ///
    /// # Errors
    ///
    /// A thread or its runtime cannot be started.
    pub fn start<W, F>(
        count: usize,
        make: impl Fn(usize) -> W + Send + Sync + 'static,
        serve: impl Fn(TcpStream, SocketAddr, Arc<W>, CancellationToken) -> F + Send + Sync + 'static,
    ) -> Result<Self, ListenError>
    where
        W: Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let count = count.max(1);
        let make = Arc::new(make);
        let serve = Arc::new(serve);
        let mut workers = Self {
            threads: Vec::with_capacity(count),
            finish: CancellationToken::new(),
            abort: CancellationToken::new(),
            cut: Arc::new(AtomicUsize::new(0)),
        };
        for index in 0..count {
            let failed = |source| ListenError::Worker {
                index,
                count,
                source,
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(failed)?;
            let (door, queue) = mpsc::channel(QUEUE);
            let (ending, ended) = oneshot::channel();
            let make = Arc::clone(&make);
            let serve = Arc::clone(&serve);
            let finish = workers.finish.child_token();
            let abort = workers.abort.child_token();
            let cut = Arc::clone(&workers.cut);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    runtime.block_on(async {
                        let context = Arc::new(make(index));
                        let left = work(queue, &context, &*serve, &finish, &abort).await;
                        cut.fetch_add(left, Ordering::Relaxed);
                    });
                    // What still runs is dropped, and with it its sockets. A blocking call, such as a look-up of a name, ends by itself.
                    runtime.shutdown_background();
                    drop(ending);
                })
                .map_err(failed)?;
            workers.threads.push(Worker {
                door,
                ended,
                thread,
            });
        }
        Ok(workers)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    pub(super) fn doors(&self) -> Vec<mpsc::Sender<Accepted>> {
        self.threads
            .iter()
            .map(|worker| worker.door.clone())
            .collect()
    }

    /// Ends the workers: tells connections to finish, waits for that up to `limit`, cuts off the rest, joins the threads.
    ///
    /// Call it when the acceptor has stopped.
    pub async fn drain(self, limit: Duration) -> Drained {
        let Self {
            threads: workers,
            finish,
            abort,
            cut,
        } = self;
        finish.cancel();
        let mut threads = Vec::with_capacity(workers.len());
        let mut ended = Vec::with_capacity(workers.len());
        for worker in workers {
            drop(worker.door);
            threads.push(worker.thread);
            ended.push(worker.ended);
        }
        let all_ended = async {
            for worker in ended {
                // The sender is dropped, never used: an error is the end.
                let _ended = worker.await;
            }
        };
        tokio::pin!(all_ended);
        if tokio::time::timeout(limit, &mut all_ended).await.is_err() {
            info!(
                ?limit,
                "Calls are still in flight at the end of the drain; cutting them off"
            );
            abort.cancel();
            if tokio::time::timeout(ABORT, &mut all_ended).await.is_err() {
                // Something blocks a worker's thread. Joining it would block us too.
                error!("A worker does not end; leaving its thread to the end of the process");
                return Drained {
                    cut: cut.load(Ordering::Relaxed),
                };
            }
        }
        for thread in threads {
            if thread.join().is_err() {
                error!("A worker ended in a panic");
            }
        }
        Drained {
            cut: cut.load(Ordering::Relaxed),
        }
    }
}

/// Serves what comes through `queue`, a task each; returns how many connections were left when told to abort.
async fn work<W, F>(
    mut queue: mpsc::Receiver<Accepted>,
    context: &Arc<W>,
    serve: &impl Fn(TcpStream, SocketAddr, Arc<W>, CancellationToken) -> F,
    finish: &CancellationToken,
    abort: &CancellationToken,
) -> usize
where
    F: Future<Output = ()> + Send + 'static,
{
    let connections = TaskTracker::new();
    let serving = async {
        while let Some(accepted) = queue.recv().await {
            let Accepted {
                stream,
                peer,
                permit,
            } = accepted;
            let stream = match TcpStream::from_std(stream) {
                Ok(stream) => stream,
                Err(error) => {
                    warn!(%peer, %error, "A connection cannot be served");
                    continue;
                }
            };
            let connection = serve(stream, peer, Arc::clone(context), finish.clone());
            connections.spawn(async move {
                connection.await;
                drop(permit);
            });
        }
        connections.close();
        connections.wait().await;
    };
    tokio::select! {
        () = serving => 0,
        () = abort.cancelled() => {
            let left = connections.len();
            debug!(left, "Worker aborted");
            left
        }
    }
}
