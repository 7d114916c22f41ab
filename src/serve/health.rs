//! The control listener: `/healthz`, `/readyz`, `/metrics`, over plain HTTP on its own address.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::audit::AuditLog;
use crate::control::Control;
use crate::state::State;
use crate::telemetry::metrics::{self, Delivered, Metrics};

/// Connections at once: a monitoring system or two.
const MAX_CONNECTIONS: usize = 64;

/// What the answers are made of.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) audit: AuditLog,
    pub(super) state: Arc<State>,
    pub(super) control: Arc<Control>,
    pub(super) metrics: Metrics,
    pub(super) draining: CancellationToken,
}

impl Health {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
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
                "served here: /healthz, /readyz, /metrics\n",
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

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
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
        let stream = match accepted {
            Ok((stream, _)) => stream,
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
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = health.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                debug!(%error, "Control connection ended with an error");
            }
        });
    }
}
