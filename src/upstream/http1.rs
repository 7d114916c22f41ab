//! HTTP/1.1: one request at a time on a connection.

use std::pin::Pin;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use tokio::time::{Instant, Sleep};
use tracing::debug;

use super::connect::Connected;
use super::error::{Delivery, UpstreamError};
use super::pool::Failure;
use super::{Phase, Target};

/// The most that is buffered of an answer before it is handed on, and the longest head, bytes.
const BUFFER: usize = 64 * 1024;

/// A connection that is not in use by a request, and the timer that its requests share.
///
/// One timer for the connection's life: moving its deadline further away, which is what each request does, then takes no lock and touches no timer wheel.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) timer: Pin<Box<Sleep>>,
}

impl Connection {
    /// Starts HTTP/1.1 on `io`, with a task that drives it.
    pub(super) async fn start(
        target: &Target,
        io: impl Read + Write + Unpin + Send + 'static,
    ) -> Result<Connected, UpstreamError> {
        // Heads have at most hyper's 100 fields: asking for another number makes it allocate for each. Whether to write head and body
        // in one vectored call is left to hyper, which asks `io`.
        let (sender, connection) = Builder::new()
            .max_buf_size(BUFFER)
            .handshake(io)
            .await
            .map_err(|source| UpstreamError::Closed {
                authority: target.authority.clone(),
                delivery: Delivery::NotSent,
                source,
            })?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "An upstream connection ended");
            }
        });
        Ok(Connected::Http1(Self {
            sender,
            timer: Box::pin(tokio::time::sleep_until(Instant::now())),
        }))
    }

    /// Whether a request can go out on it now.
    pub(super) fn is_usable(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }

    /// Sends `request`, and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        target: &Target,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        address(target, &mut request);
        let answer = self.sender.try_send_request(request);
        let limit = target.timeouts.head;
        self.timer.as_mut().reset(Instant::now() + limit);
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|error| Failure::new(target, error)),
            () = self.timer.as_mut() => Err(Failure::Sent(UpstreamError::Timeout {
                authority: target.authority.clone(),
                phase: Phase::Head,
                limit,
            })),
        }
    }
}

/// Makes the request one for HTTP/1.1 and this upstream ([RFC 9112], section 3.2.1), whatever authority it named before.
///
/// [RFC 9112]: https://www.rfc-editor.org/rfc/rfc9112
fn address(target: &Target, request: &mut Request<Full<Bytes>>) {
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    }
    let headers: &mut HeaderMap = request.headers_mut();
    headers.insert(HOST, target.host_header.clone());
}
