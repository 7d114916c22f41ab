//! Opening a log: lock it, find out how far it is good, mend what a crash left, put what was found on record, start the writer.

use std::collections::HashSet;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::config;

use super::body::Bodies;
use super::disk::{self, Disk};
use super::queue::{Batch, Note};
use super::segment::{self, InvalidNode, Node};
use super::survey::{Survey, Torn};
use super::writer::{Bounds, OpenSegment, Writer, aside};

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The directory cannot be made.
    #[error("cannot make the audit directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes there.
    #[error("another process writes to the audit log: it holds `{}` locked; stop it, or set another `directory` in `[audit]`", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The node's name cannot be used.
    #[error(transparent)]
    Node(#[from] InvalidNode),
    /// What is there cannot be read.
    #[error("cannot read the audit log in `{}`", path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The writer's thread cannot be started.
    #[error("cannot start the audit writer")]
    Thread {
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the audit log in `{}`", path.display())]
    Write {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What was found when the log was opened. All of it is on record too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The number of the last record that was found; 0 in a new log.
    pub last_seq: u64,
    /// A crash left an unfinished end, which was cut off: from which segment, how many bytes, and where they are kept.
    pub repaired: Option<Repair>,
    /// Records are missing at the end: the head names this one as written.
    pub truncated_from: Option<u64>,
    /// The first record of the last segment that is not as it was written: segment, line, number.
    pub damaged: Option<(String, u64, u64)>,
    /// The log has records, but no head that says how far it reached.
    pub head_missing: bool,
    /// How many decisions had no outcome, and were given the outcome `unknown`.
    pub unknown_outcomes: usize,
}

/// An unfinished end of a segment, cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The segment's name.
    pub segment: String,
    /// From which byte.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Where they are kept.
    pub kept: PathBuf,
}

impl Opened {
    /// Whether somebody must look into it: records are gone or changed.
    pub fn is_alarming(&self) -> bool {
        self.truncated_from.is_some() || self.damaged.is_some()
    }
}

/// One sentence for each thing that was found; empty if nothing was.
impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut findings = Vec::new();
        if let Some(seq) = self.truncated_from {
            findings.push(format!(
                "records are missing at the end of the audit log: its head names record {seq}, the last one there is {}",
                self.last_seq
            ));
        }
        if let Some((segment, line, seq)) = &self.damaged {
            findings.push(format!(
                "record {seq} of the audit log was changed ({segment}:{line}): run `portcullis audit verify`"
            ));
        }
        if self.head_missing {
            findings.push(
                "the audit log has no head: whether records are missing at its end cannot be told"
                    .to_owned(),
            );
        }
        if let Some(repair) = &self.repaired {
            findings.push(format!(
                "an unfinished end of {} bytes was cut off `{}` and is kept in `{}`",
                repair.bytes,
                repair.segment,
                repair.kept.display()
            ));
        }
        if self.unknown_outcomes > 0 {
            findings.push(format!(
                "{} calls were under way when the gateway last stopped: their outcome is unknown",
                self.unknown_outcomes
            ));
        }
        f.write_str(&findings.join("; "))
    }
}

