//! Strict JSON: RFC 8259 with nothing left to the reader's choice, read in one pass.
//!
//! UTF-8 without a byte order mark, one value, no member named twice (in whatever case, as PowerShell compares names),
//! bounded depth, bounded numbers of members and values, numbers kept digit for digit, no lone surrogates.
//!
//! `serde_json` reads numbers as floats, and either keeps the last of two members of one name or, with raw values, scans
//! each level again; so this is a reader of its own. It is held to `serde_json` by property tests: what that refuses is
//! refused here, and what is read here is what that reads. What goes upstream is written from what was read, so that
//! not even a mistake in this file could let the service see something else than was decided on.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memchr2;

use crate::dialect::shown;
use crate::model::{Number, Value};

/// How deep lists and tables may nest. Clients serialise a parameter to depth 10 (exchange-rest section 1.2), inside an
/// envelope of 3 inside a batch of 3.
pub const MAX_DEPTH: usize = 24;

/// How many members one table may have. The richest cmdlet has about 250 parameters.
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
    #[error("the body is not valid JSON: at byte {at}, {expected} was expected")]
    Invalid {
        /// Where, from 0.
        at: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// A value is of another kind.
    #[error("{what} must be {expected}")]
    Kind {
        /// Of what.
        what: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A member's name is too long.
    #[error("the member name `{0}` is longer than {MAX_MEMBER_NAME_BYTES} bytes")]
    LongName(String),
    /// It is not UTF-8.
    #[error("the body is not UTF-8 (byte {0}); no other encoding is read")]
    NotUtf8(usize),
    /// Two members of one table have the same name.
    #[error("the member `{0}` is given twice in one table")]
    Repeated(String),
    /// Lists and tables nest too deep.
    #[error("the body nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A table has too many members.
    #[error("a table has more than {MAX_MEMBERS} members")]
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
            Self::Invalid { .. } => "invalid-json",
            Self::Kind { .. } => "wrong-kind",
            Self::LongName(_) => "long-name",
            Self::NotUtf8(_) => "not-utf-8",
            Self::Repeated(_) => "duplicate-member",
            Self::TooDeep => "too-deep",
            Self::TooManyMembers => "too-many-members",
            Self::TooManyValues => "too-many-values",
        }
    }
}

/// The members of a table, in order.
pub type Members = Vec<(String, Value)>;

/// The one value that `bytes` are the text of.
pub fn read(bytes: &[u8]) -> Result<Value, JsonError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonError::ByteOrderMark);
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8(error.valid_up_to()))?;
    let mut reader = Reader {
        text,
        rest: text,
        values: MAX_VALUES,
    };
    reader.skip_blanks();
    let value = reader.value(MAX_DEPTH)?;
    reader.skip_blanks();
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(reader.expected("the end"))
    }
}

/// The items of the list `value`, which messages call `what`.
pub fn list(value: Value, what: &'static str) -> Result<Vec<Value>, JsonError> {
    let expected = "a list";
    match value {
        Value::List(items) => Ok(items),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Table(_) | Value::Text(_) => {
            Err(JsonError::Kind { what, expected })
        }
    }
}

/// The members of the table `value`, which messages call `what`.
pub fn table(value: Value, what: &'static str) -> Result<Members, JsonError> {
    let expected = "an object";
    match value {
        Value::Table(members) => Ok(members),
        Value::Bool(_) | Value::List(_) | Value::Null | Value::Number(_) | Value::Text(_) => {
            Err(JsonError::Kind { what, expected })
        }
    }
}

/// The text `value`, which messages call `what`.
pub fn text(value: Value, what: &'static str) -> Result<String, JsonError> {
    let expected = "a text";
    match value {
        Value::Text(text) => Ok(text),
        Value::Bool(_) | Value::List(_) | Value::Null | Value::Number(_) | Value::Table(_) => {
            Err(JsonError::Kind { what, expected })
        }
    }
}

/// What is still to be read.
struct Reader<'a> {
    text: &'a str,
    /// The end of `text` that is not read yet.
    rest: &'a str,
    /// How many more values may come.
    values: usize,
}

