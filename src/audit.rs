//! The audit log: what was decided, before it happens; what came of it, after.
//!
//! A chain of JSON Lines in segments, described byte by byte at the head of `chain.rs` (lines), `body.rs` (members) and `segment.rs`
//! (files). [`Recorded`] is the proof that a decision is on record: the upstream client takes nothing else.
//!
//! Calls format the bodies of their records and queue them under a short lock; one thread numbers, chains, writes and syncs
//! them, many with one sync. It does not know HTTP, dialects or the store, and decides nothing. What it cannot write it
//! refuses; what it has promised it keeps in memory, bounded, until the disk takes it.

mod body;
mod chain;
mod disk;
mod facts;
mod gate;
pub mod history;
mod json;
mod log;
mod open;
mod parameters;
mod queue;
pub mod reader;
mod recorded;
mod segment;
pub mod stored;
mod survey;
pub mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use chain::{BadLine, Digest, InvalidDigest, Line, MAX_LINE, verify_line};
pub use facts::{CallContext, Event, Outcome, Recordable, Unavailable};
pub use log::AuditLog;
pub use open::{AuditError, Opened, Repair};
pub use recorded::{Recorded, RecordedPermit};
pub use segment::{InvalidNode, Node, SegmentFile, list};
