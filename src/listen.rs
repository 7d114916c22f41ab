//! Listening: one socket, one acceptor on the main runtime, and workers that serve what it accepts.
//!
//! ```text
//! bind -> Acceptor::run --round-robin, bounded--> Workers: a thread and a current-thread runtime each
//! ```
//!
//! Workers share nothing that a request touches: each has its own context (its upstream pool) and its own shutdown token. What a connection
//! means is not known here: `Workers::start` is given a function for it. The order at the end is: cancel the acceptor's token, await
//! [`Acceptor::run`], then [`Workers::drain`].

mod accept;
mod bind;
mod files;
mod patient;
mod workers;

pub use self::accept::{Acceptor, Connections};
pub use self::bind::{ListenError, bind};
pub use self::files::raise_limit;
pub use self::patient::Patient;
pub use self::workers::{Drained, Workers};

#[cfg(test)]
mod tests;
