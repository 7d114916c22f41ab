//! The gateway's own cmdlets (exchange-rest section 8): parameters in, acts and views, objects out.

mod arguments;
mod objects;

use uuid::Uuid;

use crate::model::{Answer, Command, Object, Value};
use crate::state::OwnCmdletError;

use super::Caller;
use super::desk::Desk;
use super::refusals::not_reached;
use super::workflow::{Ask, MOST_HOURS, Reply};
use super::{reading, workflow};

use arguments::Arguments;

/// The longest reason, comment or text of a context, in characters.
const MOST_TEXT: usize = 2_000;

/// The longest external identity, in characters.
const MOST_IDENTITY: usize = 256;

/// The cmdlets that there are.
const CMDLETS: &str = "New-, Get-, Approve- and Deny-ElevatedAccessRequest, Get- and Revoke-ElevatedAccessAuthorization, \
    Get-ElevatedAccessApprovalPolicy and Get-ElevatedAccessControl";

/// Does what `command` says.
pub(super) async fn answer(
    desk: &Desk,
    caller: &Caller,
    command: &Command,
) -> Result<Vec<Object>, OwnCmdletError> {
    let arguments = Arguments::new(command);
    match command.task.cmdlet.as_str().to_ascii_lowercase().as_str() {
        "new-elevatedaccessrequest" => new_request(desk, caller, &arguments).await,
        "get-elevatedaccessrequest" => get_request(desk, caller, &arguments).await,
        "approve-elevatedaccessrequest" => reply(desk, caller, &arguments, Answer::Approve).await,
        "deny-elevatedaccessrequest" => reply(desk, caller, &arguments, Answer::Deny).await,
        "get-elevatedaccessauthorization" => get_authorization(desk, caller, &arguments).await,
        "revoke-elevatedaccessauthorization" => revoke(desk, caller, &arguments).await,
        "get-elevatedaccessapprovalpolicy" => get_policy(desk, &arguments),
        "get-elevatedaccesscontrol" => get_control(desk, caller, &arguments),
        "new-elevatedaccessapprovalpolicy"
        | "remove-elevatedaccessapprovalpolicy"
        | "set-elevatedaccessapprovalpolicy" => Err(OwnCmdletError::Invalid(format!(
            "{} is not supported: policies come from files; edit the `*.toml` files in the directory that `[policies] directory` of the gateway's configuration names, and they are read again",
            command.task.cmdlet
        ))),
        "disable-elevatedaccesscontrol"
        | "enable-elevatedaccesscontrol"
        | "set-elevatedaccesscontrol" => Err(OwnCmdletError::Invalid(format!(
            "{} is not supported: set `[access_control] mode` in the gateway's configuration (enforce, report-only or disabled); system accounts are `[[exemption]]` entries of the policy files",
            command.task.cmdlet
        ))),
        _ => Err(OwnCmdletError::Invalid(format!(
            "there is no cmdlet {}; there are {CMDLETS}",
            command.task.cmdlet
        ))),
    }
}

