//! A parameter's value, as a dialect read it: typed, ordered, and exact enough to be written again unchanged.

use std::fmt;

/// A number in its own digits, so that one too big or too precise for a float survives unchanged.
///
/// INVARIANT: the text is a number of RFC 8259 section 6.
#[derive(Clone, PartialEq, Eq)]
pub struct Number(Box<str>);

impl Number {
    /// The number with these digits; `None` if `text` is not a number of RFC 8259 section 6.
    pub fn new(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('-').unwrap_or(text);
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(rest);
        if whole == 0 || (whole > 1 && rest.starts_with('0')) {
            return None;
        }
        let mut rest = rest.get(whole..)?;
        if let Some(fraction) = rest.strip_prefix('.') {
            let count = digits(fraction);
            rest = fraction.get(count..).filter(|_| count > 0)?;
        }
        if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let count = digits(exponent);
            rest = exponent.get(count..).filter(|_| count > 0)?;
        }
        rest.is_empty().then(|| Self(text.into()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// Values in order.
    List(Vec<Value>),
    /// Nothing: PowerShell's `$null`, which clears a property.
    Null,
    /// A number in its own digits.
    Number(Number),
    /// Members in order; their names are distinct without case. A member whose name holds `@` is an annotation.
    Table(Vec<(String, Value)>),
    /// A text.
    Text(String),
}

impl Value {
    /// Calls `visit` with each scalar inside, in order; annotations (members with `@` in their names) are passed over.
    pub fn for_each_leaf<'a>(&'a self, visit: &mut dyn FnMut(&'a Value)) {
        match self {
            Self::Bool(_) | Self::Null | Self::Number(_) | Self::Text(_) => visit(self),
            Self::List(items) => items.iter().for_each(|item| item.for_each_leaf(visit)),
            Self::Table(members) => members
                .iter()
                .filter(|(name, _)| !name.contains('@'))
                .for_each(|(_, value)| value.for_each_leaf(visit)),
        }
    }

    /// The value as PowerShell would show it: `True`, `$null`, digits, text, lists joined by commas.
    pub fn display(&self) -> String {
        match self {
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Null => "$null".to_owned(),
            Self::Number(number) => number.as_str().to_owned(),
            Self::Text(text) => text.clone(),
            Self::List(items) => items
                .iter()
                .map(Self::display)
                .collect::<Vec<_>>()
                .join(","),
            Self::Table(members) => {
                let members = members
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.display()));
                format!("@{{{}}}", members.collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// The value as JSON, digits and member order unchanged.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Null => out.extend_from_slice(b"null"),
            Self::Number(number) => out.extend_from_slice(number.as_str().as_bytes()),
            Self::Text(text) => write_json_text(text, out),
            Self::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write_json(out);
                }
                out.push(b']');
            }
            Self::Table(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_json_text(name, out);
                    out.push(b':');
                    value.write_json(out);
                }
                out.push(b'}');
            }
        }
    }

    /// A text value.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// Writes `text` as a JSON string (RFC 8259 section 7): quotes, backslashes and control characters escaped, the rest as UTF-8.
fn write_json_text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Nearly every text is one run without anything to escape.
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (run, from) = rest.split_at_checked(at).unwrap_or_default();
        out.extend_from_slice(run);
        let Some((byte, after)) = from.split_first() else {
            break;
        };
        write_escape(*byte, out);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f)
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        for good in [
            "0",
            "-0",
            "12",
            "1.50",
            "1e400",
            "123456789012345678901234567890",
            "-1.2E-3",
        ] {
            assert_eq!(Number::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "", "-", "01", "1.", ".5", "+1", "1e", "0x1", "NaN", "1 ", "Infinity",
        ] {
            assert!(Number::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn json_is_written_exactly() {
        let value = Value::Table(vec![
            ("n".into(), Value::Number(Number::new("1.0e0").unwrap())),
            ("t".into(), Value::text("q\"\\\u{1}é\u{1f600}")),
            (
                "l".into(),
                Value::List(vec![Value::Null, Value::Bool(true)]),
            ),
        ]);
        let mut out = Vec::new();
        value.write_json(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"n\":1.0e0,\"t\":\"q\\\"\\\\\\u0001é\u{1f600}\",\"l\":[null,true]}"
        );
    }
}
