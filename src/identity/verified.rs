//! Credentials that were verified before: what makes the second request of a caller cheap.
//!
//! INVARIANT: only a credential that was verified is put in, so a stranger can neither fill it nor push anyone out of it.
//!
//! A fixed number of small sets, each under its own lock; a credential's digest says which set it belongs to, and a full
//! set drops its least recently used entry. So the memory has a bound that needs no counting, and two workers seldom meet.

use std::sync::{Arc, Mutex};

use crate::model::Principal;

use super::lock;

/// Sets in a cache.
const SETS: usize = 2048;

/// Entries in a set; 16,384 in a cache.
const WAYS: usize = 8;

/// A digest of a credential: SHA-256 of a token, HMAC-SHA-256 of a name and password.
pub(super) type Digest = [u8; 32];

/// Verified credentials with what proved them; an entry counts only as long as its proof does.
pub(super) struct Verified<P> {
    sets: Box<[Mutex<Set<P>>]>,
}

/// A credential that was verified before.
#[derive(Debug)]
pub(super) struct Found<P> {
    pub(super) principal: Arc<Principal>,
    /// When it counts no longer.
    pub(super) ends_ms: i64,
    pub(super) proof: P,
}

struct Set<P> {
    entries: Vec<Entry<P>>,
    /// Counts uses, to tell the least recent.
    uses: u64,
}

struct Entry<P> {
    digest: Digest,
    /// The section that verified it, by its place among all: another section may judge the same token otherwise.
    section: usize,
    /// Milliseconds since the Unix epoch; from here on it counts no longer.
    ends_ms: i64,
    last_use: u64,
    proof: P,
    principal: Arc<Principal>,
}

impl<P: Clone> Verified<P> {
    pub(super) fn new() -> Self {
        let set = || {
            Mutex::new(Set {
                entries: Vec::new(),
                uses: 0,
            })
        };
        Self {
            sets: std::iter::repeat_with(set).take(SETS).collect(),
        }
    }

    /// Whose credential this is, if it was verified and its proof `holds`. One that does not is dropped.
    pub(super) fn find(
        &self,
        digest: &Digest,
        section: usize,
        now_ms: i64,
        holds: impl Fn(&P) -> bool,
    ) -> Option<Found<P>> {
        let mut set = lock(self.set(digest)?);
        set.uses += 1;
        let uses = set.uses;
        let at = set
            .entries
            .iter()
            .position(|it| it.section == section && it.digest == *digest)?;
        let entry = set.entries.get_mut(at)?;
        if now_ms >= entry.ends_ms || !holds(&entry.proof) {
            set.entries.swap_remove(at);
            return None;
        }
        entry.last_use = uses;
        Some(Found {
            principal: Arc::clone(&entry.principal),
            ends_ms: entry.ends_ms,
            proof: entry.proof.clone(),
        })
    }

    /// Remembers a verified credential until `ends_ms`, or until its proof no longer holds.
    pub(super) fn insert(
        &self,
        digest: Digest,
        section: usize,
        ends_ms: i64,
        proof: P,
        principal: Arc<Principal>,
    ) {
        let Some(set) = self.set(&digest) else { return };
        let mut set = lock(set);
        set.uses += 1;
        let entry = Entry {
            digest,
            section,
            ends_ms,
            last_use: set.uses,
            proof,
            principal,
        };
        let place = set
            .entries
            .iter()
            .position(|it| it.section == section && it.digest == digest)
            .or_else(|| {
                let oldest = set
                    .entries
                    .iter()
                    .enumerate()
                    .min_by_key(|it| it.1.last_use);
                oldest
                    .filter(|_| set.entries.len() >= WAYS)
                    .map(|(at, _)| at)
            });
        match place.and_then(|at| set.entries.get_mut(at)) {
            Some(old) => *old = entry,
            None => set.entries.push(entry),
        }
    }

    fn set(&self, digest: &Digest) -> Option<&Mutex<Set<P>>> {
        let [first, second, ..] = *digest;
        self.sets
            .get(usize::from(u16::from_be_bytes([first, second])) % SETS)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{PrincipalId, PrincipalKind};

    use super::*;

    fn principal(name: &str) -> Arc<Principal> {
        Arc::new(Principal {
            kind: PrincipalKind::User,
            key: name.to_owned(),
            id: PrincipalId(0),
            name: name.to_owned(),
            groups: Vec::new(),
            tenant: None,
            identity: "test".to_owned(),
        })
    }

    fn digest(number: usize) -> Digest {
        // All in one set: the first two bytes are the same.
        let mut digest = [0; 32];
        digest[2..10].copy_from_slice(&number.to_be_bytes());
        digest
    }

    fn found(cache: &Verified<u32>, number: usize, now_ms: i64) -> bool {
        cache
            .find(&digest(number), 0, now_ms, |proof| *proof == 7)
            .is_some()
    }

    #[test]
    fn an_entry_counts_until_its_end_and_no_longer() {
        let cache = Verified::new();
        cache.insert(digest(1), 0, 1000, 7, principal("amy"));
        assert!(found(&cache, 1, 999));
        assert!(!found(&cache, 1, 1000));
        assert!(!found(&cache, 1, 0), "it is gone for good");
    }

    #[test]
    fn an_entry_without_its_proof_is_dropped() {
        let cache = Verified::new();
        cache.insert(digest(1), 0, 1000, 8, principal("amy"));
        assert!(!found(&cache, 1, 0));
    }

    #[test]
    fn another_sections_verdict_does_not_count() {
        let cache = Verified::new();
        cache.insert(digest(1), 1, 1000, 7, principal("amy"));
        assert!(!found(&cache, 1, 0));
    }

    #[test]
    fn a_full_set_drops_what_was_used_least_recently() {
        let cache = Verified::new();
        for number in 0..WAYS {
            cache.insert(digest(number), 0, 1000, 7, principal("amy"));
        }
        assert!(found(&cache, 0, 0));
        cache.insert(digest(WAYS), 0, 1000, 7, principal("amy"));
        assert!(found(&cache, 0, 0) && found(&cache, WAYS, 0));
        assert!(!found(&cache, 1, 0));
    }

    #[test]
    fn the_same_credential_takes_one_place() {
        let cache = Verified::new();
        cache.insert(digest(0), 0, 1000, 7, principal("amy"));
        for _ in 0..WAYS {
            cache.insert(digest(1), 0, 1000, 7, principal("amy"));
        }
        assert!(found(&cache, 0, 0) && found(&cache, 1, 0));
    }
}