async fn new_request(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, OwnCmdletError> {
    arguments.only(&[
        "Task",
        "Reason",
        "DurationHours",
        "ExternalIdentity",
        "RequestContext",
        "Role",
        "RoleGroup",
    ])?;
    if let Some(unsupported) = ["Role", "RoleGroup"]
        .into_iter()
        .find(|it| arguments.has(it))
    {
        return Err(OwnCmdletError::Invalid(format!(
            r"-{unsupported} is not supported yet: ask for a task, such as -Task 'Exchange\New-MoveRequest'"
        )));
    }
    arguments.required(&["Task", "Reason"])?;
    let ask = Ask {
        scope: arguments.text("Task", MOST_TEXT)?.unwrap_or_default(),
        reason: arguments.text("Reason", MOST_TEXT)?.unwrap_or_default(),
        hours: arguments.whole_number("DurationHours", MOST_HOURS)?,
        context: arguments.table("RequestContext")?,
        external_identity: arguments.text("ExternalIdentity", MOST_IDENTITY)?,
    };
    if let Some(trial) = arguments.trial(&format!("file a request for `{}`", ask.scope)) {
        return Ok(trial);
    }
    let case = workflow::file(desk, caller, &ask).await?;
    Ok(vec![objects::request(
        &case,
        &desk.state.snapshot().policies,
        desk.now(),
    )])
}

async fn get_request(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, OwnCmdletError> {
    arguments.only(&["RequestId", "Identity"])?;
    let cases = match id(arguments)? {
        Some(id) => vec![reading::request(desk, &caller.principal, id).await?],
        None => reading::requests(desk, &caller.principal)
            .await
            .map_err(not_reached)?,
    };
    let snapshot = desk.state.snapshot();
    let now = desk.now();
    Ok(cases
        .iter()
        .map(|case| objects::request(case, &snapshot.policies, now))
        .collect())
}

async fn reply(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
    answer: Answer,
) -> Result<Vec<Object>, OwnCmdletError> {
    arguments.only(&["RequestId", "Identity", "Comment", "RequestContext"])?;
    let request = required_id(arguments)?;
    let comment = arguments.text("Comment", MOST_TEXT)?;
    let context = arguments.table("RequestContext")?;
    let verb = match answer {
        Answer::Approve => "approve",
        Answer::Deny => "deny",
    };
    if let Some(trial) = arguments.trial(&format!("{verb} the request {request}")) {
        return Ok(trial);
    }
    let reply = Reply {
        request,
        answer,
        comment,
        context,
    };
    let case = workflow::reply(desk, caller, &reply).await?;
    Ok(vec![objects::request(
        &case,
        &desk.state.snapshot().policies,
        desk.now(),
    )])
}

async fn get_authorization(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, OwnCmdletError> {
    arguments.only(&["RequestId", "Identity", "Requestor"])?;
    let requestor = arguments.text("Requestor", MOST_TEXT)?;
    let mut grants = match id(arguments)? {
        Some(id) => vec![reading::grant(desk, &caller.principal, id).await?],
        None => reading::grants(desk, &caller.principal)
            .await
            .map_err(not_reached)?,
    };
    if let Some(requestor) = requestor {
        grants.retain(|it| {
            it.principal_name.to_lowercase() == requestor.to_lowercase()
                || it.principal_key.eq_ignore_ascii_case(&requestor)
        });
    }
    let now = desk.now();
    Ok(grants
        .iter()
        .map(|it| objects::authorization(it, now))
        .collect())
}

async fn revoke(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, OwnCmdletError> {
    arguments.only(&["RequestId", "Identity", "Comment"])?;
    let id = required_id(arguments)?;
    let comment = arguments.text("Comment", MOST_TEXT)?;
    if let Some(trial) = arguments.trial(&format!("revoke the authorization {id}")) {
        return Ok(trial);
    }
    let grant = workflow::revoke(desk, caller, id, comment.as_deref()).await?;
    Ok(vec![objects::authorization(&grant, desk.now())])
}

fn get_policy(desk: &Desk, arguments: &Arguments<'_>) -> Result<Vec<Object>, OwnCmdletError> {
    arguments.only(&["Identity"])?;
    let snapshot = desk.state.snapshot();
    let policies = &snapshot.policies;
    match arguments.text("Identity", MOST_TEXT)? {
        None => Ok(policies.policies().iter().map(objects::policy).collect()),
        Some(identity) => match policies.policy(&identity) {
            Some(policy) => Ok(vec![objects::policy(policy)]),
            None => Err(OwnCmdletError::NotFound(format!(
                "there is no policy `{}`; Get-ElevatedAccessApprovalPolicy without parameters lists them",
                identity.escape_debug()
            ))),
        },
    }
}

fn get_control(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, OwnCmdletError> {
    arguments.only(&["Identity"])?;
    let snapshot = desk.state.snapshot();
    Ok(vec![objects::control(&snapshot, &caller.principal)])
}

/// The id that `-RequestId` or `-Identity` gives: documentation and catalogue differ in the name, so both mean it.
fn id(arguments: &Arguments<'_>) -> Result<Option<Uuid>, OwnCmdletError> {
    let of = |name| {
        let text = arguments.text(name, MOST_IDENTITY)?;
        text.map(|text| {
            Uuid::try_parse(text.trim()).map_err(|_| {
                OwnCmdletError::Invalid(format!(
                    "-{name} must be an id such as 01890a5d-ac96-774b-bcce-b302099a8057, not `{}`",
                    text.escape_debug()
                ))
            })
        })
        .transpose()
    };
    match (of("RequestId")?, of("Identity")?) {
        (Some(one), Some(other)) if one != other => Err(OwnCmdletError::Invalid(
            "-RequestId and -Identity mean the same and say different ids: give one of them"
                .to_owned(),
        )),
        (one, other) => Ok(one.or(other)),
    }
}

fn required_id(arguments: &Arguments<'_>) -> Result<Uuid, OwnCmdletError> {
    match id(arguments)? {
        Some(id) => Ok(id),
        None => Err(arguments.missing(&["RequestId"])),
    }
}

/// A text of the gateway in place of a result.
fn message(text: String) -> Object {
    Object {
        type_name: "ElevatedAccessMessage",
        properties: vec![("Message", crate::model::Property::Plain(Value::Text(text)))],
    }
}
