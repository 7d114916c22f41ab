//! `*-ElevatedAccessApprovalPolicy` and `*-ElevatedAccessControl`.

use crate::control::administration::{self, no_policy};
use crate::control::asking::MOST_HOURS;
use crate::control::desk::Desk;
use crate::control::force::Switch;
use crate::control::{Caller, WorkflowError, reading};
use crate::model::Object;
use crate::policy::{Definition, Whereabouts};

use super::arguments::Arguments;
use super::{MOST_IDENTITY, MOST_TEXT, objects};

/// What a policy says besides its scope.
const TERMS: [&str; 12] = [
    "ApprovalType",
    "ApproverGroup",
    "Approvals",
    "DefaultDurationHours",
    "MaxDurationHours",
    "MaxUses",
    "Requesters",
    "BreakGlassGroup",
    "ApproverComment",
    "OnBlock",
    "OtherParameters",
    "ReportOnly",
];

/// `New-ElevatedAccessApprovalPolicy`
pub(super) async fn add(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    let known: Vec<&str> = ["Task", "Role", "RoleGroup", "Effect"]
        .into_iter()
        .chain(TERMS)
        .collect();
    arguments.only(&known)?;
    arguments.none_empty(&known)?;
    arguments.required(&["ApprovalType"])?;
    let mut definition = Definition {
        task: arguments.text("Task", MOST_TEXT)?,
        role: arguments.text("Role", MOST_TEXT)?,
        role_group: arguments.text("RoleGroup", MOST_TEXT)?,
        effect: arguments.text("Effect", MOST_TEXT)?,
        ..Definition::default()
    };
    let scopes = [
        &definition.task,
        &definition.role,
        &definition.role_group,
        &definition.effect,
    ];
    match scopes.into_iter().flatten().count() {
        1 => {}
        0 => return Err(arguments.missing(&["Task"])),
        _ => {
            return Err(WorkflowError::Invalid(
                "a policy has one scope: give one of -Task, -Role, -RoleGroup and -Effect"
                    .to_owned(),
            ));
        }
    }
    overlay(&mut definition, arguments)?;
    let scope = definition.folded_scope().unwrap_or_default();
    if let Some(trial) = arguments.trial(&format!("make the policy `{scope}`")) {
        return Ok(trial);
    }
    let listed = administration::add(desk, caller, definition).await?;
    Ok(vec![objects::policy(&listed.policy, places(desk, caller))])
}

/// `Set-ElevatedAccessApprovalPolicy`: what is not said stays.
pub(super) async fn change(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    let known: Vec<&str> = ["Identity"].into_iter().chain(TERMS).collect();
    arguments.only(&known)?;
    // What is left out stays; nothing that is given empties a term.
    arguments.none_empty(&TERMS)?;
    let scope = identity(arguments)?;
    let listed = administration::policy(desk, caller, &scope).await?;
    // Without a stored form it is a file's: the change is refused, with the file's name.
    let (mut definition, version) = match listed.stored {
        Some(form) => (form.definition, Some(form.version)),
        None => (Definition::default(), None),
    };
    overlay(&mut definition, arguments)?;
    if let Some(trial) = arguments.trial(&format!("change the policy `{scope}`")) {
        return Ok(trial);
    }
    let listed = administration::change(desk, caller, &scope, definition, version).await?;
    Ok(vec![objects::policy(&listed.policy, places(desk, caller))])
}

/// Puts what the call says over what a policy says.
fn overlay(definition: &mut Definition, arguments: &Arguments<'_>) -> Result<(), WorkflowError> {
    fn set<T>(to: &mut Option<T>, said: Option<T>) {
        if said.is_some() {
            *to = said;
        }
    }
    let word = |name| {
        let text = arguments.text(name, MOST_IDENTITY)?;
        Ok::<_, WorkflowError>(text.map(|it| it.to_ascii_lowercase()))
    };
    let hours = |name| {
        let hours = arguments.whole_number(name, MOST_HOURS)?;
        Ok::<_, WorkflowError>(hours.map(|it| format!("{it}h")))
    };
    if let Some(approval) = word("ApprovalType")? {
        definition.approval = approval;
    }
    set(&mut definition.approvers, arguments.texts("ApproverGroup")?);
    set(
        &mut definition.approvals,
        arguments.whole_number("Approvals", 100)?,
    );
    set(
        &mut definition.default_duration,
        hours("DefaultDurationHours")?,
    );
    set(&mut definition.max_duration, hours("MaxDurationHours")?);
    set(
        &mut definition.max_uses,
        arguments.whole_number("MaxUses", u32::MAX)?,
    );
    set(&mut definition.requesters, arguments.texts("Requesters")?);
    set(
        &mut definition.break_glass,
        arguments.texts("BreakGlassGroup")?,
    );
    set(&mut definition.approver_comment, word("ApproverComment")?);
    set(&mut definition.on_block, word("OnBlock")?);
    set(&mut definition.other_parameters, word("OtherParameters")?);
    set(&mut definition.report_only, arguments.truth("ReportOnly")?);
    Ok(())
}

