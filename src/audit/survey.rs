//! What a start finds: how far the log is good, what is wrong behind that, and which decisions await their outcome.
//!
//! Only the last segment is read (the ones before it if it is empty): each segment begins with the decisions that were
//! still open, so nothing further back is needed. `verify` reads everything.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::chain::{Line, Link};
use super::reader::{End, Lines};
use super::segment::{self, Node, SegmentFile};

/// What there is of a node's log.
#[derive(Debug)]
pub(super) struct Survey {
    /// The record that the next one follows.
    pub(super) tip: Link,
    /// The segment to go on with, and up to where it is good; `None`: a new one is due.
    pub(super) segment: Option<Good>,
    /// What stands behind the good part and belongs to no record.
    pub(super) torn: Option<Torn>,
    /// The first record that was changed after it was written.
    pub(super) damage: Option<Damage>,
    /// The head, where it is ahead of the log or names another record than the log has.
    pub(super) head_ahead: Option<Link>,
    /// There are records, and no head to compare them with.
    pub(super) head_missing: bool,
    /// The last record that was found.
    pub(super) last: Link,
    /// Decisions without outcome.
    pub(super) awaiting: HashSet<Uuid>,
}

/// A segment's good part.
#[derive(Clone, Debug)]
pub(super) struct Good {
    pub(super) file: SegmentFile,
    pub(super) length: u64,
    pub(super) begun: DateTime<Utc>,
}

/// Bytes at a segment's end that are no whole record.
#[derive(Clone, Debug)]
pub(super) struct Torn {
    pub(super) file: SegmentFile,
    pub(super) offset: u64,
}

/// A record that is not as it was written.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) segment: String,
    pub(super) line: u64,
    pub(super) seq: u64,
}

impl Survey {
    /// Reads what there is of `node`'s log.
    pub(super) fn take(directory: &Path, node: &Node) -> io::Result<Self> {
        let head = segment::read_head(directory, node)?;
        let segments = segment::list(directory)?.remove(node).unwrap_or_default();
        let mut survey = Self {
            tip: Link::START,
            segment: None,
            torn: None,
            damage: None,
            head_ahead: None,
            head_missing: head.is_none() && !segments.is_empty(),
            last: Link::START,
            awaiting: HashSet::new(),
        };
        for (age, file) in segments.into_iter().rev().enumerate() {
            let scan = Scan::of(&file, head)?;
            let is_last = age == 0;
            survey.take_in(scan, file, head, is_last);
            if survey.last.seq > 0 {
                break;
            }
        }
        survey.compare(head);
        Ok(survey)
    }

    fn take_in(&mut self, scan: Scan, file: SegmentFile, head: Option<Link>, is_last: bool) {
        self.awaiting = scan.awaiting;
        self.last = scan.last;
        if let Some(damage) = scan.rewritten {
            self.damage = Some(damage);
        }
        if let Some(bad) = scan.bad {
            // What the head has seen was on disk, so it was not torn by a crash; nor was what good records follow, unless the
            // head is known and has not seen them: then they are the rest of a batch whose first part did not reach the disk.
            let was_durable = head.is_some_and(|head| bad.seq <= head.seq);
            if is_last && !(scan.later.is_some() && (was_durable || head.is_none())) {
                self.torn = Some(Torn {
                    file: file.clone(),
                    offset: scan.good_length,
                });
            } else {
                self.last = scan.later.unwrap_or(scan.last);
                self.damage = Some(bad);
            }
        }
        self.tip = self.last;
        if is_last && self.damage.is_none() {
            self.segment = Some(Good {
                file,
                length: scan.good_length,
                begun: scan.begun.unwrap_or_default(),
            });
        }
    }

    /// Holds the head against what was found. A log goes on behind its head, so that no number is given twice and the gap
    /// stays to be seen.
    fn compare(&mut self, head: Option<Link>) {
        let Some(head) = head.filter(|head| head.seq > self.last.seq) else {
            // An empty segment has no first record, so its name may be left over from what a repair cut off.
            let next = self.tip.seq + 1;
            self.segment
                .take_if(|it| it.length == 0 && it.file.first_seq != next);
            return;
        };
        self.head_ahead = Some(head);
        self.tip = head;
        self.segment = None;
    }
}

/// One segment, read to its end.
struct Scan {
    good_length: u64,
    begun: Option<DateTime<Utc>>,
    last: Link,
    /// The first line that does not belong where it stands.
    bad: Option<Damage>,
    /// The last record behind that which is intact by itself.
    later: Option<Link>,
    /// The record that the head names, if the log has another.
    rewritten: Option<Damage>,
    awaiting: HashSet<Uuid>,
}

impl Scan {
    fn of(file: &SegmentFile, head: Option<Link>) -> io::Result<Self> {
        let mut scan = Self {
            good_length: 0,
            begun: None,
            last: Link::START,
            bad: None,
            later: None,
            rewritten: None,
            awaiting: HashSet::new(),
        };
        let mut lines = Lines::open(&file.path)?;
        while let Some(raw) = lines.next_line()? {
            let number = raw.number;
            let line = (raw.end == End::Newline)
                .then(|| Line::parse(raw.bytes).ok())
                .flatten()
                .filter(Line::is_intact);
            let place = |seq| Damage {
                segment: file.name(),
                line: number,
                seq,
            };
            let expected = if scan.begun.is_none() {
                file.first_seq
            } else {
                scan.last.seq + 1
            };
            let Some(line) = line else {
                scan.bad.get_or_insert_with(|| place(expected));
                continue;
            };
            let follows = scan.begun.is_none() || line.follows(&scan.last);
            if scan.bad.is_some() {
                scan.later = Some(line.link());
            } else if line.seq != expected || !follows {
                scan.bad = Some(place(expected));
                scan.later = Some(line.link());
            } else {
                let begun = line.time.parse().unwrap_or_default();
                scan.begun.get_or_insert(begun);
                scan.last = line.link();
                if head.is_some_and(|head| head.seq == line.seq && head != scan.last) {
                    scan.rewritten = Some(place(line.seq));
                }
                note(&mut scan.awaiting, &line, raw.bytes);
                scan.good_length = lines.offset();
            }
        }
        Ok(scan)
    }
}

/// Keeps account of the decisions that await their outcome.
fn note(awaiting: &mut HashSet<Uuid>, line: &Line<'_>, bytes: &[u8]) {
    #[derive(serde::Deserialize)]
    struct Segment {
        details: Details,
    }
    #[derive(serde::Deserialize)]
    struct Details {
        awaiting: Vec<Uuid>,
    }

    let id = || -> Option<(Uuid, &str)> {
        let (id, rest) = line
            .members
            .strip_prefix(",\"decision\":\"")?
            .split_once('"')?;
        Some((Uuid::try_parse(id).ok()?, rest))
    };
    match line.kind {
        "audit.segment" => {
            if let Ok(Segment { details }) = serde_json::from_slice(bytes) {
                awaiting.extend(details.awaiting);
            }
        }
        "decision" => {
            if let Some((id, rest)) = id()
                && !rest.starts_with(",\"verdict\":\"block\"")
            {
                awaiting.insert(id);
            }
        }
        "outcome" => {
            if let Some((id, _)) = id() {
                awaiting.remove(&id);
            }
        }
        _ => {}
    }
}
