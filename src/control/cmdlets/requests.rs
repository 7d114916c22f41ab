//! `*-ElevatedAccessRequest`.

use chrono::TimeDelta;
use uuid::Uuid;

use crate::control::acting;
use crate::control::asking::MOST_HOURS;
use crate::control::desk::Desk;
use crate::control::filing;
use crate::control::{Ask, Asked, Caller, Case, Manner, Query, Reply, WorkflowError, reading};
use crate::model::{Answer, Narrowing, Object, RequestState, Task};
use crate::store::RequestFilter;

use super::arguments::Arguments;
use super::parts::Parts;
use super::{MOST_IDENTITY, MOST_TEXT, id, id_in, objects, required_id};

/// The most uses that can be asked for.
const MOST_USES: u32 = 1_000_000;

/// The parameters that bound what a grant will cover.
const NARROWING: &[&str] = &[
    "DurationHours",
    "Parameters",
    "StartTimeUtc",
    "Task",
    "Uses",
];

/// `New-ElevatedAccessRequest`
pub(super) async fn file(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&[
        "Task",
        "Role",
        "RoleGroup",
        "Extend",
        "Reason",
        "DurationHours",
        "StartTimeUtc",
        "Uses",
        "Parameters",
        "BreakGlass",
        "ExternalIdentity",
        "RequestContext",
    ])?;
    arguments.none_empty(NARROWING)?;
    let manner = if arguments.switch("BreakGlass")? {
        Manner::BreakGlass
    } else {
        Manner::Ordinary
    };
    let (scope, what) = asked(arguments)?;
    let ask = Ask {
        scope,
        reason: arguments.text("Reason", MOST_TEXT)?.unwrap_or_default(),
        duration: hours(arguments)?,
        starts: arguments.time("StartTimeUtc")?,
        uses: arguments.whole_number("Uses", MOST_USES)?,
        pins: arguments.pins("Parameters")?,
        manner,
        context: arguments.table("RequestContext")?,
        external_identity: arguments.text("ExternalIdentity", MOST_IDENTITY)?,
    };
    let doing = match manner {
        Manner::BreakGlass => format!("take a grant for {what} without approval"),
        Manner::Ordinary => format!("file a request for {what}"),
    };
    if let Some(trial) = arguments.trial(&doing) {
        return Ok(trial);
    }
    let filed = filing::file(desk, caller, &ask).await?;
    Ok(vec![shown(desk, &filed.case)])
}

/// What is asked for, and how to call it.
fn asked(arguments: &Arguments<'_>) -> Result<(Asked, String), WorkflowError> {
    let task = arguments.text("Task", MOST_TEXT)?;
    let role = arguments.text("Role", MOST_TEXT)?;
    let group = arguments.text("RoleGroup", MOST_TEXT)?;
    let extended = id_in(arguments, "Extend")?;
    match (task, role, group, extended) {
        (Some(task), None, None, None) => {
            let what = format!("`{task}`");
            Ok((Asked::Scope(task), what))
        }
        (task, Some(role), None, None) => of_policy(format!("role:{role}"), task.as_deref()),
        (task, None, Some(group), None) => of_policy(format!("role-group:{group}"), task.as_deref()),
        (None, None, None, Some(grant)) => Ok((
            Asked::Extension(grant),
            format!("the extension of the authorization {grant}"),
        )),
        (None, None, None, None) if arguments.has("Reason") => Err(arguments.missing(&["Task"])),
        (None, None, None, None) => Err(arguments.missing(&["Task", "Reason"])),
        _ => Err(WorkflowError::Invalid(
            "give one of -Task, -Role, -RoleGroup and -Extend; -Task beside -Role or -RoleGroup narrows it to that task"
                .to_owned(),
        )),
    }
}

fn of_policy(scope: String, task: Option<&str>) -> Result<(Asked, String), WorkflowError> {
    let task = task.map(parsed).transpose()?;
    let what = match &task {
        Some(task) => format!("`{task}` of `{scope}`"),
        None => format!("`{scope}`"),
    };
    Ok((Asked::Policy { scope, task }, what))
}

