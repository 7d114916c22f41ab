//! What happens by itself: requests lapse, grants end, and what could not be recorded is tried again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::model::NoticeKind;
use crate::store::StoreError;

use super::desk::{Desk, Unfinished, log_unfinished};
use super::force;
use super::lifecycle::{Event, apply};
use super::notices::by_time;
use super::record::Change;

/// Looked at least this often, in case the clock was set or the machine slept.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// The wait after a first failure; it doubles with each further one, up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait after a failure.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Cases that lapse or end in one transaction.
const CASES_AT_ONCE: i64 = 100;

/// Does what is due, sleeps until more is or something changes, until `stop`.
pub(super) async fn keep(desk: &Desk, stop: &CancellationToken) {
    let mut retry = FIRST_RETRY;
    loop {
        let sleep = match tend(desk).await {
            Ok(due) => {
                retry = FIRST_RETRY;
                due.map_or(LONGEST_SLEEP, |due| {
                    let left = (due - desk.now()).to_std().unwrap_or_default();
                    left.min(LONGEST_SLEEP)
                })
            }
            Err(error) => {
                log_unfinished(&error);
                let sleep = retry;
                retry = (retry * 2).min(LONGEST_RETRY);
                sleep
            }
        };
        // Both are cancel-safe: a notification that comes while neither is polled is kept.
        tokio::select! {
            () = stop.cancelled() => return,
            () = desk.changed() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Does what is due; when more will be.
async fn tend(desk: &Desk) -> Result<Option<DateTime<Utc>>, Unfinished> {
    let swept = desk.state.grants.sweep(desk.now().timestamp_millis());
    if swept > 0 {
        debug!(swept, "Grants ended");
    }
    while !expire(desk).await? {}
    desk.record_owed().await?;
    if desk.stale.swap(false, Ordering::AcqRel)
        && let Err(error) = force::refresh(desk).await
    {
        desk.stale.store(true, Ordering::Release);
        return Err(error.into());
    }
    desk.uses.sweep(desk.now().timestamp_millis());
    let expiry = desk.store.next_expiry().await?;
    let end = desk.store.next_end().await?;
    Ok(expiry.into_iter().chain(end).min())
}

/// Marks some of the requests and grants whose time is over; whether there were none.
async fn expire(desk: &Desk) -> Result<bool, Unfinished> {
    let now = desk.now();
    let at = desk.at(None, now);
    let snapshot = desk.state.snapshot();
    let policies = &snapshot.policies;
    let mut change = Change::default();
    for request in desk.store.lapsed_requests(now, CASES_AT_ONCE).await? {
        let Some(case) = desk.case(request.id).await? else {
            continue;
        };
        // Decided since it was listed.
        let Ok((case, effects)) = apply(&case, Event::Lapsed, now) else {
            continue;
        };
        change.add(effects, &[], at)?;
        let expired = by_time(
            NoticeKind::RequestExpired,
            &case,
            policies,
            desk.redaction(),
            now,
        );
        change.tell(&expired, &desk.channels)?;
    }
    for grant in desk.store.ended_grants(now, CASES_AT_ONCE).await? {
        let case = desk.case(grant.request).await?;
        let case = case.ok_or_else(|| StoreError::Damaged {
            what: format!("the grant {} without its request", grant.id),
        })?;
        // Closed or extended since it was listed.
        let Ok((case, effects)) = apply(&case, Event::Expired, now) else {
            continue;
        };
        change.add(effects, &[], at)?;
        let expired = by_time(
            NoticeKind::GrantExpired,
            &case,
            policies,
            desk.redaction(),
            now,
        );
        change.tell(&expired, &desk.channels)?;
    }
    if change.writes.is_empty() {
        return Ok(true);
    }
    // Not by `Desk::commit`, which wakes this keeper after a failure too: it would try again without a pause.
    match desk.store.commit(&change.writes).await {
        Ok(()) => desk.tell(change.happenings),
        // Somebody was faster with one of them: the others' turn comes again at once.
        Err(StoreError::Changed) => {}
        Err(error) => return Err(error.into()),
    }
    desk.wake();
    Ok(false)
}
