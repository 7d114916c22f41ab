//! What the management API says and is told: the JSON of requests and answers, for the gateway and for its clients alike.
//!
//! INVARIANT: what is sent to the gateway refuses unknown members, and its bounds stand here; the schemas that the gateway
//! publishes and checks bodies against are made of these types. Answers may gain members, so clients skip what they do not know.
//! Durations are in seconds, times in RFC 3339, states in lower case.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::policy::Definition;

mod notifications;

pub use notifications::{Notification, NotificationQuery, NotificationState, Retried};

/// A part of a listing. It may be short, or even empty, and not the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// What was found: requests, grants and tokens newest first, audit records oldest first.
    pub items: Vec<T>,
    /// The `cursor` of the next part, if there may be one.
    pub next: Option<String>,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestStatus {
    /// Approved: a grant was made of it, or moved.
    Approved,
    /// An approver said no.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// It waits for its approvers.
    Pending,
    /// Its requester took it back.
    Withdrawn,
}

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrantStatus {
    /// It covers commands now.
    Active,
    /// Its holder gave it back.
    Ended,
    /// Its time is over.
    Expired,
    /// It was taken away.
    Revoked,
    /// Its time is still to come.
    Scheduled,
    /// Its last use was taken.
    UsedUp,
}

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
pub struct ParameterPin {
    /// The parameter's name, without case.
    #[schemars(length(min = 1, max = 128))]
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

/// `POST /requests`: what somebody asks for. One of `task`, `policy`, `role`, `role_group`, `effect` and `extends` is given; `task`
/// may stand beside `policy`, `role`, `role_group` and `effect`, and narrows them to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// A task, such as `Exchange\New-MoveRequest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub task: Option<String>,
    /// The scope of a policy as `GET /policies` names it, such as `Exchange\Remove-*`: all that it governs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub policy: Option<String>,
    /// A role's name, such as `Exchange\Mail Recipients`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub role: Option<String>,
    /// A role group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub role_group: Option<String>,
    /// An effect, such as `exfiltrate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub effect: Option<String>,
    /// A grant of the caller's that shall last longer, by `duration_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<Uuid>,
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub reason: String,
    /// For how long; the policy's default if it is left out. At most 180 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15_552_000))]
    pub duration_seconds: Option<u32>,
    /// From when; at the approval if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<DateTime<Utc>>,
    /// For how many commands; any number if neither this nor the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub uses: Option<u32>,
    /// What the commands' parameters must be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub parameters: Vec<ParameterPin>,
    /// Take the grant without approval, in an emergency.
    #[serde(default)]
    pub break_glass: bool,
    /// What else the requester's tool tells with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 32))]
    pub context: BTreeMap<String, String>,
    /// The requester's own reference, such as a ticket's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub external_identity: Option<String>,
}

/// `POST /requests/{id}/approve`: the approval holds for what was asked, or for less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// What to say with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub comment: Option<String>,
    /// No longer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15_552_000))]
    pub duration_seconds: Option<u32>,
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<DateTime<Utc>>,
    /// No more commands than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub uses: Option<u32>,
    /// Only with these parameters, besides those of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub parameters: Vec<ParameterPin>,
    /// Only this one of the policy's tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub task: Option<String>,
}

/// A body that has only a comment, or nothing: to deny or withdraw a request; to revoke, end or review a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// What to say with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub comment: Option<String>,
}

/// `POST /grants/{id}/extend`: files a request that the grant of the caller's lasts longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub reason: String,
    /// How much longer; the policy's default if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15_552_000))]
    pub duration_seconds: Option<u32>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// Its id.
    pub id: Uuid,
    /// Where it stands.
    pub status: RequestStatus,
    /// Who asks.
    pub requester: String,
    /// The scope of the policy asked under, in lower case.
    pub policy: String,
    /// The one task asked for; none for all that the policy governs.
    pub task: Option<String>,
    /// What the commands' parameters must be.
    pub parameters: Vec<ParameterPin>,
    /// Why.
    pub reason: String,
    /// For how long; for an extension, how much longer.
    pub duration_seconds: i64,
    /// From when; none: at the approval.
    pub starts: Option<DateTime<Utc>>,
    /// For how many commands; none: any number.
    pub uses: Option<u32>,
    /// The grant that it asks to extend.
    pub extends: Option<Uuid>,
    /// Whether its grant was taken without approval.
    pub break_glass: bool,
    /// When it was filed.
    pub created: DateTime<Utc>,
    /// When it lapses if nobody decides.
    pub expires: DateTime<Utc>,
    /// When it was decided, withdrawn or found expired.
    pub decided: Option<DateTime<Utc>>,
    /// Who denied it, withdrew it or gave the last approval.
    pub decided_by: Option<String>,
    /// What they said with it.
    pub comment: Option<String>,
    /// The requester's own reference.
    pub external_identity: Option<String>,
    /// What else the requester's tool told with it.
    pub context: BTreeMap<String, String>,
    /// Whose approval it waits for still, in words.
    pub missing_approvals: Option<String>,
    /// The approvers' answers so far.
    pub votes: Vec<Vote>,
    /// Its grant; in listings always none.
    pub grant: Option<Grant>,
}

