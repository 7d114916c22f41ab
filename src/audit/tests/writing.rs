//! Writing while all is well.

use super::*;

#[tokio::test]
async fn a_decision_and_its_outcome_say_everything_and_no_secret() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    let id = record_one(&log).await.unwrap();
    log.outcome(outcome(id));
    log.close().unwrap();
    let lines = fixture.lines()[1..].join("\n");
    let filters = [
        (r"[0-9a-f]{64}", "[hash]"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}", "[uuid]"),
        (r"2\d{3}-\d\d-\d\dT[0-9:]{8}\.\d{6}Z", "[time]"),
    ];
    insta::with_settings!({ filters => filters }, {
        insta::assert_snapshot!(lines, @r#"
        {"seq":2,"time":"[time]","node":"gw-1","kind":"decision","decision":"[uuid]","verdict":"allow","rule":"granted","request_id":"[uuid]","client_request_id":"client-1","principal":{"key":"oid@tid","name":"amy@fabrikam.example","kind":"user","identity":"entra","tenant":"tid"},"source":"203.0.113.7","endpoint":"/adminapi","tenant":"fabrikam.example","task":"Exchange\\Set-Mailbox","parameters":{"Identity":"Zoë \"Z\"","NewPassword":"[redacted]"},"redacted":["NewPassword"],"trial":false,"page":false,"policy":"exchange\\set-*","policy_set":"0123abcd","grant":"00000000-0000-0000-0000-000000000007","exemption":null,"explanation":"","reporting":null,"prev":"[hash]","hash":"[hash]"}
        {"seq":3,"time":"[time]","node":"gw-1","kind":"outcome","decision":"[uuid]","status":200,"upstream_status":200,"result":"ok","duration_us":1234,"prev":"[hash]","hash":"[hash]"}
        "#);
    });
    assert!(!fixture.lines().concat().contains("hunter2"));
    assert_eq!(fixture.faults(), []);
}

#[tokio::test]
async fn what_is_acknowledged_in_strict_mode_is_on_disk() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    let id = record_one(&log).await.unwrap();
    // Nothing after the acknowledgement reaches the disk.
    fixture.control.crash(0);
    assert_eq!(fixture.about(id).len(), 1);
    drop(log.close());
}

#[tokio::test]
async fn an_event_is_on_disk_even_in_buffered_mode() {
    let fixture = Fixture::new(Durability::Buffered);
    let log = fixture.open();
    log.event(event("grant.revoked")).await.unwrap();
    fixture.control.crash(0);
    assert_eq!(fixture.kinds(), ["audit.segment", "grant.revoked"]);
    drop(log.close());
}

#[tokio::test]
async fn calls_that_come_during_a_sync_share_the_next() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    fixture.control.hold_syncs();
    let (context, command, decisions) = (context(), command(), [decision(Verdict::Allow)]);
    let first = queue(&log, &context, &command, &decisions).unwrap();
    fixture.control.wait_for_sync(1);
    let others: Vec<_> = (0..50)
        .map(|_| queue(&log, &context, &command, &decisions).unwrap())
        .collect();
    fixture.control.release_syncs();
    for (ids, gate) in std::iter::once(first).chain(others) {
        log.durable(&ids, gate, context.decided).await.unwrap();
    }
    assert_eq!(fixture.control.syncs(), 2);
    log.close().unwrap();
    assert_eq!(fixture.faults(), []);
}

#[test]
fn a_buffered_log_loses_nothing_when_it_is_closed() {
    let fixture = Fixture::new(Durability::Buffered);
    let log = fixture.open();
    let (context, command) = (context(), command());
    let decisions = [decision(Verdict::Allow)];
    let ids: Vec<Uuid> = (0..500)
        .map(|_| queue(&log, &context, &command, &decisions).unwrap().0[0])
        .collect();
    for id in &ids {
        log.outcome(outcome(*id));
    }
    log.close().unwrap();
    let records = fixture.records();
    for (kind, offset) in [("decision", 1), ("outcome", 501)] {
        for (index, id) in ids.iter().enumerate() {
            let record = &records[offset + index];
            assert_eq!(record["kind"], kind);
            assert_eq!(record["decision"], id.to_string());
        }
    }
    assert!(log.failing().is_some());
    assert!(queue(&log, &context, &command, &decisions).is_err());
}

