//! `portcullis policy …`: the policy files, as they are on disk.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use crate::config::{self, Environment, Role, duration_text};
use crate::model::Interner;
use crate::policy::{Approval, Exemption, Group, Policy, PolicySet};

use crate::serve::read_policy_files;

use super::check::{self, Finding};
use super::{ConfigFile, Format, Outcome, Output};

/// What can be done with policies.
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check the policy files alone.
    Check(ConfigFile),
    /// List policies, groups and exemptions, with the place of each.
    Ls(ConfigFile),
}

/// Does what `command` says.
pub(super) fn run(
    command: PolicyCommand,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    match command {
        PolicyCommand::Check(file) => {
            let findings = load(&file.path, environment).err().unwrap_or_default();
            check::print(&findings, None, output)
        }
        PolicyCommand::Ls(file) => match load(&file.path, environment) {
            Ok(set) => list(&set, output),
            Err(findings) => check::print(&findings, None, output),
        },
    }
}

/// The policies that the configuration at `path` names. Problems of other parts of the configuration do not matter here.
fn load(path: &Path, environment: &Environment) -> Result<PolicySet, Vec<Finding>> {
    let reading = config::read(path, environment);
    let directory = reading
        .files
        .iter()
        .find(|it| it.role == Role::PolicyDirectory);
    let Some(directory) = directory else {
        return Err(reading.problems.iter().map(Finding::from).collect());
    };
    let files = read_policy_files(&directory.path)
        .map_err(|error| vec![check::unreadable_policies(directory, &error)])?;
    PolicySet::load(
        &files,
        &[],
        reading.default_approver_group.as_deref(),
        &Interner::default(),
    )
    .map_err(|problems| problems.iter().map(Finding::from).collect())
}

fn list(set: &PolicySet, output: &mut Output) -> anyhow::Result<Outcome> {
    if output.format() == Format::Json {
        output.json(&json!({
            "hash": set.hash(),
            "policies": set.policies().iter().map(policy_json).collect::<Vec<_>>(),
            "groups": set.groups().iter().map(group_json).collect::<Vec<_>>(),
            "exemptions": set.exemptions().iter().map(exemption_json).collect::<Vec<_>>(),
        }))?;
        return Ok(Outcome::Done);
    }
    let head = [
        "TASK",
        "APPROVAL",
        "APPROVERS",
        "LASTS",
        "AT MOST",
        "SOURCE",
    ];
    output.table(&head, set.policies().iter().map(policy_row))?;
    if !set.groups().is_empty() {
        output.line("")?;
        output.table(
            &["GROUP", "MEMBERS", "SOURCE"],
            set.groups().iter().map(group_row),
        )?;
    }
    if !set.exemptions().is_empty() {
        output.line("")?;
        let head = ["EXEMPT", "TASKS", "FROM", "UNTIL", "OWNER", "SOURCE"];
        output.table(&head, set.exemptions().iter().map(exemption_row))?;
    }
    Ok(Outcome::Done)
}

fn policy_row(it: &Policy) -> Vec<String> {
    let approvers = match it.approval {
        Approval::Manual if it.approvals > 1 => {
            format!("{} of each: {}", it.approvals, it.approvers.join(", "))
        }
        Approval::Manual => it.approvers.join(", "),
        Approval::Auto | Approval::Never => String::new(),
    };
    let grants = |span: Option<std::time::Duration>| match it.approval {
        Approval::Never => String::new(),
        Approval::Auto | Approval::Manual => {
            span.map_or_else(|| "any time".to_owned(), duration_text)
        }
    };
    let report_only = if it.report_only { " (report-only)" } else { "" };
    vec![
        it.scope.text.clone(),
        format!("{}{report_only}", approval_word(it.approval)),
        approvers,
        grants(Some(it.default_duration)),
        grants(it.max_duration),
        it.source.to_string(),
    ]
}

fn policy_json(it: &Policy) -> serde_json::Value {
    json!({
        "task": it.scope.text,
        "approval": approval_word(it.approval),
        "approvers": it.approvers,
        "approvals": it.approvals,
        "default_duration_seconds": it.default_duration.as_secs(),
        "max_duration_seconds": it.max_duration.map(|it| it.as_secs()),
        "report_only": it.report_only,
        "source": it.source.to_string(),
    })
}

fn group_row(it: &Group) -> Vec<String> {
    let mut members = it.members.clone();
    members.extend(it.claim.iter().map(|claim| format!("claim {claim}")));
    vec![
        it.name.clone(),
        members.join(", "),
        format!("{}:{}", it.place.file, it.place.line),
    ]
}

fn group_json(it: &Group) -> serde_json::Value {
    json!({
        "name": it.name,
        "email": it.email,
        "members": it.members,
        "claim": it.claim,
        "file": it.place.file,
        "line": it.place.line,
    })
}

fn exemption_row(it: &Exemption) -> Vec<String> {
    let or_any = |list: Vec<String>| {
        if list.is_empty() {
            "any".to_owned()
        } else {
            list.join(", ")
        }
    };
    vec![
        it.account.clone(),
        or_any(it.tasks.clone()),
        or_any(it.from.iter().map(ToString::to_string).collect()),
        it.expires
            .map_or_else(|| "no end".to_owned(), |it| it.to_string()),
        it.owner.clone(),
        format!("{}:{}", it.place.file, it.place.line),
    ]
}

fn exemption_json(it: &Exemption) -> serde_json::Value {
    json!({
        "account": it.account,
        "owner": it.owner,
        "reason": it.reason,
        "expires": it.expires,
        "from": it.from,
        "tasks": it.tasks,
        "file": it.place.file,
        "line": it.place.line,
    })
}

fn approval_word(approval: Approval) -> &'static str {
    match approval {
        Approval::Auto => "auto",
        Approval::Manual => "manual",
        Approval::Never => "never",
    }
}
