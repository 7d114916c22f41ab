//! The hot path: from an accepted connection to a recorded, forwarded and answered call.
//!
//! `call::handle` is a request's life, top to bottom. Each step consumes the one before: head → authenticated caller →
//! operation → judgement → record → upstream. Nothing here waits for the store, but for the use of a grant that counts them,
//! and nothing here knows `control`: that use, and the gateway's cmdlets, go through ports in `state`.

mod activity;
mod body;
mod call;
mod connection;
mod credential;
mod errand;
mod forward;
mod gate;
mod head;
mod judge;
mod outcome;
mod reject;
mod remoting;
mod reply;
mod rest;
mod tap;
mod uses;

pub use body::BodyBudget;
pub use connection::serve_connection;
pub use credential::{CredentialError, UpstreamCredential};
pub use gate::{Gate, Protocol, Route, Worker};
pub use remoting::{Remoting, close_sessions, reserved_for_sessions, tend_sessions};