impl<'a> Reader<'a> {
    /// Reads a value, which may nest `depth` levels deep. Stands behind it afterwards.
    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.values = self.values.checked_sub(1).ok_or(JsonError::TooManyValues)?;
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?.into_owned())),
            Some(b'{') => self.table(depth.checked_sub(1).ok_or(JsonError::TooDeep)?),
            Some(b'[') => self.list(depth.checked_sub(1).ok_or(JsonError::TooDeep)?),
            Some(b't') if self.take("true") => Ok(Value::Bool(true)),
            Some(b'f') if self.take("false") => Ok(Value::Bool(false)),
            Some(b'n') if self.take("null") => Ok(Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) | None => Err(self.expected("a value")),
        }
    }

    fn table(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut members = Members::new();
        let mut names = Names::default();
        self.take("{");
        self.skip_blanks();
        if self.take("}") {
            return Ok(Value::Table(members));
        }
        loop {
            if members.len() == MAX_MEMBERS {
                return Err(JsonError::TooManyMembers);
            }
            if self.peek() != Some(b'"') {
                return Err(self.expected("a member's name in double quotes"));
            }
            let name = self.string()?;
            if name.len() > MAX_MEMBER_NAME_BYTES {
                return Err(JsonError::LongName(shown(&name)));
            }
            if names.is_taken(&name, &members) {
                return Err(JsonError::Repeated(shown(&name)));
            }
            self.skip_blanks();
            if !self.take(":") {
                return Err(self.expected("`:`"));
            }
            self.skip_blanks();
            let value = self.value(depth)?;
            members.push((name.into_owned(), value));
            self.skip_blanks();
            if self.take("}") {
                return Ok(Value::Table(members));
            }
            if !self.take(",") {
                return Err(self.expected("`,` or `}`"));
            }
            self.skip_blanks();
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        self.take("[");
        self.skip_blanks();
        if self.take("]") {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_blanks();
            if self.take("]") {
                return Ok(Value::List(items));
            }
            if !self.take(",") {
                return Err(self.expected("`,` or `]`"));
            }
            self.skip_blanks();
        }
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let is_in_number =
            |it: u8| it.is_ascii_digit() || matches!(it, b'+' | b'-' | b'.' | b'e' | b'E');
        let end = self.rest.bytes().position(|it| !is_in_number(it));
        let (digits, rest) = self.split_at(end.unwrap_or(self.rest.len()));
        let number = Number::new(digits).ok_or_else(|| self.expected("a number"))?;
        self.rest = rest;
        Ok(Value::Number(number))
    }

    /// Reads a text in double quotes, the first of which comes next.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let mut end = 1;
        let mut has_escapes = false;
        loop {
            let bytes = self.rest.as_bytes().get(end..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', bytes) else {
                return Err(self.expected("a text that ends in double quotes"));
            };
            end += found;
            if bytes.get(found) == Some(&b'"') {
                break;
            }
            has_escapes = true;
            // The backslash and what it escapes. The end of the text may lie before that.
            end += 2;
        }
        let (quoted, rest) = self.split_at(end + 1);
        let inner = quoted.get(1..end).unwrap_or_default();
        if inner.bytes().any(|it| it < b' ') {
            return Err(self.expected("a text without control characters"));
        }
        let text = if has_escapes {
            // Escapes are serde_json's business, surrogates among them.
            let text = serde_json::from_str(quoted);
            Cow::Owned(text.map_err(|_| self.expected("a text with valid escapes"))?)
        } else {
            Cow::Borrowed(inner)
        };
        self.rest = rest;
        Ok(text)
    }

    fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_blanks(&mut self) {
        if self.peek().is_some_and(|it| it <= b' ') {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        }
    }

    fn split_at(&self, end: usize) -> (&'a str, &'a str) {
        self.rest.split_at_checked(end).unwrap_or((self.rest, ""))
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Invalid {
            at: self.text.len() - self.rest.len(),
            expected,
        }
    }
}

/// The names of a table's members, to find a repeated one. While they are few, comparing with each is quickest.
#[derive(Default)]
struct Names {
    many: HashSet<String>,
}

impl Names {
    /// Whether one of the `members` so far has this name, in whatever case.
    fn is_taken(&mut self, name: &str, members: &[(String, Value)]) -> bool {
        const FEW: usize = 16;
        if members.len() < FEW {
            return members.iter().any(|(other, _)| is_same(name, other));
        }
        if self.many.is_empty() {
            self.many = members.iter().map(|(other, _)| folded(other)).collect();
        }
        !self.many.insert(folded(name))
    }
}

fn is_same(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        one.eq_ignore_ascii_case(other)
    } else {
        folded(one) == folded(other)
    }
}

/// The name as it compares without case. Beyond ASCII both foldings are applied, so that letters which only one of them
/// joins (`ſ` and `s`, the Kelvin sign and `k`) are joined.
fn folded(name: &str) -> String {
    let upper = name.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests;
