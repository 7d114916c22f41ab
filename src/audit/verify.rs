//! Verification, offline: reads every segment of a node from its first line to its last, and names what is not as it was written.

mod check;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::segment::{self, Node};

use check::Check;

/// What can be wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It is there twice.
    Duplicate,
    /// It is not as it was written.
    Edited,
    /// It was not written by the gateway where it stands.
    Inserted,
    /// The segment's name, or the node in the record, is not what the record says.
    Misnamed,
    /// It is not there.
    Removed,
    /// It stands in another place than it was written to.
    Reordered,
    /// It is cut short at the end of the log.
    Torn,
    /// It was the end of the log and is not there.
    Truncated,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "duplicate",
            Self::Edited => "edited",
            Self::Inserted => "inserted",
            Self::Misnamed => "misnamed",
            Self::Removed => "removed",
            Self::Reordered => "reordered",
            Self::Torn => "torn",
            Self::Truncated => "truncated",
        })
    }
}

/// The first fault of its kind in a node's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// The number of the record that it is about.
    pub seq: Option<u64>,
    /// The segment.
    pub file: String,
    /// The line in it, from 1.
    pub line: u64,
    /// What was found, for people.
    pub detail: String,
    /// How many faults of this kind there are.
    pub count: u64,
}

/// What was found in a node's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// The node.
    pub node: String,
    /// How many segments it has.
    pub segments: usize,
    /// How many good records.
    pub records: u64,
    /// The number of the first record.
    pub first_seq: Option<u64>,
    /// The number of the last record.
    pub last_seq: Option<u64>,
    /// The hash of the last record: what to keep elsewhere.
    pub last_hash: Option<String>,
    /// The time of the last record.
    pub last_time: Option<String>,
    /// The first fault of each kind, in the order in which they stand.
    pub findings: Vec<Finding>,
    /// What is worth knowing and no fault: what the gateway itself found and recorded, bytes that are being written.
    pub notes: Vec<String>,
}

/// What a verification is to expect.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Only this node.
    pub node: Option<Node>,
    /// A hash that was kept elsewhere: some record must have it.
    pub hash: Option<[u8; 32]>,
    /// The hash of the last record before the first segment that is still there; `None`: the log begins with record 1.
    pub after: Option<[u8; 32]>,
}

/// Verifies all logs in `directory`. A directory without any gives an empty list.
pub fn verify(directory: &Path, expectation: &Expectation) -> io::Result<Vec<NodeReport>> {
    // Heads are read first: a running gateway writes on, and its head is never ahead of what is on disk.
    let mut logs = Vec::new();
    for node in segment::list(directory)?.into_keys() {
        if expectation.node.as_ref().is_none_or(|it| *it == node) {
            let head = segment::read_head(directory, &node)?;
            logs.push((node, head));
        }
    }
    let is_live = is_being_written(directory);
    let mut listed = segment::list(directory)?;
    let mut reports = Vec::new();
    let mut expected_found = expectation.hash.is_none();
    for (node, head) in logs {
        let segments = listed.remove(&node).unwrap_or_default();
        let mut check = Check::new(node, head, expectation, is_live);
        for (index, file) in segments.iter().enumerate() {
            check.segment(file, index + 1 == segments.len())?;
        }
        expected_found |= check.expected_found;
        reports.push(check.finish(segments.len()));
    }
    if !expected_found && let Some(report) = reports.first_mut() {
        let detail =
            "no record has the expected hash: the log ends before it, or was rewritten".to_owned();
        let file = String::new();
        report.findings.push(Finding {
            fault: Fault::Truncated,
            seq: None,
            file,
            line: 0,
            detail,
            count: 1,
        });
    }
    Ok(reports)
}

/// Whether a gateway holds the directory's lock.
fn is_being_written(directory: &Path) -> bool {
    File::open(directory.join(segment::LOCK)).is_ok_and(|file| {
        matches!(
            file.try_lock_shared(),
            Err(std::fs::TryLockError::WouldBlock)
        )
    })
}
