//! From the workflow's words to those of the API, and back.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::problem::{Failure, Kind};
use crate::api::types::{self, FieldProblem, ParameterPin, Scalar};
use crate::control::{Case, Control, ListedPolicy, StoredToken, Whose};
use crate::model::{Answer, Bound, Grant, GrantState, Pin, Pinned, Pins, RequestState, Task, Vote};
use crate::policy::{Exemption, OnBlock, ScopeKind, Source, Whereabouts};

pub(super) fn request(control: &Control, case: &Case, now: DateTime<Utc>) -> types::Request {
    let it = &case.request;
    types::Request {
        id: it.id,
        status: match it.state {
            RequestState::Approved => types::RequestStatus::Approved,
            RequestState::Denied => types::RequestStatus::Denied,
            RequestState::Expired => types::RequestStatus::Expired,
            // The keeper marks it a moment later.
            RequestState::Pending if now >= it.expires => types::RequestStatus::Expired,
            RequestState::Pending => types::RequestStatus::Pending,
            RequestState::Withdrawn => types::RequestStatus::Withdrawn,
        },
        requester: it.principal_name.clone(),
        policy: it.policy.clone(),
        task: it.task.as_ref().map(Task::to_string),
        parameters: shown_pins(&it.pins),
        reason: it.reason.clone(),
        duration_seconds: it.duration.num_seconds(),
        starts: it.starts,
        uses: it.uses,
        extends: it.extends,
        break_glass: it.break_glass,
        created: it.created,
        expires: it.expires,
        decided: it.decided,
        decided_by: it.decided_by.clone(),
        comment: it.comment.clone(),
        external_identity: it.external_identity.clone(),
        context: it.context.iter().cloned().collect::<BTreeMap<_, _>>(),
        missing_approvals: control.missing_approvals(case),
        votes: case.votes.iter().map(vote).collect(),
        grant: case.grant.as_ref().map(|it| grant(it, now)),
    }
}

fn vote(vote: &Vote) -> types::Vote {
    let narrowing = &vote.narrowing;
    types::Vote {
        approver: vote.approver_name.clone(),
        groups: vote.groups.clone(),
        answer: match vote.answer {
            Answer::Approve => types::VoteAnswer::Approve,
            Answer::Deny => types::VoteAnswer::Deny,
        },
        comment: vote.comment.clone(),
        at: vote.at,
        duration_seconds: narrowing.duration.map(|it| it.num_seconds()),
        starts: narrowing.starts,
        uses: narrowing.uses,
        parameters: shown_pins(&narrowing.pins),
        task: narrowing.task.as_ref().map(Task::to_string),
    }
}

pub(super) fn grant(it: &Grant, now: DateTime<Utc>) -> types::Grant {
    let (closed, reviewed) = (it.closed.as_ref(), it.reviewed.as_ref());
    types::Grant {
        id: it.id,
        request: it.request,
        status: match it.state(now) {
            GrantState::Active => types::GrantStatus::Active,
            GrantState::Ended => types::GrantStatus::Ended,
            GrantState::Expired => types::GrantStatus::Expired,
            GrantState::Revoked => types::GrantStatus::Revoked,
            GrantState::Scheduled => types::GrantStatus::Scheduled,
            GrantState::UsedUp => types::GrantStatus::UsedUp,
        },
        holder: it.principal_name.clone(),
        policy: it.policy.clone(),
        task: it.task.as_ref().map(Task::to_string),
        parameters: shown_pins(&it.pins),
        approved_by: it.approved_by.clone(),
        starts: it.starts,
        ends: it.ends,
        uses: it.uses,
        used: it.used,
        break_glass: it.break_glass,
        awaits_review: it.awaits_review(),
        created: it.created,
        closed: closed.map(|it| it.at),
        closed_by: closed.map(|it| it.by.clone()),
        closed_comment: closed.and_then(|it| it.comment.clone()),
        reviewed: reviewed.map(|it| it.at),
        reviewed_by: reviewed.map(|it| it.by.clone()),
        reviewed_comment: reviewed.and_then(|it| it.comment.clone()),
    }
}

