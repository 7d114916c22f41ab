//! Which parameters hold secrets, and what a record, a message or a listing shows in their place.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::{ParameterName, Value};

/// What stands in a record where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Names that mark a secret, from `assets/catalogue/sensitive.toml`.
struct Marks {
    /// Parts of names, in lower case, by the letter that they begin with.
    parts: [Vec<String>; LETTERS],
    /// Whole names.
    names: Vec<String>,
}

/// From `a` on.
const LETTERS: usize = 26;

fn marks() -> &'static Marks {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(rename = "version")]
        _version: String,
        parts: Vec<String>,
        names: Vec<String>,
    }
    static MARKS: LazyLock<Marks> = LazyLock::new(|| {
        #[expect(
            clippy::expect_used,
            reason = "a test reads the same text, which is part of the program"
        )]
        let File {
            _version: _,
            parts,
            names,
        } = toml::from_str(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/assets/catalogue/sensitive.toml"
        )))
        .expect("the list is well-formed");
        let mut by_letter: [Vec<String>; LETTERS] = Default::default();
        for part in parts {
            let slot = part.bytes().next().and_then(letter);
            if let Some(slot) = slot.and_then(|it| by_letter.get_mut(it)) {
                slot.push(part);
            }
        }
        Marks {
            parts: by_letter,
            names,
        }
    });
    &MARKS
}

/// Which letter this is, in any case.
fn letter(byte: u8) -> Option<usize> {
    let place = usize::from(byte.to_ascii_lowercase()).checked_sub(usize::from(b'a'))?;
    (place < LETTERS).then_some(place)
}

/// Whether a parameter or member of this name holds a secret.
pub fn is_sensitive(name: &str) -> bool {
    // On the path of every call: no copy, and most letters begin no mark.
    let Marks { parts, names } = marks();
    let bytes = name.as_bytes();
    bytes.iter().enumerate().any(|(start, byte)| {
        let parts = letter(*byte).and_then(|it| parts.get(it));
        parts.into_iter().flatten().any(|part| {
            bytes
                .get(start..start + part.len())
                .is_some_and(|it| it.eq_ignore_ascii_case(part.as_bytes()))
        })
    }) || names.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// Fewer letters than this are no beginning of a name: servers complete them, but so many names begin with them that hiding what
/// stands under them would hide what anyone likes from the record.
const FEWEST: usize = 3;

/// Whether a server could complete `given` to `full`. What ends with a digit where `full` goes on with digits alone is a
/// parameter of its own, as `CustomAttribute1` is beside `CustomAttribute10`.
fn begins(given: &[u8], full: &str) -> bool {
    let Some((start, rest)) = full.as_bytes().split_at_checked(given.len()) else {
        return false;
    };
    let is_numbered = given.last().is_some_and(u8::is_ascii_digit)
        && !rest.is_empty()
        && rest.iter().all(u8::is_ascii_digit);
    given.len() >= FEWEST && start.eq_ignore_ascii_case(given) && !is_numbered
}

/// Whether `given`, which may be a beginning of a parameter's name, could be that of one that holds a secret: it begins such a
/// name, or ends with letters that begin a mark, as `RoomMailboxPass` does.
fn could_be_sensitive(given: &str) -> bool {
    let Marks { parts, names } = marks();
    let given = given.as_bytes();
    let starts_mark = |start: &[u8]| parts.iter().flatten().any(|it| begins(start, it));
    names.iter().any(|it| begins(given, it))
        || (0..(given.len() + 1).saturating_sub(FEWEST))
            .any(|at| given.get(at..).is_some_and(starts_mark))
}

/// What is kept out of records, messages, listings and the texts of blocks: what [`is_sensitive`] names, and the names that the operator adds
/// (`[audit] redact`), compared without ASCII case. Cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    added: Arc<[String]>,
}

impl Redaction {
    /// The built-in names, and these.
    pub fn new(added: &[String]) -> Self {
        Self {
            added: added.into(),
        }
    }

    /// Whether the value of a parameter or member is not shown whose name somebody wrote: it is that of a secret, or a beginning
    /// of one, of three letters or more, which a server may complete.
    pub fn hides(&self, name: &str) -> bool {
        let could_be_added = |full: &String| begins(name.as_bytes(), full);
        self.hides_whole(name) || could_be_sensitive(name) || self.added.iter().any(could_be_added)
    }

