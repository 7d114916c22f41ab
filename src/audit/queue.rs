//! The queue between the calls and the writer: bodies in one buffer under a short lock, taken whole as the next batch.
//!
//! Calls do not wake the writer one by one. It sleeps while nothing is queued; the first record wakes it, it gathers for
//! [`GATHER`], and only a record that somebody waits for cuts that short. While it is busy writing, nobody wakes it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::facts::Unavailable;
use super::gate::Gate;

/// How long records that nobody waits for gather before they are written: far inside the promised 100 ms, and so short that hashing
/// what gathered at full load takes the processor away from calls for a fraction of a millisecond only.
const GATHER: Duration = Duration::from_millis(5);

/// How often a failing disk is tried again.
const PROBE: Duration = Duration::from_millis(250);

/// Bytes of queued bodies at which the writer stops gathering.
const ENOUGH: usize = 1024 * 1024;

/// A record in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Bytes of its body.
    pub(super) length: usize,
    pub(super) note: Note,
    /// Whether it must be written sooner or later, because nobody waits who could be told otherwise.
    pub(super) promised: bool,
}

/// What the writer must know of a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Note {
    /// A decision that awaits its outcome.
    Awaiting(Uuid),
    /// The outcome of a decision.
    Outcome(Uuid),
    /// Any other.
    Other,
}

/// How a record is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// The call goes on at once, and is refused if the log is failing: a buffered decision.
    Checked,
    /// What happened has happened; nobody can be told: an outcome. It is lost only if the queue is full to the brim.
    Due,
    /// As `Due`, but strangers cause it: it may fill half of the queue.
    Soon,
    /// The call waits for the sync.
    Waiting,
}

/// What is written with one sync.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Bodies, one after the other.
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    pub(super) gate: Arc<Gate>,
    /// While the log was failing, since when and why.
    pub(super) failing: Option<Failure>,
    /// What was refused or lost since this was last told, if the log is not failing.
    pub(super) overload: Missed,
}

impl Batch {
    pub(super) fn add(&mut self, body: &[u8], note: Note, promised: bool) {
        self.bytes.extend_from_slice(body);
        self.entries.push(Entry {
            length: body.len(),
            note,
            promised,
        });
    }

    /// The bodies with their entries.
    pub(super) fn bodies(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.entries.iter().scan(0, |offset, entry| {
            let body = self.bytes.get(*offset..*offset + entry.length)?;
            *offset += entry.length;
            Some((body, entry))
        })
    }

    /// Empties it, keeping a moderate buffer for the next use.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(4 * ENOUGH);
        self.entries.clear();
        self.entries.shrink_to(8192);
        self.failing = None;
        self.overload = Missed::default();
    }
}

/// Since when and why the log cannot be written.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) since: chrono::DateTime<chrono::Utc>,
    pub(super) reason: Arc<str>,
}

/// Records that are not in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missed {
    /// Refused: their calls did not happen.
    pub(super) refused: u64,
    /// Lost for want of memory, though what they tell of happened.
    pub(super) lost: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    #[default]
    Busy,
    Gathering,
    Idle,
}

