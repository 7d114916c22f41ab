//! The control listener: `/healthz`, `/readyz`, `/metrics` and the management API, on an address of its own, with TLS or without.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::api;
use crate::audit::AuditLog;
use crate::control::Control;
use crate::listen::Patient;
use crate::state::State;
use crate::telemetry::Chain;
use crate::telemetry::metrics::{self, Delivered, Metrics};
use crate::tls::ReloadableServer;

/// Connections at once: a monitoring system or two, consoles and programs.
const MAX_CONNECTIONS: usize = 256;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(10);

/// How long an answer may wait for its reader to take some of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a connection lasts before its client is told to make another: longer than a stream of events.
const LONGEST: Duration = Duration::from_mins(15);

/// How long what is under way then may take.
const GRACE: Duration = Duration::from_secs(30);

/// What the answers are made of.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) audit: AuditLog,
    pub(super) state: Arc<State>,
    pub(super) control: Arc<Control>,
    pub(super) metrics: Metrics,
    pub(super) draining: CancellationToken,
    /// The management API.
    pub(super) api: Router,
    /// The certificate, unless it is plain HTTP.
    pub(super) tls: Option<Arc<ReloadableServer>>,
}

impl Health {
    fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if method != Method::GET && method != Method::HEAD {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
            refused
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.draining.is_cancelled() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            }
            "/readyz" => match self.audit.failing() {
                None => text(StatusCode::OK, "ready\n"),
                Some(reason) => {
                    let body = format!("the audit log cannot be written: {reason}\n");
                    text(StatusCode::SERVICE_UNAVAILABLE, body)
                }
            },
            "/metrics" => {
                self.metrics.set_grants(self.state.grants.len());
                self.metrics.set_audit_records(self.audit.written());
                self.metrics
                    .set_audit_failing(self.audit.failing().is_some());
                self.count_notices();
                let Ok(metrics) = self.metrics.render() else {
                    return text(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "the metrics cannot be written\n",
                    );
                };
                let mut response = text(StatusCode::OK, metrics);
                response.headers_mut().insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static(metrics::CONTENT_TYPE),
                );
                response
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "served here: /healthz, /readyz, /metrics and the API at /api/v1\n",
            ),
        }
    }
}

impl Health {
    fn count_notices(&self) {
        let deliveries = self.control.deliveries();
        for channel in deliveries.channels {
            let delivered = Delivered {
                dead: channel.dead,
                failed: channel.failed,
                sent: channel.sent,
            };
            self.metrics.set_notifications(&channel.name, delivered);
        }
        self.metrics
            .set_notifications_waiting(deliveries.pending, deliveries.dead);
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Serves until `stop` fires.
pub(super) async fn serve(listener: TcpListener, health: Health, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "Control listener could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let health = health.clone();
        let stop = stop.clone();
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve_connection(stream, peer, health) => {}
            }
        });
    }
}

/// Serves a connection to its end, or to that of its time. The two protocols' connections have no type in common.
macro_rules! bounded {
    ($connection:expr) => {{
        let mut connection = std::pin::pin!($connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = tokio::time::sleep(LONGEST) => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
            }
        }
    }};
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, health: Health) {
    let ended = match health.tls.clone() {
        None => serve_http1(stream, peer, health).await,
        Some(tls) => match tls.accept(stream, HANDSHAKE).await {
            Err(error) => {
                debug!(error = %Chain(&error), %peer, "Control connection did not become one");
                return;
            }
            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                let service = service_fn(move |request| answer(health.clone(), peer, request));
                let stream = Patient::new(stream, PATIENCE);
                let connection = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(32)
                    .keep_alive_interval(Some(Duration::from_secs(30)))
                    .serve_connection(TokioIo::new(stream), service);
                bounded!(connection)
            }
            Ok(stream) => serve_http1(stream, peer, health).await,
        },
    };
    if let Err(error) = ended {
        debug!(%error, %peer, "Control connection ended with an error");
    }
}

async fn serve_http1<S>(stream: S, peer: SocketAddr, health: Health) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(health.clone(), peer, request));
    let stream = Patient::new(stream, PATIENCE);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    bounded!(connection)
}

async fn answer(
    health: Health,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if !is_of_the_api(request.uri().path()) {
        return Ok(health.answer(request.method(), request.uri().path()));
    }
    request.extensions_mut().insert(peer);
    TowerToHyperService::new(health.api).call(request).await
}

fn is_of_the_api(path: &str) -> bool {
    path.strip_prefix(api::BASE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
