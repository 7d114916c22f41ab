//! Posting a notice to a webhook: one POST, bounded in time, no redirect followed, signed if there is a key.
//!
//! ```text
//! POST <the configured URL>
//! content-type: application/json
//! portcullis-delivery: <the delivery's id, the same at each attempt>
//! portcullis-event: <the kind of event>
//! portcullis-timestamp: <seconds since the Unix epoch, of this attempt>
//! portcullis-signature: sha256=<hex of HMAC-SHA-256(key, timestamp "." body)>
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;

use crate::config::{self, WebhookUrl};
use crate::tls::{self, TlsError};

use super::channels::{Outgoing, Receipt};
use super::error::{Verdict, chain};
use super::words::{Told, line};
use super::{DeliveryError, Progress, secret, shapes};

/// How much of an answer is read: enough to show why something was refused.
const ANSWER_BYTES: usize = 4 * 1024;

/// The longest that a far side may ask to be left alone.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// A webhook.
pub(super) struct Webhook {
    settings: config::Webhook,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the webhook `{name}` cannot be set up")]
pub struct WebhookError {
    name: String,
    source: TlsError,
}

impl Webhook {
    pub(super) fn new(settings: &config::Webhook) -> Result<Self, WebhookError> {
        let config = tls::client(settings.ca.as_deref()).map_err(|source| WebhookError {
            name: settings.name.clone(),
            source,
        })?;
        let mut config = ClientConfig::clone(&config);
        // The connector names the protocols itself.
        config.alpn_protocols.clear();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false);
        Ok(Self {
            settings: settings.clone(),
            client: client.build(connector),
        })
    }

    /// Posts `told` at `now`.
    pub(super) async fn deliver(
        &self,
        outgoing: &Outgoing<'_>,
        told: &Told,
        now: DateTime<Utc>,
        progress: &mut dyn Progress,
    ) -> Result<Receipt, DeliveryError> {
        let limit = self.settings.timeout;
        let work = self.post(outgoing, told, now, progress);
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            Err(DeliveryError::TimedOut {
                far: self.name(),
                step: "the post",
                limit,
            })
        })
    }

    async fn post(
        &self,
        outgoing: &Outgoing<'_>,
        told: &Told,
        now: DateTime<Utc>,
        progress: &mut dyn Progress,
    ) -> Result<Receipt, DeliveryError> {
        let uri = self.uri().await?;
        let body = shapes::body(self.settings.shape, outgoing, told);
        let mut request = Request::post(uri);
        let mut set = |name: &'static str, value: &str| -> Result<(), DeliveryError> {
            let value = HeaderValue::from_str(value).map_err(|_| DeliveryError::Local {
                what: format!("the header `{name}` cannot be written"),
            })?;
            if let Some(headers) = request.headers_mut() {
                headers.insert(HeaderName::from_static(name), value);
            }
            Ok(())
        };
        set("content-type", "application/json")?;
        set(
            "user-agent",
            concat!("portcullis/", env!("CARGO_PKG_VERSION")),
        )?;
        set("portcullis-delivery", &outgoing.id.to_string())?;
        set("portcullis-event", outgoing.notice.kind.as_str())?;
        let timestamp = now.timestamp().to_string();
        set("portcullis-timestamp", &timestamp)?;
        if let Some(path) = &self.settings.secret_file {
            let key = secret::read(path).await?;
            set(
                "portcullis-signature",
                &signature(key.as_bytes(), &timestamp, &body),
            )?;
            progress.step("signed");
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| DeliveryError::Local {
                what: format!("the post cannot be written: {error}"),
            })?;
        let response = self.client.request(request).await.map_err(|error| {
            let why = chain(&error);
            if error.is_connect() {
                DeliveryError::Connect {
                    far: self.name(),
                    why,
                }
            } else {
                DeliveryError::Broken {
                    far: self.name(),
                    step: "the post",
                    why,
                }
            }
        })?;
        self.judged(response, progress).await
    }

    async fn judged(
        &self,
        response: Response<Incoming>,
        progress: &mut dyn Progress,
    ) -> Result<Receipt, DeliveryError> {
        let status = response.status();
        progress.step(&format!("answered {status}"));
        if status.is_success() {
            return Ok(Receipt {
                text: status.to_string(),
            });
        }
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|it| it.to_str().ok()?.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
        let hint = if status.is_redirection() {
            " (redirects are not followed)".to_owned()
        } else {
            let body = Limited::new(response.into_body(), ANSWER_BYTES).collect();
            let text = body.await.map(Collected::to_bytes).unwrap_or_default();
            match line(&String::from_utf8_lossy(&text), 160) {
                text if text.is_empty() => String::new(),
                text => format!(": {text}"),
            }
        };
        Err(DeliveryError::Answered {
            far: self.name(),
            step: "the post",
            answer: format!("{status}{hint}"),
            verdict: verdict(status),
            retry_after,
        })
    }

    async fn uri(&self) -> Result<Uri, DeliveryError> {
        let url = match &self.settings.url {
            WebhookUrl::Url(url) => url.clone(),
            WebhookUrl::File(path) => {
                let text = secret::read(path).await?;
                let url: Option<url::Url> = text.trim().parse().ok();
                url.filter(config::is_webhook_url)
                    .ok_or_else(|| DeliveryError::Local {
                        what: format!(
                            "`{}` holds no `https://` URL without a user and password",
                            path.display()
                        ),
                    })?
            }
        };
        url.as_str().parse().map_err(|_| DeliveryError::Local {
            what: format!("the URL of {} cannot be posted to", self.name()),
        })
    }

    fn name(&self) -> String {
        format!("the webhook `{}`", self.settings.name)
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Whether the same post would be refused again: only where the answer speaks of its content, or says that nobody wants it
/// any more. A wrong URL or key is the operator's to mend.
fn verdict(status: StatusCode) -> Verdict {
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::GONE
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::UNSUPPORTED_MEDIA_TYPE => Verdict::Never,
        _ => Verdict::Later,
    }
}

/// `sha256=` and the HMAC-SHA-256 of the timestamp, a dot and the body, in hex.
fn signature(key: &[u8], timestamp: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = "sha256=".to_owned();
    for byte in context.sign().as_ref() {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
