//! Starts after clean stops, crashes and worse.

use super::*;

fn segment(fixture: &Fixture) -> std::path::PathBuf {
    let segments = super::super::list(fixture.directory()).unwrap();
    let last = segments.into_values().flatten().next_back();
    last.unwrap().path
}

fn reopen(fixture: &Fixture) -> (AuditLog, Opened) {
    fixture.control.revive();
    fixture.try_open(1024 * 1024).unwrap()
}

#[tokio::test]
async fn a_restart_goes_on_with_the_chain() {
    let fixture = Fixture::new(Durability::Strict);
    for _ in 0..3 {
        let (log, opened) = reopen(&fixture);
        assert_eq!(opened.to_string(), "");
        let id = record_one(&log).await.unwrap();
        log.outcome(outcome(id));
        log.close().unwrap();
    }
    let report = fixture.verify();
    assert_eq!((report.segments, report.records), (1, 7));
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    let error = fixture.try_open(1).unwrap_err();
    assert!(error.to_string().contains("another process writes"));
    log.close().unwrap();
    reopen(&fixture).0.close().unwrap();
}

#[tokio::test]
async fn a_crash_between_decision_and_outcome_shows_as_unknown() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    let finished = record_one(&log).await.unwrap();
    log.outcome(outcome(finished));
    log.event(event("x")).await.unwrap();
    let allowed = record_one(&log).await.unwrap();
    let blocked = record(&log, &[decision(Verdict::Block)]).await.unwrap()[0];
    fixture.control.crash(0);
    drop(log.close());
    let (log, opened) = reopen(&fixture);
    assert_eq!(opened.unknown_outcomes, 1);
    log.close().unwrap();
    let records = fixture.about(allowed);
    assert_eq!(records[1]["result"], "unknown");
    assert!(records[1]["duration_us"].is_null());
    assert_eq!(fixture.about(blocked).len(), 1);
    assert_eq!(fixture.about(finished).len(), 2);
    // It is told once.
    let (log, opened) = reopen(&fixture);
    assert_eq!(opened.unknown_outcomes, 0);
    log.close().unwrap();
    assert_eq!(fixture.faults(), []);
}

#[tokio::test]
async fn an_unfinished_decision_is_known_across_segments() {
    let mut fixture = Fixture::new(Durability::Strict);
    fixture.settings.segment_bytes = 1;
    let log = fixture.open();
    let open = record_one(&log).await.unwrap();
    for _ in 0..3 {
        log.event(event("x")).await.unwrap();
    }
    fixture.control.crash(0);
    drop(log.close());
    let (log, opened) = reopen(&fixture);
    assert_eq!(opened.unknown_outcomes, 1);
    log.close().unwrap();
    assert_eq!(fixture.about(open)[1]["result"], "unknown");
    assert_eq!(fixture.faults(), []);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_kept_and_reported() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    record_one(&log).await.unwrap();
    fixture.control.hold_syncs();
    let (context, command) = (context(), command());
    queue(&log, &context, &command, &[decision(Verdict::Allow)]).unwrap();
    fixture.control.wait_for_sync(2);
    fixture.control.crash(100);
    drop(log.close());
    assert_eq!(fixture.faults(), [Fault::Torn]);
    let (log, opened) = reopen(&fixture);
    let repaired = opened.repaired.clone().unwrap();
    assert_eq!(repaired.bytes, 100);
    assert_eq!(std::fs::metadata(&repaired.kept).unwrap().len(), 100);
    assert!(!opened.is_alarming());
    assert!(opened.to_string().contains("100 bytes was cut off"));
    log.close().unwrap();
    assert!(fixture.kinds().contains(&"audit.repaired".to_owned()));
    assert_eq!(fixture.faults(), []);
}

