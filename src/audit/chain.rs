//! The chain: one line a record, each bound to the one before by a SHA-256.
//!
//! A segment is a file of lines, each ended by one LF (0x0a), which occurs nowhere else. A line is, byte by byte and without
//! any white space between its members:
//!
//! ```text
//! {"seq":<digits>                  the record's number: 1 for a node's first, then one more each, across segments; no leading zero
//! ,"time":"<27 characters>"        UTC, microseconds: 2026-11-21T09:08:03.123456Z; when it happened, so not strictly ascending
//! ,"node":"<name>"                 the node that wrote it: letters, digits, `.`, `_`, `-`; the name in the segment's file name
//! ,"kind":"<word>"                 `decision`, `outcome`, or an event's kind; letters, digits, `.`, `_`, `-`
//! ,<members of the kind>           see body.rs; none for a kind without any
//! ,"prev":"<64 hex digits>"        the `hash` of the record before, across segments; 64 zeros before a node's first
//! ,"hash":"<64 hex digits>"}       SHA-256 of the line's bytes from its `{` to the `"` that ends `prev`'s value, both included:
//! LF                               all of the line but its last 76 bytes
//! ```
//!
//! Hexadecimal digits are lower case; text is UTF-8. No line is longer than [`MAX_LINE`].

use aws_lc_rs::digest::{SHA256, digest};

use super::json;

/// The longest line that is read, in bytes, without its LF: 1 MiB, several times what the largest record takes.
pub const MAX_LINE: usize = 1024 * 1024;

/// The highest number that a record may have: high enough for any log, and far from overflow whoever wrote it.
pub(super) const MAX_SEQ: u64 = 1_000_000_000_000_000_000;

/// `,"prev":"` + digits + `"`
const PREV_BYTES: usize = 9 + 64 + 1;
/// `,"hash":"` + digits + `"}`
const HASH_BYTES: usize = 9 + 64 + 2;

/// A record's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl std::str::FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        from_hex(&text.to_ascii_lowercase())
            .map(Self)
            .ok_or(InvalidDigest)
    }
}

/// A text that is not a record's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hexadecimal digits: `audit verify` prints the last one")]
pub struct InvalidDigest;

/// A record's place in the chain: its number and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) hash: [u8; 32],
}

impl Link {
    /// What a node's first record follows.
    pub(super) const START: Self = Self {
        seq: 0,
        hash: [0; 32],
    };

    pub(super) fn hash_text(&self) -> String {
        let mut text = Vec::with_capacity(64);
        json::hex(&mut text, &self.hash);
        text.into_iter().map(char::from).collect()
    }
}

/// Appends the line of the record that follows `tip` and has this body; `tip` becomes its link.
pub(super) fn seal(out: &mut Vec<u8>, tip: &mut Link, body: &[u8]) {
    let start = out.len();
    tip.seq += 1;
    out.extend_from_slice(b"{\"seq\":");
    json::number(out, tip.seq);
    out.push(b',');
    out.extend_from_slice(body);
    out.extend_from_slice(b",\"prev\":\"");
    json::hex(out, &tip.hash);
    out.push(b'"');
    let hash = digest(&SHA256, out.get(start..).unwrap_or_default());
    // SHA-256 has 32 bytes.
    tip.hash = hash.as_ref().try_into().unwrap_or_default();
    out.extend_from_slice(b",\"hash\":\"");
    json::hex(out, &tip.hash);
    out.extend_from_slice(b"\"}\n");
}

/// A line that has the form of a record. Whether it is intact is another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The record's number.
    pub seq: u64,
    /// When: 27 characters, UTC.
    pub time: &'a str,
    /// The node that wrote it.
    pub node: &'a str,
    /// What it is.
    pub kind: &'a str,
    /// The members of its kind, from the comma before the first; not looked into.
    pub members: &'a str,
    /// The hash of the record before, as hexadecimal digits.
    pub prev: &'a str,
    /// The record's own, as it states it.
    pub hash: &'a str,
    /// What the hash is taken of.
    covered: &'a str,
}

/// Why a line is not a good record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It does not have the form of a record.
    #[error("the line is not a record: {0}")]
    Form(&'static str),
    /// Its bytes do not have the hash that it states.
    #[error("the record does not have the hash that it states")]
    Hash,
}

