//! The workflow: requests are filed, decided and expire, grants are made, revoked and end; people do it through the gateway's
//! own cmdlets, and the grant table that the hot path reads follows.
//!
//! What may happen is `lifecycle`, pure. How a change happens is `desk`, always in this order, so that a crash at any
//! instant loses nothing that was acknowledged and lets nothing count that is not on record:
//!
//! 1. One store transaction: the change, and the audit records that it owes.
//! 2. A revoked grant leaves the grant table.
//! 3. The audit log gets the records; the store forgets that they are owed.
//! 4. A new grant enters the grant table.
//! 5. The caller is answered.
//!
//! The notices that a change owes are stored with it too; couriers carry them away when they can, and nobody waits for them.
//!
//! What a crash or a full disk leaves undone after the first step, [`Control::open`] or the keeper does later. Policies come
//! from files and are only read here: each decision is made under those of its moment.

mod cmdlets;
mod courier;
mod desk;
mod keeper;
mod ledger;
mod lifecycle;
mod notices;
mod reading;
mod record;
mod refusals;
mod workflow;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::warn;
use uuid::Uuid;

use crate::model::{Command, Object, Principal};
use crate::notify::Channels;
use crate::state::{BoxFuture, OwnCmdletError, OwnCmdlets, State};
use crate::store::{Store, StoreError};

pub use courier::{ChannelTally, Deliveries};
use desk::Desk;
pub use ledger::Ledger;

/// Tells the time: `Utc::now`, or a test's.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Why the workflow did not start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The grants could not be read.
    #[error("cannot read the grants in force from the store")]
    Grants {
        /// Why.
        source: StoreError,
    },
}

/// The workflow. Its changes run as tasks of the runtime that opened it, to their end, whether or not the client waits:
/// a revocation whose client hangs up between the store and the grant table is still a revocation.
#[derive(Debug)]
pub struct Control {
    desk: Arc<Desk>,
    runtime: Handle,
    tasks: TaskTracker,
}

/// Who wants something done, and through which call.
#[derive(Clone, Debug)]
struct Caller {
    principal: Principal,
    source: IpAddr,
    decision: Uuid,
}

/// How long [`Control::run`] waits for changes under way when it is stopped.
const DRAIN: Duration = Duration::from_secs(10);

impl Control {
    /// Records what a crash left unrecorded, and puts the stored grants in force.
    ///
    /// If the audit log cannot be written yet, the grants whose records it lacks stay out of force until [`Control::run`]
    /// has delivered them.
    pub async fn open(
        store: Store,
        ledger: Arc<dyn Ledger>,
        channels: Arc<Channels>,
        state: Arc<State>,
        clock: Clock,
    ) -> Result<Self, ControlError> {
        let desk = Desk::new(store, ledger, channels, state, clock);
        if let Err(error) = desk.record_owed().await {
            warn!(error = %desk::chain(&error), "Records of an earlier run are still owed to the audit log");
        }
        desk.load_grants()
            .await
            .map_err(|source| ControlError::Grants { source })?;
        Ok(Self {
            desk: Arc::new(desk),
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
        })
    }

    /// Does what is due by time, and what could not be done at once, until `stop`; then waits for changes under way.
    pub async fn run(&self, stop: CancellationToken) {
        let couriers = courier::carry(Arc::clone(&self.desk), stop.clone());
        // Aborted when this is dropped: no courier outlives the workflow.
        let couriers = AbortOnDropHandle::new(tokio::spawn(couriers));
        keeper::keep(&self.desk, &stop).await;
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait())
            .await
            .is_err()
        {
            warn!("Changes were still under way when the workflow stopped");
        }
        if tokio::time::timeout(DRAIN, couriers).await.is_err() {
            warn!(
                "Notices were still on their way when the workflow stopped; they are sent again at the next start"
            );
        }
    }

    /// How deliveries of notices went since the start, and how many wait.
    pub fn deliveries(&self) -> Deliveries {
        self.desk.tallies.read()
    }

    /// Has [`Control::run`] look at once for what is due: for when the audit log works again, or the clock was set.
    pub fn wake(&self) {
        self.desk.wake();
    }
}

impl OwnCmdlets for Control {
    fn answer<'a>(
        &'a self,
        caller: &'a Principal,
        source: IpAddr,
        command: &'a Command,
        decision: Uuid,
    ) -> BoxFuture<'a, Result<Vec<Object>, OwnCmdletError>> {
        let desk = Arc::clone(&self.desk);
        let command = command.clone();
        let caller = Caller {
            principal: caller.clone(),
            source,
            decision,
        };
        let work = async move { cmdlets::answer(&desk, &caller, &command).await };
        let task = self.tasks.spawn_on(work, &self.runtime);
        Box::pin(async move {
            task.await.unwrap_or_else(|_| {
                let text = "the gateway stopped before this was done: look with Get-ElevatedAccessRequest whether it was";
                Err(OwnCmdletError::Unavailable(text.to_owned()))
            })
        })
    }
}
