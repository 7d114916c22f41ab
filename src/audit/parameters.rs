//! A command's parameters as a record shows them: values exactly, secrets replaced, the size bounded.
//!
//! What is too large gives way to its size and hash, the largest values first, so that a large one hides nothing beside it. That
//! takes at most four passes over the values.
//!
//! Redaction is [`Redaction::redacted`]'s, done while writing, so that no value is copied first; a test
//! holds the two together.

use aws_lc_rs::digest::{Digest, SHA256, digest};

use crate::model::{Command, Number, REDACTED, Redaction, Spelling, Value};

use super::json;

/// The most bytes of JSON that a record shows of parameters or details: 64 KiB.
pub(super) const MAX_SHOWN: usize = 64 * 1024;

/// How many paths a record lists of each kind; a last one, `…`, stands for more.
const MAX_PATHS: usize = 64;

/// Values that take no more bytes of JSON than this are never replaced by themselves: their sizes and hashes take a hundred.
const MIN_REPLACED: usize = 256;

/// The most bytes that stand for a value that is replaced.
const REPLACEMENT: usize = 112;

/// Writes `"parameters":{…},"redacted":[…]` for `command`.
///
/// Where the parameters take more than [`MAX_SHOWN`] bytes, the largest values inside are replaced by texts with their size and
/// SHA-256, as JSON with secrets redacted; if that does not do, the largest parameters; and if their names alone are too long, `parameters` is
/// `null`. Three members follow it then: `parameters_bytes` and `parameters_sha256` of the JSON that would have stood there, and
/// `omitted`, the paths of what was replaced.
pub(super) fn write(out: &mut Vec<u8>, command: &Command, redaction: &Redaction) {
    out.extend_from_slice(b"\"parameters\":");
    let start = out.len();
    let mut walk = Walk::new(redaction);
    walk.command(out, command);
    if out.len() - start > MAX_SHOWN {
        let whole = replaced(out, start);
        walk = shorten(out, command, redaction, whole.bytes);
        if out.len() - start > MAX_SHOWN {
            out.truncate(start);
            json::null(out);
        }
        whole.write(out, "parameters");
        out.extend_from_slice(b",\"omitted\":");
        paths(out, &walk.omitted);
    }
    out.extend_from_slice(b",\"redacted\":");
    paths(out, &walk.removed);
}

/// Writes parameters that take `bytes` with the largest values replaced, as many as have to be.
fn shorten<'a>(
    out: &mut Vec<u8>,
    command: &'a Command,
    redaction: &'a Redaction,
    bytes: usize,
) -> Walk<'a> {
    let start = out.len();
    let mut walk = Walk::new(redaction);
    walk.measured = Some(Vec::new());
    walk.command(out, command);
    out.truncate(start);
    let sizes = walk.measured.take().unwrap_or_default();
    let longest = longest_shown(&sizes, bytes);

    let mut walk = Walk::new(redaction);
    walk.longest = longest;
    let sizes = walk.command(out, command);
    let bytes = out.len() - start;
    if bytes <= MAX_SHOWN {
        return walk;
    }
    out.truncate(start);
    let mut walk = Walk::new(redaction);
    walk.longest = longest;
    let most = longest_shown(&sizes, bytes);
    walk.whole = sizes.iter().map(|it| *it > most).collect();
    walk.command(out, command);
    walk
}

/// The size up to which values are shown, of such that have these `sizes` and take `bytes` together, so that they fit.
fn longest_shown(sizes: &[usize], mut bytes: usize) -> usize {
    let mut sizes: Vec<usize> = sizes
        .iter()
        .copied()
        .filter(|it| *it > MIN_REPLACED)
        .collect();
    sizes.sort_unstable();
    while bytes > MAX_SHOWN
        && let Some(largest) = sizes.pop()
    {
        bytes = bytes.saturating_sub(largest) + REPLACEMENT;
        if bytes <= MAX_SHOWN {
            return largest - 1;
        }
    }
    MIN_REPLACED
}