pub(super) fn request_state(status: types::RequestStatus) -> RequestState {
    match status {
        types::RequestStatus::Approved => RequestState::Approved,
        types::RequestStatus::Denied => RequestState::Denied,
        types::RequestStatus::Expired => RequestState::Expired,
        types::RequestStatus::Pending => RequestState::Pending,
        types::RequestStatus::Withdrawn => RequestState::Withdrawn,
    }
}

pub(super) fn grant_state(status: types::GrantStatus) -> GrantState {
    match status {
        types::GrantStatus::Active => GrantState::Active,
        types::GrantStatus::Ended => GrantState::Ended,
        types::GrantStatus::Expired => GrantState::Expired,
        types::GrantStatus::Revoked => GrantState::Revoked,
        types::GrantStatus::Scheduled => GrantState::Scheduled,
        types::GrantStatus::UsedUp => GrantState::UsedUp,
    }
}

fn shown_pins(pins: &Pins) -> Vec<ParameterPin> {
    let pins = pins.0.iter().map(|pin| {
        let (one_of, pattern) = match &pin.bound {
            Bound::OneOf(values) => (Some(values.iter().map(scalar).collect()), None),
            Bound::Pattern(pattern) => (None, Some(pattern.clone())),
        };
        ParameterPin {
            name: pin.name.to_string(),
            one_of,
            pattern,
        }
    });
    pins.collect()
}

fn scalar(value: &Pinned) -> Scalar {
    match value {
        Pinned::Bool(set) => Scalar::Bool(*set),
        Pinned::Number(digits) => digits
            .parse()
            .map_or_else(|_| Scalar::Text(digits.clone()), Scalar::Number),
        Pinned::Text(text) => Scalar::Text(text.clone()),
    }
}

/// The pins that a body lists; all that is wrong with them otherwise.
pub(super) fn pins(listed: Vec<ParameterPin>) -> Result<Pins, Failure> {
    let mut pins = Vec::new();
    let mut problems = Vec::new();
    for (index, pin) in listed.into_iter().enumerate() {
        let mut tell = |member: &str, detail: &str| {
            problems.push(FieldProblem {
                pointer: format!("/parameters/{index}{member}"),
                detail: detail.to_owned(),
            });
        };
        let name = pin.name.parse();
        if name.is_err() {
            tell(
                "/name",
                "must be a parameter's name: letters and digits, such as `Identity`",
            );
        }
        let bound = match (pin.one_of, pin.pattern) {
            (Some(values), None) => Some(Bound::OneOf(values.into_iter().map(pinned).collect())),
            (None, Some(pattern)) => Some(Bound::Pattern(pattern)),
            _ => {
                tell("", "must have one of `one_of` and `pattern`");
                None
            }
        };
        if let (Ok(name), Some(bound)) = (name, bound) {
            pins.push(Pin { name, bound });
        }
    }
    if problems.is_empty() {
        Ok(Pins(pins))
    } else {
        Err(Failure::fields(
            "the parameters are not what is read here",
            problems,
        ))
    }
}

fn pinned(value: Scalar) -> Pinned {
    match value {
        Scalar::Bool(set) => Pinned::Bool(set),
        Scalar::Number(number) => Pinned::Number(number.to_string()),
        Scalar::Text(text) => Pinned::Text(text),
    }
}

pub(super) fn seconds(seconds: Option<u32>) -> Option<TimeDelta> {
    seconds.map(|it| TimeDelta::seconds(i64::from(it)))
}

/// The task of this name, which stands at `pointer`.
pub(super) fn task(text: &str, pointer: &str) -> Result<Task, Failure> {
    text.parse().map_err(|_| {
        let problem = FieldProblem {
            pointer: pointer.to_owned(),
            detail: r"must be a task, such as `Exchange\New-MoveRequest`".to_owned(),
        };
        Failure::fields("the task is none", vec![problem])
    })
}

