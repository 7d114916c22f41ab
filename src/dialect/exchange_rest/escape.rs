//! Percent-encoding: undone once, checked for a second layer, done again.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::dialect::{Unreadable, shown};

/// What is encoded in a literal within a path: all that could end the literal or the segment.
const IN_LITERAL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@')
    .remove(b':');

/// What is encoded in a query's value.
const IN_QUERY: &AsciiSet = &IN_LITERAL.remove(b',').remove(b'/').remove(b'\'');

/// `text` decoded once. Refused: a broken escape, an escape that is still there after decoding, control characters, and
/// text that is not UTF-8.
pub(super) fn decode<'a>(text: &'a str, what: &'static str) -> Result<Cow<'a, str>, Unreadable> {
    if !text.contains('%') {
        return if text.chars().any(char::is_control) {
            Err(control_character(what))
        } else {
            Ok(Cow::Borrowed(text))
        };
    }
    if !escapes_are_whole(text) {
        return Err(Unreadable::bad(
            "broken-escape",
            format!(
                "{what} holds a `%` without two hexadecimal digits; write `%25` for a percent sign"
            ),
        ));
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| {
        let text = format!("{what} is not UTF-8 after percent-decoding");
        Unreadable::bad("not-utf-8", text)
    })?;
    if has_escape(&decoded) {
        return Err(Unreadable::bad(
            "double-encoding",
            format!("{what} is percent-encoded twice: `{}`", shown(&decoded)),
        ));
    }
    if decoded.chars().any(char::is_control) {
        return Err(control_character(what));
    }
    Ok(decoded)
}

fn control_character(what: &str) -> Unreadable {
    let text = format!("{what} holds a control character");
    Unreadable::bad("control-character", text)
}

/// `text` for a quoted literal in a path.
pub(super) fn literal(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, IN_LITERAL)
}

/// `text` for a value in a query.
pub(super) fn query_value(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, IN_QUERY)
}

/// Whether every `%` is followed by two hexadecimal digits.
pub(super) fn escapes_are_whole(text: &str) -> bool {
    text.split('%').skip(1).all(begins_with_hex)
}

pub(super) fn has_escape(text: &str) -> bool {
    text.split('%').skip(1).any(begins_with_hex)
}

fn begins_with_hex(text: &str) -> bool {
    text.as_bytes()
        .get(..2)
        .is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit))
}
