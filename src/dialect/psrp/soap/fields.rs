//! What the readers of requests and of answers share: envelopes, and the forms that ids, times and numbers have.

use std::time::Duration;

use uuid::Uuid;

use crate::dialect::psrp::binary;
use crate::dialect::psrp::xml::{self, BLANKS, Declaration, Element, XML_NAMESPACE};
use crate::dialect::{Unreadable, shown};

use super::ENVELOPE;

/// The parts of an envelope: its headers, and what is in its body.
pub(super) struct Parts<'e, 'a> {
    pub(super) headers: &'e [Element<'a>],
    pub(super) body: &'e [Element<'a>],
}

pub(super) fn envelope<'a>(
    bytes: &'a [u8],
    limits: &xml::Limits,
) -> Result<Element<'a>, Unreadable> {
    xml::read(bytes, Declaration::Optional, limits)
}

pub(super) fn parts<'e, 'a>(root: &'e Element<'a>) -> Result<Parts<'e, 'a>, Unreadable> {
    let odd = || {
        bad(
            "soap-envelope",
            "an envelope is one header and one body of SOAP 1.2",
        )
    };
    let [header, body] = root.children.as_slice() else {
        return Err(odd());
    };
    let has_only_language = root
        .attributes
        .iter()
        .all(|it| it.namespace == XML_NAMESPACE && it.name == "lang");
    if !root.is(ENVELOPE, "Envelope")
        || !has_only_language
        || !header.is(ENVELOPE, "Header")
        || !body.is(ENVELOPE, "Body")
        || !header.attributes.is_empty()
        || !body.attributes.is_empty()
    {
        return Err(odd());
    }
    empty_text(header)?;
    empty_text(body)?;
    Ok(Parts {
        headers: &header.children,
        body: &body.children,
    })
}

/// The text of an element that has neither elements nor attributes in it.
pub(super) fn plain_text<'e>(element: &'e Element<'_>) -> Result<&'e str, Unreadable> {
    if element.attributes.is_empty() {
        text(element)
    } else {
        Err(unknown(element))
    }
}

/// The text of an element that has no elements in it.
pub(super) fn text<'e>(element: &'e Element<'_>) -> Result<&'e str, Unreadable> {
    if element.children.is_empty() {
        Ok(element.text.trim_matches(BLANKS))
    } else {
        Err(unknown(element))
    }
}

pub(super) fn empty_text(element: &Element<'_>) -> Result<(), Unreadable> {
    if element.text.trim_matches(BLANKS).is_empty() {
        Ok(())
    } else {
        Err(unknown(element))
    }
}

/// The values of the attributes that `known` lists, none of which has a namespace; others are refused.
pub(super) fn attributes<'e, const N: usize>(
    element: &'e Element<'_>,
    known: [&str; N],
) -> Result<[Option<&'e str>; N], Unreadable> {
    let mut values = [None; N];
    for attribute in &element.attributes {
        let mut slots = known.iter().zip(&mut values);
        let slot = slots.find(|it| attribute.namespace.is_empty() && *it.0 == attribute.name);
        let Some((_, slot)) = slot else {
            let text = format!(
                "`{}` has an attribute that is not known",
                shown(element.name)
            );
            return Err(Unreadable::bad("soap-attribute", text));
        };
        *slot = Some(&*attribute.value);
    }
    Ok(values)
}

/// An id, with or without `uuid:` before it, as WS-Management writes them.
pub(super) fn id(text: &str) -> Result<Uuid, Unreadable> {
    const LENGTH: usize = 36;
    let digits = text.strip_prefix("uuid:").unwrap_or(text);
    let id = (digits.len() == LENGTH).then(|| Uuid::try_parse(digits).ok());
    match id.flatten() {
        Some(id) if !id.is_nil() => Ok(id),
        Some(_) | None => {
            let text = format!("`{}` is not an id (a UUID)", shown(text));
            Err(Unreadable::bad("soap-id", text))
        }
    }
}

/// An `xs:duration` of hours, minutes and seconds, at most an hour.
pub(super) fn duration(text: &str) -> Result<Duration, Unreadable> {
    const LONGEST: Duration = Duration::from_hours(1);
    let odd = || {
        let text = format!("`{}` is not a time such as `PT20S`", shown(text));
        Unreadable::bad("soap-duration", text)
    };
    let mut rest = text.strip_prefix("PT").ok_or_else(odd)?;
    let mut millis: u64 = 0;
    let mut has_part = false;
    for (unit, factor) in [('H', 3_600_000), ('M', 60_000), ('S', 1000)] {
        let Some((number, after)) = rest.split_once(unit) else {
            continue;
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits =
            |it: &str, longest| it.len() <= longest && it.bytes().all(|it| it.is_ascii_digit());
        let has_fraction = number.contains('.');
        if whole.is_empty()
            || !is_digits(whole, 6)
            || !is_digits(fraction, 3)
            || (has_fraction && (unit != 'S' || fraction.is_empty()))
        {
            return Err(odd());
        }
        let whole: u64 = whole.parse().map_err(|_| odd())?;
        let fraction: u64 = format!("{fraction:0<3}").parse().map_err(|_| odd())?;
        millis += whole * factor + fraction;
        has_part = true;
        rest = after;
    }
    if !has_part || !rest.is_empty() {
        return Err(odd());
    }
    Ok(Duration::from_millis(millis).min(LONGEST))
}

pub(super) fn payload(element: &Element<'_>) -> Result<Vec<u8>, Unreadable> {
    if !element.children.is_empty() {
        return Err(unknown(element));
    }
    binary::decode(&element.text).ok_or_else(|| {
        let text = format!("`{}` is not base64", shown(element.name));
        Unreadable::bad("soap-base64", text)
    })
}

/// Puts `value` into `slot`, once.
pub(super) fn once<T>(
    slot: &mut Option<T>,
    value: T,
    element: &Element<'_>,
) -> Result<(), Unreadable> {
    if slot.replace(value).is_none() {
        return Ok(());
    }
    let text = format!("`{}` is there twice", shown(element.name));
    Err(Unreadable::bad("soap-duplicate", text))
}

pub(super) fn unknown(element: &Element<'_>) -> Unreadable {
    let text = format!(
        "`{}` is not an element that is read here",
        shown(element.name)
    );
    Unreadable::bad("soap-element", text)
}

pub(super) fn missing(what: &str) -> Unreadable {
    Unreadable::bad("soap-missing", format!("`{what}` is not there"))
}

pub(super) fn bad(reason: &'static str, text: &str) -> Unreadable {
    Unreadable::bad(reason, text)
}
