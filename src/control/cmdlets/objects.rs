//! What the gateway's cmdlets return: property names as exchange-rest section 8 has them, and what it leaves unknown besides.

use chrono::{DateTime, TimeDelta, Utc};

use crate::control::asking::hours_text;
use crate::control::lifecycle::{BREAK_GLASS, Case, POLICY, Quorum};
use crate::model::{
    Answer, Grant, GrantState, HowClosed, Number, Object, Pins, Principal, Property, RequestState,
    Value,
};
use crate::policy::{Approval, Mode, Policy, PolicySet, ScopeKind, Whereabouts};
use crate::state::Snapshot;

/// An `ElevatedAccessRequest`.
pub(super) fn request(case: &Case, policies: &PolicySet, now: DateTime<Utc>) -> Object {
    let request = &case.request;
    // The keeper marks it a moment later.
    let state = match request.state {
        RequestState::Pending if now >= request.expires => RequestState::Expired,
        state => state,
    };
    let approvals = case.votes.iter().filter(|it| it.answer == Answer::Approve);
    let mut approved_by: Vec<String> = approvals.map(|it| it.approver_name.clone()).collect();
    if approved_by.is_empty() && state == RequestState::Approved {
        let by = if request.break_glass {
            BREAK_GLASS
        } else {
            POLICY
        };
        approved_by.push(by.to_owned());
    }
    let policy = policies.policy(&request.policy);
    let missing = policy
        .filter(|_| state == RequestState::Pending)
        .map(|policy| Quorum::of(policy, policies).missing(&case.votes));
    Object {
        type_name: "ElevatedAccessRequest",
        properties: vec![
            ("Identity", request.id.into()),
            ("RequestStatus", state.as_str().into()),
            ("Requestor", request.principal_name.as_str().into()),
            (
                "Type",
                type_of(&request.policy, request.task.is_some()).into(),
            ),
            (
                "Task",
                request.task.as_ref().map(ToString::to_string).into(),
            ),
            ("Policy", request.policy.as_str().into()),
            ("Reason", request.reason.as_str().into()),
            ("DurationHours", hours(request.duration)),
            ("StartTimeUtc", request.starts.into()),
            ("Uses", request.uses.map(i64::from).into()),
            ("Parameters", pins(&request.pins)),
            ("Extends", request.extends.into()),
            ("BreakGlass", request.break_glass.into()),
            ("DateCreatedUtc", request.created.into()),
            ("ExpiresUtc", request.expires.into()),
            ("MissingApprovals", missing.into()),
            ("ApprovedBy", approved_by.into()),
            ("DecidedBy", request.decided_by.clone().into()),
            ("DateDecidedUtc", request.decided.into()),
            ("Comment", request.comment.clone().into()),
            ("ExternalIdentity", request.external_identity.clone().into()),
            ("Context", table(&request.context)),
        ],
    }
}

/// An `ElevatedAccessAuthorization`.
pub(super) fn authorization(grant: &Grant, now: DateTime<Utc>) -> Object {
    let closing = grant.closed.as_ref();
    let revoked = closing.filter(|it| it.how == HowClosed::Revoked);
    let state = grant.state(now);
    let access = grant
        .task
        .as_ref()
        .map_or_else(|| grant.policy.clone(), ToString::to_string);
    let updated = match state {
        GrantState::Expired => grant.ends,
        GrantState::Active
        | GrantState::Ended
        | GrantState::Revoked
        | GrantState::Scheduled
        | GrantState::UsedUp => closing.map_or(grant.created, |it| it.at),
    };
    let reviewed = grant.reviewed.as_ref();
    Object {
        type_name: "ElevatedAccessAuthorization",
        properties: vec![
            ("Identity", grant.id.into()),
            ("RequestId", grant.request.into()),
            ("State", state.as_str().into()),
            ("Requestor", grant.principal_name.as_str().into()),
            ("Type", type_of(&grant.policy, grant.task.is_some()).into()),
            ("AuthorizedAccess", access.into()),
            ("Policy", grant.policy.as_str().into()),
            ("Parameters", pins(&grant.pins)),
            ("AuthorizedBy", grant.approved_by.clone().into()),
            ("StartTimeUtc", grant.starts.into()),
            ("EndTimeUtc", grant.ends.into()),
            ("Uses", grant.uses.map(i64::from).into()),
            ("Used", i64::from(grant.used).into()),
            ("BreakGlass", grant.break_glass.into()),
            ("AwaitsReview", grant.awaits_review().into()),
            ("ReviewedBy", reviewed.map(|it| it.by.clone()).into()),
            ("DateReviewedUtc", reviewed.map(|it| it.at).into()),
            (
                "ReviewComment",
                reviewed.and_then(|it| it.comment.clone()).into(),
            ),
            ("Revoked", revoked.is_some().into()),
            ("RevocationDateTimeUtc", revoked.map(|it| it.at).into()),
            ("RevokedBy", revoked.map(|it| it.by.clone()).into()),
            (
                "RevocationComment",
                revoked.and_then(|it| it.comment.clone()).into(),
            ),
            ("DateCreatedUtc", grant.created.into()),
            ("DateUpdatedUtc", updated.into()),
        ],
    }
}

