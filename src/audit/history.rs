//! The records of a directory in order: all of them, the last few, and those that come.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::reader::{End, Lines, last_lines};
use super::segment::{self, Node, SegmentFile};
use super::stored::Stored;

/// Calls `visit` with each line that is a record, in the order in which they were written, node after node, until it says that
/// it has seen enough. Segments that end before `since` (a time as records write it) are passed over.
pub fn read(
    directory: &Path,
    node: Option<&Node>,
    since: Option<&str>,
    visit: &mut dyn FnMut(&[u8], &Stored<'_>) -> io::Result<Flow>,
) -> io::Result<()> {
    for (_, segments) in logs(directory, node)? {
        for (index, file) in segments.iter().enumerate() {
            // Records are written within seconds of their time; an hour is far more.
            if let Some((since, next)) = since.zip(segments.get(index + 1))
                && let Some(begun) = first_time(next)?
                && begun.as_str() < since
                && is_hour_before(&begun, since)
            {
                continue;
            }
            let mut lines = Lines::open(&file.path)?;
            while let Some(raw) = lines.next_line()? {
                if raw.end == End::Newline
                    && let Some(record) = Stored::read(raw.bytes)
                    && visit(raw.bytes, &record)? == Flow::Enough
                {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Whether to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Stop.
    Enough,
    /// Go on.
    More,
}

fn logs(directory: &Path, node: Option<&Node>) -> io::Result<BTreeMap<Node, Vec<SegmentFile>>> {
    let mut logs = segment::list(directory)?;
    logs.retain(|name, _| node.is_none_or(|it| it == name));
    Ok(logs)
}

fn first_time(file: &SegmentFile) -> io::Result<Option<String>> {
    let mut lines = match Lines::open(&file.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let first = lines.next_line()?;
    Ok(first
        .and_then(|raw| Stored::read(raw.bytes))
        .map(|it| it.time.into_owned()))
}

fn is_hour_before(earlier: &str, later: &str) -> bool {
    let parse = |text: &str| text.parse::<chrono::DateTime<chrono::Utc>>().ok();
    parse(earlier)
        .zip(parse(later))
        .is_some_and(|(earlier, later)| later - earlier > chrono::TimeDelta::hours(1))
}

/// Follows a directory's logs: knows where each was read to, across rotations and new nodes.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    node: Option<Node>,
    /// By node: the segment that is read, and up to where.
    positions: BTreeMap<Node, (u64, u64)>,
}

impl Follower {
    /// The last `count` records of `directory` (of `node` alone, if given), and a follower that stands behind them.
    pub fn start(
        directory: &Path,
        node: Option<&Node>,
        count: usize,
    ) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let mut follower = Self {
            directory: directory.to_owned(),
            node: node.cloned(),
            positions: BTreeMap::new(),
        };
        for (name, segments) in logs(directory, node)? {
            let mut wanted = count;
            for (age, file) in segments.iter().rev().enumerate() {
                let (start, found) = last_lines(&file.path, wanted)?;
                // Even where no line is wanted, the last segment's whole lines are behind us.
                let start = if wanted == 0 && age == 0 {
                    whole(&file.path)?
                } else {
                    start
                };
                wanted -= found;
                follower
                    .positions
                    .insert(name.clone(), (file.first_seq, start));
                if wanted == 0 {
                    break;
                }
            }
        }
        let mut lines = follower.poll()?;
        let surplus = lines.len().saturating_sub(count);
        lines.drain(..surplus);
        Ok((follower, lines))
    }

    /// The records that were added since the last call: each node's in its order, the nodes' merged by time.
    pub fn poll(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        for (name, segments) in logs(&self.directory, self.node.as_ref())? {
            let mut log = Vec::new();
            let (current, offset) = self.positions.get(&name).copied().unwrap_or_default();
            for file in segments.iter().filter(|it| it.first_seq >= current) {
                let from = if file.first_seq == current { offset } else { 0 };
                let read = added(&file.path, from, &mut log)?;
                self.positions.insert(name.clone(), (file.first_seq, read));
            }
            // A node's times are not strictly ascending; what it wrote later is not shown earlier.
            let mut latest = String::new();
            for (time, line) in log {
                latest = latest.max(time);
                found.push((latest.clone(), line));
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found.into_iter().map(|it| it.1).collect())
    }
}

/// Reads whole lines from `offset` on; where the next one will begin.
fn added(path: &Path, offset: u64, found: &mut Vec<(String, Vec<u8>)>) -> io::Result<u64> {
    let mut lines = Lines::open_at(path, offset)?;
    let mut read = offset;
    while let Some(raw) = lines.next_line()? {
        if raw.end == End::File {
            break;
        }
        if let Some(record) = Stored::read(raw.bytes) {
            let time = record.time.into_owned();
            let line = raw.bytes.to_vec();
            found.push((time, line));
        }
        read = lines.offset();
    }
    Ok(read)
}

/// Where the whole lines of a file end.
fn whole(path: &Path) -> io::Result<u64> {
    let (start, _) = last_lines(path, 1)?;
    added(path, start, &mut Vec::new())
}
