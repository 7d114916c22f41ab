//! The sockets of the sample endpoint: connections, TLS, HTTP.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::answer::{set, with_status};
use super::endpoint::Endpoint;

/// Connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1_024;

/// The largest request body, as the gateway's own default.
const MAX_BODY: usize = 32 << 20;

/// For a handshake, and for a request's body.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers at least this long are compressed, if the client takes gzip.
const COMPRESSED_FROM: usize = 1_024;

/// Accepts connections until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    endpoint: Arc<Endpoint>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let tls = tls.map(TlsAcceptor::from);
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accept = async || {
        let permit = Arc::clone(&room).acquire_owned().await.ok()?;
        Some((permit, listener.accept().await))
    };
    while let Some(Some((permit, accepted))) = stop.run_until_cancelled(accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let (tls, endpoint, stop) = (tls.clone(), Arc::clone(&endpoint), stop.clone());
                tasks.spawn(async move {
                    if let Err(error) = connection(stream, tls, endpoint, stop).await {
                        debug!(%error, "Connection to the sample endpoint failed");
                    }
                    drop(permit);
                });
            }
            // Out of file descriptors, or a client that went away: neither is over at once.
            Err(error) => {
                debug!(%error, "Sample endpoint cannot accept");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    endpoint: Arc<Endpoint>,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return speak(stream, Protocol::Http1, endpoint, stop).await;
    };
    let Some(stream) = stop
        .run_until_cancelled(timeout(PATIENCE, tls.accept(stream)))
        .await
    else {
        return Ok(());
    };
    let stream = stream.map_err(io::Error::from)??;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    speak(stream, protocol, endpoint, stop).await
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    Http2,
}

/// Serves one connection; at `stop`, finishes what is being answered and closes.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    protocol: Protocol,
    endpoint: Arc<Endpoint>,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request| answer(Arc::clone(&endpoint), request));
    match protocol {
        Protocol::Http1 => {
            let mut connection = pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    // A gateway keeps idle connections; closing them under it would race with its next request.
                    .header_read_timeout(None)
                    .serve_connection(stream, service)
            );
            tokio::select! {
                result = connection.as_mut() => return Ok(result?),
                () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            Ok(connection.await?)
        }
        Protocol::Http2 => {
            let mut connection = pin!(
                http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .serve_connection(stream, service)
            );
            tokio::select! {
                result = connection.as_mut() => return Ok(result?),
                () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            Ok(connection.await?)
        }
    }
}

async fn answer(
    endpoint: Arc<Endpoint>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await;
    let answer = match body {
        Ok(Ok(body)) => {
            let request = Request::from_parts(head, body.to_bytes());
            compressed(endpoint.answer(&request), request.headers())
        }
        Ok(Err(_)) => with_status(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()),
        Err(_) => with_status(StatusCode::REQUEST_TIMEOUT, Bytes::new()),
    };
    Ok(answer.map(Full::new))
}

/// The answer, as gzip if it is long and the client takes that.
fn compressed(mut answer: Response<Bytes>, request: &HeaderMap) -> Response<Bytes> {
    let accepts = request
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .any(|it| it.to_str().is_ok_and(|it| it.contains("gzip")));
    if !accepts || answer.body().len() < COMPRESSED_FROM {
        return answer;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let body = encoder
        .write_all(answer.body())
        .and_then(|()| encoder.finish());
    if let Ok(body) = body {
        *answer.body_mut() = Bytes::from(body);
        set(&mut answer, header::CONTENT_ENCODING.as_str(), "gzip");
    }
    answer
}
