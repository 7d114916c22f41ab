//! The memory of answers on their way to clients: what the server said of a pipeline takes its share of the gateway's budget from before it
//! is read until its client has taken it.
//!
//! INVARIANT: of one session no more is here at once than it may hold, whatever its clients do not read. What there is no room for
//! stays with the server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::data::body::Share;

/// What room is counted in.
const UNIT: usize = 1024;

/// How long until it is looked again whether the budget of all has room.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The room of one session for answers that its clients have not read.
#[derive(Debug)]
pub(super) struct Unread {
    room: Arc<Semaphore>,
    units: u32,
}

/// What an answer is charged with, given back on drop.
#[derive(Debug)]
pub(super) struct Charge {
    share: Share,
    bytes: usize,
    #[expect(dead_code, reason = "it is there to be dropped")]
    permit: Option<OwnedSemaphorePermit>,
}

/// Where the charge of the answer to a request waits until the answer is written.
#[derive(Debug, Default)]
pub(super) struct Charged(Mutex<Option<Charge>>);

/// An answer with its charge.
struct Paid {
    body: Bytes,
    #[expect(dead_code, reason = "it is there to be dropped")]
    charge: Charge,
}

impl Unread {
    /// Room for so many bytes, or one answer, however large.
    pub(super) fn new(bytes: usize) -> Self {
        let units = units(bytes).max(1);
        Self {
            // INVARIANT: 32 bits always fit.
            room: Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(1))),
            units,
        }
    }

    /// Waits for room for an answer of so many bytes, of the session first, then in the budget that `share` is of.
    pub(super) async fn charge(&self, bytes: usize, mut share: Share) -> Charge {
        let room = Arc::clone(&self.room);
        // It is never closed.
        let permit = room.acquire_many_owned(units(bytes).min(self.units)).await;
        while !share.resize(bytes) {
            sleep(LOOK_AGAIN).await;
        }
        Charge {
            share,
            bytes,
            permit: permit.ok(),
        }
    }
}

impl Charge {
    /// Whether there is room for so many bytes, though it is charged with less.
    pub(super) fn covers(&mut self, bytes: usize) -> bool {
        bytes <= self.bytes || self.share.resize(bytes)
    }
}

impl Charged {
    pub(super) fn put(&self, charge: Charge) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(charge);
    }

    /// The answer's bytes, which give its charge back when the last of them is gone.
    pub(super) fn onto(&self, body: Bytes) -> Bytes {
        let charge = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match charge {
            Some(charge) => Bytes::from_owner(Paid { body, charge }),
            None => body,
        }
    }
}

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::data::body::BodyBudget;

    #[tokio::test]
    async fn an_answer_waits_until_those_of_its_session_before_it_are_read() {
        let budget = BodyBudget::new(1 << 20);
        let (unread, other) = (Unread::new(10 * UNIT), Unread::new(10 * UNIT));
        let charged = Charged::default();
        charged.put(unread.charge(6 * UNIT, budget.empty_share()).await);
        let body = charged.onto(Bytes::from_static(b"answer"));
        let piece = body.slice(2..);
        assert_eq!(piece, "swer");
        let mut second = Box::pin(unread.charge(5 * UNIT, budget.empty_share()));
        assert!(poll!(&mut second).is_pending());
        drop(other.charge(5 * UNIT, budget.empty_share()).await);
        drop(body);
        assert!(poll!(&mut second).is_pending(), "some of it is not read");
        drop(piece);
        second.await;
        // One that is larger than all of it has all of it.
        let large = unread.charge(100 * UNIT, budget.empty_share()).await;
        let mut small = Box::pin(unread.charge(1, budget.empty_share()));
        assert!(poll!(&mut small).is_pending());
        drop(large);
        small.await;
    }

    #[tokio::test]
    async fn an_answer_waits_for_room_in_the_budget_of_all() {
        let budget = BodyBudget::new(100);
        let (one, two) = (Unread::new(1000), Unread::new(1000));
        let mut first = one.charge(60, budget.empty_share()).await;
        assert!(first.covers(60) && first.covers(70) && !first.covers(101));
        let mut second = Box::pin(two.charge(60, budget.empty_share()));
        assert!(poll!(&mut second).is_pending());
        drop(first);
        second.await;
    }
}
