//! Requests that are carried out to their end, whether or not their client stays to hear of it.
//!
//! A session of remoting outlives connections, and what the gateway knows of it must stay what is so at the server. So a request to
//! one is carried out by a task that belongs to nobody's connection: what begins upstream is heard, counted and put on record. A
//! client that goes away ends nothing but waits; whoever waits watches the token that its work is given.
//!
//! INVARIANT: a connection has no more such tasks than it may have requests at once, and lasts until they have ended. So they are
//! bounded by the limits on connections and streams, also for clients that reset each request as soon as it was sent, and a drain
//! waits for them. How long each takes is bounded by the time that the server has for its answers.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::error;
use uuid::Uuid;

/// More than any connection has at once.
const MOST: u32 = 1 << 20;

/// The errands of one connection.
#[derive(Clone, Debug)]
pub(super) struct Errands {
    free: Arc<Semaphore>,
    most: u32,
}

/// Room for one errand.
#[derive(Debug)]
pub(super) struct Room(
    #[expect(dead_code, reason = "it is there to be dropped")] OwnedSemaphorePermit,
);

/// Tells operators of a task that broke down: if its client is gone, nobody else does.
struct Alarm(Uuid);

impl Errands {
    /// Room for as many as this at once.
    pub(super) fn at_most(most: u32) -> Self {
        let most = most.clamp(1, MOST);
        let free = usize::try_from(most).unwrap_or(1);
        Self {
            free: Arc::new(Semaphore::new(free)),
            most,
        }
    }

    /// Room for one more. There is some at once, unless clients went away from others; then it waits for one of those to end.
    /// `None` when the connection has ended.
    pub(super) async fn room(&self) -> Option<Room> {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        permit.ok().map(Room)
    }

    /// Waits until all have ended. After that no other begins.
    pub(super) async fn ended(self) {
        // It is closed nowhere else, so this does not fail.
        let all = self.free.acquire_many(self.most).await;
        self.free.close();
        drop(all);
    }
}

impl Room {
    /// Carries out `work`, for the request with this id, and returns what comes of it; `None` if it broke down. When this future is
    /// dropped the work goes on; the token that it was given fires then, and when `stopping` does.
    pub(super) async fn carry_out<W>(
        self,
        request: Uuid,
        stopping: &CancellationToken,
        work: impl FnOnce(CancellationToken) -> W,
    ) -> Option<W::Output>
    where
        W: Future<Output: Send> + Send + 'static,
    {
        let leaving = stopping.child_token();
        let work = work(leaving.clone());
        let _stays = leaving.drop_guard();
        let task = tokio::spawn(async move {
            let _alarm = Alarm(request);
            let done = work.await;
            drop(self);
            done
        });
        task.await.ok()
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(request_id = %self.0, "A request to a session broke down; what came of it may not be on record");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_ends_without_its_client_and_its_waits_end_with_it() {
        let errands = Errands::at_most(1);
        let stopping = CancellationToken::new();
        let (told, heard) = oneshot::channel();
        let room = errands.room().await.unwrap();
        let mut client = Box::pin(
            room.carry_out(Uuid::nil(), &stopping, |leaving| async move {
                leaving.cancelled().await;
                told.send(()).unwrap();
            }),
        );
        assert!(poll!(&mut client).is_pending());
        // It takes room as long as it goes on, whoever is there.
        assert!(poll!(Box::pin(errands.room())).is_pending());
        drop(client);
        heard.await.unwrap();
        errands.room().await.unwrap();
        assert!(!stopping.is_cancelled());
    }

    #[tokio::test]
    async fn the_end_of_a_connection_waits_for_all_of_them_and_begins_no_more() {
        let errands = Errands::at_most(3);
        let stopping = CancellationToken::new();
        let (release, released) = oneshot::channel::<()>();
        let room = errands.room().await.unwrap();
        let mut client = Box::pin(room.carry_out(Uuid::nil(), &stopping, |_| released));
        assert!(poll!(&mut client).is_pending());
        drop(client);
        let mut ended = Box::pin(errands.clone().ended());
        assert!(poll!(&mut ended).is_pending());
        release.send(()).unwrap();
        ended.await;
        assert!(errands.room().await.is_none());
    }

    #[tokio::test]
    async fn a_stop_ends_waits_and_a_breakdown_gives_its_room_back() {
        let errands = Errands::at_most(1);
        let stopping = CancellationToken::new();
        stopping.cancel();
        let room = errands.room().await.unwrap();
        let waits = room.carry_out(Uuid::nil(), &stopping, |leaving| async move {
            leaving.cancelled().await;
            7
        });
        assert_eq!(waits.await, Some(7));
        let room = errands.room().await.unwrap();
        let broken = room.carry_out(Uuid::nil(), &stopping, |_| async {
            assert!(std::hint::black_box(false), "it breaks down");
        });
        assert_eq!(broken.await, None);
        errands.ended().await;
    }
}
