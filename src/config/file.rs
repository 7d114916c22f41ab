//! The file as a source for the `config` crate, with the line of each value as its origin.
//!
//! `config` has a TOML source of its own, but it forgets positions; this one keeps them where `config` itself carries
//! them along: in [`Value::origin`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use config::{ConfigError, Map, Source, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::problem::{ConfigProblem, Place};

/// A configuration file is never larger, in bytes: a thousand endpoints fit.
const LARGEST: u64 = 1 << 20;

/// The text of the configuration file at `path`.
pub(super) fn open(path: &Path) -> Result<String, Vec<ConfigProblem>> {
    let problem = |message: String, hint: &str| {
        vec![ConfigProblem {
            place: Place::File(path.display().to_string()),
            message,
            hint: Some(hint.to_owned()),
        }]
    };
    let mut text = String::new();
    match File::open(path).and_then(|it| it.take(LARGEST + 1).read_to_string(&mut text)) {
        Ok(_) if text.len() as u64 > LARGEST => Err(problem(
            "larger than 1 MiB".to_owned(),
            "a configuration is some hundred lines: is this another file?",
        )),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(problem(
            "there is no such file".to_owned(),
            "name another with `--config FILE`, or write a starter set with `portcullis init`",
        )),
        Err(error) => Err(problem(
            format!("cannot be read: {error}"),
            "let the gateway's account read it",
        )),
    }
}

/// A configuration file, parsed.
#[derive(Clone, Debug, Default)]
pub(super) struct TomlFile {
    values: Map<String, Value>,
    /// The line of each table's head by its path, such as `proxy.limits`: layering keeps the origins of values only.
    pub(super) tables: BTreeMap<String, usize>,
}

impl TomlFile {
    /// Parses `text`; every syntax error is a problem in `file`.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, Vec<ConfigProblem>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let lines = Lines { text };
        if !errors.is_empty() {
            return Err(errors
                .iter()
                .map(|it| syntax_error(file, &lines, it))
                .collect());
        }
        let mut this = Self::default();
        this.values = this.table(&lines, "", table.get_ref());
        Ok(this)
    }

    fn table(&mut self, lines: &Lines<'_>, path: &str, table: &DeTable<'_>) -> Map<String, Value> {
        let mut values = Map::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            let line = lines.at(key.span().start);
            if matches!(value.get_ref(), DeValue::Table(_)) {
                self.tables.insert(path.clone(), line);
            }
            values.insert(
                name.to_owned(),
                self.value(lines, &path, line, value.get_ref()),
            );
        }
        values
    }

    fn value(&mut self, lines: &Lines<'_>, path: &str, line: usize, value: &DeValue<'_>) -> Value {
        let kind = match value {
            DeValue::String(text) => ValueKind::String(text.clone().into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| ValueKind::String(number.to_string()), ValueKind::I64),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or_else(|_| ValueKind::String(number.to_string()), ValueKind::Float),
            DeValue::Boolean(it) => ValueKind::Boolean(*it),
            DeValue::Datetime(it) => ValueKind::String(it.to_string()),
            DeValue::Table(table) => ValueKind::Table(self.table(lines, path, table)),
            DeValue::Array(items) => ValueKind::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| {
                        let line = lines.at(item.span().start);
                        self.value(lines, &format!("{path}[{index}]"), line, item.get_ref())
                    })
                    .collect(),
            ),
        };
        Value::new(Some(&line.to_string()), kind)
    }

    /// How many items the array at `key` of the root has.
    pub(super) fn count(&self, key: &str) -> usize {
        match self.values.get(key).map(|it| &it.kind) {
            Some(ValueKind::Array(items)) => items.len(),
            _ => 0,
        }
    }
}

impl Source for TomlFile {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        // `config` reads a root key as a path, so a quoted `"a.b"` would reach into `[a]`: it is renamed, and found unknown.
        let plain = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
        Ok(self
            .values
            .iter()
            .map(|(key, value)| {
                let is_plain = !key.is_empty() && key.chars().all(plain);
                let key = if is_plain {
                    key.clone()
                } else {
                    format!("\"{key}\"")
                };
                (key, value.clone())
            })
            .collect())
    }
}

fn syntax_error(file: &str, lines: &Lines<'_>, error: &toml::de::Error) -> ConfigProblem {
    let line = error.span().map_or(1, |span| lines.at(span.start));
    ConfigProblem {
        place: Place::Line {
            file: file.to_owned(),
            line,
        },
        message: format!("not TOML: {}", error.message()),
        hint: None,
    }
}

/// Lines of a text, by offset.
struct Lines<'a> {
    text: &'a str,
}

impl Lines<'_> {
    /// The line of the byte at `offset`, from 1.
    fn at(&self, offset: usize) -> usize {
        let before = self
            .text
            .as_bytes()
            .get(..offset)
            .unwrap_or(self.text.as_bytes());
        1 + memchr::memchr_iter(b'\n', before).count()
    }
}
