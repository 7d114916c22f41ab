//! The grant table: active and scheduled grants in memory, by holder and policy.
//!
//! INVARIANT: no guard of the map leaves this file, so none is held across an await or beside another.
//!
//! Room: an entry is 49 bytes with its share of the map's control bytes, and the map is at least 7/16 full, so 100,000
//! grants take 6 to 12 MB. A holder's second grant under one policy needs an allocation of its own, and so does what few
//! grants have: terms.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::num::NonZeroI64;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashmap::{DashMap, Entry};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::model::{Grant, Interner, PolicyId, PrincipalId, Task};
use crate::policy::{HeldGrant, HeldGrants, InvalidPin, ParameterRules};

/// Grants in force, by holder and policy. A look-up hashes eight bytes and reads one entry.
#[derive(Debug, Default)]
pub struct GrantTable {
    held: DashMap<Key, Held, BuildHasherDefault<KeyHasher>>,
    /// Whether none counts for now.
    suspended: AtomicBool,
    /// The terms of grants that are narrowed to a task and nothing else: there are few tasks, and their grants share them.
    narrowed: DashMap<Task, Arc<Terms>>,
    changes: Notify,
    /// How many changes there were that were told of.
    generation: AtomicU64,
}

/// One millisecond before 1970-01-01T00:00:00Z.
const BEFORE_THE_EPOCH: NonZeroI64 = NonZeroI64::new(-1).unwrap();

/// Holder and policy in one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(u64);

/// The grants of one holder under one policy: nearly always one.
#[derive(Debug)]
enum Held {
    /// In no order; two or more.
    Many(Box<[Entered]>),
    One(Entered),
}

/// A grant as it is kept: [`HeldGrant`] in as little room as can be.
#[derive(Clone, Debug)]
struct Entered {
    id: Uuid,
    starts_ms: i64,
    /// Where 0 would stand, the epoch itself, there is -1: both are long over. So [`Held`] needs no room to tell its kinds.
    ends_ms: NonZeroI64,
    /// `None` where it covers whatever its policy governs, any number of times.
    terms: Option<Arc<Terms>>,
}

/// What binds a grant besides its policy and its time.
#[derive(Clone, Debug, Default)]
struct Terms {
    task: Option<Task>,
    pins: Option<ParameterRules>,
    uses_left: Option<u32>,
    break_glass: bool,
}

impl GrantTable {
    /// Puts a grant in force. A grant already there is replaced.
    ///
    /// # Errors
    ///
    /// Its pins are none; it is not in force then, unless it was before.
    pub fn insert(&self, grant: &Grant, interner: &Interner) -> Result<(), InvalidPin> {
        let entered = Entered {
            id: grant.id,
            starts_ms: grant.starts.timestamp_millis(),
            ends_ms: NonZeroI64::new(grant.ends.timestamp_millis()).unwrap_or(BEFORE_THE_EPOCH),
            terms: self.terms(grant)?,
        };
        match self.held.entry(Key::of(grant, interner)) {
            Entry::Occupied(mut entry) => entry.get_mut().add(entered),
            Entry::Vacant(entry) => {
                entry.insert(Held::One(entered));
            }
        }
        self.tell();
        Ok(())
    }

    /// Tells whoever waits that grants came into force or are over, or that none counts, or that they count again.
    pub fn changes(&self) -> &Notify {
        &self.changes
    }

    /// Another number after each change that [`changes`](Self::changes) tells of.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Tells of a change, of grants or of what they are looked at with.
    pub(super) fn announce(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changes.notify_waiters();
    }

    /// Tells how many uses of a grant are left, if it is in force and had more.
    pub fn lower_uses(&self, grant: &Grant, interner: &Interner) {
        let Some(left) = grant.uses_left() else {
            return;
        };
        if let Some(mut held) = self.held.get_mut(&Key::of(grant, interner)) {
            for entered in held.grants_mut().iter_mut().filter(|it| it.id == grant.id) {
                if let Some(terms) = &mut entered.terms {
                    let terms = Arc::make_mut(terms);
                    terms.uses_left = terms.uses_left.map(|had| had.min(left));
                }
            }
        }
    }

    /// Whether a grant counts its uses.
    pub fn counts_uses(&self, holder: PrincipalId, policy: PolicyId, grant: Uuid) -> bool {
        self.held
            .get(&Key::new(holder, policy))
            .is_some_and(|held| {
                let mut grants = held.grants().iter();
                grants.any(|it| it.id == grant && it.view().uses_left.is_some())
            })
    }

    /// Takes a grant out of force: no decision that begins after this returns sees it.
    pub fn remove(&self, grant: &Grant, interner: &Interner) {
        if let Entry::Occupied(mut entry) = self.held.entry(Key::of(grant, interner))
            && !entry.get_mut().keep(|it| it.id != grant.id)
        {
            entry.remove();
        }
        self.tell();
    }

    /// Drops grants that ended at or before `now_ms` (milliseconds since the Unix epoch); how many.
    pub fn sweep(&self, now_ms: i64) -> usize {
        let mut dropped = 0;
        self.held.retain(|_, held| {
            let before = held.grants().len();
            let any = held.keep(|it| it.ends_ms.get() > now_ms);
            dropped += before - if any { held.grants().len() } else { 0 };
            any
        });
        if dropped > 0 {
            self.tell();
        }
        dropped
    }

