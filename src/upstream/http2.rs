//! HTTP/2: many requests at a time on a connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection as Driver, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use super::connect::Connected;
use super::error::{Delivery, UpstreamError};
use super::pool::Failure;
use super::{Phase, Target};

/// The most requests at a time on one connection, even if the upstream allows more: beyond it another connection serves better.
pub(super) const MOST_STREAMS: usize = 100;

/// The longest head of an answer, bytes; the same as for HTTP/1.1.
const HEAD: u32 = 64 * 1024;

/// How often the upstream is asked whether it is still there while it owes an answer, and how long it has to say so.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// A connection that requests share.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    load: Arc<Load>,
    last_used: Instant,
}

#[derive(Debug)]
struct Load {
    /// Requests whose answers are not read to their end yet.
    open: AtomicUsize,
    /// How many the upstream allows on a connection, as it last said on any of them: see [`Target::streams`](super::Target).
    allowed: Arc<AtomicUsize>,
    /// Whether an answer has come: with it, or before, came what the upstream allows.
    answered: AtomicBool,
    driver: AtomicWaker,
    /// Told when one of its requests has ended, or it takes more of them.
    freed: Arc<Notify>,
}

impl Load {
    /// The first answer is when to look at what the upstream allows; after that, each request is.
    fn answered(&self) {
        if !self.answered.swap(true, Ordering::Relaxed) {
            self.driver.wake();
        }
    }
}

impl Connection {
    /// Starts HTTP/2 on `io`, with tasks that drive it.
    pub(super) async fn start<T: Read + Write + Unpin + Send + 'static>(
        target: &Target,
        io: T,
    ) -> Result<Connected, UpstreamError> {
        let (sender, driver) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .max_header_list_size(HEAD)
            .initial_max_send_streams(MOST_STREAMS)
            .handshake(io)
            .await
            .map_err(|source| UpstreamError::Closed {
                authority: target.authority.clone(),
                delivery: Delivery::NotSent,
                source,
            })?;
        let load = Arc::new(Load {
            open: AtomicUsize::new(0),
            allowed: Arc::clone(&target.streams),
            answered: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            freed: Arc::clone(&target.freed),
        });
        let watched = Watched {
            driver,
            load: Arc::clone(&load),
        };
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                debug!(%error, "An upstream connection ended");
            }
        });
        Ok(Connected::Http2(Self {
            sender,
            load,
            last_used: Instant::now(),
        }))
    }

    /// Whether it is still good for further requests at `now`, having lain unused for no longer than `age`.
    pub(super) fn is_alive(&self, now: Instant, age: Duration) -> bool {
        !self.sender.is_closed()
            && (self.load.open.load(Ordering::Relaxed) > 0
                || now.saturating_duration_since(self.last_used) <= age)
    }

    /// Whether it can take one more request now.
    pub(super) fn has_room(&self) -> bool {
        // One that allows none for now allows some again, and only a request that waits there finds that out.
        let allowed = self.load.allowed.load(Ordering::Relaxed);
        let allowed = allowed.clamp(1, MOST_STREAMS);
        self.load.open.load(Ordering::Relaxed) < allowed
    }

    /// Requests that are on it.
    pub(super) fn open(&self) -> usize {
        self.load.open.load(Ordering::Relaxed)
    }

    /// A place on it for one request, even if that has to wait for others to end.
    pub(super) fn stream(&mut self, now: Instant) -> Stream {
        self.last_used = now;
        self.load.open.fetch_add(1, Ordering::Relaxed);
        Stream {
            sender: self.sender.clone(),
            place: Place(Arc::clone(&self.load)),
        }
    }
}

/// A place on a connection, given up when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Load>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_waiters();
    }
}

/// What one request needs of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    sender: SendRequest<Full<Bytes>>,
    place: Place,
}

/// The head of an answer, the place that it takes until its body was read, and the timer for that.
pub(super) type Answer = (Response<Incoming>, Place, Pin<Box<Sleep>>);

impl Stream {
    /// Sends `request`, and waits for the head of its answer.
    pub(super) async fn send(
        mut self,
        target: &Target,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answer, Failure> {
        address(target, &mut request);
        let limit = target.timeouts.head;
        let mut timer = Box::pin(tokio::time::sleep(limit));
        let answer = self.sender.try_send_request(request);
        tokio::select! {
            biased;
            answer = answer => match answer {
                Ok(response) => {
                    self.place.0.answered();
                    Ok((response, self.place, timer))
                }
                Err(error) => Err(Failure::new(target, error)),
            },
            () = timer.as_mut() => Err(Failure::Sent(UpstreamError::Timeout {
                authority: target.authority.clone(),
                phase: Phase::Head,
                limit,
            })),
        }
    }
}

/// Makes the request one for HTTP/2 and this upstream ([RFC 9113], section 8.3.1), whatever authority it named before.
///
/// [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113
fn address(target: &Target, request: &mut Request<Full<Bytes>>) {
    *request.version_mut() = Version::HTTP_2;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(target.scheme.clone());
    parts.authority = Some(target.authority.clone());
    parts
        .path_and_query
        .get_or_insert(PathAndQuery::from_static("/"));
    // With all three parts there is nothing that could be missing; an empty URI would be refused by hyper, not sent elsewhere.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    request.headers_mut().remove(HOST);
}

type HttpTwo<T> = Driver<T, Full<Bytes>, TokioExecutor>;

/// Drives a connection, and passes on how many streams the upstream allows.
struct Watched<T: Read + Write + Unpin + Send + 'static> {
    driver: HttpTwo<T>,
    load: Arc<Load>,
}

impl<T: Read + Write + Unpin + Send + 'static> Future for Watched<T> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.load.driver.register(context.waker());
        let ended = Pin::new(&mut self.driver).poll(context);
        // Before its first answer a connection may not have heard from the upstream yet, and would tell hyper's own guess.
        if self.load.answered.load(Ordering::Relaxed) {
            let allowed = self.driver.current_max_send_streams();
            if self.load.allowed.load(Ordering::Relaxed) != allowed {
                self.load.allowed.store(allowed, Ordering::Relaxed);
                self.load.freed.notify_waiters();
            }
        }
        ended
    }
}
