//! What there is to tell of one event: who did what, for whom, for how long, why, and who can decide. A notice is stored as
//! JSON until it has arrived, so a later program must still read it: new fields get a default, none changes its meaning.
//!
//! A notice holds no secret: parameters come in through [`Notice::show`], and are looked at once more when it is told.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Answer, ParameterName, REDACTED, Redaction, Value};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// No approver has looked yet at a grant that was taken without approval.
    BreakGlassReminder,
    /// An approver looked at a grant that was taken without approval.
    BreakGlassReviewed,
    /// Somebody took a grant without approval, in an emergency.
    BreakGlassTaken,
    /// A grant's holder gave it back.
    GrantEnded,
    /// A grant is over by time.
    GrantExpired,
    /// A grant was taken away.
    GrantRevoked,
    /// The last use of a counted grant was taken.
    GrantUsedUp,
    /// A request was approved: there is a grant, or a longer one.
    RequestApproved,
    /// An approver said no.
    RequestDenied,
    /// A request waits so long that others are told.
    RequestEscalated,
    /// Nobody decided in time.
    RequestExpired,
    /// Somebody asks.
    RequestFiled,
    /// A request still waits.
    RequestReminder,
    /// An approver said yes, and more are needed.
    RequestVoted,
    /// The requester took the request back.
    RequestWithdrawn,
    /// Somebody tries whether notices arrive.
    Test,
}

/// One event, as it is told. Nothing in it depends on the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// UUID v7: one for each event.
    pub id: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened.
    pub kind: NoticeKind,
    /// The name of who did it; `None` where time or the policy itself did.
    pub by: Option<String>,
    /// What they said with it.
    pub comment: Option<String>,
    /// The request that it is about.
    pub request: Uuid,
    /// The grant that came of it.
    pub grant: Option<Uuid>,
    /// The grant that the request is to make longer.
    #[serde(default)]
    pub extends: Option<Uuid>,
    /// The account that asked, and holds the grant.
    pub requester: String,
    /// The scope of the policy asked under, as its file spells it.
    pub scope: String,
    /// The one task asked for, if it is not all of the scope.
    pub task: Option<String>,
    /// What the calls are held to: parameters and the values or patterns that they must have.
    #[serde(default)]
    pub parameters: Vec<ShownParameter>,
    /// Why, in the requester's words.
    pub reason: String,
    /// The requester's own reference, such as a ticket's number.
    pub reference: Option<String>,
    /// For how long, in seconds.
    pub seconds: u64,
    /// When the grant is to begin or began; `None`: when it is approved.
    pub starts: Option<DateTime<Utc>>,
    /// When the grant ends, if there is one.
    pub ends: Option<DateTime<Utc>>,
    /// How many calls it covers, if they are counted.
    #[serde(default)]
    pub uses: Option<u32>,
    /// What it would touch: a line each, such as an effect or the tasks of a role.
    #[serde(default)]
    pub touches: Vec<String>,
    /// Who can decide.
    pub deciders: Vec<Deciders>,
    /// Who has answered so far, and how.
    #[serde(default)]
    pub answers: Vec<Answered>,
    /// When the request lapses, while it is pending.
    pub lapses: Option<DateTime<Utc>>,
    /// Whether the grant was taken without approval.
    #[serde(default)]
    pub break_glass: bool,
}

/// A parameter as it is shown: secrets are gone from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownParameter {
    /// Its name.
    pub name: String,
    /// Its value or pattern.
    pub value: String,
}

/// A group that decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deciders {
    /// Its name.
    pub group: String,
    /// Its own address.
    pub address: Option<String>,
    /// The accounts of its members, as far as they are listed.
    pub members: Vec<String>,
    /// How many of them have to approve.
    pub approvals: u32,
}

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The account that gave it.
    pub by: String,
    /// Yes or no.
    pub answer: Answer,
}

impl NoticeKind {
    /// All of them, in alphabetical order.
    pub const ALL: [Self; 16] = [
        Self::BreakGlassReminder,
        Self::BreakGlassReviewed,
        Self::BreakGlassTaken,
        Self::GrantEnded,
        Self::GrantExpired,
        Self::GrantRevoked,
        Self::GrantUsedUp,
        Self::RequestApproved,
        Self::RequestDenied,
        Self::RequestEscalated,
        Self::RequestExpired,
        Self::RequestFiled,
        Self::RequestReminder,
        Self::RequestVoted,
        Self::RequestWithdrawn,
        Self::Test,
    ];

    /// The word that configuration, templates, webhooks and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BreakGlassReminder => "break-glass-reminder",
            Self::BreakGlassReviewed => "break-glass-reviewed",
            Self::BreakGlassTaken => "break-glass-taken",
            Self::GrantEnded => "grant-ended",
            Self::GrantExpired => "grant-expired",
            Self::GrantRevoked => "grant-revoked",
            Self::GrantUsedUp => "grant-used-up",
            Self::RequestApproved => "request-approved",
            Self::RequestDenied => "request-denied",
            Self::RequestEscalated => "request-escalated",
            Self::RequestExpired => "request-expired",
            Self::RequestFiled => "request-filed",
            Self::RequestReminder => "request-reminder",
            Self::RequestVoted => "request-voted",
            Self::RequestWithdrawn => "request-withdrawn",
            Self::Test => "test",
        }
    }

    /// Whether it is of use only until the request is decided, or its break-glass grant reviewed.
    pub fn is_reminder(self) -> bool {
        matches!(
            self,
            Self::BreakGlassReminder | Self::RequestEscalated | Self::RequestReminder
        )
    }
}

impl Notice {
    /// Adds a parameter that the calls are held to, without the secrets in it.
    pub fn show(&mut self, name: &ParameterName, value: &Value, redaction: &Redaction) {
        let shown = redaction.redacted(name, value, &mut Vec::new());
        self.parameters.push(ShownParameter {
            name: name.as_str().to_owned(),
            value: shown.display(),
        });
    }

    /// Takes the values out whose names `redaction` hides: whoever filled them in, and whatever it hid then.
    pub fn hide(&mut self, redaction: &Redaction) {
        for parameter in &mut self.parameters {
            if redaction.hides(&parameter.name) {
                REDACTED.clone_into(&mut parameter.value);
            }
        }
    }

    /// The parameters as they may leave: whoever filled them in, a name that marks a secret shows no value.
    pub fn shown_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let built_in = Redaction::default();
        self.parameters.iter().map(move |it| {
            let value = if built_in.hides(&it.name) {
                REDACTED
            } else {
                it.value.as_str()
            };
            (it.name.as_str(), value)
        })
    }

    /// What is asked for or granted: the task, or all of the scope.
    pub fn what(&self) -> &str {
        self.task.as_deref().unwrap_or(&self.scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_stored_under_its_word_and_all_are_listed_in_order() {
        for kind in NoticeKind::ALL {
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{}\"", kind.as_str()));
        }
        let words = NoticeKind::ALL.map(NoticeKind::as_str);
        assert!(words.is_sorted());
    }
}
