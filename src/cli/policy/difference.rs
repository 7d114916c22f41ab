//! `portcullis policy diff`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use crate::cli::check::{self, Finding};
use crate::cli::{ConfigFile, Format, Outcome, Output};
use crate::config::{self, Environment};
use crate::model::Interner;
use crate::policy::{Difference, PolicySet, difference};
use crate::serve::read_policy_files;

/// How many tasks of one difference are listed for people.
const TASKS_TOLD: usize = 5;

/// What `policy diff` may be told.
#[derive(Clone, Debug, Args)]
pub struct Diff {
    /// A directory of policy files.
    pub old: PathBuf,
    /// Another.
    pub new: PathBuf,
    /// The configuration, for the default approver group.
    #[command(flatten)]
    pub config: ConfigFile,
}

pub(super) fn run(
    arguments: &Diff,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let default = config::read(&arguments.config.path, environment).default_approver_group;
    let (old, new) = match (
        load(&arguments.old, default.as_deref())?,
        load(&arguments.new, default.as_deref())?,
    ) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            let findings: Vec<Finding> = [old.err(), new.err()]
                .into_iter()
                .flatten()
                .flatten()
                .collect();
            return check::print(&findings, None, output);
        }
    };
    let differences = difference(&old, &new);
    if output.format() == Format::Json {
        let told = differences
            .iter()
            .map(|it| json!({ "tasks": it.tasks, "before": it.before, "after": it.after }));
        output.json(&json!({ "differences": told.collect::<Vec<_>>() }))?;
        return Ok(Outcome::Done);
    }
    for it in &differences {
        print(it, output)?;
    }
    let tasks: usize = differences.iter().map(|it| it.tasks.len()).sum();
    output.line(match tasks {
        0 => "no task changes".to_owned(),
        1 => "1 task changes".to_owned(),
        count => format!("{count} tasks change"),
    })?;
    Ok(Outcome::Done)
}

fn print(difference: &Difference, output: &mut Output) -> anyhow::Result<()> {
    let Difference {
        tasks,
        before,
        after,
    } = difference;
    let mut told: Vec<&str> = tasks.iter().take(TASKS_TOLD).map(String::as_str).collect();
    let more = tasks.len().saturating_sub(TASKS_TOLD);
    let more = format!("… {more} more");
    if tasks.len() > TASKS_TOLD {
        told.push(&more);
    }
    output.line(told.join(", "))?;
    let or_none = |lines: &[String]| {
        if lines.is_empty() {
            vec!["no policy".to_owned()]
        } else {
            lines.to_vec()
        }
    };
    for line in or_none(before) {
        output.line(format_args!("  - {line}"))?;
    }
    for line in or_none(after) {
        output.line(format_args!("  + {line}"))?;
    }
    output.line("")?;
    Ok(())
}

/// The set of a directory, or what is wrong with it.
fn load(
    directory: &Path,
    default_approver_group: Option<&str>,
) -> anyhow::Result<Result<PolicySet, Vec<Finding>>> {
    let files = read_policy_files(directory)
        .with_context(|| format!("cannot read policies in `{}`", directory.display()))?;
    let set = PolicySet::load(&files, &[], default_approver_group, &Interner::default());
    Ok(set.map_err(|problems| problems.iter().map(Finding::from).collect()))
}
