//! The closed list of what may be asked (exchange-rest section 5.7), by path.

use crate::model::CmdletName;
use crate::policy::SessionCall;

use super::odata;
use super::path::{Behind, Segment, Target};
use super::version::Version;

/// A form of request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Route {
    /// POST `$batch`
    Batch,
    /// POST `InvokeCommand`
    Invoke,
    /// GET of an entity.
    Read,
    /// POST of the official API.
    Resource(&'static Resource),
    /// GET of what sets up a session.
    Session(Session),
}

/// A resource of the official API, and the cmdlets that it takes (exchange-rest section 5.4).
#[derive(Debug, PartialEq)]
pub(super) struct Resource {
    /// Its segment.
    pub(super) name: &'static str,
    cmdlets: &'static [&'static str],
}

impl Resource {
    /// Whether it takes `cmdlet`.
    pub(super) fn takes(&self, cmdlet: &CmdletName) -> bool {
        self.cmdlets.iter().any(|it| cmdlet.is(it))
    }
}

static RESOURCES: &[Resource] = &[
    Resource {
        name: "AcceptedDomain",
        cmdlets: &["Get-AcceptedDomain"],
    },
    Resource {
        name: "DistributionGroupMember",
        cmdlets: &["Get-DistributionGroupMember"],
    },
    Resource {
        name: "DynamicDistributionGroupMember",
        cmdlets: &["Get-DynamicDistributionGroupMember"],
    },
    Resource {
        name: "Mailbox",
        cmdlets: &["Get-Mailbox", "Set-Mailbox"],
    },
    Resource {
        name: "MailboxFolderPermission",
        cmdlets: &[
            "Add-MailboxFolderPermission",
            "Get-MailboxFolderPermission",
            "Remove-MailboxFolderPermission",
            "Set-MailboxFolderPermission",
        ],
    },
    Resource {
        name: "OrganizationConfig",
        cmdlets: &["Get-OrganizationConfig"],
    },
];

/// A call that sets up a session and runs no cmdlet (exchange-rest section 5.1).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Session {
    /// What records call it.
    pub(super) call: SessionCall,
    /// What follows the tenant in the path, slash first; empty for the service's root.
    pub(super) path: String,
}

/// Set-up calls by segment, and whether each has a key.
static SESSIONS: &[(&str, bool)] = &[
    ("$metadata", false),
    ("basicinfo", true),
    ("EXOBanner", true),
    ("EXOHelpFile", false),
    ("EXOModuleFile", false),
];

/// What records call a GET of the service's root.
const ROOT: &str = "ServiceRoot";

/// The form that `target` is of. Actions are compared to the letter; what only reads is compared without case, as known
/// clients vary there (exchange-rest section 5.2).
pub(super) fn route(target: &Target) -> Option<Route> {
    if target.version == Version::V2_0 {
        let [
            Segment {
                name,
                behind: Behind::Nothing,
            },
        ] = target.segments.as_slice()
        else {
            return None;
        };
        let resource = RESOURCES.iter().find(|it| it.name == name)?;
        return (!target.trailing_slash).then_some(Route::Resource(resource));
    }
    if let [
        Segment {
            name,
            behind: Behind::Nothing,
        },
    ] = target.segments.as_slice()
        && !target.trailing_slash
    {
        match name.as_str() {
            "$batch" => return Some(Route::Batch),
            "InvokeCommand" => return Some(Route::Invoke),
            _ => {}
        }
    }
    if let Some(session) = session(&target.segments) {
        return Some(Route::Session(session));
    }
    odata::is_known(&target.segments).then_some(Route::Read)
}

fn session(segments: &[Segment]) -> Option<Session> {
    let segment = match segments {
        [] => {
            let call = SessionCall { name: ROOT };
            let path = String::new();
            return Some(Session { call, path });
        }
        [segment] => segment,
        [_, _, ..] => return None,
    };
    let known = SESSIONS
        .iter()
        .find(|it| it.0.eq_ignore_ascii_case(&segment.name));
    let (name, has_key) = *known?;
    let mut path = format!("/{name}");
    match &segment.behind {
        Behind::Key(literal) if has_key => {
            let is_word = literal.quoted
                && literal.prefix.is_none()
                && !literal.text.is_empty()
                && literal.text.bytes().all(|it| it.is_ascii_alphanumeric());
            if !is_word {
                return None;
            }
            path.push('(');
            literal.write(&mut path);
            path.push(')');
        }
        Behind::Nothing if !has_key => {}
        Behind::Arguments(_) | Behind::Key(_) | Behind::Nothing => return None,
    }
    let call = SessionCall { name };
    Some(Session { call, path })
}
