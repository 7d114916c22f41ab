//! The demo's directory: made at the first start, used again at the next, completed if something is missing.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{Config, Environment};
use crate::tls::write_development_certificates;

use super::people;

/// Says that a directory is the demo's. The first file to be written.
const MARK: &str = ".portcullis-demo";

/// Holds the credential that the gateway shows the sample endpoint.
const UPSTREAM_TOKEN: &str = "upstream-token";

/// The configuration, of which the addresses are filled in.
const CONFIGURATION: &str = include_str!("portcullis.toml");

/// Written once, then left to whoever tries them out.
const POLICIES: [(&str, &str); 2] = [
    (
        "policies/exchange.toml",
        include_str!("policies/exchange.toml"),
    ),
    ("policies/people.toml", include_str!("policies/people.toml")),
];

/// Whether a directory is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    New,
    UsedBefore,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Everyone,
    Owner,
}

/// The demo's directory, while this process uses it and nobody else.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    age: Age,
    /// Locked as long as it is open.
    _mark: File,
}

impl Directory {
    /// Takes `root` for this process: makes it if it is not there.
    ///
    /// Fails for a directory that holds something and is not the demo's, and for one that another demo uses.
    pub(super) fn open(root: &Path) -> anyhow::Result<Self> {
        let shown = root.display();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.with_context(|| format!("cannot make the directory `{shown}`"))?;
        let cannot_read = || format!("cannot read the directory `{shown}`");
        let mut entries = fs::read_dir(root).with_context(cannot_read)?;
        let mark = root.join(MARK);
        let is_marked = mark.try_exists().with_context(cannot_read)?;
        if !is_marked && entries.next().is_some() {
            bail!(
                "`{shown}` is not empty and was not made by the demo; name another one with --directory"
            );
        }
        let mark = OpenOptions::new().create(true).append(true).open(&mark);
        let mark = mark.with_context(|| format!("cannot write into `{shown}`"))?;
        match mark.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another demo is running in `{shown}`; stop it, or name another directory with --directory"
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock `{shown}`"));
            }
        }
        Ok(Self {
            root: root.to_owned(),
            age: if is_marked { Age::UsedBefore } else { Age::New },
            _mark: mark,
        })
    }

    /// Whether an earlier demo left it.
    pub(super) fn age(&self) -> Age {
        self.age
    }

    /// As it was named.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file, whole or not at all.
    pub(super) fn write(&self, name: &str, text: &str, access: Access) -> anyhow::Result<()> {
        let path = self.path(name);
        let cannot_write = || format!("cannot write `{}`", path.display());
        let unfinished = path.with_added_extension("new");
        remove(&unfinished)?;
        let mode = match access {
            Access::Everyone => 0o644,
            Access::Owner => 0o600,
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&unfinished)
            .with_context(cannot_write)?;
        file.write_all(text.as_bytes()).with_context(cannot_write)?;
        file.sync_all().with_context(cannot_write)?;
        fs::rename(&unfinished, &path).with_context(cannot_write)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> anyhow::Result<()> {
        remove(&self.path(name))
    }

    /// Sees to certificates, policies and the upstream's credential; returns that one, as an `Authorization`.
    pub(super) fn complete(&self) -> anyhow::Result<SecretString> {
        write_development_certificates(&self.root, &[]).with_context(|| {
            let shown = self.root.display();
            format!("the demo's certificates cannot be used; to begin afresh, delete `{shown}`")
        })?;
        let policies = self.path("policies");
        fs::create_dir_all(&policies)
            .with_context(|| format!("cannot make the directory `{}`", policies.display()))?;
        for (name, text) in POLICIES {
            // Only together: a file that was deleted on purpose stays deleted.
            if self.age == Age::New || !self.path(UPSTREAM_TOKEN).exists() {
                self.write(name, text, Access::Everyone)?;
            }
        }
        let token = people::random()?;
        self.write(UPSTREAM_TOKEN, token.expose_secret(), Access::Owner)?;
        Ok(format!("Bearer {}", token.expose_secret()).into())
    }

    /// Writes the configuration and reads it as `portcullis serve` would, but for the environment: the tour is about these addresses.
    pub(super) fn configure(
        &self,
        listen: SocketAddr,
        control: SocketAddr,
        upstream: &str,
    ) -> anyhow::Result<Config> {
        let text = CONFIGURATION
            .replace("{listen}", &listen.to_string())
            .replace("{control}", &control.to_string())
            .replace("{upstream}", upstream);
        self.write("portcullis.toml", &text, Access::Everyone)?;
        let path = self.path("portcullis.toml");
        Config::load(&path, &Environment::default()).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(
                "the demo's configuration is wrong:\n  {}",
                lines.join("\n  ")
            )
        })
    }

    /// The sample endpoint's side of TLS.
    pub(super) fn server_tls(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let (chain, key) = (self.path("server.pem"), self.path("server-key.pem"));
        let cannot_use = || format!("cannot use the certificate `{}`", chain.display());
        let chain = CertificateDer::pem_file_iter(&chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(cannot_use)?;
        let key = PrivateKeyDer::from_pem_file(&key)
            .with_context(|| format!("cannot use the key `{}`", key.display()))?;
        let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|it| it.with_no_client_auth().with_single_cert(chain, key))
            .context("the sample endpoint cannot speak TLS")?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(tls))
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