#[tokio::test]
async fn a_batch_that_reached_the_disk_in_part_is_cut_off_whole() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    record_one(&log).await.unwrap();
    let path = segment(&fixture);
    let good = std::fs::metadata(&path).unwrap().len();
    fixture.control.hold_syncs();
    let (context, command) = (context(), command());
    let batch = vec![decision(Verdict::Allow); 3];
    queue(&log, &context, &command, &batch).unwrap();
    fixture.control.wait_for_sync(2);
    fixture.control.crash(u64::MAX / 2);
    drop(log.close());
    // The first page of the batch is a hole, the rest is there.
    let mut bytes = std::fs::read(&path).unwrap();
    let start = usize::try_from(good).unwrap();
    bytes[start..start + 200].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let (log, opened) = reopen(&fixture);
    assert_eq!(opened.repaired.unwrap().offset, good);
    log.close().unwrap();
    assert_eq!(fixture.faults(), []);
}

#[tokio::test]
async fn a_log_behind_its_head_was_truncated_and_its_numbers_are_not_given_again() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    for _ in 0..3 {
        log.event(event("x")).await.unwrap();
    }
    log.close().unwrap();
    let path = segment(&fixture);
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.split_inclusive('\n').take(2).collect();
    std::fs::write(&path, kept.concat()).unwrap();
    assert_eq!(fixture.faults(), [Fault::Truncated]);
    let (log, opened) = reopen(&fixture);
    assert_eq!((opened.last_seq, opened.truncated_from), (2, Some(4)));
    assert!(opened.is_alarming());
    log.close().unwrap();
    assert!(
        fixture
            .kinds()
            .contains(&"audit.truncation-found".to_owned())
    );
    // The gap stays to be seen.
    let report = fixture.verify();
    assert_eq!(report.findings[0].fault, Fault::Removed);
    assert_eq!(
        (report.findings[0].seq, report.findings[0].count),
        (Some(3), 2)
    );
}

#[tokio::test]
async fn deleted_segments_are_noticed_by_the_head_that_is_left() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    log.event(event("x")).await.unwrap();
    log.close().unwrap();
    std::fs::remove_file(segment(&fixture)).unwrap();
    assert_eq!(fixture.faults(), [Fault::Truncated]);
    let (log, opened) = reopen(&fixture);
    assert_eq!(opened.truncated_from, Some(2));
    log.close().unwrap();
    assert_eq!(fixture.faults(), [Fault::Removed]);
}

#[tokio::test]
async fn an_edited_record_is_reported_and_left_as_evidence() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    for _ in 0..3 {
        log.event(event("x")).await.unwrap();
    }
    log.close().unwrap();
    let path = segment(&fixture);
    let text = std::fs::read_to_string(&path).unwrap();
    let edited = text.replacen("amy", "bob", 1);
    std::fs::write(&path, &edited).unwrap();
    let (log, opened) = reopen(&fixture);
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(opened.damaged, Some((name, 2, 2)));
    log.close().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), edited);
    assert_eq!(fixture.faults(), [Fault::Edited]);
    assert!(fixture.kinds().contains(&"audit.damage-found".to_owned()));
}

#[tokio::test]
async fn a_missing_head_is_reported() {
    let fixture = Fixture::new(Durability::Strict);
    let log = fixture.open();
    log.event(event("x")).await.unwrap();
    log.close().unwrap();
    std::fs::remove_file(fixture.directory().join("head-gw-1.json")).unwrap();
    let (log, opened) = reopen(&fixture);
    assert!(opened.head_missing);
    log.close().unwrap();
    assert!(fixture.directory().join("head-gw-1.json").exists());
    assert_eq!(fixture.faults(), []);
}

#[test]
fn a_node_name_that_is_no_file_name_is_refused() {
    let mut fixture = Fixture::new(Durability::Strict);
    fixture.settings.node = "../x".to_owned();
    assert!(matches!(fixture.try_open(1), Err(AuditError::Node(_))));
    assert!(fixture.folder.path().read_dir().unwrap().next().is_none());
}
