//! Grants: what they cover, until when, and how they end.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ListingQuery, ParameterPin};

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrantStatus {
    /// It covers commands now.
    Active,
    /// Its holder gave it back.
    Ended,
    /// Its time is over.
    Expired,
    /// It was taken away.
    Revoked,
    /// Its time is still to come.
    Scheduled,
    /// Its last use was taken.
    UsedUp,
}

/// `POST /grants/{id}/extend`: files a request that the grant of the caller's lasts longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub reason: String,
    /// How much longer; the policy's default if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15_552_000))]
    pub duration_seconds: Option<u32>,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// Its id.
    pub id: Uuid,
    /// The request that it was made of.
    pub request: Uuid,
    /// Where it stands.
    pub status: GrantStatus,
    /// Who holds it.
    pub holder: String,
    /// The scope of its policy, in lower case.
    pub policy: String,
    /// The one task that it covers; none: all that the policy governs.
    pub task: Option<String>,
    /// What the commands' parameters must be.
    pub parameters: Vec<ParameterPin>,
    /// Who approved it.
    pub approved_by: Vec<String>,
    /// When it begins.
    pub starts: DateTime<Utc>,
    /// When it is over.
    pub ends: DateTime<Utc>,
    /// How many commands it covers; none: any number.
    pub uses: Option<u32>,
    /// How many it has covered, where they are counted.
    pub used: u32,
    /// Whether it was taken without approval.
    pub break_glass: bool,
    /// Whether an approver still has to review it.
    pub awaits_review: bool,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was ended, revoked or used up.
    pub closed: Option<DateTime<Utc>>,
    /// By whom.
    pub closed_by: Option<String>,
    /// What they said with it.
    pub closed_comment: Option<String>,
    /// When it was reviewed.
    pub reviewed: Option<DateTime<Utc>>,
    /// By whom.
    pub reviewed_by: Option<String>,
    /// What they found.
    pub reviewed_comment: Option<String>,
}

/// The query of `GET /grants`: what every listing takes, and one thing more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct GrantQuery {
    /// What every listing takes.
    #[serde(flatten)]
    pub listing: ListingQuery<GrantStatus>,
    /// Only break-glass grants that nobody has reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting_review: Option<bool>,
}
