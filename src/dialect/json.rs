//! Strict JSON: RFC 8259 with nothing left to the reader's choice.
//!
//! UTF-8 without a byte order mark, one value, no member named twice, bounded depth, bounded numbers of members and
//! values, numbers kept digit for digit, no lone surrogates. The tokens are `serde_json`'s; what is added is that each
//! level is read as a list of named pieces, so that nothing is dropped, merged or rounded on the way.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::shown;
use crate::model::{Number, Value};

/// How deep lists and tables may nest in one [`value`]. Clients serialise to depth 10 (exchange-rest section 1.2).
pub const MAX_DEPTH: usize = 16;

/// How many members one object may have. The richest cmdlet has about 250 parameters.
pub const MAX_MEMBERS: usize = 512;

/// How many values one document may hold: files travel as lists of numbers (exchange-rest section 1.4), and each number
/// costs some 50 bytes of memory here.
pub const MAX_VALUES: usize = 1 << 20;

/// The longest member name, in bytes.
pub const MAX_MEMBER_NAME_BYTES: usize = 256;

/// Why a text is not the JSON that is read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It begins with a byte order mark.
    #[error("the body begins with a byte order mark; send plain UTF-8")]
    ByteOrderMark,
    /// It is not JSON.
    #[error("the body is not valid JSON: {0}")]
    Invalid(String),
    /// A member's name is too long.
    #[error("the member name `{}` is longer than {MAX_MEMBER_NAME_BYTES} bytes", shown(.0))]
    LongName(String),
    /// It is not UTF-8.
    #[error("the body is not UTF-8 (byte {0}); no other encoding is read")]
    NotUtf8(usize),
    /// A value is of another kind.
    #[error("{what} must be {expected}")]
    Kind {
        /// Of what.
        what: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Two members of one object have the same name.
    #[error("the member `{}` is given twice in one object", shown(.0))]
    Repeated(String),
    /// Lists and tables nest too deep.
    #[error("the body nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// An object has too many members.
    #[error("an object has more than {MAX_MEMBERS} members")]
    TooManyMembers,
    /// There are too many values in all.
    #[error("the body holds more than {MAX_VALUES} values")]
    TooManyValues,
}

impl JsonError {
    /// A stable word for records and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ByteOrderMark => "byte-order-mark",
            Self::Invalid(_) => "invalid-json",
            Self::Kind { .. } => "wrong-kind",
            Self::LongName(_) => "long-name",
            Self::NotUtf8(_) => "not-utf-8",
            Self::Repeated(_) => "duplicate-member",
            Self::TooDeep => "too-deep",
            Self::TooManyMembers => "too-many-members",
            Self::TooManyValues => "too-many-values",
        }
    }

    fn invalid(error: &serde_json::Error) -> Self {
        let mut text = error.to_string();
        // The place is within a piece of the document, which would mislead.
        if let Some(place) = text.rfind(" at line ") {
            text.truncate(place);
        }
        Self::Invalid(text)
    }
}

/// How many more values may be read out of one document.
#[derive(Clone, Debug)]
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_VALUES)
    }
}

impl Budget {
    fn spend(&mut self, values: usize) -> Result<(), JsonError> {
        self.0 = self.0.checked_sub(values).ok_or(JsonError::TooManyValues)?;
        Ok(())
    }
}

/// The members of an object, in order.
pub type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The one value that `bytes` are the text of. Only its syntax is looked at.
pub fn document(bytes: &[u8]) -> Result<&RawValue, JsonError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonError::ByteOrderMark);
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8(error.valid_up_to()))?;
    serde_json::from_str(text).map_err(|error| JsonError::Invalid(error.to_string()))
}

/// The members of the object `raw`, which messages call `what`; their names are distinct, to the letter.
pub fn object<'a>(
    raw: &'a RawValue,
    what: &'static str,
    budget: &mut Budget,
) -> Result<Members<'a>, JsonError> {
    if !starts_with(raw, b'{') {
        let expected = "an object";
        return Err(JsonError::Kind { what, expected });
    }
    let members = members(raw, budget)?;
    refuse_repeated(members.iter().map(|(name, _)| Cow::Borrowed(&**name)))?;
    Ok(members)
}

/// The items of the list `raw`, which messages call `what`.
pub fn list<'a>(
    raw: &'a RawValue,
    what: &'static str,
    budget: &mut Budget,
) -> Result<Vec<&'a RawValue>, JsonError> {
    if !starts_with(raw, b'[') {
        let expected = "a list";
        return Err(JsonError::Kind { what, expected });
    }
    items(raw, budget)
}

