//! Listings: their parts, and what one asks of them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a listing. It may be short, or even empty, and not the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// What was found: requests, grants and tokens newest first, audit records oldest first, policies by their scopes.
    pub items: Vec<T>,
    /// The `cursor` of the next part, if there may be one.
    pub next: Option<String>,
}

/// Whose requests or grants are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// All that the caller may know of.
    #[default]
    Known,
    /// The caller's own.
    Mine,
    /// Pending requests that the caller may answer and has not; live grants that the caller may revoke.
    ToDecide,
}

/// What every listing takes: it lists all for which everything that is given holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(bound(deserialize = "S: Deserialize<'de>"))]
#[schemars(rename = "ListingQueryFor{S}", extend("additionalProperties" = false))]
pub struct ListingQuery<S> {
    /// Where they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<S>,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whose: Option<Whose>,
    /// The name of who asked or holds it, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub principal: Option<String>,
    /// The policy's scope, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub policy: Option<String>,
    /// The one task asked for or covered, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub task: Option<String>,
    /// Filed or made at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Filed or made before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The `next` of the part before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    pub cursor: Option<String>,
    /// At most this many; 50 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

impl<S> Default for ListingQuery<S> {
    fn default() -> Self {
        Self {
            status: None,
            whose: None,
            principal: None,
            policy: None,
            task: None,
            since: None,
            until: None,
            cursor: None,
            limit: None,
        }
    }
}
