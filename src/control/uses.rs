//! Uses of grants that count them, and the spread limits of policies.
//!
//! What a grant has in its whole life is in the store, and taken there before the call goes upstream: a crash in between costs
//! a use, and never gives one twice. What happened in the last minute, and which calls may go on with a use that was taken,
//! is in memory alone: a restart forgets it, so that a page or a repetition after it takes a use of its own.
//!
//! INVARIANT: of one grant, one use is taken at a time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use dashmap::DashMap;
use uuid::Uuid;

use crate::model::{Command, Grant, GrantState, HowClosed, NoticeKind, PrincipalId};
use crate::policy::{Spread, SpreadLimit, Withheld};
use crate::state::{CallMark, Failure, NotTaken, Taking};
use crate::store::{StoreError, Write};

use super::acting::TRIES;
use super::desk::{Desk, chain};
use super::lifecycle::{Case, Event, InvalidTransition, apply};
use super::notices::by_time;
use super::record::Change;

/// What is known of the uses of grants.
#[derive(Debug, Default)]
pub(super) struct Uses {
    counters: DashMap<Uuid, Arc<tokio::sync::Mutex<Counter>>>,
    recent: Mutex<Recent>,
    /// Whether `recent` has any, to be read without its lock.
    remembered: AtomicBool,
}

/// The count of one grant. Only calls that passed are in it, so the policy's limits bound it.
#[derive(Debug, Default)]
struct Counter {
    /// When the grant ends, and this is of no use any more. In milliseconds since the Unix epoch, as all times here.
    ends_ms: i64,
    /// Whether the grant itself has a number of uses; not known until the first one is taken.
    has_uses: Option<bool>,
    /// The identities named under the grant, as stored; not known until they are asked for.
    identities: Option<HashSet<String>>,
    /// The calls of the last minute: when, and which identities they named.
    minute: VecDeque<(i64, HashSet<String>)>,
}

/// A minute, in milliseconds.
const MINUTE: i64 = 60_000;

/// How long pages and repetitions go on with a use, in milliseconds: an hour, longer than any client retries.
const GOES_ON: i64 = 60 * MINUTE;

/// How often a call that may have run, and changes something, is repeated for the one use: clients repeat by themselves, and one
/// use is to be few runs where an upstream answers nobody in time.
const MOST_UNCLEAR: u8 = 3;

/// How many uses are remembered for their pages and repetitions.
const MOST_RECENT: usize = 100_000;

/// How many identities one call may name, where a policy bounds them.
const MOST_NAMED: usize = 10_000;

impl Uses {
    /// Forgets what is over at `now_ms`.
    pub(super) fn sweep(&self, now_ms: i64) {
        self.counters.retain(|_, counter| {
            // One in use is not over.
            counter.try_lock().map_or(true, |it| it.ends_ms > now_ms)
        });
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.forget(now_ms);
        self.remembered
            .store(!recent.order.is_empty(), Ordering::Relaxed);
    }

    /// Forgets everything: what is stored may have been changed by another process.
    pub(super) fn forget_all(&self) {
        self.counters.clear();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        *recent = Recent::default();
        self.remembered.store(false, Ordering::Relaxed);
    }

    pub(super) fn remembers(&self) -> bool {
        self.remembered.load(Ordering::Relaxed)
    }

    pub(super) fn continued(&self, mark: &CallMark, now_ms: i64) -> Option<Uuid> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.continued(mark, now_ms)
    }

    pub(super) fn failed(&self, mark: &CallMark, how: Failure) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.failed(mark, how);
    }

    fn counter(&self, grant: Uuid) -> Arc<tokio::sync::Mutex<Counter>> {
        Arc::clone(&self.counters.entry(grant).or_default())
    }

    fn remember(&self, taking: Taking<'_>, now_ms: i64) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.add(taking.mark, taking.grant, now_ms);
        self.remembered.store(true, Ordering::Relaxed);
    }
}

