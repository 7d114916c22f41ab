//! `portcullis policy ls`

use clap::Args;
use serde_json::json;

use crate::cli::online::Online;
use crate::cli::{ConfigFile, Format, Outcome, Output};
use crate::config::duration_text;
use crate::policy::{
    Approval, Exemption, Group, OnBlock, Person, Policy, PolicySet, Role, RoleGroup, ScopeKind,
};

/// What `policy ls` may be told.
#[derive(Clone, Debug, Args)]
pub struct Ls {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Whether a gateway is asked, which knows the policies of its store too.
    #[command(flatten)]
    pub online: Online,
}

/// The columns of policies.
pub(super) const HEAD: [&str; 6] = [
    "SCOPE",
    "APPROVAL",
    "APPROVERS",
    "LASTS",
    "AT MOST",
    "SOURCE",
];

pub(super) fn run(set: &PolicySet, output: &mut Output) -> anyhow::Result<Outcome> {
    if output.format() == Format::Json {
        output.json(&json!({
            "hash": set.hash(),
            "policies": set.policies().iter().map(policy_json).collect::<Vec<_>>(),
            "roles": set.roles().iter().map(role_json).collect::<Vec<_>>(),
            "role_groups": set.role_groups().iter().map(role_group_json).collect::<Vec<_>>(),
            "persons": set.persons().iter().map(person_json).collect::<Vec<_>>(),
            "groups": set.groups().iter().map(group_json).collect::<Vec<_>>(),
            "exemptions": set.exemptions().iter().map(exemption_json).collect::<Vec<_>>(),
        }))?;
        return Ok(Outcome::Done);
    }
    output.table(&HEAD, set.policies().iter().map(policy_row))?;
    if !set.groups().is_empty() {
        output.line("")?;
        output.table(
            &["GROUP", "MEMBERS", "SOURCE"],
            set.groups().iter().map(group_row),
        )?;
    }
    if !set.roles().is_empty() {
        output.line("")?;
        output.table(
            &["ROLE", "TASKS", "SOURCE"],
            set.roles().iter().map(|it| {
                vec![
                    it.name.clone(),
                    it.tasks.len().to_string(),
                    it.place.to_string(),
                ]
            }),
        )?;
    }
    if !set.role_groups().is_empty() {
        output.line("")?;
        output.table(
            &["ROLE GROUP", "ROLES", "SOURCE"],
            set.role_groups()
                .iter()
                .map(|it| vec![it.name.clone(), it.roles.join(", "), it.place.to_string()]),
        )?;
    }
    if !set.persons().is_empty() {
        output.line("")?;
        output.table(
            &["PERSON", "ACCOUNTS", "SOURCE"],
            set.persons().iter().map(|it| {
                vec![
                    it.name.clone(),
                    it.accounts.join(", "),
                    it.place.to_string(),
                ]
            }),
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
        format!("{}{report_only}", it.approval.as_str()),
        approvers,
        grants(Some(it.default_duration)),
        grants(it.max_duration),
        it.source.to_string(),
    ]
}

/// All that a policy says, as `policy ls` and `policy show` tell it.
pub(super) fn policy_json(it: &Policy) -> serde_json::Value {
    let reason = &it.reason;
    json!({
        "scope": it.scope.text,
        "kind": match it.scope.kind {
            ScopeKind::Effect => "effect",
            ScopeKind::Pattern => "pattern",
            ScopeKind::Role => "role",
            ScopeKind::RoleGroup => "role-group",
            ScopeKind::Task => "task",
        },
        "approval": it.approval.as_str(),
        "approvers": it.approvers,
        "approvals": it.approvals,
        "requesters": it.requesters,
        "default_duration_seconds": it.default_duration.as_secs(),
        "max_duration_seconds": it.max_duration.map(|it| it.as_secs()),
        "report_only": it.report_only,
        "reason": {
            "required": reason.required,
            "min_length": reason.min_length,
            "pattern": reason.pattern.as_ref().map(|it| &it.source),
            "hint": reason.pattern.as_ref().and_then(|it| it.hint.as_ref()),
        },
        "approver_comment": it.approver_comment.as_str(),
        "windows": it.windows.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "break_glass": it.break_glass,
        "on_block": it.on_block.as_str(),
        "hold_seconds": (it.on_block == OnBlock::Hold).then_some(it.hold.as_secs()),
        "max_uses": it.max_uses,
        "spread": it.spread.map(|it| json!({
            "calls_per_minute": it.calls_per_minute,
            "calls_per_grant": it.calls_per_grant,
            "identities_per_minute": it.identities_per_minute,
            "identities_per_grant": it.identities_per_grant,
        })),
        "parameters": it.parameters.sentences().collect::<Vec<_>>(),
        "source": it.source.to_string(),
    })
}

fn role_json(it: &Role) -> serde_json::Value {
    json!({ "name": it.name, "tasks": it.tasks, "file": it.place.file, "line": it.place.line })
}

fn role_group_json(it: &RoleGroup) -> serde_json::Value {
    json!({ "name": it.name, "roles": it.roles, "file": it.place.file, "line": it.place.line })
}

fn person_json(it: &Person) -> serde_json::Value {
    json!({ "name": it.name, "accounts": it.accounts, "file": it.place.file, "line": it.place.line })
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
