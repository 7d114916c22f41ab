//! A bucket of attempts: so many at once, then one every few seconds, in a few bytes.

use std::sync::Mutex;

use super::lock;

/// How many sign-ins of one user may fail in a row.
const ATTEMPTS: i64 = 10;

/// An attempt is given back each this often, in milliseconds: ten a minute.
const REFILL_MS: i64 = 6_000;

/// The longest that a bucket takes to fill, in milliseconds.
const FULL_MS: i64 = ATTEMPTS * REFILL_MS;

/// When the bucket will be full again, in milliseconds since the Unix epoch; in the past: it is full.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<i64>);

impl Throttle {
    /// Takes an attempt out of the bucket; false if there is none left. It is taken before the password is checked,
    /// so that many guesses at once do not each see a full bucket.
    pub(super) fn take(&self, now_ms: i64) -> bool {
        let mut full_at = lock(&self.0);
        // A clock that was set back locks nobody out for longer than an empty bucket does.
        *full_at = (*full_at).clamp(now_ms, now_ms + FULL_MS);
        let left = *full_at + REFILL_MS <= now_ms + FULL_MS;
        if left {
            *full_at += REFILL_MS;
        }
        left
    }

    /// Gives back what was taken for an attempt that did not fail.
    pub(super) fn give_back(&self) {
        *lock(&self.0) -= REFILL_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn ten_failures_empty_the_bucket_and_time_fills_it() {
        let throttle = Throttle::default();
        for _ in 0..ATTEMPTS {
            assert!(throttle.take(NOW));
        }
        assert!(!throttle.take(NOW));
        assert!(!throttle.take(NOW + REFILL_MS - 1));
        assert!(throttle.take(NOW + REFILL_MS));
        assert!(!throttle.take(NOW + REFILL_MS));
    }

    #[test]
    fn success_costs_nothing() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            assert!(throttle.take(NOW));
            throttle.give_back();
        }
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out_for_long() {
        let throttle = Throttle::default();
        for _ in 0..ATTEMPTS {
            throttle.take(NOW);
        }
        let earlier = NOW - 86_400_000;
        assert!(!throttle.take(earlier));
        assert!(throttle.take(earlier + REFILL_MS));
    }
}
