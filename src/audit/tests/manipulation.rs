//! What verification finds when somebody changes a log.

use super::*;
use crate::audit::chain::{Link, seal};
use crate::audit::segment::{file_name, head_bytes};

/// A log of one node in memory: bodies in segments.
struct Log {
    folder: TempDir,
    /// Lines by segment, each with its LF.
    segments: Vec<Vec<Vec<u8>>>,
    tip: Link,
}

impl Log {
    /// Segments of `records` records each.
    fn new(segments: usize, records: usize) -> Self {
        let mut tip = Link::START;
        let mut line = |_| {
            let mut line = Vec::new();
            let body = format!(
                "\"time\":\"2026-11-21T09:00:00.{:06}Z\",\"node\":\"gw\",\"kind\":\"x\",\"note\":\"é\"",
                tip.seq
            );
            seal(&mut line, &mut tip, body.as_bytes());
            line
        };
        let segments = (0..segments)
            .map(|_| (0..records).map(&mut line).collect())
            .collect();
        Self {
            folder: tempfile::tempdir().unwrap(),
            segments,
            tip,
        }
    }

    /// Verifies the log after `change`, which gets the segments' contents with their first numbers.
    fn verify_with(
        &self,
        expectation: &Expectation,
        change: impl FnOnce(&mut Vec<(u64, Vec<Vec<u8>>)>),
    ) -> NodeReport {
        let node = "gw".parse().unwrap();
        let directory = self.folder.path();
        for file in std::fs::read_dir(directory).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        let mut first_seq = 1;
        let mut segments = Vec::new();
        for lines in &self.segments {
            segments.push((first_seq, lines.clone()));
            first_seq += lines.len() as u64;
        }
        change(&mut segments);
        for (first_seq, lines) in segments {
            std::fs::write(directory.join(file_name(&node, first_seq)), lines.concat()).unwrap();
        }
        std::fs::write(directory.join("head-gw.json"), head_bytes(&self.tip)).unwrap();
        verify(directory, expectation).unwrap().remove(0)
    }

    /// The faults after `change`, with the number that each is about.
    fn faults(
        &self,
        change: impl FnOnce(&mut Vec<(u64, Vec<Vec<u8>>)>),
    ) -> Vec<(Fault, Option<u64>)> {
        let report = self.verify_with(&Expectation::default(), change);
        report
            .findings
            .iter()
            .map(|it| (it.fault, it.seq))
            .collect()
    }
}

#[test]
fn an_untouched_log_is_good() {
    let log = Log::new(3, 4);
    let report = log.verify_with(&Expectation::default(), |_| {});
    assert_eq!(report.findings, []);
    assert_eq!((report.segments, report.records), (3, 12));
    assert_eq!(report.last_hash, Some(log.tip.hash_text()));
}

#[test]
fn every_changed_byte_is_found() {
    let log = Log::new(2, 2);
    for segment in 0..2 {
        for line in 0..2 {
            for byte in 0..log.segments[segment][line].len() {
                for flip in [1, 0x80] {
                    let faults = log.faults(|it| it[segment].1[line][byte] ^= flip);
                    assert!(
                        !faults.is_empty(),
                        "segment {segment} line {line} byte {byte}"
                    );
                }
            }
        }
    }
}

#[test]
fn an_edited_record_is_named() {
    let log = Log::new(2, 3);
    let report = log.verify_with(&Expectation::default(), |it| it[1].1[1][30] ^= 1);
    let finding = &report.findings[0];
    assert_eq!(
        (finding.fault, finding.seq, finding.line),
        (Fault::Edited, Some(5), 2)
    );
    assert_eq!(finding.file, "audit-gw-00000000000000000004.jsonl");
    assert_eq!(report.findings.len(), 1);
}

#[test]
fn an_edited_record_with_a_new_hash_does_not_fit_the_next() {
    let log = Log::new(1, 4);
    let faults = log.faults(|it| {
        let mut tip = Link {
            seq: 1,
            ..Line::parse(&it[0].1[0][..it[0].1[0].len() - 1])
                .unwrap()
                .link()
        };
        let mut line = Vec::new();
        seal(
            &mut line,
            &mut tip,
            b"\"time\":\"2026-11-21T09:00:00.000000Z\",\"node\":\"gw\",\"kind\":\"y\"",
        );
        it[0].1[1] = line;
    });
    assert_eq!(faults, [(Fault::Edited, Some(2))]);
}

