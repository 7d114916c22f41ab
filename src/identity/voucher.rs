//! Whether a credential that was verified a while ago would still be taken: for what begins, or goes on, long after its request
//! was authenticated. The credential itself is not kept for that.

use std::fmt;
use std::sync::Arc;

use crate::model::Principal;

use super::jwk::VerificationKey;

/// By what a caller was signed in. [`super::Identities::vouch`] tells whether that still counts.
#[derive(Clone)]
pub struct Voucher {
    principal: Arc<Principal>,
    proof: Proof,
}

/// What was verified.
#[derive(Clone)]
pub(super) enum Proof {
    /// A password, by the user files as of this reading.
    Password { reading: u64 },
    /// A token that this key signed, until this time.
    Token {
        ends_ms: i64,
        key: Arc<VerificationKey>,
    },
}

/// Why a credential does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fallen {
    /// The user has another password, name or groups by now, or the token's key is not known to be its issuer's any more.
    #[error("what you signed in with is not valid any more")]
    Changed,
    /// The token's time is over.
    #[error("the token that you signed in with has expired")]
    Expired,
    /// The user is not in the user file any more, or is disabled there.
    #[error("you may not sign in any more")]
    Gone,
    /// The endpoint does not take sign-ins of that source.
    #[error("this endpoint does not take your sign-in any more")]
    Unlisted,
}

impl Voucher {
    pub(super) fn new(principal: &Arc<Principal>, proof: Proof) -> Self {
        Self {
            principal: Arc::clone(principal),
            proof,
        }
    }

    /// Who was signed in.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }
}

impl Fallen {
    /// A stable word for records.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Changed => "credential-changed",
            Self::Expired => "expired",
            Self::Gone => "user-gone",
            Self::Unlisted => "identity-unlisted",
        }
    }

    /// Whether no other credential of the same person would be taken.
    pub fn is_of_the_person(self) -> bool {
        match self {
            Self::Changed | Self::Expired => false,
            Self::Gone | Self::Unlisted => true,
        }
    }
}

impl fmt::Debug for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Voucher").field(&self.principal.key).finish()
    }
}
