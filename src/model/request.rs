//! A request: a person asks for a scope, with a reason and a duration.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Task;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// Approved: a grant was made of it.
    Approved,
    /// An approver said no.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// It waits for its approvers.
    Pending,
}

impl RequestState {
    /// The word of Microsoft's `RequestStatus` (exchange-rest section 8).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
            Self::Denied => "Denied",
            Self::Expired => "Expired",
            Self::Pending => "Pending",
        }
    }
}

/// A person's wish for a scope, for a time, with a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// UUID v7.
    pub id: Uuid,
    /// [`super::Principal::key`] of who asks.
    pub principal_key: String,
    /// [`super::Principal::name`] of who asks.
    pub principal_name: String,
    /// The folded scope text of the policy asked under.
    pub policy: String,
    /// The one task asked for; `None` for all that the policy governs.
    pub task: Option<Task>,
    /// Why.
    pub reason: String,
    /// What else the requester's tool told with it (`RequestContext`), as names and texts.
    pub context: Vec<(String, String)>,
    /// The requester's own reference, such as a ticket's number (`ExternalIdentity`).
    pub external_identity: Option<String>,
    /// How long the grant shall last, from its approval.
    pub duration: chrono::Duration,
    /// Where it stands.
    pub state: RequestState,
    /// When it was filed.
    pub created: DateTime<Utc>,
    /// When it lapses if nobody decides.
    pub expires: DateTime<Utc>,
    /// When it was approved, denied or found expired.
    pub decided: Option<DateTime<Utc>>,
    /// The name of who denied it or gave the last approval.
    pub decided_by: Option<String>,
    /// What they said with it.
    pub comment: Option<String>,
    /// Counts its changes: a change is stored only over the version that it was made from.
    pub version: i64,
}

/// What an approver says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

/// An approver's answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// [`super::Principal::key`] of the approver.
    pub approver_key: String,
    /// [`super::Principal::name`] of the approver.
    pub approver_name: String,
    /// The names of the approver groups that the approver was a member of at that moment.
    pub groups: Vec<String>,
    /// Yes or no.
    pub answer: Answer,
    /// What they said with it.
    pub comment: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}
