//! The file of credentials: at which gateways this person is signed in, and as what.
//!
//! `$XDG_CONFIG_HOME/portcullis/credentials.toml`, by default below `~/.config`. It holds secrets, so it is made for its
//! owner alone (mode 0600), and refused if others may read or change it. It is replaced whole, never written in place, and
//! under a lock, so that two commands at once lose nothing.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::cli::Hint;

/// A larger file is not this one, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// What the file says.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Credentials {
    /// The gateway that is meant where a command names none: where somebody signed in last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) default: Option<String>,
    /// By the gateway's URL.
    #[serde(default, rename = "server", skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::cli) servers: BTreeMap<String, Account>,
}

/// What is known of one gateway.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Account {
    /// Who is signed in, for people.
    pub(in crate::cli) user: String,
    /// PEM file of the certificate authorities that its certificate is verified by; the platform's without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) ca: Option<PathBuf>,
    /// What is shown to the gateway as `Bearer`.
    #[serde(serialize_with = "exposed")]
    pub(in crate::cli) token: SecretString,
    /// When the token ends, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) expires: Option<DateTime<Utc>>,
    /// The id of an API token that `login --password` made, to revoke at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) token_id: Option<String>,
    /// How a fresh token is had when this one has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) refresh: Option<Refresh>,
}

/// How a fresh token is had from the identity provider.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Refresh {
    /// Where.
    pub(in crate::cli) token_endpoint: String,
    /// As which client.
    pub(in crate::cli) client_id: String,
    /// For what.
    #[serde(serialize_with = "exposed")]
    pub(in crate::cli) token: SecretString,
}

fn exposed<S: Serializer>(secret: &SecretString, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(secret.expose_secret())
}

/// Where the file is.
#[derive(Clone, Debug)]
pub(in crate::cli) struct CredentialsFile(PathBuf);

/// Why the file could not be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CredentialsError {
    #[error("neither XDG_CONFIG_HOME nor HOME says where credentials are kept")]
    NoHome,
    #[error("others than its owner may read or change the credentials in `{}` (mode {mode:03o})", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("cannot read the credentials in `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("what is in `{}` is not what `portcullis login` writes", path.display())]
    Syntax { path: PathBuf },
    #[error("cannot write the credentials to `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl CredentialsError {
    /// With what to do about it.
    pub(in crate::cli) fn explained(self) -> anyhow::Error {
        let hint = match &self {
            Self::NoHome => "set HOME, or give the token by PORTCULLIS_TOKEN and the gateway by PORTCULLIS_SERVER".to_owned(),
            Self::Open { path, .. } => format!(
                "who read it can act as you: sign out, then `chmod 600 {}` and sign in anew",
                path.display()
            ),
            Self::Read { path, .. } => format!("look at `{}`", path.display()),
            Self::Syntax { path } => format!(
                "remove `{}` and sign in with `portcullis login`",
                path.display()
            ),
            Self::Write { path, .. } => format!("see who may write `{}`", path.display()),
        };
        let text = crate::telemetry::Chain(&self).to_string();
        anyhow::Error::new(Hint(hint)).context(text)
    }
}

