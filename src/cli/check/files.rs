//! Certificates, secrets, users and keys: whether they can be read, fit together, and are kept to themselves.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use x509_parser::extensions::GeneralName;

use crate::config::{IdentityKind, Jwks, NamedFile, Reading, Role, ServerTls};
use crate::identity::Identities;
use crate::model::Interner;
use crate::notify::template_problems;
use crate::telemetry::Chain;
use crate::tls;

use super::Finding;

/// A certificate that ends earlier is worth a warning: time enough to have a new one made.
const SOON: TimeDelta = TimeDelta::days(30);

/// Neither a certificate chain, a key nor a secret is larger, in bytes.
const LARGEST: u64 = 1 << 20;

/// What a certificate says of itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CertificateFacts {
    /// DNS names and addresses.
    pub(super) names: Vec<String>,
    /// When the first certificate of the chain ends.
    pub(super) expires: DateTime<Utc>,
}

/// Checks the server's certificate and key, and the authorities to trust upstream.
pub(super) fn tls(reading: &Reading, findings: &mut Vec<Finding>) -> Option<CertificateFacts> {
    for file in reading
        .files
        .iter()
        .filter(|it| matches!(it.role, Role::NotifyCa | Role::UpstreamCa))
    {
        if let Err(error) = tls::client(Some(&file.path)) {
            findings.push(Finding::error(file, Chain(&error).to_string(), None));
        } else if let Some(facts) = certificate_facts(&file.path) {
            dated(file, &facts, "the authority", findings);
        }
    }
    let of = |role| reading.files.iter().find(|it| it.role == role);
    let (certificate, key) = (of(Role::Certificate)?, of(Role::Key)?);
    let pair = ServerTls {
        certificate: certificate.path.clone(),
        key: key.path.clone(),
    };
    if let Err(error) = tls::server(&pair) {
        let hint = is_missing(&error).then_some("`portcullis init` makes development certificates; for others ask your certificate authority");
        findings.push(Finding::error(certificate, Chain(&error).to_string(), hint));
    }
    kept(key, findings);
    let facts = certificate_facts(&certificate.path)?;
    dated(certificate, &facts, "the certificate", findings);
    if facts.names.is_empty() {
        findings.push(Finding::warning(
            certificate,
            "the certificate has no subject alternative name",
            "clients look at nothing else: have one made with the gateway's name",
        ));
    }
    Some(facts)
}

fn is_missing(error: &dyn std::error::Error) -> bool {
    error
        .source()
        .and_then(|it| it.downcast_ref::<io::Error>())
        .is_some_and(|it| it.kind() == io::ErrorKind::NotFound)
}

fn dated(file: &NamedFile, facts: &CertificateFacts, what: &str, findings: &mut Vec<Finding>) {
    let left = facts.expires - Utc::now();
    let day = facts.expires.format("%Y-%m-%d");
    if left <= TimeDelta::zero() {
        let message = format!("{what} in `{}` ended on {day}", file.path.display());
        findings.push(Finding::error(file, message, Some("have a new one made")));
    } else if left < SOON {
        let message = format!(
            "{what} in `{}` ends on {day}, in {} days",
            file.path.display(),
            left.num_days()
        );
        findings.push(Finding::warning(
            file,
            message,
            "have a new one made; it is taken up without a restart",
        ));
    }
}

/// What the certificates in a PEM file say; `None` if they cannot be read, which loading them has told already.
fn certificate_facts(path: &Path) -> Option<CertificateFacts> {
    let bytes = read(path).ok()?;
    let mut facts: Option<CertificateFacts> = None;
    for der in CertificateDer::pem_slice_iter(&bytes) {
        let der = der.ok()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
        let expires = DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)?;
        if let Some(facts) = &mut facts {
            facts.expires = facts.expires.min(expires);
            continue;
        }
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|it| it.value.general_names.iter().filter_map(name).collect());
        facts = Some(CertificateFacts {
            names: names.unwrap_or_default(),
            expires,
        });
    }
    facts
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(it) => Some((*it).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            v4.or(v6).ok().map(|it| it.to_string())
        }
        _ => None,
    }
}

/// Checks user files and key sets as those will who read them. URLs are not fetched.
pub(super) fn identities(reading: &Reading, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for identity in &reading.identities {
        let path = match &identity.kind {
            IdentityKind::Basic { users } => users,
            IdentityKind::Jwt {
                jwks: Jwks::File(path),
                ..
            } => path,
            IdentityKind::Jwt {
                jwks: Jwks::Url(_), ..
            } => continue,
        };
        let Some(file) = reading.files.iter().find(|it| it.path == *path) else {
            continue;
        };
        let opened = runtime.block_on(Identities::open(
            std::slice::from_ref(identity),
            Arc::new(Interner::default()),
        ));
        for error in opened.err().into_iter().flatten() {
            findings.push(Finding::error(file, Chain(&error).to_string(), None));
        }
    }
    Ok(())
}

/// Checks the files that hold passwords and tokens.
pub(super) fn secrets(reading: &Reading, findings: &mut Vec<Finding>) {
    for file in reading.files.iter().filter(|it| it.role == Role::Secret) {
        let path = file.path.display();
        match read(&file.path) {
            Err(error) => {
                let hint = "write the secret into it, and let only the gateway's account read it";
                findings.push(Finding::error(
                    file,
                    format!("cannot read `{path}`: {error}"),
                    Some(hint),
                ));
            }
            Ok(bytes) if bytes.trim_ascii().is_empty() => {
                findings.push(Finding::error(
                    file,
                    format!("`{path}` is empty"),
                    Some("write the secret into it"),
                ));
            }
            Ok(bytes) if str::from_utf8(&bytes).is_err() => {
                findings.push(Finding::error(
                    file,
                    format!("`{path}` is not UTF-8"),
                    Some("write the secret into it as a text"),
                ));
            }
            Ok(_) => kept(file, findings),
        }
    }
    for file in reading.files.iter().filter(|it| it.role == Role::Users) {
        kept(file, findings);
    }
}

/// Checks the templates of mails, each with a sample of what it will be filled with.
pub(super) fn templates(reading: &Reading, findings: &mut Vec<Finding>) {
    let mut directories = reading.files.iter();
    if let Some(directory) = directories.find(|it| it.role == Role::TemplateDirectory) {
        for problem in template_problems(&directory.path) {
            let hint = "until it is mended, messages look as the built-in template makes them";
            let text = Chain(&problem).to_string();
            findings.push(Finding::error(directory, text, Some(hint)));
        }
    }
}

/// Warns of a secret that everybody on this machine can read.
fn kept(file: &NamedFile, findings: &mut Vec<Finding>) {
    const OTHERS: u32 = 0o007;
    let Ok(metadata) = fs::metadata(&file.path) else {
        return;
    };
    if metadata.permissions().mode() & OTHERS != 0 {
        let path = file.path.display();
        let hint = format!("chmod o= {path}");
        findings.push(Finding::warning(
            file,
            format!("`{path}` is open to every account on this machine"),
            &hint,
        ));
    }
}

/// A small file's bytes.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    Ok(bytes)
}