/// An `ElevatedAccessApprovalPolicy`. Its identity is its scope.
pub(super) fn policy(policy: &Policy, places: Whereabouts) -> Object {
    let approval = match policy.approval {
        Approval::Auto => "Auto",
        Approval::Manual => "Manual",
        Approval::Never => "Never",
    };
    let in_hours = |duration| TimeDelta::from_std(duration).ok().map(hours);
    let longest = policy.max_duration.and_then(in_hours);
    let source = policy.source.told(places);
    Object {
        type_name: "ElevatedAccessApprovalPolicy",
        properties: vec![
            ("Identity", policy.scope.text.as_str().into()),
            ("Type", kind(policy.scope.kind).into()),
            ("Task", policy.scope.text.as_str().into()),
            ("ApprovalType", approval.into()),
            ("ApproverGroup", policy.approvers.clone().into()),
            ("Approvals", i64::from(policy.approvals).into()),
            (
                "DefaultDurationHours",
                in_hours(policy.default_duration).into(),
            ),
            ("MaxDurationHours", longest.into()),
            ("Requesters", policy.requesters.clone().into()),
            ("BreakGlassGroup", policy.break_glass.clone().into()),
            ("ApproverComment", policy.approver_comment.as_str().into()),
            ("OnBlock", policy.on_block.as_str().into()),
            ("MaxUses", policy.max_uses.map(i64::from).into()),
            ("ReportOnly", policy.report_only.into()),
            ("Source", source.into()),
        ],
    }
}

/// The `ElevatedAccessControl`. Which accounts pass without a grant is for approvers to know.
pub(super) fn control(snapshot: &Snapshot, who: &Principal) -> Object {
    let policies = &snapshot.policies;
    let mode = match snapshot.mode {
        Mode::Disabled => "Disabled",
        Mode::Enforce => "Enforce",
        Mode::ReportOnly => "ReportOnly",
    };
    let is_approver = policies.groups().iter().any(|it| it.has(who));
    let accounts = is_approver.then(|| {
        let accounts = policies.exemptions().iter();
        accounts.map(|it| it.account.clone()).collect::<Vec<_>>()
    });
    let count = i64::try_from(policies.policies().len()).unwrap_or(i64::MAX);
    Object {
        type_name: "ElevatedAccessControl",
        properties: vec![
            ("Enabled", (snapshot.mode == Mode::Enforce).into()),
            ("Mode", mode.into()),
            ("Policies", count.into()),
            ("PolicySet", policies.hash().into()),
            ("SystemAccounts", accounts.into()),
        ],
    }
}

fn hours(duration: TimeDelta) -> Property {
    let number = Number::new(&hours_text(duration));
    Property::Plain(number.map_or(Value::Null, Value::Number))
}

fn table(pairs: &[(String, String)]) -> Property {
    let members = pairs
        .iter()
        .map(|(name, text)| (name.clone(), Value::text(text.as_str())));
    Property::Plain(Value::Table(members.collect()))
}

fn pins(pins: &Pins) -> Property {
    if pins.is_empty() {
        return Property::Plain(Value::Null);
    }
    Property::Plain(Value::Table(
        pins.shown()
            .map(|(name, value)| (name, Value::Text(value)))
            .collect(),
    ))
}

/// Microsoft's word for one task, and ours for what has more.
fn type_of(policy: &str, is_one_task: bool) -> &'static str {
    if is_one_task {
        return "Task";
    }
    match policy.split_once(':') {
        Some(("effect", _)) => "Effect",
        Some(("role", _)) => "Role",
        Some(("role-group", _)) => "RoleGroup",
        _ => "TaskPattern",
    }
}

fn kind(kind: ScopeKind) -> &'static str {
    match kind {
        ScopeKind::Effect => "Effect",
        ScopeKind::Pattern => "TaskPattern",
        ScopeKind::Role => "Role",
        ScopeKind::RoleGroup => "RoleGroup",
        ScopeKind::Task => "Task",
    }
}
