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
use crate::policy::{Asked, Holds, PolicySet, Trace, Verdict, Whereabouts, trace};

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
    #[arg(long, required_unless_present_any = ["role", "role_group"])]
    pub task: Option<String>,
    /// Instead of a task, each task of this role, in a line: of the policy files only.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["task", "online", "server"])]
    pub role: Option<String>,
    /// Instead of a task, each task of this role group's roles, in a line: of the policy files only.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["task", "role", "online", "server"])]
    pub role_group: Option<String>,
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
    let parameters = parameters(arguments)?;
    let task = arguments.task.as_deref().map(task).transpose()?;
    let (set, reading) = match super::load(&arguments.config.path, environment) {
        Ok(loaded) => loaded,
        Err(findings) => return check::print(&findings, None, output),
    };
    let judge = |task: Task| {
        let setting = super::setting(Some(&task), &reading);
        let asked = asked(arguments, task, parameters.clone());
        asked.with_facts(&set, &setting, |facts| {
            trace(&asked.command, facts, Whereabouts::Line)
        })
    };
    if let Some(task) = task {
        let trace = judge(task);
        if output.format() == Format::Json {
            output.json(&json(&trace))?;
        } else {
            print(&trace, output)?;
        }
    } else {
        let tasks = tasks(arguments, &set)?;
        let traces = tasks.into_iter().map(|it| (it.clone(), judge(it)));
        print_each(traces.collect(), &set, output)?;
    }
    Ok(Outcome::Done)
}

fn task(text: &str) -> anyhow::Result<Task> {
    text.parse().map_err(|error| {
        let hint = r"such as 'Exchange\Set-Mailbox', in single quotes";
        anyhow::Error::new(Hint(hint.to_owned())).context(error)
    })
}

/// The tasks of the role or role group that is asked about.
fn tasks(arguments: &Explain, set: &PolicySet) -> anyhow::Result<Vec<Task>> {
    let (kind, name, found) = match (&arguments.role, &arguments.role_group) {
        (Some(name), _) => ("role", name, set.tasks_of_role(name)),
        (None, Some(name)) => ("role group", name, set.tasks_of_role_group(name)),
        (None, None) => return Ok(Vec::new()),
    };
    found.ok_or_else(|| {
        let hint = r"name it with its workload, such as 'Exchange\Mail Recipients'; `portcullis policy ls` lists them";
        anyhow::Error::new(Hint(hint.to_owned()))
            .context(format!("the policy files have no {kind} `{name}`"))
    })
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
        task: arguments.task.clone().unwrap_or_default(),
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

fn parameters(arguments: &Explain) -> anyhow::Result<Parameters> {
    let mut parameters = Parameters::default();
    for given in &arguments.parameters {
        let (name, value) = named(given)?;
        parameters.push(Parameter {
            name: name.parse()?,
            value: value_of(value),
            type_annotation: None,
        })?;
    }
    Ok(parameters)
}

fn asked(arguments: &Explain, task: Task, parameters: Parameters) -> Asked {
    Asked {
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
    }
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

fn print_each(
    traces: Vec<(Task, Trace)>,
    set: &PolicySet,
    output: &mut Output,
) -> anyhow::Result<()> {
    if output.format() == Format::Json {
        let tasks = traces.iter().map(|(task, trace)| {
            let mut told = json(trace);
            if let Some(members) = told.as_object_mut() {
                members.insert("task".to_owned(), task.to_string().into());
            }
            told
        });
        output.json(&json!({ "items": tasks.collect::<Vec<_>>() }))?;
        return Ok(());
    }
    let rows = traces.into_iter().map(|(task, Trace { decision, .. })| {
        let policy = decision.policy.as_deref().and_then(|it| set.policy(it));
        let exemption = decision.exemption.map(|it| it.to_string());
        let by = policy.map(|it| it.scope.text.clone()).or(exemption);
        vec![
            task.to_string(),
            decision.verdict.as_str().to_owned(),
            decision.rule.as_str().to_owned(),
            by.unwrap_or_default(),
        ]
    });
    output.table(&["TASK", "VERDICT", "RULE", "BY"], rows)?;
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
