//! `*-ElevatedAccessAuthorization`.

use crate::control::acting::{self, Act};
use crate::control::desk::Desk;
use crate::control::{Caller, Query, WorkflowError, reading};
use crate::model::{GrantState, Object};
use crate::store::GrantFilter;

use super::arguments::Arguments;
use super::{MOST_IDENTITY, MOST_TEXT, id, objects, required_id};

/// `Get-ElevatedAccessAuthorization`
pub(super) async fn list(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&[
        "RequestId",
        "Identity",
        "Requestor",
        "State",
        "AwaitsReview",
    ])?;
    let filter = GrantFilter {
        state: state(arguments)?,
        holder: arguments.text("Requestor", MOST_TEXT)?,
        awaiting_review: arguments.switch("AwaitsReview")?,
        ..GrantFilter::default()
    };
    let grants = if let Some(id) = id(arguments)? {
        vec![reading::grant(desk, caller, id).await?]
    } else {
        let query = Query {
            filter,
            ..Query::default()
        };
        reading::grants(desk, &caller.principal, &query)
            .await?
            .items
    };
    let now = desk.now();
    Ok(grants
        .iter()
        .map(|it| objects::authorization(it, now))
        .collect())
}

fn state(arguments: &Arguments<'_>) -> Result<Option<GrantState>, WorkflowError> {
    let Some(text) = arguments.text("State", MOST_IDENTITY)? else {
        return Ok(None);
    };
    let known = GrantState::ALL
        .into_iter()
        .find(|it| it.as_str().eq_ignore_ascii_case(&text));
    known.map(Some).ok_or_else(|| {
        let all = GrantState::ALL.map(GrantState::as_str);
        WorkflowError::Invalid(format!("-State must be one of {}", all.join(", ")))
    })
}

/// `Set-ElevatedAccessAuthorization -End` by its holder, or `-Review` by an approver.
pub(super) async fn set(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&["RequestId", "Identity", "End", "Review", "Comment"])?;
    let comment = arguments.text("Comment", MOST_TEXT)?;
    let (act, verb) = match (arguments.switch("End")?, arguments.switch("Review")?) {
        (true, false) => (Act::End { comment }, "end"),
        (false, true) => (Act::Review { comment }, "mark as reviewed"),
        (true, true) | (false, false) => {
            return Err(WorkflowError::Invalid(
                "Set-ElevatedAccessAuthorization needs one of -End (its holder gives it back) and -Review (an approver has looked at a break-glass grant)"
                    .to_owned(),
            ));
        }
    };
    change(desk, caller, arguments, act, verb).await
}

/// `Revoke-ElevatedAccessAuthorization`
pub(super) async fn revoke(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&["RequestId", "Identity", "Comment"])?;
    let comment = arguments.text("Comment", MOST_TEXT)?;
    change(desk, caller, arguments, Act::Revoke { comment }, "revoke").await
}

async fn change(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
    act: Act,
    verb: &str,
) -> Result<Vec<Object>, WorkflowError> {
    let id = required_id(arguments)?;
    if let Some(trial) = arguments.trial(&format!("{verb} the authorization {id}")) {
        return Ok(trial);
    }
    let grant = acting::on_grant(desk, caller, id, act).await?;
    Ok(vec![objects::authorization(&grant, desk.now())])
}
