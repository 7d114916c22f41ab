//! Fetches a JWK set: one GET, bounded in size and time, no redirect followed, no connection kept.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use url::{Host, Url};

use super::keys::MAX_DOCUMENT_BYTES;
use super::problem::IdentityError;

/// From the first packet to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The exchange broke off.
    #[error("the answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no exchange with this server.
    #[error("the server cannot be reached")]
    Connect(#[source] hyper_util::client::legacy::Error),
    /// The server answered something else than 200.
    #[error("the server answered {0}")]
    Status(http::StatusCode),
    /// It took too long.
    #[error("the server did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The document is too big.
    #[error("the answer is larger than {most} bytes")]
    TooLarge {
        /// The limit.
        most: usize,
    },
}

/// Fetches one document, again and again.
pub(super) struct Fetcher {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
}

impl Fetcher {
    /// A fetcher for `url`: https verified by the platform's certificates, or http on a loopback address.
    pub(super) fn new(identity: &str, url: &Url) -> Result<Self, IdentityError> {
        let refused = || {
            let mut url = url.clone();
            // A URL that cannot have credentials has none to hide.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            IdentityError::KeysUrl {
                identity: identity.to_owned(),
                url: url.into(),
            }
        };
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => {
                address.is_loopback() || address.to_ipv4_mapped() == Some(Ipv4Addr::LOCALHOST)
            }
            None => false,
        };
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        let uri: Uri = url.as_str().parse().map_err(|_| refused())?;
        let connector = HttpsConnectorBuilder::new();
        let connector = match url.scheme() {
            "https" if !has_credentials => connector
                .with_tls_config(tls().map_err(|source| IdentityError::Tls {
                    identity: identity.to_owned(),
                    source,
                })?)
                .https_only(),
            "http" if is_loopback && !has_credentials => {
                // No https is spoken here, and if it were, nobody would be trusted.
                let config = ClientConfig::builder_with_provider(provider())
                    .with_safe_default_protocol_versions()
                    .map_err(|source| IdentityError::Tls {
                        identity: identity.to_owned(),
                        source,
                    })?
                    .with_root_certificates(RootCertStore::empty())
                    .with_no_client_auth();
                connector.with_tls_config(config).https_or_http()
            }
            _ => return Err(refused()),
        };
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false);
        Ok(Self {
            url: uri,
            client: client.build(connector.enable_http1().build()),
            timeout: TIMEOUT,
        })
    }

    /// The document as it is now.
    pub(super) async fn fetch(&self) -> Result<Bytes, FetchError> {
        tokio::time::timeout(self.timeout, self.exchange())
            .await
            .unwrap_or(Err(FetchError::TimedOut(self.timeout)))
    }

    async fn exchange(&self) -> Result<Bytes, FetchError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.url.clone();
        request.headers_mut().insert(
            header::ACCEPT,
            header::HeaderValue::from_static("application/jwk-set+json, application/json"),
        );
        let response = self
            .client
            .request(request)
            .await
            .map_err(FetchError::Connect)?;
        if response.status() != http::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_DOCUMENT_BYTES);
        match body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge {
                most: MAX_DOCUMENT_BYTES,
            }),
            Err(error) => Err(FetchError::Body(error)),
        }
    }

    /// Where from, for people.
    pub(super) fn origin(&self) -> String {
        self.url.to_string()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn tls() -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{Answer, Issuer};

    async fn problem(issuer: &Issuer, timeout: Duration) -> FetchError {
        let mut fetcher = Fetcher::new("test", &issuer.url()).unwrap();
        fetcher.timeout = timeout;
        fetcher.fetch().await.unwrap_err()
    }

    #[tokio::test]
    async fn an_answer_is_bounded_in_size() {
        let fits = "x".repeat(MAX_DOCUMENT_BYTES);
        let issuer = Issuer::start(Answer::Document(fits.clone())).await;
        let fetcher = Fetcher::new("test", &issuer.url()).unwrap();
        assert_eq!(fetcher.fetch().await.unwrap(), fits);
        issuer.answer(Answer::Document(fits + "x"));
        let error = problem(&issuer, TIMEOUT).await;
        assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_answer_is_bounded_in_time() {
        let issuer = Issuer::start(Answer::Never).await;
        let error = problem(&issuer, Duration::from_millis(30)).await;
        assert!(matches!(error, FetchError::TimedOut(_)), "{error}");
    }

    #[tokio::test]
    async fn only_a_200_counts_and_no_redirect_is_followed() {
        let issuer = Issuer::start(Answer::Status(302)).await;
        let error = problem(&issuer, TIMEOUT).await;
        assert_eq!(error.to_string(), "the server answered 302 Found");
        assert_eq!(issuer.requests(), 1);
    }

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        let verdict = |url: &str| match Fetcher::new("test", &url.parse().unwrap()) {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        };
        for good in [
            "http://127.0.0.1:1/keys",
            "http://[::1]/keys",
            "http://localhost:1/keys",
        ] {
            assert_eq!(verdict(good), "taken", "{good}");
        }
        for bad in [
            "http://login.example/keys",
            "http://127.0.0.1.example/keys",
            "ftp://127.0.0.1/keys",
            "http://user:secret@127.0.0.1/keys",
        ] {
            let text = verdict(bad);
            assert!(
                text.contains("by https") && !text.contains("secret"),
                "{text}"
            );
        }
    }
}
