//! `portcullis policy …`: the policy files, as they are on disk. What is said of them is `policy`'s; this reads the files and prints.

pub mod difference;
pub mod expectations;
pub mod explain;
pub mod ls;
mod online;
pub mod show;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use chrono::Utc;
use clap::{Args, Subcommand};

use crate::config::{self, Environment, Reading, Role};
use crate::model::{Interner, Redaction, Task};
use crate::policy::{Endpoint, Mode, PolicySet, Setting, Ungoverned, lint};

use crate::serve::read_policy_files;

use super::check::{self, Finding};
use super::{ConfigFile, Outcome, Output, runtime};

/// What can be done with policies.
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check the policy files alone, and warn of what is allowed in them and doubtful.
    Check(Check),
    /// Tell which tasks get another policy, or one that asks for something else, between two directories of policy files.
    Diff(difference::Diff),
    /// Tell what would happen to a call and why, step by step. Without --granted, no grant counts.
    Explain(explain::Explain),
    /// List policies, groups, roles and exemptions, with the place of each; of a running gateway, all policies in force.
    Ls(ls::Ls),
    /// Show all of one policy.
    Show(show::Show),
    /// Run a file of expectations, and print what is decided otherwise.
    Test(expectations::Test),
}

/// What `policy check` may be told.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Count warnings as problems.
    #[arg(long)]
    pub strict: bool,
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Does what `command` says.
pub(super) fn run(
    command: PolicyCommand,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    match command {
        PolicyCommand::Check(arguments) => run_check(&arguments, environment, output),
        PolicyCommand::Diff(arguments) => difference::run(&arguments, environment, output),
        PolicyCommand::Explain(arguments) => explain::run(&arguments, environment, output),
        PolicyCommand::Ls(arguments) => match arguments.online.connection() {
            Some(connection) => runtime()?.block_on(online::ls(&connection, output)),
            None => match load(&arguments.config.path, environment) {
                Ok((set, _)) => ls::run(&set, output),
                Err(findings) => check::print(&findings, None, output),
            },
        },
        PolicyCommand::Show(arguments) => show::run(&arguments, environment, output),
        PolicyCommand::Test(arguments) => expectations::run(&arguments, environment, output),
    }
}

fn run_check(
    arguments: &Check,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let findings = match load(&arguments.config.path, environment) {
        Ok((set, reading)) => {
            let warnings = lint(&set, ungoverned(&reading), Utc::now().date_naive());
            warnings.iter().map(Finding::doubtful).collect()
        }
        Err(findings) => findings,
    };
    let outcome = check::print(&findings, None, output)?;
    Ok(if arguments.strict && !findings.is_empty() {
        Outcome::Problems
    } else {
        outcome
    })
}

/// What the endpoints do with tasks that no policy governs: whether any of them lets such pass, as is taken of a
/// configuration that cannot be read.
fn ungoverned(reading: &Reading) -> Ungoverned {
    let blocks = reading.config.as_ref().is_some_and(|config| {
        let mut endpoints = config.endpoints.iter();
        endpoints.all(|it| it.ungoverned == Ungoverned::Block)
    });
    if blocks {
        Ungoverned::Block
    } else {
        Ungoverned::Allow
    }
}

/// The policies that the configuration at `path` names, and the configuration. Problems of its other parts do not matter here.
pub(super) fn load(
    path: &Path,
    environment: &Environment,
) -> Result<(PolicySet, Reading), Vec<Finding>> {
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
    let set = PolicySet::load(
        &files,
        &[],
        reading.default_approver_group.as_deref(),
        &Interner::default(),
    );
    match set {
        Ok(set) => {
            let hidden = reading.config.as_ref().map(|it| &*it.audit.redact);
            let redaction = Redaction::new(hidden.unwrap_or_default());
            Ok((set.with_redaction(&redaction), reading))
        }
        Err(problems) => Err(problems.iter().map(Finding::from).collect()),
    }
}

/// The settings under which a call of `task` is decided: those of the endpoint of its workload. A configuration that cannot be
/// read is taken to enforce, and to let pass what no policy governs.
fn setting(task: Option<&Task>, reading: &Reading) -> Setting {
    let config = reading.config.as_ref();
    let endpoint = config.and_then(|config| {
        let mut endpoints = config.endpoints.iter();
        task.map_or_else(
            || config.endpoints.first(),
            |task| endpoints.find(|it| it.workload == task.workload),
        )
    });
    Setting {
        mode: config.map_or(Mode::Enforce, |it| it.access_control.mode),
        endpoint: Endpoint {
            ungoverned: endpoint.map_or(Ungoverned::Allow, |it| it.ungoverned),
            report_only: endpoint.is_some_and(|it| it.report_only),
        },
        now: Utc::now(),
    }
}

/// A small file's text; at most 4 MiB.
fn read_text(path: &Path) -> anyhow::Result<String> {
    const LONGEST: u64 = 4 << 20;
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    read.with_context(|| format!("cannot read `{}`", path.display()))?;
    anyhow::ensure!(
        text.len() as u64 <= LONGEST,
        "`{}` is longer than {LONGEST} bytes",
        path.display()
    );
    Ok(text)
}
