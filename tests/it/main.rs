//! The integration tests: one binary, so that they build once and run side by side.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a failed test is a panic"
)]
#![expect(
    clippy::needless_pass_by_value,
    clippy::similar_names,
    clippy::unused_async,
    reason = "tests are written to be read, and run once"
)]

mod api;
mod attack;
mod audit_failure;
mod audit_log;
mod bypass;
mod cli_client;
mod cli_life;
mod client;
mod connection;
mod control;
mod crash;
mod docs;
mod exchange;
mod flow;
mod fuzzing;
mod gateway;
mod layering;
mod life_cycle;
mod limits;
mod metrics;
mod notify;
mod notify_retry;
mod patience;
mod people;
#[path = "../../src/notify/testing.rs"]
#[expect(dead_code, reason = "the library's own tests use the rest")]
mod postbox;
mod proxy;
mod psrp;
mod reload;
mod remoting;
mod restart;
mod scripted;
mod small_disk;
mod store_failure;
mod store_hold;
mod stub;
