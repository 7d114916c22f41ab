//! What can be wrong with certificates and keys: which file, what, and the command that puts it right.

use std::io;
use std::path::PathBuf;

/// Why certificates could not be loaded or written.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA in the directory was not made by this program, does not belong to its key, or has expired.
    #[error(
        "cannot sign with the CA in `{}`: {why}; move `ca.pem` and `ca-key.pem` away to have a new CA made, \
         or use that CA's own tool",
        path.display()
    )]
    Ca {
        /// The CA's certificate.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The private key is protected by a passphrase.
    #[error(
        "the key in `{path}` is encrypted, and the gateway starts without anyone to type a passphrase; \
         write it without one: openssl pkey -in {path} -out {path}.plain",
        path = path.display()
    )]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate for `{}`", path.display())]
    Generate {
        /// The file it was meant for.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
    /// One half of a certificate and key is there.
    #[error("`{}` exists but `{}` does not; put it back, or move both away to have new ones made", present.display(), missing.display())]
    HalfAPair {
        /// What exists.
        present: PathBuf,
        /// What does not.
        missing: PathBuf,
    },
    /// A name that cannot stand in a certificate.
    #[error(
        "`{name}` is neither a DNS name nor an IP address, so no certificate can be made for it"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// Certificate and key are not a pair.
    #[error(
        "the key in `{key}` does not fit the first certificate in `{certificate}` (the server's own must come first, \
         then its issuers); these two print the same when they fit: \
         openssl x509 -noout -pubkey -in {certificate}; openssl pkey -pubout -in {key}",
        certificate = certificate.display(),
        key = key.display()
    )]
    KeyDoesNotFit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A file without a certificate.
    #[error(
        "no certificate in `{path}`: it needs a block that begins with `-----BEGIN CERTIFICATE-----`; \
         from a DER file: openssl x509 -inform der -in {path} -out {path}.pem",
        path = path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file without a private key.
    #[error(
        "no private key in `{path}`: it needs a block that begins with `-----BEGIN PRIVATE KEY-----`; \
         from a PKCS #12 file: openssl pkcs12 -in FILE.pfx -nocerts -noenc -out {path}",
        path = path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A file that begins as PEM and does not go on so.
    #[error("`{path}` is damaged PEM; see what openssl makes of it: openssl {command} -in {path} -noout", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The `openssl` command for what should be in it.
        command: &'static str,
        /// What is damaged.
        source: rustls::pki_types::pem::Error,
    },
    /// The platform's own CAs could not be loaded.
    #[error(
        "this machine has no CA certificates to trust; install its `ca-certificates` package, \
         or set `upstream_ca` on the endpoint"
    )]
    PlatformRoots {
        /// Why.
        source: rustls::Error,
    },
    /// The provider does not offer TLS 1.2 and 1.3. A bug.
    #[error("cannot set up TLS 1.2 and 1.3; this is a bug, please report it")]
    Protocol {
        /// Why.
        source: rustls::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be a certificate or key.
    #[error("`{}` is larger than {limit} bytes, too large for certificates or a key; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read, bytes.
        limit: u64,
    },
    /// A certificate that cannot be used.
    #[error(
        "the certificate in `{path}` cannot be used; look at it with: openssl x509 -noout -text -in {path}",
        path = path.display()
    )]
    UnusableCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A key that cannot be used.
    #[error(
        "the key in `{path}` cannot be used: it must be RSA (2048 bits or more), ECDSA (P-256, P-384, P-521) or Ed25519; \
         make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {path}.new",
        path = path.display()
    )]
    UnusableKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A file could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
