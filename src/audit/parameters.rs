//! A command's parameters as a record shows them: values exactly, secrets replaced, the size bounded.
//!
//! Redaction is [`Redaction::redacted`]'s, done while writing, so that no value is copied first; a test
//! holds the two together.

use aws_lc_rs::digest::{SHA256, digest};

use crate::model::{Command, Number, REDACTED, Redaction, Value};

use super::json;

/// The most bytes of JSON that a record shows of parameters or details: 64 KiB.
pub(super) const MAX_SHOWN: usize = 64 * 1024;

/// How many redacted paths, and how many parameters left out for their size, a record lists; a last one, `…`, stands for more.
const MAX_PATHS: usize = 64;

/// Writes `"parameters":{…},"redacted":[…]` for `command`.
///
/// Where the parameters take more than [`MAX_SHOWN`] bytes, the largest are left out until the others fit, and three members
/// follow: `parameters_bytes` and `parameters_sha256` of the JSON that would have stood there, and `parameters_omitted`, a
/// list with the name of each that was left out, and the size and hash of its value.
pub(super) fn write(out: &mut Vec<u8>, command: &Command, redaction: &Redaction) {
    out.extend_from_slice(b"\"parameters\":");
    let start = out.len();
    let mut walk = Walk {
        redaction,
        path: Vec::new(),
        removed: Vec::new(),
    };
    out.push(b'{');
    for (index, parameter) in command.parameters.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        walk.member(out, parameter.name.as_str(), &parameter.value);
    }
    out.push(b'}');
    if out.len() - start > MAX_SHOWN {
        shorten(out, start, command, redaction);
    }
    out.extend_from_slice(b",\"redacted\":[");
    for (index, path) in walk.removed.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::bounded_text(out, path, 256);
    }
    out.push(b']');
}

/// Leaves the largest of the parameters out that were written from `start` on, so that the others are seen whatever stands
/// beside them.
fn shorten(out: &mut Vec<u8>, start: usize, command: &Command, redaction: &Redaction) {
    let whole = out.split_off(start);
    // They are written once more, each by itself: this is rare, and most calls need no note of where each one stands.
    let written: Vec<(&str, Vec<u8>)> = command
        .parameters
        .iter()
        .map(|it| {
            let mut walk = Walk {
                redaction,
                path: Vec::new(),
                removed: Vec::new(),
            };
            let mut value = Vec::new();
            walk.shown(&mut value, it.name.as_str(), &it.value);
            (it.name.as_str(), value)
        })
        .collect();
    // Quotes, a colon and a comma.
    let room = |it: &(&str, Vec<u8>)| it.0.len() + it.1.len() + 4;
    let mut by_size: Vec<usize> = (0..written.len()).collect();
    by_size.sort_by_key(|it| written.get(*it).map_or(0, room));
    let mut left = MAX_SHOWN;
    let mut is_shown = vec![false; written.len()];
    for index in by_size {
        let needed = written.get(index).map_or(0, room);
        if needed > left {
            break;
        }
        left -= needed;
        if let Some(shown) = is_shown.get_mut(index) {
            *shown = true;
        }
    }
    out.push(b'{');
    let mut separator: &[u8] = b"";
    for ((name, value), _) in written.iter().zip(&is_shown).filter(|it| *it.1) {
        out.extend_from_slice(separator);
        json::text(out, name);
        out.push(b':');
        out.extend_from_slice(value);
        separator = b",";
    }
    out.extend_from_slice(b"},\"parameters_bytes\":");
    size_and_hash(out, &whole, b",\"parameters_sha256\":");
    out.extend_from_slice(b",\"parameters_omitted\":[");
    let omitted = written.iter().zip(&is_shown).filter(|it| !*it.1);
    for (index, ((name, value), _)) in omitted.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if index == MAX_PATHS {
            json::text(out, "…");
            break;
        }
        out.extend_from_slice(b"{\"name\":");
        json::text(out, name);
        out.extend_from_slice(b",\"bytes\":");
        size_and_hash(out, value, b",\"sha256\":");
        out.push(b'}');
    }
    out.push(b']');
}

/// Writes how long `bytes` are, then `between`, then their SHA-256.
fn size_and_hash(out: &mut Vec<u8>, bytes: &[u8], between: &[u8]) {
    json::number(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(between);
    out.push(b'"');
    json::hex(out, digest(&SHA256, bytes).as_ref());
    out.push(b'"');
}

/// Replaces what was written from `start` on, if it is too long, by `null` and its size and hash as members of `name`.
pub(super) fn bound(out: &mut Vec<u8>, start: usize, name: &str) {
    let written = out.get(start..).unwrap_or_default();
    let bytes = written.len();
    if bytes <= MAX_SHOWN {
        return;
    }
    let hash = digest(&SHA256, written);
    out.truncate(start);
    out.extend_from_slice(b"null,\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"_bytes\":");
    json::number(out, u64::try_from(bytes).unwrap_or(u64::MAX));
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"_sha256\":\"");
    json::hex(out, hash.as_ref());
    out.push(b'"');
}

