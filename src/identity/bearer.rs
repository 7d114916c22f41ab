//! Checks bearer tokens against the JWT sections of the configuration, each token once.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};

use crate::model::Interner;

use super::claims::Expected;
use super::failure::FailureKind;
use super::jwk::VerificationKey;
use super::keys::KeySource;
use super::token::UnverifiedToken;
use super::verified::{Digest, Found, Verified};

/// A JWT section of the configuration with its issuer's keys.
pub(super) struct Issuer {
    /// Its place among all sections.
    pub(super) section: usize,
    pub(super) expected: Expected,
    pub(super) keys: Arc<KeySource>,
}

/// Checks tokens, and remembers which were good.
pub(super) struct Tokens {
    /// The proof is the key that signed the token.
    verified: Verified<Arc<VerificationKey>>,
    interner: Arc<Interner>,
}

impl Tokens {
    pub(super) fn new(interner: Arc<Interner>) -> Self {
        Self {
            verified: Verified::new(),
            interner,
        }
    }

    /// Whose token `text` (what follows `Bearer`) is, by the first of `issuers` that says so.
    pub(super) async fn verify<'a>(
        &self,
        issuers: impl Iterator<Item = &'a Issuer> + Clone,
        text: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Found<Arc<VerificationKey>>, FailureKind> {
        let mut token_digest = [0; 32];
        token_digest.copy_from_slice(digest(&SHA256, text).as_ref());
        for issuer in issuers.clone() {
            if let Some(found) = self.remembered(issuer, &token_digest, now).await {
                return Ok(found);
            }
        }
        let token = UnverifiedToken::read(text)?;
        let mut failure = FailureKind::UnknownIssuer {
            issuer: token.claimed_issuer().to_owned(),
        };
        for issuer in issuers.filter(|it| it.expected.issuer == token.claimed_issuer()) {
            match self.verify_with(issuer, &token, token_digest, now).await {
                Ok(found) => return Ok(found),
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    /// Whose token this is, if `issuer` verified it before and its key still counts.
    async fn remembered(
        &self,
        issuer: &Issuer,
        digest: &Digest,
        now: DateTime<Utc>,
    ) -> Option<Found<Arc<VerificationKey>>> {
        let now_ms = now.timestamp_millis();
        let find = || {
            let holds = |key: &Arc<VerificationKey>| !key.is_retired();
            self.verified.find(digest, issuer.section, now_ms, holds)
        };
        let mut found = find()?;
        if issuer.keys.are_due(now_ms) {
            issuer.keys.current(now).await?;
            found = find()?;
        }
        issuer.keys.are_usable(now_ms).then_some(found)
    }

    async fn verify_with(
        &self,
        issuer: &Issuer,
        token: &UnverifiedToken<'_>,
        digest: Digest,
        now: DateTime<Utc>,
    ) -> Result<Found<Arc<VerificationKey>>, FailureKind> {
        let identity = || issuer.expected.identity.clone();
        let unavailable = || FailureKind::KeysUnavailable {
            identity: identity(),
        };
        let (kid, algorithm) = (token.kid(), token.algorithm());
        let mut loaded = issuer.keys.current(now).await.ok_or_else(unavailable)?;
        if loaded.keys.candidates(kid, algorithm).next().is_none() {
            loaded = issuer.keys.newer(now).await.ok_or_else(unavailable)?;
        }
        let mut failure = FailureKind::UnknownKey {
            identity: identity(),
            key: kid.unwrap_or_default().to_owned(),
        };
        for key in loaded.keys.candidates(kid, algorithm) {
            let Some(claims) = token.claims_signed_by(key) else {
                failure = FailureKind::BadSignature {
                    identity: identity(),
                };
                continue;
            };
            let good_until = claims.check(&issuer.expected, now)?;
            let principal = Arc::new(claims.principal(&issuer.expected, &self.interner)?);
            let ends_ms = good_until.timestamp_millis();
            self.verified.insert(
                digest,
                issuer.section,
                ends_ms,
                Arc::clone(key),
                Arc::clone(&principal),
            );
            return Ok(Found {
                principal,
                ends_ms,
                proof: Arc::clone(key),
            });
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests;
