//! What there is to tell of a change, whom it is owed to, and when.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::{Answered, Deciders, Notice, NoticeKind, Redaction, RequestState};
use crate::notify::Channels;
use crate::policy::{Policy, PolicySet, touches};
use crate::store::{OwedDelivery, OwedNotification, Relevance, StoreError, Write};

use super::lifecycle::Case;

/// By whom and when something was done, and what they said with it; nobody stands for time and for the policy itself.
#[derive(Clone, Copy)]
pub(super) struct Deed<'a> {
    pub(super) by: Option<&'a str>,
    pub(super) comment: Option<&'a str>,
    pub(super) at: DateTime<Utc>,
}

/// What there is to tell of `case`, as it is after `deed`, without what `redaction` hides.
pub(super) fn notice(
    kind: NoticeKind,
    case: &Case,
    policies: &PolicySet,
    redaction: &Redaction,
    deed: Deed<'_>,
) -> Notice {
    let request = &case.request;
    let grant = case.grant.as_ref();
    let policy = policies.policy(&request.policy);
    let held = grant.or(case.extended.as_ref());
    let lasts = grant.map_or(request.duration, |it| it.ends - it.starts);
    let pins = grant.map_or(&request.pins, |it| &it.pins);
    let task = grant.map_or(request.task.as_ref(), |it| it.task.as_ref());
    let answers = case.votes.iter().map(|vote| Answered {
        by: vote.approver_name.clone(),
        answer: vote.answer,
    });
    let mut notice = Notice {
        id: Uuid::now_v7(),
        at: deed.at,
        kind,
        by: deed.by.map(str::to_owned),
        comment: deed.comment.map(str::to_owned),
        request: request.id,
        grant: grant.map(|it| it.id),
        extends: request.extends,
        requester: request.principal_name.clone(),
        scope: policy.map_or_else(|| request.policy.clone(), |it| it.scope.text.clone()),
        task: task.map(ToString::to_string),
        parameters: Vec::new(),
        reason: request.reason.clone(),
        reference: request.external_identity.clone(),
        seconds: u64::try_from(lasts.num_seconds()).unwrap_or_default(),
        starts: grant.map(|it| it.starts).or(request.starts),
        ends: held.map(|it| it.ends),
        uses: grant.map_or(request.uses, |it| it.uses),
        touches: policy.map_or_else(Vec::new, |it| touches(policies, it, task)),
        deciders: policy.map_or_else(Vec::new, |it| deciders(it, policies)),
        answers: answers.collect(),
        lapses: (request.state == RequestState::Pending).then_some(request.expires),
        break_glass: request.break_glass,
    };
    for pin in &pins.0 {
        notice.show(&pin.name, &pin.bound.to_value(), redaction);
    }
    notice
}

/// What there is to tell of what came by itself.
pub(super) fn by_time(
    kind: NoticeKind,
    case: &Case,
    policies: &PolicySet,
    redaction: &Redaction,
    at: DateTime<Utc>,
) -> Notice {
    let deed = Deed {
        by: None,
        comment: None,
        at,
    };
    notice(kind, case, policies, redaction, deed)
}

fn deciders(policy: &Policy, policies: &PolicySet) -> Vec<Deciders> {
    let groups = policy.approver_groups(policies);
    groups
        .map(|group| Deciders {
            group: group.name.clone(),
            address: group.email.clone(),
            members: group.members.clone(),
            approvals: policy.approvals,
        })
        .collect()
}

/// What there is to store of `notice`, in the transaction of the change that it tells of: nothing where nobody is told. A
/// request that is filed also owes its reminder and its escalation, which are forgotten when it is decided; a grant that was
/// taken without approval, the reminders of its review.
pub(super) fn owe(notice: &Notice, channels: &Channels) -> Result<Vec<Write>, StoreError> {
    let mut writes = Vec::new();
    writes.extend(owed(notice, channels)?);
    for (kind, after) in channels.later(notice.kind) {
        let Some(at) = TimeDelta::from_std(after)
            .ok()
            .and_then(|after| notice.at.checked_add_signed(after))
            .filter(|at| notice.lapses.is_none_or(|lapses| *at < lapses))
        else {
            continue;
        };
        let later = Notice {
            id: Uuid::now_v7(),
            at,
            kind,
            ..notice.clone()
        };
        writes.extend(owed(&later, channels)?);
    }
    Ok(writes)
}

fn owed(notice: &Notice, channels: &Channels) -> Result<Option<Write>, StoreError> {
    let to = channels.addressed(notice);
    if to.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_string(notice).map_err(|error| StoreError::Damaged {
        what: format!("a notice that cannot be written: {error}"),
    })?;
    let deliveries = to.into_iter().map(|to| OwedDelivery {
        id: Uuid::now_v7(),
        channel: to.channel.to_string(),
        recipient: to.recipient,
        due: notice.at,
    });
    Ok(Some(Write::Notify(OwedNotification {
        id: notice.id,
        kind: notice.kind.as_str().to_owned(),
        request: (notice.kind != NoticeKind::Test).then_some(notice.request),
        json,
        relevance: if notice.kind.is_reminder() {
            Relevance::WhileAwaited
        } else {
            Relevance::Always
        },
        created: notice.at,
        deliveries: deliveries.collect(),
    })))
}
