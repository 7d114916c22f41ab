//! Where calls wait for the sync that carries their records: one gate a batch, opened once.
//!
//! Waking a task from another thread writes to its runtime's event descriptor, which costs a system call. So the writer
//! wakes one waiting task per thread, and that one wakes the others of its thread, which costs next to nothing.
//! INVARIANT: while a gate is shut, every registered waiter is alive (a dropped one removes itself), so the one that is
//! woken either runs, or is dropped and passes the news on as it goes.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;

use super::facts::{Outcome, Unavailable};

/// What the writer says of a batch.
pub(super) type Written = Result<(), Unavailable>;

#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    written: Option<Written>,
    threads: Vec<(ThreadId, Vec<(u64, Waker)>)>,
    tickets: u64,
    abandoned: Vec<Outcome>,
}

impl Gate {
    /// Opens the gate. Returns the outcomes of calls that stopped waiting, which are now due if the batch was written.
    pub(super) fn open(&self, written: Written) -> Vec<Outcome> {
        let (first, abandoned) = {
            let mut state = self.lock();
            state.written = Some(written);
            let first: Vec<Waker> = state
                .threads
                .iter_mut()
                .filter_map(|(_, waiters)| waiters.pop())
                .map(|(_, waker)| waker)
                .collect();
            (first, std::mem::take(&mut state.abandoned))
        };
        first.into_iter().for_each(Waker::wake);
        abandoned
    }

    /// Waits for the gate to open. Dropping the future is allowed at any time.
    pub(super) fn wait(self: Arc<Self>) -> Wait {
        Wait {
            gate: self,
            place: None,
        }
    }

    /// A call will not wait for its batch any more: these outcomes are due if the batch is written. Returns them if it
    /// has been, nothing if it will not be.
    pub(super) fn abandon(&self, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        let mut state = self.lock();
        match &state.written {
            None => {
                state.abandoned.extend(outcomes);
                Vec::new()
            }
            Some(Ok(())) => outcomes,
            Some(Err(_)) => Vec::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The waiters that registered on `thread`, no longer registered.
    fn take(&mut self, thread: ThreadId) -> Vec<(u64, Waker)> {
        self.threads
            .iter_mut()
            .find(|it| it.0 == thread)
            .map(|it| std::mem::take(&mut it.1))
            .unwrap_or_default()
    }

    fn register(&mut self, thread: ThreadId, waker: Waker) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        match self.threads.iter_mut().find(|it| it.0 == thread) {
            Some((_, waiters)) => waiters.push((ticket, waker)),
            None => self.threads.push((thread, vec![(ticket, waker)])),
        }
        ticket
    }

    fn waiter(&mut self, (thread, ticket): (ThreadId, u64)) -> Option<&mut Waker> {
        let waiters = &mut self.threads.iter_mut().find(|it| it.0 == thread)?.1;
        let waiter = waiters.iter_mut().find(|it| it.0 == ticket)?;
        Some(&mut waiter.1)
    }
}

/// A wait for a gate to open.
#[derive(Debug)]
pub(super) struct Wait {
    gate: Arc<Gate>,
    /// The thread that it registered on and its ticket there, once it has.
    place: Option<(ThreadId, u64)>,
}

impl Future for Wait {
    type Output = Written;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Written> {
        let place = self.place;
        let (written, others) = {
            let mut state = self.gate.lock();
            let Some(written) = state.written.clone() else {
                let waker = context.waker();
                if let Some(place) = place {
                    if let Some(known) = state.waiter(place) {
                        known.clone_from(waker);
                    }
                } else {
                    let thread = std::thread::current().id();
                    let ticket = state.register(thread, waker.clone());
                    drop(state);
                    self.place = Some((thread, ticket));
                }
                return Poll::Pending;
            };
            let others = place.map(|(thread, _)| state.take(thread));
            (written, others)
        };
        self.place = None;
        wake(others.unwrap_or_default());
        Poll::Ready(written)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some((thread, ticket)) = self.place else {
            return;
        };
        let others = {
            let mut state = self.gate.lock();
            if state.written.is_some() {
                state.take(thread)
            } else {
                if let Some((_, waiters)) = state.threads.iter_mut().find(|it| it.0 == thread) {
                    waiters.retain(|it| it.0 != ticket);
                }
                Vec::new()
            }
        };
        wake(others);
    }
}

fn wake(waiters: Vec<(u64, Waker)>) {
    for (_, waker) in waiters {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(wait: &mut Wait, count: &Arc<Count>) -> Poll<Written> {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(wait).poll(&mut Context::from_waker(&waker))
    }

    fn waiting(gate: &Arc<Gate>, number: usize) -> Vec<(Wait, Arc<Count>)> {
        let mut waits: Vec<_> = (0..number)
            .map(|_| (Arc::clone(gate).wait(), Arc::<Count>::default()))
            .collect();
        for (wait, count) in &mut waits {
            assert!(poll(wait, count).is_pending());
        }
        waits
    }

    fn woken(waits: &[(Wait, Arc<Count>)]) -> usize {
        waits.iter().map(|it| it.1.0.load(Ordering::Relaxed)).sum()
    }

    #[test]
    fn the_writer_wakes_one_per_thread_and_that_one_the_others() {
        let gate = Arc::new(Gate::default());
        let mut waits = waiting(&gate, 5);
        gate.open(Ok(()));
        assert_eq!(woken(&waits), 1);
        let index = waits
            .iter()
            .position(|it| it.1.0.load(Ordering::Relaxed) == 1)
            .unwrap();
        let (wait, count) = &mut waits[index];
        assert!(poll(wait, count).is_ready());
        assert_eq!(woken(&waits), 5);
    }

    #[test]
    fn a_dropped_waiter_passes_the_news_on() {
        let gate = Arc::new(Gate::default());
        let mut waits = waiting(&gate, 3);
        waits.remove(0);
        gate.open(Ok(()));
        let index = waits
            .iter()
            .position(|it| it.1.0.load(Ordering::Relaxed) == 1)
            .unwrap();
        waits.remove(index);
        assert_eq!(woken(&waits), 1);
        let (wait, count) = &mut waits[0];
        assert!(poll(wait, count).is_ready());
    }

    #[test]
    fn an_open_gate_lets_pass_at_once() {
        let gate = Arc::new(Gate::default());
        let error = Unavailable { reason: "x".into() };
        gate.open(Err(error.clone()));
        let count = Arc::default();
        assert_eq!(
            poll(&mut Arc::clone(&gate).wait(), &count),
            Poll::Ready(Err(error))
        );
    }
}
