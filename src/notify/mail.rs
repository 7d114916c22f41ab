//! A notice as a mail: headers, and a plain text with an HTML page beside it. Pure.
//!
//! The same delivery makes the same bytes: its id is the `Message-ID` and marks the parts off, and the time of the event is the
//! `Date`. A mail that is sent again because nobody knows whether it arrived is so recognised by the mailbox that has it.

use std::time::SystemTime;

use lettre::Address;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};

use super::DeliveryError;
use super::channels::Outgoing;
use super::templates::Rendered;

/// The mail of this delivery.
pub(super) fn compose(
    outgoing: &Outgoing<'_>,
    words: Rendered,
    from: &Mailbox,
    to: &Address,
) -> Result<Message, DeliveryError> {
    let domain = from.email.domain();
    // RFC 3834, section 5: nobody's holiday answers this. RFC 5322, section 3.6.4: mails about one request are one thread.
    let thread = format!("<request-{}@{domain}>", outgoing.notice.request);
    let parts = MultiPart::alternative()
        .boundary(format!("=_{}", outgoing.id.simple()))
        .build()
        .singlepart(part(ContentType::TEXT_PLAIN, words.text))
        .singlepart(part(ContentType::TEXT_HTML, words.html));
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(words.subject)
        .date(SystemTime::from(outgoing.notice.at))
        .message_id(Some(format!("<{}@{domain}>", outgoing.id)))
        .references(thread)
        .header(AutoSubmitted)
        .header(SuppressAnswers)
        .header(Event(outgoing.notice.kind.as_str()))
        .multipart(parts)
        .map_err(|error| DeliveryError::Local {
            what: format!("the mail cannot be written: {error}"),
        })
}

fn part(kind: ContentType, text: String) -> SinglePart {
    SinglePart::builder().header(kind).body(text)
}

/// Headers with a word of ours.
macro_rules! header {
    ($type:ty, $name:literal, $self:ident => $value:expr) => {
        impl Header for $type {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($name)
            }

            fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
                Err(concat!($name, " is only written").into())
            }

            fn display(&$self) -> HeaderValue {
                HeaderValue::new(Self::name(), $value.to_owned())
            }
        }
    };
}

#[derive(Clone)]
struct AutoSubmitted;

header!(AutoSubmitted, "Auto-Submitted", self => "auto-generated");

/// What Exchange looks at in its place.
#[derive(Clone)]
struct SuppressAnswers;

header!(SuppressAnswers, "X-Auto-Response-Suppress", self => "All");

#[derive(Clone)]
struct Event(&'static str);

header!(Event, "X-Portcullis-Event", self => self.0);

#[cfg(test)]
mod tests;
