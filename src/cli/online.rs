//! `who-can --online` and `policy explain --online`: the same questions as to the policy files, asked of a running gateway,
//! which knows the policies of its store, the grants and the caller's groups too.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value as Json;

use crate::api::types::{Explain, Explanation, WhoCan, WhoCanPolicy, WhoCanQuery};

use super::client::{Client, Connection};
use super::output::printable;
use super::{Format, Outcome, Output, grant};

/// Whether a gateway is asked, and which.
#[derive(Clone, Debug, Default, Args)]
pub struct Online {
    /// Ask the gateway where you are signed in, instead of the policy files.
    #[arg(long)]
    pub online: bool,
    /// Ask this gateway.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// PEM file of the certificate authorities that the gateway's certificate is verified by, instead of the platform's.
    #[arg(
        long,
        env = "PORTCULLIS_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub ca: Option<PathBuf>,
}

impl Online {
    /// The gateway that is asked, if one is.
    pub(super) fn connection(&self) -> Option<Connection> {
        if !self.online && self.server.is_none() {
            return None;
        }
        let server = self.server.clone();
        Some(Connection {
            server: server.or_else(|| std::env::var("PORTCULLIS_SERVER").ok()),
            ca: self.ca.clone(),
        })
    }
}

/// A call to explain.
pub(super) struct Question {
    pub(super) principal: Option<String>,
    pub(super) task: String,
    pub(super) parameters: BTreeMap<String, Json>,
    pub(super) source: Option<IpAddr>,
    pub(super) at: Option<DateTime<Utc>>,
}

/// Tells who has to do with a task.
pub(super) async fn who_can(
    connection: &Connection,
    task: &str,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let client = Client::signed_in(connection).await?;
    let query = WhoCanQuery {
        task: task.to_owned(),
    };
    let told = client.get::<WhoCan>("/who-can", &query).await?;
    if output.format() == Format::Json {
        output.json(&told.json)?;
        return Ok(Outcome::Done);
    }
    let found = told.value;
    output.line(format_args!(
        "{}: {}",
        printable(&found.task),
        printable(&found.effect)
    ))?;
    if found.policies.is_empty() {
        output.line("")?;
        output
            .line("no policy governs it: it passes or not as the endpoint's `ungoverned` says")?;
    }
    for policy in &found.policies {
        output.line("")?;
        let when = match policy.parameters.as_slice() {
            [] => String::new(),
            parameters => format!(", with -{}", parameters.join(" or -")),
        };
        output.line(printable(&format!("{}{when}", policy.scope)))?;
        output.rows(rows(policy))?;
    }
    if !found.exemptions.is_empty() {
        output.line("")?;
        let head = ["NEEDS NO GRANT", "FROM", "UNTIL", "OWNER", "REASON"];
        let rows = found.exemptions.iter().map(|it| {
            vec![
                it.account.clone(),
                if it.from.is_empty() {
                    "any".to_owned()
                } else {
                    it.from.join(", ")
                },
                it.expires.clone().unwrap_or_else(|| "no end".to_owned()),
                it.owner.clone(),
                it.reason.clone(),
            ]
        });
        output.table(&head, rows)?;
    }
    output.line("")?;
    if found.grants.is_empty() {
        output.line("nobody that you may know of holds a grant for it")?;
    } else {
        grant::table(&found.grants, Utc::now(), output)?;
    }
    let can_ask = found.policies.iter().any(|it| it.approval != "never");
    if can_ask {
        output.advice(format_args!(
            "ask for it with `portcullis request create --task '{}' --reason …`",
            printable(&found.task)
        ))?;
    }
    Ok(Outcome::Done)
}

fn rows(policy: &WhoCanPolicy) -> Vec<Vec<String>> {
    let row = |name: &str, text: String| vec![format!("  {name}"), text];
    if policy.approval == "never" {
        return vec![row("may run it", "nobody, exempt or not".to_owned())];
    }
    let mut rows = vec![
        row(
            "may ask",
            match policy.requesters.as_slice() {
                [] => "everybody".to_owned(),
                groups => groups.join(", "),
            },
        ),
        row(
            "approve",
            if policy.approval == "auto" {
                "nobody has to: approved at once".to_owned()
            } else {
                policy.approvers.join(", and ")
            },
        ),
    ];
    if !policy.break_glass.is_empty() {
        rows.push(row("in an emergency", policy.break_glass.join(", ")));
    }
    rows
}

/// Tells what would happen to a call, and why.
pub(super) async fn explain(
    connection: &Connection,
    question: Question,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let client = Client::signed_in(connection).await?;
    let asked = Explain {
        principal: question.principal,
        task: question.task,
        parameters: question.parameters,
        source: question.source.map(|it| it.to_string()),
        at: question.at,
    };
    let told = client
        .post::<Explanation>("/decisions/explain", &asked)
        .await?;
    if output.format() == Format::Json {
        output.json(&told.json)?;
        return Ok(Outcome::Done);
    }
    let found = told.value;
    output.rows(found.steps.iter().map(|step| {
        let mark = if step.decides { "->" } else { "  " };
        vec![format!("{mark} {}", step.what), step.found.clone()]
    }))?;
    output.line("")?;
    let verdict = printable(&format!("{} ({})", found.verdict, found.rule));
    if found.verdict == "allow" {
        output.good(verdict)?;
    } else {
        output.bad(verdict)?;
    }
    if let Some(explanation) = &found.explanation {
        output.line(printable(explanation))?;
    }
    for next in &found.next {
        output.line(format_args!("next: {}", printable(next)))?;
    }
    Ok(Outcome::Done)
}
