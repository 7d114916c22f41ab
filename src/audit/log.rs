//! The open log as the rest of the gateway sees it.

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::{Builder, Uuid};

use crate::config::{self, Durability};
use crate::policy::{Decision, Judgement};

use super::body::{Bodies, awaits_outcome};
use super::disk::{Disk, RealDisk};
use super::facts::{CallContext, Event, Outcome, Recordable, Unavailable};
use super::gate::Gate;
use super::open::{self, AuditError, Opened};
use super::queue::{Note, Queue, Urgency};
use super::recorded::Recorded;
use super::writer::push_outcomes;

/// The most bytes of record bodies that wait for the disk: 64 MiB, at 700 bytes a record some 90,000 records.
const CAPACITY: usize = 64 * 1024 * 1024;

/// How long a call waits for its record. A disk that takes longer than this for one sync serves nobody.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    /// Where a thread formats bodies, kept for the next call.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The open log. Cheap to clone; all clones write one chain.
#[derive(Clone)]
pub struct AuditLog {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Arc<Queue>,
    bodies: Arc<Bodies>,
    durability: Durability,
    ids: Ids,
    /// The number of the last record that was there when the log was opened.
    found: u64,
    writer: Mutex<Option<JoinHandle<usize>>>,
}

impl AuditLog {
    /// Opens the log: locks the directory, finds out how far the log is good, mends what a crash left, gives decisions
    /// without an outcome the outcome `unknown`, and starts the writer's thread. What was found is on record when this returns.
    /// Blocks; reads the last segment.
    pub fn open(settings: &config::Audit) -> Result<(Self, Opened), AuditError> {
        Self::open_on(settings, Box::new(RealDisk), CAPACITY)
    }

    pub(super) fn open_on(
        settings: &config::Audit,
        disk: Box<dyn Disk>,
        capacity: usize,
    ) -> Result<(Self, Opened), AuditError> {
        let (writer, opened) = open::open(settings, disk)?;
        let queue = Arc::new(Queue::new(capacity));
        let bodies = Arc::clone(&writer.bodies);
        let thread = std::thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn({
                let queue = Arc::clone(&queue);
                move || writer.run(&queue)
            })
            .map_err(|source| AuditError::Thread { source })?;
        let shared = Shared {
            queue,
            bodies,
            durability: settings.durability,
            ids: Ids::default(),
            found: opened.last_seq,
            writer: Mutex::new(Some(thread)),
        };
        let shared = Arc::new(shared);
        Ok((Self { shared }, opened))
    }

    /// Puts judgements on record, in order, all or none; durable (as configured) when this returns. `call` shows what
    /// a record tells of a subject.
    ///
    /// May be dropped while it waits: the records stay, and those that await an outcome get `client-gone`. After 10 s without an
    /// answer from the disk it fails, and these, should they still be written, get `record-timed-out`. Needs a runtime with timers.
    pub async fn record<C>(
        &self,
        context: &CallContext,
        judgements: Vec<Judgement<C>>,
        call: impl Fn(&C) -> Recordable<'_>,
    ) -> Result<Vec<Recorded<C>>, Unavailable> {
        let (ids, gate) = {
            let decisions = judgements
                .iter()
                .map(|it| (it.decision(), call(it.subject())));
            self.queue_decisions(context, decisions)?
        };
        let awaiting = awaiting(&ids, judgements.iter().map(Judgement::decision));
        self.durable(&awaiting, gate, context.decided).await?;
        Ok(ids
            .into_iter()
            .zip(judgements)
            .map(|(id, judgement)| Recorded::new(id, judgement))
            .collect())
    }

    /// [`AuditLog::record`] for the one judgement that nearly every request has.
    pub async fn record_one<C>(
        &self,
        context: &CallContext,
        judgement: Judgement<C>,
        call: impl Fn(&C) -> Recordable<'_>,
    ) -> Result<Recorded<C>, Unavailable> {
        let shared = &*self.shared;
        let id = shared.ids.next(context.decided);
        let gate = formatted(|out| {
            let note = self.decision(
                out,
                id,
                context,
                judgement.decision(),
                call(judgement.subject()),
            );
            let entry = std::iter::once((out.len(), note));
            shared.queue.push(out, entry, self.urgency())
        })?;
        let awaiting = awaits_outcome(judgement.decision().verdict).then_some(id);
        self.durable(awaiting.as_slice(), gate, context.decided)
            .await?;
        Ok(Recorded::new(id, judgement))
    }

