//! The envelope: `{"CmdletInput":{"CmdletName":"…","Parameters":{…}}}`, a closed list of members at each level, each
//! spelled exactly so. A service that reads names more loosely finds no second one to read.

use crate::dialect::{Unreadable, json, shown};
use crate::model::{Command, InvalidName, Parameters, Task, Value, Workload};

use super::parameters;

/// Reads the command in the envelope `body`.
pub(super) fn read(body: Value, workload: &Workload) -> Result<Command, Unreadable> {
    let mut input = None;
    for (name, value) in json::table(body, "the body")? {
        match name.as_str() {
            "CmdletInput" => input = Some(value),
            other => return Err(unknown(other, "the body", "`CmdletInput`")),
        }
    }
    let input = input.ok_or_else(|| missing("the body", "CmdletInput"))?;
    let mut cmdlet = None;
    let mut parameters = Parameters::default();
    for (name, value) in json::table(input, "`CmdletInput`")? {
        match name.as_str() {
            "CmdletName" => cmdlet = Some(json::text(value, "`CmdletName`")?),
            "Parameters" if value == Value::Null => {}
            "Parameters" => parameters = parameters::read(json::table(value, "`Parameters`")?)?,
            other => {
                let known = "`CmdletName` and `Parameters`";
                return Err(unknown(other, "`CmdletInput`", known));
            }
        }
    }
    let cmdlet = cmdlet.ok_or_else(|| missing("`CmdletInput`", "CmdletName"))?;
    let cmdlet = cmdlet
        .parse()
        .map_err(|error: InvalidName| Unreadable::bad("bad-cmdlet-name", error.to_string()))?;
    let workload = workload.clone();
    let task = Task { workload, cmdlet };
    Ok(Command { task, parameters })
}

/// Writes the envelope of `command`.
pub(super) fn write(command: &Command, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"CmdletInput\":{\"CmdletName\":\"");
    // A cmdlet's name is letters, digits and a hyphen.
    out.extend_from_slice(command.task.cmdlet.as_str().as_bytes());
    out.extend_from_slice(b"\",\"Parameters\":");
    parameters::write(&command.parameters, out);
    out.extend_from_slice(b"}}");
}

/// An object lacks a member.
pub(super) fn missing(what: &str, member: &str) -> Unreadable {
    Unreadable::bad("missing-member", format!("{what} has no `{member}`"))
}

/// An object has a member that it may not have.
pub(super) fn unknown(member: &str, what: &str, known: &str) -> Unreadable {
    Unreadable::bad(
        "unknown-member",
        format!(
            "{what} may hold {known} only, spelled so, not `{}`",
            shown(member)
        ),
    )
}
