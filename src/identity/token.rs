//! A JWT in compact form ([RFC 7519], [RFC 7515] section 7.1), read strictly and verified as [RFC 8725] asks.
//!
//! The claims of an [`UnverifiedToken`] come out only through a key that verifies its signature; before that, it tells
//! its issuer, and only to choose whose keys to ask.
//!
//! [RFC 7515]: https://www.rfc-editor.org/rfc/rfc7515
//! [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519
//! [RFC 8725]: https://www.rfc-editor.org/rfc/rfc8725

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::claims::Claims;
use super::failure::FailureKind;
use super::jwk::{Algorithm, VerificationKey};

/// A token whose signature was not looked at.
pub(super) struct UnverifiedToken<'a> {
    /// What is signed: header and payload, as they came.
    signed: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Claims,
}

/// The header parameters that we know ([RFC 7515] section 4.1). Others are ignored, as the RFC wants; those that would
/// make the token say how to verify it, or that must be understood, are refused.
///
/// [RFC 7515]: https://www.rfc-editor.org/rfc/rfc7515
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    #[serde(default)]
    b64: Present,
    #[serde(default)]
    crit: Present,
    #[serde(default)]
    enc: Present,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    jwk: Present,
    #[serde(default)]
    x5c: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    zip: Present,
}

/// Whether a member is there, whatever its value; `null` counts.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Reads the three parts: base64url without padding, JSON objects in which no member that we read occurs twice.
    pub(super) fn read(token: &'a [u8]) -> Result<Self, FailureKind> {
        const SHAPE: FailureKind =
            FailureKind::Malformed("The bearer token is not a signed JWT in compact form.");
        let token = std::str::from_utf8(token).map_err(|_| SHAPE)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(SHAPE)?;
        // A further part would be in the payload's text, where no dot can be decoded.
        let (header, payload) = signed.split_once('.').ok_or(SHAPE)?;
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| SHAPE)?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|_| FailureKind::Malformed("The token's header is not what it should be."))?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| SHAPE)?;
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| {
            FailureKind::Malformed("The token's claims are not what they should be.")
        })?;
        Ok(Self {
            signed,
            signature,
            algorithm: header.algorithm()?,
            kid: header.kid,
            claims,
        })
    }

    /// What the token calls its issuer: a hint whose keys to ask, and no more.
    pub(super) fn claimed_issuer(&self) -> &str {
        &self.claims.iss
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The claims, if `key` signed them.
    pub(super) fn claims_signed_by(&self, key: &VerificationKey) -> Option<&Claims> {
        key.verifies(self.algorithm, self.signed.as_bytes(), self.signature)
            .then_some(&self.claims)
    }
}

impl Header {
    fn algorithm(&self) -> Result<Algorithm, FailureKind> {
        let Self {
            alg,
            typ,
            kid: _,
            b64,
            crit,
            enc,
            jku,
            jwk,
            x5c,
            x5u,
            zip,
        } = self;
        if [b64, crit, enc, jku, jwk, x5c, x5u, zip]
            .iter()
            .any(|it| it.0)
        {
            return Err(FailureKind::Malformed(
                "The token's header has a parameter that is not accepted (such as crit, jwk, jku or x5u).",
            ));
        }
        let is_jwt = typ.as_deref().is_none_or(|typ| {
            ["JWT", "at+jwt", "application/at+jwt"]
                .iter()
                .any(|it| typ.eq_ignore_ascii_case(it))
        });
        if !is_jwt {
            return Err(FailureKind::Malformed(
                "The token's type is neither JWT nor at+jwt.",
            ));
        }
        Algorithm::named(alg).ok_or(FailureKind::Malformed(
            "The token's algorithm is none of RS256, ES256 and PS256.",
        ))
    }
}
