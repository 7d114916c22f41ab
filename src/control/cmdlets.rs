//! The gateway's own cmdlets (exchange-rest section 8): parameters in, acts and views, objects out. Nothing is decided here:
//! what they do is what the workflow does for everybody.

mod arguments;
mod grants;
mod listed;
mod objects;
mod parts;
mod policies;
mod requests;

use uuid::Uuid;

use crate::model::{Command, Object, Value};

use super::desk::Desk;
use super::{Caller, WorkflowError};

use arguments::Arguments;
pub(super) use listed::listed;

/// The longest reason, comment or text of a context, in characters.
const MOST_TEXT: usize = 2_000;

/// The longest external identity, in characters.
const MOST_IDENTITY: usize = 256;

/// The cmdlets that there are.
const CMDLETS: &str = "New-, Get-, Set-, Approve- and Deny-ElevatedAccessRequest, Get-, Set- and Revoke-ElevatedAccessAuthorization, \
    New-, Get-, Set- and Remove-ElevatedAccessApprovalPolicy, and Enable-, Disable- and Get-ElevatedAccessControl";

/// Does what `command` says.
pub(super) async fn answer(
    desk: &Desk,
    caller: &Caller,
    command: &Command,
) -> Result<Vec<Object>, WorkflowError> {
    let arguments = Arguments::new(command);
    let arguments = &arguments;
    arguments.clear()?;
    match command.task.cmdlet.as_str().to_ascii_lowercase().as_str() {
        "new-elevatedaccessrequest" => requests::file(desk, caller, arguments).await,
        "get-elevatedaccessrequest" => requests::list(desk, caller, arguments).await,
        "set-elevatedaccessrequest" => requests::withdraw(desk, caller, arguments).await,
        "approve-elevatedaccessrequest" => requests::approve(desk, caller, arguments).await,
        "deny-elevatedaccessrequest" => requests::deny(desk, caller, arguments).await,
        "get-elevatedaccessauthorization" => grants::list(desk, caller, arguments).await,
        "set-elevatedaccessauthorization" => grants::set(desk, caller, arguments).await,
        "revoke-elevatedaccessauthorization" => grants::revoke(desk, caller, arguments).await,
        "new-elevatedaccessapprovalpolicy" => policies::add(desk, caller, arguments).await,
        "get-elevatedaccessapprovalpolicy" => policies::list(desk, caller, arguments),
        "set-elevatedaccessapprovalpolicy" => policies::change(desk, caller, arguments).await,
        "remove-elevatedaccessapprovalpolicy" => policies::remove(desk, caller, arguments).await,
        "enable-elevatedaccesscontrol" => policies::enable(desk, caller, arguments).await,
        "disable-elevatedaccesscontrol" => policies::disable(desk, caller, arguments).await,
        "get-elevatedaccesscontrol" => policies::control(desk, caller, arguments),
        _ => Err(WorkflowError::Invalid(format!(
            "there is no cmdlet {}; there are {CMDLETS}",
            command.task.cmdlet
        ))),
    }
}

/// The id that `-RequestId` or `-Identity` gives: documentation and catalogue differ in the name, so both mean it.
fn id(arguments: &Arguments<'_>) -> Result<Option<Uuid>, WorkflowError> {
    match (
        id_in(arguments, "RequestId")?,
        id_in(arguments, "Identity")?,
    ) {
        (Some(one), Some(other)) if one != other => Err(WorkflowError::Invalid(
            "-RequestId and -Identity mean the same and say different ids: give one of them"
                .to_owned(),
        )),
        (one, other) => Ok(one.or(other)),
    }
}

fn id_in(arguments: &Arguments<'_>, name: &str) -> Result<Option<Uuid>, WorkflowError> {
    let text = arguments.text(name, MOST_IDENTITY)?;
    text.map(|text| {
        Uuid::try_parse(text.trim()).map_err(|_| {
            WorkflowError::Invalid(format!(
                "-{name} must be an id such as 01890a5d-ac96-774b-bcce-b302099a8057, not `{}`",
                text.escape_debug()
            ))
        })
    })
    .transpose()
}

fn required_id(arguments: &Arguments<'_>) -> Result<Uuid, WorkflowError> {
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
