//! From a server's envelope to a [`Response`].

use uuid::Uuid;

use crate::dialect::psrp::xml::{Element, Limits};
use crate::dialect::{Unreadable, shown};

use super::fields::{attributes, bad, envelope, id, missing, once, parts, payload, text, unknown};
use super::{
    ADDRESSING, CommandState, ENVELOPE, FAULT, Fault, Received, Response, SHELL, Subcode, TRANSFER,
    WSMAN, WSMAN_FAULT_ACTION,
};

const LIMITS: Limits = Limits {
    depth: 16,
    elements: 8192,
    attributes: 24,
};
/// `E_FAIL`, for a fault without a number.
const UNKNOWN: u32 = 0x8000_4005;
/// The longest text of a fault that is passed on.
const MAX_FAULT_BYTES: usize = 4096;

/// Reads the answer to the request `message`.
pub fn read_response(bytes: &[u8], message: Uuid) -> Result<Response, Unreadable> {
    let root = envelope(bytes, &LIMITS)?;
    let parts = parts(&root)?;
    let mut action = None;
    let mut relates = None;
    for header in parts.headers {
        // Others are passed over: nothing of them is written again.
        match (header.namespace, header.name) {
            (ADDRESSING, "Action") => once(&mut action, text(header)?, header)?,
            (ADDRESSING, "RelatesTo") => once(&mut relates, text(header)?, header)?,
            _ => {}
        }
    }
    let action = action.ok_or_else(|| missing("Action"))?;
    let is_fault = action == WSMAN_FAULT_ACTION || action.ends_with("/fault");
    match relates {
        Some(it) if id(it)? == message => {}
        // A server that could not read the request does not know its id.
        None if is_fault => {}
        Some(_) | None => {
            return Err(bad("soap-relates-to", "the answer is to another request"));
        }
    }
    if is_fault {
        return match parts.body {
            [fault] if fault.is(ENVELOPE, "Fault") => read_fault(fault).map(Response::Fault),
            _ => Err(bad("soap-body", "a fault is not in the body")),
        };
    }
    let name = action
        .strip_prefix(SHELL)
        .or_else(|| action.strip_prefix(TRANSFER))
        .unwrap_or_default();
    match (name, parts.body) {
        ("/CreateResponse", body) => created(body),
        ("/DeleteResponse", []) => Ok(Response::Deleted),
        ("/CommandResponse", [it]) if it.is(SHELL, "CommandResponse") => {
            match it.children.as_slice() {
                [command] if command.is(SHELL, "CommandId") => Ok(Response::Started {
                    command: id(text(command)?)?,
                }),
                _ => Err(unknown(it)),
            }
        }
        ("/ReceiveResponse", [it]) if it.is(SHELL, "ReceiveResponse") => {
            received(it).map(Response::Received)
        }
        ("/SendResponse", [it]) if it.is(SHELL, "SendResponse") => Ok(Response::Sent),
        ("/SignalResponse", [it]) if it.is(SHELL, "SignalResponse") => Ok(Response::Signalled),
        _ => {
            let text = format!("the answer `{}` is not one that is known", shown(action));
            Err(Unreadable::bad("soap-action", text))
        }
    }
}

fn created(body: &[Element<'_>]) -> Result<Response, Unreadable> {
    let created = body
        .iter()
        .find(|it| it.is(TRANSFER, "ResourceCreated"))
        .ok_or_else(|| missing("ResourceCreated"))?;
    let mut selectors = created
        .children
        .iter()
        .filter(|it| it.is(ADDRESSING, "ReferenceParameters"))
        .flat_map(|it| &it.children)
        .filter(|it| it.is(WSMAN, "SelectorSet"))
        .flat_map(|it| &it.children);
    match (selectors.next(), selectors.next()) {
        (Some(selector), None) => Ok(Response::Created {
            shell: id(text(selector)?)?,
        }),
        _ => Err(bad(
            "soap-selector",
            "the answer does not name the one shell",
        )),
    }
}

fn received(element: &Element<'_>) -> Result<Received, Unreadable> {
    let mut received = Received::default();
    for child in &element.children {
        match (child.namespace, child.name) {
            (SHELL, "Stream") => {
                let [name, command, _, _, _] =
                    attributes(child, ["Name", "CommandId", "End", "Unit", "EndUnit"])?;
                if name != Some("stdout") {
                    return Err(bad("soap-streams", "the one stream of output is `stdout`"));
                }
                let data = payload(child)?;
                if !data.is_empty() {
                    received.output.push((command.map(id).transpose()?, data));
                }
            }
            (SHELL, "CommandState") => {
                let [command, state] = attributes(child, ["CommandId", "State"])?;
                let command = id(command.ok_or_else(|| missing("CommandId"))?)?;
                let state = state.and_then(|it| it.strip_prefix(SHELL));
                let state = match state {
                    Some("/CommandState/Done") => CommandState::Done,
                    Some("/CommandState/Pending" | "/CommandState/Running") => {
                        CommandState::Running
                    }
                    Some(_) | None => return Err(unknown(child)),
                };
                once(&mut received.state, (command, state), child)?;
            }
            _ => return Err(unknown(child)),
        }
    }
    Ok(received)
}

fn read_fault(element: &Element<'_>) -> Result<Fault, Unreadable> {
    let mut subcode = Subcode::InternalError;
    let mut reason = None;
    let mut number = None;
    let mut message = None;
    for part in &element.children {
        match (part.namespace, part.name) {
            (ENVELOPE, "Code") => {
                let value = part
                    .children
                    .iter()
                    .filter(|it| it.is(ENVELOPE, "Subcode"))
                    .flat_map(|it| &it.children)
                    .find(|it| it.is(ENVELOPE, "Value"));
                if let Some(value) = value {
                    let value = text(value)?;
                    let name = value.split_once(':').map_or(value, |it| it.1);
                    let known = Subcode::ALL.iter().find(|it| it.name() == name);
                    subcode = known.copied().unwrap_or(Subcode::InternalError);
                }
            }
            (ENVELOPE, "Reason") => {
                reason = part.children.first().map(text).transpose()?;
            }
            (ENVELOPE, "Detail") => {
                for detail in part.children.iter().filter(|it| it.is(FAULT, "WSManFault")) {
                    let code = detail.attributes.iter().find(|it| it.name == "Code");
                    number = code.and_then(|it| it.value.parse::<u32>().ok());
                    message = detail
                        .children
                        .iter()
                        .find(|it| it.is(FAULT, "Message"))
                        .filter(|it| it.children.is_empty())
                        .map(|it| &*it.text);
                }
            }
            _ => {}
        }
    }
    let text = message
        .filter(|it| !it.is_empty())
        .or(reason)
        .unwrap_or("the server refused");
    let mut text = text.to_owned();
    while text.len() > MAX_FAULT_BYTES {
        text.pop();
    }
    Ok(Fault {
        code: number.unwrap_or(UNKNOWN),
        subcode,
        text,
    })
}
