//! Tells people and programs what happened: the words of a [`Notice`], and the channels that take it away.
//!
//! A channel is the mail server of `[notify.smtp]`, or one `[[webhook]]`. This module knows whom a notice concerns on which
//! channel ([`Channels::addressed`]) and how to bring it there once. What is owed, when it is tried again and when it is
//! given up is the store's and the workflow's: a delivery that failed here is no error of anybody's request.

mod audience;
mod channels;

pub use crate::model::{Answered, Deciders, Notice, NoticeKind, ShownParameter};
pub use channels::{Channels, Destination};
