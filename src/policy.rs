//! The judgement: policy files become a [`PolicySet`]; a command and the facts around it become a [`Judgement`].
//!
//! Pure: no I/O, no clock, no randomness. Nothing here knows HTTP, a store, or who is listening. A [`Permit`] can be
//! made by [`decide`] alone, and whoever forwards a command must hold one.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod decide;
mod decision;
mod definition;
mod duration;
mod explain;
mod fields;
mod file;
mod folded;
mod index;
mod load;
mod number;
mod parameters;
mod pattern;
mod prefixes;
mod problem;
mod requirement;
mod set;

pub use decide::{
    Endpoint, Facts, HeldGrant, HeldGrants, Mode, SessionCall, Subject, Ungoverned, decide,
};
pub use decision::{Decision, Judgement, OwnCall, Permit, Refusal, Rule, Verdict};
pub use definition::{Approval, Exemption, Group, Policy, Scope};
pub use parameters::ParameterRules;
pub use problem::{Place, PolicyProblem};
pub use set::{PolicyFile, PolicySet};

#[cfg(test)]
mod tests;
