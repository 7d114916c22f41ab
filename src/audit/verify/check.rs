//! One pass over a node's segments.
//!
//! Streaming: what is held is bounded whatever the files hold. The pass knows the place of each record by three
//! witnesses: its number, the hash of the one before, and its own hash. A line that fails by itself is judged when the next good
//! one is seen: if a number is missing there, the line was that record and was edited; if none is, the line was inserted.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use crate::audit::chain::{Line, Link, from_hex};
use crate::audit::reader::{End, Lines, RawLine};
use crate::audit::segment::{Node, SegmentFile};

use super::{Expectation, Fault, Finding, NodeReport};

/// How many hashes back a repeated record is recognised as a copy.
const REMEMBERED: usize = 4096;
/// How many separate gaps are kept apart.
const MAX_GAPS: usize = 1024;

/// A place in a log.
#[derive(Clone, Debug, Default)]
struct Place {
    file: String,
    line: u64,
}

/// Lines that failed by themselves, until the next good one tells what they were.
#[derive(Default)]
struct Limbo {
    lines: u64,
    first: Place,
    reason: &'static str,
}

pub(super) struct Check {
    node: Node,
    head: Option<Link>,
    after: Option<[u8; 32]>,
    expected: Option<[u8; 32]>,
    pub(super) expected_found: bool,
    is_live: bool,
    /// The record with the highest number so far.
    tip: Link,
    first_seq: Option<u64>,
    last_time: Option<String>,
    records: u64,
    /// Numbers that were passed over: first, and last with where that showed.
    gaps: BTreeMap<u64, (u64, Place)>,
    limbo: Limbo,
    remembered: VecDeque<Link>,
    findings: BTreeMap<Fault, Finding>,
    order: Vec<Fault>,
    own: BTreeMap<String, u64>,
    notes: Vec<String>,
    place: Place,
}

impl Check {
    pub(super) fn new(
        node: Node,
        head: Option<Link>,
        expectation: &Expectation,
        is_live: bool,
    ) -> Self {
        Self {
            node,
            head,
            after: expectation.after,
            expected: expectation.hash,
            expected_found: false,
            is_live,
            tip: Link::START,
            first_seq: None,
            last_time: None,
            records: 0,
            gaps: BTreeMap::new(),
            limbo: Limbo::default(),
            remembered: VecDeque::new(),
            findings: BTreeMap::new(),
            order: Vec::new(),
            own: BTreeMap::new(),
            notes: Vec::new(),
            place: Place::default(),
        }
    }

    pub(super) fn segment(&mut self, file: &SegmentFile, is_last: bool) -> io::Result<()> {
        let mut lines = Lines::open(&file.path)?;
        self.place = Place {
            file: file.name(),
            line: 0,
        };
        while let Some(raw) = lines.next_line()? {
            self.place.line = raw.number;
            if raw.end == End::File && is_last {
                self.unfinished(&raw);
            } else if raw.end == End::TooLong {
                self.suspect("it is too long for a record");
            } else {
                match Line::parse(raw.bytes) {
                    Ok(line) if line.is_intact() => self.record(&line, file),
                    Ok(_) => self.suspect("its bytes do not have the hash that it states"),
                    Err(_) => self.suspect("it does not have the form of a record"),
                }
            }
        }
        Ok(())
    }

    fn find(&mut self, fault: Fault, seq: Option<u64>, place: Place, count: u64, detail: String) {
        if let Some(known) = self.findings.get_mut(&fault) {
            known.count += count;
            return;
        }
        self.order.push(fault);
        let Place { file, line } = place;
        let finding = Finding {
            fault,
            seq,
            file,
            line,
            detail,
            count,
        };
        self.findings.insert(fault, finding);
    }

    fn unfinished(&mut self, raw: &RawLine<'_>) {
        if self.is_live {
            let bytes = raw.bytes.len();
            self.notes.push(format!(
                "the gateway is writing: the last {bytes} bytes were not looked at"
            ));
            return;
        }
        let seq = self.tip.seq + self.limbo.lines + 1;
        let detail = "the log ends in the middle of a record; a start of the gateway repairs this"
            .to_owned();
        self.find(Fault::Torn, Some(seq), self.place.clone(), 1, detail);
    }

    fn suspect(&mut self, reason: &'static str) {
        if self.limbo.lines == 0 {
            self.limbo.first = self.place.clone();
            self.limbo.reason = reason;
        }
        self.limbo.lines += 1;
    }

    /// Takes in a record that is intact by itself.
    fn record(&mut self, line: &Line<'_>, file: &SegmentFile) {
        let own = line.link();
        if self.place.line == 1 && line.seq != file.first_seq {
            let detail = format!(
                "the segment's name says that it begins with record {}, it begins with {}",
                file.first_seq, line.seq
            );
            self.find(
                Fault::Misnamed,
                Some(line.seq),
                self.place.clone(),
                1,
                detail,
            );
        }
        if line.node != self.node.to_string() {
            let detail = format!("the record is of node `{}`", line.node);
            self.find(
                Fault::Misnamed,
                Some(line.seq),
                self.place.clone(),
                1,
                detail,
            );
        }
        if own.seq <= self.tip.seq {
            self.settle_limbo(0);
            return self.out_of_order(own);
        }
        if self.first_seq.is_none() && self.limbo.lines == 0 {
            self.begins(line);
        } else {
            let passed = own.seq - self.tip.seq - 1;
            let explained = self.settle_limbo(passed);
            if passed == 0 && !line.follows(&self.tip) {
                let detail = format!(
                    "record {} does not continue record {}: one of them was edited and its hash made anew",
                    line.seq, self.tip.seq
                );
                self.find(
                    Fault::Edited,
                    Some(self.tip.seq),
                    self.place.clone(),
                    1,
                    detail,
                );
            }
            self.gap(self.tip.seq + 1 + explained, own.seq - 1);
        }
        self.accept(line, own);
    }

