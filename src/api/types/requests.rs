//! Requests: what is filed, answered and shown.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Grant, ListingQuery, ParameterPin, forms};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestStatus {
    /// Approved: a grant was made of it, or moved.
    Approved,
    /// An approver said no.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// It waits for its approvers.
    Pending,
    /// Its requester took it back.
    Withdrawn,
}

/// `POST /requests`: what somebody asks for. One of `task`, `policy`, `role`, `role_group`, `effect` and `extends` is given; `task`
/// may stand beside `policy`, `role`, `role_group` and `effect`, and narrows them to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = forms::one_thing_asked_for()))]
pub struct NewRequest {
    /// A task, such as `Exchange\New-MoveRequest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = forms::TASK), example = &r"Exchange\New-MoveRequest")]
    pub task: Option<String>,
    /// The scope of a policy as `GET /policies` names it, such as `Exchange\Remove-*`: all that it governs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub policy: Option<String>,
    /// A role's name, such as `Exchange\Mail Recipients`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub role: Option<String>,
    /// A role group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub role_group: Option<String>,
    /// An effect, such as `exfiltrate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["change", "destroy", "exfiltrate", "grant-privilege", "read", null]))]
    pub effect: Option<String>,
    /// A grant of the caller's that shall last longer, by `duration_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<Uuid>,
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub reason: String,
    /// For how long; the policy's default if it is left out. At most 180 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15_552_000))]
    pub duration_seconds: Option<u32>,
    /// From when; at the approval if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<DateTime<Utc>>,
    /// For how many commands; any number if neither this nor the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub uses: Option<u32>,
    /// What the commands' parameters must be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub parameters: Vec<ParameterPin>,
    /// Take the grant without approval, in an emergency.
    #[serde(default)]
    pub break_glass: bool,
    /// What else the requester's tool tells with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 32,
        "propertyNames" = { "type": "string", "minLength": 1, "maxLength": 128 },
        "additionalProperties" = { "type": "string", "maxLength": 2000 }
    ))]
    pub context: BTreeMap<String, String>,
    /// The requester's own reference, such as a ticket's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub external_identity: Option<String>,
}

/// `POST /requests/{id}/approve`: the approval holds for what was asked, or for less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// What to say with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub comment: Option<String>,
    /// No longer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15_552_000))]
    pub duration_seconds: Option<u32>,
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<DateTime<Utc>>,
    /// No more commands than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub uses: Option<u32>,
    /// Only with these parameters, besides those of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub parameters: Vec<ParameterPin>,
    /// Only this one of the policy's tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = forms::TASK), example = &r"Exchange\New-MoveRequest")]
    pub task: Option<String>,
}

/// A body that has only a comment, or nothing: to deny or withdraw a request; to revoke, end or review a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// What to say with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub comment: Option<String>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// Its id.
    pub id: Uuid,
    /// Where it stands.
    pub status: RequestStatus,
    /// Who asks.
    pub requester: String,
    /// The scope of the policy asked under, in lower case.
    pub policy: String,
    /// The one task asked for; none for all that the policy governs.
    pub task: Option<String>,
    /// What the commands' parameters must be.
    pub parameters: Vec<ParameterPin>,
    /// Why.
    pub reason: String,
    /// For how long; for an extension, how much longer.
    pub duration_seconds: i64,
    /// From when; none: at the approval.
    pub starts: Option<DateTime<Utc>>,
    /// For how many commands; none: any number.
    pub uses: Option<u32>,
    /// The grant that it asks to extend.
    pub extends: Option<Uuid>,
    /// Whether its grant was taken without approval.
    pub break_glass: bool,
    /// When it was filed.
    pub created: DateTime<Utc>,
    /// When it lapses if nobody decides.
    pub expires: DateTime<Utc>,
    /// When it was decided, withdrawn or found expired.
    pub decided: Option<DateTime<Utc>>,
    /// Who denied it, withdrew it or gave the last approval.
    pub decided_by: Option<String>,
    /// What they said with it.
    pub comment: Option<String>,
    /// The requester's own reference.
    pub external_identity: Option<String>,
    /// What else the requester's tool told with it.
    pub context: BTreeMap<String, String>,
    /// Whose approval it waits for still, in words.
    pub missing_approvals: Option<String>,
    /// The approvers' answers so far.
    pub votes: Vec<Vote>,
    /// Its grant; in listings always none.
    pub grant: Option<Grant>,
}

/// An approver's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VoteAnswer {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

/// An approver's answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    /// Who.
    pub approver: String,
    /// The approver groups that they are of.
    pub groups: Vec<String>,
    /// Yes or no.
    pub answer: VoteAnswer,
    /// What they said with it.
    pub comment: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// No longer than this.
    pub duration_seconds: Option<i64>,
    /// Not before this.
    pub starts: Option<DateTime<Utc>>,
    /// No more commands than this.
    pub uses: Option<u32>,
    /// Only with these parameters.
    pub parameters: Vec<ParameterPin>,
    /// Only this task.
    pub task: Option<String>,
}

/// The query of `GET /requests`.
pub type RequestQuery = ListingQuery<RequestStatus>;