/// Takes a use, within the policy's limits.
pub(super) async fn take(desk: &Desk, taking: Taking<'_>) -> Result<(), NotTaken> {
    let counter = desk.uses.counter(taking.grant);
    let mut counter = counter.lock().await;
    let now_ms = desk.now().timestamp_millis();
    counter.forget(now_ms);
    let spread = taking.spread.unwrap_or_default();
    let bounds_identities =
        spread.identities_per_minute.is_some() || spread.identities_per_grant.is_some();
    let named = if bounds_identities {
        identities(taking.command)
    } else {
        HashSet::new()
    };
    counter.check_minute(spread, &named)?;
    let is_kept = spread.calls_per_grant.is_some() || spread.identities_per_grant.is_some();
    if is_kept || counter.has_uses != Some(false) {
        if spread.identities_per_grant.is_some() && counter.identities.is_none() {
            let stored = desk
                .store
                .identities(taking.grant)
                .await
                .map_err(|it| unavailable(&it))?;
            counter.identities = Some(stored.into_iter().collect());
        }
        let fresh = counter.check_identities(spread, &named)?;
        let grant = store(desk, taking.grant, spread, &fresh, is_kept).await?;
        counter.has_uses = Some(grant.uses.is_some());
        counter.ends_ms = grant.ends.timestamp_millis();
        if let Some(known) = &mut counter.identities {
            known.extend(fresh);
        }
    }
    counter.minute.push_back((now_ms, named));
    desk.uses.remember(taking, now_ms);
    Ok(())
}

/// Stores a use of the grant with this id, if it counts them or `is_kept` asks for it; the grant as it is then.
async fn store(
    desk: &Desk,
    grant: Uuid,
    spread: Spread,
    identities: &[String],
    is_kept: bool,
) -> Result<Grant, NotTaken> {
    for _ in 0..TRIES {
        let now = desk.now();
        let case = case(desk, grant).await?;
        let Some(held) = &case.grant else {
            return Err(NotTaken::Gone);
        };
        if !is_kept && held.uses.is_none() {
            return Ok(held.clone());
        }
        if let Some(most) = spread.calls_per_grant
            && held.used >= most
        {
            return Err(NotTaken::Withheld(Withheld::Calls(SpreadLimit::PerGrant(
                most,
            ))));
        }
        let (next, effects) = match apply(&case, Event::Used, now) {
            Ok(applied) => applied,
            Err(InvalidTransition::Over {
                state: GrantState::UsedUp,
                ..
            }) => {
                desk.state.grants.lower_uses(held, &desk.state.interner);
                return Err(NotTaken::Withheld(Withheld::UsedUp));
            }
            Err(_) => return Err(NotTaken::Gone),
        };
        let Some(held) = next.grant.clone() else {
            return Err(NotTaken::Gone);
        };
        let mut change = Change::default();
        let at = desk.at(None, now);
        change
            .add(effects, &[], at)
            .map_err(|it| unavailable(&it))?;
        if !identities.is_empty() {
            let write = Write::AddIdentities(grant, identities.to_vec());
            change.writes.push(write);
        }
        if held.closed.as_ref().map(|it| it.how) == Some(HowClosed::UsedUp) {
            let snapshot = desk.state.snapshot();
            let told = by_time(
                NoticeKind::GrantUsedUp,
                &next,
                &snapshot.policies,
                desk.redaction(),
                now,
            );
            change
                .tell(&told, &desk.channels)
                .map_err(|it| unavailable(&it))?;
        }
        match desk.commit(change).await {
            Ok(()) => {
                // Not put in force again: it may have been taken out since.
                desk.state.grants.lower_uses(&held, &desk.state.interner);
                return Ok(held);
            }
            Err(StoreError::Changed) => {}
            Err(error) => return Err(unavailable(&error)),
        }
    }
    Err(NotTaken::Unavailable(
        "others keep changing the grant at the same moment: try again".to_owned(),
    ))
}

async fn case(desk: &Desk, grant: Uuid) -> Result<Case, NotTaken> {
    let stored = desk.store.grant(grant).await;
    let stored = stored
        .map_err(|it| unavailable(&it))?
        .ok_or(NotTaken::Gone)?;
    let case = desk.case(stored.request).await;
    case.map_err(|it| unavailable(&it))?.ok_or(NotTaken::Gone)
}

fn unavailable(error: &StoreError) -> NotTaken {
    tracing::error!(error = %chain(error), "Store failed");
    NotTaken::Unavailable(
        "the grant's uses are counted, and the gateway's store cannot be used now: try again later"
            .to_owned(),
    )
}

impl Counter {
    fn forget(&mut self, now_ms: i64) {
        while let Some((at, _)) = self.minute.front()
            && now_ms - at >= MINUTE
        {
            self.minute.pop_front();
        }
    }

    fn check_minute(&self, spread: Spread, named: &HashSet<String>) -> Result<(), NotTaken> {
        if let Some(most) = spread.calls_per_minute
            && self.minute.len() >= count(most)
        {
            let limit = SpreadLimit::PerMinute(most);
            return Err(NotTaken::Withheld(Withheld::Calls(limit)));
        }
        if let Some(most) = spread.identities_per_minute {
            let earlier = self.minute.iter().flat_map(|(_, identities)| identities);
            let all: HashSet<&String> = earlier.chain(named).collect();
            if all.len() > count(most) {
                let limit = SpreadLimit::PerMinute(most);
                return Err(NotTaken::Withheld(Withheld::Identities(limit)));
            }
        }
        Ok(())
    }

