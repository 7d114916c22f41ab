//! Wire protocols: bytes become meaning, meaning becomes bytes.
//!
//! Pure: no I/O, no clock, no randomness, no panic. A dialect reads a request strictly into an [`exchange_rest::Operation`],
//! writes what goes upstream from that alone, and writes the gateway's own answers in the shapes that real clients read.
//! It does not know policies beyond the shape of a decision's subject, nor identities, nor where upstream is.
//!
//! The dialects are an enum, not a trait: the set is ours and closed, and an exhaustive `match` makes forgetting one a
//! build error.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod clixml_text;
pub mod exchange_rest;
pub mod json;
pub mod psrp;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

/// A wire protocol that commands travel in (`[[endpoint]] dialect`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Exchange's admin API: cmdlets as JSON over HTTPS.
    ExchangeRest,
    /// PowerShell remoting: sessions with pipelines of cmdlets.
    Psrp,
}

/// An answer that the gateway makes itself.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without framing.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why the gateway answers instead of the upstream, for [`exchange_rest::refuse`] to put into the dialect's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// 4xx or 5xx. Never 401, 404, 408, 429 or 5xx for a block: clients retry those or take them for success.
    pub status: StatusCode,
    /// What the error is about: a cmdlet's name, or empty.
    pub target: String,
    /// One or two sentences for the person at the client, ending with what to do next.
    pub text: String,
}

/// A request that cannot be understood, or may not be asked in this form. It is refused with 400, or 405 or 415 where that says more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Unreadable {
    /// The status to answer with.
    pub status: StatusCode,
    /// A stable word for records and metrics, such as `duplicate-member`.
    pub reason: &'static str,
    /// What was wrong and what would be right.
    pub text: String,
}

impl Unreadable {
    /// A request that is wrong in itself: 400.
    pub(crate) fn bad(reason: &'static str, text: impl Into<String>) -> Self {
        Self::with(StatusCode::BAD_REQUEST, reason, text)
    }

    /// A request that is refused with `status`.
    pub(crate) fn with(status: StatusCode, reason: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            status,
            reason,
            text,
        }
    }
}

impl From<json::JsonError> for Unreadable {
    fn from(error: json::JsonError) -> Self {
        Self::bad(error.reason(), error.to_string())
    }
}

/// A piece of a request as a message shows it: short, and without anything that could act on a terminal.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
