//! Why something cannot happen to a case, in the words of who tried.

use chrono::{DateTime, Duration, Utc};

use crate::model::{Answer, GrantState, RequestState};

use super::PENDING_FOR;

/// Why an event cannot happen to a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTransition {
    #[error("you have answered this request already ({}); it still needs {missing}", past(*answer))]
    AlreadyAnswered { answer: Answer, missing: String },
    #[error("the request is {} already{}", state.as_str().to_lowercase(), by_whom(by.as_deref()))]
    AlreadyDecided {
        state: RequestState,
        by: Option<String>,
    },
    #[error("the grant was reviewed already by {by}")]
    AlreadyReviewed { by: String },
    #[error(
        "the grant lasts as long already as its policy allows, extensions included: {} hours from its start; file a new request", longest.as_seconds_f64() / 3600.0
    )]
    AtItsLongest { longest: Duration },
    #[error("the policy asks for a comment with each answer")]
    CommentNeeded,
    #[error("the request expired at {}: it was not decided within {} hours; it has to be filed again", shown(*at), PENDING_FOR.num_hours())]
    Lapsed { at: DateTime<Utc> },
    #[error("there is no grant: the request is {}", state.as_str().to_lowercase())]
    NoGrant { state: RequestState },
    #[error("only a member of {groups} may do this")]
    NotApprover { groups: String },
    #[error("the grant was approved before it was made: there is nothing to review")]
    NotBreakGlass,
    #[error("it is not due before {}", shown(*due))]
    NotDue { due: DateTime<Utc> },
    #[error("only its holder, {holder}, may give a grant back")]
    NotHolder { holder: String },
    #[error("only {requester}, who filed it, may withdraw a request")]
    NotRequester { requester: String },
    #[error("the grant covers nothing before {}", shown(*starts))]
    NotStarted { starts: DateTime<Utc> },
    #[error("the grant is {} already{}", spoken(*state), by_whom(by.as_deref()))]
    Over {
        state: GrantState,
        by: Option<String>,
    },
    #[error("nobody can decide an own request: another member of {groups} has to")]
    OwnRequest { groups: String },
    #[error("nobody reviews an own break-glass grant: another member of {groups} has to")]
    OwnReview { groups: String },
    #[error("the grant's end lies beyond what can be told as a time")]
    TooLong,
    #[error("an approval can only narrow what was asked: {how}")]
    Widens { how: String },
}

fn past(answer: Answer) -> &'static str {
    match answer {
        Answer::Approve => "approved",
        Answer::Deny => "denied",
    }
}

fn by_whom(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" by {name}"))
}

fn spoken(state: GrantState) -> &'static str {
    match state {
        GrantState::Active => "active",
        GrantState::Ended => "ended",
        GrantState::Expired => "expired",
        GrantState::Revoked => "revoked",
        GrantState::Scheduled => "scheduled",
        GrantState::UsedUp => "used up",
    }
}

pub(super) fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