/// Opens the log as `settings` say, on `disk`: all but the thread.
pub(super) fn open(
    settings: &config::Audit,
    disk: Box<dyn Disk>,
) -> Result<(Writer, Opened), AuditError> {
    let node: Node = settings.node.parse()?;
    let directory = settings.directory.clone();
    let at = |path: &Path| path.to_owned();
    disk.make_directory(&directory)
        .map_err(|source| AuditError::Directory {
            path: at(&directory),
            source,
        })?;
    let lock = lock(&directory.join(segment::LOCK))?;
    let mut survey = Survey::take(&directory, &node).map_err(|source| AuditError::Read {
        path: at(&directory),
        source,
    })?;
    let failed = |source| AuditError::Write {
        path: at(&directory),
        source,
    };
    let now = Utc::now();
    let repaired = match survey.torn.take() {
        Some(torn) => Some(repair(&*disk, &torn, now).map_err(failed)?),
        None => None,
    };
    let opened = Opened {
        last_seq: survey.last.seq,
        repaired,
        truncated_from: survey.head_ahead.map(|it| it.seq),
        damaged: survey
            .damage
            .as_ref()
            .map(|it| (it.segment.clone(), it.line, it.seq)),
        head_missing: survey.head_missing,
        unknown_outcomes: survey.awaiting.len(),
    };
    let bodies = Arc::new(Bodies::new(&node, &settings.redact));
    let reason = match (&survey.damage, survey.head_ahead, survey.last.seq) {
        (Some(_), _, _) => "damage-found",
        (None, Some(_), _) => "truncation-found",
        (None, None, 0) => "new",
        (None, None, _) => "recovered",
    };
    let segment = match survey.segment.clone() {
        Some(good) => Some(OpenSegment {
            file: disk.open(&good.file.path).map_err(failed)?,
            path: good.file.path,
            length: good.length,
            begun: if good.length == 0 { now } else { good.begun },
        }),
        None => None,
    };
    let mut writer = Writer {
        disk,
        directory: at(&directory),
        node,
        bounds: Bounds {
            bytes: settings.segment_bytes,
            age: settings.segment_age,
        },
        bodies: Arc::clone(&bodies),
        tip: survey.tip,
        segment,
        reason,
        head: None,
        lock,
        awaiting: std::mem::take(&mut survey.awaiting),
        lines: Vec::new(),
    };
    let found = findings(&bodies, &opened, &survey, &writer.awaiting, now);
    writer.commit(&[&found], now).map_err(failed)?;
    Ok((writer, opened))
}

/// The records of what was found.
fn findings(
    bodies: &Bodies,
    opened: &Opened,
    survey: &Survey,
    awaiting: &HashSet<uuid::Uuid>,
    now: DateTime<Utc>,
) -> Batch {
    let mut batch = Batch::default();
    let mut add = |kind: &str, details: Value| {
        let mut body = Vec::new();
        bodies.own_event(&mut body, kind, now, details);
        batch.add(&body, Note::Other, true);
    };
    if let Some(repair) = &opened.repaired {
        let details = json!({
            "segment": repair.segment,
            "offset": repair.offset,
            "bytes": repair.bytes,
            "kept": segment::shown(&repair.kept),
        });
        add("audit.repaired", details);
    }
    if let Some(head) = &survey.head_ahead {
        let details = json!({
            "head_seq": head.seq,
            "head_hash": head.hash_text(),
            "last_seq": survey.last.seq,
            "last_hash": survey.last.hash_text(),
        });
        add("audit.truncation-found", details);
    }
    if let Some(damage) = &survey.damage {
        let details = json!({ "segment": damage.segment, "line": damage.line, "seq": damage.seq });
        add("audit.damage-found", details);
    }
    if opened.head_missing {
        add("audit.head-missing", json!({ "last_seq": survey.last.seq }));
    }
    let mut ids: Vec<_> = awaiting.iter().copied().collect();
    ids.sort_unstable();
    for id in ids {
        let mut body = Vec::new();
        bodies.unknown_outcome(&mut body, id, now);
        batch.add(&body, Note::Outcome(id), true);
    }
    batch
}

/// Keeps other processes from writing. `audit verify` may hold the lock for a moment, to see whether a gateway runs.
pub(super) fn lock(path: &Path) -> Result<File, AuditError> {
    const TRIES: u32 = 5;
    let failed = |source| AuditError::Write {
        path: path.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    Err(AuditError::Locked {
        path: path.to_owned(),
    })
}

/// Cuts off an unfinished end, after a copy of it is on disk.
fn repair(disk: &dyn Disk, torn: &Torn, now: DateTime<Utc>) -> io::Result<Repair> {
    let kept = aside(&torn.file.path, now);
    let mut input = File::open(&torn.file.path)?;
    input.seek(SeekFrom::Start(torn.offset))?;
    let mut copy = disk::create(&kept)?;
    let bytes = io::copy(&mut input, &mut copy)?;
    copy.sync_all()?;
    if let Some(directory) = kept.parent() {
        disk.sync_directory(directory)?;
    }
    let file = disk.open(&torn.file.path)?;
    file.truncate(torn.offset)?;
    file.sync()?;
    Ok(Repair {
        segment: torn.file.name(),
        offset: torn.offset,
        bytes,
        kept,
    })
}
