//! Policies that operators make while the gateway runs: kept in the store, read by the same reader as policy files.

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::{REDACTED, Redaction};

/// A policy in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPolicy {
    /// What it says.
    pub definition: Definition,
    /// The name of the operator who changed it last.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A policy as it is written, with the keys of a `[[policy]]` in a file. What is wrong with it, reading tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["approval"], "oneOf" = one_scope()))]
pub struct Definition {
    /// A task, or a pattern of tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z][A-Za-z0-9_]{0,127}\\[A-Za-z0-9*-]{1,128}$"), example = &r"Exchange\Remove-*")]
    pub task: Option<String>,
    /// A role's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub role: Option<String>,
    /// A role group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub role_group: Option<String>,
    /// An effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["change", "destroy", "exfiltrate", "grant-privilege", "read", null]))]
    pub effect: Option<String>,
    /// `auto`, `manual` or `never`.
    #[schemars(extend("enum" = ["auto", "manual", "never"]))]
    pub approval: String,
    /// Groups that approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub approvers: Option<Vec<String>>,
    /// How many approvals, per group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub approvals: Option<u32>,
    /// The longest grant, such as `8h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{1,6}[mhd]$"), example = &"8h")]
    pub max_duration: Option<String>,
    /// How long a grant lasts when the request does not say, such as `4h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{1,6}[mhd]$"), example = &"4h")]
    pub default_duration: Option<String>,
    /// Its blocks are recorded but not enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_only: Option<bool>,
    /// Groups whose members may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub requesters: Option<Vec<String>>,
    /// `optional` or `required`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["optional", "required", null]))]
    pub approver_comment: Option<String>,
    /// Groups whose members may take a grant without an approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub break_glass: Option<Vec<String>>,
    /// `block`, `hold` or `request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["block", "hold", "request", null]))]
    pub on_block: Option<String>,
    /// With `on_block` `hold`: how many seconds a call in a session waits for its approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_600))]
    pub hold_seconds: Option<u32>,
    /// The most uses that a grant can have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_uses: Option<u32>,
    /// What happens to a parameter that no rule names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["allow", "block", null]))]
    pub other_parameters: Option<String>,
    // Tables come last, as TOML wants them.
    /// What a request's reason has to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonDefinition>,
    /// How much may be done under one grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<SpreadDefinition>,
    /// Rules for parameters, by their names, with the keys of a `[policy.parameters]` in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules")]
    pub parameters: Option<toml::Table>,
    /// When grants cover commands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub windows: Vec<WindowDefinition>,
}

/// `[policy.reason]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReasonDefinition {
    /// Whether there has to be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// How long it has to be, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub min_length: Option<u32>,
    /// A regular expression that it has to match somewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub pattern: Option<String>,
    /// What people are told of the expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `[policy.spread]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpreadDefinition {
    /// Calls in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub calls_per_minute: Option<u32>,
    /// Calls in the grant's whole life.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub calls_per_grant: Option<u32>,
    /// Different identities in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub identities_per_minute: Option<u32>,
    /// Different identities in the grant's whole life.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub identities_per_grant: Option<u32>,
}

/// `[[policy.windows]]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["from", "to"]))]
pub struct WindowDefinition {
    /// Days of the week, such as `mon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 7))]
    pub days: Option<Vec<String>>,
    /// When it begins, such as `08:00`.
    #[schemars(regex(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"), example = &"08:00")]
    pub from: String,
    /// When it ends, such as `18:00`.
    #[schemars(regex(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"), example = &"18:00")]
    pub to: String,
    /// Whose time it is, such as `Europe/Berlin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), example = &"Europe/Berlin")]
    pub zone: Option<String>,
}

