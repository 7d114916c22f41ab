//! A grant: what an approved request becomes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Pins, Redaction, Task};

/// Where a grant stands at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    /// It covers commands now.
    Active,
    /// Given back by its holder.
    Ended,
    /// Over by time.
    Expired,
    /// Taken away by another.
    Revoked,
    /// It will cover commands from its start on.
    Scheduled,
    /// All its uses are taken.
    UsedUp,
}

/// A principal's permission to run a policy's commands, in a window of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// UUID v7.
    pub id: Uuid,
    /// The request that it comes from.
    pub request: Uuid,
    /// [`super::Principal::key`] of its holder.
    pub principal_key: String,
    /// [`super::Principal::name`] of its holder when it was requested.
    pub principal_name: String,
    /// The policy's folded scope text, such as `exchange\remove-*`: the grant covers only what this policy governs.
    pub policy: String,
    /// The one task that it is narrowed to; `None` where it covers all that its policy governs.
    pub task: Option<Task>,
    /// What the commands' parameters must be.
    pub pins: Pins,
    /// It covers commands from here on,
    pub starts: DateTime<Utc>,
    /// and to here, this moment excluded.
    pub ends: DateTime<Utc>,
    /// How many commands it covers; `None`: any number.
    pub uses: Option<u32>,
    /// How many uses are taken. Counted where `uses` says so or the policy's spread limit asks for it.
    pub used: u32,
    /// Taken without approval, in an emergency.
    pub break_glass: bool,
    /// Names of those who approved; the policy itself for an `auto` one.
    pub approved_by: Vec<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// How it was closed before its time, if it was.
    pub closed: Option<Closing>,
    /// That somebody looked at it afterwards, if it was taken by break-glass.
    pub reviewed: Option<Review>,
    /// Counts its changes: a change is stored only over the version that it was made from.
    pub version: i64,
}

/// A grant's end before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// How.
    pub how: HowClosed,
    /// When.
    pub at: DateTime<Utc>,
    /// The name of who did it; the holder's where the last use was taken.
    pub by: String,
    /// Why.
    pub comment: Option<String>,
}

/// What closes a grant before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HowClosed {
    /// Its holder gave it back.
    Ended,
    /// Somebody took it away.
    Revoked,
    /// The last use was taken.
    UsedUp,
}

/// An approver's look at a grant that was taken without approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// When.
    pub at: DateTime<Utc>,
    /// The name of who did it.
    pub by: String,
    /// What they found.
    pub comment: Option<String>,
}

impl GrantState {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Ended => "Ended",
            Self::Expired => "Expired",
            Self::Revoked => "Revoked",
            Self::Scheduled => "Scheduled",
            Self::UsedUp => "UsedUp",
        }
    }

    /// All of them, in alphabetical order.
    pub const ALL: [Self; 6] = [
        Self::Active,
        Self::Ended,
        Self::Expired,
        Self::Revoked,
        Self::Scheduled,
        Self::UsedUp,
    ];
}

impl Grant {
    /// The grant as people are shown it: without what `redaction` hides.
    #[must_use]
    pub fn without(mut self, redaction: &Redaction) -> Self {
        self.pins = self.pins.without(redaction);
        self
    }

    /// Where it stands at `now`.
    pub fn state(&self, now: DateTime<Utc>) -> GrantState {
        match &self.closed {
            Some(closing) => match closing.how {
                HowClosed::Ended => GrantState::Ended,
                HowClosed::Revoked => GrantState::Revoked,
                HowClosed::UsedUp => GrantState::UsedUp,
            },
            None if now >= self.ends => GrantState::Expired,
            None if now < self.starts => GrantState::Scheduled,
            None => GrantState::Active,
        }
    }

    /// Whether an approver still has to look at it.
    pub fn awaits_review(&self) -> bool {
        self.break_glass && self.reviewed.is_none()
    }

    /// How many uses are left; `None`: any number.
    pub fn uses_left(&self) -> Option<u32> {
        self.uses.map(|uses| uses.saturating_sub(self.used))
    }
}
