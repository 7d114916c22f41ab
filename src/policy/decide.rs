//! The decision: one function, in the order of DESIGN 3.1, each step a line.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Command, PolicyId, Principal, PrincipalId, Task};

use super::{Judgement, PolicySet};

/// What the whole gateway does with decisions (`[access_control] mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is controlled; everything is still recorded.
    Disabled,
    /// Decisions hold.
    Enforce,
    /// Decisions are recorded, and blocks are not enforced.
    ReportOnly,
}

/// What an endpoint does with a task that no policy governs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ungoverned {
    /// It passes, as in Microsoft 365.
    Allow,
    /// It is blocked.
    Block,
}

/// What the decision needs to know of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What happens to a task without a policy.
    pub ungoverned: Ungoverned,
    /// Its blocks are recorded but not enforced.
    pub report_only: bool,
}

/// A grant of one principal under one policy, as the decision sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldGrant {
    /// Its id.
    pub id: Uuid,
    /// From here on, in milliseconds since the Unix epoch,
    pub starts_ms: i64,
    /// and to here, excluded.
    pub ends_ms: i64,
    /// The one task that it is narrowed to, shared by all grants that are.
    pub task: Option<Arc<Task>>,
}

/// Where the decision finds grants. `state`'s grant table is one; a test's slice is another.
pub trait HeldGrants {
    /// The id of the first grant of `principal` under `policy` for which `covers` holds.
    fn find(
        &self,
        principal: PrincipalId,
        policy: PolicyId,
        covers: &dyn Fn(&HeldGrant) -> bool,
    ) -> Option<Uuid>;
}

/// A call that sets up a client's session and runs no cmdlet, such as `EXOModuleFile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCall {
    /// As records name it.
    pub name: &'static str,
}

/// What is decided on.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A cmdlet, or an operation that is mapped to one.
    Command(&'a Command),
    /// A session call.
    Session(&'a SessionCall),
}

/// Everything that a decision depends on, besides the call itself.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The policies in force.
    pub policies: &'a PolicySet,
    /// What the whole gateway does with decisions.
    pub mode: Mode,
    /// Where the call came in.
    pub endpoint: Endpoint,
    /// Who calls.
    pub principal: &'a Principal,
    /// From where.
    pub source: IpAddr,
    /// The grants in force.
    pub grants: &'a dyn HeldGrants,
    /// When.
    pub now: DateTime<Utc>,
}

/// Decides `call`, whose meaning `subject` shows: the only maker of permits.
pub fn decide<C>(
    call: C,
    subject: impl FnOnce(&C) -> Subject<'_>,
    facts: &Facts<'_>,
) -> Judgement<C> {
    let _ = (subject(&call), facts);
    todo!()
}
