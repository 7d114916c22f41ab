//! What happened, for those who watch: server-sent events, consoles, tests. Told after the change is stored; whoever watches
//! too slowly loses some and is told so, since what is stored can be read again.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::model::{Grant, Request};

/// How many happenings a slow watcher may be behind.
pub(super) const BACKLOG: usize = 1_024;

/// One change of a request, a grant, a policy or a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// UUID v7, that of its audit record.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: HappeningKind,
    /// The name of who did it; `None` where time or the policy did.
    pub by: Option<String>,
    /// The request that it is about.
    pub request: Option<Uuid>,
    /// The grant that it is about.
    pub grant: Option<Uuid>,
    /// The policy's folded scope.
    pub policy: Option<String>,
    /// The key of whom the request or grant is of: with `policy`, what [`super::Control::may_know`] asks for.
    #[serde(skip)]
    pub owner: Option<String>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum HappeningKind {
    /// Commands are not controlled any more.
    #[serde(rename = "access-control.disabled")]
    AccessControlDisabled,
    /// Commands are controlled again.
    #[serde(rename = "access-control.enabled")]
    AccessControlEnabled,
    /// A grant was made.
    #[serde(rename = "grant.created")]
    GrantCreated,
    /// A grant's holder gave it back.
    #[serde(rename = "grant.ended")]
    GrantEnded,
    /// A grant is over by time.
    #[serde(rename = "grant.expired")]
    GrantExpired,
    /// A grant's end moved.
    #[serde(rename = "grant.extended")]
    GrantExtended,
    /// A break-glass grant was reviewed.
    #[serde(rename = "grant.reviewed")]
    GrantReviewed,
    /// A grant was taken away.
    #[serde(rename = "grant.revoked")]
    GrantRevoked,
    /// A grant's last use was taken.
    #[serde(rename = "grant.used-up")]
    GrantUsedUp,
    /// A policy of the store was changed.
    #[serde(rename = "policy.changed")]
    PolicyChanged,
    /// A policy was made in the store.
    #[serde(rename = "policy.created")]
    PolicyCreated,
    /// A policy of the store was removed.
    #[serde(rename = "policy.removed")]
    PolicyRemoved,
    /// A request was approved.
    #[serde(rename = "request.approved")]
    RequestApproved,
    /// A request was denied.
    #[serde(rename = "request.denied")]
    RequestDenied,
    /// Nobody decided a request in time.
    #[serde(rename = "request.expired")]
    RequestExpired,
    /// A request was filed.
    #[serde(rename = "request.filed")]
    RequestFiled,
    /// An approver said yes, and more are needed.
    #[serde(rename = "request.voted")]
    RequestVoted,
    /// A request was taken back.
    #[serde(rename = "request.withdrawn")]
    RequestWithdrawn,
}

impl HappeningKind {
    /// The word that audit records and server-sent events use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessControlDisabled => "access-control.disabled",
            Self::AccessControlEnabled => "access-control.enabled",
            Self::GrantCreated => "grant.created",
            Self::GrantEnded => "grant.ended",
            Self::GrantExpired => "grant.expired",
            Self::GrantExtended => "grant.extended",
            Self::GrantReviewed => "grant.reviewed",
            Self::GrantRevoked => "grant.revoked",
            Self::GrantUsedUp => "grant.used-up",
            Self::PolicyChanged => "policy.changed",
            Self::PolicyCreated => "policy.created",
            Self::PolicyRemoved => "policy.removed",
            Self::RequestApproved => "request.approved",
            Self::RequestDenied => "request.denied",
            Self::RequestExpired => "request.expired",
            Self::RequestFiled => "request.filed",
            Self::RequestVoted => "request.voted",
            Self::RequestWithdrawn => "request.withdrawn",
        }
    }
}

/// What a happening is about.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    Grant(&'a Grant),
    Policy(&'a str),
    Request(&'a Request),
    Setting,
}

impl About<'_> {
    pub(super) fn request(self) -> Option<Uuid> {
        match self {
            Self::Grant(grant) => Some(grant.request),
            Self::Request(request) => Some(request.id),
            Self::Policy(_) | Self::Setting => None,
        }
    }

    pub(super) fn grant(self) -> Option<Uuid> {
        match self {
            Self::Grant(grant) => Some(grant.id),
            Self::Request(request) => request.extends,
            Self::Policy(_) | Self::Setting => None,
        }
    }

    pub(super) fn policy(self) -> Option<String> {
        match self {
            Self::Grant(grant) => Some(grant.policy.clone()),
            Self::Request(request) => Some(request.policy.clone()),
            Self::Policy(scope) => Some(scope.to_owned()),
            Self::Setting => None,
        }
    }

    pub(super) fn owner(self) -> Option<String> {
        match self {
            Self::Grant(grant) => Some(grant.principal_key.clone()),
            Self::Request(request) => Some(request.principal_key.clone()),
            Self::Policy(_) | Self::Setting => None,
        }
    }
}
