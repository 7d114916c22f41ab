//! How a change happens: stored with its records, recorded, published.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use tokio::sync::{Mutex, Notify, broadcast, watch};
use tracing::{error, warn};
use uuid::Uuid;

use crate::audit::{Event, Unavailable};
use crate::model::{Grant, HowClosed, Redaction};
use crate::notify::Channels;
use crate::policy::{Group, PolicyFile, PolicySet};
use crate::state::State;
use crate::store::{Store, StoreError};

use super::blocked::Blocks;
use super::courier::Tallies;
use super::happening::{BACKLOG, Happening};
use super::lifecycle::Case;
use super::record::{Change, Circumstances};
use super::uses::Uses;
use super::{Caller, Clock, Ledger, Settings};

/// Where changes are made.
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) state: Arc<State>,
    pub(super) channels: Arc<Channels>,
    pub(super) settings: Settings,
    pub(super) happenings: broadcast::Sender<Happening>,
    /// The policy files of the last good reading, held while policies are put together and published.
    pub(super) files: Mutex<Vec<PolicyFile>>,
    /// Policies or the switch were changed in the store, and are to be put in force once that is on record.
    pub(super) stale: AtomicBool,
    /// What blocked calls filed lately.
    pub(super) blocks: Blocks,
    /// What was used of the grants that count their uses.
    pub(super) uses: Uses,
    pub(super) ledger: Arc<dyn Ledger>,
    /// How deliveries of notices went.
    pub(super) tallies: Tallies,
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
const GRANTS_AT_ONCE: i64 = 200;

/// How long the audit log may take for one record.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

impl Desk {
    pub(super) fn new(
        store: Store,
        ledger: Arc<dyn Ledger>,
        channels: Arc<Channels>,
        state: Arc<State>,
        settings: Settings,
        clock: Clock,
    ) -> Self {
        Self {
            store,
            state,
            tallies: Tallies::new(&channels),
            channels,
            settings,
            happenings: broadcast::Sender::new(BACKLOG),
            files: Mutex::default(),
            stale: AtomicBool::new(false),
            blocks: Blocks::default(),
            uses: Uses::default(),
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

    /// What no record, message or listing shows.
    pub(super) fn redaction(&self) -> &Redaction {
        &self.settings.redaction
    }

    /// What a change by `caller` at `now` is recorded with.
    pub(super) fn at<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        now: DateTime<Utc>,
    ) -> Circumstances<'a> {
        Circumstances {
            caller,
            now,
            redaction: self.redaction(),
        }
    }

    /// The operators, as the policies define the group that the configuration names.
    pub(super) fn operators<'a>(&self, policies: &'a PolicySet) -> Option<&'a Group> {
        policies.group(self.settings.operators.as_deref()?)
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
        let extended = match request.extends {
            Some(grant) => self.store.grant(grant).await?,
            None => None,
        };
        Ok(Some(Case {
            request,
            votes,
            grant,
            extended,
        }))
    }

    /// Makes a change. The outer error: it was not made, or ([`StoreError::Unavailable`]) perhaps. The inner one: it is
    /// stored, and will be recorded and published as soon as that can be done.
    pub(super) async fn make(&self, change: Change) -> Result<Result<(), Unfinished>, StoreError> {
        let closed = change.closed.clone();
        self.commit(change).await?;
        for grant in &closed {
            self.show(grant).await;
        }
        Ok(self.record_owed().await)
    }

    /// Stores a change and tells those who watch, without waiting for its records.
    pub(super) async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let stored = self.store.commit(&change.writes).await;
        // Also after a failure: the change may have been stored all the same, and its records are found by the keeper.
        self.wake();
        stored?;
        self.tell(change.happenings);
        Ok(())
    }

    /// Tells those who watch of what is stored.
    pub(super) fn tell(&self, happenings: Vec<Happening>) {
        for happening in happenings {
            // Nobody may be watching.
            let _ = self.happenings.send(happening);
        }
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
            self.put(&grant);
        }
        Ok(())
    }

    /// Makes the grant table agree with a grant as it was just stored.
    pub(super) async fn show(&self, grant: &Grant) {
        let _alone = self.publishing.lock().await;
        self.put(grant);
    }

    /// A grant whose last use was taken stays: the pages and retries of that use are still to pass.
    fn put(&self, grant: &Grant) {
        let (grants, interner) = (&self.state.grants, &self.state.interner);
        let is_over = match grant.closed.as_ref().map(|it| it.how) {
            Some(HowClosed::Ended | HowClosed::Revoked) => true,
            Some(HowClosed::UsedUp) | None => grant.ends <= self.now(),
        };
        if is_over {
            grants.remove(grant, interner);
        } else if let Err(error) = grants.insert(grant, interner) {
            grants.remove(grant, interner);
            error!(grant = %grant.id, %error, "Grant covers nothing: its pins cannot be read");
        }
    }

    /// Makes the whole grant table agree with the store, whatever it held.
    pub(super) async fn load_grants_anew(&self) -> Result<(), StoreError> {
        let _alone = self.publishing.lock().await;
        self.state.grants.clear();
        self.load_grants().await
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
                self.put(grant);
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
