//! A command's parameters as a record shows them: values exactly, secrets replaced, the size bounded.
//!
//! What is too large gives way to its size and hash, the largest values first, so that a large one hides nothing beside it. That
//! takes at most four passes over the values.
//!
//! Redaction is [`Redaction::redacted`]'s, done while writing, so that no value is copied first; a test
//! holds the two together.

use aws_lc_rs::digest::{Digest, SHA256, digest};

use crate::model::{Command, Number, REDACTED, Redaction, Spelling, Value};

use super::json;

/// The most bytes of JSON that a record shows of parameters or details: 64 KiB.
pub(super) const MAX_SHOWN: usize = 64 * 1024;

/// How many paths a record lists of each kind; a last one, `…`, stands for more.
const MAX_PATHS: usize = 64;

/// Values that take no more bytes of JSON than this are never replaced by themselves: their sizes and hashes take a hundred.
const MIN_REPLACED: usize = 256;

/// The most bytes that stand for a value that is replaced.
const REPLACEMENT: usize = 112;

/// Writes `"parameters":{…},"redacted":[…]` for `command`.
///
/// Where the parameters take more than [`MAX_SHOWN`] bytes, the largest values inside are replaced by texts with their size and
/// SHA-256, as JSON with secrets redacted; if that does not do, the largest parameters; and if their names alone are too long, `parameters` is
/// `null`. Three members follow it then: `parameters_bytes` and `parameters_sha256` of the JSON that would have stood there, and
/// `omitted`, the paths of what was replaced.
pub(super) fn write(out: &mut Vec<u8>, command: &Command, redaction: &Redaction) {
    out.extend_from_slice(b"\"parameters\":");
    let start = out.len();
    let mut walk = Walk::new(redaction);
    walk.command(out, command);
    if out.len() - start > MAX_SHOWN {
        let whole = replaced(out, start);
        walk = shorten(out, command, redaction, whole.bytes);
        if out.len() - start > MAX_SHOWN {
            out.truncate(start);
            json::null(out);
        }
        whole.write(out, "parameters");
        out.extend_from_slice(b",\"omitted\":");
        paths(out, &walk.omitted);
    }
    out.extend_from_slice(b",\"redacted\":");
    paths(out, &walk.removed);
}

/// Writes parameters that take `bytes` with the largest values replaced, as many as have to be.
fn shorten<'a>(
    out: &mut Vec<u8>,
    command: &'a Command,
    redaction: &'a Redaction,
    bytes: usize,
) -> Walk<'a> {
    let start = out.len();
    let mut walk = Walk::new(redaction);
    walk.measured = Some(Vec::new());
    walk.command(out, command);
    out.truncate(start);
    let sizes = walk.measured.take().unwrap_or_default();
    let longest = longest_shown(&sizes, bytes);

    let mut walk = Walk::new(redaction);
    walk.longest = longest;
    let sizes = walk.command(out, command);
    let bytes = out.len() - start;
    if bytes <= MAX_SHOWN {
        return walk;
    }
    out.truncate(start);
    let mut walk = Walk::new(redaction);
    walk.longest = longest;
    let most = longest_shown(&sizes, bytes);
    walk.whole = sizes.iter().map(|it| *it > most).collect();
    walk.command(out, command);
    walk
}

/// The size up to which values are shown, of such that have these `sizes` and take `bytes` together, so that they fit.
fn longest_shown(sizes: &[usize], mut bytes: usize) -> usize {
    let mut sizes: Vec<usize> = sizes
        .iter()
        .copied()
        .filter(|it| *it > MIN_REPLACED)
        .collect();
    sizes.sort_unstable();
    while bytes > MAX_SHOWN
        && let Some(largest) = sizes.pop()
    {
        bytes = bytes.saturating_sub(largest) + REPLACEMENT;
        if bytes <= MAX_SHOWN {
            return largest - 1;
        }
    }
    MIN_REPLACED
}

/// `["…", …]`
fn paths(out: &mut Vec<u8>, paths: &[String]) {
    out.push(b'[');
    for (index, path) in paths.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::bounded_text(out, path, 256);
    }
    out.push(b']');
}

/// What stands for a text of JSON that is too long.
struct Replaced {
    bytes: usize,
    hash: Digest,
}

/// Takes away what was written from `start` on.
fn replaced(out: &mut Vec<u8>, start: usize) -> Replaced {
    let written = out.get(start..).unwrap_or_default();
    let replaced = Replaced {
        bytes: written.len(),
        hash: digest(&SHA256, written),
    };
    out.truncate(start);
    replaced
}

impl Replaced {
    /// As members of `name`.
    fn write(&self, out: &mut Vec<u8>, name: &str) {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"_bytes\":");
        self.write_size(out);
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"_sha256\":\"");
        json::hex(out, self.hash.as_ref());
        out.push(b'"');
    }

    /// As a text.
    fn write_text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"[");
        self.write_size(out);
        out.extend_from_slice(b" bytes, sha256 ");
        json::hex(out, self.hash.as_ref());
        out.extend_from_slice(b"]\"");
    }

    fn write_size(&self, out: &mut Vec<u8>) {
        json::number(out, u64::try_from(self.bytes).unwrap_or(u64::MAX));
    }
}