    /// Formats the record of a decision.
    fn decision(
        &self,
        out: &mut Vec<u8>,
        id: Uuid,
        context: &CallContext,
        decision: &Decision,
        call: Recordable<'_>,
    ) -> Note {
        let bodies = &self.shared.bodies;
        bodies.decision(out, id, context, decision, call);
        if awaits_outcome(decision.verdict) {
            Note::Awaiting(id)
        } else {
            Note::Other
        }
    }

    fn urgency(&self) -> Urgency {
        match self.shared.durability {
            Durability::Buffered => Urgency::Checked,
            Durability::Strict => Urgency::Waiting,
        }
    }

    /// Queues the records of decisions; their ids, and the gate of their batch.
    pub(super) fn queue_decisions<'a>(
        &self,
        context: &CallContext,
        decisions: impl Iterator<Item = (&'a Decision, Recordable<'a>)>,
    ) -> Result<(Vec<Uuid>, Arc<Gate>), Unavailable> {
        let shared = &*self.shared;
        formatted(|out| {
            let mut ids = Vec::with_capacity(decisions.size_hint().0);
            let mut notes = Vec::with_capacity(decisions.size_hint().0);
            for (decision, call) in decisions {
                let id = shared.ids.next(context.decided);
                let start = out.len();
                let note = self.decision(out, id, context, decision, call);
                ids.push(id);
                notes.push((out.len() - start, note));
            }
            let gate = shared.queue.push(out, notes.into_iter(), self.urgency())?;
            Ok((ids, gate))
        })
    }

    /// Waits, where configured, until the queued decisions are on disk. Those that `awaiting` names get an outcome if they are not
    /// waited for to the end; a block never has one.
    pub(super) async fn durable(
        &self,
        awaiting: &[Uuid],
        gate: Arc<Gate>,
        decided: DateTime<Utc>,
    ) -> Result<(), Unavailable> {
        if self.shared.durability == Durability::Buffered {
            return Ok(());
        }
        let mut waiting = Waiting {
            log: self,
            gate: &gate,
            awaiting,
            decided,
            result: "client-gone",
        };
        let written = tokio::time::timeout(PATIENCE, Arc::clone(&gate).wait()).await;
        waiting.result = "record-timed-out";
        let written = written.map_err(|_| timed_out())?;
        std::mem::forget(waiting);
        written
    }

    /// Puts an event on record; durable (whatever `durability` says) when this returns. Once queued it is written even if the
    /// future is dropped. Needs a runtime with timers.
    pub async fn event(&self, event: Event) -> Result<(), Unavailable> {
        let gate = self.queue_event(&event, Urgency::Waiting)?;
        tokio::time::timeout(PATIENCE, gate.wait())
            .await
            .map_err(|_| timed_out())?
    }

    /// Puts an event on record; does not wait. For refusals before any decision, which must not wait for a disk. While the
    /// queue is half full, and after the log was closed, it is dropped; the log counts how many were (`audit.resumed`, `audit.overloaded`).
    #[expect(
        clippy::needless_pass_by_value,
        reason = "as `event`: whoever makes an event has no further use for it"
    )]
    pub fn event_soon(&self, event: Event) {
        drop(self.queue_event(&event, Urgency::Soon));
    }

    /// Puts an outcome on record; does not wait. While the log cannot be written it is kept in memory.
    pub fn outcome(&self, outcome: Outcome) {
        let shared = &*self.shared;
        let note = Note::Outcome(outcome.decision_id);
        // The queue counts what it cannot take.
        drop(formatted(|out| {
            shared.bodies.outcome(out, &outcome);
            let entry = std::iter::once((out.len(), note));
            shared.queue.push(out, entry, Urgency::Due)
        }));
    }

    /// An id of version 7 for something that will be on record, such as a request; costs no system call.
    pub fn new_id(&self, at: DateTime<Utc>) -> Uuid {
        self.shared.ids.next(at)
    }

    /// Why the log cannot be written at the moment, if it cannot.
    pub fn failing(&self) -> Option<Arc<str>> {
        self.shared.queue.failing()
    }

    /// How many records were written since the log was opened.
    pub fn written(&self) -> u64 {
        let shared = &*self.shared;
        shared.queue.written().saturating_sub(shared.found)
    }

    /// Writes what is queued and ends the writer; nothing is taken from here on. Blocks until the disk has it all, and
    /// fails if it does not take it. Without a call of this, what was queued in the last 5 ms may be lost.
    pub fn close(&self) -> Result<(), Unavailable> {
        self.shared.queue.close();
        let mut writer = self
            .shared
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let lost = match writer.take().map(JoinHandle::join) {
            None | Some(Ok(0)) => return Ok(()),
            Some(Ok(lost)) => format!(
                "{lost} records were lost, for the disk took none until the gateway stopped"
            ),
            Some(Err(_)) => "its writer stopped before its time".to_owned(),
        };
        Err(Unavailable {
            reason: lost.into(),
        })
    }

    fn queue_event(&self, event: &Event, urgency: Urgency) -> Result<Arc<Gate>, Unavailable> {
        let shared = &*self.shared;
        formatted(|out| {
            shared.bodies.event(out, event);
            let entry = std::iter::once((out.len(), Note::Other));
            shared.queue.push(out, entry, urgency)
        })
    }

    #[cfg(test)]
    pub(super) fn wait_until_failing(&self, failing: bool) {
        self.shared.queue.wait_until_failing(failing);
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("durability", &self.shared.durability)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    /// The writer finishes by itself; only [`AuditLog::close`] waits for it.
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Formats bodies into this thread's buffer, which is missing only while the thread ends.
fn formatted<T>(format: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut out = SCRATCH.try_with(RefCell::take).unwrap_or_default();
    out.clear();
    let done = format(&mut out);
    out.shrink_to(64 * 1024);
    // Nothing is lost but the buffer.
    drop(SCRATCH.try_with(|scratch| scratch.replace(out)));
    done
}

fn timed_out() -> Unavailable {
    Unavailable {
        reason: format!(
            "the disk did not confirm the record within {} s",
            PATIENCE.as_secs()
        )
        .into(),
    }
}

/// Those of the records with these ids that await an outcome.
pub(super) fn awaiting<'a>(
    ids: &[Uuid],
    decisions: impl Iterator<Item = &'a Decision>,
) -> Vec<Uuid> {
    ids.iter()
        .zip(decisions)
        .filter(|it| awaits_outcome(it.1.verdict))
        .map(|it| *it.0)
        .collect()
}