    /// The first record of what is there.
    fn begins(&mut self, line: &Line<'_>) {
        let follows = match self.after {
            Some(hash) => from_hex(line.prev) == Some(hash),
            None => line.seq == 1 && line.follows(&Link::START),
        };
        if follows {
            return;
        }
        if line.seq > 1 && self.after.is_none() {
            self.gap(1, line.seq - 1);
        } else {
            let detail = "the first record does not continue what should be before it".to_owned();
            self.find(Fault::Edited, Some(line.seq), self.place.clone(), 1, detail);
        }
    }

    fn accept(&mut self, line: &Line<'_>, own: Link) {
        self.records += 1;
        self.first_seq.get_or_insert(own.seq);
        self.tip = own;
        self.last_time = Some(line.time.to_owned());
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(own);
        self.witness(own);
        let notable = [
            "audit.truncation-found",
            "audit.damage-found",
            "audit.repaired",
        ];
        if notable.contains(&line.kind)
            || matches!(line.kind, "audit.interrupted" | "audit.overloaded")
        {
            *self.own.entry(line.kind.to_owned()).or_default() += 1;
        }
    }

    fn witness(&mut self, link: Link) {
        self.expected_found |= self.expected == Some(link.hash);
        if let Some(head) = self.head.filter(|it| it.seq == link.seq && *it != link) {
            let detail = format!(
                "the head says that record {} has the hash {}",
                head.seq,
                head.hash_text()
            );
            self.find(Fault::Edited, Some(link.seq), self.place.clone(), 1, detail);
        }
    }

    /// A record whose number was passed already.
    fn out_of_order(&mut self, link: Link) {
        let gap = self
            .gaps
            .range(..=link.seq)
            .next_back()
            .map(|(first, gap)| (*first, gap.clone()))
            .filter(|(_, (last, _))| link.seq <= *last);
        if let Some((first, (last, place))) = gap {
            self.gaps.remove(&first);
            if first < link.seq {
                self.gaps.insert(first, (link.seq - 1, place.clone()));
            }
            if link.seq < last {
                self.gaps.insert(link.seq + 1, (last, place));
            }
            self.records += 1;
            self.witness(link);
            let detail = format!("record {} stands behind record {}", link.seq, self.tip.seq);
            return self.find(
                Fault::Reordered,
                Some(link.seq),
                self.place.clone(),
                1,
                detail,
            );
        }
        if self.remembered.contains(&link) {
            let detail = format!("record {} is there a second time", link.seq);
            self.find(
                Fault::Duplicate,
                Some(link.seq),
                self.place.clone(),
                1,
                detail,
            );
        } else {
            let detail = format!(
                "another record with the number {} was there before",
                link.seq
            );
            self.find(
                Fault::Inserted,
                Some(link.seq),
                self.place.clone(),
                1,
                detail,
            );
        }
    }

    /// Judges the lines that failed by themselves, now that `passed` numbers are known to be missing where they stand.
    /// Returns how many of these they explain.
    fn settle_limbo(&mut self, passed: u64) -> u64 {
        let Limbo {
            lines,
            first,
            reason,
        } = std::mem::take(&mut self.limbo);
        if lines == 0 {
            return 0;
        }
        let edited = lines.min(passed);
        let seq = self.tip.seq + 1;
        if edited > 0 {
            self.find(
                Fault::Edited,
                Some(seq),
                first.clone(),
                edited,
                format!("record {seq} was edited: {reason}"),
            );
        }
        if lines > edited {
            let detail = format!("a line that no number is missing for: {reason}");
            self.find(Fault::Inserted, None, first, lines - edited, detail);
        }
        edited
    }

    fn gap(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        if self.gaps.len() < MAX_GAPS {
            self.gaps.insert(first, (last, self.place.clone()));
        } else {
            self.removed(first, last, self.place.clone());
        }
    }

    fn removed(&mut self, first: u64, last: u64, place: Place) {
        let detail = if first == last {
            format!("record {first} is missing before this line")
        } else {
            format!("records {first} to {last} are missing before this line")
        };
        self.find(Fault::Removed, Some(first), place, last - first + 1, detail);
    }

    pub(super) fn finish(mut self, segments: usize) -> NodeReport {
        let suspects = self.limbo.lines;
        self.settle_limbo(suspects);
        for (first, (last, place)) in std::mem::take(&mut self.gaps) {
            self.removed(first, last, place);
        }
        let reached = self.tip.seq + suspects;
        match self.head {
            Some(head) if head.seq > reached => {
                let detail = format!(
                    "the head names record {}, the log ends with {reached}",
                    head.seq
                );
                let missing = head.seq - reached;
                self.find(
                    Fault::Truncated,
                    Some(reached + 1),
                    self.place.clone(),
                    missing,
                    detail,
                );
            }
            Some(_) => {}
            None => self.notes.push(
                "there is no head: records that are missing at the end cannot be noticed"
                    .to_owned(),
            ),
        }
        for (kind, count) in &self.own {
            self.notes.push(format!(
                "the gateway itself recorded `{kind}` {count} times"
            ));
        }
        let known = self.first_seq.is_some();
        let mut findings = std::mem::take(&mut self.findings);
        NodeReport {
            node: self.node.to_string(),
            segments,
            records: self.records,
            first_seq: self.first_seq,
            last_seq: known.then_some(self.tip.seq),
            last_hash: known.then(|| self.tip.hash_text()),
            last_time: self.last_time,
            findings: self
                .order
                .iter()
                .filter_map(|it| findings.remove(it))
                .collect(),
            notes: self.notes,
        }
    }
}
