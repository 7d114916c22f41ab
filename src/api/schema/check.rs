//! The check of a value against its published schema: it tells all that is wrong at once, in words.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use regex::Regex;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::api::types::FieldProblem;

use super::{of, resolved, schemas};

/// Problems of one request that are told.
const MOST_TOLD: usize = 50;

/// All that is wrong with `value` as a `T`.
pub(in crate::api) fn check<T: JsonSchema>(value: &Value) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    if let Some(schema) = of::<T>() {
        check_value(schema, value, "", &mut problems);
    }
    problems.truncate(MOST_TOLD);
    problems
}

fn check_value(
    schema: &'static Value,
    value: &Value,
    pointer: &str,
    problems: &mut Vec<FieldProblem>,
) {
    if problems.len() >= MOST_TOLD {
        return;
    }
    if value.is_null() && allows_null(schema) {
        return;
    }
    let schema = resolved(schema);
    let mut tell = |detail: String| {
        problems.push(FieldProblem {
            pointer: pointer.to_owned(),
            detail,
        });
    };
    if let Some(choices) = choices(schema) {
        if !choices.contains(&value) {
            let texts = choices.iter().filter(|it| !it.is_null());
            let all: Vec<String> = texts.map(|it| shown(it)).collect();
            tell(format!("must be one of {}", all.join(", ")));
        }
        return;
    }
    if let Some(Value::Array(alternatives)) = schema.get("anyOf") {
        let fits = |it: &'static Value| {
            let mut wrong = Vec::new();
            check_value(it, value, pointer, &mut wrong);
            wrong.is_empty()
        };
        if !alternatives.iter().any(fits) {
            let kinds: Vec<&str> = alternatives.iter().map(|it| expected(it)).collect();
            tell(format!("must be {}", kinds.join(" or ")));
        }
        return;
    }
    if !is_kind(schema, value) {
        tell(format!(
            "must be {}, not {}",
            expected(schema),
            kind_of(value)
        ));
        return;
    }
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    match value {
        Value::String(text) => {
            if let Some(problem) = text_problem(schema, text) {
                tell(problem);
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
            let least = limit("minimum").is_some_and(|it| number < it);
            let most = limit("maximum").is_some_and(|it| number > it);
            if least || most {
                let bounds = [("minimum", "at least"), ("maximum", "at most")];
                let told: Vec<String> = bounds
                    .iter()
                    .filter_map(|(name, word)| Some(format!("{word} {}", schema.get(*name)?)))
                    .collect();
                tell(format!("must be {}", told.join(" and ")));
            }
        }
        Value::Array(items) => {
            let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
            if let Some(problem) =
                length_problem(length, bound("minItems"), bound("maxItems"), "items")
            {
                tell(problem);
            }
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    check_value(schema, item, &format!("{pointer}/{index}"), problems);
                }
            }
        }
        Value::Object(members) => {
            let length = u64::try_from(members.len()).unwrap_or(u64::MAX);
            if let Some(problem) = length_problem(
                length,
                bound("minProperties"),
                bound("maxProperties"),
                "members",
            ) {
                tell(problem);
            }
            check_members(schema, members, pointer, problems);
        }
        Value::Bool(_) | Value::Null => {}
    }
}

fn text_problem(schema: &Value, text: &str) -> Option<String> {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    if let Some(problem) =
        length_problem(length, bound("minLength"), bound("maxLength"), "characters")
    {
        return Some(problem);
    }
    if text.contains('\0') {
        return Some("must not contain the character U+0000".to_owned());
    }
    let word = |name: &str| schema.get(name).and_then(Value::as_str);
    if let Some(pattern) = word("pattern") {
        let compiled = patterns().get(pattern).and_then(Option::as_ref);
        if !compiled.is_some_and(|it| it.is_match(text)) {
            let example = schema.get("examples").and_then(|it| it.get(0)?.as_str());
            return Some(match example {
                Some(example) => format!("must be written like `{example}`"),
                None => format!("must match `{pattern}`"),
            });
        }
    }
    let problem = match word("format") {
        Some("uuid") if uuid::Uuid::try_parse(text).is_err() || text.len() != 36 => {
            "must be an id, such as `0190b2c4-7d3e-7a51-9c1b-2f6d8e4a1b77`"
        }
        Some("date-time") if text.parse::<DateTime<Utc>>().is_err() => {
            "must be a time with its zone, such as `2027-03-31T08:00:00Z`"
        }
        Some("ipv4") if text.parse::<Ipv4Addr>().is_err() => {
            "must be an IPv4 address, such as `192.0.2.7`"
        }
        Some("ipv6") if text.parse::<Ipv6Addr>().is_err() => {
            "must be an IPv6 address, such as `2001:db8::7`"
        }
        _ => return None,
    };
    Some(problem.to_owned())
}

