//! The audit log: what was decided, before it happens; what came of it, after. Stub of the interface; its author fills it in.
//!
//! A chain of JSON Lines in segments. [`Recorded`] is the proof that a decision is on record: the upstream client takes nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Command, Principal};
use crate::policy::{Judgement, OwnCall, Permit, Refusal};

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
    /// Whether the call asks for a further page of an earlier one.
    pub page: bool,
}

/// Proof that a decision is on record, and with it what was decided on. Only the audit log makes one.
#[derive(Debug)]
pub struct RecordedPermit<C> {
    /// The decision's id: the `decision` of its records.
    decision_id: Uuid,
    permit: Permit<C>,
}

impl<C> RecordedPermit<C> {
    /// The decision's id.
    pub fn decision_id(&self) -> Uuid {
        self.decision_id
    }

    /// What may go upstream.
    pub fn subject(&self) -> &C {
        self.permit.subject()
    }
}

/// A judgement that is on record.
#[derive(Debug)]
pub enum Recorded<C> {
    /// To be answered by the gateway.
    Own(Uuid, OwnCall<C>),
    /// To be forwarded.
    Permitted(RecordedPermit<C>),
    /// To be refused.
    Refused(Uuid, Refusal<C>),
}

/// The record cannot be written: the call must be refused with 503.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the audit log cannot be written: {reason}")]
pub struct Unavailable {
    /// Why, such as `No space left on device`.
    pub reason: Arc<str>,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The decision's id.
    pub decision_id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// The status that the client was given, if it was answered.
    pub status: Option<u16>,
    /// The status that the upstream gave, if it was asked and answered.
    pub upstream_status: Option<u16>,
    /// `ok`, `failed` (an error in the answer, also inside a 200), `upstream-unreachable`, `upstream-timeout`, `client-gone`, `answered` (by the gateway).
    pub result: &'static str,
    /// From the decision to the end of the answer.
    pub duration: std::time::Duration,
}

/// A change of something, a refusal before any decision, or a moment of the gateway's life.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// UUID v7; an event that is recorded again after a crash keeps its id.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What: `request.filed`, `request.approved`, `request.denied`, `request.expired`, `grant.created`, `grant.revoked`, `grant.expired`,
    /// `policies.loaded`, `policies.rejected`, `sign-in.failed`, `call.unreadable`, `gateway.started`, `gateway.stopped`.
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
    /// What else there is to know; no secrets.
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// The open log. Cheap to clone; all clones write one chain.
#[derive(Clone, Debug)]
pub struct AuditLog {
    _private: (),
}

impl AuditLog {
    /// Puts judgements on record, in order, all or none; durable (as configured) when this returns. `command` shows the
    /// command inside a subject, if it has one.
    pub async fn record<C>(
        &self,
        context: &CallContext,
        judgements: Vec<Judgement<C>>,
        command: impl Fn(&C) -> Option<&Command>,
    ) -> Result<Vec<Recorded<C>>, Unavailable> {
        let _ = (context, judgements, command);
        todo!()
    }

    /// Puts an event on record; durable (whatever `durability` says) when this returns.
    pub async fn event(&self, event: Event) -> Result<(), Unavailable> {
        let _ = event;
        todo!()
    }

    /// Puts an event on record; does not wait. For refusals before any decision, which must not wait for a disk.
    pub fn event_soon(&self, event: Event) {
        let _ = event;
    }

    /// Why the log cannot be written at the moment, if it cannot.
    pub fn failing(&self) -> Option<Arc<str>> {
        None
    }

    /// Puts an outcome on record; does not wait.
    pub fn outcome(&self, outcome: Outcome) {
        let _ = outcome;
    }
}
