//! A step of a pipeline that is on its way to the server, its start or values that are piped into it: it goes up only while it is permitted, and what
//! was begun there meanwhile is ended.
//!
//! INVARIANT: of a step that is not permitted any more nothing goes up. A start that the server has not answered is ended at once, and once more when it
//! has answered.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::yield_now;
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;

use crate::dialect::psrp::session::{Go, Stage, Whereabouts};
use crate::dialect::psrp::soap::Response;

use super::clearance::Cleared;
use super::decide::unknown;
use super::going::decide_again;
use super::leave::Leave;
use super::shells::Kept;
use super::standing::Passed;
use super::upstream::{CLOSE, Ender, Heard};
use super::visit::Visit;

/// What a client reads whose pipeline is permitted again, and was not for a moment.
const WAS_OVER: &str = "What permitted the pipeline was over for a moment while it was on its way to the server, so it was ended: run it again";

/// What became of a step.
pub(super) enum Gone {
    /// It did not go up, or not all of it: what its client hears, and how that is recorded.
    Back(Response, &'static str),
    /// It went up.
    Up(Heard),
}

impl Visit<'_> {
    /// Which generation the state is of, if the policies of this visit are in force.
    pub(super) fn generation(&self) -> Option<u64> {
        let scene = self.arrival.scene;
        let state = &scene.gate.state;
        // In this order: what is put in force between the two is of a later generation.
        let generation = state.generation();
        let in_force = state.snapshot();
        std::ptr::eq(&raw const *in_force, scene.snapshot).then_some(generation)
    }

    /// Sends a step of a pipeline as long as it is permitted.
    pub(super) async fn send_while_permitted(
        &self,
        kept: &Kept,
        cleared: Cleared,
        passed: &Passed<'_>,
    ) -> Gone {
        let _attending = kept.attend(passed.command);
        let state = &self.arrival.scene.gate.state;
        let leave = Leave::while_it_holds(state, passed.generation, || {
            self.would_go_on(passed.acts, passed.stands_on)
        });
        let line = self.line(kept);
        let heard = match passed.stage {
            Stage::Start => {
                let sending = line.send(cleared, &leave);
                self.watching(kept, sending, passed, &leave).await
            }
            // The server runs it: what stops it then is somebody else's.
            Stage::Input | Stage::Onward => line.send(cleared, &leave).await,
        };
        match heard {
            Heard::Lost(rejection) if rejection.is_withdrawn() && !kept.closed.is_cancelled() => {
                self.take_back(kept, passed, &leave).await
            }
            heard => Gone::Up(heard),
        }
    }

    /// Waits for the answer to a start, and ends the pipeline if it is not permitted any more before that: it may run long since.
    async fn watching(
        &self,
        kept: &Kept,
        sending: impl Future<Output = Heard>,
        passed: &Passed<'_>,
        leave: &Leave<'_>,
    ) -> Heard {
        let is_ending = AtomicBool::new(false);
        let mut ended = pin!(async {
            loop {
                leave.is_over().await;
                if leave.has_left() {
                    break;
                }
                // It is taken back before it leaves.
                yield_now().await;
            }
            is_ending.store(true, Ordering::Release);
            self.end_on_its_way(kept, passed, Whereabouts::Unknown)
                .await;
        });
        let mut sending = pin!(sending);
        let mut has_ended = false;
        let heard = loop {
            tokio::select! {
                biased;
                heard = &mut sending => break heard,
                () = &mut ended, if !has_ended => has_ended = true,
            }
        };
        if is_ending.load(Ordering::Acquire) {
            if !has_ended {
                ended.await;
            }
            // The server may have learned of it only after it was told to end it.
            self.line(kept).end_again().await;
        }
        heard
    }

    /// A step did not go up, or not all of it: its pipeline ends with that.
    async fn take_back(&self, kept: &Kept, passed: &Passed<'_>, leave: &Leave<'_>) -> Gone {
        let (at, result) = if leave.has_left() {
            (Whereabouts::Unknown, "not-fetched")
        } else {
            (Whereabouts::Here, "not-run")
        };
        if at == Whereabouts::Here
            && passed.stage == Stage::Start
            && let Some(standing) = kept.lock().standing.get_mut(&passed.command)
        {
            standing.finish(result);
        }
        self.end_on_its_way(kept, passed, at).await;
        let answer = match passed.stage {
            _ if !kept.lock().shell.has(passed.command) => unknown(),
            Stage::Start => Response::Started {
                command: passed.command,
            },
            Stage::Input | Stage::Onward => Response::Sent,
        };
        Gone::Back(answer, result)
    }

    /// Puts on record that a pipeline may not go on, and ends it here and at the server, if it is there.
    async fn end_on_its_way(&self, kept: &Kept, passed: &Passed<'_>, at: Whereabouts) {
        if !kept.claim_end(passed.command) {
            return;
        }
        let snapshot = self.arrival.scene.gate.state.snapshot();
        let arrival = self.arrival.with(&snapshot);
        let context = self.at(&arrival).context(Some(passed.command));
        let scene = arrival.scene;
        let text = match decide_again(&scene, &context, passed.acts, passed.stands_on) {
            Ok(_) => WAS_OVER.to_owned(),
            Err(against) => against.record(&scene, &context).await.0,
        };
        let cleared = kept.withdraw(passed.command, at, &text);
        let line = self.line(kept);
        if timeout(CLOSE, line.send_ending(cleared, Ender::Gateway))
            .await
            .is_err()
        {
            warn!(shell = %kept.id, pipeline = %passed.command, "The server did not say whether it stopped a pipeline that may not go on; it is told again");
        }
    }
}

impl Kept {
    /// Whether it is the caller's to end a pipeline that may not go on, and to put that on record: nobody else does, and it is not over.
    fn claim_end(&self, command: Uuid) -> bool {
        let mut inner = self.lock();
        let standing = inner.standing.get_mut(&command);
        standing.is_some_and(|it| !std::mem::replace(&mut it.is_being_stopped, true))
    }

    /// Ends with `text` here what is not permitted any more; what ends it at the server.
    fn withdraw(&self, command: Uuid, at: Whereabouts, text: &str) -> Cleared {
        let operations = {
            let mut inner = self.lock();
            let operations = inner.shell.withdrawn(command, at, text);
            inner.settle();
            operations
        };
        self.changed.notify_waiters();
        Cleared::refused(Go {
            operations,
            answer: None,
        })
    }
}
