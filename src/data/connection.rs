//! One client connection: handshake, then HTTP/1.1 or HTTP/2, until it ends, idles too long or the gateway drains.
//!
//! A client that takes nothing of its answers for as long as a connection may idle loses the connection: over HTTP/1.1 a write waits no
//! longer ([`Patient`]), over HTTP/2, where a client may keep streams shut while the connection is alive, [`Activity`] tells.
//!
//! Most connections are idle most of the time, so each stage has its future on the heap, where it takes what it needs and
//! not what the largest of all would.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::config::Timeouts;
use crate::listen::Patient;

use super::activity::{Activity, Watched};
use super::call;
use super::errand::Errands;
use super::gate::Worker;
use super::reply::{Broken, ReplyBody};
use super::tap::{Answering, Phase, Tap, Tapped};

/// How an HTTP/2 client begins when it knows that the server speaks it (RFC 9113 section 3.4): no HTTP/1.1 method is `PRI`.
const HTTP2_PREFACE: &[u8] = b"PRI ";

/// The most header fields that hyper reads if it is not told otherwise.
const HYPERS_FIELDS: usize = 100;

/// HTTP/2 resets that a peer may cause before the connection is dropped (CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 50;

/// How long a connection on which nothing is answered when the gateway begins to stop may take to begin a request that is on its way.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Serves one accepted connection to its end, and to that of what it began. When `drain` fires, requests in flight are finished and no
/// more are taken.
pub async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    worker: Arc<Worker>,
    drain: CancellationToken,
) {
    let gate = &worker.gate;
    let _open = gate.metrics.connection();
    let errands = Errands::at_most(gate.limits.streams);
    let result = match &gate.tls {
        None => match before(&drain, speaks_http2(&stream, gate.timeouts.head))
            .await
            .flatten()
        {
            None => return,
            Some(true) => Box::pin(serve_http2(stream, peer, &worker, &errands, &drain)).await,
            Some(false) => Box::pin(serve_http1(stream, peer, &worker, &errands, &drain)).await,
        },
        Some(tls) => {
            match Box::pin(before(&drain, tls.accept(stream, gate.timeouts.handshake))).await {
                None => return,
                Some(Err(error)) => {
                    debug!(%error, %peer, "TLS handshake failed");
                    return;
                }
                Some(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                    Box::pin(serve_http2(stream, peer, &worker, &errands, &drain)).await
                }
                Some(Ok(stream)) => {
                    Box::pin(serve_http1(stream, peer, &worker, &errands, &drain)).await
                }
            }
        }
    };
    if let Err(error) = result {
        debug!(%error, %peer, "Connection ended with an error");
    }
    errands.ended().await;
}

/// What `work` comes to, unless the drain began [`LAST_WORD`] ago.
async fn before<T>(drain: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    let over = async {
        drain.cancelled().await;
        sleep(LAST_WORD).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = over => None,
    }
}

/// Whether a plain connection begins with HTTP/2's preface; `None` if it ends or stays silent too long.
async fn speaks_http2(stream: &TcpStream, patience: Duration) -> Option<bool> {
    let mut start = [0; HTTP2_PREFACE.len()];
    let peek = async {
        let length = stream
            .peek(&mut start)
            .await
            .ok()
            .filter(|length| *length > 0)?;
        Some(length == HTTP2_PREFACE.len() && start == HTTP2_PREFACE)
    };
    timeout(patience, peek).await.ok().flatten()
}

