//! What came of a call, recorded exactly once: at its end, or when whoever handled it went away.

use std::sync::LazyLock;
use std::time::Instant;

use chrono::Utc;
use memchr::memmem::Finder;
use uuid::Uuid;

use crate::audit::{AuditLog, Outcome};

use super::uses::Receipt;

/// How the name of an error member ends, quote included. Nearly every answer is without it, and searching it costs a tenth
/// of reading the answer.
static NAME_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"error\""));

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
    receipt: Option<Receipt>,
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
            receipt: None,
        }
    }

    /// The call took this use of a grant, if any.
    pub(super) fn took(&mut self, receipt: Option<Receipt>) {
        self.receipt = receipt;
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
            self.error_in_body = NAME_END.find(chunk).is_some() && has_error_member(chunk);
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
        if let Some(receipt) = &self.receipt {
            receipt.ended(result, self.upstream_status);
        }
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
/// the bytes go: an error answer is short and comes in one piece. One pass, whatever the bytes.
fn has_error_member(json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                let Some(length) = text_length(json.get(at + 1..).unwrap_or_default()) else {
                    return false;
                };
                let text = json.get(at + 1..at + 1 + length).unwrap_or_default();
                // Stands on the closing quote.
                at += length + 1;
                if depth == 1 && matches!(text, b"error" | b"@odata.error") {
                    let after = json.get(at + 1..).unwrap_or_default();
                    if after.trim_ascii_start().first() == Some(&b':') {
                        return true;
                    }
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

/// How many bytes stand before the quotation mark that ends the text; `None` if it does not end.
fn text_length(json: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        if json.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
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
        assert!(!has_error_member(br#"{"a":"\\","b":{"error":1}}"#));
        assert!(has_error_member(br#"{"a":"\\","error":1}"#));
        assert!(!has_error_member(br#"{"a":"error"#));
        assert!(!has_error_member(b""));
    }

    #[test]
    fn an_answer_full_of_inner_errors_costs_one_pass() {
        let began = Instant::now();
        let inner = br#"{"error":1},"#.repeat(1 << 20);
        let json = [br#"{"value":["#.as_slice(), &inner, b"1]}"].concat();
        assert!(!has_error_member(&json));
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
    }
}