    /// Has no grant count until [`GrantTable::resume`]: what is held may be out of date.
    pub fn suspend(&self) {
        if !self.suspended.swap(true, Ordering::AcqRel) {
            self.announce();
        }
    }

    /// Has what is held count.
    pub fn resume(&self) {
        self.suspended.store(false, Ordering::Release);
        self.announce();
    }

    /// Takes all grants out of force.
    pub fn clear(&self) {
        self.held.clear();
    }

    /// Whether none counts for now.
    pub fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Acquire)
    }

    /// Tells of a change of what is held. While none counts it changes nothing for anybody: [`GrantTable::resume`] tells of all.
    fn tell(&self) {
        if !self.is_suspended() {
            self.announce();
        }
    }

    /// How many grants are held.
    pub fn len(&self) -> usize {
        self.held.iter().map(|it| it.value().grants().len()).sum()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What binds a grant, if anything does. A policy of one exact task narrows it to that already.
    fn terms(&self, grant: &Grant) -> Result<Option<Arc<Terms>>, InvalidPin> {
        let task = grant.task.as_ref().filter(|it| it.folded() != grant.policy);
        let terms = Terms {
            task: task.cloned(),
            pins: if grant.pins.is_empty() {
                None
            } else {
                Some(ParameterRules::of_pins(&grant.pins)?)
            },
            uses_left: grant.uses_left(),
            break_glass: grant.break_glass,
        };
        if terms.pins.is_some() || terms.uses_left.is_some() || terms.break_glass {
            return Ok(Some(Arc::new(terms)));
        }
        Ok(task.map(|task| match self.narrowed.get(task) {
            Some(known) => Arc::clone(&known),
            None => Arc::clone(&*self.narrowed.entry(task.clone()).or_insert(Arc::new(terms))),
        }))
    }
}

impl HeldGrants for GrantTable {
    fn are_unknown(&self) -> bool {
        self.is_suspended()
    }

    fn each(
        &self,
        principal: PrincipalId,
        policy: PolicyId,
        look: &mut dyn FnMut(HeldGrant<'_>) -> ControlFlow<()>,
    ) {
        if self.is_suspended() {
            return;
        }
        if let Some(held) = self.held.get(&Key::new(principal, policy)) {
            for grant in held.grants() {
                if look(grant.view()).is_break() {
                    return;
                }
            }
        }
    }
}

impl Entered {
    fn view(&self) -> HeldGrant<'_> {
        let terms = self.terms.as_deref();
        HeldGrant {
            id: self.id,
            starts_ms: self.starts_ms,
            ends_ms: self.ends_ms.get(),
            task: terms.and_then(|it| it.task.as_ref()),
            pins: terms.and_then(|it| it.pins.as_ref()),
            uses_left: terms.and_then(|it| it.uses_left),
            break_glass: terms.is_some_and(|it| it.break_glass),
        }
    }
}

impl Held {
    fn grants(&self) -> &[Entered] {
        match self {
            Self::Many(grants) => grants,
            Self::One(grant) => std::slice::from_ref(grant),
        }
    }

    fn grants_mut(&mut self) -> &mut [Entered] {
        match self {
            Self::Many(grants) => grants,
            Self::One(grant) => std::slice::from_mut(grant),
        }
    }

    fn add(&mut self, grant: Entered) {
        let mut grants = self.grants().to_vec();
        grants.retain(|it| it.id != grant.id);
        grants.push(grant);
        self.put(grants);
    }

    /// Keeps those that `keep` holds for; whether any is left. Without any, it stays as it was.
    fn keep(&mut self, keep: impl Fn(&Entered) -> bool) -> bool {
        if self.grants().iter().all(&keep) {
            return true;
        }
        let mut grants = self.grants().to_vec();
        grants.retain(keep);
        if grants.is_empty() {
            return false;
        }
        self.put(grants);
        true
    }

    fn put(&mut self, mut grants: Vec<Entered>) {
        *self = match (grants.len(), grants.pop()) {
            (1, Some(only)) => Self::One(only),
            (_, Some(last)) => {
                grants.push(last);
                Self::Many(grants.into())
            }
            (_, None) => Self::Many(Box::default()),
        };
    }
}

impl Key {
    fn new(principal: PrincipalId, policy: PolicyId) -> Self {
        Self(u64::from(principal.0) << 32 | u64::from(policy.0))
    }

    fn of(grant: &Grant, interner: &Interner) -> Self {
        Self::new(
            interner.principal(&grant.principal_key),
            interner.policy(&grant.policy),
        )
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Mixes a [`Key`] by one wide multiplication. Its numbers are given out in order by this process, so nobody can choose
/// ones that collide, and no secret key is needed.
#[derive(Clone, Copy, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "both halves of the product are used"
    )]
    fn write_u64(&mut self, key: u64) {
        // 2^64 divided by the golden ratio, and the first digits of pi: odd numbers without a pattern.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        const SALT: u64 = 0x243f_6a88_85a3_08d3;
        let product = u128::from(key ^ SALT) * u128::from(FACTOR);
        let folded = (product >> 64) as u64 ^ product as u64;
        self.0 = folded ^ folded.rotate_left(32);
    }
}

#[cfg(test)]
mod tests;
