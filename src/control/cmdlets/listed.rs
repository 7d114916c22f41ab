//! What there is: the gateway's cmdlets with their parameters, for clients that list commands.
//!
//! Each cmdlet refuses other parameters by itself; a test holds the two together.

use crate::model::{OwnCmdlet, OwnParameter, OwnParameterKind};

/// Names, each with its parameters; switches have a `?` behind them.
const LISTED: &[(&str, &str)] = &[
    (
        "Approve-ElevatedAccessRequest",
        "RequestId Identity Comment RequestContext DurationHours StartTimeUtc Uses \
         Parameters Task",
    ),
    (
        "Deny-ElevatedAccessRequest",
        "RequestId Identity Comment RequestContext",
    ),
    ("Disable-ElevatedAccessControl", ""),
    ("Enable-ElevatedAccessControl", "AdminGroup SystemAccounts"),
    ("Get-ElevatedAccessApprovalPolicy", "Identity"),
    (
        "Get-ElevatedAccessAuthorization",
        "RequestId Identity Requestor State AwaitsReview?",
    ),
    ("Get-ElevatedAccessControl", "Identity"),
    (
        "Get-ElevatedAccessRequest",
        "RequestId Identity Status Requestor",
    ),
    (
        "New-ElevatedAccessApprovalPolicy",
        "Task Role RoleGroup Effect ApprovalType ApproverGroup Approvals \
         DefaultDurationHours MaxDurationHours MaxUses Requesters BreakGlassGroup \
         ApproverComment OnBlock OtherParameters ReportOnly",
    ),
    (
        "New-ElevatedAccessRequest",
        "Task Role RoleGroup Extend Reason DurationHours StartTimeUtc Uses Parameters \
         BreakGlass? ExternalIdentity RequestContext",
    ),
    ("Remove-ElevatedAccessApprovalPolicy", "Identity"),
    (
        "Revoke-ElevatedAccessAuthorization",
        "RequestId Identity Comment",
    ),
    (
        "Set-ElevatedAccessApprovalPolicy",
        "Identity ApprovalType ApproverGroup Approvals DefaultDurationHours \
         MaxDurationHours MaxUses Requesters BreakGlassGroup ApproverComment OnBlock \
         OtherParameters ReportOnly",
    ),
    (
        "Set-ElevatedAccessAuthorization",
        "RequestId Identity End? Review? Comment",
    ),
    (
        "Set-ElevatedAccessRequest",
        "RequestId Identity Withdraw? Comment",
    ),
];

/// All of them.
pub(in crate::control) fn listed() -> Vec<OwnCmdlet> {
    let all = LISTED.iter().filter_map(|(name, parameters)| {
        let parameters = parameters.split_ascii_whitespace().filter_map(|it| {
            let (name, kind) = match it.strip_suffix('?') {
                Some(name) => (name, OwnParameterKind::Switch),
                None => (it, OwnParameterKind::Value),
            };
            let name = name.parse().ok()?;
            Some(OwnParameter { name, kind })
        });
        Some(OwnCmdlet {
            name: name.parse().ok()?,
            parameters: parameters.collect(),
        })
    });
    all.collect()
}
