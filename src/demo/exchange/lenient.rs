//! Reads JSON as forgivingly as the real service: of a repeated member the last counts, and nothing is asked of order or extra members.
//!
//! Numbers keep their digits, so that a test sees at this end exactly what the gateway sent.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::model::{Number, Value};

/// How deep values may nest.
const MAX_DEPTH: usize = 64;

/// The value that `json` spells; `None` if it is not JSON in UTF-8, or nests deeper than 64.
pub(super) fn read(json: &[u8]) -> Option<Value> {
    value(serde_json::from_slice(json).ok()?, MAX_DEPTH)
}

/// The last member of `table` with this name, in any case.
pub(super) fn member<'a>(table: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Table(members) = table else {
        return None;
    };
    let named = |(it, _): &&(String, Value)| it.eq_ignore_ascii_case(name);
    members.iter().rfind(named).map(|(_, value)| value)
}

/// The text of a member, if it is a text.
pub(super) fn text<'a>(table: &'a Value, name: &str) -> Option<&'a str> {
    match member(table, name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn value(raw: &RawValue, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let json = raw.get();
    Some(match json.bytes().next()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
            let members = members
                .into_iter()
                .map(|(name, raw)| Some((name, value(raw, depth)?)));
            Value::Table(members.collect::<Option<_>>()?)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let items = items.into_iter().map(|raw| value(raw, depth));
            Value::List(items.collect::<Option<_>>()?)
        }
        b'"' => Value::Text(serde_json::from_str(json).ok()?),
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'n' => Value::Null,
        _ => Value::Number(Number::new(json)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_repeated_members_counts() {
        let table = read(br#"{"a":1,"b":{"c":[true,null]},"a":1.50e400}"#).unwrap();
        assert_eq!(
            member(&table, "A"),
            Number::new("1.50e400").map(Value::Number).as_ref()
        );
        assert_eq!(member(&table, "b").unwrap().display(), "@{c=True,$null}");
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_not_read() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for bad in ["", "{", "{}x", "\u{feff}{}", "01", deep.as_str()] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
    }
}
