//! From the layered values to the sections of [`super::raw`], without stopping at the first problem.
//!
//! A section is declared once, by [`section!`]: its keys with their documentation, types and defaults. From that one
//! declaration come the struct, the reading of it, the refusal of unknown keys, and the reference in
//! `docs/configuration.md` (a test compares them).

use std::collections::{BTreeMap, BTreeSet};

use config::{Map, Value, ValueKind};

use crate::model::is_sensitive;

use super::environment::variable_for;
use super::problem::{ConfigProblem, Place, Wrong, shown};
use super::suggest::did_you_mean;

/// A value, and where it was set; for a default, where its section begins.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
    /// Such as `proxy.listen`.
    pub(super) path: String,
}

/// What happens when a key is absent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presence {
    /// This text is read in its place.
    Default(&'static str),
    /// It has no value, which means this.
    Optional(
        #[cfg_attr(
            not(test),
            expect(dead_code, reason = "the reference is compared with it")
        )]
        &'static str,
    ),
    /// That is a problem.
    Required,
    /// It is a section, and its keys have defaults.
    Section,
}

/// A key of a section.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Its documentation, in Markdown.
    pub(super) doc: &'static str,
    pub(super) presence: Presence,
    /// The keys below it, if it is a section.
    pub(super) section: fn() -> Nested,
}

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nested {
    /// A value.
    Leaf,
    /// A section of these keys.
    One(&'static [Key]),
    /// Any number of sections of these keys.
    Many(&'static [Key]),
}

/// Something that can be read from a value.
pub(super) trait Read: Sized {
    /// The keys below it.
    fn nested() -> Nested {
        Nested::Leaf
    }

    /// Reads it; `None` after telling `reader` why not.
    fn read(node: Node, reader: &mut Reader<'_>) -> Option<Self>;
}

/// A value in the file or the environment, with its path and place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) kind: ValueKind,
}

impl Node {
    pub(super) fn is_from_environment(&self) -> bool {
        matches!(self.place, Place::Variable(_))
    }

    /// The last part of the path: the key as messages name it.
    fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

/// Reads values and collects what is wrong with them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    pub(super) tables: &'a BTreeMap<String, usize>,
    pub(super) problems: Vec<ConfigProblem>,
    pub(super) warnings: Vec<ConfigProblem>,
    /// Paths of values that are there and wrong: nobody should call them missing.
    wrong: BTreeSet<String>,
}

/// A section while it is read.
pub(super) struct Table {
    path: String,
    place: Place,
    values: Map<String, Value>,
}

impl<'a> Reader<'a> {
    /// A reader of the file `file`, whose tables begin at these lines.
    pub(super) fn new(file: &'a str, tables: &'a BTreeMap<String, usize>) -> Self {
        Self {
            file,
            tables,
            problems: Vec::new(),
            warnings: Vec::new(),
            wrong: BTreeSet::new(),
        }
    }

    /// Whether the value of `key` in the section at `path` is there, and wrong.
    pub(super) fn is_wrong(&self, path: &str, key: &str) -> bool {
        self.wrong.contains(&joined(path, key))
    }

    /// Reports a problem.
    pub(super) fn problem(
        &mut self,
        place: &Place,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.problems.push(ConfigProblem {
            place: place.clone(),
            message: message.into(),
            hint,
        });
    }

    /// Reports something doubtful.
    pub(super) fn warning(&mut self, place: &Place, message: impl Into<String>, hint: &str) {
        self.warnings.push(ConfigProblem {
            place: place.clone(),
            message: message.into(),
            hint: Some(hint.to_owned()),
        });
    }

    /// Reports that the value at `node` is wrong.
    pub(super) fn wrong(&mut self, node: &Node, wrong: Wrong) {
        let message = format!("`{}`: {}", node.name(), wrong.message);
        self.wrong.insert(node.path.clone());
        self.problem(&node.place, message, wrong.hint);
    }

    /// The value at `path`, placed.
    pub(super) fn node(&self, path: String, value: Value) -> Node {
        let place = self.place(&path, &value);
        Node {
            path,
            place,
            kind: value.kind,
        }
    }

    fn place(&self, path: &str, value: &Value) -> Place {
        let line = |line| Place::Line {
            file: self.file.to_owned(),
            line,
        };
        if let Some(origin) = value.origin() {
            return origin
                .parse()
                .map_or_else(|_| Place::Variable(variable_for(path)), line);
        }
        if let Some(known) = self.tables.get(path) {
            return line(*known);
        }
        // A table that only the environment mentions stands where one of its values does.
        match &value.kind {
            ValueKind::Table(table) => table
                .iter()
                .min_by_key(|it| it.0)
                .map(|(key, value)| self.place(&format!("{path}.{key}"), value)),
            _ => None,
        }
        .unwrap_or_else(|| Place::File(self.file.to_owned()))
    }

    /// Takes `node` as a section with these keys, and reports every other key.
    pub(super) fn table(&mut self, node: Node, keys: &[Key]) -> Option<Table> {
        let ValueKind::Table(values) = node.kind else {
            let hint = format!("write `[{}]` and its keys below it", node.path);
            self.problem(
                &node.place,
                format!("`{}` is a section", node.name()),
                Some(hint),
            );
            return None;
        };
        let names: Vec<_> = keys.iter().map(|it| it.name).collect();
        for (name, value) in &values {
            if !names.contains(&name.as_str()) {
                let path = joined(&node.path, name);
                let place = self.place(&path, value);
                self.unknown(&node.path, name, &place, &names);
            }
        }
        Some(Table {
            path: node.path,
            place: node.place,
            values,
        })
    }

    fn unknown(&mut self, section: &str, name: &str, place: &Place, names: &[&str]) {
        let path = joined(section, name);
        let plain_path: String = without_indices(&path);
        if let Some((_, what)) = LATER.iter().find(|it| it.0 == plain_path) {
            let message = format!("`{name}`: {what} not supported in this version");
            self.problem(place, message, Some("take the key out".to_owned()));
        } else if is_sensitive(name) && !name.ends_with("_file") {
            let message = format!("`{}` would be a secret in the configuration", shown(name));
            let file_key = format!("{}_file", name.to_ascii_lowercase());
            let hint = if names.contains(&file_key.as_str()) {
                format!(
                    "put it into a file that only the gateway can read, and name that: `{file_key} = \"…\"`"
                )
            } else {
                "take it out: secrets stand in files of their own".to_owned()
            };
            self.problem(place, message, Some(hint));
        } else {
            let message = if section.is_empty() {
                format!("unknown section `{}`", shown(name))
            } else {
                format!(
                    "unknown key `{}` in `{}`",
                    shown(name),
                    section_name(section)
                )
            };
            self.problem(place, message, Some(did_you_mean(name, names)));
        }
    }

    /// Takes the value of `key` out of `table`, or its default.
    pub(super) fn take<T: Read>(&mut self, table: &mut Table, key: &Key) -> Option<At<T>> {
        let path = joined(&table.path, key.name);
        let node = match (table.values.remove(key.name), key.presence) {
            (Some(value), _) => self.node(path, value),
            (None, Presence::Default(text)) => Node {
                path,
                place: table.place.clone(),
                kind: ValueKind::String(text.to_owned()),
            },
            (None, Presence::Section) => Node {
                path,
                place: table.place.clone(),
                kind: ValueKind::Table(Map::new()),
            },
            (None, Presence::Optional(_)) => return None,
            (None, Presence::Required) => {
                self.missing(table, key);
                return None;
            }
        };
        let (place, path) = (node.place.clone(), node.path.clone());
        T::read(node, self).map(|value| At { value, place, path })
    }

    fn missing(&mut self, table: &Table, key: &Key) {
        let meaning = key
            .doc
            .trim()
            .split_once(". ")
            .map_or(key.doc.trim(), |it| it.0);
        let meaning = meaning.trim_end_matches('.').to_owned();
        match ((key.section)(), table.path.as_str()) {
            (Nested::Many(_), _) => {
                let message = format!("no `[[{}]]`: at least one is needed", key.name);
                self.problem(&table.place, message, Some(meaning));
            }
            (_, section) => {
                let message = format!("`{}` is missing in `{}`", key.name, section_name(section));
                self.problem(&table.place, message, Some(meaning));
            }
        }
    }
}

/// Keys that DESIGN names and that this version does not have, and what they are about.
const LATER: &[(&str, &str)] = &[
    ("proxy.tls.client_ca", "client certificates are"),
    ("store.max_staleness", "several nodes on one store are"),
];

fn joined(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

/// A section as people know it: `[proxy.tls]`, `[[endpoint]]`, or `upstream_auth` in one of the latter.
pub(super) fn section_name(path: &str) -> String {
    match path.split_once('[') {
        None => format!("[{path}]"),
        Some((list, rest)) => match rest.split_once("].") {
            None => format!("[[{list}]]"),
            Some((_, inner)) => inner.to_owned(),
        },
    }
}

/// `endpoint[0].path` → `endpoint.path`
fn without_indices(path: &str) -> String {
    let mut depth = 0_u32;
    path.chars()
        .filter(|it| {
            match it {
                '[' => depth += 1,
                ']' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

/// Sections that are written `[[name]]`.
#[derive(Debug)]
pub(super) struct Tables<T>(pub(super) Vec<At<T>>);

impl<T: Read> Read for Tables<T> {
    fn nested() -> Nested {
        match T::nested() {
            Nested::One(keys) => Nested::Many(keys),
            other => other,
        }
    }

    fn read(node: Node, reader: &mut Reader<'_>) -> Option<Self> {
        let ValueKind::Array(items) = node.kind else {
            let message = format!("`{}` is a list of sections", node.path);
            reader.problem(
                &node.place,
                message,
                Some(format!("write `[[{}]]`", node.path)),
            );
            return None;
        };
        let read = items.into_iter().enumerate().filter_map(|(index, item)| {
            let node = reader.node(format!("{}[{index}]", node.path), item);
            let (place, path) = (node.place.clone(), node.path.clone());
            T::read(node, reader).map(|value| At { value, place, path })
        });
        Some(Self(read.collect()))
    }
}

/// Declares a section: a struct of optional, placed values, one a key, and how it is read.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $presence:expr; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub(super) struct $name {
            $( $(#[doc = $doc])+ pub(super) $field: Option<At<$type>>, )+
        }

        impl Read for $name {
            fn nested() -> Nested {
                const KEYS: &[Key] = &[$(
                    Key {
                        name: stringify!($field),
                        doc: concat!($($doc),+),
                        presence: $presence,
                        section: <$type as Read>::nested,
                    },
                )+];
                Nested::One(KEYS)
            }

            fn read(node: Node, reader: &mut Reader<'_>) -> Option<Self> {
                let (Nested::One(keys) | Nested::Many(keys)) = Self::nested() else {
                    return None;
                };
                let mut table = reader.table(node, keys)?;
                let mut keys = keys.iter();
                Some(Self { $( $field: reader.take(&mut table, keys.next()?), )+ })
            }
        }
    };
}

pub(super) use section;