/// A call that waits for its records. Dropped before it has its answer, it leaves an outcome behind for those that await one, so
/// that they do not look as if the call went on.
struct Waiting<'a> {
    log: &'a AuditLog,
    gate: &'a Gate,
    awaiting: &'a [Uuid],
    decided: DateTime<Utc>,
    result: &'static str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let at = Utc::now();
        let outcomes = self.awaiting.iter().map(|id| Outcome {
            decision_id: *id,
            at,
            status: None,
            upstream_status: None,
            result: self.result,
            duration: (at - self.decided).to_std().unwrap_or_default(),
        });
        let due = self.gate.abandon(outcomes.collect());
        let shared = &*self.log.shared;
        push_outcomes(&shared.queue, &shared.bodies, &due);
    }
}

/// Makes ids: UUIDs of version 7 whose random bits come from a keyed hash of a counter, so that an id costs no system call.
#[derive(Debug, Default)]
struct Ids {
    keys: RandomState,
    count: AtomicU64,
}

impl Ids {
    fn next(&self, at: DateTime<Utc>) -> Uuid {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 10];
        let bytes = (self.keys.hash_one((count, 0_u8)).to_le_bytes().into_iter())
            .chain(self.keys.hash_one((count, 1_u8)).to_le_bytes());
        for (byte, value) in random.iter_mut().zip(bytes) {
            *byte = value;
        }
        let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}
