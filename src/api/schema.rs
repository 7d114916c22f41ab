//! The shapes of bodies and queries as JSON schemas, made from the types, and the check against them that tells all that is wrong
//! at once. What is published is what is checked.

use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::api::types::{self, FieldProblem};

/// Where schemas are referred to.
const COMPONENTS: &str = "#/components/schemas/";

/// Problems of one request that are told.
const MOST_TOLD: usize = 50;

/// All schemas, by name.
pub(super) fn schemas() -> &'static Map<String, Value> {
    static SCHEMAS: OnceLock<Map<String, Value>> = OnceLock::new();
    SCHEMAS.get_or_init(make)
}

fn make() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12()
        .with(|it| it.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    add::<types::NewRequest>(&mut generator);
    add::<types::Approval>(&mut generator);
    add::<types::Remark>(&mut generator);
    add::<types::Extension>(&mut generator);
    add::<types::AccessControlSwitch>(&mut generator);
    add::<types::Explain>(&mut generator);
    add::<types::NewToken>(&mut generator);
    add::<crate::policy::Definition>(&mut generator);
    add::<types::RequestQuery>(&mut generator);
    add::<types::GrantQuery>(&mut generator);
    add::<types::AuditQuery>(&mut generator);
    add::<types::WhoCanQuery>(&mut generator);
    add::<types::TokenQuery>(&mut generator);
    add::<types::NotificationQuery>(&mut generator);
    add::<types::Page<types::Notification>>(&mut generator);
    add::<types::Retried>(&mut generator);
    add::<types::Request>(&mut generator);
    add::<types::Page<types::Request>>(&mut generator);
    add::<types::Page<types::Grant>>(&mut generator);
    add::<types::Page<types::Policy>>(&mut generator);
    add::<types::Page<types::Group>>(&mut generator);
    add::<types::Page<types::Exemption>>(&mut generator);
    add::<types::Page<types::Token>>(&mut generator);
    add::<types::Page<Map<String, Value>>>(&mut generator);
    add::<types::AccessControl>(&mut generator);
    add::<types::Explanation>(&mut generator);
    add::<types::WhoCan>(&mut generator);
    add::<types::MadeToken>(&mut generator);
    add::<types::Me>(&mut generator);
    add::<types::Login>(&mut generator);
    add::<types::Event>(&mut generator);
    add::<types::Lost>(&mut generator);
    add::<types::Problem>(&mut generator);
    let mut schemas = generator.take_definitions(true);
    for (name, schema) in &mut schemas {
        if is_sent(name) {
            forbid_nul(schema);
        }
    }
    schemas
}

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

/// Whether the schema is one of what is sent to the gateway.
fn is_sent(name: &str) -> bool {
    const SENT: &[&str] = &[
        "AccessControlSwitch",
        "Approval",
        "Definition",
        "Explain",
        "Extension",
        "NewRequest",
        "NewToken",
        "ParameterPin",
        "ReasonDefinition",
        "Remark",
        "Scalar",
        "WindowDefinition",
    ];
    SENT.contains(&name) || name.ends_with("Query")
}

/// No store keeps the character U+0000 in a text, so none is taken.
fn forbid_nul(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let is_text = match members.get("type") {
                Some(Value::String(kind)) => kind == "string",
                Some(Value::Array(kinds)) => kinds.iter().any(|it| it == "string"),
                _ => false,
            };
            if is_text
                && !["format", "enum", "const"]
                    .iter()
                    .any(|it| members.contains_key(*it))
            {
                members.insert("pattern".to_owned(), Value::from("^[^\\u0000]*$"));
            }
            members.values_mut().for_each(forbid_nul);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_nul),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// A reference to the schema of `T`.
pub(super) fn reference<T: JsonSchema>() -> Value {
    serde_json::json!({ "$ref": format!("{COMPONENTS}{}", T::schema_name()) })
}

/// The schema of `T`.
pub(super) fn of<T: JsonSchema>() -> Option<&'static Value> {
    schemas().get(T::schema_name().as_ref())
}

/// What `schema` refers to, if it only refers, or is that or null.
pub(super) fn resolved(schema: &'static Value) -> &'static Value {
    if let Some(Value::String(path)) = schema.get("$ref")
        && let Some(found) = path
            .strip_prefix(COMPONENTS)
            .and_then(|it| schemas().get(it))
    {
        return resolved(found);
    }
    if let Some(Value::Array(choices)) = schema.get("anyOf")
        && let [one, null] = choices.as_slice()
        && null.get("type").is_some_and(|it| it == "null")
    {
        return resolved(one);
    }
    schema
}

/// All that is wrong with `value` as a `T`.
pub(super) fn check<T: JsonSchema>(value: &Value) -> Vec<FieldProblem> {
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
            let all: Vec<String> = choices.iter().map(|it| shown(it)).collect();
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
            let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
            if let Some(problem) =
                length_problem(length, bound("minLength"), bound("maxLength"), "characters")
            {
                tell(problem);
            }
            if text.contains('\0') {
                tell("must not contain the character U+0000".to_owned());
            }
            match schema.get("format").and_then(Value::as_str) {
                Some("uuid") if uuid::Uuid::try_parse(text).is_err() || text.len() != 36 => {
                    tell(
                        "must be an id, such as `0190b2c4-7d3e-7a51-9c1b-2f6d8e4a1b77`".to_owned(),
                    );
                }
                Some("date-time") if text.parse::<DateTime<Utc>>().is_err() => {
                    tell("must be a time with its zone, such as `2027-03-31T08:00:00Z`".to_owned());
                }
                _ => {}
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

fn check_members(
    schema: &'static Value,
    members: &Map<String, Value>,
    pointer: &str,
    problems: &mut Vec<FieldProblem>,
) {
    let known = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    for (name, value) in members {
        let at = format!("{pointer}/{}", segment(name));
        let own = known.and_then(|it| it.get(name));
        match own.or(others) {
            Some(Value::Bool(false)) => {
                let names: Vec<&str> = known
                    .into_iter()
                    .flat_map(|it| it.keys())
                    .map(String::as_str)
                    .collect();
                problems.push(FieldProblem {
                    pointer: at,
                    detail: format!("is not known here; known are {}", names.join(", ")),
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
pub(super) fn segment(name: &str) -> String {
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
            "integer" => value.is_i64() || value.is_u64(),
            "null" => value.is_null(),
            "number" => value.is_number(),
            "object" => value.is_object(),
            "string" => value.is_string(),
            _ => false,
        })
}

fn expected(schema: &Value) -> &'static str {
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
pub(super) fn from_text(schema: &'static Value, text: &str) -> Value {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

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
