//! How many refusals of callers who are not signed in get a record of their own: enough to show an attack, too few to fill
//! the disk with one. The rest is counted, and the count goes on record.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Buckets, which sources share by a keyed hash. With all of them empty, strangers cause six records a second: some 300 MB
/// a day.
const BUCKETS: usize = 64;

/// Records that a full bucket gives at once,
const AT_ONCE: i64 = 30;

/// and how long it takes for one more, in milliseconds.
const REFILL_MS: i64 = 10_000;

/// The longest that a bucket takes to fill, in milliseconds.
const FULL_MS: i64 = AT_ONCE * REFILL_MS;

/// Who has been refused how often without being signed in.
#[derive(Debug)]
pub struct Strangers {
    keys: RandomState,
    /// When each bucket will be full again, in milliseconds since the Unix epoch.
    full_at_ms: Box<[Mutex<i64>]>,
    unrecorded: AtomicU64,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            keys: RandomState::new(),
            full_at_ms: std::iter::repeat_with(Mutex::default)
                .take(BUCKETS)
                .collect(),
            unrecorded: AtomicU64::new(0),
        }
    }
}

impl Strangers {
    /// Whether a refusal of this source gets a record of its own. If not, it is counted.
    pub fn is_recorded(&self, source: IpAddr, now_ms: i64) -> bool {
        let hash = self.keys.hash_one(network(source)).to_le_bytes();
        let bucket = self.full_at_ms.get(usize::from(hash[0]) % BUCKETS);
        let is_recorded = bucket.is_some_and(|bucket| {
            let mut full_at = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            // A clock that was set back leaves no bucket empty for longer than usual.
            *full_at = (*full_at).clamp(now_ms, now_ms.saturating_add(FULL_MS));
            let left = full_at.saturating_add(REFILL_MS) <= now_ms.saturating_add(FULL_MS);
            if left {
                *full_at = full_at.saturating_add(REFILL_MS);
            }
            left
        });
        if !is_recorded {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
        is_recorded
    }

    /// How many refusals got no record of their own since this was asked last.
    pub fn take_unrecorded(&self) -> u64 {
        self.unrecorded.swap(0, Ordering::Relaxed)
    }
}

/// What one stranger can be expected to own: an IPv4 address, or the 64-bit prefix of an IPv6 one.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn recorded(strangers: &Strangers, sources: impl Iterator<Item = IpAddr>, now_ms: i64) -> i64 {
        sources
            .filter(|it| strangers.is_recorded(*it, now_ms))
            .count()
            .try_into()
            .unwrap()
    }

    #[test]
    fn a_flood_is_recorded_in_part_and_counted_in_full() {
        let strangers = Strangers::default();
        let flood = || std::iter::repeat_n(IpAddr::from([192, 0, 2, 7]), 1_000);
        assert_eq!(recorded(&strangers, flood(), NOW), AT_ONCE);
        assert_eq!(strangers.take_unrecorded(), 970);
        assert_eq!(strangers.take_unrecorded(), 0);
        assert_eq!(recorded(&strangers, flood(), NOW + 2 * REFILL_MS), 2);
        let after_a_clock_set_back = NOW - 86_400_000;
        recorded(&strangers, flood(), after_a_clock_set_back);
        assert_eq!(
            recorded(&strangers, flood(), after_a_clock_set_back + REFILL_MS),
            1
        );
    }

    #[test]
    fn many_addresses_are_worth_no_more_than_all_buckets() {
        let strangers = Strangers::default();
        let addresses = (0..100_000_u32).map(|it| IpAddr::from(it.to_be_bytes()));
        assert_eq!(recorded(&strangers, addresses, NOW), 64 * AT_ONCE);
    }

    #[test]
    fn an_ipv6_network_is_one_stranger() {
        let strangers = Strangers::default();
        let addresses =
            (0..1_000_u128).map(|it| IpAddr::from(Ipv6Addr::from((0x2001_0db8 << 96) | it)));
        assert_eq!(recorded(&strangers, addresses, NOW), AT_ONCE);
    }
}
