//! What the hot path reads and the workflow writes: the snapshot of policies and settings, the grant table, and the port
//! through which the hot path has gateway cmdlets answered. Never a network, a store or a lock held across an await.

mod grants;
mod uses;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::model::{Command, GrantState, Interner, Object, OwnCmdlet, Principal, RequestState};
use crate::policy::{Mode, PolicySet};

pub use grants::GrantTable;
pub use uses::{CallMark, Failure, GrantUses, NotTaken, Taking};

/// Policies and settings as of one moment. A request takes one and keeps to it.
#[derive(Debug)]
pub struct Snapshot {
    /// The policies in force.
    pub policies: Arc<PolicySet>,
    /// What the gateway does with decisions.
    pub mode: Mode,
}

/// The meeting place of the two halves.
#[derive(Debug)]
pub struct State {
    /// Numbers for principals and policies.
    pub interner: Arc<Interner>,
    /// Grants in force.
    pub grants: GrantTable,
    snapshot: ArcSwap<Snapshot>,
}

impl State {
    /// A state with these policies and no grants.
    pub fn new(interner: Arc<Interner>, snapshot: Snapshot) -> Self {
        Self {
            grants: GrantTable::default(),
            interner,
            snapshot: ArcSwap::from_pointee(snapshot),
        }
    }

    /// The policies and settings of this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts new policies and settings in force, all at once.
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.grants.announce();
    }

    /// Tells whoever waits that policies, settings or grants are others than before.
    pub fn changes(&self) -> &Notify {
        self.grants.changes()
    }

    /// Another number after each such change: whoever decided before and sees the same has seen it all.
    pub fn generation(&self) -> u64 {
        self.grants.generation()
    }
}

/// Why a gateway cmdlet did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnCmdletError {
    /// The parameters are wrong, or there is no such cmdlet.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing, or it is not the caller's to know of.
    #[error("{0}")]
    NotFound(String),
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// It cannot be stored or recorded now.
    #[error("{0}")]
    Unavailable(String),
}

/// The request of a blocked command, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedRequest {
    /// Its id.
    pub id: uuid::Uuid,
    /// Where it stands.
    pub state: RequestState,
    /// Where the grant that was made of it stands.
    pub grant: Option<GrantState>,
    /// An earlier block filed it.
    pub is_earlier: bool,
}

/// A future that is boxed, for a trait object's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Answers the gateway's own cmdlets (DESIGN 5.4). `control` is one; `data` knows no more of it than this.
pub trait OwnCmdlets: Send + Sync {
    /// The cmdlets that there are, for clients that list commands.
    fn cmdlets(&self) -> Vec<OwnCmdlet>;

    /// Does what `command` says, as `caller`, who called from `source`; `decision` is the id of the call's decision record.
    fn answer<'a>(
        &'a self,
        caller: &'a Principal,
        source: std::net::IpAddr,
        command: &'a Command,
        decision: uuid::Uuid,
    ) -> BoxFuture<'a, Result<Vec<Object>, OwnCmdletError>>;

    /// Files the request that a command blocked under `policy` needs, as `caller`; it, or the equal one that is pending already or
    /// was filed for such a block lately.
    fn blocked<'a>(
        &'a self,
        caller: &'a Principal,
        source: std::net::IpAddr,
        command: &'a Command,
        policy: &'a str,
        decision: uuid::Uuid,
    ) -> BoxFuture<'a, Result<BlockedRequest, OwnCmdletError>>;

    /// Waits until a request is not pending any more, and what came of it is in force; where it stands then. May be dropped
    /// while it waits.
    fn settled(&self, request: uuid::Uuid) -> BoxFuture<'_, Result<RequestState, OwnCmdletError>>;
}
