//! PEM files ([RFC 7468]): certificates and keys out of bytes that may be anything.
//!
//! [RFC 7468]: https://www.rfc-editor.org/rfc/rfc7468

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::TlsError;

/// The most that is read of a file, bytes: a platform's whole CA bundle is about 250 kB.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What marks a key that needs a passphrase: PKCS #8 ([RFC 7468], section 11) and the older OpenSSL form
/// ([RFC 1421], section 4.6.1.1).
///
/// [RFC 1421]: https://www.rfc-editor.org/rfc/rfc1421
/// [RFC 7468]: https://www.rfc-editor.org/rfc/rfc7468
const ENCRYPTED: [&[u8]; 2] = [
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----",
    b"Proc-Type: 4,ENCRYPTED",
];

/// The whole file; forgotten safely, since it may be a key.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = file
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if u64::try_from(read).is_ok_and(|read| read <= MAX_BYTES) {
        Ok(bytes)
    } else {
        Err(TlsError::TooLarge {
            path: path.to_path_buf(),
            limit: MAX_BYTES,
        })
    }
}

/// The certificates in `bytes`, at least one, in their order; `path` is for messages.
pub(super) fn certificates(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem {
            path: path.to_path_buf(),
            command: "x509",
            source,
        })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate {
            path: path.to_path_buf(),
        });
    }
    Ok(certificates)
}

/// The first private key in `bytes`; `path` is for messages.
pub(super) fn key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let path = path.to_path_buf();
    if ENCRYPTED
        .iter()
        .any(|mark| memchr::memmem::find(bytes, mark).is_some())
    {
        return Err(TlsError::EncryptedKey { path });
    }
    match PrivateKeyDer::pem_slice_iter(bytes).next() {
        Some(Ok(key)) => Ok(key),
        Some(Err(source)) => Err(TlsError::Pem {
            path,
            command: "pkey",
            source,
        }),
        None => Err(TlsError::NoKey { path }),
    }
}
