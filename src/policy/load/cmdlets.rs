//! `[[cmdlet]]`: what a set adds to the catalogue.

use std::collections::HashMap;

use crate::model::{ParameterName, Task};

use super::super::Place;
use super::super::catalogue::{DangerousParameter, Effect, Extension};
use super::super::file::RawCmdlet;
use super::super::problem::{Located, Report, nearest, printable};

/// All extensions, in file order; a task that is judged twice is a problem.
pub(super) fn lower(raw: Vec<RawCmdlet>, report: &mut Report<'_>) -> Vec<Extension> {
    let mut judged: HashMap<String, Place> = HashMap::new();
    let mut extensions = Vec::new();
    for RawCmdlet {
        at,
        tasks,
        effect,
        dangerous,
    } in raw
    {
        let effect = effect.and_then(|it| read_effect(&it, report));
        let dangerous = read_dangerous(dangerous, report);
        let Some(tasks) = tasks else { continue };
        if tasks.value.is_empty() {
            report.problem(tasks.at, "`tasks` lists no task");
        }
        for Located { value, at: task_at } in tasks.value {
            if value.parse::<Task>().is_err() {
                report.problem_with_hint(
                    task_at,
                    format!("`{}` is not a task", printable(&value)),
                    r"one task, such as 'Exchange\Set-Mailbox', and no pattern",
                );
                continue;
            }
            let place = report.place(at);
            if let Some(first) = judged.insert(value.to_ascii_lowercase(), place) {
                let message = format!("`{value}` is judged a second time; the first is at {first}");
                report.problem_with_hint(task_at, message, "say all of a task in one place");
            }
            extensions.push(Extension {
                task: value,
                effect,
                dangerous: dangerous.clone(),
            });
        }
    }
    extensions
}

fn read_dangerous(
    raw: Vec<(Located<String>, Located<String>)>,
    report: &mut Report<'_>,
) -> Vec<DangerousParameter> {
    let mut read: Vec<DangerousParameter> = Vec::with_capacity(raw.len());
    for (name, effect) in raw {
        let effect = read_effect(&effect, report);
        let Located { value, at } = name;
        if let Err(invalid) = value.parse::<ParameterName>() {
            let message = format!("`{}` is not {}", printable(&value), invalid.expected);
            report.problem(at, message);
            continue;
        }
        if read.iter().any(|it| it.name.eq_ignore_ascii_case(&value)) {
            let message = format!("a second effect of `{value}`");
            report.problem_with_hint(at, message, "parameters are compared without case");
        }
        if let Some(effect) = effect {
            read.push(DangerousParameter {
                name: value,
                effect,
            });
        }
    }
    read
}

/// An effect by its word; a problem if there is none of this word.
pub(super) fn read_effect(text: &Located<String>, report: &mut Report<'_>) -> Option<Effect> {
    let Located { value, at } = text;
    let found = Effect::ALL.into_iter().find(|it| it.as_str() == value);
    if found.is_none() {
        let words = Effect::ALL.map(Effect::as_str);
        let hint = match nearest(value, words) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", words.map(|it| format!("\"{it}\"")).join(", ")),
        };
        report.problem_with_hint(
            *at,
            format!("there is no effect `{}`", printable(value)),
            hint,
        );
    }
    found
}
