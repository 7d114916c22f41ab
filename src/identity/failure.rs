//! Why a caller was not signed in: one text for the operator's records, another for the caller.

use chrono::{DateTime, Utc};
use http::{HeaderValue, StatusCode};

/// A refused sign-in.
///
/// Its `Display` is for logs and the audit log: it holds no secret, but it does tell an unknown user from a wrong
/// password. What the caller may know is [`SignInFailure::public_text`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct SignInFailure {
    /// What was wrong.
    pub kind: FailureKind,
    offers: Offers,
}

/// What was wrong with a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailureKind {
    /// The password of a known user is wrong.
    #[error("wrong password for the user `{}`", shown(.user))]
    BadPassword {
        /// The user, as the user file spells it.
        user: String,
    },
    /// No key that the token may be signed with verifies its signature.
    #[error("the token's signature does not verify with the keys of identity `{identity}`")]
    BadSignature {
        /// The `[[identity]]` that was asked.
        identity: String,
    },
    /// Too many passwords wait to be checked; a moment later there may be room.
    #[error("too many passwords are being checked at once; this one was not")]
    Busy,
    /// The user is disabled in the user file; the password was right.
    #[error("the user `{}` is disabled in the user file", shown(.user))]
    Disabled {
        /// The user, as the user file spells it.
        user: String,
    },
    /// The token was valid once.
    #[error("the token expired at {at}")]
    Expired {
        /// Its `exp`.
        at: DateTime<Utc>,
    },
    /// The issuer's keys could not be had, so nothing can be verified.
    #[error("the keys of identity `{identity}` cannot be had at the moment")]
    KeysUnavailable {
        /// The `[[identity]]` that was asked.
        identity: String,
    },
    /// The credential is not what it should be.
    #[error("{0}")]
    Malformed(&'static str),
    /// There is no `Authorization` header.
    #[error("no credential was sent")]
    Missing,
    /// The token is not valid yet.
    #[error("the token is not valid before {from}")]
    NotYetValid {
        /// Its `nbf`.
        from: DateTime<Utc>,
    },
    /// This user failed too often within a minute; the password was not looked at.
    #[error("too many failed sign-ins for {user}; the password was not checked")]
    TooManyAttempts {
        /// The user as the user file spells it, or that it is an unknown one.
        user: String,
    },
    /// No `[[identity]]` of this endpoint has the token's issuer.
    #[error("no identity of this endpoint has the issuer `{}`", shown(.issuer))]
    UnknownIssuer {
        /// What the token, unverified, calls its issuer.
        issuer: String,
    },
    /// The issuer has no such key.
    #[error("identity `{identity}` has no key `{}` for this algorithm", shown(.key))]
    UnknownKey {
        /// The `[[identity]]` that was asked.
        identity: String,
        /// The token's `kid`, or empty.
        key: String,
    },
    /// The user file has no such user. The name is not kept: it may be a password typed into the wrong field.
    #[error("unknown user")]
    UnknownUser,
    /// The token is meant for another service.
    #[error("the token is not for an audience of identity `{identity}`")]
    WrongAudience {
        /// The `[[identity]]` that was asked.
        identity: String,
    },
    /// The endpoint takes no credential of this scheme.
    #[error("this endpoint takes no credential of this scheme")]
    WrongScheme,
    /// The token is from a tenant that may not sign in here.
    #[error("the token's tenant is not among those of identity `{identity}`")]
    WrongTenant {
        /// The `[[identity]]` that was asked.
        identity: String,
    },
}

/// Which schemes an endpoint takes, for its challenges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    pub(super) basic: bool,
    pub(super) bearer: bool,
}

impl SignInFailure {
    pub(super) fn new(kind: FailureKind, offers: Offers) -> Self {
        Self { kind, offers }
    }

