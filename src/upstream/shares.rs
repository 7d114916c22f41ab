//! Places that people share, and who is next: without clocks, tasks or connections.
//!
//! INVARIANT: one more place is given only to who has fewer than are free. So one person alone gets half of them, two get a third each, and
//! whoever has none finds one as long as there are fewer people than places. No place stays free while somebody waits who may have it.
//!
//! Absent: how many places there are. That is an argument each time, because an upstream may say something else tomorrow; where it
//! is less than what is taken, nobody gets one until enough came back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The places that are taken, and those who wait for one, each with a `W`.
#[derive(Debug)]
pub(super) struct Shares<W> {
    people: HashMap<Arc<str>, Person<W>>,
    taken: usize,
    /// How many have come so far.
    came: u64,
}

#[derive(Debug)]
struct Person<W> {
    taken: usize,
    /// With their numbers, in the order in which they came.
    waiting: VecDeque<(Number, W)>,
}

/// One that waits: who came earlier has a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u64);

impl<W> Shares<W> {
    /// One more waits, for a place of `whose`.
    pub(super) fn wait(&mut self, whose: &Arc<str>, waiter: W) -> Number {
        self.came += 1;
        let number = Number(self.came);
        let person = self.people.entry(Arc::clone(whose)).or_default();
        person.waiting.push_back((number, waiter));
        number
    }

    /// One waits no longer, if it still did.
    pub(super) fn leave(&mut self, whose: &str, number: Number) {
        let Some(person) = self.people.get_mut(whose) else {
            return;
        };
        person.waiting.retain(|it| it.0 != number);
        self.forget(whose);
    }

    /// Who gets a place now, if there are `places` in all: of those with the fewest, the one that came first.
    pub(super) fn next(&mut self, places: usize) -> Option<(Arc<str>, W)> {
        let free = places.saturating_sub(self.taken);
        let (whose, person) = self
            .people
            .iter_mut()
            .filter_map(|(whose, person)| {
                let first = person.waiting.front()?.0;
                Some((person.taken, first, whose, person))
            })
            .min_by_key(|(taken, first, ..)| (*taken, *first))
            .map(|(_, _, whose, person)| (whose, person))?;
        if person.taken >= free {
            return None;
        }
        let (_, waiter) = person.waiting.pop_front()?;
        person.taken += 1;
        self.taken += 1;
        Some((Arc::clone(whose), waiter))
    }

    /// A place of `whose` is free again.
    pub(super) fn give_back(&mut self, whose: &str) {
        if let Some(person) = self.people.get_mut(whose) {
            person.taken = person.taken.saturating_sub(1);
            self.taken = self.taken.saturating_sub(1);
            self.forget(whose);
        }
    }

    fn forget(&mut self, whose: &str) {
        let is_over = |it: &Person<W>| it.taken == 0 && it.waiting.is_empty();
        if self.people.get(whose).is_some_and(is_over) {
            self.people.remove(whose);
        }
    }
}

impl<W> Default for Shares<W> {
    fn default() -> Self {
        Self {
            people: HashMap::new(),
            taken: 0,
            came: 0,
        }
    }
}

impl<W> Default for Person<W> {
    fn default() -> Self {
        Self {
            taken: 0,
            waiting: VecDeque::new(),
        }
    }
}

#[cfg(test)]
mod tests;