impl<'a> Line<'a> {
    /// Reads the form of a line, given without its LF. Whatever the bytes, this returns.
    pub fn parse(line: &'a [u8]) -> Result<Self, BadLine> {
        if line.len() > MAX_LINE {
            return Err(BadLine::Form("it is too long"));
        }
        // JSON escapes them all (RFC 8259 section 7), so whoever splits a log at line breaks and whoever reads one record agree.
        if line.iter().any(|byte| *byte < 0x20) {
            return Err(BadLine::Form("it holds a raw control character"));
        }
        let line = std::str::from_utf8(line).map_err(|_| BadLine::Form("it is not UTF-8"))?;
        let (covered, hash) = line
            .len()
            .checked_sub(HASH_BYTES)
            .and_then(|at| line.split_at_checked(at))
            .ok_or(BadLine::Form("it is too short"))?;
        let hash =
            member(hash, ",\"hash\":\"", "\"}").ok_or(BadLine::Form("no `hash` at its end"))?;
        let (open, prev) = covered
            .len()
            .checked_sub(PREV_BYTES)
            .and_then(|at| covered.split_at_checked(at))
            .ok_or(BadLine::Form("it is too short"))?;
        let prev = member(prev, ",\"prev\":\"", "\"")
            .ok_or(BadLine::Form("no `prev` before its `hash`"))?;
        let rest = open
            .strip_prefix("{\"seq\":")
            .ok_or(BadLine::Form("it does not begin with `seq`"))?;
        let (digits, rest) = rest
            .split_once(",\"time\":\"")
            .ok_or(BadLine::Form("no `time` after `seq`"))?;
        let seq = sequence(digits).ok_or(BadLine::Form("`seq` is not a number"))?;
        let (time, rest) = rest
            .split_once("\",\"node\":\"")
            .ok_or(BadLine::Form("no `node` after `time`"))?;
        let (node, rest) = rest
            .split_once("\",\"kind\":\"")
            .ok_or(BadLine::Form("no `kind` after `node`"))?;
        let (kind, members) = rest
            .split_once('"')
            .ok_or(BadLine::Form("`kind` does not end"))?;
        if time.len() != 27 || !is_plain(time, ":") || !is_plain(node, "") || !is_plain(kind, "") {
            return Err(BadLine::Form(
                "`time`, `node` or `kind` is not what it should be",
            ));
        }
        Ok(Self {
            seq,
            time,
            node,
            kind,
            members,
            prev,
            hash,
            covered,
        })
    }

    /// Whether the line's bytes have the hash that it states.
    pub fn is_intact(&self) -> bool {
        let mut digits = Vec::with_capacity(64);
        json::hex(
            &mut digits,
            digest(&SHA256, self.covered.as_bytes()).as_ref(),
        );
        digits == self.hash.as_bytes()
    }

    /// Its place in the chain, by the hash that it states.
    pub(super) fn link(&self) -> Link {
        Link {
            seq: self.seq,
            hash: from_hex(self.hash).unwrap_or_default(),
        }
    }

    /// Whether it states that it follows `link`.
    pub(super) fn follows(&self, link: &Link) -> bool {
        from_hex(self.prev) == Some(link.hash)
    }
}

/// Reads one line, given without its LF, and checks its form, its JSON and its hash: what can be said of a record by itself.
///
/// Whatever the bytes, this returns: it is the entry for fuzzers.
pub fn verify_line(line: &[u8]) -> Result<Line<'_>, BadLine> {
    let parsed = Line::parse(line)?;
    if !parsed.is_intact() {
        return Err(BadLine::Hash);
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(line)
        .map_err(|_| BadLine::Form("it is not JSON"))?;
    Ok(parsed)
}

/// The 32 bytes of 64 lower-case hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

/// The hexadecimal digits between `before` and `after`.
fn member<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let digits = text.strip_prefix(before)?.strip_suffix(after)?;
    from_hex(digits).map(|_| digits)
}

/// A record's number: digits without a leading zero, from 1 to [`MAX_SEQ`].
pub(super) fn sequence(digits: &str) -> Option<u64> {
    let well_formed = digits.bytes().all(|it| it.is_ascii_digit()) && !digits.starts_with('0');
    let seq = digits.parse().ok().filter(|_| well_formed)?;
    (seq <= MAX_SEQ).then_some(seq)
}

fn is_plain(text: &str, besides: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|it| {
            it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-') || besides.contains(it)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] =
        br#""time":"2026-11-21T09:08:03.123456Z","node":"gw1","kind":"outcome","status":200"#;

    #[test]
    fn a_sealed_line_is_a_record_that_follows_the_one_before() {
        let mut tip = Link::START;
        let mut out = Vec::new();
        seal(&mut out, &mut tip, BODY);
        let first = tip;
        let second = out.len();
        seal(&mut out, &mut tip, BODY);
        let line = verify_line(&out[second..out.len() - 1]).unwrap();
        assert_eq!((line.seq, line.node, line.kind), (2, "gw1", "outcome"));
        assert_eq!(line.members, ",\"status\":200");
        assert!(line.follows(&first) && !line.follows(&tip));
        assert_eq!(line.link(), tip);
    }

    #[test]
    fn the_hash_is_that_of_all_but_the_last_76_bytes() {
        let mut out = Vec::new();
        let mut tip = Link::START;
        seal(&mut out, &mut tip, BODY);
        let hash = digest(&SHA256, &out[..out.len() - 76]);
        assert_eq!(hash.as_ref(), tip.hash);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let mut out = Vec::new();
        seal(&mut out, &mut Link::START.clone(), BODY);
        out.pop();
        for index in 0..out.len() {
            let mut changed = out.clone();
            changed[index] ^= 1;
            assert!(verify_line(&changed).is_err(), "byte {index}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(verify_line(&line).is_err());
        }

        #[test]
        fn no_nearly_right_line_panics(
            seq in "[0-9]{0,25}", time in ".{0,30}", rest in ".{0,80}", digits in "[0-9a-f]{63,65}",
        ) {
            let line = format!(
                "{{\"seq\":{seq},\"time\":\"{time}\",\"node\":\"n\",\"kind\":\"k\"{rest},\"prev\":\"{digits}\",\"hash\":\"{digits}\"}}"
            );
            prop_assert!(verify_line(line.as_bytes()).is_err());
        }
    }
}