/// `["…", …]`
fn paths(out: &mut Vec<u8>, paths: &[String]) {
    out.push(b'[');
    for (index, path) in paths.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::bounded_text(out, path, 256);
    }
    out.push(b']');
}

/// What stands for a text of JSON that is too long.
struct Replaced {
    bytes: usize,
    hash: Digest,
}

/// Takes away what was written from `start` on.
fn replaced(out: &mut Vec<u8>, start: usize) -> Replaced {
    let written = out.get(start..).unwrap_or_default();
    let replaced = Replaced {
        bytes: written.len(),
        hash: digest(&SHA256, written),
    };
    out.truncate(start);
    replaced
}

impl Replaced {
    /// As members of `name`.
    fn write(&self, out: &mut Vec<u8>, name: &str) {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"_bytes\":");
        self.write_size(out);
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"_sha256\":\"");
        json::hex(out, self.hash.as_ref());
        out.push(b'"');
    }

    /// As a text.
    fn write_text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"[");
        self.write_size(out);
        out.extend_from_slice(b" bytes, sha256 ");
        json::hex(out, self.hash.as_ref());
        out.extend_from_slice(b"]\"");
    }

    fn write_size(&self, out: &mut Vec<u8>) {
        json::number(out, u64::try_from(self.bytes).unwrap_or(u64::MAX));
    }
}

/// Replaces what was written from `start` on, if it is too long, by `null` and its size and hash as members of `name`.
pub(super) fn bound(out: &mut Vec<u8>, start: usize, name: &str) {
    if out.len() - start > MAX_SHOWN {
        let whole = replaced(out, start);
        json::null(out);
        whole.write(out, name);
    }
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
    omitted: Vec<String>,
    /// The sizes of texts and numbers, if they are asked for.
    measured: Option<Vec<usize>>,
    /// The longest text or number that is shown.
    longest: usize,
    /// By their places, which parameters are replaced whole.
    whole: Vec<bool>,
}

impl<'a> Walk<'a> {
    fn new(redaction: &'a Redaction) -> Self {
        Self {
            redaction,
            path: Vec::new(),
            removed: Vec::new(),
            omitted: Vec::new(),
            measured: None,
            longest: usize::MAX,
            whole: Vec::new(),
        }
    }

