mod grants;
mod quorum;
mod table;
mod votes;

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::model::{
    Bound, GrantState, HowClosed, Interner, Pin, Pinned, Pins, PrincipalId, PrincipalKind,
    RequestState,
};
use crate::policy::{Place, PolicyFile, PolicySet};

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::minutes(minute)
}

fn person(key: &str, name: &str) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        key: key.to_owned(),
        id: PrincipalId(0),
        name: name.to_owned(),
        groups: Vec::new(),
        tenant: None,
        identity: "test".to_owned(),
    }
}

fn group(name: &str, members: &[&str]) -> Group {
    Group {
        name: name.to_owned(),
        email: None,
        members: members.iter().map(|it| (*it).to_owned()).collect(),
        claim: None,
        place: Place {
            file: "p.toml".to_owned(),
            line: 1,
        },
    }
}

fn case() -> Case {
    Case {
        request: Request {
            id: Uuid::from_u128(1),
            principal_key: "ann".to_owned(),
            principal_name: "Ann".to_owned(),
            policy: r"exchange\remove-*".to_owned(),
            task: None,
            reason: "r".to_owned(),
            context: Vec::new(),
            external_identity: None,
            duration: Duration::hours(4),
            pins: Pins::default(),
            starts: None,
            uses: None,
            extends: None,
            break_glass: false,
            state: RequestState::Pending,
            created: at(0),
            expires: at(0) + PENDING_FOR,
            decided: None,
            decided_by: None,
            comment: None,
            version: 0,
        },
        votes: Vec::new(),
        grant: None,
        extended: None,
    }
}

fn quorum(groups: Vec<&Group>, approvals: u32) -> Quorum<'_> {
    Quorum::new(groups, approvals, People::default())
}

fn rules<'a>(quorum: &'a Quorum<'a>) -> Rules<'a> {
    Rules {
        quorum,
        longest: Duration::hours(4_320),
        most_uses: None,
        comment: Comment::Optional,
        grant: Uuid::from_u128(2),
    }
}

fn voted(
    case: &Case,
    by: &str,
    answer: Answer,
    quorum: &Quorum<'_>,
    minute: i64,
) -> Result<(Case, Vec<Effect>), InvalidTransition> {
    let event = Event::Voted {
        by: &person(&by.to_lowercase(), by),
        answer,
        comment: None,
        narrowing: Narrowing::default(),
        rules: rules(quorum),
    };
    apply(case, event, at(minute))
}

fn narrowed(
    case: &Case,
    by: &str,
    narrowing: &Narrowing,
    quorum: &Quorum<'_>,
) -> Result<Case, InvalidTransition> {
    let event = Event::Voted {
        by: &person(by, by),
        answer: Answer::Approve,
        comment: None,
        narrowing: narrowing.clone(),
        rules: rules(quorum),
    };
    apply(case, event, at(1)).map(|it| it.0)
}
