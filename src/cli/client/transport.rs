//! One HTTP exchange with a gateway or an identity provider: bounded in size and time, no redirect followed, and credentials
//! only where nobody can read them on the way.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use url::{Host, Url};

use crate::cli::Hint;

/// From the first packet to the last byte.
pub(in crate::cli) const TIMEOUT: Duration = Duration::from_mins(1);

/// The largest answer that is read, in bytes.
const LARGEST: usize = 16 * 1024 * 1024;

/// The largest file of certificates, in bytes.
const LARGEST_CA: u64 = 4 * 1024 * 1024;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ExchangeError {
    #[error("its answer broke off or is larger than {LARGEST} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the connection broke")]
    Broken(#[source] hyper_util::client::legacy::Error),
    #[error("there is no connection")]
    Connect(#[source] hyper_util::client::legacy::Error),
    #[error("there was no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

/// An answer, read whole.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    pub(in crate::cli) status: StatusCode,
    pub(in crate::cli) media_type: String,
    pub(in crate::cli) body: Bytes,
}

/// Speaks HTTP to one party.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Transport(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Transport {
    /// Trusts who is named by the certificates in the file `ca`, or by the platform's without one.
    pub(in crate::cli) fn new(ca: Option<&Path>) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS cannot be set up")?;
        let config = match ca {
            None => builder
                .with_platform_verifier()
                .context("the platform's certificate authorities cannot be read")?
                .with_no_client_auth(),
            Some(path) => builder
                .with_root_certificates(roots(path)?)
                .with_no_client_auth(),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        let mut client = Client::builder(TokioExecutor::new());
        client.retry_canceled_requests(false);
        Ok(Self(client.build(connector)))
    }

    /// Sends a request and reads the answer.
    pub(in crate::cli) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, ExchangeError> {
        let work = async {
            let response = self.0.request(request).await.map_err(|error| {
                if error.is_connect() {
                    ExchangeError::Connect(error)
                } else {
                    ExchangeError::Broken(error)
                }
            })?;
            let status = response.status();
            let media_type = response.headers().get(header::CONTENT_TYPE);
            let media_type = media_type
                .and_then(|it| it.to_str().ok())
                .and_then(|it| it.split(';').next())
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            Ok(Answer {
                status,
                media_type,
                body: body.map_err(ExchangeError::Body)?.to_bytes(),
            })
        };
        tokio::time::timeout(TIMEOUT, work)
            .await
            .unwrap_or(Err(ExchangeError::TimedOut))
    }
}

fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let read = || format!("cannot read the certificates in `{}`", path.display());
    let mut text = Vec::new();
    let file = File::open(path).with_context(read)?;
    file.take(LARGEST_CA)
        .read_to_end(&mut text)
        .with_context(read)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.with_context(read)?;
        roots.add(certificate).with_context(read)?;
    }
    if roots.is_empty() {
        let hint = Hint("it begins with `-----BEGIN CERTIFICATE-----`".to_owned());
        let what = format!("`{}` has no certificate in PEM form", path.display());
        return Err(anyhow::Error::new(hint).context(what));
    }
    Ok(roots)
}

/// Whether what is sent to this URL can be read by nobody on the way: `https://`, or `http://` to this host.
pub(in crate::cli) fn is_private(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_here,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_over_tls_or_stay_on_this_host() {
        for (url, private) in [
            ("https://pam.example", true),
            ("http://127.0.0.1:8444", true),
            ("http://[::1]:8444", true),
            ("http://localhost", true),
            ("http://pam.example", false),
            ("http://127.0.0.1.example", false),
            ("ftp://127.0.0.1", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(is_private(&url.parse().unwrap()), private, "{url}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "nothing").unwrap();
        let error = Transport::new(Some(&path)).unwrap_err();
        assert!(
            format!("{error:#}").contains("has no certificate"),
            "{error:#}"
        );
        let error = Transport::new(Some(&folder.path().join("no"))).unwrap_err();
        assert!(format!("{error:#}").contains("cannot read"), "{error:#}");
    }
}
