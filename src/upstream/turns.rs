//! Turns: what may take long, or must not be kept waiting by what does, has connections of its own, and people share those.
//!
//! INVARIANT: requests of one [`Purpose`] never wait for those of another, nor for ordinary calls, which need no turn. Among
//! those of one purpose nobody can have all places: see [`Shares`].

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::rack::{Rack, Shared, WhenFull};
use super::shares::{Number, Shares};
use super::{Upstream, http2};

/// What a request is for that is no ordinary call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client ends something.
    End,
    /// The gateway ends something that may not go on.
    Enforce,
    /// It waits until there is something to say, for minutes perhaps.
    Wait,
}

/// Connections to one upstream for what ends something. More than one because not every server answers such a request soon.
const MOST_ENDING: usize = 4;

/// Connections to one upstream for what waits. Where the upstream allows 100 requests on each, which is usual, that is more than the sessions
/// of an endpoint need.
const MOST_WAITING: usize = 32;

/// The connections of one purpose, and the turns on them.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) shared: Shared,
    shares: Mutex<Shares<oneshot::Sender<Turn>>>,
}

/// The place of one request among those of its purpose, given back when dropped.
#[derive(Debug)]
pub struct Turn(Box<Place>);

#[derive(Debug)]
struct Place {
    rack: Arc<Rack>,
    upstream: Upstream,
    purpose: Purpose,
    whose: Arc<str>,
}

/// One that waits for its turn, until it is dropped.
struct Waiting<'a> {
    reserved: &'a Reserved,
    whose: &'a str,
    number: Number,
}

impl Reserved {
    pub(super) fn new(purpose: Purpose) -> Self {
        Self {
            shared: Shared::at_most(
                match purpose {
                    Purpose::End | Purpose::Enforce => MOST_ENDING,
                    Purpose::Wait => MOST_WAITING,
                },
                WhenFull::Joins,
            ),
            shares: Mutex::default(),
        }
    }

    fn shares(&self) -> MutexGuard<'_, Shares<oneshot::Sender<Turn>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rack {
    /// A place for a request of `whose`, if there is one within `patience`.
    pub(super) async fn turn(
        self: Arc<Self>,
        upstream: &Upstream,
        purpose: Purpose,
        whose: &str,
        patience: Duration,
    ) -> Option<Turn> {
        let reserved = self.reserved(purpose);
        let (told, heard) = oneshot::channel();
        // One that leaves is not told any more, and a turn that it was told of and did not hear of comes back.
        let _waiting = Waiting {
            reserved,
            whose,
            number: reserved.shares().wait(&Arc::from(whose), told),
        };
        self.tell_who_is_next(upstream, purpose);
        timeout(patience, heard).await.ok()?.ok()
    }

    /// Gives places to those who may have one. As many as the upstream allows on each connection, also where it speaks HTTP/1.1 and each place
    /// is a connection: then it never said, and 100 stands.
    fn tell_who_is_next(self: &Arc<Self>, upstream: &Upstream, purpose: Purpose) {
        let reserved = self.reserved(purpose);
        // One that allows none for now allows some again, and nobody but a request finds that out.
        let each = upstream.0.streams.load(Ordering::Relaxed);
        let places = each
            .clamp(1, http2::MOST_STREAMS)
            .saturating_mul(reserved.shared.most);
        loop {
            let next = reserved.shares().next(places);
            let Some((whose, told)) = next else {
                return;
            };
            let place = Place {
                rack: Arc::clone(self),
                upstream: upstream.clone(),
                purpose,
                whose,
            };
            // The turn of one that left just now comes back with it.
            drop(told.send(Turn(Box::new(place))));
        }
    }
}

impl Turn {
    pub(super) fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    pub(super) fn purpose(&self) -> Purpose {
        self.0.purpose
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let reserved = self.rack.reserved(self.purpose);
        reserved.shares().give_back(&self.whose);
        self.rack.tell_who_is_next(&self.upstream, self.purpose);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.reserved.shares().leave(self.whose, self.number);
    }
}
