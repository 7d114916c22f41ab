//! The files of a log: names of nodes, segments and heads, and what a head holds.
//!
//! In the log's directory lie, for each node, segments `audit-<node>-<seq of its first record, 20 digits>.jsonl`, and one
//! `head-<node>.json` of 128 bytes: `{"seq":<digits>,"hash":"<64 hex digits>"}`, spaces, LF. The head names the last record that is
//! known to be on disk. It is written after each sync and not synced itself, so it may be behind the log and is never ahead of it.
//! `audit.lock` is locked by the process that writes. `<segment>.torn-<time>` keeps what a repair cut off.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::chain::{Link, from_hex, sequence};

/// The file that the writing process holds locked.
pub(super) const LOCK: &str = "audit.lock";

/// The size of a head file.
pub(super) const HEAD_BYTES: usize = 128;

/// A node's name, as records and file names have it.
///
/// INVARIANT: 1 to 64 ASCII letters, digits, `.`, `_`, `-`, the first a letter or a digit: it needs no quoting anywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(Arc<str>);

/// A text that cannot be a node's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a node name (1 to 64 letters, digits, `.`, `_`, `-`, the first a letter or a digit): set `node` in `[audit]`",
    .0.escape_debug()
)]
pub struct InvalidNode(String);

impl FromStr for Node {
    type Err = InvalidNode;

    fn from_str(text: &str) -> Result<Self, InvalidNode> {
        let well_formed = text.len() <= 64
            && text.starts_with(|it: char| it.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-'));
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(InvalidNode(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A segment as its name describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Where it is.
    pub path: PathBuf,
    /// The number of its first record.
    pub first_seq: u64,
}

impl SegmentFile {
    /// The file's name, for people.
    pub fn name(&self) -> String {
        shown(&self.path)
    }
}

/// A path's last part, for people.
pub(super) fn shown(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// The name of the segment of `node` that begins with `first_seq`.
pub(super) fn file_name(node: &Node, first_seq: u64) -> String {
    format!("audit-{node}-{first_seq:020}.jsonl")
}

/// The name of `node`'s head.
pub(super) fn head_name(node: &Node) -> String {
    format!("head-{node}.json")
}

fn parse_name(name: &str) -> Option<(Node, u64)> {
    let (node, digits) = name
        .strip_prefix("audit-")?
        .strip_suffix(".jsonl")?
        .rsplit_once('-')?;
    if digits.len() != 20 {
        return None;
    }
    let first_seq = sequence(digits.trim_start_matches('0'))?;
    Some((node.parse().ok()?, first_seq))
}

/// The segments in a directory, by node, in the order of their names. A node that has only a head is listed without any.
pub fn list(directory: &Path) -> io::Result<BTreeMap<Node, Vec<SegmentFile>>> {
    let mut nodes: BTreeMap<Node, Vec<SegmentFile>> = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some((node, first_seq)) = parse_name(name) {
            nodes.entry(node).or_default().push(SegmentFile {
                path: entry.path(),
                first_seq,
            });
        } else if let Some(Ok(node)) = name
            .strip_prefix("head-")
            .and_then(|it| it.strip_suffix(".json"))
            .map(str::parse)
        {
            nodes.entry(node).or_default();
        }
    }
    for segments in nodes.values_mut() {
        segments.sort_by_key(|it| it.first_seq);
    }
    Ok(nodes)
}

/// What `node`'s head says; `None` if there is no head, or it says nothing that can be understood.
pub(super) fn read_head(directory: &Path, node: &Node) -> io::Result<Option<Link>> {
    /// Reads until two agree. One alone may hold a part of each of two heads: reading is not atomic beside a writer.
    const TRIES: usize = 16;
    let mut before = read_head_bytes(directory, node)?;
    for _ in 0..TRIES {
        let now = read_head_bytes(directory, node)?;
        if now == before {
            break;
        }
        before = now;
    }
    Ok(before
        .as_deref()
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(parse_head))
}

fn read_head_bytes(directory: &Path, node: &Node) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;

    let file = match std::fs::File::open(directory.join(head_name(node))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut text = Vec::new();
    file.take(4096).read_to_end(&mut text)?;
    Ok(Some(text))
}

fn parse_head(text: &str) -> Option<Link> {
    let text = text.trim_end().strip_prefix("{\"seq\":")?;
    let (digits, hash) = text.split_once(",\"hash\":\"")?;
    Some(Link {
        seq: sequence(digits)?,
        hash: from_hex(hash.strip_suffix("\"}")?)?,
    })
}

/// A head file's bytes.
pub(super) fn head_bytes(tip: &Link) -> Vec<u8> {
    let text = format!("{{\"seq\":{},\"hash\":\"{}\"}}", tip.seq, tip.hash_text());
    let width = HEAD_BYTES - 1;
    format!("{text:<width$}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_nothing_else_is_a_segment() {
        let node: Node = "gw-1.example".parse().unwrap();
        let name = file_name(&node, 42);
        assert_eq!(name, "audit-gw-1.example-00000000000000000042.jsonl");
        assert_eq!(parse_name(&name), Some((node, 42)));
        for other in [
            "audit-gw-42.jsonl",
            "audit-gw-00000000000000000000.jsonl",
            "audit-gw-00000000000000000042.jsonl.torn-1",
            "audit-../x-00000000000000000042.jsonl",
            "audit--00000000000000000042.jsonl",
            "audit-gw-99999999999999999999.jsonl",
        ] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_head_reads_back_and_has_one_size() {
        for seq in [1, 1_000_000_000_000_000_000] {
            let link = Link { seq, hash: [7; 32] };
            let bytes = head_bytes(&link);
            assert_eq!(bytes.len(), HEAD_BYTES);
            assert_eq!(parse_head(std::str::from_utf8(&bytes).unwrap()), Some(link));
        }
        assert_eq!(parse_head("{\"seq\":1}"), None);
    }

    #[test]
    fn node_names_need_no_quoting() {
        for bad in [
            "",
            ".hidden",
            "-x",
            "a b",
            "a/b",
            "a\"b",
            "é",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<Node>().is_err(), "{bad}");
        }
    }
}
