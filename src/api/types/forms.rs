//! Forms of texts and of objects, as JSON Schema (2020-12) says them: what is sent has one of them, and is refused otherwise.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A task: `Workload\Verb-Noun`, as `model::Task` reads it.
pub(super) const TASK: &str = r"^[A-Za-z][A-Za-z0-9_]{0,127}\\[A-Za-z]{1,63}-[A-Za-z0-9]{1,64}$";

/// A parameter's name, as `model::ParameterName` reads it.
pub(super) const PARAMETER: &str = "^[A-Za-z][A-Za-z0-9_]{0,127}$";

/// Where a search of the audit log goes on: a record's number, its time in microseconds since the Unix epoch, its node.
pub(super) const AUDIT_CURSOR: &str = "^[0-9]{1,19}~[0-9]{1,16}~[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

/// An IP address, or none.
pub(super) fn maybe_address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "type": "string", "format": "ipv4" },
        { "type": "string", "format": "ipv6" },
        { "type": "null" }
    ] })
}

/// Which members of a new request go together: it names one thing, and a task may narrow it; an extension changes nothing else.
pub(super) fn one_thing_asked_for() -> Value {
    let named = |name: &str| {
        let mut members = serde_json::Map::new();
        for other in ["policy", "role", "role_group", "effect", "extends"] {
            members.insert(other.to_owned(), json!({ "type": "null" }));
        }
        members.insert(name.to_owned(), json!({ "type": "string" }));
        json!({ "required": [name], "properties": members })
    };
    let mut things: Vec<Value> = ["task", "policy", "role", "role_group", "effect"]
        .map(named)
        .into();
    things.push(json!({
        "required": ["extends"],
        "properties": {
            "extends": { "type": "string" },
            "task": { "type": "null" },
            "policy": { "type": "null" },
            "role": { "type": "null" },
            "role_group": { "type": "null" },
            "effect": { "type": "null" },
            "starts": { "type": "null" },
            "uses": { "type": "null" },
            "parameters": { "maxItems": 0 },
            "break_glass": { "const": false }
        }
    }));
    Value::Array(things)
}

/// A pin has one of its two kinds of bounds.
pub(super) fn values_or_pattern() -> Value {
    json!([
        { "required": ["one_of"], "properties": { "one_of": { "type": "array" }, "pattern": { "type": "null" } } },
        { "required": ["pattern"], "properties": { "pattern": { "type": "string" }, "one_of": { "type": "null" } } }
    ])
}
