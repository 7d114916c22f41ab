//! What people are told when something was not done, or not to its end.

use crate::model::{Request, RequestState};
use crate::policy::Policy;
use crate::state::OwnCmdletError;
use crate::store::{MOST_LISTED, StoreError};

use super::desk::{Unfinished, chain, log_unfinished};
use super::lifecycle::InvalidTransition;
use super::record::MOST_PENDING;

/// A policy that does not exist any more.
pub(super) fn gone(request: &Request) -> OwnCmdletError {
    OwnCmdletError::Forbidden(format!(
        "the policy `{}` does not exist any more, so nobody can decide under it, and a grant under it covers nothing; Get-ElevatedAccessApprovalPolicy lists the policies",
        request.policy
    ))
}

/// A policy that nobody can be granted.
pub(super) fn never(policy: &Policy) -> OwnCmdletError {
    OwnCmdletError::Forbidden(format!(
        "the policy `{}` has `approval = \"never\"`: it cannot be granted to anybody",
        policy.scope.text
    ))
}

/// A transition that cannot happen.
pub(super) fn refused(why: &InvalidTransition) -> OwnCmdletError {
    let text = why.to_string();
    match why {
        InvalidTransition::NotApprover { .. } | InvalidTransition::OwnRequest { .. } => {
            OwnCmdletError::Forbidden(text)
        }
        InvalidTransition::AlreadyAnswered { .. }
        | InvalidTransition::AlreadyDecided { .. }
        | InvalidTransition::Lapsed { .. }
        | InvalidTransition::NoGrant { .. }
        | InvalidTransition::NotDue { .. }
        | InvalidTransition::Over { .. }
        | InvalidTransition::TooLong => OwnCmdletError::Invalid(text),
    }
}

/// What is stored but not yet recorded is not acknowledged: the caller is told where it stands.
pub(super) fn finished(
    done: Result<(), Unfinished>,
    request: &Request,
    what: &str,
) -> Result<(), OwnCmdletError> {
    let Err(error) = done else { return Ok(()) };
    log_unfinished(&error);
    let effect = match request.state {
        RequestState::Approved => ", and the grant takes effect only then",
        RequestState::Denied | RequestState::Expired | RequestState::Pending => "",
    };
    Err(OwnCmdletError::Unavailable(format!(
        "the request {} is {what} and stored, but the audit log does not have the record yet ({}); it gets it as soon as it can{effect}: do not do it again",
        request.id,
        chain(&error)
    )))
}

/// What a failing store means to the caller. The details are the operator's.
pub(super) fn not_reached(error: StoreError) -> OwnCmdletError {
    match error {
        StoreError::TooManyPending => OwnCmdletError::Forbidden(format!(
            "you have {MOST_PENDING} pending requests, and more are not taken: wait until some are decided (Get-ElevatedAccessRequest lists up to {MOST_LISTED})"
        )),
        StoreError::Changed => too_busy(),
        error @ (StoreError::Damaged { .. } | StoreError::Unavailable { .. }) => {
            tracing::error!(error = %chain(&error), "Store failed");
            OwnCmdletError::Unavailable(
                "the gateway's store cannot be used now; if you asked for a change, look with Get-ElevatedAccessRequest whether it was made before you repeat it".to_owned(),
            )
        }
    }
}

/// Others were faster, again and again.
pub(super) fn too_busy() -> OwnCmdletError {
    OwnCmdletError::Unavailable(
        "others keep changing this at the same moment: try again".to_owned(),
    )
}