/// `Remove-ElevatedAccessApprovalPolicy`
pub(super) async fn remove(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&["Identity"])?;
    let scope = identity(arguments)?;
    if let Some(trial) = arguments.trial(&format!("remove the policy `{scope}`")) {
        return Ok(trial);
    }
    administration::remove(desk, caller, &scope, None).await?;
    Ok(Vec::new())
}

/// `Get-ElevatedAccessApprovalPolicy`
pub(super) fn list(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&["Identity"])?;
    let snapshot = desk.state.snapshot();
    let policies = &snapshot.policies;
    let places = places(desk, caller);
    match arguments.text("Identity", MOST_TEXT)? {
        None => Ok(policies
            .policies()
            .iter()
            .map(|it| objects::policy(it, places))
            .collect()),
        Some(identity) => match policies.policy(&identity) {
            Some(policy) => Ok(vec![objects::policy(policy, places)]),
            None => Err(no_policy(&identity, caller.words())),
        },
    }
}

fn places(desk: &Desk, caller: &Caller) -> Whereabouts {
    reading::whereabouts(desk, &caller.principal)
}

fn identity(arguments: &Arguments<'_>) -> Result<String, WorkflowError> {
    match arguments.text("Identity", MOST_TEXT)? {
        Some(identity) => Ok(identity),
        None => Err(arguments.missing(&["Identity"])),
    }
}

/// `Enable-ElevatedAccessControl`. Microsoft's parameters set what here the configuration and the policy files do, so they are
/// taken only where they say the same.
pub(super) async fn enable(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&["AdminGroup", "SystemAccounts"])?;
    if let Some(group) = arguments.text("AdminGroup", MOST_TEXT)? {
        let configured = desk.settings.default_approver_group.as_deref();
        if configured.is_none_or(|it| !it.eq_ignore_ascii_case(&group)) {
            return Err(WorkflowError::Invalid(format!(
                "the default approver group is {}, as the gateway's configuration says (`[access_control] default_approver_group`): leave -AdminGroup out",
                configured.map_or("not set".to_owned(), |it| format!("`{it}`"))
            )));
        }
    }
    for account in arguments.texts("SystemAccounts")?.unwrap_or_default() {
        let snapshot = desk.state.snapshot();
        let mut exemptions = snapshot.policies.exemptions().iter();
        if !exemptions.any(|it| it.account.eq_ignore_ascii_case(&account)) {
            return Err(WorkflowError::Invalid(format!(
                "`{}` is not exempt: an exemption needs an owner, a reason and bounds, so it is an `[[exemption]]` of the policy files",
                account.escape_debug()
            )));
        }
    }
    switch(desk, caller, arguments, Switch::Enabled).await
}

/// `Disable-ElevatedAccessControl`
pub(super) async fn disable(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&[])?;
    switch(desk, caller, arguments, Switch::Disabled).await
}

async fn switch(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
    to: Switch,
) -> Result<Vec<Object>, WorkflowError> {
    let verb = match to {
        Switch::Disabled => "disable",
        Switch::Enabled => "enable",
    };
    if let Some(trial) = arguments.trial(&format!("{verb} access control")) {
        return Ok(trial);
    }
    administration::switch(desk, caller, to).await?;
    Ok(vec![objects::control(
        &desk.state.snapshot(),
        &caller.principal,
    )])
}

/// `Get-ElevatedAccessControl`
pub(super) fn control(
    desk: &Desk,
    caller: &Caller,
    arguments: &Arguments<'_>,
) -> Result<Vec<Object>, WorkflowError> {
    arguments.only(&["Identity"])?;
    let snapshot = desk.state.snapshot();
    Ok(vec![objects::control(&snapshot, &caller.principal)])
}
