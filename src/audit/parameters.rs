//! A command's parameters as a record shows them: values exactly, secrets replaced, the size bounded.
//!
//! Redaction is [`Redaction::redacted`]'s, done while writing, so that no value is copied first; a test
//! holds the two together.

use aws_lc_rs::digest::{SHA256, digest};

use crate::model::{Command, Number, REDACTED, Redaction, Value};

use super::json;

/// The most bytes of JSON that a record shows of parameters or details: 64 KiB.
pub(super) const MAX_SHOWN: usize = 64 * 1024;

/// How many redacted paths a record lists; a last one, `…`, stands for more.
const MAX_PATHS: usize = 64;

/// Writes `"parameters":{…},"redacted":[…]` for `command`.
///
/// Where the parameters take more than [`MAX_SHOWN`] bytes, `parameters` is `null` and two members follow it:
/// `parameters_bytes`, and `parameters_sha256` of the JSON that would have stood there.
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
        let name = parameter.name.as_str();
        // What the server may complete is hidden as what it may become.
        let is_unresolved = command.parameters.unresolved().contains(&parameter.name);
        let is_hidden = is_unresolved && redaction.hides_beginning(name);
        if is_hidden && parameter.value != Value::Null {
            walk.hidden(out, name);
        } else {
            walk.member(out, name, &parameter.value);
        }
    }
    out.push(b'}');
    bound(out, start, "parameters");
    out.extend_from_slice(b",\"redacted\":[");
    for (index, path) in walk.removed.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::bounded_text(out, path, 256);
    }
    out.push(b']');
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
        self.path.push(name);
        if *value != Value::Null && self.redaction.hides(name) {
            self.removed();
            json::text(out, REDACTED);
        } else {
            self.value(out, value);
        }
        self.path.pop();
    }

    fn hidden(&mut self, out: &mut Vec<u8>, name: &'a str) {
        json::text(out, name);
        out.push(b':');
        self.path.push(name);
        self.removed();
        json::text(out, REDACTED);
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
        let names: Vec<crate::model::ParameterName> = ["Passwor", "Office", "Token"]
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
        parameters.set_unresolved(names);
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
                "parameters": {"Passwor": "[redacted]", "Office": "geheim", "Token": "[redacted]"},
                "redacted": ["Passwor", "Token"],
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

    #[test]
    fn large_parameters_are_replaced_by_size_and_hash() {
        let record = shown(
            "Body",
            Value::text("x".repeat(MAX_SHOWN)),
            &Redaction::default(),
        );
        assert!(record["parameters"].is_null());
        assert_eq!(
            record["parameters_bytes"],
            MAX_SHOWN + "{\"Body\":\"\"}".len()
        );
        assert_eq!(record["parameters_sha256"].as_str().unwrap().len(), 64);
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
