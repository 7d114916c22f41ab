//! How often one caller may ask, and how many may watch at once: a script gone wild disturbs nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Requests that a caller who was quiet may send at once,
const AT_ONCE: i64 = 1_000;

/// and how long it takes for one more, in milliseconds.
const REFILL_MS: i64 = 5;

/// Callers that are remembered.
const MOST_CALLERS: usize = 10_000;

/// Who asked how often lately.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// By the key of the caller, when the bucket will be full again, in milliseconds since the Unix epoch.
    full_at_ms: Mutex<HashMap<String, i64>>,
}

impl Rates {
    /// Whether this caller may ask once more now.
    pub(super) fn allow(&self, key: &str, now_ms: i64) -> bool {
        const FULL_MS: i64 = AT_ONCE * REFILL_MS;
        let mut known = self
            .full_at_ms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_CALLERS {
            known.retain(|_, full_at| *full_at > now_ms);
            // More callers than can be told apart share one bucket.
            if known.len() >= MOST_CALLERS && !known.contains_key(key) {
                return false;
            }
        }
        let full_at = known.entry(key.to_owned()).or_insert(now_ms);
        *full_at = (*full_at).clamp(now_ms, now_ms.saturating_add(FULL_MS));
        let is_left = full_at.saturating_add(REFILL_MS) <= now_ms.saturating_add(FULL_MS);
        if is_left {
            *full_at = full_at.saturating_add(REFILL_MS);
        }
        is_left
    }
}

/// Streams of events that one caller may have,
const MOST_STREAMS_OF_ONE: usize = 8;

/// and all callers together.
const MOST_STREAMS: usize = 32;

/// Who watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Watchers(Arc<Mutex<HashMap<String, usize>>>);

/// A place among those who watch, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    key: String,
    watchers: Watchers,
}

impl Watchers {
    /// A place for this caller, if there is one.
    pub(super) fn enter(&self, key: &str) -> Option<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.get(key).copied().unwrap_or_default();
        if own >= MOST_STREAMS_OF_ONE || all.values().sum::<usize>() >= MOST_STREAMS {
            return None;
        }
        all.insert(key.to_owned(), own + 1);
        Some(Place {
            key: key.to_owned(),
            watchers: self.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self
            .watchers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_a_quiet_caller_is_not() {
        let rates = Rates::default();
        let passed = (0..5_000).filter(|_| rates.allow("a", 1_000)).count();
        assert_eq!(passed, 1_000);
        assert!(rates.allow("b", 1_000));
        assert!(!rates.allow("a", 1_004));
        assert!(rates.allow("a", 1_005));
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let watchers = Watchers::default();
        let mut places: Vec<_> = (0..8).map(|_| watchers.enter("a").unwrap()).collect();
        assert!(watchers.enter("a").is_none());
        let _other = watchers.enter("b").unwrap();
        places.pop();
        assert!(watchers.enter("a").is_some());
    }
}
