//! What must hold of lines of the audit log.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use crate::audit::stored::{Filter, Stored};
use crate::audit::{BadLine, Line, verify_line};

/// How many bytes of a line are changed, one at a time, when it is longer than that.
const MAX_CHANGES: usize = 64;

pub(super) fn line(data: &[u8]) {
    if let Some(record) = Stored::read(data) {
        assert!(Filter::default().wants(&record), "no filter wants all");
    }
    match verify_line(data) {
        Ok(line) => intact(data, line),
        // A fuzzer finds no hash: give the line its own, and look again.
        Err(BadLine::Hash) => {
            let sealed = sealed(data);
            match verify_line(&sealed) {
                Ok(line) => intact(&sealed, line),
                Err(error) => assert!(matches!(error, BadLine::Form(_)), "{error}"),
            }
        }
        Err(BadLine::Form(why)) => assert!(!why.is_empty()),
    }
}

/// The line with the hash of its bytes in place of the one that it states.
fn sealed(line: &[u8]) -> Vec<u8> {
    /// `,"hash":"` + digits + `"}`
    const TAIL: usize = 9 + 64 + 2;
    let covered = line.len().checked_sub(TAIL).and_then(|at| line.get(..at));
    let covered = covered.expect("a line that has a hash has these bytes");
    let mut sealed = covered.to_vec();
    let mut tail = String::from(",\"hash\":\"");
    for byte in digest(&SHA256, covered).as_ref() {
        write!(tail, "{byte:02x}").expect("a text takes more text");
    }
    sealed.extend_from_slice(tail.as_bytes());
    sealed.extend_from_slice(b"\"}");
    sealed
}

fn intact(bytes: &[u8], line: Line<'_>) {
    let text = std::str::from_utf8(bytes).expect("a record is text");
    assert!(!text.contains('\n'), "a record is one line");
    assert!(line.seq > 0 && line.is_intact());
    let head = format!(
        "{{\"seq\":{},\"time\":\"{}\",\"node\":\"{}\",\"kind\":\"{}\"{}",
        line.seq, line.time, line.node, line.kind, line.members
    );
    let tail = format!(",\"prev\":\"{}\",\"hash\":\"{}\"}}", line.prev, line.hash);
    assert_eq!(head + &tail, text, "its parts are all of it");
    let step = (bytes.len() / MAX_CHANGES).max(1);
    for at in (0..bytes.len()).step_by(step) {
        let mut changed = bytes.to_vec();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 1;
        }
        assert!(verify_line(&changed).is_err(), "byte {at} was changed");
    }
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let begun = bytes.get(..cut).unwrap_or_default();
        assert!(verify_line(begun).is_err(), "cut after {cut}");
    }
}
