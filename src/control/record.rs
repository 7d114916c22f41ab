//! What a transition's effects mean for the store and for the audit log.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::audit::Event;
use crate::model::{Answer, Grant, Notice, Request, RequestState, Vote};
use crate::notify::Channels;
use crate::store::{OwedRecord, StoreError, Write};

use super::Caller;
use super::lifecycle::Effect;
use super::notices;

/// What is stored together, and what then leaves the grant table.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) writes: Vec<Write>,
    pub(super) revoked: Vec<Grant>,
}

/// Pending requests that a person may have: enough for a day's work, and a bound on what one client can fill a store with.
pub(super) const MOST_PENDING: i64 = 100;

/// By whom and when a change is made; nobody stands for the passing of time.
#[derive(Clone, Copy)]
pub(super) struct Circumstances<'a> {
    pub(super) caller: Option<&'a Caller>,
    pub(super) now: DateTime<Utc>,
}

impl Change {
    /// A new request.
    pub(super) fn file(
        &mut self,
        request: &Request,
        at: Circumstances<'_>,
    ) -> Result<(), StoreError> {
        self.writes.push(Write::AddRequest {
            request: request.clone(),
            most_pending: MOST_PENDING,
        });
        let mut event = about_request("request.filed", request, at);
        event.details.extend([
            ("reason".to_owned(), json!(request.reason)),
            ("duration_hours".to_owned(), hours(request.duration)),
            ("expires".to_owned(), moment(request.expires)),
            ("context".to_owned(), pairs(&request.context)),
            (
                "external_identity".to_owned(),
                json!(request.external_identity),
            ),
        ]);
        self.owe(&event)
    }

    /// What a transition of `request`'s case did, and what else is to be told of it.
    pub(super) fn add(
        &mut self,
        request: &Request,
        effects: Vec<Effect>,
        context: &[(String, String)],
        at: Circumstances<'_>,
    ) -> Result<(), StoreError> {
        let mut vote = None;
        for effect in effects {
            match effect {
                Effect::VoteCast(cast) => {
                    let write = Write::AddVote(request.id, cast.clone());
                    self.writes.push(write);
                    vote = Some(cast);
                }
                Effect::RequestChanged(changed) => {
                    let event = request_changed(&changed, vote.as_ref(), context, at);
                    self.writes.push(Write::UpdateRequest(changed));
                    self.owe(&event)?;
                }
                Effect::GrantMade(grant) => {
                    let mut event = about_grant("grant.created", &grant, at);
                    event.details.extend([
                        ("starts".to_owned(), moment(grant.starts)),
                        ("ends".to_owned(), moment(grant.ends)),
                        ("approved_by".to_owned(), json!(grant.approved_by)),
                    ]);
                    self.writes.push(Write::AddGrant(grant));
                    self.owe(&event)?;
                }
                Effect::GrantRevoked(grant) => {
                    let mut event = about_grant("grant.revoked", &grant, at);
                    let comment = grant.revoked.as_ref().and_then(|it| it.comment.as_ref());
                    event.details.insert("comment".to_owned(), json!(comment));
                    self.revoked.push(grant.clone());
                    self.writes.push(Write::EndGrant(grant));
                    self.owe(&event)?;
                }
                Effect::GrantEnded(grant) => {
                    let event = about_grant("grant.expired", &grant, at);
                    self.writes.push(Write::EndGrant(grant));
                    self.owe(&event)?;
                }
            }
        }
        Ok(())
    }

    /// Has people and programs told of the change, if it is one that `channels` tell of.
    pub(super) fn tell(&mut self, notice: &Notice, channels: &Channels) -> Result<(), StoreError> {
        self.writes.extend(notices::owe(notice, channels)?);
        Ok(())
    }

    fn owe(&mut self, event: &Event) -> Result<(), StoreError> {
        self.writes.push(owed(event)?);
        Ok(())
    }
}

/// What stores that the audit log must have `event`.
pub(super) fn owed(event: &Event) -> Result<Write, StoreError> {
    let json = serde_json::to_string(event).map_err(|error| StoreError::Damaged {
        what: format!("an audit record that cannot be written: {error}"),
    })?;
    Ok(Write::Owe(OwedRecord {
        id: event.id,
        grant: event.grant,
        json,
    }))
}

fn request_changed(
    request: &Request,
    vote: Option<&Vote>,
    context: &[(String, String)],
    at: Circumstances<'_>,
) -> Event {
    let kind = match request.state {
        RequestState::Approved => "request.approved",
        RequestState::Denied => "request.denied",
        RequestState::Expired => "request.expired",
        RequestState::Pending => "request.voted",
    };
    let mut event = about_request(kind, request, at);
    if let Some(vote) = vote {
        let answer = match vote.answer {
            Answer::Approve => "approve",
            Answer::Deny => "deny",
        };
        event.details.extend([
            ("answer".to_owned(), json!(answer)),
            ("groups".to_owned(), json!(vote.groups)),
            ("comment".to_owned(), json!(vote.comment)),
        ]);
    }
    if !context.is_empty() {
        event.details.insert("context".to_owned(), pairs(context));
    }
    event
}

fn about_request(kind: &str, request: &Request, at: Circumstances<'_>) -> Event {
    let mut event = event(kind, at);
    event.request = Some(request.id);
    event.policy = Some(request.policy.clone());
    event.details.extend([
        ("requestor".to_owned(), json!(request.principal_name)),
        ("requestor_key".to_owned(), json!(request.principal_key)),
        ("task".to_owned(), task(request.task.as_ref())),
    ]);
    event
}

fn about_grant(kind: &str, grant: &Grant, at: Circumstances<'_>) -> Event {
    let mut event = event(kind, at);
    event.request = Some(grant.request);
    event.grant = Some(grant.id);
    event.policy = Some(grant.policy.clone());
    event.details.extend([
        ("holder".to_owned(), json!(grant.principal_name)),
        ("holder_key".to_owned(), json!(grant.principal_key)),
        ("task".to_owned(), task(grant.task.as_ref())),
    ]);
    event
}

fn event(kind: &str, at: Circumstances<'_>) -> Event {
    let caller = at.caller;
    Event {
        id: Uuid::now_v7(),
        at: at.now,
        kind: kind.to_owned(),
        principal: caller.map(|it| (it.principal.key.clone(), it.principal.name.clone())),
        source: caller.map(|it| it.source),
        request: None,
        grant: None,
        policy: None,
        decision: caller.map(|it| it.decision),
        details: Map::new(),
    }
}

fn task(task: Option<&crate::model::Task>) -> Json {
    json!(task.map(ToString::to_string))
}

fn moment(time: DateTime<Utc>) -> Json {
    json!(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn pairs(pairs: &[(String, String)]) -> Json {
    let pairs = pairs.iter().map(|(name, text)| (name.clone(), json!(text)));
    Json::Object(pairs.collect())
}

fn hours(duration: chrono::Duration) -> Json {
    let ms = duration.num_milliseconds();
    let hour = chrono::Duration::hours(1).num_milliseconds();
    if ms % hour == 0 {
        json!(ms / hour)
    } else {
        json!(duration.as_seconds_f64() / 3600.0)
    }
}
