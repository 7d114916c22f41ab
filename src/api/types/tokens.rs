//! Tokens of the API.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a token may be used for, each for itself.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TokenScope {
    /// To decide requests, revoke and review grants.
    Approve,
    /// To read the audit log.
    Audit,
    /// To change policies and access control.
    Operate,
    /// To read all else.
    Read,
    /// To file and withdraw requests; to end and extend grants.
    Request,
}

/// `POST /tokens`: a token of the caller's own, which may do what the caller may, within its scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What it may be used for.
    #[schemars(length(min = 1, max = 5))]
    pub scopes: Vec<TokenScope>,
    /// How long it is good; 30 days if it is left out, at most 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub expires_in_seconds: Option<u32>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it is no good any more.
    pub expires: DateTime<Utc>,
}

/// A token that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MadeToken {
    /// It.
    pub token: Token,
    /// What to present as `Authorization: Bearer …`. Said once; none when the request is repeated with its `Idempotency-Key`.
    pub secret: Option<String>,
}

/// The query of `GET /tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenQuery {
    /// Everybody's instead of the caller's own: for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
}
