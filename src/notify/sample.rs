//! A notice that happened nowhere: what templates are tried with, and `portcullis notify test` sends.

use chrono::{DateTime, Utc};
use url::Url;
use uuid::Uuid;

use crate::model::{Answer, Answered, Deciders, Notice, NoticeKind, ShownParameter};

/// A notice of this kind in which everything is filled in.
pub(super) fn notice(kind: NoticeKind) -> Notice {
    let at = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap_or_default();
    let hours = |hours| at + chrono::TimeDelta::hours(hours);
    let text = |text: &str| Some(text.to_owned());
    Notice {
        id: Uuid::nil(),
        at,
        kind,
        by: text("bo@fabrikam.example"),
        comment: text("Only in the maintenance window."),
        request: Uuid::nil(),
        grant: Some(Uuid::nil()),
        extends: Some(Uuid::nil()),
        requester: "amy@fabrikam.example".to_owned(),
        scope: r"Exchange\New-*".to_owned(),
        task: text(r"Exchange\New-MoveRequest"),
        parameters: vec![ShownParameter {
            name: "Identity".to_owned(),
            value: "cy@fabrikam.example".to_owned(),
        }],
        reason: "Cy moves to the new site.\nThe mailbox has to follow.".to_owned(),
        reference: text("INC-4711"),
        seconds: 4 * 3_600,
        starts: Some(hours(1)),
        ends: Some(hours(5)),
        uses: Some(3),
        touches: vec!["moves mailboxes".to_owned()],
        deciders: vec![Deciders {
            group: "movers".to_owned(),
            address: text("movers@fabrikam.example"),
            members: vec![
                "bo@fabrikam.example".to_owned(),
                "dee@fabrikam.example".to_owned(),
            ],
            approvals: 1,
        }],
        answers: vec![Answered {
            by: "bo@fabrikam.example".to_owned(),
            answer: Answer::Approve,
        }],
        lapses: Some(hours(24)),
        break_glass: false,
    }
}

/// The notice that says nothing but that it arrived.
pub(super) fn test(id: Uuid, by: &str, at: DateTime<Utc>) -> Notice {
    Notice {
        id,
        at,
        kind: NoticeKind::Test,
        by: Some(by.to_owned()),
        comment: None,
        request: id,
        grant: None,
        extends: None,
        requester: by.to_owned(),
        scope: String::new(),
        task: None,
        parameters: Vec::new(),
        reason: String::new(),
        reference: None,
        seconds: 0,
        starts: None,
        ends: None,
        uses: None,
        touches: Vec::new(),
        deciders: Vec::new(),
        answers: Vec::new(),
        lapses: None,
        break_glass: false,
    }
}

/// A place to sign in at.
pub(super) fn link() -> Option<Url> {
    "https://pam.fabrikam.example".parse().ok()
}
