//! What the rest of the gateway tells the audit log: the call around a decision, what came of it, and events.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::Principal;
use crate::policy::Subject;

/// What a record tells of a call besides its decision.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The HTTP request's id (UUID v7); the items of a batch share it.
    pub request_id: Uuid,
    /// The client's own `client-request-id`, bounded in length, if it sent one: it ties pages and retries together.
    pub client_request_id: Option<String>,
    /// Who calls.
    pub principal: Arc<Principal>,
    /// From where.
    pub source: IpAddr,
    /// The endpoint's path at the gateway.
    pub endpoint: Arc<str>,
    /// The tenant in the URL.
    pub tenant: Option<String>,
    /// The hash of the policy set that decided.
    pub policy_set: Arc<str>,
    /// When the decision was made.
    pub decided: DateTime<Utc>,
}

/// What a record tells of one call of a request.
#[derive(Clone, Copy, Debug)]
pub struct Recordable<'a> {
    /// What was decided on.
    pub subject: Subject<'a>,
    /// Whether the call asks for a further page of an earlier one.
    pub is_page: bool,
    /// Whether the call asks only whether its command would run.
    pub is_trial: bool,
}

/// What came of a call.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The decision's id.
    pub decision_id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// The status that the client was given, if it was answered.
    pub status: Option<u16>,
    /// The status that the upstream gave, if it was asked and answered.
    pub upstream_status: Option<u16>,
    /// `ok`, `failed` (an error in the answer, also inside a 200), `upstream-unreachable`, `upstream-timeout`, `client-gone`, `answered` (by the gateway)
    /// and others, all in docs/audit.md.
    /// The log itself adds `unknown` (the gateway stopped before it knew) and `record-timed-out` (the call was refused because its record took too long).
    pub result: &'static str,
    /// From the decision to the end of the answer.
    pub duration: Duration,
}

/// A change of something, a refusal before any decision, or a moment of the gateway's life.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// UUID v7; an event that is recorded again after a crash keeps its id.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What: `request.filed`, `request.approved`, `request.denied`, `request.expired`, `grant.created`, `grant.revoked`, `grant.expired`, `notification.dead`,
    /// `policies.loaded`, `policies.rejected`, `sign-in.failed`, `call.unreadable`, `gateway.started`, `gateway.stopped`. Kinds that begin
    /// with `audit.` are the log's own.
    pub kind: String,
    /// Who did it: key and name.
    pub principal: Option<(String, String)>,
    /// From where.
    pub source: Option<IpAddr>,
    /// The request that it is about.
    pub request: Option<Uuid>,
    /// The grant that it is about.
    pub grant: Option<Uuid>,
    /// The policy (folded scope) that it is about.
    pub policy: Option<String>,
    /// The decision record of the call that caused it.
    pub decision: Option<Uuid>,
    /// What else there is to know; no secrets. Over 64 KiB of JSON, the record holds its SHA-256 and size instead.
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// The record cannot be written: the call must be refused with 503.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written: {reason}")]
pub struct Unavailable {
    /// Why, such as `No space left on device`.
    pub reason: Arc<str>,
}
