//! `portcullis policy explain`

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

use crate::cli::{ConfigFile, Format, Hint, Outcome, Output, check, online, runtime};
use crate::config::Environment;
use crate::model::{Command, Number, Parameter, Parameters, Task, Value};
use crate::policy::{Asked, Holds, Trace, Verdict, Whereabouts, trace};

/// What `policy explain` may be told.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// Who calls: an account's name or key, as policy files list it; with --online, you if it is left out.
    #[arg(long = "as", value_name = "WHO", required_unless_present_any = ["online", "server"])]
    pub account: Option<String>,
    /// A group that the caller's token names; may be repeated.
    #[arg(long = "group", value_name = "ID", conflicts_with_all = ["online", "server"])]
    pub groups: Vec<String>,
    /// What is called, such as `Exchange\Set-Mailbox`.
    #[arg(long)]
    pub task: String,
    /// A parameter; may be repeated. A value of JSON, such as `true`, `4` or `["a","b"]`, is that; anything else is a text.
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
    /// From where; without it, from this host.
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<IpAddr>,
    /// When, such as 2026-11-21T15:30:00Z; without it, now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<DateTime<Utc>>,
    /// As if the caller had a grant.
    #[arg(long, conflicts_with_all = ["online", "server"])]
    pub granted: bool,
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Whether a gateway is asked, which knows grants and groups too.
    #[command(flatten)]
    pub online: online::Online,
}

pub(super) fn run(
    arguments: &Explain,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    if let Some(connection) = arguments.online.connection() {
        let question = question(arguments)?;
        return runtime()?.block_on(online::explain(&connection, question, output));
    }
    let asked = asked(arguments)?;
    let (set, reading) = match super::load(&arguments.config.path, environment) {
        Ok(loaded) => loaded,
        Err(findings) => return check::print(&findings, None, output),
    };
    let setting = super::setting(Some(&asked.command.task), &reading);
    let trace = asked.with_facts(&set, &setting, |facts| {
        trace(&asked.command, facts, Whereabouts::Line)
    });
    if output.format() == Format::Json {
        output.json(&json(&trace))?;
    } else {
        print(&trace, output)?;
    }
    Ok(Outcome::Done)
}

/// The question as a gateway takes it.
fn question(arguments: &Explain) -> anyhow::Result<online::Question> {
    let mut parameters = BTreeMap::new();
    for given in &arguments.parameters {
        let (name, value) = named(given)?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        parameters.insert(name.to_owned(), value);
    }
    Ok(online::Question {
        principal: arguments.account.clone(),
        task: arguments.task.clone(),
        parameters,
        source: arguments.from,
        at: arguments.at,
    })
}

fn named(given: &str) -> anyhow::Result<(&str, &str)> {
    given
        .split_once('=')
        .with_context(|| format!("`{given}` is not NAME=VALUE"))
}

fn asked(arguments: &Explain) -> anyhow::Result<Asked> {
    let task: Task = arguments.task.parse().map_err(|error| {
        anyhow::Error::new(Hint(
            r"such as 'Exchange\Set-Mailbox', in single quotes".to_owned(),
        ))
        .context(error)
    })?;
    let mut parameters = Parameters::default();
    for given in &arguments.parameters {
        let (name, value) = named(given)?;
        parameters.push(Parameter {
            name: name.parse()?,
            value: value_of(value),
            type_annotation: None,
        })?;
    }
    Ok(Asked {
        account: arguments.account.clone().unwrap_or_default(),
        groups: arguments.groups.clone(),
        command: Command { task, parameters },
        source: arguments.from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        at: arguments.at,
        holds: if arguments.granted {
            Holds::Everything
        } else {
            Holds::Nothing
        },
    })
}

/// A value as a command has it: JSON where it is that, else a text.
fn value_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value) => of_json(value),
        Err(_) => Value::text(text),
    }
}

fn of_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(of_json).collect()),
        serde_json::Value::Bool(set) => Value::Bool(set),
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Number(number) => {
            let digits = number.to_string();
            Number::new(&digits).map_or_else(|| Value::text(digits), Value::Number)
        }
        serde_json::Value::Object(members) => {
            let members = members
                .into_iter()
                .map(|(name, value)| (name, of_json(value)));
            Value::Table(members.collect())
        }
        serde_json::Value::String(text) => Value::Text(text),
    }
}

fn print(trace: &Trace, output: &mut Output) -> anyhow::Result<()> {
    let rows = trace.steps.iter().map(|step| {
        let mark = if step.decides { "->" } else { "  " };
        vec![format!("{mark} {}", step.what), step.found.clone()]
    });
    output.rows(rows)?;
    output.line("")?;
    let decision = &trace.decision;
    let verdict = format!("{} ({})", decision.verdict.as_str(), decision.rule.as_str());
    match decision.verdict {
        Verdict::Allow => output.good(verdict)?,
        Verdict::Block | Verdict::ReportOnly => output.bad(verdict)?,
    }
    if !decision.explanation.is_empty() {
        output.line(&decision.explanation)?;
    }
    for next in &trace.next {
        output.line(format_args!("next: {next}"))?;
    }
    Ok(())
}

fn json(trace: &Trace) -> serde_json::Value {
    let decision = &trace.decision;
    let steps = trace
        .steps
        .iter()
        .map(|step| json!({ "what": step.what, "found": step.found, "decides": step.decides }));
    json!({
        "verdict": decision.verdict.as_str(),
        "rule": decision.rule.as_str(),
        "policy": decision.policy.as_deref(),
        "exemption": decision.exemption.as_ref().map(ToString::to_string),
        "explanation": decision.explanation,
        "next": trace.next,
        "steps": steps.collect::<Vec<_>>(),
    })
}