/// An approver's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VoteAnswer {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

/// An approver's answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    /// Who.
    pub approver: String,
    /// The approver groups that they are of.
    pub groups: Vec<String>,
    /// Yes or no.
    pub answer: VoteAnswer,
    /// What they said with it.
    pub comment: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// No longer than this.
    pub duration_seconds: Option<i64>,
    /// Not before this.
    pub starts: Option<DateTime<Utc>>,
    /// No more commands than this.
    pub uses: Option<u32>,
    /// Only with these parameters.
    pub parameters: Vec<ParameterPin>,
    /// Only this task.
    pub task: Option<String>,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// Its id.
    pub id: Uuid,
    /// The request that it was made of.
    pub request: Uuid,
    /// Where it stands.
    pub status: GrantStatus,
    /// Who holds it.
    pub holder: String,
    /// The scope of its policy, in lower case.
    pub policy: String,
    /// The one task that it covers; none: all that the policy governs.
    pub task: Option<String>,
    /// What the commands' parameters must be.
    pub parameters: Vec<ParameterPin>,
    /// Who approved it.
    pub approved_by: Vec<String>,
    /// When it begins.
    pub starts: DateTime<Utc>,
    /// When it is over.
    pub ends: DateTime<Utc>,
    /// How many commands it covers; none: any number.
    pub uses: Option<u32>,
    /// How many it has covered, where they are counted.
    pub used: u32,
    /// Whether it was taken without approval.
    pub break_glass: bool,
    /// Whether an approver still has to review it.
    pub awaits_review: bool,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was ended, revoked or used up.
    pub closed: Option<DateTime<Utc>>,
    /// By whom.
    pub closed_by: Option<String>,
    /// What they said with it.
    pub closed_comment: Option<String>,
    /// When it was reviewed.
    pub reviewed: Option<DateTime<Utc>>,
    /// By whom.
    pub reviewed_by: Option<String>,
    /// What they found.
    pub reviewed_comment: Option<String>,
}

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
        /// Which, and the line.
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
    /// What a blocked call does: `block` or `request`.
    pub on_block: String,
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

/// `POST /decisions/explain`: a call to judge. Nothing is run, used or recorded as a decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Whose call it would be; the caller's own if it is left out. Others' are for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub principal: Option<String>,
    /// The task, such as `Exchange\New-MoveRequest`.
    #[schemars(length(min = 1, max = 512))]
    pub task: String,
    /// The command's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 250))]
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// From where it would come; from where the caller is if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 45))]
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

/// What a token may be used for, each for itself.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TokenScope {
    /// To decide requests, revoke and review grants.
    Approve,
    /// To read the audit log.
    Audit,
    /// To change policies and access control.
    Operate,
    /// To read all else.
    Read,
    /// To file and withdraw requests; to end and extend grants.
    Request,
}

/// `POST /tokens`: a token of the caller's own, which may do what the caller may, within its scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What it may be used for.
    #[schemars(length(min = 1, max = 5))]
    pub scopes: Vec<TokenScope>,
    /// How long it is good; 30 days if it is left out, at most 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub expires_in_seconds: Option<u32>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it is no good any more.
    pub expires: DateTime<Utc>,
}

/// A token that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MadeToken {
    /// It.
    pub token: Token,
    /// What to present as `Authorization: Bearer …`. Said once; none when the request is repeated with its `Idempotency-Key`.
    pub secret: Option<String>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// What people call the caller.
    pub name: String,
    /// The `[[identity]]` that verified the credential; of a token, its owner's.
    pub identity: String,
    /// The caller's tenant, if the credential names one.
    pub tenant: Option<String>,
    /// The groups that the caller is of.
    pub groups: Vec<String>,
    /// Whether the caller keeps the gateway.
    pub operator: bool,
    /// Whether the caller may read the audit log.
    pub auditor: bool,
    /// The token that was presented, if it was one.
    pub token: Option<Token>,
}