/// The text `raw`, which messages call `what`.
pub fn text<'a>(raw: &'a RawValue, what: &'static str) -> Result<Cow<'a, str>, JsonError> {
    if !starts_with(raw, b'"') {
        let expected = "a text";
        return Err(JsonError::Kind { what, expected });
    }
    serde_json::Deserializer::from_str(raw.get())
        .deserialize_str(TextVisitor)
        .map_err(|error| JsonError::invalid(&error))
}

/// Whether `raw` is `null`.
pub fn is_null(raw: &RawValue) -> bool {
    starts_with(raw, b'n')
}

/// The value `raw`, whole. Names within a table are distinct without case, as PowerShell compares them.
pub fn value(raw: &RawValue, budget: &mut Budget) -> Result<Value, JsonError> {
    value_at(raw, MAX_DEPTH, budget)
}

fn value_at(raw: &RawValue, depth: usize, budget: &mut Budget) -> Result<Value, JsonError> {
    let below = || depth.checked_sub(1).ok_or(JsonError::TooDeep);
    Ok(match raw.get().as_bytes().first() {
        Some(b'{') => {
            let below = below()?;
            let members = members(raw, budget)?;
            refuse_repeated(members.iter().map(|(name, _)| folded(name)))?;
            let members = members
                .into_iter()
                .map(|(name, raw)| Ok((name.into_owned(), value_at(raw, below, budget)?)));
            Value::Table(members.collect::<Result<_, JsonError>>()?)
        }
        Some(b'[') => {
            let below = below()?;
            let items = items(raw, budget)?.into_iter();
            let items = items.map(|raw| value_at(raw, below, budget));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        Some(b'"') => Value::Text(text(raw, "a value")?.into_owned()),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') => Value::Null,
        Some(_) | None => Number::new(raw.get())
            .map(Value::Number)
            .ok_or_else(|| JsonError::Invalid("not a number".to_owned()))?,
    })
}

fn starts_with(raw: &RawValue, byte: u8) -> bool {
    raw.get().as_bytes().first() == Some(&byte)
}

fn members<'a>(raw: &'a RawValue, budget: &mut Budget) -> Result<Members<'a>, JsonError> {
    let members = serde_json::Deserializer::from_str(raw.get())
        .deserialize_map(MembersVisitor)
        .map_err(|error| JsonError::invalid(&error))?
        .ok_or(JsonError::TooManyMembers)?;
    budget.spend(members.len())?;
    if let Some((name, _)) = members
        .iter()
        .find(|(name, _)| name.len() > MAX_MEMBER_NAME_BYTES)
    {
        return Err(JsonError::LongName(shown(name)));
    }
    Ok(members)
}

fn items<'a>(raw: &'a RawValue, budget: &mut Budget) -> Result<Vec<&'a RawValue>, JsonError> {
    let items = serde_json::Deserializer::from_str(raw.get())
        .deserialize_seq(ItemsVisitor { most: budget.0 })
        .map_err(|error| JsonError::invalid(&error))?
        .ok_or(JsonError::TooManyValues)?;
    budget.spend(items.len())?;
    Ok(items)
}

/// The name as it compares without case. Beyond ASCII both foldings are applied, so that letters which only one of them
/// joins (`ſ` and `s`, the Kelvin sign and `k`) are joined.
fn folded(name: &str) -> Cow<'_, str> {
    if name
        .bytes()
        .all(|it| it.is_ascii() && !it.is_ascii_uppercase())
    {
        return Cow::Borrowed(name);
    }
    if name.is_ascii() {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    let upper = name.chars().flat_map(char::to_uppercase);
    Cow::Owned(upper.flat_map(char::to_lowercase).collect())
}

fn refuse_repeated<'a>(names: impl Iterator<Item = Cow<'a, str>>) -> Result<(), JsonError> {
    /// Up to here, comparing each with each is quicker than hashing.
    const FEW: usize = 12;
    let mut few: Vec<Cow<'a, str>> = Vec::with_capacity(FEW);
    let mut many: HashSet<Cow<'a, str>> = HashSet::new();
    for name in names {
        if few.contains(&name) || many.contains(&name) {
            return Err(JsonError::Repeated(name.into_owned()));
        }
        if few.len() < FEW {
            few.push(name);
        } else {
            many.insert(name);
        }
    }
    Ok(())
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> DeserializeSeed<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

/// Reads an object; `None` if it has too many members.
struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Option<Members<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key_seed(TextVisitor)? {
            if members.len() == MAX_MEMBERS {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            members.push((name, map.next_value()?));
        }
        Ok(Some(members))
    }
}

/// Reads a list; `None` if it has more than `most` items.
struct ItemsVisitor {
    most: usize,
}

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == self.most {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            items.push(item);
        }
        Ok(Some(items))
    }
}

#[cfg(test)]
mod tests;
