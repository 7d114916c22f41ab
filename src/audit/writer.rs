//! The writer: the one thread that owns the files. It numbers and seals what is queued, and writes a batch with one write and one sync.
//!
//! INVARIANT: `tip` and `segment.length` describe what is on disk, synced. A batch that fails leaves both as they were, and the
//! next attempt opens the file anew, cuts it back to `length` and writes again: after a failed sync nothing that the
//! page cache shows is believed.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::body::Bodies;
use super::chain::{Link, seal};
use super::disk::{Disk, DiskFile};
use super::facts::Outcome;
use super::open::lock;
use super::queue::{Batch, Missed, Note, Queue};
use super::segment::{self, Node};

/// How many ids of unfinished decisions one record lists: it stays below the bound of an event's details.
const IDS_PER_RECORD: usize = 1000;

/// How many unfinished decisions are known at once; each takes about 32 bytes. More calls than a gateway can have in flight.
const MAX_AWAITING: usize = 1_000_000;

/// How often a closing log tries to write what is left.
const LAST_TRIES: u32 = 3;

/// When a segment is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes; a segment may be longer by one batch.
    pub(super) bytes: u64,
    /// From its first record.
    pub(super) age: Duration,
}

/// The segment that is written.
pub(super) struct OpenSegment {
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
    /// Bytes that are known to be on disk.
    pub(super) length: u64,
    /// The time of its first record.
    pub(super) begun: DateTime<Utc>,
}

/// The owner of a node's files.
pub(super) struct Writer {
    pub(super) disk: Box<dyn Disk>,
    pub(super) directory: PathBuf,
    pub(super) node: Node,
    pub(super) bounds: Bounds,
    pub(super) bodies: Arc<Bodies>,
    /// The last record that is known to be on disk.
    pub(super) tip: Link,
    /// `None`: the next batch begins a new one,
    pub(super) segment: Option<OpenSegment>,
    /// for this reason.
    pub(super) reason: &'static str,
    pub(super) head: Option<Box<dyn DiskFile>>,
    /// Keeps other processes out.
    pub(super) lock: File,
    /// Decisions on record that await their outcome.
    pub(super) awaiting: HashSet<Uuid>,
    /// The lines of a batch.
    pub(super) lines: Vec<u8>,
}

impl Writer {
    /// Writes until the queue is closed; the number of promised records that could not be written.
    pub(super) fn run(mut self, queue: &Queue) -> usize {
        let last_words = LastWords(queue);
        let mut spare = Batch::default();
        let mut last_tries = 0;
        queue.set_written(self.tip.seq);
        while let Some(batch) = queue.next(std::mem::take(&mut spare)) {
            match self.write(&batch) {
                Ok(()) => {
                    queue.set_written(self.tip.seq);
                    self.settle(queue, &batch);
                    spare = batch;
                    spare.clear();
                }
                Err(error) => {
                    if batch.failing.is_none() {
                        error!(%error, directory = %self.directory.display(), "Audit log cannot be written");
                    }
                    if !queue.fail(batch, error.to_string().into()) {
                        last_tries += 1;
                        if last_tries == LAST_TRIES {
                            break;
                        }
                    }
                }
            }
        }
        if let Some(head) = &self.head {
            drop(head.sync());
        }
        let left = last_words.0.abandon(&"the gateway is stopping".into());
        if left > 0 {
            error!(
                records = left,
                "Audit records lost: the log could not be written until the gateway stopped"
            );
        }
        left
    }

