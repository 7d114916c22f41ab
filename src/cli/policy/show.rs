//! `portcullis policy show`

use std::path::Path;

use clap::Args;

use crate::cli::check;
use crate::cli::{ConfigFile, Format, Hint, Outcome, Output};
use crate::config::Environment;
use crate::model::Task;
use crate::policy::{PolicyFile, PolicySet};

use super::ls;

/// What `policy show` may be told.
#[derive(Clone, Debug, Args)]
pub struct Show {
    /// A policy's scope, such as `Exchange\Remove-*`, `role:Exchange\Mail Recipients` or `effect:exfiltrate`; or a task, for the
    /// policy that governs it.
    pub scope: String,
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFile,
}

pub(super) fn run(
    arguments: &Show,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let set = match super::load(&arguments.config.path, environment) {
        Ok((set, _)) => set,
        Err(findings) => return check::print(&findings, None, output),
    };
    let scope = &arguments.scope;
    let task = scope.parse::<Task>().ok();
    let governing = task.as_ref().and_then(|task| set.governing(task));
    let Some(policy) = set.policy(scope).or(governing) else {
        return Err(not_there(scope, &set));
    };
    if output.format() == Format::Json {
        output.json(&ls::policy_json(policy))?;
        return Ok(Outcome::Done);
    }
    output.line(&policy.scope.text)?;
    let mut rows: Vec<Vec<String>> = policy
        .terms()
        .into_iter()
        .map(|(name, text)| vec![format!("  {name}"), text])
        .collect();
    rows.push(vec!["  source".to_owned(), policy.source.to_string()]);
    output.rows(rows)?;
    Ok(Outcome::Done)
}

fn not_there(scope: &str, set: &PolicySet) -> anyhow::Error {
    let hint = match set.policies().len() {
        0 => "there is no policy at all".to_owned(),
        _ => "`portcullis policy ls` lists the scopes".to_owned(),
    };
    anyhow::Error::new(Hint(hint)).context(format!("no policy is about `{scope}` or governs it"))
}

/// A policy file as `portcullis` reads it from a path.
pub(super) fn file(path: &Path) -> anyhow::Result<PolicyFile> {
    Ok(PolicyFile {
        path: path.display().to_string(),
        text: super::read_text(path)?,
    })
}
