//! The bodies of records: all members between `seq` and `prev`, formatted by the caller.
//!
//! Every body begins with `"time":…,"node":…,"kind":…`; then come the members of its kind, each always present (`null`
//! where there is nothing to say), so that a field has one place and one type:
//!
//! * `decision`: `decision verdict rule request_id client_request_id principal{key name kind identity tenant} source endpoint tenant task
//!   parameters redacted trial page policy policy_set grant exemption explanation reporting{policy verdict rule}` (see [`super::parameters`] for large ones)
//! * `outcome`: `decision status upstream_status result duration_us`
//! * any other kind is an event: `id principal{key name} source request grant policy decision details`

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::model::{PrincipalKind, Redaction};
use crate::policy::{Decision, Reported, Subject, Verdict};

use super::facts::{CallContext, Event, Outcome, Recordable};
use super::parameters;
use super::{json, segment};

/// The most bytes that a record shows of an identifier or a name.
const MAX_NAME: usize = 1024;
/// The most bytes that a record shows of an explanation.
const MAX_EXPLANATION: usize = 8 * 1024;

/// Writes `,"name":`, whole and known when this is compiled: there are twenty of them in a record.
macro_rules! key {
    ($out:expr, $name:literal) => {
        $out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes())
    };
}

/// Formats bodies for one node.
#[derive(Debug)]
pub(super) struct Bodies {
    /// `,"node":"…","kind":"`
    node: Vec<u8>,
    redaction: Redaction,
}

impl Bodies {
    pub(super) fn new(node: &segment::Node, redact: &[String]) -> Self {
        Self {
            node: format!(",\"node\":\"{node}\",\"kind\":\"").into_bytes(),
            redaction: Redaction::new(redact),
        }
    }

    fn head(&self, out: &mut Vec<u8>, at: DateTime<Utc>, kind: &str) {
        out.extend_from_slice(b"\"time\":");
        json::time(out, at);
        out.extend_from_slice(&self.node);
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
    }

    pub(super) fn decision(
        &self,
        out: &mut Vec<u8>,
        id: Uuid,
        context: &CallContext,
        decision: &Decision,
        call: Recordable<'_>,
    ) {
        out.reserve(1024);
        self.head(out, context.decided, "decision");
        key!(out, "decision");
        json::uuid(out, id);
        key!(out, "verdict");
        json::word(out, decision.verdict.as_str());
        key!(out, "rule");
        json::word(out, decision.rule.as_str());
        key!(out, "request_id");
        json::uuid(out, context.request_id);
        key!(out, "client_request_id");
        json::optional_text(out, context.client_request_id.as_deref(), 256);
        let principal = &*context.principal;
        out.extend_from_slice(b",\"principal\":{\"key\":");
        json::bounded_text(out, &principal.key, MAX_NAME);
        key!(out, "name");
        json::bounded_text(out, &principal.name, MAX_NAME);
        key!(out, "kind");
        json::word(
            out,
            match principal.kind {
                PrincipalKind::App => "app",
                PrincipalKind::User => "user",
            },
        );
        key!(out, "identity");
        json::bounded_text(out, &principal.identity, MAX_NAME);
        key!(out, "tenant");
        json::optional_text(out, principal.tenant.as_deref(), MAX_NAME);
        out.push(b'}');
        key!(out, "source");
        json::address(out, context.source);
        key!(out, "endpoint");
        json::bounded_text(out, &context.endpoint, MAX_NAME);
        key!(out, "tenant");
        json::optional_text(out, context.tenant.as_deref(), MAX_NAME);
        key!(out, "task");
        match call.subject {
            Subject::Command(command) => {
                // Names are of a closed alphabet: only the backslash between them is escaped.
                out.push(b'"');
                out.extend_from_slice(command.task.workload.as_str().as_bytes());
                out.extend_from_slice(b"\\\\");
                out.extend_from_slice(command.task.cmdlet.as_str().as_bytes());
                out.extend_from_slice(b"\",");
                parameters::write(out, command, &self.redaction);
            }
            Subject::Session(session) => {
                out.extend_from_slice(b"null,\"session\":");
                json::word(out, session.name);
                out.extend_from_slice(b",\"parameters\":null,\"redacted\":[]");
            }
        }
        key!(out, "trial");
        json::boolean(out, call.is_trial);
        key!(out, "page");
        json::boolean(out, call.is_page);
        key!(out, "policy");
        json::optional_text(out, decision.policy.as_deref(), MAX_NAME);
        key!(out, "policy_set");
        json::bounded_text(out, &context.policy_set, MAX_NAME);
        key!(out, "grant");
        json::optional_uuid(out, decision.grant);
        key!(out, "exemption");
        match &decision.exemption {
            Some(place) => {
                let place = format!("{}:{}", place.file, place.line);
                json::bounded_text(out, &place, MAX_NAME);
            }
            None => json::null(out),
        }
        key!(out, "explanation");
        json::bounded_text(out, &decision.explanation, MAX_EXPLANATION);
        key!(out, "reporting");
        match &decision.reporting {
            Some(Reported {
                policy,
                verdict,
                rule,
            }) => {
                out.extend_from_slice(b"{\"policy\":");
                json::bounded_text(out, policy, MAX_NAME);
                key!(out, "verdict");
                json::word(out, verdict.as_str());
                key!(out, "rule");
                json::word(out, rule.as_str());
                out.push(b'}');
            }
            None => json::null(out),
        }
    }

