use std::fmt::Write as _;

use crate::model::{Interner, Number};
use crate::policy::{PolicyFile, PolicySet};

use super::*;

fn set(parameters: &str) -> PolicySet {
    let text =
        format!("[[policy]]\ntask = 'Exchange\\New-MoveRequest'\napproval = 'auto'\n{parameters}");
    let path = "p.toml".to_owned();
    PolicySet::load(
        &[PolicyFile { path, text }],
        &[],
        None,
        &Interner::default(),
    )
    .unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn number(digits: &str) -> Value {
    Value::Number(Number::new(digits).unwrap())
}

fn list(values: &[Value]) -> Value {
    Value::List(values.to_vec())
}

fn check(set: &PolicySet, parameters: &[(&str, Value)]) -> String {
    let mut given = Parameters::default();
    for (name, value) in parameters {
        given
            .push(Parameter {
                name: name.parse().unwrap(),
                value: value.clone(),
                type_annotation: None,
            })
            .unwrap();
    }
    match set.policies()[0].parameters.check(&given) {
        Ok(()) => "holds".to_owned(),
        Err(breach) => breach.to_string(),
    }
}

/// Whether `rule`, on parameter `P`, holds for each of `values`.
fn holds(rule: &str, values: &[Value]) -> Vec<bool> {
    let set = set(&format!("[policy.parameters]\nP = {rule}"));
    let check = |value: &Value| check(&set, &[("p", value.clone())]) == "holds";
    values.iter().map(check).collect()
}

#[track_caller]
fn all(rule: &str, values: &[Value]) {
    assert_eq!(holds(rule, values), vec![true; values.len()], "{values:?}");
}

#[track_caller]
fn none(rule: &str, values: &[Value]) {
    assert_eq!(holds(rule, values), vec![false; values.len()], "{values:?}");
}

#[test]
fn values_compare_as_powershell_does() {
    let one_of = r#"{ one_of = ["DB01", "Größe", 4, true, "$false", "7"] }"#;
    all(
        one_of,
        &[
            Value::text("db01"),
            Value::text("GRÖßE"),
            number("4"),
            Value::text("4"),
            Value::Bool(true),
            Value::text("$FALSE"),
            Value::Bool(false),
            number("7"),
        ],
    );
    none(
        one_of,
        &[
            Value::text("DB011"),
            Value::text("DB01 "),
            Value::text(""),
            Value::text("0x4"),
            Value::text(" 4"),
            number("4.00000000000000000001"),
            number("1"),
            Value::text("7.0"),
            Value::Null,
            // A text is no boolean: PowerShell makes `$true` of `"False"`.
            Value::text("True"),
            Value::text("$true"),
            Value::text("False"),
        ],
    );
}

/// A server may take a number for a name, as it shows it.
#[test]
fn a_number_in_another_spelling_is_another_name() {
    let others = ["12345.0", "12345.00", "1.2345e4", "123450E-1"];
    for rule in [
        r#"{ one_of = ["12345"] }"#,
        "{ one_of = [12345] }",
        "{ pattern = '12345.*|1.2345e4' }",
    ] {
        all(rule, &[number("12345"), Value::text("12345")]);
        none(rule, &others.map(number));
    }
    for rule in [r#"{ one_of = ["12345"] }"#, "{ one_of = [12345] }"] {
        none(rule, &others.map(Value::text));
    }
    // As it is written in the rule it is meant.
    all(
        "{ one_of = [2.50] }",
        &[number("2.50"), number("2.5"), Value::text("2.5")],
    );
    none(
        "{ one_of = [2.50] }",
        &[number("2.500"), Value::text("2.50")],
    );
    none(
        r#"{ one_of = ["1e2", "12345.00", "007"] }"#,
        &["1e2", "100", "12345.00", "7"].map(number),
    );
    none(
        "{ one_of = [false] }",
        &["False", "$false", "false", ""].map(Value::text),
    );
}

#[test]
fn letters_that_only_unicode_takes_for_ascii_ones_are_others() {
    none(
        r#"{ one_of = ["k", "s"] }"#,
        &[Value::text("\u{212a}"), Value::text("\u{17f}")],
    );
    none(
        "{ pattern = 'k|s' }",
        &[Value::text("\u{212a}"), Value::text("\u{17f}")],
    );
    all("{ pattern = '[é]' }", &[Value::text("É")]);
}

#[test]
fn patterns_match_whole_values_without_case() {
    let pattern = r"{ pattern = 'a|.*@emea\.example' }";
    all(pattern, &[Value::text("A"), Value::text("bo@EMEA.example")]);
    none(
        pattern,
        &[
            Value::text("ab"),
            Value::text("bo@emea.example.org"),
            Value::text("bo@emeaxexample"),
            Value::text("x\nbo@emea.example"),
            Value::text("bo@emea.example\n"),
            Value::Null,
        ],
    );
    all("{ pattern = '[0-9.]+' }", &[number("1.5")]);
    all("{ pattern = 'true' }", &[Value::Bool(true)]);
    none("{ pattern = '(?m)^a$' }", &[Value::text("a\nb")]);
}

#[test]
fn numbers_are_bounded_exactly() {
    let range = "{ min = -1.5, max = 9007199254740992 }";
    all(
        range,
        &[
            number("-1.5"),
            number("9007199254740992.0"),
            Value::text("7"),
            number("1e3"),
        ],
    );
    none(
        range,
        &[
            number("-1.50000000000000000001"),
            number("9007199254740993"),
            number("1e400"),
            number("1e99999999999999999999"),
            Value::text("7GB"),
            Value::text("Unlimited"),
            Value::Bool(true),
            Value::Null,
        ],
    );
}

#[test]
fn every_scalar_inside_a_value_counts() {
    let one_of = r#"{ one_of = ["a", "b"] }"#;
    let table = |members: &[(&str, Value)]| {
        Value::Table(
            members
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        )
    };
    let (a, c) = (Value::text("a"), Value::text("c"));
    all(
        one_of,
        &[
            list(&[a.clone(), Value::text("B")]),
            table(&[
                ("@odata.type", c.clone()),
                ("add", list(std::slice::from_ref(&a))),
            ]),
        ],
    );
    none(
        one_of,
        &[
            list(&[a.clone(), c.clone()]),
            list(&[a.clone(), list(&[list(std::slice::from_ref(&c))])]),
            list(&[a.clone(), Value::Null]),
            table(&[("add", a), ("remove", c.clone())]),
            list(&[]),
            table(&[]),
            table(&[("@odata.type", c)]),
        ],
    );
}

#[test]
fn items_are_counted_as_scalars() {
    let value = |count| list(&vec![Value::text("x"); count]);
    all("{ max_items = 2 }", &[value(1), value(2), Value::text("x")]);
    none(
        "{ max_items = 2 }",
        &[value(3), list(&[value(2), value(1)]), value(0), Value::Null],
    );
}

#[test]
fn a_value_rule_asks_for_the_parameter_unless_it_is_optional() {
    let verdict = |rule: &str| check(&set(&format!("[policy.parameters]\nP = {rule}")), &[]);
    let mut table = String::new();
    for rule in [
        r#"{ one_of = ["a", 2, true] }"#,
        r#"{ one_of = ["a"], optional = true }"#,
        "{ pattern = 'x.*', max_items = 3 }",
        "{ present = true }",
        "{ absent = true }",
        "{}",
    ] {
        writeln!(table, "{rule} -> {}", verdict(rule)).unwrap();
    }
    insta::assert_snapshot!(table, @r#"
    { one_of = ["a", 2, true] } -> `P` must be given and be one of `a`, `2`, `$true`
    { one_of = ["a"], optional = true } -> holds
    { pattern = 'x.*', max_items = 3 } -> `P` must be given and match `x.*` and have at most 3 values
    { present = true } -> `P` must be given
    { absent = true } -> holds
    {} -> holds
    "#);
}

#[test]
fn parameters_that_no_rule_names_are_blocked_and_common_ones_are_not() {
    let text = Value::text("x");
    let rules = "[policy.parameters]\nIdentity = {}\nForce = { absent = true }";
    let blocking = set(rules);
    let allowing = set(&format!("other_parameters = 'allow'\n{rules}"));
    let mut table = String::new();
    for name in [
        "identity",
        "WhatIf",
        "ERRORACTION",
        "Force",
        "Ident",
        "I",
        "F",
        "Organization",
    ] {
        let given = [(name, text.clone())];
        writeln!(
            table,
            "{name}: {} | {}",
            check(&blocking, &given),
            check(&allowing, &given)
        )
        .unwrap();
    }
    insta::assert_snapshot!(table, @"
    identity: holds | holds
    WhatIf: holds | holds
    ERRORACTION: holds | holds
    Force: `Force` must not be given | `Force` must not be given
    Ident: `Ident` could be read as `Identity`, so write parameter names in full | `Ident` could be read as `Identity`, so write parameter names in full
    I: `I` could be read as `Identity`, so write parameter names in full | `I` could be read as `Identity`, so write parameter names in full
    F: `F` could be read as `Force`, so write parameter names in full | `F` could be read as `Force`, so write parameter names in full
    Organization: `Organization` is not among the parameters it allows | holds
    ");
}

#[test]
fn no_rules_allow_all_parameters_and_an_explicit_block_allows_none() {
    let given = [("Anything", Value::Null)];
    assert_eq!(check(&set(""), &given), "holds");
    assert!(set("").policies()[0].parameters.is_empty());
    let blocking = set("other_parameters = 'block'");
    assert_eq!(
        check(&blocking, &given),
        "`Anything` is not among the parameters it allows"
    );
    assert_eq!(
        check(&blocking, &[("confirm", Value::Bool(false))]),
        "holds"
    );
}

#[test]
fn explanations_say_what_would_be_right_and_nothing_of_secrets() {
    let set = set(concat!(
        "[policy.parameters]\n",
        "TargetDatabase = { one_of = ['DB01', 'DB02'] }\n",
        "BadItemLimit = { min = 0, max = 50, optional = true }\n",
        "RoomMailboxPassword = { one_of = ['hunter2'], optional = true }\n",
    ));
    let database = ("TargetDatabase", Value::text("DB01"));
    let mut table = String::new();
    for given in [
        ("TargetDatabase", Value::text("DB09")),
        ("BadItemLimit", number("51")),
        ("BadItemLimit", number("-1")),
        ("RoomMailboxPassword", Value::text("hunter3")),
    ] {
        let given = match given.0 {
            "TargetDatabase" => vec![given],
            _ => vec![database.clone(), given],
        };
        writeln!(table, "{}", check(&set, &given)).unwrap();
    }
    for sentence in set.policies()[0].parameters.sentences() {
        writeln!(table, "- {sentence}").unwrap();
    }
    insta::assert_snapshot!(table, @"
    `TargetDatabase` must be one of `DB01`, `DB02`
    `BadItemLimit` must be at most 50
    `BadItemLimit` must be at least 0
    `RoomMailboxPassword` must be what the policy asks for
    - `TargetDatabase` must be given and be one of `DB01`, `DB02`
    - `BadItemLimit`, if given, must be at least 0 and be at most 50
    - `RoomMailboxPassword`, if given, must be what the policy asks for
    ");
}
