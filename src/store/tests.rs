mod changes;
mod listings;
mod places;

use std::os::unix::fs::PermissionsExt as _;

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::config;
use crate::model::{
    Answer, Bound, Closing, Grant, GrantState, HowClosed, Narrowing, Pin, Pinned, Pins, Request,
    RequestState, Review, Vote,
};

use super::testing::{Place, on_each_engine};
use super::{
    GrantFilter, Listing, OpenError, OwedRecord, RequestFilter, Setting, Store, StoreError,
    StoredDefinition, Write,
};

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_123).unwrap() + Duration::minutes(minute)
}

fn request(person: &str, task: Option<&str>) -> Request {
    Request {
        id: Uuid::now_v7(),
        principal_key: person.to_owned(),
        principal_name: format!("{person}@fabrikam.example"),
        policy: r"exchange\remove-*".to_owned(),
        task: task.map(|it| it.parse().unwrap()),
        reason: "it's \"urgent\" \u{1f600}".to_owned(),
        context: vec![("Ticket".to_owned(), "INC-1".to_owned())],
        external_identity: Some("INC-1".to_owned()),
        duration: Duration::hours(4),
        pins: Pins::default(),
        starts: None,
        uses: None,
        extends: None,
        break_glass: false,
        state: RequestState::Pending,
        created: at(0),
        expires: at(24 * 60),
        decided: None,
        decided_by: None,
        comment: None,
        version: 0,
    }
}

fn grant(request: &Request, ends: DateTime<Utc>) -> Grant {
    Grant {
        id: Uuid::now_v7(),
        request: request.id,
        principal_key: request.principal_key.clone(),
        principal_name: request.principal_name.clone(),
        policy: request.policy.clone(),
        task: request.task.clone(),
        starts: at(1),
        ends,
        approved_by: vec!["amy".to_owned(), "bo".to_owned()],
        created: at(1),
        pins: request.pins.clone(),
        uses: None,
        used: 0,
        break_glass: false,
        closed: None,
        reviewed: None,
        version: 0,
    }
}

fn add(request: &Request) -> Write {
    Write::AddRequest {
        request: request.clone(),
        most_pending: 3,
    }
}

fn add_grant(grant: &Grant) -> Write {
    Write::AddGrant {
        grant: grant.clone(),
        most_live: 2,
    }
}

fn vote(name: &str) -> Vote {
    Vote {
        approver_key: format!("local:{name}"),
        approver_name: name.to_owned(),
        groups: vec!["approvers".to_owned()],
        answer: Answer::Approve,
        comment: Some("ok".to_owned()),
        narrowing: Narrowing::default(),
        at: at(1),
    }
}

fn owed(grant: Option<Uuid>) -> OwedRecord {
    OwedRecord {
        id: Uuid::now_v7(),
        grant,
        json: "{\"a\":\"\u{e9}\"}".to_owned(),
    }
}

fn pins() -> Pins {
    Pins(vec![Pin {
        name: "Identity".parse().unwrap(),
        bound: Bound::OneOf(vec![Pinned::Text("ana".to_owned())]),
    }])
}
