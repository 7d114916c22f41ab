//! What is wrong with the identity settings and the files that they name.

use std::io;
use std::path::PathBuf;

use super::fetch::FetchError;

/// A problem of an `[[identity]]` section, found when it is opened or read again.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The keys of an issuer cannot be read, fetched or used.
    #[error("identity `{identity}`: cannot take keys from `{origin}`")]
    Keys {
        /// The section.
        identity: String,
        /// The file or URL.
        origin: String,
        /// Why.
        source: KeysError,
    },
    /// The JWKS URL is one that keys must not be fetched from.
    #[error(
        "identity `{identity}`: keys are fetched by https, or by http from a loopback address, not from `{url}`"
    )]
    KeysUrl {
        /// The section.
        identity: String,
        /// The URL, without credentials.
        url: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Randomness,
    /// The client for https cannot be set up.
    #[error("identity `{identity}`: https cannot be used with this system's certificates")]
    Tls {
        /// The section.
        identity: String,
        /// Why.
        source: rustls::Error,
    },
    /// A user file cannot be read.
    #[error("identity `{identity}`: cannot read the user file `{}`", .path.display())]
    UserFile {
        /// The section.
        identity: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in a user file is wrong.
    #[error("identity `{identity}`: {}:{line}: {problem}", .path.display())]
    Users {
        /// The section.
        identity: String,
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there, and what would be right.
        problem: String,
    },
}

/// Why keys cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The URL gave none.
    #[error("they cannot be fetched")]
    Fetch(#[source] FetchError),
    /// It holds no key that a token may be signed with.
    #[error(
        "no key can be used{skipped}; an RSA key of 2048 bits or more, or an EC key on P-256, is needed"
    )]
    NoUsableKey {
        /// Why those that are there cannot be used; begins with a colon, or is empty.
        skipped: String,
    },
    /// It is no JWK set.
    #[error("it is not a JWK set (RFC 7517)")]
    NotAKeySet(#[source] serde_json::Error),
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It holds more keys than an issuer has.
    #[error("it holds more than {most} keys")]
    TooManyKeys {
        /// The limit.
        most: usize,
    },
}
