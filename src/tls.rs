//! TLS as the gateway speaks it: its own certificate towards clients, and whom it trusts upstream.
//!
//! One cryptographic provider, aws-lc-rs, named explicitly wherever rustls wants one, so that no feature of some
//! other crate can change it. TLS 1.2 and 1.3; session tickets; no early data, because a replayed request is a
//! second cmdlet. Client certificates are absent: nobody signs in by one yet.

mod dev;
mod error;
mod pem;
mod server;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

pub use self::dev::{CA_NAME, Written, write_development_certificates};
pub use self::error::TlsError;
pub use self::server::{HandshakeError, ReloadableServer, server};

/// The protocols that the gateway speaks on both sides, preferred first ([RFC 7301], section 6).
///
/// [RFC 7301]: https://www.rfc-editor.org/rfc/rfc7301
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Makes aws-lc-rs the process's provider, for crates that ask rustls for its default.
///
/// Calling it again does nothing; `main` does so first.
pub fn install_provider() {
    // An error says that there is one already, and the only one this program ever installs is ours.
    let _already_installed = provider().as_ref().clone().install_default();
}

/// Whom the gateway trusts when it connects: the CAs in the PEM file `ca` and nobody else, or those of the platform.
///
/// # Errors
///
/// The file cannot be read or holds no usable CA certificate, or the platform has none.
pub fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Protocol { source })?;
    let builder = match ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder
            .with_platform_verifier()
            .map_err(|source| TlsError::PlatformRoots { source })?,
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = alpn();
    Ok(Arc::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path, &pem::read(path)?)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::UnusableCertificate {
                path: path.to_path_buf(),
                source,
            })?;
    }
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

fn alpn() -> Vec<Vec<u8>> {
    ALPN.iter().map(|protocol| protocol.to_vec()).collect()
}

#[cfg(test)]
mod tests;
