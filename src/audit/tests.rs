//! Tests of the log as a whole, on a disk that can be told to fail.

mod crash;
mod disk;
mod failure;
mod manipulation;
mod opening;
mod reading;
mod writing;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use serde_json::Value as Json;
use tempfile::TempDir;
use uuid::Uuid;

use crate::config::{self, Durability};
use crate::model::{Command, Parameter, Parameters, Principal, PrincipalId, PrincipalKind, Value};
use crate::policy::{Decision, Reported, Rule, Subject, Verdict};

use super::facts::{CallContext, Event, Outcome, Recordable, Unavailable};
use super::log::AuditLog;
use super::open::{AuditError, Opened};
use super::verify::{Expectation, Fault, NodeReport, verify};
use disk::{Control, TestDisk};

/// A log in a folder of its own, on a disk that obeys.
struct Fixture {
    folder: TempDir,
    settings: config::Audit,
    control: Arc<Control>,
}

impl Fixture {
    fn new(durability: Durability) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = config::Audit {
            directory: folder.path().join("audit"),
            durability,
            node: "gw-1".to_owned(),
            segment_bytes: 256 * 1024 * 1024,
            segment_age: Duration::from_hours(24),
            redact: Vec::new(),
        };
        Self {
            folder,
            settings,
            control: Arc::default(),
        }
    }

    fn directory(&self) -> &Path {
        &self.settings.directory
    }

    fn try_open(&self, capacity: usize) -> Result<(AuditLog, Opened), AuditError> {
        let disk = TestDisk(Arc::clone(&self.control));
        AuditLog::open_on(&self.settings, Box::new(disk), capacity)
    }

    fn open(&self) -> AuditLog {
        self.try_open(1024 * 1024).unwrap().0
    }

    /// The records on disk, in order.
    fn records(&self) -> Vec<Json> {
        self.lines()
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn lines(&self) -> Vec<String> {
        let segments = super::list(self.directory()).unwrap();
        let segments = segments.into_values().flatten();
        segments
            .flat_map(|it| {
                let text = std::fs::read_to_string(it.path).unwrap();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    fn kinds(&self) -> Vec<String> {
        let kind = |it: &Json| it["kind"].as_str().unwrap().to_owned();
        self.records().iter().map(kind).collect()
    }

    /// The records about a decision.
    fn about(&self, id: Uuid) -> Vec<Json> {
        let mut records = self.records();
        records.retain(|it| it["decision"] == id.to_string());
        records
    }

    fn verify(&self) -> NodeReport {
        verify(self.directory(), &Expectation::default())
            .unwrap()
            .remove(0)
    }

    /// The faults that verification finds.
    fn faults(&self) -> Vec<Fault> {
        self.verify().findings.iter().map(|it| it.fault).collect()
    }
}

fn context() -> CallContext {
    CallContext {
        request_id: Uuid::now_v7(),
        client_request_id: Some("client-1".to_owned()),
        principal: Arc::new(Principal {
            kind: PrincipalKind::User,
            key: "oid@tid".to_owned(),
            id: PrincipalId(1),
            name: "amy@fabrikam.example".to_owned(),
            groups: Vec::new(),
            tenant: Some("tid".to_owned()),
            identity: "entra".to_owned(),
        }),
        source: "203.0.113.7".parse().unwrap(),
        endpoint: "/adminapi".into(),
        tenant: Some("fabrikam.example".to_owned()),
        policy_set: "0123abcd".into(),
        decided: Utc::now(),
    }
}

fn command() -> Command {
    let mut parameters = Parameters::default();
    for (name, value) in [("Identity", "Zoë \"Z\""), ("NewPassword", "hunter2")] {
        parameters
            .push(Parameter {
                name: name.parse().unwrap(),
                value: Value::text(value),
                type_annotation: None,
            })
            .unwrap();
    }
    Command {
        task: r"Exchange\Set-Mailbox".parse().unwrap(),
        parameters,
    }
}

fn decision(verdict: Verdict) -> Decision {
    Decision {
        verdict,
        rule: Rule::Granted,
        policy: Some(r"exchange\set-*".into()),
        grant: Some(Uuid::from_u128(7)),
        exemption: None,
        explanation: String::new(),
        reporting: None,
    }
}

fn outcome(decision_id: Uuid) -> Outcome {
    Outcome {
        decision_id,
        at: Utc::now(),
        status: Some(200),
        upstream_status: Some(200),
        result: "ok",
        duration: Duration::from_micros(1234),
    }
}

fn event(kind: &str) -> Event {
    Event {
        id: Uuid::now_v7(),
        at: Utc::now(),
        kind: kind.to_owned(),
        principal: Some(("oid@tid".to_owned(), "amy@fabrikam.example".to_owned())),
        source: None,
        request: Some(Uuid::from_u128(9)),
        grant: None,
        policy: None,
        decision: None,
        details: serde_json::Map::new(),
    }
}

/// What [`AuditLog::record`] does, without a judgement.
async fn record(log: &AuditLog, decisions: &[Decision]) -> Result<Vec<Uuid>, Unavailable> {
    let (context, command) = (context(), command());
    let (ids, gate) = queue(log, &context, &command, decisions)?;
    let awaiting = super::log::awaiting(&ids, decisions.iter());
    log.durable(&awaiting, gate, context.decided).await?;
    Ok(ids)
}

fn queue(
    log: &AuditLog,
    context: &CallContext,
    command: &Command,
    decisions: &[Decision],
) -> Result<(Vec<Uuid>, Arc<super::gate::Gate>), Unavailable> {
    let call = Recordable {
        subject: Subject::Command(command),
        is_page: false,
        is_trial: false,
    };
    log.queue_decisions(context, decisions.iter().map(|it| (it, call)))
}

async fn record_one(log: &AuditLog) -> Result<Uuid, Unavailable> {
    let ids = record(log, &[decision(Verdict::Allow)]).await?;
    Ok(ids[0])
}
