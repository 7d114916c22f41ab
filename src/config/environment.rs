//! Every environment variable that Portcullis reads, and the one place that reads them.

use std::collections::BTreeMap;
use std::env;

use super::file::TomlFile;
use super::problem::{ConfigProblem, Place, shown};

/// Names the configuration file when `--config` does not.
pub const CONFIG_FILE: &str = "PORTCULLIS_CONFIG";
/// Which log events are written: a filter such as `info` or `portcullis=debug,hyper=warn`.
pub const LOG: &str = "PORTCULLIS_LOG";
/// How log events are written: `text` or `json`; without it, text on a terminal and JSON elsewhere.
pub const LOG_FORMAT: &str = "PORTCULLIS_LOG_FORMAT";
/// Begins the name of every variable that sets a key of the configuration: `PORTCULLIS__PROXY__LISTEN` is `listen` in
/// `[proxy]`, `PORTCULLIS__ENDPOINT__0__UPSTREAM` is `upstream` in the first `[[endpoint]]`. Such a variable wins over the file.
/// A list is written with commas between its items.
pub const PREFIX: &str = "PORTCULLIS__";

/// The variables of an environment that set keys of the configuration, by their names in upper case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    pub(super) variables: BTreeMap<String, String>,
    /// Names that cannot be used: not Unicode, or given in two spellings.
    pub(super) unusable: Vec<(String, &'static str)>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in env::vars_os() {
            let name = name.to_string_lossy().to_ascii_uppercase();
            if name.starts_with(PREFIX) {
                match value.into_string() {
                    Ok(value) => environment.add(name, value),
                    Err(_) => environment
                        .unusable
                        .push((name, "its value is not Unicode")),
                }
            }
        }
        environment
    }

    /// An environment of these variables; those without [`PREFIX`] are left out.
    pub fn of<N: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let name = name.into().to_ascii_uppercase();
            if name.starts_with(PREFIX) {
                environment.add(name, value.into());
            }
        }
        environment
    }

    /// Names are compared without case, as the `config` crate does, so two spellings of one name would be a toss-up.
    fn add(&mut self, name: String, value: String) {
        if self.variables.insert(name.clone(), value).is_some() {
            self.unusable
                .push((name, "it is set twice, in different cases"));
        }
    }
}

impl Environment {
    /// The variables as a source for the `config` crate, without those that cannot be used, which are told as problems.
    pub(super) fn source(
        &self,
        file: &TomlFile,
        problems: &mut Vec<ConfigProblem>,
    ) -> config::Environment {
        let mut source = config::Map::new();
        for (name, why) in &self.unusable {
            problems.push(problem(name, why, None));
        }
        for (name, value) in &self.variables {
            let is_plain = name
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'_');
            let below = format!("{name}__");
            let wider = self.variables.keys().find(|it| it.starts_with(&below));
            if !is_plain {
                problems.push(problem(
                    name,
                    "not a variable for a key",
                    Some("letters, digits and `_`"),
                ));
            } else if let Some(narrower) = wider {
                let message = format!("it sets the whole of what {narrower} sets a part of");
                problems.push(problem(name, &message, Some("keep one of the two")));
            } else {
                match indexed(name, file) {
                    Ok(name) => {
                        source.insert(name, value.clone());
                    }
                    Err(message) => problems.push(problem(
                        name,
                        &message,
                        Some("variables change sections that the file has; the first is number 0"),
                    )),
                }
            }
        }
        config::Environment::with_prefix("PORTCULLIS")
            .separator("__")
            .source(Some(source))
    }
}

/// `…__ENDPOINT__0__PATH` as `config` wants it for an item of a list: `…__ENDPOINT[0]__PATH`.
fn indexed(name: &str, file: &TomlFile) -> Result<String, String> {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    for list in ["endpoint", "identity"] {
        let Some(rest) = rest.strip_prefix(&format!("{}__", list.to_ascii_uppercase())) else {
            continue;
        };
        let (number, key) = rest.split_once("__").unwrap_or((rest, ""));
        let count = file.count(list);
        return match number.parse::<usize>() {
            Ok(index) if index < count && !key.is_empty() => Ok(format!(
                "{PREFIX}{}[{index}]__{key}",
                list.to_ascii_uppercase()
            )),
            Ok(index) if index >= count => Err(format!(
                "there is no `[[{list}]]` number {index}: the file has {count}"
            )),
            _ => Err(format!(
                "`{}` is not the number and key of a `[[{list}]]`",
                shown(rest)
            )),
        };
    }
    Ok(name.to_owned())
}

fn problem(name: &str, message: &str, hint: Option<&str>) -> ConfigProblem {
    ConfigProblem {
        place: Place::Variable(name.to_owned()),
        message: message.to_owned(),
        hint: hint.map(str::to_owned),
    }
}

/// The variable that sets the key at `path`, such as `endpoint[0].upstream`.
pub(super) fn variable_for(path: &str) -> String {
    let name = path.replace('[', "__").replace(']', "").replace('.', "__");
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}
