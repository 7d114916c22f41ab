//! What people can do next, in the words of the door by which they came: a cmdlet's caller reads of cmdlets, a program of paths
//! and members, somebody at a shell of commands.

use super::{Caller, Tool, Via};

/// How one door calls things.
#[derive(Debug)]
pub(super) struct Words {
    /// What denies a request.
    pub(super) deny: &'static str,
    /// What lists grants.
    pub(super) grants: &'static str,
    /// What lists policies.
    pub(super) policies: &'static str,
    /// What lists requests.
    pub(super) requests: &'static str,
    /// What revokes a grant.
    pub(super) revoke: &'static str,
    /// What asks for a grant without approval.
    pub(super) break_glass: &'static str,
    /// What changes a policy of the store.
    pub(super) change_policy: &'static str,
    /// What says something with an answer.
    pub(super) comment: &'static str,
    /// What says for how long.
    pub(super) duration: &'static str,
    /// What says why.
    pub(super) reason: &'static str,
}

const CMDLETS: Words = Words {
    deny: "Deny-ElevatedAccessRequest",
    grants: "Get-ElevatedAccessAuthorization",
    policies: "Get-ElevatedAccessApprovalPolicy",
    requests: "Get-ElevatedAccessRequest",
    revoke: "Revoke-ElevatedAccessAuthorization",
    break_glass: "-BreakGlass",
    change_policy: "Set-ElevatedAccessApprovalPolicy",
    comment: "-Comment",
    duration: "-DurationHours",
    reason: "-Reason",
};

const API: Words = Words {
    deny: "POST /requests/{id}/deny",
    grants: "GET /grants",
    policies: "GET /policies",
    requests: "GET /requests",
    revoke: "POST /grants/{id}/revoke",
    break_glass: "`break_glass`",
    change_policy: "PUT /policies/{scope}",
    comment: "`comment`",
    duration: "`duration_seconds`",
    reason: "`reason`",
};

const COMMANDS: Words = Words {
    deny: "`portcullis request deny`",
    grants: "`portcullis grant ls`",
    policies: "`portcullis policy ls --online`",
    requests: "`portcullis request ls`",
    revoke: "`portcullis grant revoke`",
    break_glass: "`--break-glass`",
    // There is no command for it.
    change_policy: "PUT /api/v1/policies/{scope}",
    comment: "`--comment`",
    duration: "`--duration`",
    reason: "`--reason`",
};

impl Caller {
    /// How the caller's door calls things.
    pub(super) fn words(&self) -> &'static Words {
        Words::of(self.via)
    }
}

impl Words {
    /// Those of the door `via`.
    fn of(via: Via) -> &'static Self {
        match via {
            Via::Api {
                tool: Tool::CommandLine,
                ..
            } => &COMMANDS,
            Via::Api {
                tool: Tool::Other, ..
            } => &API,
            Via::Cmdlet => &CMDLETS,
        }
    }
}
