//! The one door for fuzzers: each function takes any bytes and checks what must hold of them, not only that nothing panics.
//!
//! `fuzz/fuzz_targets` are these functions under libFuzzer; `tests/it/fuzzing.rs` runs them on stable Rust, over the committed
//! corpus and over generated inputs. The program itself uses none of this.
#![expect(
    clippy::expect_used,
    reason = "a property that does not hold must stop the fuzzer"
)]

mod policies;
mod psrp;
mod records;
mod wire;

/// The body of an `InvokeCommand`, and the same bytes as an answer's body.
///
/// What is accepted has names of the closed alphabets, reads the same after it was written, is seen alike by another JSON
/// parser, and is permitted by nothing but a grant where a policy governs everything. Links in an answer are rewritten alike
/// however it is cut.
pub fn envelope(data: &[u8]) {
    wire::command(data);
    wire::links(data);
}

/// The body of a `$batch`.
///
/// What is accepted has distinct ids and one tenant, reads the same after it was written, and its answers come in its order.
pub fn batch(data: &[u8]) {
    wire::batch(data);
}

/// A path with its query; after a line feed, the value of `XParameter-Identity`.
///
/// What is accepted is written as a path that has no second reading, and reads the same again.
pub fn path(data: &[u8]) {
    wire::path(data);
}

/// A policy file.
///
/// What is refused names a place in the file; what is accepted governs the tasks that it names, decides on any name, and
/// permits nothing that a policy governs without a grant, an exemption or report-only.
pub fn policy_file(data: &[u8]) {
    policies::file(data);
}

/// A line of the audit log.
///
/// Only intact lines are accepted: whatever byte of one is changed, it is refused. The tools read it as it was written.
pub fn audit_record(data: &[u8]) {
    records::line(data);
}

/// A SOAP envelope, as a client's request and as a server's answer.
///
/// What is accepted reads the same after it was written.
pub fn psrp_soap(data: &[u8]) {
    psrp::soap(data);
}

/// Payloads of a stream of fragments.
///
/// What is held is bounded; messages read the same after they were written.
pub fn psrp_fragment(data: &[u8]) {
    psrp::fragments(data);
}

/// A message out of its fragments.
///
/// It reads the same after it was written; what a client may send is for the server, of a kind for its place, and of its own session.
pub fn psrp_message(data: &[u8]) {
    psrp::message(data);
}

/// CLIXML, and the same as a pipeline.
///
/// What is accepted reads the same after it was written; a pipeline is decided on alike, holds no program text, and is
/// permitted by nothing but a grant where a policy governs everything.
pub fn psrp_clixml(data: &[u8]) {
    psrp::values(data);
}

/// Requests to a shell, one after the other.
///
/// What is refused does not go upstream, and what goes upstream is whole, in our spelling, and without program text.
pub fn psrp_session(data: &[u8]) {
    psrp::session(data);
}
