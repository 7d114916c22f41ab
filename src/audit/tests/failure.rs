//! Disks that fail, and recover.

use super::*;

/// A log with one record that begins to fail; `fail` and `heal` tell the disk.
async fn refuses_keeps_and_resumes(fail: impl Fn(&Control), heal: impl Fn(&Control)) {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    let good = record_one(&log).await.unwrap();
    fail(&fixture.control);
    let refused = record_one(&log).await.unwrap_err();
    assert!(!refused.reason.is_empty());
    assert_eq!(log.failing(), Some(Arc::clone(&refused.reason)));
    // At once, without a try: the disk is known to be ill.
    assert!(record_one(&log).await.is_err());
    assert!(log.event(event("grant.created")).await.is_err());
    log.outcome(outcome(good));
    log.event_soon(event("sign-in.failed"));
    heal(&fixture.control);
    log.wait_until_failing(false);
    record_one(&log).await.unwrap();
    log.close().unwrap();
    let expected = [
        "audit.segment",
        "decision",
        "audit.interrupted",
        "outcome",
        "sign-in.failed",
        "audit.resumed",
        "decision",
    ];
    assert_eq!(fixture.kinds(), expected);
    let resumed = &fixture.records()[5];
    assert_eq!(resumed["details"]["refused"], 3);
    assert_eq!(resumed["details"]["lost"], 0);
    assert_eq!(fixture.faults(), []);
}

#[tokio::test]
async fn a_full_disk_refuses_keeps_what_was_promised_and_resumes() {
    refuses_keeps_and_resumes(
        |disk| disk.set_space(Some(100)),
        |disk| disk.set_space(None),
    )
    .await;
}

#[tokio::test]
async fn a_failed_sync_is_not_believed_afterwards() {
    refuses_keeps_and_resumes(|disk| disk.fail_syncs(u32::MAX), |disk| disk.fail_syncs(0)).await;
}

#[tokio::test]
async fn buffered_records_outlast_a_failing_disk() {
    let fixture = Fixture::new(Durability::Buffered);
    let log = fixture.open();
    fixture.control.set_space(Some(10));
    let mut promised = Vec::new();
    // Promised until the writer notices, refused from then on.
    while let Ok(id) = record_one(&log).await {
        promised.push(id);
        if promised.len() == 1 {
            log.wait_until_failing(true);
        }
    }
    fixture.control.set_space(None);
    log.wait_until_failing(false);
    log.close().unwrap();
    assert!(!promised.is_empty());
    for id in promised {
        assert_eq!(fixture.about(id).len(), 1);
    }
    assert_eq!(fixture.faults(), []);
}

#[tokio::test]
async fn a_deleted_directory_refuses_calls_until_there_is_a_new_one_and_verify_tells() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    record_one(&log).await.unwrap();
    std::fs::remove_dir_all(fixture.directory()).unwrap();
    assert!(record_one(&log).await.is_err());
    log.wait_until_failing(false);
    record_one(&log).await.unwrap();
    // The new directory is locked as the old one was.
    assert!(matches!(
        fixture.try_open(1),
        Err(AuditError::Locked { .. })
    ));
    log.close().unwrap();
    let report = fixture.verify();
    assert_eq!(report.first_seq, Some(3));
    assert_eq!(report.findings[0].fault, Fault::Removed);
    assert_eq!(report.findings[0].count, 2);
}

#[tokio::test]
async fn a_segment_that_somebody_shortens_is_not_written_over() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    record_one(&log).await.unwrap();
    let segments = super::super::list(fixture.directory()).unwrap();
    let file = segments.into_values().flatten().next().unwrap();
    fixture.control.fail_syncs(1);
    assert!(record_one(&log).await.is_err());
    let cut = std::fs::OpenOptions::new()
        .write(true)
        .open(&file.path)
        .unwrap();
    cut.set_len(10).unwrap();
    log.wait_until_failing(false);
    log.close().unwrap();
    assert_eq!(std::fs::metadata(&file.path).unwrap().len(), 10);
    assert!(!fixture.faults().is_empty());
}

#[test]
fn a_slow_disk_refuses_calls_rather_than_fill_the_memory() {
    let fixture = Fixture::new(Durability::Buffered);
    let (log, _) = fixture.try_open(16 * 1024).unwrap();
    fixture.control.hold_syncs();
    let (context, command, decisions) = (context(), command(), [decision(Verdict::Allow)]);
    let mut taken = 0;
    while queue(&log, &context, &command, &decisions).is_ok() {
        taken += 1;
    }
    assert!((5..40).contains(&taken), "{taken}");
    // Outcomes of calls under way still have room, strangers' events have none.
    log.event_soon(event("sign-in.failed"));
    log.outcome(outcome(Uuid::from_u128(1)));
    fixture.control.release_syncs();
    log.close().unwrap();
    let kinds = fixture.kinds();
    let count = |kind: &str| kinds.iter().filter(|it| *it == kind).count();
    assert_eq!(count("decision"), taken);
    assert_eq!(count("outcome"), 1);
    assert_eq!(count("sign-in.failed"), 0);
    let records = fixture.records();
    let told = records.iter().find(|it| it["kind"] == "audit.overloaded");
    assert_eq!(
        told.unwrap()["details"],
        serde_json::json!({"refused": 1, "lost": 1})
    );
    assert_eq!(fixture.faults(), []);
}

#[tokio::test]
async fn closing_on_a_dead_disk_ends_and_says_what_was_lost() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    let id = record_one(&log).await.unwrap();
    fixture.control.set_space(Some(0));
    log.outcome(outcome(id));
    let error = log.close().unwrap_err();
    assert!(error.reason.starts_with("1 records were lost"), "{error}");
}

#[tokio::test]
async fn a_call_that_stops_waiting_for_a_refused_record_leaves_nothing() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    fixture.control.hold_syncs();
    fixture.control.fail_syncs(1);
    let mut call = Box::pin(record_one(&log));
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    fixture.control.release_syncs();
    log.wait_until_failing(true);
    log.wait_until_failing(false);
    log.close().unwrap();
    let kinds = fixture.kinds();
    assert_eq!(
        kinds,
        ["audit.segment", "audit.interrupted", "audit.resumed"]
    );
}
