//! The workflow: requests are filed, decided and expire, grants are made, revoked and end; people do it through the gateway's
//! own cmdlets, and the grant table that the hot path reads follows.
//!
//! What may happen is `lifecycle`, pure. How a change happens is `desk`, always in this order, so that a crash at any
//! instant loses nothing that was acknowledged and lets nothing count that is not on record:
//!
//! 1. One store transaction: the change, and the audit records that it owes.
//! 2. A grant that is revoked or given back leaves the grant table.
//! 3. The audit log gets the records; the store forgets that they are owed.
//! 4. A new grant, or one that lasts longer now, enters the grant table.
//! 5. The caller is answered.
//!
//! Uses of grants that count them go another way, `uses`: stored, then the call goes on.
//!
//! The notices that a change owes are stored with it too; couriers carry them away when they can, and nobody waits for them.
//!
//! What a crash or a full disk leaves undone after the first step, [`Control::open`] or the keeper does later. Policies of files
//! and of the store are put together in `force`; each decision is made under those of its moment.

mod acting;
mod administration;
mod asking;
mod blocked;
mod cmdlets;
mod courier;
mod desk;
mod filing;
mod force;
mod happening;
mod hold;
mod keeper;
mod ledger;
mod lifecycle;
mod notices;
mod reading;
mod record;
mod redelivery;
mod refusals;
mod tokens;
mod uses;
mod words;
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

use crate::model::{Command, Object, OwnCmdlet, Principal, Redaction, RequestState};
use crate::notify::Channels;
use crate::policy::Mode;
use crate::state::{
    BlockedRequest, BoxFuture, CallMark, Failure, GrantUses, NotTaken, OwnCmdletError, OwnCmdlets,
    State, Taking,
};
pub use crate::store::{
    Delivery, DeliveryState, GrantFilter, RequestFilter, StoredAnswer, StoredReply, StoredToken,
};
use crate::store::{Store, StoreError};

pub use acting::Reply;
pub use administration::{ListedPolicy, More, StoredForm};
pub use courier::{ChannelTally, Deliveries};
use desk::Desk;
pub use filing::{Ask, Asked, Filed, Manner, Novelty};
pub use force::{NewPolicies, Switch};
pub use happening::{Happening, HappeningKind};
pub use ledger::Ledger;
pub use lifecycle::Case;
pub use reading::{Page, Query, Whose};
pub use redelivery::DeliveryQuery;
pub use refusals::WorkflowError;
pub use tokens::{Claim, NewToken, TOKEN_PREFIX, Whose as WhoseTokens};

/// Tells the time: `Utc::now`, or a test's.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Why the workflow did not start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Operators' policies and settings could not be read.
    #[error("cannot read the operators' policies and settings from the store")]
    Settings {
        /// Why.
        source: StoreError,
    },
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
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// From where.
    pub source: IpAddr,
    /// The decision record of the call, where a cmdlet asked.
    pub decision: Option<Uuid>,
    /// By which way.
    pub via: Via,
}

/// The way by which somebody has something done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The management API.
    Api {
        /// The token that was presented, if it was one.
        token: Option<Uuid>,
        /// What speaks for the person: that decides nothing but in which words they are answered.
        tool: Tool,
    },
    /// A gateway cmdlet, or a call that was blocked.
    Cmdlet,
}

/// What calls the management API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// This program's command line.
    CommandLine,
    /// Any other program.
    Other,
}

/// What the configuration says about the workflow.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The group that a manual policy without approvers asks.
    pub default_approver_group: Option<String>,
    /// The mode in which the gateway runs unless an operator has disabled it.
    pub mode: Mode,
    /// The group whose members keep the gateway: they revoke, review, and change policies and the switch.
    pub operators: Option<String>,
    /// The group whose members may read the audit log through the API.
    pub auditors: Option<String>,
    /// What no record, message or listing shows.
    pub redaction: Redaction,
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
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, ControlError> {
        let desk = Desk::new(store, ledger, channels, state, settings, clock);
        if let Err(error) = desk.record_owed().await {
            warn!(error = %desk::chain(&error), "Records of an earlier run are still owed to the audit log");
        }
        desk.load_grants()
            .await
            .map_err(|source| ControlError::Grants { source })?;
        force::refresh(&desk)
            .await
            .map_err(|source| ControlError::Settings { source })?;
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
        tokio::join!(
            keeper::keep(&self.desk, &stop),
            hold::follow(&self.desk, &stop)
        );
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
    fn cmdlets(&self) -> Vec<OwnCmdlet> {
        cmdlets::listed()
    }

    fn answer<'a>(
        &'a self,
        caller: &'a Principal,
        source: IpAddr,
        command: &'a Command,
        decision: Uuid,
    ) -> BoxFuture<'a, Result<Vec<Object>, OwnCmdletError>> {
        let command = command.clone();
        let caller = Caller {
            principal: caller.clone(),
            source,
            decision: Some(decision),
            via: Via::Cmdlet,
        };
        Box::pin(async move {
            let answer = self
                .carry(move |desk| async move { cmdlets::answer(&desk, &caller, &command).await });
            Ok(answer.await?)
        })
    }

    fn blocked<'a>(
        &'a self,
        caller: &'a Principal,
        source: IpAddr,
        command: &'a Command,
        policy: &'a str,
        decision: Uuid,
    ) -> BoxFuture<'a, Result<BlockedRequest, OwnCmdletError>> {
        let caller = Caller {
            principal: caller.clone(),
            source,
            decision: Some(decision),
            via: Via::Cmdlet,
        };
        let ask = blocked::for_blocked(command, policy);
        Box::pin(async move {
            let filed = self.carry(move |desk| async move {
                blocked::file_for_blocked(&desk, &caller, &ask).await
            });
            Ok(filed.await?)
        })
    }

    fn settled(&self, request: Uuid) -> BoxFuture<'_, Result<RequestState, OwnCmdletError>> {
        Box::pin(async move { Ok(blocked::settled(&self.desk, request).await?) })
    }
}

impl GrantUses for Control {
    fn remembers(&self) -> bool {
        self.desk.uses.remembers()
    }

    fn continued(&self, mark: &CallMark) -> Option<Uuid> {
        let now_ms = self.desk.now().timestamp_millis();
        self.desk.uses.continued(mark, now_ms)
    }

    fn take<'a>(&'a self, taking: Taking<'a>) -> BoxFuture<'a, Result<(), NotTaken>> {
        Box::pin(uses::take(&self.desk, taking))
    }

    fn failed(&self, mark: &CallMark, how: Failure) {
        self.desk.uses.failed(mark, how);
    }
}
