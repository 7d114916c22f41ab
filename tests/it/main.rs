//! The integration tests: one binary, so that they build once and run side by side.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a failed test is a panic"
)]

mod bypass;
mod client;
mod flow;
mod gateway;
mod layering;
mod upstream;
