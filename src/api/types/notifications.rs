//! What is said of notices: where each delivery stands, and that some are tried again.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NotificationState {
    /// Given up.
    Dead,
    /// To be tried, for the first time or again.
    Pending,
    /// Taken by the far side.
    Sent,
}

/// The query of `GET /notifications`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationQuery {
    /// Those in this state only; without it, all that are not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NotificationState>,
    /// The `next` of the part before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uuid"))]
    pub cursor: Option<String>,
    /// At most this many; 50 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// A message to one recipient of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// Its id; the `Portcullis-Delivery` of a webhook.
    pub id: Uuid,
    /// The event's, the same for all its recipients.
    pub notice: Uuid,
    /// What happened, such as `request-filed`.
    pub event: String,
    /// The request that it is about.
    pub request: Option<Uuid>,
    /// `mail`, or the webhook's name.
    pub channel: String,
    /// To whom; empty where the channel has one end only.
    pub recipient: String,
    /// Where it stands.
    pub state: NotificationState,
    /// Attempts begun, since it was retried if it was.
    pub attempts: i64,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When an operator had it tried again.
    pub retried: Option<DateTime<Utc>>,
    /// When it is tried next; nothing while an attempt is under way.
    pub next_try: Option<DateTime<Utc>>,
    /// When it was sent or given up.
    pub ended: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// How many messages are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retried {
    /// How many.
    pub retried: u64,
}
