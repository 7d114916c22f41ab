//! `portcullis check`: what would be wrong if the gateway started now, all of it at once.
//!
//! It looks at everything that the configuration names, and asks those parts of the program that will read it. It changes nothing
//! and reaches for no network. Whether a directory can be written is asked as the account that runs it.

mod directories;
mod files;
mod summary;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;

use chrono::Utc;
use serde::Serialize;

use crate::config::{self, ConfigProblem, Environment, NamedFile, Reading, Role};
use crate::model::Interner;
use crate::policy::{PolicyProblem, PolicySet};
use crate::serve::read_policy_files;

use super::output::Severity;
use super::{Format, Outcome, Output};

use summary::Summary;

/// A problem or a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    severity: Severity,
    /// Such as `portcullis.toml:12`.
    place: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn new(
        severity: Severity,
        place: &dyn fmt::Display,
        message: impl Into<String>,
        hint: Option<&str>,
    ) -> Self {
        Self {
            severity,
            place: place.to_string(),
            message: message.into(),
            hint: hint.map(str::to_owned),
        }
    }

    /// A problem where `file` is named.
    fn error(file: &NamedFile, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self::new(Severity::Error, &file.place, message, hint)
    }

    /// A warning where `file` is named.
    fn warning(file: &NamedFile, message: impl Into<String>, hint: &str) -> Self {
        Self::new(Severity::Warning, &file.place, message, Some(hint))
    }
}

impl Finding {
    /// Something that is allowed in policies and doubtful.
    pub(super) fn doubtful(warning: &PolicyProblem) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::from(warning)
        }
    }
}

impl From<&ConfigProblem> for Finding {
    fn from(problem: &ConfigProblem) -> Self {
        Self::new(
            Severity::Error,
            &problem.place,
            &problem.message,
            problem.hint.as_deref(),
        )
    }
}

impl From<&PolicyProblem> for Finding {
    fn from(problem: &PolicyProblem) -> Self {
        Self::new(
            Severity::Error,
            &problem.place,
            &problem.message,
            problem.hint.as_deref(),
        )
    }
}

/// Checks the configuration at `path` and everything that it names.
pub(super) fn run(
    path: &Path,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let (findings, summary) = examine(path, environment)?;
    print(&findings, summary.as_ref(), output)
}

/// All findings, and what would run if there are no problems.
fn examine(
    path: &Path,
    environment: &Environment,
) -> anyhow::Result<(Vec<Finding>, Option<Summary>)> {
    let reading = config::read(path, environment);
    let mut findings: Vec<Finding> = reading.problems.iter().map(Finding::from).collect();
    findings.extend(reading.warnings.iter().map(|it| Finding {
        severity: Severity::Warning,
        ..Finding::from(it)
    }));
    let policies = policies(&reading, &mut findings);
    let certificate = files::tls(&reading, &mut findings);
    files::identities(&reading, &mut findings)?;
    files::secrets(&reading, &mut findings);
    files::templates(&reading, &mut findings);
    directories::writable(&reading, &mut findings);
    let is_sound = findings.iter().all(|it| it.severity == Severity::Warning);
    let summary = match (&reading.config, policies) {
        (Some(config), Some(policies)) if is_sound => {
            Some(Summary::new(config, &policies, certificate))
        }
        _ => None,
    };
    Ok((findings, summary))
}

fn policies(reading: &Reading, findings: &mut Vec<Finding>) -> Option<PolicySet> {
    let directory = reading
        .files
        .iter()
        .find(|it| it.role == Role::PolicyDirectory)?;
    let files = match read_policy_files(&directory.path) {
        Ok(files) => files,
        Err(error) => {
            findings.push(unreadable_policies(directory, &error));
            return None;
        }
    };
    if files.is_empty() {
        let message = format!(
            "there is no policy file (`*.toml`) in `{}`",
            directory.path.display()
        );
        findings.push(Finding::warning(
            directory,
            message,
            "without a policy, every task is ungoverned",
        ));
    }
    match PolicySet::load(
        &files,
        &[],
        reading.default_approver_group.as_deref(),
        &Interner::default(),
    ) {
        Ok(set) => {
            ended_exemptions(&set, findings);
            Some(set)
        }
        Err(problems) => {
            findings.extend(problems.iter().map(Finding::from));
            None
        }
    }
}

fn ended_exemptions(set: &PolicySet, findings: &mut Vec<Finding>) {
    let today = Utc::now().date_naive();
    for exemption in set.exemptions() {
        if let Some(last) = exemption.expires.filter(|it| *it < today) {
            let place = format!("{}:{}", exemption.place.file, exemption.place.line);
            let message = format!("the exemption of `{}` ended on {last}", exemption.account);
            let hint = format!(
                "`{}` owns it: set a later day, or take it out",
                exemption.owner
            );
            findings.push(Finding::new(
                Severity::Warning,
                &place,
                message,
                Some(&hint),
            ));
        }
    }
}

/// The finding for policy files that cannot be read.
pub(super) fn unreadable_policies(directory: &NamedFile, error: &io::Error) -> Finding {
    let hint =
        "`[policies] directory` is where the policy files lie; let the gateway's account read it";
    Finding::error(
        directory,
        format!("cannot read policies: {error}"),
        Some(hint),
    )
}

/// Prints problems of a configuration.
pub(super) fn print_problems(
    problems: &[ConfigProblem],
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let findings: Vec<_> = problems.iter().map(Finding::from).collect();
    print(&findings, None, output)
}

/// Prints findings, and what would run.
pub(super) fn print(
    findings: &[Finding],
    summary: Option<&Summary>,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let count = |severity| findings.iter().filter(|it| it.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if output.format() == Format::Json {
        output.json(&serde_json::json!({
            "problems": errors,
            "warnings": warnings,
            "findings": findings,
            "summary": summary,
        }))?;
    } else {
        for it in findings {
            output.finding(
                it.severity,
                format_args!("{}: {}", it.place, it.message),
                it.hint.as_deref(),
            )?;
        }
        if !findings.is_empty() {
            output.line("")?;
        }
        if let Some(summary) = summary {
            summary.print(output)?;
            output.line("")?;
        }
        let total = format!(
            "{}, {}",
            counted(errors, "problem"),
            counted(warnings, "warning")
        );
        if errors == 0 {
            output.good(total)?;
        } else {
            output.bad(total)?;
        }
    }
    Ok(if errors == 0 {
        Outcome::Done
    } else {
        Outcome::Problems
    })
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
