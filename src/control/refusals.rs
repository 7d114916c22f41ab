//! What people are told when something was not done, or not to its end.

use crate::model::{Request, RequestState};
use crate::policy::Policy;
use crate::state::OwnCmdletError;
use crate::store::StoreError;

use super::desk::{Unfinished, chain, log_unfinished};
use super::lifecycle::InvalidTransition;
use super::record::{MOST_LIVE, MOST_PENDING};
use super::words::Words;

/// Why something was not done. Each text is for the person who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkflowError {
    /// It does not go with what has happened since: somebody else was faster, or time was.
    #[error("{0}")]
    Conflict(String),
    /// The person may not.
    #[error("{0}")]
    Forbidden(String),
    /// What was said is wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing, or it is not the person's to know of.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be stored or recorded now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<WorkflowError> for OwnCmdletError {
    fn from(error: WorkflowError) -> Self {
        match error {
            WorkflowError::Conflict(text) | WorkflowError::Invalid(text) => Self::Invalid(text),
            WorkflowError::Forbidden(text) => Self::Forbidden(text),
            WorkflowError::NotFound(text) => Self::NotFound(text),
            WorkflowError::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

/// A transition that cannot happen, and what can, in the words of who tried.
pub(super) fn refused(why: &InvalidTransition, words: &Words) -> WorkflowError {
    let text = match why {
        InvalidTransition::CommentNeeded => format!("{why}: give one with {}", words.comment),
        InvalidTransition::NotHolder { .. } => {
            format!(
                "{why}; approvers and operators revoke it with {}",
                words.revoke
            )
        }
        InvalidTransition::NotRequester { .. } => {
            format!("{why}; approvers deny it with {}", words.deny)
        }
        _ => why.to_string(),
    };
    match why {
        InvalidTransition::NotApprover { .. }
        | InvalidTransition::NotHolder { .. }
        | InvalidTransition::NotRequester { .. }
        | InvalidTransition::OwnRequest { .. }
        | InvalidTransition::OwnReview { .. } => WorkflowError::Forbidden(text),
        InvalidTransition::AlreadyAnswered { .. }
        | InvalidTransition::AlreadyDecided { .. }
        | InvalidTransition::AlreadyReviewed { .. }
        | InvalidTransition::AtItsLongest { .. }
        | InvalidTransition::Lapsed { .. }
        | InvalidTransition::NoGrant { .. }
        | InvalidTransition::NotBreakGlass
        | InvalidTransition::NotDue { .. }
        | InvalidTransition::NotStarted { .. }
        | InvalidTransition::Over { .. } => WorkflowError::Conflict(text),
        InvalidTransition::CommentNeeded
        | InvalidTransition::TooLong
        | InvalidTransition::Widens { .. } => WorkflowError::Invalid(text),
    }
}

/// A policy that does not exist any more.
pub(super) fn gone(request: &Request, words: &Words) -> WorkflowError {
    WorkflowError::Forbidden(format!(
        "the policy `{}` does not exist any more, so nobody can decide under it, and a grant under it covers nothing; {} lists the policies",
        request.policy, words.policies
    ))
}

/// A policy that nobody can be granted.
pub(super) fn never(policy: &Policy) -> WorkflowError {
    WorkflowError::Forbidden(format!(
        "the policy `{}` has `approval = \"never\"`: it cannot be granted to anybody",
        policy.scope.text
    ))
}

/// What is stored but not yet recorded is not acknowledged: the caller is told where it stands.
pub(super) fn finished(
    done: Result<(), Unfinished>,
    request: &Request,
    what: &str,
) -> Result<(), WorkflowError> {
    let Err(error) = done else { return Ok(()) };
    log_unfinished(&error);
    let effect = match request.state {
        RequestState::Approved => ", and the grant takes effect only then",
        RequestState::Denied
        | RequestState::Expired
        | RequestState::Pending
        | RequestState::Withdrawn => "",
    };
    Err(WorkflowError::Unavailable(format!(
        "the request {} is {what} and stored, but the audit log does not have the record yet ({}); it gets it as soon as it can{effect}: do not do it again",
        request.id,
        chain(&error)
    )))
}

/// The same, of something that is done already: a grant that is over, a policy, a setting.
pub(super) fn done_but_unrecorded(error: &Unfinished, what: &str) -> WorkflowError {
    log_unfinished(error);
    WorkflowError::Unavailable(format!(
        "{what}, but the audit log does not have the record yet ({}); it gets it as soon as it can: do not do it again",
        chain(error)
    ))
}

/// What a failing store means to the caller. The details are the operator's.
pub(super) fn not_reached(error: StoreError) -> WorkflowError {
    match error {
        StoreError::TooManyPending => WorkflowError::Forbidden(format!(
            "you have {MOST_PENDING} pending requests, and more are not taken: wait until some are decided, or withdraw some"
        )),
        StoreError::TooManyGrants => WorkflowError::Conflict(format!(
            "{MOST_LIVE} grants of this person under this policy are in force, scheduled, or used up and not over yet, and more are not made: have some given back or revoked, or wait until they end"
        )),
        StoreError::Changed => too_busy(),
        error @ (StoreError::Damaged { .. } | StoreError::Unavailable { .. }) => {
            tracing::error!(error = %chain(&error), "Store failed");
            WorkflowError::Unavailable(
                "the gateway's store cannot be used now; if you asked for a change, look whether it was made before you repeat it".to_owned(),
            )
        }
    }
}

/// What a failing store means to the caller where some of it is done.
pub(super) fn half_done(error: StoreError, done: &str) -> WorkflowError {
    let why = not_reached(error);
    WorkflowError::Unavailable(format!("{done}: {why}"))
}

/// Others were faster, again and again.
pub(super) fn too_busy() -> WorkflowError {
    WorkflowError::Unavailable("others keep changing this at the same moment: try again".to_owned())
}
