//! The judgement: policy files become a [`PolicySet`]; a command and the facts around it become a [`Judgement`].
//!
//! Pure: no I/O, no clock, no randomness. Nothing here knows HTTP, a store, or who is listening. A [`Permit`] can be
//! made by [`decide`] alone, and whoever forwards a command must hold one.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod catalogue;
mod decide;
mod decision;
mod definition;
mod difference;
mod duration;
mod examined;
mod expectation;
mod explain;
mod expression;
mod fields;
mod file;
mod folded;
mod import;
mod index;
mod lint;
mod load;
mod members;
mod number;
mod parameters;
mod pattern;
mod pins;
mod prefixes;
mod problem;
mod reason;
mod requirement;
mod scopes;
mod set;
mod stored;
mod summary;
mod touches;
mod trace;
mod who_can;
mod windows;

pub use catalogue::{Catalogue, CmdletFacts, DangerousParameter, Effect};
pub use decide::{
    Endpoint, Facts, HeldGrant, HeldGrants, Mode, SessionCall, SpreadLimit, Subject, Ungoverned,
    Withheld, decide, decide_examined, withhold,
};
pub use decision::{Decision, Judgement, OwnCall, Permit, Refusal, Reported, Rule, Verdict};
pub use definition::{
    Approval, Comment, Exemption, Group, OnBlock, Person, Policy, Role, RoleGroup, Scope,
    ScopeKind, Source, Spread,
};
pub use difference::{Difference, difference};
pub use examined::Examined;
pub use expectation::{Asked, Expectation, Holds, Setting, Unmet, read_expectations, unmet};
pub use import::{ImportError, Imported};
pub use lint::lint;
pub use parameters::ParameterRules;
pub use pins::InvalidPin;
pub use problem::{Place, PolicyProblem, Whereabouts};
pub use reason::{ReasonPattern, ReasonProblem, ReasonRule};
pub use set::{Governing, PolicyFile, PolicySet};
pub use stored::{Definition, ReasonDefinition, SpreadDefinition, StoredPolicy, WindowDefinition};
pub use touches::touches;
pub use trace::{Step, Trace, trace};
pub use who_can::{Governed, WhoCan, who_can};
pub use windows::{Window, Windows};

#[cfg(test)]
mod tests;
