//! What came of a call, recorded exactly once: at its end, or when whoever handled it went away.

use std::time::Instant;

use chrono::Utc;
use uuid::Uuid;

use crate::audit::{AuditLog, Outcome};

/// Records the outcome of one decided call. Dropped unfinished, it records that the client went away.
#[derive(Debug)]
pub(super) struct OutcomeGuard {
    audit: AuditLog,
    decision_id: Uuid,
    began: Instant,
    status: Option<u16>,
    upstream_status: Option<u16>,
    error_in_body: bool,
    looked: bool,
    done: bool,
}

impl OutcomeGuard {
    pub(super) fn new(audit: &AuditLog, decision_id: Uuid) -> Self {
        Self {
            audit: audit.clone(),
            decision_id,
            began: Instant::now(),
            status: None,
            upstream_status: None,
            error_in_body: false,
            looked: false,
            done: false,
        }
    }

    /// The upstream answered with this status, which the client is given as well.
    pub(super) fn upstream_answered(&mut self, status: u16) {
        self.upstream_status = Some(status);
        self.status = Some(status);
    }

    /// The client is given this status.
    pub(super) fn answers(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// Looks at the answer's next chunk: a success status is no proof of success (exchange-rest section 2).
    pub(super) fn look_at(&mut self, chunk: &[u8]) {
        if !self.looked && !chunk.is_empty() {
            self.looked = true;
            self.error_in_body = has_error_member(chunk);
        }
    }

    /// Whether a chunk was looked at.
    pub(super) fn has_looked(&self) -> bool {
        self.looked
    }

    /// The answer went out whole: `ok`, or `failed` by its status or its body.
    pub(super) fn finish_answered(&mut self) {
        let failed = self.error_in_body || self.status.is_some_and(|status| status >= 400);
        self.finish(if failed { "failed" } else { "ok" });
    }

    /// It ended like this.
    pub(super) fn finish(&mut self, result: &'static str) {
        if self.done {
            return;
        }
        self.done = true;
        self.audit.outcome(Outcome {
            decision_id: self.decision_id,
            at: Utc::now(),
            status: self.status,
            upstream_status: self.upstream_status,
            result,
            duration: self.began.elapsed(),
        });
    }
}

impl Drop for OutcomeGuard {
    fn drop(&mut self) {
        self.finish("client-gone");
    }
}

/// Whether a JSON object that begins with these bytes has a member `error` or `@odata.error` at its top level, as far as
/// the bytes go: an error answer is short and comes in one piece.
fn has_error_member(json: &[u8]) -> bool {
    ["\"error\"", "\"@odata.error\""].iter().any(|key| {
        memchr::memmem::find_iter(json, key.as_bytes()).any(|at| {
            let after = json.get(at + key.len()..).unwrap_or_default();
            let followed = after.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
            followed && depth_after(json.get(..at).unwrap_or_default()) == 1
        })
    })
}

/// How many brackets are open after these bytes of JSON; 0 as well inside a text.
fn depth_after(json: &[u8]) -> usize {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if in_text { 0 } else { depth }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_inside_a_success_is_seen_at_the_top_level_only() {
        assert!(has_error_member(
            br#"{"@odata.context":"x","error" : {"code":"NotFound"}}"#
        ));
        assert!(has_error_member(br#"{"@odata.error":{}}"#));
        assert!(!has_error_member(br#"{"value":[{"error":1}]}"#));
        assert!(!has_error_member(
            br#"{"value":["\"error\":"],"a":"error"}"#
        ));
        assert!(!has_error_member(br#"{"a":"{\"error\":1"}"#));
        assert!(!has_error_member(b""));
    }
}
