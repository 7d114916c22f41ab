//! Portcullis: a command gateway for privileged access management.
//!
//! A reverse proxy in front of a management endpoint that understands each cmdlet invocation, decides it
//! against task-scoped policies and active just-in-time grants, records the decision, and only then forwards
//! what it decided. ARCHITECTURE.md has the map; `tests/it/layering.rs` enforces which module may use which.
//!
//! From the bottom up: the vocabulary ([`model`]), the pure judgement ([`policy`]) and the wire ([`dialect`]);
//! the outside world, a module each ([`config`], [`identity`], [`store`], [`audit`], [`tls`], [`listen`],
//! [`upstream`], [`telemetry`]); what the two halves share ([`state`]); the hot path ([`data`]) and the workflow
//! ([`control`]); and what puts them together ([`serve`], [`demo`], [`cli`]). Beside them, the door for fuzzers ([`fuzzing`]).

pub mod api;
pub mod audit;
pub mod cli;
pub mod config;
pub mod control;
pub mod data;
pub mod demo;
pub mod dialect;
pub mod fuzzing;
pub mod identity;
pub mod listen;
pub mod model;
pub mod notify;
pub mod policy;
pub mod serve;
pub mod state;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod upstream;
