//! `*-ElevatedAccessAuthorization`.

use crate::control::acting::{self, Act};
use crate::control::desk::Desk;
use crate::control::{Caller, Query, WorkflowError, reading};
use crate::model::{GrantState, Object};
use crate::store::GrantFilter;

use super::arguments::Arguments;
use super::parts::Parts;
use super::{MOST_TEXT, id, objects, required_id};

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
        state: arguments.choice("State", &GrantState::ALL, GrantState::as_str)?,
        holder: arguments.text("Requestor", MOST_TEXT)?,
        awaiting_review: arguments.switch("AwaitsReview")?,
        ..GrantFilter::default()
    };
    let grants = if let Some(id) = id(arguments)? {
        vec![reading::grant(desk, caller, id).await?]
    } else {
        let mut query = Query {
            filter,
            ..Query::default()
        };
        let mut parts = Parts::default();
        while parts.add(
            reading::grants(desk, &caller.principal, &query).await?,
            &mut query,
        ) {}
        parts.items
    };
    let now = desk.now();
    Ok(grants
        .iter()
        .map(|it| objects::authorization(it, now))
        .collect())
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
