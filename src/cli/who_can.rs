//! `portcullis who-can`: who has to do with a task, by the policy files, or by what a gateway says.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::config::Environment;
use crate::model::Task;
use crate::policy::{Approval, Exemption, Governed, Group, PolicySet, WhoCan, who_can};

use super::{ConfigFile, Format, Hint, Outcome, Output, check, online, policy, runtime};

/// What `who-can` may be told.
#[derive(Clone, Debug, Args)]
pub struct WhoCanArguments {
    /// A task, such as `Exchange\Set-Mailbox`.
    pub task: String,
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Whether a gateway is asked, which knows who holds a grant too.
    #[command(flatten)]
    pub online: online::Online,
}

pub(super) fn run(
    arguments: &WhoCanArguments,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let task: Task = arguments.task.parse().map_err(|error| {
        let hint = r"such as 'Exchange\Set-Mailbox', in single quotes";
        anyhow::Error::new(Hint(hint.to_owned())).context(error)
    })?;
    if let Some(connection) = arguments.online.connection() {
        let asked = online::who_can(&connection, &arguments.task, output);
        return runtime()?.block_on(asked);
    }
    let path: &PathBuf = &arguments.config.path;
    let set = match policy::load(path, environment) {
        Ok((set, _)) => set,
        Err(findings) => return check::print(&findings, None, output),
    };
    let found = who_can(&task, &set);
    if output.format() == Format::Json {
        output.json(&as_json(&task, &found))?;
    } else {
        print(&task, &found, &set, output)?;
    }
    Ok(Outcome::Done)
}

fn print(
    task: &Task,
    found: &WhoCan<'_>,
    set: &PolicySet,
    output: &mut Output,
) -> anyhow::Result<()> {
    let known = match set.catalogue().facts(task) {
        Some(_) => "",
        None => " (by its verb; the catalogue does not know it)",
    };
    output.line(format_args!("{task}: {}{known}", found.effect.as_str()))?;
    if found.policies.is_empty() {
        output.line("")?;
        output
            .line("no policy governs it: it passes or not as the endpoint's `ungoverned` says")?;
    }
    for governed in &found.policies {
        let policy = governed.policy;
        output.line("")?;
        let when = match governed.parameters.as_slice() {
            [] => String::new(),
            parameters => format!(", with -{}", parameters.join(" or -")),
        };
        output.line(format_args!(
            "{}{when} ({})",
            policy.scope.text, policy.source
        ))?;
        output.rows(rows(governed))?;
    }
    if !found.policies.is_empty() && set.governing(task).is_none() {
        output.line("")?;
        output.line("without these parameters no policy governs it: it passes or not as the endpoint's `ungoverned` says")?;
    }
    if !found.exemptions.is_empty() {
        output.line("")?;
        let head = ["NEEDS NO GRANT", "FROM", "UNTIL", "OWNER", "SOURCE"];
        output.table(&head, found.exemptions.iter().map(|it| exemption_row(it)))?;
    }
    Ok(())
}

fn rows(governed: &Governed<'_>) -> Vec<Vec<String>> {
    let policy = governed.policy;
    let row = |name: &str, text: String| vec![format!("  {name}"), text];
    let mut rows = Vec::new();
    if policy.approval == Approval::Never {
        rows.push(row("may run it", "nobody, exempt or not".to_owned()));
        return rows;
    }
    rows.push(row(
        "may ask",
        match governed.requesters.as_slice() {
            [] => "everybody".to_owned(),
            groups => members(groups),
        },
    ));
    rows.push(row(
        "approve",
        match (policy.approval, governed.approvers.len()) {
            (Approval::Auto, _) => "nobody has to: approved at once".to_owned(),
            (_, 1) => format!("{} of {}", policy.approvals, members(&governed.approvers)),
            (_, _) => format!(
                "{} of each: {}",
                policy.approvals,
                members(&governed.approvers)
            ),
        },
    ));
    if !governed.break_glass.is_empty() {
        rows.push(row("in an emergency", members(&governed.break_glass)));
    }
    rows
}

/// Groups with their members, such as `ops (amy, bo)`.
fn members(groups: &[&Group]) -> String {
    let told = groups.iter().map(|group| {
        let mut members = group.members.clone();
        members.extend(group.claim.iter().map(|it| format!("claim {it}")));
        format!("{} ({})", group.name, members.join(", "))
    });
    told.collect::<Vec<_>>().join("; ")
}

fn exemption_row(it: &Exemption) -> Vec<String> {
    let from: Vec<String> = it.from.iter().map(ToString::to_string).collect();
    vec![
        it.account.clone(),
        if from.is_empty() {
            "any".to_owned()
        } else {
            from.join(", ")
        },
        it.expires
            .map_or_else(|| "no end".to_owned(), |it| it.to_string()),
        it.owner.clone(),
        it.place.to_string(),
    ]
}

fn as_json(task: &Task, found: &WhoCan<'_>) -> serde_json::Value {
    let groups = |groups: &[&Group]| {
        let told = groups
            .iter()
            .map(|it| json!({ "name": it.name, "members": it.members, "claim": it.claim }));
        told.collect::<Vec<_>>()
    };
    let policies = found.policies.iter().map(|it| {
        json!({
            "scope": it.policy.scope.text,
            "approval": it.policy.approval.as_str(),
            "approvals": it.policy.approvals,
            "source": it.policy.source.to_string(),
            "only_with_parameters": it.parameters,
            "requesters": groups(&it.requesters),
            "approvers": groups(&it.approvers),
            "break_glass": groups(&it.break_glass),
        })
    });
    let exemptions = found.exemptions.iter().map(|it| {
        json!({
            "account": it.account,
            "owner": it.owner,
            "reason": it.reason,
            "from": it.from,
            "expires": it.expires,
            "source": it.place.to_string(),
        })
    });
    json!({
        "task": task.to_string(),
        "effect": found.effect.as_str(),
        "policies": policies.collect::<Vec<_>>(),
        "exemptions": exemptions.collect::<Vec<_>>(),
    })
}