fn check_members(
    schema: &'static Value,
    members: &Map<String, Value>,
    pointer: &str,
    problems: &mut Vec<FieldProblem>,
) {
    let known = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    let names = schema.get("propertyNames");
    for (name, value) in members {
        let at = format!("{pointer}/{}", segment(name));
        if let Some(problem) = names.and_then(|it| text_problem(it, name)) {
            problems.push(FieldProblem {
                pointer: at.clone(),
                detail: format!("its name {problem}"),
            });
        }
        let own = known.and_then(|it| it.get(name));
        match own.or(others) {
            Some(Value::Bool(false)) => {
                let all: Vec<&str> = known
                    .into_iter()
                    .flat_map(|it| it.keys())
                    .map(String::as_str)
                    .collect();
                problems.push(FieldProblem {
                    pointer: at,
                    detail: format!("is not known here; known are {}", all.join(", ")),
                });
            }
            Some(schema) => check_value(schema, value, &at, problems),
            None => {}
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            problems.push(FieldProblem {
                pointer: format!("{pointer}/{name}"),
                detail: "is missing".to_owned(),
            });
        }
    }
}

/// A member's name as a part of a JSON pointer, cut where it is too long to be a member's of ours.
pub(in crate::api) fn segment(name: &str) -> String {
    const LONGEST: usize = 64;
    let cut: String = name.chars().take(LONGEST).collect();
    cut.replace('~', "~0").replace('/', "~1")
}

fn length_problem(length: u64, least: Option<u64>, most: Option<u64>, of: &str) -> Option<String> {
    match (least, most) {
        (Some(least), _) if length < least => Some(format!("must have at least {least} {of}")),
        (_, Some(most)) if length > most => {
            Some(format!("must have at most {most} {of}, and has {length}"))
        }
        _ => None,
    }
}

fn allows_null(schema: &Value) -> bool {
    let is_null = |it: &Value| it == "null";
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_null),
        Some(kind) => is_null(kind),
        None => schema
            .get("anyOf")
            .and_then(Value::as_array)
            .is_some_and(|it| it.iter().any(allows_null)),
    }
}