/// Replaces what was written from `start` on, if it is too long, by `null` and its size and hash as members of `name`.
pub(super) fn bound(out: &mut Vec<u8>, start: usize, name: &str) {
    if out.len() - start > MAX_SHOWN {
        let whole = replaced(out, start);
        json::null(out);
        whole.write(out, name);
    }
}

/// Whether JSON readers that keep numbers as doubles refuse this one, and with it the whole record: whoever sends `1e400`
/// must not be able to hide what was done with it. Such a number is shown as a text.
fn is_beyond_readers(number: &Number) -> bool {
    // Only an exponent, or hundreds of digits, lead out of a double's range.
    let text = number.as_str();
    let is_plain = text.len() < 300 && !text.contains(['e', 'E']);
    !is_plain && !text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A walk through nested values that knows where it stands.
struct Walk<'a> {
    redaction: &'a Redaction,
    path: Vec<&'a str>,
    removed: Vec<String>,
    omitted: Vec<String>,
    /// The sizes of texts and numbers, if they are asked for.
    measured: Option<Vec<usize>>,
    /// The longest text or number that is shown.
    longest: usize,
    /// By their places, which parameters are replaced whole.
    whole: Vec<bool>,
}

impl<'a> Walk<'a> {
    fn new(redaction: &'a Redaction) -> Self {
        Self {
            redaction,
            path: Vec::new(),
            removed: Vec::new(),
            omitted: Vec::new(),
            measured: None,
            longest: usize::MAX,
            whole: Vec::new(),
        }
    }

    /// Writes all parameters, and returns how many bytes each of them took.
    fn command(&mut self, out: &mut Vec<u8>, command: &'a Command) -> Vec<usize> {
        let (longest, mut sizes) = (self.longest, Vec::new());
        out.push(b'{');
        for (index, parameter) in command.parameters.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let name = parameter.name.as_str();
            json::text(out, name);
            out.push(b':');
            let start = out.len();
            let is_whole = self.whole.get(index).copied().unwrap_or(false);
            // The hash is that of the whole value, and it is named once.
            self.longest = if is_whole { usize::MAX } else { longest };
            self.path.push(name);
            let is_hidden = match command.parameters.spelling(&parameter.name) {
                Spelling::AsWritten => self.redaction.hides(name),
                Spelling::Whole => self.redaction.hides_whole(name),
            };
            self.named(out, is_hidden, &parameter.value);
            if is_whole {
                replaced(out, start).write_text(out);
                self.omitted();
            }
            self.path.pop();
            sizes.push(out.len() - start);
        }
        out.push(b'}');
        self.longest = longest;
        sizes
    }

    fn member(&mut self, out: &mut Vec<u8>, name: &'a str, value: &'a Value) {
        json::text(out, name);
        out.push(b':');
        self.path.push(name);
        self.named(out, self.redaction.hides(name), value);
        self.path.pop();
    }

    /// The value of the member or parameter at the path, whose name is one of those that are hidden or not.
    fn named(&mut self, out: &mut Vec<u8>, is_hidden: bool, value: &'a Value) {
        if *value != Value::Null && is_hidden {
            self.hidden(out);
        } else {
            self.value(out, value);
        }
    }

    fn hidden(&mut self, out: &mut Vec<u8>) {
        note(&mut self.removed, &self.path);
        json::text(out, REDACTED);
    }

    fn value(&mut self, out: &mut Vec<u8>, value: &'a Value) {
        let start = out.len();
        match value {
            Value::Bool(_) | Value::Null => value.write_json(out),
            Value::Number(number) => {
                if is_beyond_readers(number) {
                    json::text(out, number.as_str());
                } else {
                    value.write_json(out);
                }
                self.bounded(out, start);
            }
            Value::Text(text) => {
                json::text(out, text);
                self.bounded(out, start);
            }
            Value::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.value(out, item);
                }
                out.push(b']');
            }
            Value::Table(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.member(out, name, value);
                }
                out.push(b'}');
            }
        }
    }

    /// Replaces the text or number that was written from `start` on, if it is too long.
    fn bounded(&mut self, out: &mut Vec<u8>, start: usize) {
        let bytes = out.len() - start;
        if let Some(measured) = &mut self.measured
            && bytes > MIN_REPLACED
        {
            measured.push(bytes);
        }
        if bytes > self.longest {
            replaced(out, start).write_text(out);
            self.omitted();
        }
    }

    fn omitted(&mut self) {
        note(&mut self.omitted, &self.path);
    }
}

/// Notes that the value at the path was left out; the items of a list share one path.
fn note(paths: &mut Vec<String>, path: &[&str]) {
    if paths.len() > MAX_PATHS {
        return;
    }
    let path = path.join(".");
    if paths.last() == Some(&path) {
        return;
    }
    paths.push(if paths.len() < MAX_PATHS {
        path
    } else {
        "…".to_owned()
    });
}

#[cfg(test)]
mod tests;
