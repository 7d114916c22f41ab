//! The judgement: policy files become a [`PolicySet`]; a command and the facts around it become a [`Judgement`].
//!
//! Pure: no I/O, no clock, no randomness. Nothing here knows HTTP, a store, or who is listening. A [`Permit`] can be
//! made by [`decide`] alone, and whoever forwards a command must hold one.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod decide;
mod decision;
mod set;

pub use decide::{
    Endpoint, Facts, HeldGrant, HeldGrants, Mode, SessionCall, Subject, Ungoverned, decide,
};
pub use decision::{Decision, Judgement, OwnCall, Permit, Refusal, Rule, Verdict};
pub use set::{
    Approval, Exemption, Group, Place, Policy, PolicyFile, PolicyProblem, PolicySet, Scope,
};
