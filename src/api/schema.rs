//! The shapes of bodies and queries as JSON schemas, made from the types. What is published is what is checked; only which members
//! go together (`oneOf`) is told by those who read them, in words.

mod check;

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::api::types;

pub(super) use check::{check, from_text, segment, settle};

/// Where schemas are referred to.
const COMPONENTS: &str = "#/components/schemas/";

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
    add::<types::PolicyQuery>(&mut generator);
    add::<types::WhoCanQuery>(&mut generator);
    add::<types::TokenQuery>(&mut generator);
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
            forget_defaults(schema);
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
    SENT.contains(&name) || name.contains("Query")
}

/// What texts match that say nothing closer: no store keeps the character U+0000, so none is taken.
const ANY_TEXT: &str = "^[^\\u0000]*$";

fn forbid_nul(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let is_text = match members.get("type") {
                Some(Value::String(kind)) => kind == "string",
                Some(Value::Array(kinds)) => kinds.iter().any(|it| it == "string"),
                _ => false,
            };
            if is_text
                && !["format", "enum", "const", "pattern"]
                    .iter()
                    .any(|it| members.contains_key(*it))
            {
                members.insert("pattern".to_owned(), Value::from(ANY_TEXT));
            }
            // Alternatives only say which members go together.
            let parts = members.iter_mut().filter(|(name, _)| *name != "oneOf");
            parts.for_each(|(_, part)| forbid_nul(part));
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_nul),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is not sent is not there: where the types have an empty text or null instead, that is nobody's business.
fn forget_defaults(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let is_empty = |it: &Value| it.is_null() || it == "";
            if members.get("default").is_some_and(is_empty) {
                members.remove("default");
            }
            members.values_mut().for_each(forget_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_defaults),
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
