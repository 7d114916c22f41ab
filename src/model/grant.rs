//! A grant: what an approved request becomes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Task;

/// Where a grant stands at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    /// It covers commands now.
    Active,
    /// Over by time.
    Expired,
    /// Taken away by another.
    Revoked,
    /// It will cover commands from its start on.
    Scheduled,
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
    /// It covers commands from here on,
    pub starts: DateTime<Utc>,
    /// and to here, this moment excluded.
    pub ends: DateTime<Utc>,
    /// Names of those who approved; the policy itself for an `auto` one.
    pub approved_by: Vec<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When, by whom and why it was revoked, if it was.
    pub revoked: Option<Revocation>,
    /// Counts its changes: a change is stored only over the version that it was made from.
    pub version: i64,
}

/// A grant's end by another's hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: DateTime<Utc>,
    /// The name of who did it.
    pub by: String,
    /// Why.
    pub comment: Option<String>,
}

impl GrantState {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Expired => "Expired",
            Self::Revoked => "Revoked",
            Self::Scheduled => "Scheduled",
        }
    }
}

impl Grant {
    /// Where it stands at `now`.
    pub fn state(&self, now: DateTime<Utc>) -> GrantState {
        if self.revoked.is_some() {
            GrantState::Revoked
        } else if now >= self.ends {
            GrantState::Expired
        } else if now < self.starts {
            GrantState::Scheduled
        } else {
            GrantState::Active
        }
    }
}
