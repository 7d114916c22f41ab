//! The values that are one text: how each type is spelled, in one way only.

use uuid::Uuid;

use crate::dialect::psrp::binary;
use crate::dialect::{Unreadable, shown};

use super::{Integer, Item};

impl Integer {
    const ALL: [Self; 8] = [
        Self::I16,
        Self::I32,
        Self::I64,
        Self::I8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::U8,
    ];

    /// Its element's name.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::I16 => "I16",
            Self::I32 => "I32",
            Self::I64 => "I64",
            Self::I8 => "SB",
            Self::U16 => "U16",
            Self::U32 => "U32",
            Self::U64 => "U64",
            Self::U8 => "By",
        }
    }

    /// The least and the greatest number that it holds.
    pub fn bounds(self) -> (i128, i128) {
        match self {
            Self::I16 => (i16::MIN.into(), i16::MAX.into()),
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::I64 => (i64::MIN.into(), i64::MAX.into()),
            Self::I8 => (i8::MIN.into(), i8::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, u64::MAX.into()),
            Self::U8 => (0, u8::MAX.into()),
        }
    }
}

/// The value of an element `tag` whose decoded text is `text`; `None` if `tag` is not such a value's.
pub(super) fn read(tag: &str, text: &str) -> Option<Result<Item, Unreadable>> {
    let owned = || text.to_owned();
    let value = match tag {
        "S" => Some(Item::Text(owned())),
        "B" => match text {
            "true" => Some(Item::Bool(true)),
            "false" => Some(Item::Bool(false)),
            _ => None,
        },
        "BA" => binary::decode(text).map(Item::Bytes),
        "C" => integer(Integer::U16, text)
            .and_then(|it| u16::try_from(it).ok())
            .map(Item::Char),
        "D" => is_number(text).then(|| Item::Decimal(owned())),
        "DT" => is_of(text, 40, b"-+.:TZ").then(|| Item::DateTime(owned())),
        "Db" => is_float(text).then(|| Item::Double(owned())),
        "G" => guid(text).map(Item::Guid),
        "SBK" => Some(Item::ScriptBlock(owned())),
        "SS" => binary::decode(text).map(|it| Item::Secure(binary::encode(&it))),
        "Sg" => is_float(text).then(|| Item::Single(owned())),
        "TS" => is_of(text, 40, b"-.PYMDTHS").then(|| Item::Duration(owned())),
        "URI" => Some(Item::Uri(owned())),
        "Version" => is_version(text).then(|| Item::Version(owned())),
        "XD" => Some(Item::Xml(owned())),
        _ => {
            let kind = Integer::ALL.into_iter().find(|it| it.tag() == tag)?;
            integer(kind, text).map(|it| Item::Integer(kind, it))
        }
    };
    Some(value.ok_or_else(|| {
        let text = format!("`{}` is not a value of type `{tag}`", shown(text));
        Unreadable::bad("clixml-value", text)
    }))
}

/// The element's name and the text of a value that is one text.
pub(super) fn written(item: &Item) -> Option<(&'static str, String)> {
    Some(match item {
        Item::Bool(set) => ("B", set.to_string()),
        Item::Bytes(bytes) => ("BA", binary::encode(bytes)),
        Item::Char(unit) => ("C", unit.to_string()),
        Item::DateTime(text) => ("DT", text.clone()),
        Item::Decimal(text) => ("D", text.clone()),
        Item::Double(text) => ("Db", text.clone()),
        Item::Duration(text) => ("TS", text.clone()),
        Item::Guid(id) => ("G", id.to_string()),
        Item::Integer(kind, number) => (kind.tag(), number.to_string()),
        Item::ScriptBlock(text) => ("SBK", text.clone()),
        Item::Secure(text) => ("SS", text.clone()),
        Item::Single(text) => ("Sg", text.clone()),
        Item::Text(text) => ("S", text.clone()),
        Item::Uri(text) => ("URI", text.clone()),
        Item::Version(text) => ("Version", text.clone()),
        Item::Xml(text) => ("XD", text.clone()),
        Item::Nil | Item::Object(_) | Item::Progress(_) | Item::Shared(_) => return None,
    })
}

/// A number in the one way that .NET writes it.
pub(super) fn integer(kind: Integer, text: &str) -> Option<i128> {
    const MAX_DIGITS: usize = 20;
    let (least, greatest) = kind.bounds();
    let number: i128 = (text.len() <= MAX_DIGITS).then(|| text.parse().ok())??;
    let is_plain = number.to_string() == text;
    (is_plain && (least..=greatest).contains(&number)).then_some(number)
}

fn guid(text: &str) -> Option<Uuid> {
    const LENGTH: usize = 36;
    (text.len() == LENGTH).then(|| Uuid::try_parse(text).ok())?
}

fn is_of(text: &str, longest: usize, marks: &[u8]) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().any(|it| it.is_ascii_digit())
        && text
            .bytes()
            .all(|it| it.is_ascii_digit() || marks.contains(&it))
}

fn is_version(text: &str) -> bool {
    const PARTS: std::ops::RangeInclusive<usize> = 2..=4;
    let is_part =
        |part: &str| (1..=10).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
    PARTS.contains(&text.split('.').count()) && text.split('.').all(is_part)
}

fn is_float(text: &str) -> bool {
    matches!(text, "INF" | "-INF" | "NaN") || is_number(text)
}

fn is_number(text: &str) -> bool {
    const LONGEST: usize = 64;
    let (mantissa, exponent) = text.split_once('E').unwrap_or((text, "0"));
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    text.len() <= LONGEST && [whole, fraction, exponent].into_iter().all(is_digits)
}
