//! The gateway's own certificate, exchanged without a restart.
//!
//! INVARIANT: what is served is always a whole pair that was seen to fit; a bad pair on disk changes nothing.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, Utc};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{TlsError, alpn, pem, provider};
use crate::config::ServerTls;

/// A server's side of TLS whose certificate can be exchanged while connections live on.
#[derive(Debug)]
pub struct ReloadableServer {
    files: ServerTls,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    acceptor: Acceptor,
    /// What lay on disk when it was last loaded or refused: a bad pair is reported once.
    seen: Mutex<Fingerprint>,
}

/// Sets up the server's side with the certificate and key that `settings` name.
///
/// # Errors
///
/// A file cannot be read, is not what it should be, or the key does not fit the certificate.
pub fn server(settings: &ServerTls) -> Result<Arc<ReloadableServer>, TlsError> {
    let provider = provider();
    let disk = OnDisk::read(settings);
    let seen = disk.fingerprint();
    let current = Arc::new(Current(ArcSwap::new(Arc::new(
        disk.certified(settings, &provider)?,
    ))));

    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Protocol { source })?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = alpn();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()
        .map_err(|source| TlsError::Protocol { source })?;
    // Tickets carry their state themselves, so nothing is kept here for sessions that may never come back.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;

    Ok(Arc::new(ReloadableServer {
        files: settings.clone(),
        provider,
        current,
        acceptor: Acceptor(TlsAcceptor::from(Arc::new(config))),
        seen: Mutex::new(seen),
    }))
}

impl ReloadableServer {
    /// Performs a handshake, in at most `limit`.
    ///
    /// # Errors
    ///
    /// The client takes longer, goes away, or does not speak TLS as we do.
    pub async fn accept(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        match tokio::time::timeout(limit, self.acceptor.0.accept(stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(HandshakeError::Failed { source }),
            Err(_elapsed) => Err(HandshakeError::TooSlow { limit }),
        }
    }

    /// Whether the files hold something else than what [`reload`](Self::reload) (or the start) last found there, good or bad.
    ///
    /// Reads both files, some kilobytes; meant to be called about once a second. That a file can no longer be read
    /// is a change too.
    pub fn changed(&self) -> bool {
        let now = OnDisk::read(&self.files).fingerprint();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != now
    }

    /// Takes the files as they are now: new handshakes get the new certificate, connections live on.
    ///
    /// # Errors
    ///
    /// As [`server`]; the old certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let disk = OnDisk::read(&self.files);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = disk.fingerprint();
        let certified = disk.certified(&self.files, &self.provider)?;
        self.current.0.store(Arc::new(certified));
        Ok(())
    }

    /// When the certificate in use expires; `None` if it holds no date that can be read.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        let certified = self.current.0.load();
        let (_, certificate) =
            x509_parser::parse_x509_certificate(certified.end_entity_cert().ok()?).ok()?;
        DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)
    }
}

/// Why a client's handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client went away or does not speak TLS as we do.
    #[error("the TLS handshake failed")]
    Failed {
        /// Why.
        source: io::Error,
    },
    /// The client took too long.
    #[error("the TLS handshake took longer than {limit:?}")]
    TooSlow {
        /// How long it may take.
        limit: Duration,
    },
}

/// The pair in use, where rustls finds it at every handshake.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Acceptor")
    }
}

type Bytes = zeroize::Zeroizing<Vec<u8>>;

/// Both files as they lay on disk at one moment.
struct OnDisk {
    certificate: Result<Bytes, TlsError>,
    key: Result<Bytes, TlsError>,
}

/// SHA-256 of the certificate's and of the key's file; `None` for one that could not be read.
type Fingerprint = [Option<[u8; 32]>; 2];

impl OnDisk {
    fn read(files: &ServerTls) -> Self {
        Self {
            certificate: pem::read(&files.certificate),
            key: pem::read(&files.key),
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        [&self.certificate, &self.key].map(|file| {
            let mut context = Context::new(&SHA256);
            context.update(file.as_ref().ok()?);
            context.finish().as_ref().try_into().ok()
        })
    }

    /// The pair, once it is known to fit.
    fn certified(
        self,
        files: &ServerTls,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        let ServerTls { certificate, key } = files;
        let chain = pem::certificates(certificate, &self.certificate?)?;
        let signing_key = provider
            .key_provider
            .load_private_key(pem::key(key, &self.key?)?)
            .map_err(|source| TlsError::UnusableKey {
                path: PathBuf::clone(key),
                source,
            })?;
        let certified = CertifiedKey::new(chain, signing_key);
        match certified.keys_match() {
            Ok(()) => Ok(certified),
            Err(Error::InconsistentKeys(_)) => Err(TlsError::KeyDoesNotFit {
                certificate: PathBuf::clone(certificate),
                key: PathBuf::clone(key),
            }),
            Err(source) => Err(TlsError::UnusableCertificate {
                path: PathBuf::clone(certificate),
                source,
            }),
        }
    }
}