    /// Writes a batch, after mending the files if the one before failed.
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let mut own = Batch::default();
        let now = Utc::now();
        if let Some(failure) = &batch.failing {
            self.mend()?;
            let details = json!({ "since": failure.since, "reason": &*failure.reason });
            own.add(
                &self.own("audit.interrupted", now, details),
                Note::Other,
                true,
            );
        }
        if batch.overload != Missed::default() {
            let Missed { refused, lost } = batch.overload;
            let details = json!({ "refused": refused, "lost": lost });
            own.add(
                &self.own("audit.overloaded", now, details),
                Note::Other,
                true,
            );
        }
        self.commit(&[&own, batch], now)
    }

    fn own(&self, kind: &str, at: DateTime<Utc>, details: serde_json::Value) -> Vec<u8> {
        let mut body = Vec::new();
        self.bodies.own_event(&mut body, kind, at, details);
        body
    }

    /// Puts the records of `batches` on disk: with one write and one sync, and all or none.
    pub(super) fn commit(&mut self, batches: &[&Batch], now: DateTime<Utc>) -> io::Result<()> {
        if batches.iter().all(|it| it.entries.is_empty()) {
            return Ok(());
        }
        if let Some(reason) = self.rotation(now) {
            self.segment = None;
            self.reason = reason;
        }
        let is_new = self.segment.as_ref().is_none_or(|it| it.length == 0);
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        let mut tip = self.tip;
        if is_new {
            for body in self.segment_heads(now) {
                seal(&mut lines, &mut tip, &body);
            }
        }
        for batch in batches {
            for (body, _) in batch.bodies() {
                seal(&mut lines, &mut tip, body);
            }
        }
        let result = self.put(&lines, now);
        lines.shrink_to(8 * 1024 * 1024);
        self.lines = lines;
        result?;
        self.tip = tip;
        self.write_head();
        for (_, entry) in batches.iter().flat_map(|it| it.bodies()) {
            match entry.note {
                Note::Awaiting(id) => {
                    if self.awaiting.len() < MAX_AWAITING {
                        self.awaiting.insert(id);
                    }
                }
                Note::Outcome(id) => drop(self.awaiting.remove(&id)),
                Note::Other => {}
            }
        }
        Ok(())
    }

    /// Writes `lines` at the end of the segment, in a new one if there is none, and syncs them.
    fn put(&mut self, lines: &[u8], now: DateTime<Utc>) -> io::Result<()> {
        let segment = match &mut self.segment {
            Some(segment) => segment,
            none => none.insert(begin(
                &*self.disk,
                &self.directory,
                &self.node,
                &self.tip,
                now,
            )?),
        };
        segment.file.write_at(lines, segment.length)?;
        segment.file.sync()?;
        if segment.length == 0 {
            self.disk.sync_directory(&self.directory)?;
        }
        // A deleted file takes every write and keeps none.
        if !segment.file.is_at(&segment.path)? {
            return Err(io::Error::other(format!(
                "`{}` was deleted or moved",
                segment::shown(&segment.path)
            )));
        }
        segment.length += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Why the segment is to be left, if it is.
    fn rotation(&self, now: DateTime<Utc>) -> Option<&'static str> {
        let segment = self.segment.as_ref().filter(|it| it.length > 0)?;
        if segment.length >= self.bounds.bytes {
            return Some("size");
        }
        let age = (now - segment.begun).to_std().unwrap_or_default();
        (age >= self.bounds.age).then_some("age")
    }

    /// The bodies of the records that begin a segment: why it was begun, and which decisions before it await their outcome.
    /// So a start after a crash need not read further back than the last segment.
    fn segment_heads(&self, now: DateTime<Utc>) -> Vec<Vec<u8>> {
        let mut ids: Vec<&Uuid> = self.awaiting.iter().collect();
        ids.sort_unstable();
        let mut chunks: Vec<&[&Uuid]> = ids.chunks(IDS_PER_RECORD).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        chunks
            .into_iter()
            .map(|ids| {
                let details = json!({ "reason": self.reason, "awaiting": ids });
                self.own("audit.segment", now, details)
            })
            .collect()
    }

    /// Tells everybody concerned that a batch is on disk.
    fn settle(&mut self, queue: &Queue, batch: &Batch) {
        let abandoned = batch.gate.open(Ok(()));
        push_outcomes(queue, &self.bodies, &abandoned);
        let Some(failure) = &batch.failing else {
            return;
        };
        let now = Utc::now();
        let lasted = now - failure.since;
        info!(reason = %failure.reason, seconds = lasted.num_seconds(), "Audit log is written again");
        queue.resume(|missed| {
            let details = json!({
                "reason": &*failure.reason,
                "since": failure.since,
                "lasted_ms": lasted.num_milliseconds(),
                "refused": missed.refused,
                "lost": missed.lost,
            });
            self.own("audit.resumed", now, details)
        });
    }

    /// Brings the files back to the last state that is known to be on disk, or to where a new segment can go on.
    fn mend(&mut self) -> io::Result<()> {
        self.disk.make_directory(&self.directory)?;
        let lock_path = self.directory.join(segment::LOCK);
        if !DiskFile::is_at(&self.lock, &lock_path)? {
            self.lock = lock(&lock_path).map_err(|error| io::Error::other(error.to_string()))?;
        }
        self.head = None;
        let Some(mut segment) = self.segment.take() else {
            return Ok(());
        };
        self.reason = "recovered";
        match self.disk.open(&segment.path) {
            Ok(file) if file.length()? >= segment.length => {
                segment.file = file;
                // Kept before anything can fail, so that the next attempt finds it again.
                let segment = self.segment.insert(segment);
                segment.file.truncate(segment.length)?;
                segment.file.sync()?;
            }
            // Shortened or deleted by somebody else: verify will name what is missing.
            Ok(_) => warn!(segment = %segment.path.display(), "Audit segment was shortened"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                warn!(segment = %segment.path.display(), "Audit segment was deleted or moved");
            }
            Err(error) => {
                self.segment = Some(segment);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes the head. It is there for verification; a gateway goes on without it.
    fn write_head(&mut self) {
        if let Err(error) = self.try_write_head() {
            self.head = None;
            warn!(%error, "Audit head cannot be written");
        }
    }

    fn try_write_head(&mut self) -> io::Result<()> {
        let path = self.directory.join(segment::head_name(&self.node));
        let head = match &mut self.head {
            Some(head) => head,
            none => {
                let head = match self.disk.open(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.disk.create(&path)
                    }
                    other => other,
                }?;
                none.insert(head)
            }
        };
        head.write_at(&segment::head_bytes(&self.tip), 0)
    }
}

/// Begins the segment of the record after `tip`. What may stand in its place is moved aside, never overwritten.
fn begin(
    disk: &dyn Disk,
    directory: &Path,
    node: &Node,
    tip: &Link,
    now: DateTime<Utc>,
) -> io::Result<OpenSegment> {
    let path = directory.join(segment::file_name(node, tip.seq + 1));
    let file = match disk.create(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::rename(&path, aside(&path, now))?;
            disk.create(&path)?
        }
        other => other?,
    };
    Ok(OpenSegment {
        path,
        file,
        length: 0,
        begun: now,
    })
}

/// Where bytes that are no part of the log any more are kept: `<segment>.torn-<time>`.
pub(super) fn aside(segment: &Path, now: DateTime<Utc>) -> PathBuf {
    let mut path = segment.as_os_str().to_owned();
    path.push(now.format(".torn-%Y%m%dT%H%M%S%6fZ").to_string());
    path.into()
}

/// Queues the outcomes of calls that did not wait for their records.
pub(super) fn push_outcomes(queue: &Queue, bodies: &Bodies, outcomes: &[Outcome]) {
    let mut body = Vec::new();
    for outcome in outcomes {
        body.clear();
        bodies.outcome(&mut body, outcome);
        let note = Note::Outcome(outcome.decision_id);
        let entry = std::iter::once((body.len(), note));
        // The queue counts what it cannot take, and says so in the log.
        drop(queue.push(&body, entry, super::queue::Urgency::Due));
    }
}

/// Lets nobody wait for a writer that is gone, whatever ended it.
struct LastWords<'a>(&'a Queue);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        self.0.abandon(&"the audit writer has stopped".into());
    }
}
