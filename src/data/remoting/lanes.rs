//! The order of what goes into a session: input goes upstream one after the other, by a fixed number of lanes that pipelines share.
//!
//! INVARIANT: whoever waits for a lane has begun nothing. So a client that goes away meanwhile ends its wait, and no more wait for
//! one lane than clients that ask one thing at a time would cause.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How many there are: commands share them, so that there is a bound.
const LANES: usize = 16;

/// The lanes of a session.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: [Lane; LANES],
    /// How many may wait for one of them.
    most_waiting: usize,
}

#[derive(Debug, Default)]
struct Lane {
    turn: Mutex<()>,
    waiting: AtomicUsize,
}

/// Why input gets no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// As many wait as may.
    Busy,
    /// Its client went away, or the gateway stops.
    Left,
}

/// One that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Lanes {
    /// Lanes for a session that may have so many pipelines.
    pub(super) fn new(pipelines: usize) -> Self {
        Self {
            lanes: Default::default(),
            // A piece of input of each, and of the session itself, which all may have come to the same lane.
            most_waiting: pipelines.saturating_add(1),
        }
    }

    /// Waits until what came before on the same lane is done, unless `leaving` fires: for input of `command`, or of the session
    /// itself.
    pub(super) async fn turn(
        &self,
        command: Option<Uuid>,
        leaving: &CancellationToken,
    ) -> Result<MutexGuard<'_, ()>, NoTurn> {
        let number = command.map_or(0, |it| it.as_u128() % (LANES as u128));
        let lane = usize::try_from(number)
            .ok()
            .and_then(|it| self.lanes.get(it))
            .ok_or(NoTurn::Busy)?;
        // Those that wait go first, so this succeeds only where there are none.
        if let Ok(turn) = lane.turn.try_lock() {
            return Ok(turn);
        }
        let before = lane.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&lane.waiting);
        if before >= self.most_waiting {
            return Err(NoTurn::Busy);
        }
        tokio::select! {
            biased;
            () = leaving.cancelled() => Err(NoTurn::Left),
            turn = lane.turn.lock() => Ok(turn),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn input_waits_for_what_came_before_it_on_its_lane_alone() {
        let lanes = Lanes::new(1);
        let stays = CancellationToken::new();
        let first = lanes.turn(None, &stays).await.unwrap();
        // The lane of the session itself is shared by some pipelines, and not by others.
        let mut second = Box::pin(lanes.turn(Some(Uuid::nil()), &stays));
        assert!(poll!(&mut second).is_pending());
        let other = lanes.turn(Some(Uuid::from_u128(1)), &stays).await;
        assert!(other.is_ok());
        drop(first);
        drop(second.await.unwrap());
    }

    #[tokio::test]
    async fn who_leaves_gives_its_place_up_and_no_more_wait_than_may() {
        let lanes = Lanes::new(1);
        let (stays, leaves) = (CancellationToken::new(), CancellationToken::new());
        let first = lanes.turn(None, &leaves).await.unwrap();
        let mut second = Box::pin(lanes.turn(None, &stays));
        assert!(poll!(&mut second).is_pending());
        let mut third = Box::pin(lanes.turn(None, &leaves));
        assert!(poll!(&mut third).is_pending());
        assert_eq!(lanes.turn(None, &stays).await.err(), Some(NoTurn::Busy));
        leaves.cancel();
        assert_eq!(third.await.err(), Some(NoTurn::Left));
        // Its place is free again.
        let mut fourth = Box::pin(lanes.turn(None, &stays));
        assert!(poll!(&mut fourth).is_pending());
        drop(first);
        drop(second.await.unwrap());
        drop(fourth.await.unwrap());
    }

    #[tokio::test]
    async fn nothing_begins_for_a_client_that_left_while_it_waited() {
        let lanes = Lanes::new(1);
        let leaves = CancellationToken::new();
        let first = lanes.turn(None, &leaves).await.unwrap();
        let mut second = Box::pin(lanes.turn(None, &leaves));
        assert!(poll!(&mut second).is_pending());
        drop(first);
        leaves.cancel();
        assert_eq!(second.await.err(), Some(NoTurn::Left));
    }
}
