//! Small numbers for long names, so that the grant table's keys are eight bytes and its look-ups hash no text.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;

/// A principal's number in this process; never stored, never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrincipalId(pub u32);

/// A policy's number in this process: the same for the same scope across reloads; never stored, never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyId(pub u32);

/// Gives each distinct text a number, for the life of the process.
///
/// It only grows, by authenticated principals and loaded policies: neither is a stranger's to choose.
#[derive(Debug, Default)]
pub struct Interner {
    principals: DashMap<Arc<str>, u32>,
    policies: DashMap<Arc<str>, u32>,
    next: AtomicU32,
}

impl Interner {
    /// The number of the principal with this key ([`super::Principal::key`]).
    pub fn principal(&self, key: &str) -> PrincipalId {
        PrincipalId(Self::number(&self.principals, &self.next, key))
    }

    /// The number of the policy with this folded scope text, such as `exchange\remove-*`.
    pub fn policy(&self, scope: &str) -> PolicyId {
        PolicyId(Self::number(&self.policies, &self.next, scope))
    }

    fn number(map: &DashMap<Arc<str>, u32>, next: &AtomicU32, text: &str) -> u32 {
        if let Some(known) = map.get(text) {
            return *known;
        }
        *map.entry(text.into())
            .or_insert_with(|| next.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_number_and_shares_it_with_none() {
        let interner = Interner::default();
        let amy = interner.principal("amy");
        assert_ne!(amy, interner.principal("bo"));
        assert_eq!(amy, interner.principal("amy"));
    }
}
