//! x
pub mod exchange;