/// Rules for parameters, as JSON Schema says them: each parameter's is a table of its own.
fn rules(_: &mut SchemaGenerator) -> Schema {
    // Up to here, JSON readers agree on what a number is, and TOML has it.
    const EXACT: i64 = 9_007_199_254_740_991;
    let number = json!({ "type": "number", "minimum": -EXACT, "maximum": EXACT });
    let rule = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "absent": { "const": true, "type": "boolean" },
            "max": number,
            "max_items": { "type": "integer", "minimum": 0, "maximum": 1_000_000 },
            "min": number,
            "one_of": {
                "type": "array",
                "minItems": 1,
                "items": { "anyOf": [{ "type": "string" }, number, { "type": "boolean" }] }
            },
            "optional": { "type": "boolean" },
            "pattern": { "type": "string", "minLength": 1, "maxLength": 4096 },
            "present": { "const": true, "type": "boolean" }
        }
    });
    json_schema!({
        "type": ["object", "null"],
        "additionalProperties": rule,
        "propertyNames": { "pattern": "^[A-Za-z][A-Za-z0-9_]{0,127}$", "examples": ["Identity"] }
    })
}

/// A policy has one scope, as JSON Schema says it.
fn one_scope() -> Value {
    const SCOPES: [&str; 4] = ["task", "role", "role_group", "effect"];
    let alternatives = SCOPES.map(|scope| {
        let members = SCOPES.map(|it| {
            let kind = if it == scope { "string" } else { "null" };
            (it.to_owned(), json!({ "type": kind }))
        });
        json!({ "required": [scope], "properties": Map::from_iter(members) })
    });
    alternatives.into_iter().collect()
}

/// The keys of a rule that say values.
const VALUED: [&str; 4] = ["max", "min", "one_of", "pattern"];

impl Definition {
    /// It, as it is shown to who may not read what `redaction` hides: of rules on such parameters, not the values.
    #[must_use]
    pub fn without(mut self, redaction: &Redaction) -> Self {
        let rules = self.parameters.iter_mut().flatten();
        for (_, rule) in rules.filter(|it| redaction.hides_whole(it.0)) {
            let toml::Value::Table(keys) = rule else {
                *rule = toml::Value::from(REDACTED);
                continue;
            };
            for (_, value) in keys.iter_mut().filter(|it| VALUED.contains(&it.0.as_str())) {
                *value = if value.is_array() {
                    toml::Value::Array(vec![REDACTED.into()])
                } else {
                    REDACTED.into()
                };
            }
        }
        self
    }

    /// The scope as listings and grants name it, in lower case: `exchange\new-moverequest`, `role:exchange\mail recipients`.
    /// `None` where it has no scope.
    pub fn folded_scope(&self) -> Option<String> {
        let named = |prefix: &str, name: &Option<String>| {
            name.as_ref()
                .map(|it| format!("{prefix}{it}").to_ascii_lowercase())
        };
        named("", &self.task)
            .or_else(|| named("role:", &self.role))
            .or_else(|| named("role-group:", &self.role_group))
            .or_else(|| named("effect:", &self.effect))
    }

    /// The definition as a policy file has it.
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct File<'a> {
            policy: [&'a Definition; 1],
        }
        // Only a value that TOML cannot express fails, and there is none in a definition; an empty text defines nothing.
        toml::to_string(&File { policy: [self] }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_rules_on_what_is_hidden_only_the_values_are_not_shown() {
        let definition: Definition = toml::from_str(
            r#"
            task = 'Exchange\Set-Mailbox'
            approval = "manual"
            [parameters]
            CostCentre = { one_of = ["4711", "4712"], max_items = 3 }
            Office = { pattern = "B.*" }
            Password = { pattern = "geheim", optional = true }
            Pin = { min = "1", max = "9" }
            "#,
        )
        .unwrap();
        let redaction = Redaction::new(&["costcentre".to_owned()]);
        let shown = json!(definition.without(&redaction).parameters);
        let expected = json!({
            "CostCentre": {"one_of": ["[redacted]"], "max_items": 3},
            "Office": {"pattern": "B.*"},
            "Password": {"pattern": "[redacted]", "optional": true},
            "Pin": {"min": "[redacted]", "max": "[redacted]"},
        });
        assert_eq!(shown, expected);
    }
}