    /// A stable word for records and metrics. Not for the caller's eyes where [`SignInFailure::public_text`] says less.
    pub fn reason(&self) -> &'static str {
        match self.kind {
            FailureKind::BadPassword { .. }
            | FailureKind::Disabled { .. }
            | FailureKind::UnknownUser => "bad-password",
            FailureKind::BadSignature { .. } => "bad-signature",
            FailureKind::Busy => "busy",
            FailureKind::Expired { .. } => "expired",
            FailureKind::KeysUnavailable { .. } => "keys-unavailable",
            FailureKind::Malformed(_) => "malformed",
            FailureKind::Missing => "missing",
            FailureKind::NotYetValid { .. } => "not-yet-valid",
            FailureKind::TooManyAttempts { .. } => "too-many-attempts",
            FailureKind::UnknownIssuer { .. } => "unknown-issuer",
            FailureKind::UnknownKey { .. } => "unknown-key",
            FailureKind::WrongAudience { .. } => "wrong-audience",
            FailureKind::WrongScheme => "wrong-scheme",
            FailureKind::WrongTenant { .. } => "wrong-tenant",
        }
    }

    /// The status to answer with: 503 where nothing could be verified, else 401. Never 429, which clients repeat by themselves.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            FailureKind::Busy | FailureKind::KeysUnavailable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// What the caller may know. It does not tell whether a user exists.
    pub fn public_text(&self) -> &'static str {
        match self.kind {
            FailureKind::BadPassword { .. }
            | FailureKind::Disabled { .. }
            | FailureKind::UnknownUser => "The user name or password is wrong.",
            FailureKind::BadSignature { .. } | FailureKind::UnknownKey { .. } => {
                "The token's signature cannot be verified. Sign in again."
            }
            FailureKind::Busy => "Too many sign-ins at once. Try again in a moment.",
            FailureKind::Expired { .. } => "The token has expired. Sign in again.",
            FailureKind::KeysUnavailable { .. } => {
                "The token issuer's keys are unavailable. Try again in a moment."
            }
            FailureKind::Malformed(text) => text,
            FailureKind::Missing => "Sign in first: the request carries no credential.",
            FailureKind::NotYetValid { .. } => "The token is not valid yet.",
            FailureKind::TooManyAttempts { .. } => {
                "Too many failed sign-ins for this user. Try again in a minute."
            }
            FailureKind::UnknownIssuer { .. } => "The token's issuer is not trusted here.",
            FailureKind::WrongAudience { .. } => "The token is for another service.",
            FailureKind::WrongScheme => "This endpoint takes no credential of this scheme.",
            FailureKind::WrongTenant { .. } => "The token's tenant may not sign in here.",
        }
    }

    /// The value of `WWW-Authenticate` in a 401 ([RFC 9110] section 11.6.1): a challenge for each scheme that the endpoint takes.
    ///
    /// [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110
    pub fn challenge(&self) -> HeaderValue {
        const BASIC: &str = r#"Basic realm="portcullis", charset="UTF-8""#;
        let mut challenges = Vec::new();
        if self.offers.bearer {
            // RFC 6750 section 3.1: a request without a token gets no error code.
            let error = match self.kind {
                FailureKind::BadPassword { .. }
                | FailureKind::Busy
                | FailureKind::Disabled { .. }
                | FailureKind::Missing
                | FailureKind::TooManyAttempts { .. }
                | FailureKind::UnknownUser
                | FailureKind::WrongScheme => String::new(),
                _ => format!(
                    r#", error="invalid_token", error_description="{}""#,
                    self.public_text()
                ),
            };
            challenges.push(format!(r#"Bearer realm="portcullis"{error}"#));
        }
        if self.offers.basic || challenges.is_empty() {
            challenges.push(BASIC.to_owned());
        }
        HeaderValue::try_from(challenges.join(", "))
            .unwrap_or_else(|_| HeaderValue::from_static(BASIC))
    }
}

/// What of a stranger's text a log may hold: bounded, without control characters.
fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    text.chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind, basic: bool, bearer: bool) -> SignInFailure {
        SignInFailure::new(kind, Offers { basic, bearer })
    }

    #[test]
    fn each_scheme_of_the_endpoint_is_offered() {
        let missing = failure(FailureKind::Missing, true, true);
        assert_eq!(
            missing.challenge(),
            r#"Bearer realm="portcullis", Basic realm="portcullis", charset="UTF-8""#
        );
        let expired = FailureKind::Expired {
            at: DateTime::UNIX_EPOCH,
        };
        assert_eq!(
            failure(expired, false, true).challenge(),
            r#"Bearer realm="portcullis", error="invalid_token", error_description="The token has expired. Sign in again.""#
        );
    }

    #[test]
    fn the_caller_cannot_tell_whether_a_user_exists() {
        let user = "amy".to_owned();
        let known = failure(FailureKind::BadPassword { user: user.clone() }, true, false);
        let disabled = failure(FailureKind::Disabled { user }, true, false);
        let unknown = failure(FailureKind::UnknownUser, true, false);
        for other in [&known, &disabled] {
            assert_eq!(other.public_text(), unknown.public_text());
            assert_eq!(other.challenge(), unknown.challenge());
            assert_eq!(other.status(), unknown.status());
        }
    }

    #[test]
    fn a_strangers_text_is_cut_and_escaped_in_logs() {
        let kind = FailureKind::UnknownIssuer {
            issuer: format!("a\n\u{1b}[31m{}", "x".repeat(1000)),
        };
        let text = failure(kind, false, true).to_string();
        assert!(
            text.len() < 300 && !text.contains(['\n', '\u{1b}']),
            "{text}"
        );
    }

    #[test]
    fn only_what_may_pass_by_itself_is_answered_with_503() {
        let identity = "entra".to_owned();
        let keys = failure(FailureKind::KeysUnavailable { identity }, false, true);
        assert_eq!(keys.status(), StatusCode::SERVICE_UNAVAILABLE);
        let throttled = FailureKind::TooManyAttempts {
            user: "the user `amy`".to_owned(),
        };
        assert_eq!(
            failure(throttled, true, false).status(),
            StatusCode::UNAUTHORIZED
        );
    }
}