fn parsed(task: &str) -> Result<Task, WorkflowError> {
    task.parse().map_err(|_| {
        WorkflowError::Invalid(format!(
            r"-Task must be a task such as `Exchange\New-MoveRequest`, not `{}`",
            task.escape_debug()
        ))
    })
}

fn hours(arguments: &Arguments<'_>) -> Result<Option<TimeDelta>, WorkflowError> {
    let hours = arguments.whole_number("DurationHours", MOST_HOURS)?;
    Ok(hours.map(|it| TimeDelta::hours(i64::from(it))))
}

/// `Get-ElevatedAccessRequest`
pub(super) async fn list(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&["RequestId", "Identity", "Status", "Requestor"])?;
    let filter = RequestFilter {
        state: arguments.choice("Status", &RequestState::ALL, RequestState::as_str)?,
        requester: arguments.text("Requestor", MOST_TEXT)?,
        ..RequestFilter::default()
    };
    let cases = if let Some(id) = id(arguments)? {
        vec![reading::request(desk, caller, id).await?]
    } else {
        let mut query = Query {
            filter,
            ..Query::default()
        };
        let mut parts = Parts::default();
        while parts.add(
            reading::requests(desk, &caller.principal, &query).await?,
            &mut query,
        ) {}
        parts.items
    };
    Ok(cases.iter().map(|case| shown(desk, case)).collect())
}

/// `Approve-ElevatedAccessRequest`
pub(super) async fn approve(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&[
        "RequestId",
        "Identity",
        "Comment",
        "RequestContext",
        "DurationHours",
        "StartTimeUtc",
        "Uses",
        "Parameters",
        "Task",
    ])?;
    arguments.none_empty(NARROWING)?;
    let task = arguments.text("Task", MOST_TEXT)?;
    let narrowing = Narrowing {
        duration: hours(arguments)?,
        starts: arguments.time("StartTimeUtc")?,
        uses: arguments.whole_number("Uses", MOST_USES)?,
        pins: arguments.pins("Parameters")?,
        task: task.as_deref().map(parsed).transpose()?,
    };
    reply(desk, caller, arguments, Answer::Approve, narrowing).await
}

/// `Deny-ElevatedAccessRequest`
pub(super) async fn deny(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&["RequestId", "Identity", "Comment", "RequestContext"])?;
    reply(desk, caller, arguments, Answer::Deny, Narrowing::default()).await
}

async fn reply(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
    answer: Answer,
    narrowing: Narrowing,
) -> Result<Vec<Object>, WorkflowError> {
    let request = required_id(arguments)?;
    let reply = Reply {
        request,
        answer,
        comment: arguments.text("Comment", MOST_TEXT)?,
        narrowing,
        context: arguments.table("RequestContext")?,
    };
    let verb = match answer {
        Answer::Approve => "approve",
        Answer::Deny => "deny",
    };
    if let Some(trial) = arguments.trial(&format!("{verb} the request {request}")) {
        return Ok(trial);
    }
    let case = acting::reply(desk, caller, reply).await?;
    Ok(vec![shown(desk, &case)])
}

/// `Set-ElevatedAccessRequest -Withdraw`
pub(super) async fn withdraw(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&["RequestId", "Identity", "Withdraw", "Comment"])?;
    let request: Uuid = required_id(arguments)?;
    let comment = arguments.text("Comment", MOST_TEXT)?;
    if !arguments.switch("Withdraw")? {
        return Err(arguments.missing(&["Withdraw"]));
    }
    if let Some(trial) = arguments.trial(&format!("withdraw the request {request}")) {
        return Ok(trial);
    }
    let case = acting::withdraw(desk, caller, request, comment).await?;
    Ok(vec![shown(desk, &case)])
}

fn shown(desk: &Desk, case: &Case) -> Object {
    objects::request(case, &desk.state.snapshot().policies, desk.now())
}
