//! What happens, as it is told.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What happened, as `GET /events` tells it: the `data` of one event, whose `event` is its `kind` and whose `id` its `id`.
///
/// Besides these there is the event `lost`, whose data is [`Lost`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// That of its audit record.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What, such as `request.filed`.
    pub kind: String,
    /// Who did it; none where time or the policy did.
    pub by: Option<String>,
    /// The request that it is about.
    pub request: Option<Uuid>,
    /// The grant that it is about.
    pub grant: Option<Uuid>,
    /// The scope of the policy, in lower case.
    pub policy: Option<String>,
}

/// Told where events may be missing: what is stored has to be read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// Why.
    pub reason: String,
}
