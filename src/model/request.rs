//! A request: a person asks for a scope, with a reason and a duration.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Pins, Task};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Its requester took it back.
    Withdrawn,
}

impl RequestState {
    /// The word of Microsoft's `RequestStatus` (exchange-rest section 8).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
            Self::Denied => "Denied",
            Self::Expired => "Expired",
            Self::Pending => "Pending",
            Self::Withdrawn => "Withdrawn",
        }
    }

    /// All of them, in alphabetical order.
    pub const ALL: [Self; 5] = [
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Pending,
        Self::Withdrawn,
    ];
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
    /// What the commands' parameters must be.
    pub pins: Pins,
    /// Why.
    pub reason: String,
    /// What else the requester's tool told with it (`RequestContext`), as names and texts.
    pub context: Vec<(String, String)>,
    /// The requester's own reference, such as a ticket's number (`ExternalIdentity`).
    pub external_identity: Option<String>,
    /// How long the grant shall last from its start; for an extension, how much longer than before.
    pub duration: TimeDelta,
    /// When the grant shall start; `None`: as soon as it is approved.
    pub starts: Option<DateTime<Utc>>,
    /// How many commands the grant shall cover; `None`: any number.
    pub uses: Option<u32>,
    /// The grant whose end it asks to move; `None` where it asks for a grant of its own.
    pub extends: Option<Uuid>,
    /// It was approved by its own requester, in an emergency, and an approver has to review its grant.
    pub break_glass: bool,
    /// Where it stands.
    pub state: RequestState,
    /// When it was filed.
    pub created: DateTime<Utc>,
    /// When it lapses if nobody decides.
    pub expires: DateTime<Utc>,
    /// When it was approved, denied, withdrawn or found expired.
    pub decided: Option<DateTime<Utc>>,
    /// The name of who denied it, withdrew it or gave the last approval.
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
    /// What an approval holds for, where that is less than what was asked.
    pub narrowing: Narrowing,
    /// When.
    pub at: DateTime<Utc>,
}

/// What an approver allows less of than was asked. What was asked stays as it is in the [`Request`]; the [`super::Grant`]
/// has what remains.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Narrowing {
    /// No longer than this.
    #[serde(
        with = "milliseconds",
        skip_serializing_if = "Option::is_none",
        rename = "duration_ms"
    )]
    pub duration: Option<TimeDelta>,
    /// Not before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<DateTime<Utc>>,
    /// No more commands than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// Only with these parameters, besides those of the request.
    #[serde(skip_serializing_if = "Pins::is_empty")]
    pub pins: Pins,
    /// Only this one of the policy's tasks.
    #[serde(with = "maybe_task", skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

impl Narrowing {
    /// Whether it takes nothing away.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

mod milliseconds {
    use chrono::TimeDelta;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "serde gives it so")]
    pub(super) fn serialize<S: Serializer>(
        duration: &Option<TimeDelta>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(|it| it.num_milliseconds()).serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<TimeDelta>, D::Error> {
        let ms = Option::<i64>::deserialize(input)?;
        Ok(ms.and_then(TimeDelta::try_milliseconds))
    }
}

mod maybe_task {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Task;

    #[expect(clippy::ref_option, reason = "serde gives it so")]
    pub(super) fn serialize<S: Serializer>(task: &Option<Task>, out: S) -> Result<S::Ok, S::Error> {
        task.as_ref().map(ToString::to_string).serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<Task>, D::Error> {
        let text = Option::<String>::deserialize(input)?;
        text.map(|it| it.parse().map_err(D::Error::custom))
            .transpose()
    }
}