#[test]
fn a_log_that_was_rewritten_to_its_end_does_not_fit_its_head_or_a_kept_hash() {
    let log = Log::new(1, 3);
    let rewrite = |segments: &mut Vec<(u64, Vec<Vec<u8>>)>| {
        let mut tip = Link::START;
        for line in &mut segments[0].1 {
            line.clear();
            seal(
                line,
                &mut tip,
                b"\"time\":\"2026-11-21T09:00:00.000000Z\",\"node\":\"gw\",\"kind\":\"y\"",
            );
        }
    };
    assert_eq!(log.faults(rewrite), [(Fault::Edited, Some(3))]);
    let kept = Expectation {
        hash: Some(log.tip.hash),
        ..Expectation::default()
    };
    let report = log.verify_with(&kept, rewrite);
    assert_eq!(report.findings.last().unwrap().fault, Fault::Truncated);
    assert_eq!(log.verify_with(&kept, |_| {}).findings, []);
}

#[test]
fn removed_records_and_segments_are_named() {
    let log = Log::new(3, 4);
    let removed = |seq| vec![(Fault::Removed, Some(seq))];
    assert_eq!(log.faults(|it| drop(it[1].1.remove(1))), removed(6));
    assert_eq!(log.faults(|it| drop(it.remove(1))), removed(5));
    assert_eq!(log.faults(|it| drop(it.remove(0))), removed(1));
    let first_of_segment = log.faults(|it| drop(it[1].1.remove(0)));
    assert!(first_of_segment.contains(&(Fault::Removed, Some(5))));
}

#[test]
fn a_removed_end_is_truncation() {
    let log = Log::new(2, 3);
    assert_eq!(
        log.faults(|it| drop(it[1].1.pop())),
        [(Fault::Truncated, Some(6))]
    );
    assert_eq!(
        log.faults(|it| drop(it.pop())),
        [(Fault::Truncated, Some(4))]
    );
    assert_eq!(log.faults(Vec::clear), [(Fault::Truncated, Some(1))]);
}

#[test]
fn a_torn_end_is_named() {
    let log = Log::new(1, 3);
    let faults = log.faults(|it| it[0].1[2].truncate(50));
    assert_eq!(faults[0], (Fault::Torn, Some(3)));
}

#[test]
fn reordered_records_and_segments_are_named() {
    let log = Log::new(2, 4);
    assert_eq!(
        log.faults(|it| it[0].1.swap(1, 2)),
        [(Fault::Reordered, Some(2))]
    );
    let swapped = log.faults(|it| {
        let (one, two) = it.split_at_mut(1);
        std::mem::swap(&mut one[0].1, &mut two[0].1);
    });
    assert_eq!(
        swapped,
        [(Fault::Misnamed, Some(5)), (Fault::Reordered, Some(1))]
    );
}

#[test]
fn duplicates_are_named() {
    let log = Log::new(2, 3);
    let faults = log.faults(|it| {
        let line = it[0].1[1].clone();
        it[1].1.insert(1, line);
    });
    assert_eq!(faults, [(Fault::Duplicate, Some(2))]);
}

#[test]
fn inserted_lines_are_named() {
    let log = Log::new(1, 3);
    let inserted = log.faults(|it| it[0].1.insert(1, b"{}\n".to_vec()));
    assert_eq!(inserted, [(Fault::Inserted, None)]);
    let forged = log.faults(|it| {
        let mut line = Vec::new();
        let mut tip = Link {
            seq: 1,
            hash: [9; 32],
        };
        seal(
            &mut line,
            &mut tip,
            b"\"time\":\"2026-11-21T09:00:00.000000Z\",\"node\":\"gw\",\"kind\":\"y\"",
        );
        it[0].1.push(line);
    });
    assert_eq!(forged, [(Fault::Inserted, Some(2))]);
}

#[test]
fn a_renamed_segment_is_named() {
    let log = Log::new(2, 3);
    assert_eq!(log.faults(|it| it[1].0 = 5), [(Fault::Misnamed, Some(4))]);
}

#[test]
fn a_log_whose_first_segments_were_archived_is_good_after_their_last_hash() {
    let log = Log::new(3, 2);
    let last = &log.segments[0][1];
    let after = Line::parse(&last[..last.len() - 1]).unwrap().link().hash;
    let archived = Expectation {
        after: Some(after),
        ..Expectation::default()
    };
    let report = log.verify_with(&archived, |it| drop(it.remove(0)));
    assert_eq!(report.findings, []);
    let report = log.verify_with(&archived, |it| drop(it.drain(..2)));
    assert_eq!(report.findings[0].fault, Fault::Edited);
}

mod any {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bytes_are_verified_without_panic_and_never_good(
            noise in prop::collection::vec(any::<u8>(), 1..300), at in 0..4_usize,
        ) {
            let log = Log::new(1, 4);
            let faults = log.faults(|it| it[0].1.insert(at, [&noise[..], b"\n"].concat()));
            prop_assert!(!faults.is_empty());
        }
    }
}

use crate::audit::chain::Line;