    /// The identities that the grant did not have yet.
    fn check_identities(
        &self,
        spread: Spread,
        named: &HashSet<String>,
    ) -> Result<Vec<String>, NotTaken> {
        let (Some(most), Some(known)) = (spread.identities_per_grant, &self.identities) else {
            return Ok(Vec::new());
        };
        let fresh: Vec<String> = named.difference(known).cloned().collect();
        if !fresh.is_empty() && known.len() + fresh.len() > count(most) {
            let limit = SpreadLimit::PerGrant(most);
            return Err(NotTaken::Withheld(Withheld::Identities(limit)));
        }
        Ok(fresh)
    }
}

fn count(most: u32) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Digests of the identities that a command names, in lower case; one that names none, which no decision lets pass, would be
/// about everything, and one more. A beginning of the parameter's name may be completed by the server, so it counts as well.
fn identities(command: &Command) -> HashSet<String> {
    let mut named = HashSet::new();
    for parameter in &command.parameters {
        if !Spread::may_name(parameter.name.as_str()) {
            continue;
        }
        parameter.value.for_each_leaf(&mut |scalar| {
            if named.len() <= MOST_NAMED {
                named.insert(digest_of(&scalar.display().trim().to_lowercase()));
            }
        });
    }
    if named.is_empty() {
        named.insert(digest_of(""));
    }
    named
}

fn digest_of(text: &str) -> String {
    let mut hex = String::with_capacity(32);
    for byte in digest(&SHA256, text.as_bytes()).as_ref().iter().take(16) {
        // Writing to a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Uses that pages and repetitions may go on with, the first taken first.
#[derive(Debug, Default)]
struct Recent {
    by_call: HashMap<CallKey, Vec<Taken>>,
    order: VecDeque<(i64, CallKey)>,
}

/// Calls that are alike: caller, endpoint, command, and the client's id.
type CallKey = (PrincipalId, Arc<str>, [u8; 32], Option<String>);

#[derive(Debug)]
struct Taken {
    grant: Uuid,
    at_ms: i64,
    /// The upstream did not take the call, and it was not repeated since.
    has_failed: bool,
    /// How often it may have run though it failed.
    unclear: u8,
}

fn key(mark: &CallMark) -> CallKey {
    (
        mark.principal,
        Arc::clone(&mark.endpoint),
        mark.command,
        mark.client_request_id.clone(),
    )
}

impl Recent {
    fn add(&mut self, mark: &CallMark, grant: Uuid, now_ms: i64) {
        self.forget(now_ms);
        if self.order.len() >= MOST_RECENT {
            self.forget_first();
        }
        let key = key(mark);
        self.order.push_back((now_ms, key.clone()));
        self.by_call.entry(key).or_default().push(Taken {
            grant,
            at_ms: now_ms,
            has_failed: false,
            unclear: 0,
        });
    }

    fn continued(&mut self, mark: &CallMark, now_ms: i64) -> Option<Uuid> {
        let taken = self.by_call.get_mut(&key(mark))?.iter_mut();
        let mut taken = taken.rev().filter(|it| now_ms - it.at_ms < GOES_ON);
        if mark.is_page {
            return taken.next().map(|it| it.grant);
        }
        // Without the client's id, a repetition cannot be told from a call of its own.
        mark.client_request_id.as_ref()?;
        let failed = taken.find(|it| it.has_failed)?;
        failed.has_failed = false;
        Some(failed.grant)
    }

    fn failed(&mut self, mark: &CallMark, how: Failure) {
        let taken = self.by_call.get_mut(&key(mark));
        let Some(taken) = taken.and_then(|it| it.iter_mut().rev().find(|it| !it.has_failed)) else {
            return;
        };
        if how == Failure::MayHaveRun {
            if taken.unclear >= MOST_UNCLEAR {
                return;
            }
            taken.unclear += 1;
        }
        taken.has_failed = true;
    }

    fn forget(&mut self, now_ms: i64) {
        while self
            .order
            .front()
            .is_some_and(|(at, _)| now_ms - at >= GOES_ON)
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.order.pop_front()
            && let Some(taken) = self.by_call.get_mut(&key)
        {
            if taken.len() > 1 {
                taken.remove(0);
            } else {
                self.by_call.remove(&key);
            }
        }
    }
}
