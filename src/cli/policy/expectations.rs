//! `portcullis policy test`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::check::{self, Finding};
use crate::cli::output::Severity;
use crate::cli::{ConfigFile, Format, Outcome, Output};
use crate::config::Environment;
use crate::policy::{Unmet, read_expectations, unmet};

use super::show::file;

/// What `policy test` may be told.
#[derive(Clone, Debug, Args)]
pub struct Test {
    /// The expectations: TOML with [[test]] sections.
    pub file: PathBuf,
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
}

pub(super) fn run(
    arguments: &Test,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let (set, reading) = match super::load(&arguments.config.path, environment) {
        Ok(loaded) => loaded,
        Err(findings) => return check::print(&findings, None, output),
    };
    let expectations = match read_expectations(&file(&arguments.file)?) {
        Ok(expectations) => expectations,
        Err(problems) => {
            let findings: Vec<Finding> = problems.iter().map(Finding::from).collect();
            return check::print(&findings, None, output);
        }
    };
    // Each call is decided as by the endpoint of its workload.
    let failed: Vec<Unmet<'_>> = expectations
        .iter()
        .flat_map(|it| {
            let setting = super::setting(Some(&it.asked.command.task), &reading);
            unmet(std::slice::from_ref(it), &set, &setting)
        })
        .collect();
    let (count, bad) = (expectations.len(), failed.len());
    if output.format() == Format::Json {
        output.json(&json!({
            "tests": count,
            "failed": bad,
            "differences": failed.iter().map(as_json).collect::<Vec<_>>(),
        }))?;
    } else {
        for it in &failed {
            let expectation = it.expectation;
            let name = expectation
                .name
                .clone()
                .unwrap_or_else(|| expectation.asked.command.task.to_string());
            let text = format!(
                "{}: {name}: {}",
                expectation.place,
                it.differences.join("; ")
            );
            let explanation = Some(it.decision.explanation.as_str()).filter(|it| !it.is_empty());
            output.finding(Severity::Error, text, explanation)?;
        }
        let total = format!("{count} tests, {bad} failed");
        if bad == 0 {
            output.good(total)?;
        } else {
            output.bad(total)?;
        }
    }
    Ok(if bad == 0 {
        Outcome::Done
    } else {
        Outcome::Problems
    })
}

fn as_json(unmet: &Unmet<'_>) -> serde_json::Value {
    let Unmet {
        expectation,
        differences,
        decision,
    } = unmet;
    json!({
        "name": expectation.name,
        "place": expectation.place.to_string(),
        "differences": differences,
        "verdict": decision.verdict.as_str(),
        "rule": decision.rule.as_str(),
        "policy": decision.policy.as_deref(),
        "explanation": decision.explanation,
    })
}