/// The only values that are allowed, if they are listed.
fn choices(schema: &'static Value) -> Option<Vec<&'static Value>> {
    if let Some(Value::Array(values)) = schema.get("enum") {
        return Some(values.iter().collect());
    }
    if let Some(only) = schema.get("const") {
        return Some(vec![only]);
    }
    let one_of = schema.get("oneOf").and_then(Value::as_array)?;
    one_of.iter().map(|it| it.get("const")).collect()
}

fn kinds(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_kind(schema: &Value, value: &Value) -> bool {
    let kinds = kinds(schema);
    kinds.is_empty()
        || kinds.iter().any(|kind| match *kind {
            "array" => value.is_array(),
            "boolean" => value.is_boolean(),
            "integer" => whole(value).is_some(),
            "null" => value.is_null(),
            "number" => value.is_number(),
            "object" => value.is_object(),
            "string" => value.is_string(),
            _ => false,
        })
}

/// A number without a fraction, however it is written: to JSON Schema, `4.0` is the integer 4.
fn whole(value: &Value) -> Option<Value> {
    /// From here on, a float does not tell a number from the next.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.is_i64() || value.is_u64() {
        return Some(value.clone());
    }
    let number = value.as_f64()?;
    let is_whole = number.fract() == 0.0 && number.abs() < EXACT;
    is_whole.then(|| format!("{number:.0}").parse().ok())?
}

/// Writes the whole numbers of `value` as such, where `schema` asks for them.
pub(in crate::api) fn settle(schema: &'static Value, value: &mut Value) {
    let schema = resolved(schema);
    if kinds(schema).contains(&"integer")
        && let Some(number) = whole(value)
    {
        *value = number;
        return;
    }
    match value {
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    settle(schema, item);
                }
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let own = schema.get("properties").and_then(|it| it.get(name));
                if let Some(schema) = own.or_else(|| schema.get("additionalProperties")) {
                    settle(schema, value);
                }
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn expected(schema: &Value) -> &'static str {
    match schema.get("format").and_then(Value::as_str) {
        Some("ipv4") => return "an IPv4 address",
        Some("ipv6") => return "an IPv6 address",
        _ => {}
    }
    match kinds(schema).iter().find(|it| **it != "null") {
        Some(&"array") => "a list",
        Some(&"boolean") => "true or false",
        Some(&"integer") => "a whole number",
        Some(&"number") => "a number",
        Some(&"object") => "an object",
        Some(&"string") => "a text",
        _ => "something else",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
        Value::Number(_) => "such a number",
        Value::Object(_) => "an object",
        Value::String(_) => "a text",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    }
}

/// What a text of a query means as a value of `schema`; a text that does not fit stays one, and is told by [`check`].
pub(in crate::api) fn from_text(schema: &'static Value, text: &str) -> Value {
    let kinds = kinds(resolved(schema));
    let read = if kinds.contains(&"integer") {
        text.parse::<u64>().ok().map(Value::from)
    } else if kinds.contains(&"boolean") {
        text.parse::<bool>().ok().map(Value::from)
    } else {
        None
    };
    read.unwrap_or_else(|| Value::from(text))
}

/// The published patterns, compiled; one that this engine cannot read matches nothing.
fn patterns() -> &'static HashMap<&'static str, Option<Regex>> {
    fn collect(schema: &'static Value, found: &mut HashMap<&'static str, Option<Regex>>) {
        match schema {
            Value::Object(members) => {
                if let Some(Value::String(pattern)) = members.get("pattern") {
                    found.insert(pattern, Regex::new(pattern).ok());
                }
                members.values().for_each(|it| collect(it, found));
            }
            Value::Array(items) => items.iter().for_each(|it| collect(it, found)),
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
        }
    }
    static PATTERNS: OnceLock<HashMap<&str, Option<Regex>>> = OnceLock::new();
    PATTERNS.get_or_init(|| {
        let mut found = HashMap::new();
        schemas().values().for_each(|it| collect(it, &mut found));
        found
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::types;

    use super::*;

    fn problems<T: JsonSchema>(value: &Value) -> Vec<String> {
        let problems = check::<T>(value);
        problems
            .iter()
            .map(|it| format!("{} {}", it.pointer, it.detail))
            .collect()
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let wrong = json!({
            "task": 7, "extends": "no", "reason": "r".repeat(2001), "duration_seconds": 0, "starts": "today",
            "uses": -1, "break_glass": null, "color": "red",
            "parameters": [{"pattern": "", "more": 1}, {"name": "A", "one_of": [[]]}],
            "context": {"a": 1}
        });
        insta::assert_snapshot!(problems::<types::NewRequest>(&wrong).join("\n"));
    }

    #[test]
    fn what_types_write_fits_their_schemas() {
        let request = types::NewRequest {
            task: Some(r"Exchange\New-MoveRequest".to_owned()),
            reason: "because".to_owned(),
            parameters: vec![types::ParameterPin {
                name: "Identity".to_owned(),
                one_of: Some(vec![
                    types::Scalar::Text("alice".to_owned()),
                    types::Scalar::Bool(true),
                ]),
                pattern: None,
            }],
            ..types::NewRequest::default()
        };
        let written = serde_json::to_value(&request).unwrap();
        assert_eq!(
            problems::<types::NewRequest>(&written),
            Vec::<String>::new()
        );
        assert_eq!(
            serde_json::from_value::<types::NewRequest>(written).unwrap(),
            request
        );
    }

    #[test]
    fn no_text_has_a_nul() {
        let told = problems::<types::Remark>(&json!({"comment": "a\0b"}));
        assert_eq!(told, ["/comment must not contain the character U+0000"]);
        let told = problems::<types::NewRequest>(&json!({"context": {"a": "\0"}}));
        assert_eq!(told, ["/context/a must not contain the character U+0000"]);
    }
}