async fn serve_http1<S>(
    stream: S,
    peer: SocketAddr,
    worker: &Arc<Worker>,
    errands: &Errands,
    drain: &CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gate = &worker.gate;
    let (stream, tap) = Tapped::new(Patient::new(stream, gate.timeouts.idle));
    let service = {
        let (worker, errands) = (Arc::clone(worker), errands.clone());
        let tap: Tap = tap.clone();
        service_fn(move |request| {
            let (worker, errands, tap) = (Arc::clone(&worker), errands.clone(), tap.clone());
            // Boxed, because the connection keeps room for it while it is idle.
            Box::pin(async move {
                let answering = tap.answering();
                let answer = call::handle(&worker, &errands, peer, Some(&tap), request).await;
                Ok::<_, Infallible>(answer.map(|body| Until { body, answering }))
            })
        })
    };
    let mut builder = http1::Builder::new();
    if gate.limits.head_fields != HYPERS_FIELDS {
        // Asking for another number, or for the same, makes hyper prepare room for each head.
        builder.max_headers(gate.limits.head_fields);
    }
    let connection = builder
        .timer(TokioTimer::new())
        // Its clock runs between requests as well, where another limit holds: see below.
        .header_read_timeout(None)
        .max_buf_size(gate.limits.head_bytes.max(8192))
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let Timeouts { head, idle, .. } = gate.timeouts;
    loop {
        // The next phase may begin at any moment, so nobody sleeps longer than the shorter limit.
        let wait = match tap.phase() {
            Phase::Answering => head,
            Phase::Head(since) => head.saturating_sub(since.elapsed()),
            Phase::Idle(since) => idle.saturating_sub(since.elapsed()),
        }
        .min(head)
        .min(idle);
        if wait.is_zero() {
            // Nothing is in flight: there is nobody to say anything to.
            return Ok(());
        }
        tokio::select! {
            result = connection.as_mut() => return result,
            () = drain.cancelled() => break,
            () = sleep(wait) => {}
        }
    }
    let answers = tap.phase() == Phase::Answering;
    connection.as_mut().graceful_shutdown();
    if !answers {
        tokio::select! {
            result = connection.as_mut() => return result,
            () = sleep(LAST_WORD) => {}
        }
        if tap.phase() != Phase::Answering {
            return Ok(());
        }
    }
    connection.await
}

/// A body, and the mark that its request is being answered until it is gone.
struct Until {
    body: ReplyBody,
    #[expect(dead_code, reason = "it is there to be dropped")]
    answering: Answering,
}

impl Body for Until {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn serve_http2<S>(
    stream: S,
    peer: SocketAddr,
    worker: &Arc<Worker>,
    errands: &Errands,
    drain: &CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gate = &worker.gate;
    let activity = Arc::new(Activity::default());
    let service = {
        let (worker, errands) = (Arc::clone(worker), errands.clone());
        let activity = Arc::clone(&activity);
        service_fn(move |request| {
            let (worker, errands) = (Arc::clone(&worker), errands.clone());
            let (open, answering) = (activity.opened(), activity.answering());
            async move {
                let answer = call::handle(&worker, &errands, peer, None, request).await;
                drop(answering);
                Ok::<_, Infallible>(answer.map(|body| Watched::new(body, open)))
            }
        })
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(gate.limits.streams)
        .max_header_list_size(u32::try_from(gate.limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_RESET_STREAMS)
        .keep_alive_interval(gate.timeouts.idle / 2)
        .keep_alive_timeout(gate.timeouts.head)
        .serve_connection(
            TokioIo::new(Patient::new(stream, gate.timeouts.idle)),
            service,
        );
    let mut connection = pin!(connection);
    // A connection on which nothing went on between two ticks is asked to end. Calls in flight are finished all the same, but once
    // they are, answers that nobody takes are not kept longer than to the next tick.
    let mut tick = interval(gate.timeouts.idle);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    let mut is_ending = false;
    let (mut is_draining, mut answers) = (false, false);
    let mut last_word = pin!(sleep(LAST_WORD));
    loop {
        tokio::select! {
            result = connection.as_mut() => return result,
            () = drain.cancelled(), if !is_draining => {
                is_draining = true;
                is_ending = true;
                answers = activity.has_open();
                connection.as_mut().graceful_shutdown();
                last_word.as_mut().reset(Instant::now() + LAST_WORD);
            }
            // A client that says nothing more leaves even the graceful end unanswered.
            () = last_word.as_mut(), if is_draining && !answers => {
                if !activity.has_open() {
                    return Ok(());
                }
                answers = true;
            }
            _ = tick.tick() => {
                let now = activity.so_far();
                let is_idle = seen.replace(now) == Some(now);
                if is_idle && !is_ending {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                } else if is_idle && !activity.is_answering() {
                    return Ok(());
                }
            }
        }
    }
}
