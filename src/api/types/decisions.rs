//! What would happen to a call, and who has to do with a task.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Exemption, Grant, forms};

/// `POST /decisions/explain`: a call to judge. Nothing is run, used or recorded as a decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Whose call it would be; the caller's own if it is left out. Others' are for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub principal: Option<String>,
    /// The task, such as `Exchange\New-MoveRequest`.
    #[schemars(regex(pattern = forms::TASK), example = &r"Exchange\New-MoveRequest")]
    pub task: String,
    /// The command's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 250, "propertyNames" = { "pattern": forms::PARAMETER, "examples": ["Identity"] }))]
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// From where it would come; from where the caller is if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "forms::maybe_address")]
    pub source: Option<String>,
    /// When; now if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

/// What would happen to a call, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// `allow`, `block` or `report-only`.
    pub verdict: String,
    /// The rule that decides, such as `needs-approval`.
    pub rule: String,
    /// The policy that governs.
    pub policy: Option<String>,
    /// The grant that covers it.
    pub grant: Option<Uuid>,
    /// What a blocked caller is told.
    pub explanation: Option<String>,
    /// How the decision comes about, up to the step that decides.
    pub steps: Vec<ExplanationStep>,
    /// What the caller can do next.
    pub next: Vec<String>,
}

/// A step of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplanationStep {
    /// What it looks at.
    pub what: String,
    /// What it finds.
    pub found: String,
    /// Whether it decides.
    pub decides: bool,
}

/// The query of `GET /who-can`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhoCanQuery {
    /// The task, such as `Exchange\New-MoveRequest`.
    #[schemars(regex(pattern = forms::TASK), example = &r"Exchange\New-MoveRequest")]
    pub task: String,
}

/// Who has to do with a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhoCan {
    /// The task.
    pub task: String,
    /// What it does, whatever its parameters are.
    pub effect: String,
    /// The policies that govern its commands; none if it is ungoverned.
    pub policies: Vec<WhoCanPolicy>,
    /// Exemptions for it, if the caller is of a group, or an operator.
    pub exemptions: Vec<Exemption>,
    /// Grants for it in force now or later that the caller may know of.
    pub grants: Vec<Grant>,
}

/// Who has to do with a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoCanPolicy {
    /// Its scope.
    pub scope: String,
    /// `auto`, `manual` or `never`.
    pub approval: String,
    /// Groups whose members may ask; none: everybody.
    pub requesters: Vec<String>,
    /// Groups that approve.
    pub approvers: Vec<String>,
    /// Groups whose members may take a grant without approval.
    pub break_glass: Vec<String>,
    /// The parameters for which it governs, if only for some.
    pub parameters: Vec<String>,
}
