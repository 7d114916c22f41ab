//! How a change happens: stored with its records, recorded, published.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use tokio::sync::{Mutex, Notify, watch};
use tracing::warn;
use uuid::Uuid;

use crate::audit::{Event, Unavailable};
use crate::model::Grant;
use crate::notify::Channels;
use crate::state::State;
use crate::store::{Store, StoreError};

use super::courier::Tallies;
use super::lifecycle::Case;
use super::record::Change;
use super::{Clock, Ledger};

/// Where changes are made.
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) state: Arc<State>,
    pub(super) channels: Arc<Channels>,
    /// How deliveries of notices went.
    pub(super) tallies: Tallies,
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    /// Something was stored that a courier may have to carry.
    posted: watch::Sender<()>,
    /// Something happened that the keeper may have to act on.
    changed: Notify,
    /// Held while owed records are delivered, so that each is delivered by one, in order.
    recording: Mutex<()>,
    /// Held from reading a grant to putting it in force, and while one is taken out: a grant that was read before its
    /// revocation cannot come back after it.
    publishing: Mutex<()>,
}

/// What was stored is not yet on record, or not yet in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfinished {
    #[error("the audit log does not take the record")]
    Ledger(#[source] Unavailable),
    #[error("the store cannot go on")]
    Store(#[from] StoreError),
}

/// Records delivered before the store is told that they are.
const RECORDS_AT_ONCE: i64 = 100;

/// Grants read at once at the start, so that many do not fill the memory twice.
const GRANTS_AT_ONCE: i64 = 1_000;

/// How long the audit log may take for one record.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

impl Desk {
    pub(super) fn new(
        store: Store,
        ledger: Arc<dyn Ledger>,
        channels: Arc<Channels>,
        state: Arc<State>,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            state,
            tallies: Tallies::new(&channels),
            channels,
            ledger,
            clock,
            posted: watch::Sender::new(()),
            changed: Notify::new(),
            recording: Mutex::new(()),
            publishing: Mutex::new(()),
        }
    }

    /// The time in whole milliseconds, as it is stored.
    pub(super) fn now(&self) -> DateTime<Utc> {
        let now = (self.clock)();
        now.duration_trunc(TimeDelta::milliseconds(1))
            .unwrap_or(now)
    }

    /// Has the keeper and the couriers look at what is stored.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
        self.posted.send_replace(());
    }

    /// Tells a courier of each [`Desk::wake`].
    pub(super) fn posted(&self) -> watch::Receiver<()> {
        self.posted.subscribe()
    }

    /// Returns when something changed since the last time that this returned.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The request of this id with all that came of it.
    pub(super) async fn case(&self, request: Uuid) -> Result<Option<Case>, StoreError> {
        let Some(request) = self.store.request(request).await? else {
            return Ok(None);
        };
        let votes = self.store.votes(request.id).await?;
        let grant = self.store.grant_of_request(request.id).await?;
        Ok(Some(Case {
            request,
            votes,
            grant,
        }))
    }

    /// Makes a change. The outer error: it was not made, or ([`StoreError::Unavailable`]) perhaps. The inner one: it is
    /// stored, and will be recorded and published as soon as that can be done.
    pub(super) async fn make(&self, change: Change) -> Result<Result<(), Unfinished>, StoreError> {
        let stored = self.store.commit(&change.writes).await;
        // Also after a failure: the change may have been stored all the same, and its records are found by the keeper.
        self.wake();
        stored?;
        for grant in &change.revoked {
            self.take_out(grant).await;
        }
        Ok(self.record_owed().await)
    }

    /// Delivers all owed records to the audit log, and puts in force what was waiting for its record.
    pub(super) async fn record_owed(&self) -> Result<(), Unfinished> {
        let _one_at_a_time = self.recording.lock().await;
        loop {
            let owed = self.store.owed_records(RECORDS_AT_ONCE).await?;
            if owed.is_empty() {
                return Ok(());
            }
            let mut recorded = Vec::with_capacity(owed.len());
            let mut grants = BTreeSet::new();
            let mut failure = None;
            for record in owed {
                match self.deliver(&record.json).await {
                    Ok(()) => {
                        recorded.push(record.id);
                        grants.extend(record.grant);
                    }
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
            // In force first: were it the other way round, a store that fails in between would leave the grant out of
            // force with nothing owed that reminds of it. A record that is delivered again keeps its id.
            for grant in grants {
                self.settle(grant).await?;
            }
            self.store.settle_records(&recorded).await?;
            if let Some(error) = failure {
                return Err(error);
            }
        }
    }

    async fn deliver(&self, json: &str) -> Result<(), Unfinished> {
        let event: Event = serde_json::from_str(json).map_err(|error| StoreError::Damaged {
            what: format!("an owed audit record: {error}"),
        })?;
        match tokio::time::timeout(RECORD_TIMEOUT, self.ledger.event(event)).await {
            Ok(recorded) => recorded.map_err(Unfinished::Ledger),
            Err(_) => Err(Unfinished::Ledger(Unavailable {
                reason: "it does not answer".into(),
            })),
        }
    }

    /// Makes the grant table agree with the store about one grant.
    async fn settle(&self, grant: Uuid) -> Result<(), StoreError> {
        let _alone = self.publishing.lock().await;
        if let Some(grant) = self.store.grant(grant).await? {
            if grant.revoked.is_none() && grant.ends > self.now() {
                self.state.grants.insert(&grant, &self.state.interner);
            } else {
                self.state.grants.remove(&grant, &self.state.interner);
            }
        }
        Ok(())
    }

    async fn take_out(&self, grant: &Grant) {
        let _alone = self.publishing.lock().await;
        self.state.grants.remove(grant, &self.state.interner);
    }

    /// Puts the stored grants in force whose records are all delivered.
    pub(super) async fn load_grants(&self) -> Result<(), StoreError> {
        let now = self.now();
        let mut after = None;
        loop {
            let page = self
                .store
                .grants_in_force(now, after, GRANTS_AT_ONCE)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for grant in &page {
                self.state.grants.insert(grant, &self.state.interner);
            }
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Logs what could not be finished.
pub(super) fn log_unfinished(error: &Unfinished) {
    warn!(error = %chain(error), "A stored change is not yet on record; it is tried again");
}
