//! Tells people and programs what happened: the words of a notice, and the channels that take it away.

mod notice;

pub use notice::{Answered, Deciders, Kind, Notice, ShownParameter};
