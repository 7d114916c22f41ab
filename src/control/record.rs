//! What a transition's effects mean for the store, for the audit log and for those who watch.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::audit::Event;
use crate::model::{
    Answer, Grant, HowClosed, Narrowing, Notice, Pins, Redaction, Request, RequestState, Task, Vote,
};
use crate::notify::Channels;
use crate::store::{OwedRecord, StoreError, Write};

use super::Caller;
use super::happening::{About, Happening, HappeningKind};
use super::lifecycle::Effect;
use super::notices;

/// What is stored together, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) writes: Vec<Write>,
    /// What then leaves the grant table.
    pub(super) closed: Vec<Grant>,
    pub(super) happenings: Vec<Happening>,
}

/// Pending requests that a person may have: enough for a day's work, and a bound on what one client can fill a store with.
pub(super) const MOST_PENDING: i64 = 100;

/// Grants that are not over that a person may have under one policy: a bound on the memory that they can fill.
pub(super) const MOST_LIVE: i64 = 100;

/// By whom and when a change is made, and what its record does not show; nobody stands for the passing of time.
#[derive(Clone, Copy)]
pub(super) struct Circumstances<'a> {
    pub(super) caller: Option<&'a Caller>,
    pub(super) now: DateTime<Utc>,
    pub(super) redaction: &'a Redaction,
}

/// Whether a grant may count while the record of a change is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// It counts only once it is on record.
    Recorded,
    /// The change gives nothing that would have to wait.
    Stored,
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
        let details = [
            ("reason", json!(request.reason)),
            ("duration_hours", hours(request.duration)),
            ("starts", json!(request.starts.map(moment))),
            ("uses", json!(request.uses)),
            ("pins", pins(&request.pins, at.redaction)),
            ("extends", json!(request.extends)),
            ("expires", moment(request.expires)),
            ("context", pairs(&request.context)),
            ("external_identity", json!(request.external_identity)),
        ];
        let about = About::Request(request);
        self.happened(
            HappeningKind::RequestFiled,
            about,
            details,
            Until::Stored,
            at,
        )
    }

    /// What a transition of `request`'s case did, and what else is to be told of it.
    pub(super) fn add(
        &mut self,
        effects: Vec<Effect>,
        context: &[(String, String)],
        at: Circumstances<'_>,
    ) -> Result<(), StoreError> {
        let mut vote = None;
        for effect in effects {
            match effect {
                // It is stored with the change of the request that it causes, which always follows.
                Effect::VoteCast(cast) => vote = Some(cast),
                Effect::RequestChanged(changed) => {
                    if let Some(vote) = &vote {
                        let write = Write::AddVote(changed.id, vote.clone());
                        self.writes.push(write);
                    }
                    self.request_changed(changed, vote.as_ref(), context, at)?;
                }
                Effect::GrantMade(grant) => {
                    let details = [
                        ("starts", moment(grant.starts)),
                        ("ends", moment(grant.ends)),
                        ("uses", json!(grant.uses)),
                        ("pins", pins(&grant.pins, at.redaction)),
                        ("approved_by", json!(grant.approved_by)),
                    ];
                    let kind = HappeningKind::GrantCreated;
                    let about = About::Grant(&grant);
                    self.happened(kind, about, details, Until::Recorded, at)?;
                    self.writes.push(Write::AddGrant {
                        grant,
                        most_live: MOST_LIVE,
                    });
                }
                Effect::GrantExtended(grant) => {
                    let details = [("ends", moment(grant.ends))];
                    let kind = HappeningKind::GrantExtended;
                    let about = About::Grant(&grant);
                    self.happened(kind, about, details, Until::Recorded, at)?;
                    self.writes.push(Write::UpdateGrant(grant));
                }
                Effect::GrantClosed(grant) => self.grant_closed(grant, at)?,
                Effect::GrantExpired(grant) => {
                    let about = About::Grant(&grant);
                    let kind = HappeningKind::GrantExpired;
                    self.happened(kind, about, [], Until::Stored, at)?;
                    self.writes.push(Write::ExpireGrant(grant));
                }
                Effect::GrantReviewed(grant) => {
                    let comment = grant.reviewed.as_ref().and_then(|it| it.comment.as_ref());
                    let details = [("comment", json!(comment))];
                    let about = About::Grant(&grant);
                    let kind = HappeningKind::GrantReviewed;
                    self.happened(kind, about, details, Until::Stored, at)?;
                    self.writes.push(Write::UpdateGrant(grant));
                }
                // The decision record of the call that takes it names the grant.
                Effect::GrantUsed(grant) => self.writes.push(Write::UpdateGrant(grant)),
            }
        }
        Ok(())
    }

    fn request_changed(
        &mut self,
        request: Request,
        vote: Option<&Vote>,
        context: &[(String, String)],
        at: Circumstances<'_>,
    ) -> Result<(), StoreError> {
        let kind = match request.state {
            RequestState::Approved => HappeningKind::RequestApproved,
            RequestState::Denied => HappeningKind::RequestDenied,
            RequestState::Expired => HappeningKind::RequestExpired,
            RequestState::Pending => HappeningKind::RequestVoted,
            RequestState::Withdrawn => HappeningKind::RequestWithdrawn,
        };
        let mut details = Vec::new();
        if let Some(vote) = vote {
            let answer = match vote.answer {
                Answer::Approve => "approve",
                Answer::Deny => "deny",
            };
            details.extend([
                ("answer", json!(answer)),
                ("groups", json!(vote.groups)),
                ("comment", json!(vote.comment)),
            ]);
            if !vote.narrowing.is_empty() {
                details.push(("narrowing", narrowing(&vote.narrowing, at.redaction)));
            }
        } else if request.comment.is_some() {
            details.push(("comment", json!(request.comment)));
        }
        if !context.is_empty() {
            details.push(("context", pairs(context)));
        }
        let about = About::Request(&request);
        self.happened(kind, about, details, Until::Stored, at)?;
        self.writes.push(Write::UpdateRequest(request));
        Ok(())
    }

    fn grant_closed(&mut self, grant: Grant, at: Circumstances<'_>) -> Result<(), StoreError> {
        let Some(closing) = &grant.closed else {
            return Ok(());
        };
        let kind = match closing.how {
            HowClosed::Ended => HappeningKind::GrantEnded,
            HowClosed::Revoked => HappeningKind::GrantRevoked,
            HowClosed::UsedUp => HappeningKind::GrantUsedUp,
        };
        let details = match closing.how {
            HowClosed::Ended | HowClosed::Revoked => [("comment", json!(closing.comment))],
            HowClosed::UsedUp => [("uses", json!(grant.uses))],
        };
        let about = About::Grant(&grant);
        self.happened(kind, about, details, Until::Stored, at)?;
        self.writes.push(Write::UpdateGrant(grant.clone()));
        self.closed.push(grant);
        Ok(())
    }

    /// Something about a policy or a setting.
    pub(super) fn administered(
        &mut self,
        kind: HappeningKind,
        about: About<'_>,
        details: Vec<(&str, Json)>,
        at: Circumstances<'_>,
    ) -> Result<(), StoreError> {
        self.happened(kind, about, details, Until::Stored, at)
    }

    /// Has people and programs told of the change, if it is one that `channels` tell of.
    pub(super) fn tell(&mut self, notice: &Notice, channels: &Channels) -> Result<(), StoreError> {
        self.writes.extend(notices::owe(notice, channels)?);
        Ok(())
    }

    /// Owes the audit log a record, and tells those who watch.
    fn happened<'d>(
        &mut self,
        kind: HappeningKind,
        about: About<'_>,
        details: impl IntoIterator<Item = (&'d str, Json)>,
        until: Until,
        at: Circumstances<'_>,
    ) -> Result<(), StoreError> {
        let caller = at.caller;
        let event = Event {
            id: Uuid::now_v7(),
            at: at.now,
            kind: kind.as_str().to_owned(),
            principal: caller.map(|it| (it.principal.key.clone(), it.principal.name.clone())),
            source: caller.map(|it| it.source),
            request: about.request(),
            grant: about.grant(),
            policy: about.policy(),
            decision: caller.and_then(|it| it.decision),
            details: {
                let mut all = whose(about);
                let details = details.into_iter();
                all.extend(details.map(|(name, value)| (name.to_owned(), value)));
                if let Some(caller) = caller {
                    all.extend(caller.via.details(&caller.principal));
                }
                all
            },
        };
        self.happenings.push(Happening {
            id: event.id,
            at: event.at,
            kind,
            by: caller.map(|it| it.principal.name.clone()),
            request: event.request,
            grant: event.grant,
            policy: event.policy.clone(),
            owner: about.owner(),
        });
        let counts_when_recorded = event.grant.filter(|_| until == Until::Recorded);
        self.writes.push(owed(&event, counts_when_recorded)?);
        Ok(())
    }
}

