//! Reads the fields of one TOML table: types checked, unknown keys found, each problem noted and reading carried on.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{At, Located, Report, nearest, printable};

/// A scalar of a parameter rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RawScalar {
    Bool(bool),
    /// In digits: a whole number, or a float as TOML writes it.
    Number(String),
    Text(String),
}

/// A table that is being read.
pub(super) struct Fields<'r, 'f, 't> {
    pub(super) report: &'r mut Report<'f>,
    /// What the table is, such as `a policy`.
    pub(super) what: &'static str,
    pub(super) table: &'t DeTable<'t>,
    pub(super) at: At,
}

impl<'t> Fields<'_, '_, 't> {
    fn at(&self, offset: usize) -> At {
        At { offset, ..self.at }
    }

    /// Whether the table has this key, with whatever value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes each key that is not among `known`.
    pub(super) fn refuse_unknown(&mut self, known: &[&str]) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            let message = format!("unknown key `{}` in {}", printable(name), self.what);
            self.report
                .problem_with_hint(self.at(key.span().start), message, hint);
        }
    }

    /// Notes that a key is missing, if it is.
    pub(super) fn require(&mut self, key: &str, hint: &str) {
        if !self.has(key) {
            let message = format!("{} has no `{key}`", self.what);
            self.report.problem_with_hint(self.at, message, hint);
        }
    }

    fn read<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'t DeValue<'t>) -> Option<T>,
    ) -> Option<Located<T>> {
        let given = self.table.get(key)?;
        let at = self.at(given.span().start);
        let value = read(given.get_ref());
        if value.is_none() {
            let message = format!("`{key}` must be {expected}, not {}", shown(given));
            self.report.problem(at, message);
        }
        Some(Located { value: value?, at })
    }

    pub(super) fn text(&mut self, key: &str) -> Option<Located<String>> {
        self.read(key, "a text in quotes", |it| it.as_str().map(str::to_owned))
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<Located<bool>> {
        self.read(key, "`true` or `false`", DeValue::as_bool)
    }

    pub(super) fn integer(&mut self, key: &str) -> Option<Located<i64>> {
        self.read(key, "a whole number of at most 64 bits", |it| {
            let digits = it.as_integer()?;
            i64::from_str_radix(digits.as_str(), digits.radix()).ok()
        })
    }

    /// A number in its digits.
    pub(super) fn number(&mut self, key: &str) -> Option<Located<String>> {
        self.read(key, "a number", |it| match scalar(it)? {
            RawScalar::Number(digits) => Some(digits),
            RawScalar::Bool(_) | RawScalar::Text(_) => None,
        })
    }

    /// A calendar day, without a time.
    pub(super) fn date(&mut self, key: &str) -> Option<Located<toml::value::Date>> {
        self.read(
            key,
            "a date without quotes or time, such as 2027-03-31",
            |it| {
                let given = it.as_datetime()?;
                given
                    .date
                    .filter(|_| given.time.is_none() && given.offset.is_none())
            },
        )
    }

    /// A list, each item of which `read` understands; the items that it does not are noted.
    fn list<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Option<Located<Vec<Located<T>>>> {
        let list = self.read(key, &format!("a list of {expected}"), DeValue::as_array)?;
        let mut items = Vec::with_capacity(list.value.len());
        for item in list.value {
            let at = self.at(item.span().start);
            if let Some(value) = read(item.get_ref()) {
                items.push(Located { value, at });
            } else {
                let message = format!("`{key}` lists {expected}, not {}", shown(item));
                self.report.problem(at, message);
            }
        }
        Some(Located {
            value: items,
            at: list.at,
        })
    }

    pub(super) fn texts(&mut self, key: &str) -> Option<Located<Vec<Located<String>>>> {
        self.list(key, "texts in quotes", |it| it.as_str().map(str::to_owned))
    }

    pub(super) fn scalars(&mut self, key: &str) -> Option<Located<Vec<Located<RawScalar>>>> {
        self.list(key, "texts, numbers and booleans", scalar)
    }

    /// A table within this one.
    pub(super) fn table(&mut self, key: &str) -> Option<Located<&'t DeTable<'t>>> {
        self.read(key, "a table", DeValue::as_table)
    }

    /// The tables of a `[[key]]` section, in order.
    pub(super) fn tables(&mut self, key: &str) -> Vec<Located<&'t DeTable<'t>>> {
        let Some(given) = self.table.get(key) else {
            return Vec::new();
        };
        let hint = if self.at.offset == 0 {
            format!("write `[[{key}]]`, with two brackets on each side")
        } else {
            format!("write a list of tables: {key} = [{{ … }}]")
        };
        let Some(items) = given.get_ref().as_array() else {
            let at = self.at(given.span().start);
            let message = format!("`{key}` must be a list of tables, not {}", shown(given));
            self.report.problem_with_hint(at, message, hint);
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(items.len());
        for item in items {
            let at = self.at(item.span().start);
            if let Some(value) = item.get_ref().as_table() {
                tables.push(Located { value, at });
            } else {
                let message = format!("`{key}` lists tables, not {}", shown(item));
                self.report.problem_with_hint(at, message, hint.clone());
            }
        }
        tables
    }
}

/// What a value is, for the end of "must be …, not …". Numbers and dates are shown, since one of the right kind can be too
/// big, or have a time besides.
fn shown(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Boolean(set) => format!("`{set}`"),
        DeValue::Datetime(datetime) => format!("`{datetime}`"),
        DeValue::Float(float) => format!("`{}`", printable(float.as_str())),
        DeValue::Integer(digits) => format!("`{}`", printable(&digits.to_string())),
        DeValue::String(_) => "a text".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<RawScalar> {
    match value {
        DeValue::Boolean(set) => Some(RawScalar::Bool(*set)),
        DeValue::Float(float) => Some(RawScalar::Number(float.as_str().to_owned())),
        DeValue::Integer(digits) => i128::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .map(|it| RawScalar::Number(it.to_string())),
        DeValue::String(text) => Some(RawScalar::Text(text.to_string())),
        DeValue::Array(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}