    /// Writes all parameters, and returns how many bytes each of them took.
    fn command(&mut self, out: &mut Vec<u8>, command: &'a Command) -> Vec<usize> {
        let (longest, mut sizes) = (self.longest, Vec::new());
        out.push(b'{');
        for (index, parameter) in command.parameters.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let name = parameter.name.as_str();
            json::text(out, name);
            out.push(b':');
            let start = out.len();
            let is_whole = self.whole.get(index).copied().unwrap_or(false);
            // The hash is that of the whole value, and it is named once.
            self.longest = if is_whole { usize::MAX } else { longest };
            self.path.push(name);
            let is_hidden = match command.parameters.spelling(&parameter.name) {
                Spelling::AsWritten => self.redaction.hides(name),
                Spelling::Whole => self.redaction.hides_whole(name),
            };
            self.named(out, is_hidden, &parameter.value);
            if is_whole {
                replaced(out, start).write_text(out);
                self.omitted();
            }
            self.path.pop();
            sizes.push(out.len() - start);
        }
        out.push(b'}');
        self.longest = longest;
        sizes
    }

    fn member(&mut self, out: &mut Vec<u8>, name: &'a str, value: &'a Value) {
        json::text(out, name);
        out.push(b':');
        self.path.push(name);
        self.named(out, self.redaction.hides(name), value);
        self.path.pop();
    }

    /// The value of the member or parameter at the path, whose name is one of those that are hidden or not.
    fn named(&mut self, out: &mut Vec<u8>, is_hidden: bool, value: &'a Value) {
        if *value != Value::Null && is_hidden {
            self.hidden(out);
        } else {
            self.value(out, value);
        }
    }

    fn hidden(&mut self, out: &mut Vec<u8>) {
        note(&mut self.removed, &self.path);
        json::text(out, REDACTED);
    }

    fn value(&mut self, out: &mut Vec<u8>, value: &'a Value) {
        let start = out.len();
        match value {
            Value::Bool(_) | Value::Null => value.write_json(out),
            Value::Number(number) => {
                if is_beyond_readers(number) {
                    json::text(out, number.as_str());
                } else {
                    value.write_json(out);
                }
                self.bounded(out, start);
            }
            Value::Text(text) => {
                json::text(out, text);
                self.bounded(out, start);
            }
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

    /// Replaces the text or number that was written from `start` on, if it is too long.
    fn bounded(&mut self, out: &mut Vec<u8>, start: usize) {
        let bytes = out.len() - start;
        if let Some(measured) = &mut self.measured
            && bytes > MIN_REPLACED
        {
            measured.push(bytes);
        }
        if bytes > self.longest {
            replaced(out, start).write_text(out);
            self.omitted();
        }
    }

    fn omitted(&mut self) {
        note(&mut self.omitted, &self.path);
    }
}

/// Notes that the value at the path was left out; the items of a list share one path.
fn note(paths: &mut Vec<String>, path: &[&str]) {
    if paths.len() > MAX_PATHS {
        return;
    }
    let path = path.join(".");
    if paths.last() == Some(&path) {
        return;
    }
    paths.push(if paths.len() < MAX_PATHS {
        path
    } else {
        "…".to_owned()
    });
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
        for name in names {
            let parameter = Parameter {
                name,
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
    fn a_name_that_is_known_to_be_whole_begins_no_other() {
        let mut parameters = Parameters::default();
        let names: [crate::model::ParameterName; 3] =
            ["SendPass", "CostC", "Passwor"].map(|it| it.parse().unwrap());
        for name in &names {
            let parameter = Parameter {
                name: name.clone(),
                value: Value::text("v"),
                type_annotation: None,
            };
            parameters.push(parameter).unwrap();
        }
        let redaction = Redaction::new(&["CostCentre".to_owned()]);
        let shown = |parameters: &Parameters| {
            let command = Command {
                task: r"Exchange\Set-Mailbox".parse().unwrap(),
                parameters: parameters.clone(),
            };
            let mut out = b"{".to_vec();
            write(&mut out, &command, &redaction);
            out.push(b'}');
            let record: serde_json::Value = serde_json::from_slice(&out).unwrap();
            record["redacted"].clone()
        };
        let all = serde_json::json!(["SendPass", "CostC", "Passwor"]);
        assert_eq!(shown(&parameters), all);
        parameters.set_spelling(Spelling::Whole);
        assert_eq!(shown(&parameters), serde_json::json!([]));
        parameters.set_unresolved(names[2..].to_vec());
        assert_eq!(shown(&parameters), serde_json::json!(["Passwor"]));
    }

    #[test]
    fn configured_names_are_redacted_in_any_case_and_depth() {
        let redaction = Redaction::new(&["costcentre".to_owned()]);
        let table = Value::Table(vec![("CostCentre".into(), Value::text("4711"))]);
        let record = shown("Custom", table, &redaction);
        assert_eq!(record["parameters"]["Custom"]["CostCentre"], "[redacted]");
        assert_eq!(record["redacted"], serde_json::json!(["Custom.CostCentre"]));
    }

    /// The record of parameters of these names and values, and its length.
    fn record(given: &[(&str, Value)]) -> (serde_json::Value, usize) {
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
        (serde_json::from_slice(&out).unwrap(), out.len())
    }

    fn stands_for(json: &[u8]) -> String {
        let hash = digest(&SHA256, json);
        let mut hex = Vec::new();
        json::hex(&mut hex, hash.as_ref());
        let hex = String::from_utf8(hex).unwrap();
        format!("[{} bytes, sha256 {hex}]", json.len())
    }

    #[test]
    fn of_large_parameters_the_largest_values_are_replaced_and_hide_nothing_beside_them() {
        let junk = "x".repeat(MAX_SHOWN);
        let table = Value::Table(vec![
            (
                "Add".into(),
                Value::List(vec![Value::text("evil"), Value::text(&*junk)]),
            ),
            ("Password".into(), Value::text(&*junk)),
            ("Short".into(), Value::text("y".repeat(1000))),
        ]);
        let (record, length) = record(&[
            ("Identity", Value::text("victim")),
            ("Manager", Value::text("eve")),
            ("Notes", Value::text(&*junk)),
            ("Members", table),
        ]);
        let replaced = stands_for(format!("\"{junk}\"").as_bytes());
        assert_eq!(
            record["parameters"],
            serde_json::json!({
                "Identity": "victim",
                "Manager": "eve",
                "Notes": replaced,
                "Members": {"Add": ["evil", replaced], "Password": "[redacted]", "Short": "y".repeat(1000)},
            })
        );
        assert_eq!(
            record["omitted"],
            serde_json::json!(["Notes", "Members.Add"])
        );
        assert_eq!(record["redacted"], serde_json::json!(["Members.Password"]));
        assert!(record["parameters_bytes"].as_u64().unwrap() > 2 * MAX_SHOWN as u64);
        assert_eq!(record["parameters_sha256"].as_str().unwrap().len(), 64);
        assert!(length < MAX_SHOWN);
    }

    #[test]
    fn no_more_is_replaced_than_has_to_be() {
        let text = |count| Value::text("x".repeat(count));
        let (record, length) = record(&[
            ("Notes", text(30_000)),
            ("Office", text(20_000)),
            ("Street", text(40_000)),
            ("Title", text(1_000)),
        ]);
        assert_eq!(record["omitted"], serde_json::json!(["Street"]));
        assert!((50_000..MAX_SHOWN).contains(&length), "{length}");
    }

    #[test]
    fn a_parameter_of_many_small_values_is_replaced_whole() {
        let many = Value::List(vec![Value::text("a@b.example"); 10_000]);
        let mut json = Vec::new();
        many.write_json(&mut json);
        let mixed = Value::List(vec![Value::text("z".repeat(300)); 400]);
        let (record, length) = record(&[
            ("Identity", Value::text("victim")),
            ("Junk", many),
            ("Mixed", mixed),
        ]);
        assert_eq!(record["parameters"]["Identity"], "victim");
        assert_eq!(record["parameters"]["Junk"], stands_for(&json));
        assert!(length < MAX_SHOWN + 1024, "{length}");
    }

    #[test]
    fn of_names_that_are_too_long_together_only_the_size_and_hash_are_shown() {
        let names: Vec<String> = (0..600).map(|it| format!("{it:p>128}")).collect();
        let given: Vec<_> = names.iter().map(|it| (it.as_str(), Value::Null)).collect();
        let (record, _) = record(&given);
        assert!(record["parameters"].is_null());
        assert!(record["parameters_bytes"].as_u64().unwrap() > MAX_SHOWN as u64);
    }

    proptest! {
        /// Whatever is sent, its record is bounded, and each parameter is named in it.
        #[test]
        fn records_are_bounded(sizes in prop::collection::vec((0_usize..60_000, 1_usize..400), 1..8)) {
            let names: Vec<String> = (0..sizes.len()).map(|it| format!("P{it}")).collect();
            let values = sizes.iter().map(|(size, count)| match size % 2 {
                0 => Value::text("\"".repeat(*size)),
                _ => Value::List(vec![Value::text("x".repeat(size / 100)); *count]),
            });
            let given: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
            let (record, length) = record(&given);
            prop_assert!(length < MAX_SHOWN + 2048, "{}", length);
            prop_assert_eq!(record["parameters"].as_object().unwrap().len(), sizes.len());
        }
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