/// `GET /login`: how to sign in here, told to everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// Each way to sign in.
    pub identities: Vec<LoginIdentity>,
}

/// A way to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginIdentity {
    /// Its name.
    pub name: String,
    /// How: with a user's name and password, or with a token of an identity provider.
    pub kind: LoginKind,
    /// How a person without a browser at hand gets a token (RFC 8628), if the provider offers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceLogin>,
}

/// How one signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoginKind {
    /// `Authorization: Basic …`
    Basic,
    /// `Authorization: Bearer …`, with a token of the identity's issuer.
    Bearer,
}

/// The device authorization grant of an identity provider ([RFC 8628]).
///
/// [RFC 8628]: https://www.rfc-editor.org/rfc/rfc8628
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceLogin {
    /// Where a code is asked for.
    pub device_authorization_endpoint: String,
    /// Where the token is asked for.
    pub token_endpoint: String,
    /// Who asks.
    pub client_id: String,
    /// What for, if it has to be said.
    pub scope: Option<String>,
}

/// What happened, as `GET /events` tells it: the `data` of one event, whose `event` is its `kind` and whose `id` its `id`.
///
/// Besides these there is the event `lost`, whose data is [`Lost`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// That of its audit record.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What, such as `request.filed`.
    pub kind: String,
    /// Who did it; none where time or the policy did.
    pub by: Option<String>,
    /// The request that it is about.
    pub request: Option<Uuid>,
    /// The grant that it is about.
    pub grant: Option<Uuid>,
    /// The scope of the policy, in lower case.
    pub policy: Option<String>,
}

/// Told where events may be missing: what is stored has to be read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lost {
    /// Why.
    pub reason: String,
}

/// An error ([RFC 9457], `application/problem+json`).
///
/// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What kind of error it is: stable, such as `urn:portcullis:problem:forbidden`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do.
    pub detail: String,
    /// All that is wrong with the request, where several things can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// What is wrong with one part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldProblem {
    /// Where: a JSON pointer into the body such as `/duration_seconds`, or `?name` of the query.
    pub pointer: String,
    /// What, and what would be right.
    pub detail: String,
}

/// Whose requests or grants are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// All that the caller may know of.
    #[default]
    Known,
    /// The caller's own.
    Mine,
    /// Pending requests that the caller may answer and has not; live grants that the caller may revoke.
    ToDecide,
}

/// The query of `GET /requests`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestQuery {
    /// Where they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RequestStatus>,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whose: Option<Whose>,
    /// The requester's name, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub principal: Option<String>,
    /// The policy's scope, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub policy: Option<String>,
    /// The one task asked for, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub task: Option<String>,
    /// Filed at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Filed before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The `next` of the part before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub cursor: Option<String>,
    /// At most this many; 50 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// The query of `GET /grants`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantQuery {
    /// Where they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GrantStatus>,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whose: Option<Whose>,
    /// Only break-glass grants that nobody has reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting_review: Option<bool>,
    /// The holder's name, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub principal: Option<String>,
    /// The policy's scope, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub policy: Option<String>,
    /// The one task that they cover, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub task: Option<String>,
    /// Made at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Made before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The `next` of the part before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub cursor: Option<String>,
    /// At most this many; 50 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// The query of `GET /audit`: records for which everything that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// The principal's name or key, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub principal: Option<String>,
    /// The task, in any case; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub task: Option<String>,
    /// The kind, such as `grant.*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub kind: Option<String>,
    /// `allow`, `block` or `report-only`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub verdict: Option<String>,
    /// The decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Uuid>,
    /// The request for access, or the HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Uuid>,
    /// The grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Uuid>,
    /// Recorded at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Recorded before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The `next` of the part before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub cursor: Option<String>,
    /// At most this many; 50 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// The query of `GET /who-can`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhoCanQuery {
    /// The task, such as `Exchange\New-MoveRequest`.
    #[schemars(length(min = 1, max = 512))]
    pub task: String,
}

/// The query of `GET /tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenQuery {
    /// Everybody's instead of the caller's own: for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
}