impl CredentialsFile {
    /// The file of whoever runs this.
    pub(in crate::cli) fn of_process() -> Result<Self, CredentialsError> {
        Self::below(
            std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from),
            std::env::var_os("HOME").map(PathBuf::from),
        )
    }

    /// A relative `XDG_CONFIG_HOME` is none, by that specification.
    fn below(config: Option<PathBuf>, home: Option<PathBuf>) -> Result<Self, CredentialsError> {
        let config = config.filter(|it| it.is_absolute());
        let home = home.filter(|it| it.is_absolute());
        let directory = config
            .or_else(|| home.map(|it| it.join(".config")))
            .ok_or(CredentialsError::NoHome)?;
        Ok(Self(directory.join("portcullis/credentials.toml")))
    }

    /// Where it is.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.0
    }

    /// What it says; nothing if there is none.
    pub(in crate::cli) fn read(&self) -> Result<Credentials, CredentialsError> {
        let unreadable = |source| CredentialsError::Read {
            path: self.0.clone(),
            source,
        };
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Credentials::default());
            }
            Err(error) => return Err(unreadable(error)),
        };
        // Of the file that is open, not of whatever has the name by then.
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = self.0.clone();
            return Err(CredentialsError::Open { path, mode });
        }
        let mut text = String::new();
        let read = file.take(LARGEST).read_to_string(&mut text);
        read.map_err(unreadable)?;
        // The parser's own text would quote what is around the mistake, which may be a secret.
        toml::from_str(&text).map_err(|_| CredentialsError::Syntax {
            path: self.0.clone(),
        })
    }

    /// Changes what it says.
    pub(in crate::cli) fn change(
        &self,
        change: impl FnOnce(&mut Credentials),
    ) -> Result<(), CredentialsError> {
        let unwritable = |source| CredentialsError::Write {
            path: self.0.clone(),
            source,
        };
        let directory = self.0.parent().unwrap_or(Path::new("/"));
        let mut make = DirBuilder::new();
        make.recursive(true).mode(0o700);
        make.create(directory).map_err(unwritable)?;
        let lock = private().open(directory.join("credentials.lock"));
        let lock = lock.map_err(unwritable)?;
        // Let go when `lock` is closed.
        lock.lock().map_err(unwritable)?;
        let mut credentials = self.read()?;
        change(&mut credentials);
        let text =
            toml::to_string(&credentials).map_err(|error| unwritable(io::Error::other(error)))?;
        let fresh = directory.join("credentials.toml.new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritable(error)),
            _ => {}
        }
        let written = private()
            .create_new(true)
            .open(&fresh)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
        written
            .and_then(|()| fs::rename(&fresh, &self.0))
            .map_err(unwritable)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: &str) -> Account {
        Account {
            user: user.to_owned(),
            ca: None,
            token: SecretString::from("s3cret"),
            expires: None,
            token_id: None,
            refresh: None,
        }
    }

    fn file(folder: &tempfile::TempDir) -> CredentialsFile {
        CredentialsFile::below(Some(folder.path().to_owned()), None).unwrap()
    }

    #[test]
    fn what_is_kept_is_found_again_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        assert!(file.read().unwrap().servers.is_empty());
        for user in ["ana", "amy"] {
            let keep = |it: &mut Credentials| {
                it.servers
                    .insert(format!("https://{user}.example"), account(user));
            };
            file.change(keep).unwrap();
        }
        let read = file.read().unwrap();
        assert_eq!(read.servers.len(), 2, "each change keeps the others");
        let token = &read.servers["https://ana.example"].token;
        assert_eq!(token.expose_secret(), "s3cret");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);
        assert!(!format!("{read:?}").contains("s3cret"));
    }

    #[test]
    fn a_file_that_others_may_read_or_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        file.change(|_| ()).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o666, 0o601] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            let refused = file.read().unwrap_err();
            assert!(matches!(refused, CredentialsError::Open { .. }), "{mode:o}");
            assert!(file.change(|_| ()).is_err(), "{mode:o}");
        }
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o400)).unwrap();
        file.read().unwrap();
    }

    #[test]
    fn a_broken_file_is_told_without_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        file.change(|_| ()).unwrap();
        fs::write(file.path(), "token = 's3cret'").unwrap();
        let text = format!("{:#}", file.read().unwrap_err().explained());
        assert!(text.contains("portcullis login"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[test]
    fn it_lies_where_the_desktop_says_or_else_below_home() {
        let place = |config: Option<&str>, home: Option<&str>| {
            CredentialsFile::below(config.map(PathBuf::from), home.map(PathBuf::from))
                .map_or_else(|it| it.to_string(), |it| it.path().display().to_string())
        };
        assert_eq!(
            place(Some("/c"), Some("/h")),
            "/c/portcullis/credentials.toml"
        );
        let below_home = "/h/.config/portcullis/credentials.toml";
        assert_eq!(place(None, Some("/h")), below_home);
        assert_eq!(place(Some("relative"), Some("/h")), below_home);
        assert!(place(None, None).contains("HOME"));
    }
}
