//! Certificates to begin with: a CA of one's own and a server certificate signed by it, for `init` and `demo`.
//!
//! Not for production: whoever reads `ca-key.pem` can pose as any server to those who trust `ca.pem`.
//! INVARIANT: no existing file is ever written to.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use super::{TlsError, pem};

/// The development CA's common name, as trust stores show it.
pub const CA_NAME: &str = "Portcullis development CA";

/// How long a certificate holds from now: with [`BACKDATED`], 825 days, the most that Apple's systems accept, also of a private CA
/// ([requirements for trusted certificates]).
///
/// [requirements for trusted certificates]: https://support.apple.com/en-us/103769
const VALIDITY: Duration = Duration::from_secs(824 * DAY);

/// How far the beginning lies back, so that a client whose clock is slow accepts it.
const BACKDATED: Duration = Duration::from_secs(DAY);

const DAY: u64 = 24 * 60 * 60;

/// The names that every server certificate holds.
const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where the certificates lie, and which of them are new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The CA's certificate, which clients must trust.
    pub ca: PathBuf,
    /// The CA's key.
    pub ca_key: PathBuf,
    /// The server's certificate chain.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
    /// Those of the four that were made just now; the others were there before and are unchanged.
    pub created: Vec<PathBuf>,
}

/// Sees to it that `directory` holds a CA (`ca.pem`, `ca-key.pem`) and a server certificate signed by it (`server.pem`, `server-key.pem`)
/// for `names` (DNS names and IP addresses), `localhost`, `127.0.0.1` and `::1`.
///
/// ECDSA P-256; keys are readable by their owner only. What exists is kept as it is, even where its names differ: a new server
/// certificate is made by the existing CA once the old one is moved away. The directory is created if need be.
///
/// # Errors
///
/// A name is not one, a file cannot be read or written, half a pair is there, or the existing CA cannot be used.
pub fn write_development_certificates(
    directory: &Path,
    names: &[&str],
) -> Result<Written, TlsError> {
    let names = subject_names(names)?;
    std::fs::create_dir_all(directory).map_err(|source| TlsError::Write {
        path: directory.to_path_buf(),
        source,
    })?;
    let mut written = Written {
        ca: directory.join("ca.pem"),
        ca_key: directory.join("ca-key.pem"),
        certificate: directory.join("server.pem"),
        key: directory.join("server-key.pem"),
        created: Vec::new(),
    };
    if exists(&written.certificate, &written.key)? && exists(&written.ca, &written.ca_key)? {
        return Ok(written);
    }
    let ca = if exists(&written.ca, &written.ca_key)? {
        Ca::load(&written.ca, &written.ca_key)?
    } else {
        let ca = Ca::create(&written.ca)?;
        create(&written.ca_key, ca.key.serialize_pem(), Access::Owner)?;
        create(&written.ca, ca.pem.clone(), Access::Everyone)?;
        written.created = vec![written.ca.clone(), written.ca_key.clone()];
        ca
    };
    if !exists(&written.certificate, &written.key)? {
        let (chain, key) = ca.server(&written.certificate, names)?;
        create(&written.key, key.serialize_pem(), Access::Owner)?;
        create(&written.certificate, chain, Access::Everyone)?;
        written.created.push(written.certificate.clone());
        written.created.push(written.key.clone());
    }
    Ok(written)
}

/// The names for the certificate, each once.
fn subject_names(names: &[&str]) -> Result<Vec<String>, TlsError> {
    let mut all = Vec::with_capacity(ALWAYS.len() + names.len());
    for name in ALWAYS.iter().chain(names) {
        let bare = name.strip_prefix("*.").unwrap_or(name);
        if ServerName::try_from(bare).is_err() {
            return Err(TlsError::InvalidName {
                name: (*name).to_owned(),
            });
        }
        let name = name.to_ascii_lowercase();
        if !all.contains(&name) {
            all.push(name);
        }
    }
    Ok(all)
}

