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
    let names: Vec<crate::model::ParameterName> = ["Passwor", "Office", "Token", "RoomMailboxPass"]
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
