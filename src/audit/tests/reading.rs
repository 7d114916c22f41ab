//! Following a log that is written.

use super::*;
use crate::audit::history::{Flow, Follower, read};
use crate::audit::stored::{Filter, Stored};

fn kinds(lines: &[Vec<u8>]) -> Vec<String> {
    let kind = |line: &Vec<u8>| Stored::read(line).unwrap().kind.into_owned();
    lines.iter().map(kind).collect()
}

#[tokio::test]
async fn a_follower_sees_each_record_once_across_rotations() {
    let mut fixture = Fixture::new(Durability::Strict);
    fixture.settings.segment_bytes = 1;
    let log = fixture.open();
    log.event(event("a")).await.unwrap();
    log.event(event("b")).await.unwrap();
    let (mut follower, lines) = Follower::start(fixture.directory(), None, 3).unwrap();
    assert_eq!(kinds(&lines), ["a", "audit.segment", "b"]);
    assert_eq!(follower.poll().unwrap().len(), 0);
    log.event(event("c")).await.unwrap();
    log.event(event("d")).await.unwrap();
    let lines = follower.poll().unwrap();
    assert_eq!(kinds(&lines), ["audit.segment", "c", "audit.segment", "d"]);
    assert_eq!(follower.poll().unwrap().len(), 0);
    log.close().unwrap();
}

#[tokio::test]
async fn a_follower_may_begin_with_nothing() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    log.event(event("a")).await.unwrap();
    let (mut follower, lines) = Follower::start(fixture.directory(), None, 0).unwrap();
    assert_eq!(lines.len(), 0);
    log.event(event("b")).await.unwrap();
    assert_eq!(kinds(&follower.poll().unwrap()), ["b"]);
    log.close().unwrap();
}

#[tokio::test]
async fn a_search_finds_by_principal_task_time_and_ids() {
    let mut fixture = Fixture::new(Durability::Strict);
    fixture.settings.segment_bytes = 1;
    let log = fixture.open();
    let before = Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let allowed = record_one(&log).await.unwrap();
    record(&log, &[decision(Verdict::Block)]).await.unwrap();
    log.outcome(outcome(allowed));
    log.close().unwrap();
    let found = |filter: Filter| {
        let mut found = Vec::new();
        read(
            fixture.directory(),
            None,
            filter.since.as_deref(),
            &mut |line, record| {
                if filter.wants(record) {
                    found.push(line.to_vec());
                }
                Ok(Flow::More)
            },
        )
        .unwrap();
        kinds(&found)
    };
    let some = |text: &str| Some(text.to_owned());
    let decisions = ["decision", "decision"];
    let all = Filter::default();
    assert_eq!(
        found(Filter {
            principal: some("AMY@fabrikam.example"),
            ..all.clone()
        }),
        decisions
    );
    assert_eq!(
        found(Filter {
            task: some("*-mailbox"),
            ..all.clone()
        }),
        decisions
    );
    assert_eq!(
        found(Filter {
            verdict: some("block"),
            ..all.clone()
        }),
        ["decision"]
    );
    assert_eq!(
        found(Filter {
            decision: Some(allowed),
            ..all.clone()
        }),
        ["decision", "outcome"]
    );
    assert_eq!(
        found(Filter {
            grant: Some(Uuid::from_u128(7)),
            ..all.clone()
        }),
        decisions
    );
    assert_eq!(
        found(Filter {
            since: Some(before.clone()),
            kind: some("dec*"),
            ..all.clone()
        }),
        decisions
    );
    assert_eq!(
        found(Filter {
            until: Some(before),
            kind: some("decision"),
            ..all.clone()
        })
        .len(),
        0
    );
    assert_eq!(
        found(Filter {
            principal: some("bo"),
            ..all
        })
        .len(),
        0
    );
}

#[tokio::test]
async fn a_log_that_is_being_written_verifies() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    log.event(event("a")).await.unwrap();
    let segments = super::super::list(fixture.directory()).unwrap();
    let path = segments.into_values().flatten().next().unwrap().path;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"seq\":3,");
    std::fs::write(&path, bytes).unwrap();
    let report = fixture.verify();
    assert_eq!(report.findings, []);
    assert!(report.notes[0].contains("is writing"));
    log.close().unwrap();
}

#[tokio::test]
async fn what_a_policy_beside_the_governing_one_would_block_is_found_as_reported() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    for would in [Verdict::ReportOnly, Verdict::Allow] {
        let mut decision = decision(Verdict::Allow);
        decision.reporting = Some(Reported {
            policy: "exchange\\set-*".into(),
            verdict: would,
            rule: Rule::NeedsApproval,
        });
        record(&log, &[decision]).await.unwrap();
    }
    log.close().unwrap();
    let found = |verdict: &str| {
        let filter = Filter {
            verdict: Some(verdict.to_owned()),
            ..Filter::default()
        };
        let mut found = Vec::new();
        read(fixture.directory(), None, None, &mut |line, record| {
            if filter.wants(record) {
                let record: serde_json::Value = serde_json::from_slice(line).unwrap();
                found.push(record["reporting"].clone());
            }
            Ok(Flow::More)
        })
        .unwrap();
        found
    };
    let reported = serde_json::json!({
        "policy": "exchange\\set-*", "verdict": "report-only", "rule": "needs-approval",
    });
    assert_eq!(found("report-only"), [reported]);
    assert_eq!(found("allow").len(), 2);
    assert_eq!(found("block").len(), 0);
}