    /// Whether the value of a parameter of this name is not shown, where it is known that the name is whole.
    pub fn hides_whole(&self, name: &str) -> bool {
        is_sensitive(name) || self.added.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    /// A copy of `value` fit to be shown, with secrets inside replaced by [`REDACTED`], and the paths of what was replaced
    /// added to `removed`.
    pub fn redacted(
        &self,
        name: &ParameterName,
        value: &Value,
        removed: &mut Vec<String>,
    ) -> Value {
        self.redacted_at(name.as_str(), name.as_str(), value, removed)
    }

    fn redacted_at(
        &self,
        path: &str,
        name: &str,
        value: &Value,
        removed: &mut Vec<String>,
    ) -> Value {
        if self.hides(name) && *value != Value::Null {
            removed.push(path.to_owned());
            return Value::text(REDACTED);
        }
        match value {
            Value::Table(members) => Value::Table(
                members
                    .iter()
                    .map(|(name, value)| {
                        let path = format!("{path}.{name}");
                        let shown = self.redacted_at(&path, name, value, removed);
                        (name.clone(), shown)
                    })
                    .collect(),
            ),
            Value::List(items) => Value::List(
                items
                    .iter()
                    .map(|item| self.redacted_at(path, "", item, removed))
                    .collect(),
            ),
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::Text(_) => value.clone(),
        }
    }

    /// Names and texts, without those that are not shown.
    pub fn shown_pairs(&self, pairs: &[(String, String)]) -> Vec<(String, String)> {
        let shown = |(name, text): &(String, String)| {
            let text = if self.hides(name) { REDACTED } else { text };
            (name.clone(), text.to_owned())
        };
        pairs.iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_list_is_looked_for() {
        let listed = include_str!("../../assets/catalogue/sensitive.toml")
            .parse::<toml::Table>()
            .unwrap();
        let parts = listed["parts"].as_array().unwrap();
        assert!(!parts.is_empty());
        for part in parts {
            let part = part.as_str().unwrap();
            assert_eq!(part, part.to_ascii_lowercase());
            assert!(
                is_sensitive(&format!("X{}x", part.to_uppercase())),
                "{part}"
            );
        }
    }

    #[test]
    fn a_mark_counts_in_any_case_and_place() {
        for name in [
            "Password",
            "newPASSWORD",
            "RoomPasswordHint",
            "pwd",
            "ApiKey",
            "csvdata",
            "PIN",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in [
            "",
            "Identity",
            "Passwor",
            "Pw",
            "ForceChange",
            "Pins",
            "CSVDataFormat",
            "é",
        ] {
            assert!(!is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn what_could_begin_a_secrets_name_is_hidden() {
        let redaction = Redaction::new(&["CostCentre".to_owned()]);
        for name in [
            "Passwor",
            "pas",
            "Password",
            "NewPass",
            "RoomMailboxPasswor",
            "RemoteCred",
            "OAuthC",
            "costc",
        ] {
            assert!(redaction.hides(name), "{name}");
        }
        for name in [
            "Identity",
            "Force",
            "Office",
            "NewPa",
            "DisplayName",
            "é",
            "P",
            "T",
            "C",
            "Se",
            "To",
            "co",
        ] {
            assert!(!redaction.hides(name), "{name}");
        }
        for name in ["Passwor", "OAuthC", "costc"] {
            assert!(!redaction.hides_whole(name), "{name}");
        }
        assert!(!redaction.hides(""));
        let pairs = [("Passwor".to_owned(), "p".to_owned())];
        assert_eq!(redaction.shown_pairs(&pairs)[0].1, REDACTED);
    }

    #[test]
    fn a_numbered_name_begins_none_with_a_larger_number() {
        let redaction = Redaction::new(&["CustomAttribute10".to_owned(), "X".to_owned()]);
        for name in ["CustomAttribute1", "CustomAttribute2", "Xa"] {
            assert!(!redaction.hides(name), "{name}");
        }
        for name in ["CustomAttribute10", "CustomAttribute", "Custom", "x"] {
            assert!(redaction.hides(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_replaced_wherever_they_stand() {
        let mut removed = Vec::new();
        let table = Value::Table(vec![
            ("UserName".into(), Value::text("a")),
            ("Password".into(), Value::text("p")),
        ]);
        let shown = Redaction::default().redacted(
            &"Remote".parse().unwrap(),
            &Value::List(vec![table]),
            &mut removed,
        );
        assert_eq!(shown.display(), "@{UserName=a; Password=[redacted]}");
        assert_eq!(removed, ["Remote.Password"]);
    }

    #[test]
    fn names_that_the_operator_adds_are_hidden_like_those_that_are_built_in() {
        let redaction = Redaction::new(&["CostCentre".to_owned()]);
        for name in ["costcentre", "COSTCENTRE", "NewPassword"] {
            assert!(redaction.hides(name), "{name}");
        }
        assert!(!redaction.hides("CostCentres"), "a whole name");
        let pairs = [("costCentre", "4711"), ("Ticket", "INC-1")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()));
        let shown = redaction.shown_pairs(&pairs);
        assert_eq!(shown[0].1, REDACTED);
        assert_eq!(shown[1].1, "INC-1");
    }
}
