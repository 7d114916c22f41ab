//! Who calls.

use serde::{Deserialize, Serialize};

use super::PrincipalId;

/// What kind of caller it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrincipalKind {
    /// A program with an identity of its own (an app-only token).
    App,
    /// A person, or an account that signs in as one.
    User,
}

/// An authenticated caller. Made by `identity` alone, from a verified credential, never from a header such as `X-AnchorMailbox`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What kind of caller it is.
    pub kind: PrincipalKind,
    /// What grants and requests are bound to, stable and unique: `<oid>@<tid>` for a token (exchange-rest section 7),
    /// `local:<name in lower case>` for a local user.
    pub key: String,
    /// The number of `key` in this process.
    pub id: PrincipalId,
    /// What people call it and policy files list: a user principal name, or an application id. Compared without ASCII case.
    pub name: String,
    /// Group ids that the credential itself vouches for (a token's `groups` claim).
    pub groups: Vec<String>,
    /// The tenant that vouches for the caller, if the credential names one.
    pub tenant: Option<String>,
    /// The `[[identity]]` of the configuration that verified the credential.
    pub identity: String,
}

impl Principal {
    /// Whether an account written in a policy file means this principal: its name, or its key, without ASCII case.
    pub fn is_account(&self, account: &str) -> bool {
        self.name.eq_ignore_ascii_case(account) || self.key.eq_ignore_ascii_case(account)
    }
}
