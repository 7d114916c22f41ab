//! Tells people and programs what happened: the words of a [`Notice`], and the channels that take it away.
//!
//! A channel is the mail server of `[notify.smtp]`, or one `[[webhook]]`. This module knows whom a notice concerns on which
//! channel ([`Channels::addressed`]) and how to bring it there once ([`Channels::deliver`]). What is owed, when it is tried
//! again and when it is given up is the store's and the workflow's: a delivery that fails here fails nobody's request.
//!
//! No message decides anything: it carries a link behind which people sign in. Nothing sensitive leaves: a notice has no
//! secrets to begin with, and parameters whose names mark one are redacted again on the way out.

mod audience;
mod channels;
mod error;
mod mail;
mod next;
mod sample;
mod secret;
mod shapes;
mod smtp;
mod stream;
mod templates;
#[cfg(test)]
pub(crate) mod testing;
mod webhook;
mod words;

pub use crate::model::{Answered, Deciders, Notice, NoticeKind, ShownParameter};
pub use channels::{Channels, ChannelsError, Destination, Outgoing, Receipt};
pub use error::{DeliveryError, Verdict};
pub use smtp::MailServerError;
pub use templates::{TemplateProblem, template_problems};
pub use webhook::WebhookError;

/// Hears how far a delivery has come.
pub trait Progress: Send {
    /// This was done.
    fn step(&mut self, what: &str);
}

/// Nobody listens.
impl Progress for () {
    fn step(&mut self, _: &str) {}
}