/// Whether JSON readers that keep numbers as doubles refuse this one, and with it the whole record: whoever sends `1e400`
/// must not be able to hide what was done with it. Such a number is shown as a text.
fn is_beyond_readers(number: &Number) -> bool {
    // Only an exponent, or hundreds of digits, lead out of a double's range.
    let text = number.as_str();
    let is_plain = text.len() < 300 && !text.contains(['e', 'E']);
    !is_plain && !text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A walk through nested values that knows where it stands.
struct Walk<'a> {
    redaction: &'a Redaction,
    path: Vec<&'a str>,
    removed: Vec<String>,
}

impl<'a> Walk<'a> {
    fn member(&mut self, out: &mut Vec<u8>, name: &'a str, value: &'a Value) {
        json::text(out, name);
        out.push(b':');
        self.shown(out, name, value);
    }

    /// The value of the member of this name, or what stands in its place.
    fn shown(&mut self, out: &mut Vec<u8>, name: &'a str, value: &'a Value) {
        self.path.push(name);
        if *value != Value::Null && self.redaction.hides(name) {
            self.removed();
            json::text(out, REDACTED);
        } else {
            self.value(out, value);
        }
        self.path.pop();
    }

    fn value(&mut self, out: &mut Vec<u8>, value: &'a Value) {
        match value {
            Value::Number(number) if is_beyond_readers(number) => json::text(out, number.as_str()),
            Value::Bool(_) | Value::Null | Value::Number(_) => value.write_json(out),
            Value::Text(text) => json::text(out, text),
            Value::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.value(out, item);
                }
                out.push(b']');
            }
            Value::Table(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.member(out, name, value);
                }
                out.push(b'}');
            }
        }
    }

    /// Notes that the value at the path was left out; the items of a list share one path.
    fn removed(&mut self) {
        let path = self.path.join(".");
        if self.removed.last() == Some(&path) || self.removed.len() > MAX_PATHS {
            return;
        }
        let path = if self.removed.len() < MAX_PATHS {
            path
        } else {
            "…".to_owned()
        };
        self.removed.push(path);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Parameter, Parameters};

    fn shown(name: &str, value: Value, redaction: &Redaction) -> serde_json::Value {
        let mut parameters = Parameters::default();
        parameters
            .push(Parameter {
                name: name.parse().unwrap(),
                value,
                type_annotation: None,
            })
            .unwrap();
        let command = Command {
            task: r"Exchange\Set-Mailbox".parse().unwrap(),
            parameters,
        };
        let mut out = b"{".to_vec();
        write(&mut out, &command, redaction);
        out.push(b'}');
        serde_json::from_slice(&out).unwrap()
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|it| Value::Number(Number::new(&it.to_string()).unwrap())),
            ".{0,8}".prop_map(Value::Text),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let name = prop_oneof!["[a-z]{1,4}", Just("RoomPassword".to_owned())];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::vec((name, inner), 0..4).prop_map(|members| {
                    let mut seen = std::collections::HashSet::new();
                    let distinct = members.into_iter().filter(|it| seen.insert(it.0.clone()));
                    Value::Table(distinct.collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn redaction_while_writing_is_the_models(value in value()) {
            let mut removed = Vec::new();
            let name = "Setting".parse().unwrap();
            let expected = Redaction::default().redacted(&name, &value, &mut removed);
            removed.dedup();
            let mut json = Vec::new();
            expected.write_json(&mut json);
            let shown = shown("Setting", value, &Redaction::default());
            prop_assert_eq!(
                &shown["parameters"]["Setting"],
                &serde_json::from_slice::<serde_json::Value>(&json).unwrap()
            );
            prop_assert_eq!(&shown["redacted"], &serde_json::json!(removed));
        }
    }

    #[test]
    fn a_name_that_the_server_may_complete_is_redacted_as_what_it_may_become() {
        let mut parameters = Parameters::default();
        let names: Vec<crate::model::ParameterName> =
            ["Passwor", "Office", "Token", "RoomMailboxPass"]
                .map(|it| it.parse().unwrap())
                .into();
        for name in &names {
            let parameter = Parameter {
                name: name.clone(),
                value: Value::text("geheim"),
                type_annotation: None,
            };
            parameters.push(parameter).unwrap();
        }
        let command = Command {
            task: r"Exchange\Set-Mailbox".parse().unwrap(),
            parameters,
        };
        let mut out = b"{".to_vec();
        write(&mut out, &command, &Redaction::default());
        out.push(b'}');
        let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            record,
            serde_json::json!({
                "parameters": {"Passwor": "[redacted]", "Office": "geheim", "Token": "[redacted]", "RoomMailboxPass": "[redacted]"},
                "redacted": ["Passwor", "Token", "RoomMailboxPass"],
            })
        );
    }

    #[test]
    fn configured_names_are_redacted_in_any_case_and_depth() {
        let redaction = Redaction::new(&["costcentre".to_owned()]);
        let table = Value::Table(vec![("CostCentre".into(), Value::text("4711"))]);
        let record = shown("Custom", table, &redaction);
        assert_eq!(record["parameters"]["Custom"]["CostCentre"], "[redacted]");
        assert_eq!(record["redacted"], serde_json::json!(["Custom.CostCentre"]));
    }

    fn shown_all(given: &[(String, Value)]) -> serde_json::Value {
        let mut parameters = Parameters::default();
        for (name, value) in given {
            let parameter = Parameter {
                name: name.parse().unwrap(),
                value: value.clone(),
                type_annotation: None,
            };
            parameters.push(parameter).unwrap();
        }
        let command = Command {
            task: r"Exchange\Set-Mailbox".parse().unwrap(),
            parameters,
        };
        let mut out = b"{".to_vec();
        write(&mut out, &command, &Redaction::default());
        out.push(b'}');
        assert!(out.len() < 2 * MAX_SHOWN, "{}", out.len());
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn of_large_parameters_the_largest_are_replaced_by_size_and_hash_and_the_rest_is_seen() {
        let junk = "x".repeat(MAX_SHOWN);
        let given = [
            ("Identity", "ana"),
            ("Notes", junk.as_str()),
            ("NewPassword", junk.as_str()),
            ("ForwardingSmtpAddress", "eve@other.example"),
        ];
        let given = given.map(|(name, text)| (name.to_owned(), Value::text(text)));
        let record = shown_all(&given);
        assert_eq!(
            record["parameters"],
            serde_json::json!({"Identity": "ana", "NewPassword": "[redacted]", "ForwardingSmtpAddress": "eve@other.example"})
        );
        assert_eq!(record["redacted"], serde_json::json!(["NewPassword"]));
        let omitted = &record["parameters_omitted"];
        assert_eq!(omitted.as_array().unwrap().len(), 1);
        assert_eq!(omitted[0]["name"], "Notes");
        assert_eq!(omitted[0]["bytes"], MAX_SHOWN + 2);
        assert_eq!(omitted[0]["sha256"].as_str().unwrap().len(), 64);
        assert!(record["parameters_bytes"].as_u64().unwrap() > MAX_SHOWN as u64);
        assert_eq!(record["parameters_sha256"].as_str().unwrap().len(), 64);
    }

    #[test]
    fn however_many_parameters_there_are_the_record_is_bounded() {
        let name = |it: usize| format!("P{it}{}", "x".repeat(100));
        let given: Vec<_> = (0..5_000)
            .map(|it| (name(it), Value::text("y".repeat(it % 50))))
            .collect();
        let record = shown_all(&given);
        let shown = record["parameters"].as_object().unwrap();
        assert!(shown.len() > 400, "{}", shown.len());
        let omitted = record["parameters_omitted"].as_array().unwrap();
        assert_eq!(omitted.len(), MAX_PATHS + 1);
        assert_eq!(omitted[MAX_PATHS], "…");
    }

    #[test]
    fn numbers_that_readers_of_the_log_would_refuse_are_shown_as_texts() {
        let huge = "9".repeat(400);
        for digits in ["1e400", "-1E+309", huge.as_str()] {
            let number = Value::Number(Number::new(digits).unwrap());
            let value = Value::List(vec![number]);
            let record = shown("ResultSize", value, &Redaction::default());
            assert_eq!(record["parameters"]["ResultSize"][0], digits);
        }
        let small = Value::Number(Number::new("1e-400").unwrap());
        let record = shown("ResultSize", small, &Redaction::default());
        assert!(record["parameters"]["ResultSize"].is_number());
    }

    #[test]
    fn numbers_keep_their_digits() {
        let digits = "123456789012345678901234567890.50";
        let mut parameters = Parameters::default();
        parameters
            .push(Parameter {
                name: "Limit".parse().unwrap(),
                value: Value::Number(Number::new(digits).unwrap()),
                type_annotation: None,
            })
            .unwrap();
        let command = Command {
            task: r"Exchange\Set-Mailbox".parse().unwrap(),
            parameters,
        };
        let mut out = Vec::new();
        write(&mut out, &command, &Redaction::default());
        assert!(
            String::from_utf8(out)
                .unwrap()
                .starts_with(&format!("\"parameters\":{{\"Limit\":{digits}}}"))
        );
    }
}