    pub(super) fn outcome(&self, out: &mut Vec<u8>, outcome: &Outcome) {
        self.outcome_parts(out, outcome, Some(outcome.duration));
    }

    /// The outcome of a decision whose call did not end in sight of the gateway.
    pub(super) fn unknown_outcome(&self, out: &mut Vec<u8>, decision_id: Uuid, at: DateTime<Utc>) {
        let outcome = Outcome {
            decision_id,
            at,
            status: None,
            upstream_status: None,
            result: "unknown",
            duration: Duration::ZERO,
        };
        self.outcome_parts(out, &outcome, None);
    }

    fn outcome_parts(&self, out: &mut Vec<u8>, outcome: &Outcome, duration: Option<Duration>) {
        self.head(out, outcome.at, "outcome");
        key!(out, "decision");
        json::uuid(out, outcome.decision_id);
        key!(out, "status");
        json::optional_number(out, outcome.status.map(u64::from));
        key!(out, "upstream_status");
        json::optional_number(out, outcome.upstream_status.map(u64::from));
        key!(out, "result");
        json::text(out, outcome.result);
        key!(out, "duration_us");
        let micros = |it: Duration| u64::try_from(it.as_micros()).unwrap_or(u64::MAX);
        json::optional_number(out, duration.map(micros));
    }

    pub(super) fn event(&self, out: &mut Vec<u8>, event: &Event) {
        self.head(out, event.at, &event_kind(&event.kind));
        key!(out, "id");
        json::uuid(out, event.id);
        key!(out, "principal");
        match &event.principal {
            Some((principal_key, name)) => {
                out.extend_from_slice(b"{\"key\":");
                json::bounded_text(out, principal_key, MAX_NAME);
                key!(out, "name");
                json::bounded_text(out, name, MAX_NAME);
                out.push(b'}');
            }
            None => json::null(out),
        }
        key!(out, "source");
        match event.source {
            Some(source) => json::address(out, source),
            None => json::null(out),
        }
        key!(out, "request");
        json::optional_uuid(out, event.request);
        key!(out, "grant");
        json::optional_uuid(out, event.grant);
        key!(out, "policy");
        json::optional_text(out, event.policy.as_deref(), MAX_NAME);
        key!(out, "decision");
        json::optional_uuid(out, event.decision);
        key!(out, "details");
        let start = out.len();
        object(out, &event.details);
        parameters::bound(out, start, "details");
    }

    /// An event of the log itself.
    pub(super) fn own_event(
        &self,
        out: &mut Vec<u8>,
        kind: &str,
        at: DateTime<Utc>,
        details: Value,
    ) {
        let details = match details {
            Value::Object(details) => details,
            other => serde_json::Map::from_iter([("value".to_owned(), other)]),
        };
        let event = Event {
            id: Uuid::now_v7(),
            at,
            kind: kind.to_owned(),
            principal: None,
            source: None,
            request: None,
            grant: None,
            policy: None,
            decision: None,
            details,
        };
        self.event(out, &event);
    }
}

/// Whether a decision of this verdict has an outcome to wait for: a block is the end of its call, nothing was done.
pub(super) fn awaits_outcome(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Allow | Verdict::ReportOnly => true,
        Verdict::Block => false,
    }
}

/// An event's kind, made of letters, digits, `.` and `-` alone, and never that of a decision or an outcome.
fn event_kind(kind: &str) -> String {
    let kind: String = kind
        .chars()
        .take(64)
        .map(|it| {
            if it.is_ascii_alphanumeric() || it == '.' || it == '-' {
                it
            } else {
                '_'
            }
        })
        .collect();
    match kind.as_str() {
        "" | "decision" | "outcome" => format!("event.{kind}"),
        _ => kind,
    }
}

fn object(out: &mut Vec<u8>, members: &serde_json::Map<String, Value>) {
    out.push(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::text(out, name);
        out.push(b':');
        any_value(out, value);
    }
    out.push(b'}');
}

fn any_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                any_value(out, item);
            }
            out.push(b']');
        }
        Value::Bool(value) => json::boolean(out, *value),
        Value::Null => json::null(out),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Object(members) => object(out, members),
        Value::String(text) => json::text(out, text),
    }
}