#[test]
fn records_of_many_threads_make_one_gap_free_chain() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let batch = vec![decision(Verdict::Allow); 3];
                    let calls = (0..20).map(|_| async {
                        for id in record(&log, &batch).await.unwrap() {
                            log.outcome(outcome(id));
                        }
                    });
                    futures_util::future::join_all(calls).await;
                });
            });
        }
    });
    log.close().unwrap();
    let report = fixture.verify();
    assert_eq!(report.findings, []);
    assert_eq!(report.records, 1 + 8 * 20 * 3 * 2);
}

#[tokio::test]
async fn the_records_of_one_call_stand_together() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    let ids = record(&log, &[decision(Verdict::Allow), decision(Verdict::Block)])
        .await
        .unwrap();
    log.close().unwrap();
    let records = fixture.records();
    assert_eq!(records[1]["decision"], ids[0].to_string());
    assert_eq!(records[2]["decision"], ids[1].to_string());
    assert_eq!(records[2]["verdict"], "block");
}

#[tokio::test]
async fn a_call_that_stops_waiting_leaves_its_outcome() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    fixture.control.hold_syncs();
    let decisions = [Verdict::Block, Verdict::Allow].map(decision);
    let mut call = Box::pin(record(&log, &decisions));
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    fixture.control.release_syncs();
    log.event(event("gateway.stopped")).await.unwrap();
    log.close().unwrap();
    let records = fixture.records();
    let of_kind = |kind: &str| {
        records
            .iter()
            .filter(|it| it["kind"] == kind)
            .collect::<Vec<_>>()
    };
    let (decisions, outcomes) = (of_kind("decision"), of_kind("outcome"));
    assert_eq!(decisions.len(), 2);
    // A block is complete by itself.
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    assert_eq!(outcomes[0]["decision"], decisions[1]["decision"]);
    assert_eq!(outcomes[0]["result"], "client-gone");
}

#[tokio::test]
async fn a_full_segment_is_followed_by_the_next_in_the_same_chain() {
    let mut fixture = Fixture::new(Durability::Strict);
    fixture.settings.segment_bytes = 3000;
    let log = fixture.open();
    for _ in 0..20 {
        record_one(&log).await.unwrap();
    }
    log.close().unwrap();
    let report = fixture.verify();
    assert!(report.segments > 3, "{report:?}");
    assert_eq!(report.findings, []);
    let segments = super::super::list(fixture.directory()).unwrap();
    for file in segments.into_values().flatten() {
        let text = std::fs::read_to_string(&file.path).unwrap();
        let first: Json = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["seq"], file.first_seq);
        assert_eq!(first["kind"], "audit.segment");
    }
}

#[tokio::test]
async fn an_old_segment_is_followed_by_the_next() {
    let mut fixture = Fixture::new(Durability::Strict);
    fixture.settings.segment_age = Duration::ZERO;
    let log = fixture.open();
    for _ in 0..3 {
        log.event(event("policies.loaded")).await.unwrap();
    }
    log.close().unwrap();
    assert_eq!(fixture.verify().segments, 3);
    assert_eq!(fixture.faults(), []);
}

#[tokio::test]
async fn files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    record_one(&log).await.unwrap();
    log.close().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(fixture.directory()), 0o700);
    for entry in std::fs::read_dir(fixture.directory()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn an_event_cannot_pass_for_a_decision_or_carry_unbounded_details() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    let mut forged = event("decision");
    forged
        .details
        .insert("x".to_owned(), "y".repeat(100_000).into());
    log.event(forged).await.unwrap();
    log.event(event("a\"b\n")).await.unwrap();
    log.close().unwrap();
    assert_eq!(fixture.kinds()[1..], ["event.decision", "a_b_"]);
    let records = fixture.records();
    assert!(records[1]["details"].is_null());
    assert_eq!(records[1]["details_bytes"], 100_000 + "{\"x\":\"\"}".len());
    assert_eq!(fixture.faults(), []);
}
