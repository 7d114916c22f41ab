//! The grant table: active and scheduled grants in memory, by holder and policy.
//!
//! INVARIANT: no guard of the map leaves this file, so none is held across an await or beside another.

use dashmap::DashMap;
use uuid::Uuid;

use crate::model::{Grant, Interner, PolicyId, PrincipalId};
use crate::policy::{HeldGrant, HeldGrants};

/// Grants in force, by holder and policy. A look-up hashes eight bytes and reads one entry.
#[derive(Debug, Default)]
pub struct GrantTable {
    held: DashMap<(PrincipalId, PolicyId), Vec<HeldGrant>>,
}

impl GrantTable {
    /// Puts a grant in force. A grant already there is replaced.
    pub fn insert(&self, grant: &Grant, interner: &Interner) {
        let key = (
            interner.principal(&grant.principal_key),
            interner.policy(&grant.policy),
        );
        let held = HeldGrant {
            id: grant.id,
            starts_ms: grant.starts.timestamp_millis(),
            ends_ms: grant.ends.timestamp_millis(),
            task: grant.task.clone().map(Box::new),
        };
        let mut grants = self.held.entry(key).or_default();
        grants.retain(|it| it.id != held.id);
        grants.push(held);
        grants.shrink_to_fit();
    }

    /// Takes a grant out of force: no decision that begins after this returns sees it.
    pub fn remove(&self, grant: &Grant, interner: &Interner) {
        let key = (
            interner.principal(&grant.principal_key),
            interner.policy(&grant.policy),
        );
        if let Some(mut grants) = self.held.get_mut(&key) {
            grants.retain(|it| it.id != grant.id);
        }
        self.held.remove_if(&key, |_, grants| grants.is_empty());
    }

    /// Drops grants that ended at or before `now_ms` (milliseconds since the Unix epoch); how many.
    pub fn sweep(&self, now_ms: i64) -> usize {
        let mut dropped = 0;
        self.held.retain(|_, grants| {
            let before = grants.len();
            grants.retain(|it| it.ends_ms > now_ms);
            dropped += before - grants.len();
            !grants.is_empty()
        });
        dropped
    }

    /// How many grants are held.
    pub fn len(&self) -> usize {
        self.held.iter().map(|it| it.value().len()).sum()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl HeldGrants for GrantTable {
    fn find(
        &self,
        principal: PrincipalId,
        policy: PolicyId,
        covers: &dyn Fn(&HeldGrant) -> bool,
    ) -> Option<Uuid> {
        self.held
            .get(&(principal, policy))?
            .iter()
            .find(|it| covers(it))
            .map(|it| it.id)
    }
}
