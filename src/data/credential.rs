//! The gateway's own credential for the upstream, from a secret file that may change while it runs.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::config::UpstreamAuth;

/// The largest secret file that is read, in bytes.
const SECRET_BYTES: usize = 16 * 1024;

/// Why a secret file gives no credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// It cannot be read.
    #[error("cannot read secret file `{}`", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it holds is no credential.
    #[error("secret file `{}` must hold one line of text, at most 16 KiB", .path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
    },
}

/// How the gateway signs in upstream.
#[derive(Debug)]
pub enum UpstreamCredential {
    /// With this `Authorization`, read from a file.
    Injected {
        /// Where it comes from.
        settings: UpstreamAuth,
        /// The value, marked sensitive.
        value: ArcSwap<HeaderValue>,
    },
    /// With the caller's own `Authorization`.
    Passthrough,
}

impl UpstreamCredential {
    /// Reads the secret, if there is one.
    pub fn open(settings: &UpstreamAuth) -> Result<Self, CredentialError> {
        Ok(match header(settings)? {
            None => Self::Passthrough,
            Some(value) => Self::Injected {
                settings: settings.clone(),
                value: ArcSwap::from_pointee(value),
            },
        })
    }

    /// Reads the secret again; on any error the old one stays. Whether it changed.
    pub fn reload(&self) -> Result<bool, CredentialError> {
        let Self::Injected { settings, value } = self else {
            return Ok(false);
        };
        let Some(fresh) = header(settings)? else {
            return Ok(false);
        };
        let changed = **value.load() != fresh;
        if changed {
            value.store(Arc::new(fresh));
        }
        Ok(changed)
    }

    /// Whether it is the gateway's own.
    pub(super) fn is_injected(&self) -> bool {
        matches!(self, Self::Injected { .. })
    }

    /// The gateway's own, if it has one.
    pub(super) fn own(&self) -> Option<HeaderValue> {
        match self {
            Self::Injected { value, .. } => Some(HeaderValue::clone(&value.load())),
            Self::Passthrough => None,
        }
    }

    /// What goes upstream, given the caller's own.
    pub(super) fn for_call(&self, callers: &HeaderValue) -> HeaderValue {
        match self {
            Self::Injected { value, .. } => HeaderValue::clone(&value.load()),
            Self::Passthrough => callers.clone(),
        }
    }
}

fn header(settings: &UpstreamAuth) -> Result<Option<HeaderValue>, CredentialError> {
    let (text, path) = match settings {
        UpstreamAuth::Passthrough => return Ok(None),
        UpstreamAuth::Basic {
            username,
            password_file,
        } => {
            let password = secret(password_file)?;
            let pair = Zeroizing::new(format!("{username}:{}", password.as_str()));
            (
                Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))),
                password_file,
            )
        }
        UpstreamAuth::Bearer { token_file } => (
            Zeroizing::new(format!("Bearer {}", secret(token_file)?.as_str())),
            token_file,
        ),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| CredentialError::Unusable { path: path.clone() })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn secret(path: &PathBuf) -> Result<Zeroizing<String>, CredentialError> {
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| CredentialError::Read {
            path: path.clone(),
            source,
        })?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.len() > SECRET_BYTES || line.chars().any(char::is_control) {
        return Err(CredentialError::Unusable { path: path.clone() });
    }
    Ok(Zeroizing::new(line.to_owned()))
}
