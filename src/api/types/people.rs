//! Who calls, and how to sign in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Token;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// What people call the caller.
    pub name: String,
    /// The `[[identity]]` that verified the credential; of a token, its owner's.
    pub identity: String,
    /// The caller's tenant, if the credential names one.
    pub tenant: Option<String>,
    /// The groups that the caller is of.
    pub groups: Vec<String>,
    /// Whether the caller keeps the gateway.
    pub operator: bool,
    /// Whether the caller may read the audit log.
    pub auditor: bool,
    /// The token that was presented, if it was one.
    pub token: Option<Token>,
}

/// `GET /login`: how to sign in here, told to everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// Each way to sign in.
    pub identities: Vec<LoginIdentity>,
}

/// A way to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginIdentity {
    /// Its name.
    pub name: String,
    /// How: with a user's name and password, or with a token of an identity provider.
    pub kind: LoginKind,
    /// How a person without a browser at hand gets a token (RFC 8628), if the provider offers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceLogin>,
}

/// How one signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoginKind {
    /// `Authorization: Basic …`
    Basic,
    /// `Authorization: Bearer …`, with a token of the identity's issuer.
    Bearer,
}

/// The device authorization grant of an identity provider ([RFC 8628]).
///
/// [RFC 8628]: https://www.rfc-editor.org/rfc/rfc8628
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceLogin {
    /// Where a code is asked for.
    pub device_authorization_endpoint: String,
    /// Where the token is asked for.
    pub token_endpoint: String,
    /// Who asks.
    pub client_id: String,
    /// What for, if it has to be said.
    pub scope: Option<String>,
}
