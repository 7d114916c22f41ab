//! Policies, and what stands beside them: groups, exemptions, the switch.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::Definition;

/// What kind of scope a policy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// All commands of one effect.
    Effect,
    /// All tasks that a pattern matches.
    Pattern,
    /// The tasks of a role.
    Role,
    /// The tasks of the roles of a role group.
    RoleGroup,
    /// One task.
    Task,
}

/// Who wrote a policy, and so who alone changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum PolicySource {
    /// A policy file.
    File {
        /// Its path and the line, for auditors and operators; for others its name.
        place: String,
    },
    /// An operator, by a cmdlet or through this API.
    Store {
        /// Who changed it last.
        by: String,
        /// When.
        at: DateTime<Utc>,
    },
}

/// A policy in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// Its scope as it is written, such as `Exchange\Remove-*` or `role:Exchange\Mail Recipients`.
    pub scope: String,
    /// What kind of scope it is.
    pub kind: PolicyKind,
    /// `auto`, `manual` or `never`.
    pub approval: String,
    /// Groups that approve.
    pub approvers: Vec<String>,
    /// How many approvals, per group.
    pub approvals: u32,
    /// How long a grant lasts when the request does not say.
    pub default_duration_seconds: u64,
    /// The longest grant.
    pub max_duration_seconds: Option<u64>,
    /// Groups whose members may ask; none: everybody.
    pub requesters: Vec<String>,
    /// Groups whose members may take a grant without approval.
    pub break_glass: Vec<String>,
    /// Whether a request needs a reason.
    pub reason_required: bool,
    /// `optional` or `required`.
    pub approver_comment: String,
    /// What a blocked call does: `block`, `hold` or `request`.
    pub on_block: String,
    /// With `hold`: how long a call in a session waits for its approval.
    pub hold_seconds: Option<u64>,
    /// The most uses of a grant.
    pub max_uses: Option<u32>,
    /// Whether its blocks are recorded and not enforced.
    pub report_only: bool,
    /// What must hold of a command's parameters, in words.
    pub parameter_rules: Vec<String>,
    /// Who wrote it.
    pub source: PolicySource,
    /// What it was made from, if it is one of the store: what `PUT` takes.
    pub definition: Option<Definition>,
    /// What `If-Match` takes, if it is one of the store; the `ETag` header says the same.
    pub etag: Option<String>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Where requests are announced.
    pub email: Option<String>,
    /// Its members, if the caller is one of any group, or an operator.
    pub members: Option<Vec<String>>,
    /// A group id in tokens that makes a member, shown to the same people.
    pub claim: Option<String>,
}

/// An account that needs no grant, within bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exemption {
    /// Whose.
    pub account: String,
    /// Who answers for it.
    pub owner: String,
    /// Why there is one.
    pub reason: String,
    /// Its last day (UTC); none if it has no end.
    pub expires: Option<String>,
    /// Networks that it is bound to; none: any.
    pub from: Vec<String>,
    /// Tasks that it is bound to; none: any.
    pub tasks: Vec<String>,
}

/// `PUT /access-control`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessControlSwitch {
    /// Whether commands are controlled, as the configuration says.
    pub enabled: bool,
}

/// What the gateway does with decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccessControlMode {
    /// Nothing is controlled; everything is still recorded.
    Disabled,
    /// Decisions hold.
    Enforce,
    /// Decisions are recorded, and blocks are not enforced.
    ReportOnly,
}

/// Whether and how commands are controlled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessControl {
    /// Whether commands are controlled.
    pub enabled: bool,
    /// How.
    pub mode: AccessControlMode,
    /// How many policies there are.
    pub policies: usize,
    /// The hash of all policies, groups and exemptions.
    pub policy_set: String,
}

/// The query of `GET /policies`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuery {
    /// The `next` of the part before: only policies whose scopes come after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 600))]
    pub cursor: Option<String>,
    /// At most this many; 50 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}