/// Whether both files are there; an error if only one is.
fn exists(certificate: &Path, key: &Path) -> Result<bool, TlsError> {
    match (certificate.exists(), key.exists()) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        (true, false) => Err(TlsError::HalfAPair {
            present: certificate.to_path_buf(),
            missing: key.to_path_buf(),
        }),
        (false, true) => Err(TlsError::HalfAPair {
            present: key.to_path_buf(),
            missing: certificate.to_path_buf(),
        }),
    }
}

struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Ca {
    fn create(path: &Path) -> Result<Self, TlsError> {
        let generate = |source| generate(path, source);
        let params = ca_params();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(generate)?;
        let pem = params.self_signed(&key).map_err(generate)?.pem();
        Ok(Self { params, key, pem })
    }

    /// The CA of an earlier call, after checking that it is one, in date, and its key its own.
    fn load(path: &Path, key_path: &Path) -> Result<Self, TlsError> {
        let refuse = |why| {
            Err(TlsError::Ca {
                path: path.to_path_buf(),
                why,
            })
        };
        let bytes = pem::read(path)?;
        let certificates = pem::certificates(path, &bytes)?;
        let Some((_, x509)) = certificates
            .first()
            .and_then(|der| x509_parser::parse_x509_certificate(der).ok())
        else {
            return refuse("it is not a certificate");
        };
        let key = pem::read(key_path)?;
        let _is_a_key = pem::key(key_path, &key)?;
        let Some(key) = std::str::from_utf8(&key)
            .ok()
            .and_then(|text| KeyPair::from_pem(text).ok())
        else {
            return refuse("its key is of a kind that this program does not make");
        };
        if key.public_key_raw() != x509.public_key().subject_public_key.data.as_ref() {
            return refuse("the key in `ca-key.pem` is not its key");
        }
        let named_so = x509
            .subject()
            .iter_common_name()
            .any(|name| name.as_str() == Ok(CA_NAME));
        if !named_so || !x509.is_ca() || x509.subject().iter_attributes().count() != 1 {
            return refuse("it is not a CA that this program made");
        }
        let mut params = ca_params();
        let expires = SystemTime::UNIX_EPOCH
            + Duration::from_secs(
                u64::try_from(x509.validity().not_after.timestamp()).unwrap_or(0),
            );
        if expires <= SystemTime::now() {
            return refuse("it has expired");
        }
        params.not_after = expires.into();
        let pem = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self { params, key, pem })
    }

    /// A certificate chain (PEM) for a server, and its key.
    fn server(&self, path: &Path, names: Vec<String>) -> Result<(String, KeyPair), TlsError> {
        let generate = |source| generate(path, source);
        let mut params = CertificateParams::new(names).map_err(generate)?;
        params.distinguished_name = common_name("Portcullis");
        params.not_before = (SystemTime::now() - BACKDATED).into();
        // A certificate that outlives its CA is refused from then on anyway.
        params.not_after = self.params.not_after;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(generate)?;
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(generate)?;
        Ok((format!("{}{}", certificate.pem(), self.pem), key))
    }
}

fn ca_params() -> CertificateParams {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(CA_NAME);
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + VALIDITY).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn generate(path: &Path, source: rcgen::Error) -> TlsError {
    TlsError::Generate {
        path: path.to_path_buf(),
        source,
    }
}

/// Who may read a file.
#[derive(Clone, Copy)]
enum Access {
    Everyone,
    Owner,
}

/// Writes a new file; one that exists is an error.
fn create(path: &Path, text: String, access: Access) -> Result<(), TlsError> {
    let text = Zeroizing::new(text);
    let mode = match access {
        Access::Everyone => 0o644,
        Access::Owner => 0o600,
    };
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
    {
        Ok(file) => file,
        Err(source) => {
            return Err(TlsError::Write {
                path: path.to_path_buf(),
                source,
            });
        }
    };
    if let Err(source) = file.write_all(text.as_bytes()) {
        // Half a file would be taken for a damaged one at the next start.
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "Cannot remove a half-written file");
        }
        return Err(TlsError::Write {
            path: path.to_path_buf(),
            source,
        });
    }
    Ok(())
}
