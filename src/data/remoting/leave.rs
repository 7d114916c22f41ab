//! Whether what was decided may still go upstream, asked again right before it does.
//!
//! Between a decision and the moment at which a connection takes what was decided, time may pass: for a connection, for a stream, or while what stands
//! before it in the same request goes up.
//!
//! INVARIANT: what went up was covered by the grants and policies of that moment, as far as they can be seen here: nothing was announced since it was
//! looked at, and that was less than [`MOMENT`] ago.

use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::state::State;

/// How long a decision is good for if nothing is announced: what ends by the clock alone is seen after that.
const MOMENT: Duration = Duration::from_secs(1);

/// Leave to go upstream.
pub(super) struct Leave<'a> {
    standing: Option<Standing<'a>>,
    /// Something of it went up.
    has_left: AtomicBool,
}

/// What was decided, which must still hold.
struct Standing<'a> {
    state: &'a State,
    /// Whether it would be decided like that now.
    holds: Box<dyn Fn() -> bool + Send + Sync + 'a>,
    looked: Mutex<Looked>,
}

/// When it was found to hold.
#[derive(Clone, Copy)]
struct Looked {
    /// None: not by what is in force by now.
    generation: Option<u64>,
    at: Instant,
}

impl<'a> Leave<'a> {
    /// For what depends on no grant or policy: what waits or ends something, and what is recorded and decided by nothing else.
    pub(super) fn always() -> Self {
        Self {
            standing: None,
            has_left: AtomicBool::new(false),
        }
    }

    /// For what was decided when `state` was of this generation, if that is known; `holds` decides it again.
    pub(super) fn while_it_holds(
        state: &'a State,
        generation: Option<u64>,
        holds: impl Fn() -> bool + Send + Sync + 'a,
    ) -> Self {
        let looked = Looked {
            generation,
            at: Instant::now(),
        };
        Self {
            standing: Some(Standing {
                state,
                holds: Box::new(holds),
                looked: Mutex::new(looked),
            }),
            has_left: AtomicBool::new(false),
        }
    }

    /// Whether it may go now.
    pub(super) fn holds(&self) -> bool {
        let Some(Standing {
            state,
            holds,
            looked,
        }) = &self.standing
        else {
            return true;
        };
        let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before it is decided again, so that what changes meanwhile is seen the next time.
        let now = Looked {
            generation: Some(state.generation()),
            at: Instant::now(),
        };
        if looked.generation == now.generation && now.at.duration_since(looked.at) < MOMENT {
            return true;
        }
        let still = holds();
        if still {
            *looked = now;
        }
        still
    }

    /// Waits until it does not hold any more; for ever if it does.
    pub(super) async fn is_over(&self) {
        let Some(Standing { state, .. }) = &self.standing else {
            return pending().await;
        };
        loop {
            let mut changed = pin!(state.changes().notified());
            changed.as_mut().enable();
            if !self.holds() {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = sleep(MOMENT) => {}
            }
        }
    }

    /// Something of it goes up now.
    pub(super) fn leaves(&self) {
        self.has_left.store(true, Ordering::Release);
    }

    /// Whether something of it went up.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Leave<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leave")
            .field("has_left", &self.has_left)
            .finish_non_exhaustive()
    }
}