/// What stores that the audit log must have `event`, and that `grant` does not count before.
pub(super) fn owed(event: &Event, grant: Option<Uuid>) -> Result<Write, StoreError> {
    let json = serde_json::to_string(event).map_err(|error| StoreError::Damaged {
        what: format!("an audit record that cannot be written: {error}"),
    })?;
    Ok(Write::Owe(OwedRecord {
        id: event.id,
        grant,
        json,
    }))
}

/// What each record of a request or grant says of it.
fn whose(about: About<'_>) -> Map<String, Json> {
    let (who, whose_key, name, key, task, break_glass) = match about {
        About::Grant(grant) => (
            "holder",
            "holder_key",
            &grant.principal_name,
            &grant.principal_key,
            &grant.task,
            grant.break_glass,
        ),
        About::Request(request) => (
            "requestor",
            "requestor_key",
            &request.principal_name,
            &request.principal_key,
            &request.task,
            request.break_glass,
        ),
        About::Policy(_) | About::Setting => return Map::new(),
    };
    let mut details = Map::from_iter([
        (who.to_owned(), json!(name)),
        (whose_key.to_owned(), json!(key)),
        ("task".to_owned(), json!(task.as_ref().map(Task::to_string))),
    ]);
    if break_glass {
        details.insert("break_glass".to_owned(), json!(true));
    }
    details
}

fn moment(time: DateTime<Utc>) -> Json {
    json!(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn pairs(pairs: &[(String, String)]) -> Json {
    let pairs = pairs.iter().map(|(name, text)| (name.clone(), json!(text)));
    Json::Object(pairs.collect())
}

/// Pins as a list, since one parameter may be pinned twice. Pins of secrets are refused; a name that the operator has had
/// hidden since is hidden here.
fn pins(pins: &Pins, redaction: &Redaction) -> Json {
    let pins = pins.0.iter().map(|pin| {
        let value = redaction.redacted(&pin.name, &pin.bound.to_value(), &mut Vec::new());
        json!({ "parameter": pin.name.as_str(), "value": value.display() })
    });
    Json::Array(pins.collect())
}

fn narrowing(narrowing: &Narrowing, redaction: &Redaction) -> Json {
    json!({
        "duration_hours": narrowing.duration.map(hours),
        "starts": narrowing.starts.map(moment),
        "uses": narrowing.uses,
        "pins": pins(&narrowing.pins, redaction),
        "task": narrowing.task.as_ref().map(Task::to_string),
    })
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
