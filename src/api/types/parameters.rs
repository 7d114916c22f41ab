//! What parameters of commands are bound to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forms;

/// A value that a parameter is bound to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// `$true` or `$false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text.
    Text(#[schemars(length(max = 1024))] String),
}

/// What a command's parameter must be: one of some values, or matched by a pattern. One of the two is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = forms::values_or_pattern()))]
pub struct ParameterPin {
    /// The parameter's name, without case.
    #[schemars(regex(pattern = forms::PARAMETER), example = &"Identity")]
    pub name: String,
    /// The values that it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub one_of: Option<Vec<Scalar>>,
    /// A regular expression that matches its whole value, without case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,
}