pub(super) fn policy(listed: &ListedPolicy, places: Whereabouts) -> types::Policy {
    let it = &listed.policy;
    types::Policy {
        scope: it.scope.text.clone(),
        kind: match it.scope.kind {
            ScopeKind::Effect => types::PolicyKind::Effect,
            ScopeKind::Pattern => types::PolicyKind::Pattern,
            ScopeKind::Role => types::PolicyKind::Role,
            ScopeKind::RoleGroup => types::PolicyKind::RoleGroup,
            ScopeKind::Task => types::PolicyKind::Task,
        },
        approval: it.approval.as_str().to_owned(),
        approvers: it.approvers.clone(),
        approvals: it.approvals,
        default_duration_seconds: it.default_duration.as_secs(),
        max_duration_seconds: it.max_duration.map(|it| it.as_secs()),
        requesters: it.requesters.clone(),
        break_glass: it.break_glass.clone(),
        reason_required: it.reason.required,
        approver_comment: it.approver_comment.as_str().to_owned(),
        on_block: it.on_block.as_str().to_owned(),
        hold_seconds: (it.on_block == OnBlock::Hold).then_some(it.hold.as_secs()),
        max_uses: it.max_uses,
        report_only: it.report_only,
        parameter_rules: it.parameters.sentences().collect(),
        source: match &it.source {
            Source::File(place) => types::PolicySource::File {
                place: place.told(places),
            },
            Source::Store { by, at } => types::PolicySource::Store {
                by: by.clone(),
                at: *at,
            },
        },
        definition: listed.stored.as_ref().map(|it| it.definition.clone()),
        etag: etag(listed),
    }
}

/// What `If-Match` has to say: counts changes, and tells a policy from another that was made in its place.
pub(super) fn etag(listed: &ListedPolicy) -> Option<String> {
    match (&listed.stored, &listed.policy.source) {
        (Some(form), Source::Store { at, .. }) => {
            Some(format!("\"{}-{}\"", form.version, at.timestamp_millis()))
        }
        _ => None,
    }
}

pub(super) fn exemption(it: &Exemption) -> types::Exemption {
    types::Exemption {
        account: it.account.clone(),
        owner: it.owner.clone(),
        reason: it.reason.clone(),
        expires: it.expires.map(|it| it.to_string()),
        from: it.from.iter().map(ToString::to_string).collect(),
        tasks: it.tasks.clone(),
    }
}

pub(super) fn token(it: &StoredToken) -> types::Token {
    types::Token {
        id: it.id,
        name: it.name.clone(),
        owner: it.principal_name.clone(),
        scopes: it.scopes.iter().filter_map(|it| scope(it)).collect(),
        created: it.created,
        expires: it.expires,
    }
}

fn scope(word: &str) -> Option<types::TokenScope> {
    use types::TokenScope::{Approve, Audit, Operate, Read, Request};
    [Approve, Audit, Operate, Read, Request]
        .into_iter()
        .find(|it| crate::api::call::scope_word(*it) == word)
}

pub(super) fn whose(whose: Option<types::Whose>) -> Whose {
    match whose.unwrap_or_default() {
        types::Whose::Known => Whose::Known,
        types::Whose::Mine => Whose::Mine,
        types::Whose::ToDecide => Whose::ToDecide,
    }
}

/// The cursor of a listing's next part.
pub(super) fn cursor(cursor: Option<&str>) -> Result<Option<uuid::Uuid>, Failure> {
    cursor
        .map(|it| {
            uuid::Uuid::try_parse(it).map_err(|_| {
                let problem = FieldProblem {
                    pointer: "?cursor".to_owned(),
                    detail: "must be the `next` of the part before".to_owned(),
                };
                Failure::fields("the cursor is none", vec![problem])
            })
        })
        .transpose()
}

/// How many items of a listing are given.
pub(super) fn limit(limit: Option<u32>) -> usize {
    usize::try_from(limit.unwrap_or(50)).unwrap_or(50)
}

/// A failure of a member that has the wrong meaning.
pub(super) fn wrong(pointer: &str, detail: &str) -> Failure {
    let problem = FieldProblem {
        pointer: pointer.to_owned(),
        detail: detail.to_owned(),
    };
    Failure::fields(detail, vec![problem])
}

/// An internal failure: what was made cannot be written.
pub(super) fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::new(
        Kind::Internal,
        format!("the answer cannot be written: {error}"),
    )
}