#[derive(Debug, Default)]
struct State {
    pending: Batch,
    /// Somebody waits, or there is enough.
    urgent: bool,
    writer: Writer,
    failing: Option<Failure>,
    missed: Missed,
    closing: bool,
    /// The writer takes nothing more.
    ended: bool,
    /// Why nothing is taken any more.
    closed: Option<Arc<str>>,
    /// What is held but not in `pending`, the batch that is being written: its bytes,
    writing: usize,
    /// and its gate.
    written: Option<Arc<Gate>>,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// Tells whoever waits that the log fails or has resumed.
    turned: Condvar,
    /// The most bytes of bodies that are held.
    capacity: usize,
    /// The number of the last record that is on disk.
    written: AtomicU64,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            turned: Condvar::new(),
            capacity,
            written: AtomicU64::new(0),
        }
    }

    /// The writer has put records up to this number on disk.
    pub(super) fn set_written(&self, seq: u64) {
        self.written.store(seq, Ordering::Relaxed);
    }

    /// The number of the last record that is on disk.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Queues the bodies in `bytes`, all or none. Returns the gate of their batch.
    pub(super) fn push(
        &self,
        bytes: &[u8],
        notes: impl ExactSizeIterator<Item = (usize, Note)>,
        urgency: Urgency,
    ) -> Result<Arc<Gate>, Unavailable> {
        let records = u64::try_from(notes.len()).unwrap_or(u64::MAX);
        let mut state = self.lock();
        if let Some(reason) = state.refusal(bytes.len(), urgency, self.capacity) {
            match urgency {
                Urgency::Checked | Urgency::Waiting => state.missed.refused += records,
                Urgency::Due | Urgency::Soon => state.missed.lost += records,
            }
            return Err(Unavailable { reason });
        }
        let promised = urgency != Urgency::Waiting;
        state.pending.bytes.extend_from_slice(bytes);
        state
            .pending
            .entries
            .extend(notes.map(|(length, note)| Entry {
                length,
                note,
                promised,
            }));
        let gate = Arc::clone(&state.pending.gate);
        let urgent = !promised || state.pending.bytes.len() >= ENOUGH;
        let cut_short = urgent && !state.urgent;
        state.urgent |= urgent;
        let wake = match state.writer {
            Writer::Busy => false,
            Writer::Gathering => cut_short,
            Writer::Idle => true,
        };
        if wake {
            state.writer = if urgent {
                Writer::Busy
            } else {
                Writer::Gathering
            };
        }
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(gate)
    }

    /// The next batch for the writer, in exchange for an empty one; `None` when the queue is closed and empty.
    pub(super) fn next(&self, mut spare: Batch) -> Option<Batch> {
        let now = Instant::now();
        let mut state = self.lock();
        state.writing = 0;
        state.written = None;
        if state.failing.is_some() {
            let retry = now + PROBE;
            while !state.closing {
                let Some(left) = retry.checked_duration_since(Instant::now()) else {
                    break;
                };
                state = self.sleep(state, left);
            }
        }
        // Whatever gathers did so since the last batch was taken, at the earliest.
        let mut ready = None;
        while state.failing.is_none() && !state.closing && !state.urgent {
            if state.pending.entries.is_empty() {
                state.writer = Writer::Idle;
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let now = Instant::now();
            let ready = *ready.get_or_insert(now + GATHER);
            let Some(left) = ready.checked_duration_since(now).filter(|it| !it.is_zero()) else {
                break;
            };
            state.writer = Writer::Gathering;
            state = self.sleep(state, left);
        }
        state.writer = Writer::Busy;
        if state.pending.entries.is_empty() && state.closing {
            state.ended = true;
            return None;
        }
        state.urgent = false;
        spare.gate = Arc::default();
        std::mem::swap(&mut spare, &mut state.pending);
        spare.failing.clone_from(&state.failing);
        if state.failing.is_none() {
            spare.overload = std::mem::take(&mut state.missed);
        }
        state.writing = spare.bytes.len();
        state.written = Some(Arc::clone(&spare.gate));
        Some(spare)
    }

    /// Takes back a batch that could not be written: what is promised waits for the disk, all else is refused.
    /// Returns whether there is time to wait: the queue is not closed.
    pub(super) fn fail(&self, mut batch: Batch, reason: Arc<str>) -> bool {
        let mut state = self.lock();
        let mut kept = Batch::default();
        let mut refused = 0;
        for (body, entry) in batch.bodies().chain(state.pending.bodies()) {
            if entry.promised {
                kept.add(body, entry.note, true);
            } else {
                refused += 1;
            }
        }
        let later = std::mem::replace(&mut state.pending, kept);
        state.missed.refused += refused + batch.overload.refused;
        state.missed.lost += batch.overload.lost;
        state.urgent = false;
        state.writing = 0;
        state.written = None;
        let open = !state.closing;
        match &mut state.failing {
            Some(failure) => failure.reason = Arc::clone(&reason),
            None => {
                state.failing = Some(Failure {
                    since: chrono::Utc::now(),
                    reason: Arc::clone(&reason),
                });
            }
        }
        drop(state);
        self.turned.notify_all();
        // What was abandoned was not written either.
        drop(batch.gate.open(Err(Unavailable {
            reason: Arc::clone(&reason),
        })));
        drop(later.gate.open(Err(Unavailable { reason })));
        batch.clear();
        open
    }

    /// The disk is well again. `record` makes the body that says so of what was missed.
    pub(super) fn resume(&self, record: impl FnOnce(Missed) -> Vec<u8>) {
        let mut state = self.lock();
        state.failing = None;
        let body = record(std::mem::take(&mut state.missed));
        state.pending.add(&body, Note::Other, true);
        state.urgent = true;
        drop(state);
        self.turned.notify_all();
    }

    /// Takes nothing more, and has the writer finish.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        state
            .closed
            .get_or_insert_with(|| "the gateway is stopping".into());
        drop(state);
        self.wake.notify_one();
    }

    /// The writer is gone: whoever waits is told so. How many records it leaves behind.
    pub(super) fn abandon(&self, reason: &Arc<str>) -> usize {
        let mut state = self.lock();
        state.closing = true;
        state.ended = true;
        state.closed.get_or_insert_with(|| Arc::clone(reason));
        let left = std::mem::take(&mut state.pending);
        let gates = [Some(Arc::clone(&left.gate)), state.written.take()];
        drop(state);
        self.turned.notify_all();
        for gate in gates.into_iter().flatten() {
            let reason = Arc::clone(reason);
            drop(gate.open(Err(Unavailable { reason })));
        }
        left.entries.len()
    }

    /// Why the log cannot be written, if it cannot.
    pub(super) fn failing(&self) -> Option<Arc<str>> {
        let state = self.lock();
        let failing = state.failing.as_ref().map(|it| Arc::clone(&it.reason));
        failing.or_else(|| state.closed.clone())
    }

    /// Blocks until the log is failing, or not any more.
    #[cfg(test)]
    pub(super) fn wait_until_failing(&self, failing: bool) {
        let mut state = self.lock();
        while state.failing.is_some() != failing {
            state = self.turned.wait(state).unwrap();
        }
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.wake
            .wait_timeout(state, time)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refusal(&self, bytes: usize, urgency: Urgency, capacity: usize) -> Option<Arc<str>> {
        // What came of a call is taken as long as there is a writer.
        if let Some(reason) = &self.closed
            && (self.ended || urgency != Urgency::Due)
        {
            return Some(Arc::clone(reason));
        }
        let share = match urgency {
            Urgency::Checked | Urgency::Waiting => {
                if let Some(failure) = &self.failing {
                    return Some(Arc::clone(&failure.reason));
                }
                capacity / 4 * 3
            }
            Urgency::Due => capacity,
            Urgency::Soon => capacity / 2,
        };
        let held = self.writing + self.pending.bytes.len();
        (held + bytes > share).then(|| "the disk is too slow: too many records wait for it".into())
    }
}
