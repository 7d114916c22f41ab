//! Which parameters hold secrets, and what a record shows in their place.

use super::{ParameterName, Value};

/// What stands in a record where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Parts of names, in lower case, that mark a secret: from Exchange's own parameters (`Password`, `NewPassword`,
/// `RoomMailboxPassword`, `Credential`, `RemoteCredential`, `PrivateKey`, `FileData` of a PFX import, `AccessToken`).
const MARKS: &[&str] = &[
    "apikey",
    "credential",
    "passphrase",
    "password",
    "pincode",
    "privatekey",
    "pwd",
    "secret",
    "token",
];

/// The letters that a mark begins with, one bit each, from `a` on.
const FIRST_LETTERS: u32 = {
    let mut letters = 0;
    let mut marks = MARKS;
    while let [mark, others @ ..] = marks {
        if let [first, ..] = mark.as_bytes() {
            letters |= 1 << (*first - b'a');
        }
        marks = others;
    }
    letters
};

/// Whether a parameter or member of this name holds a secret.
pub fn is_sensitive(name: &str) -> bool {
    // On the path of every call: no copy, and most letters begin no mark.
    let name = name.as_bytes();
    name.iter().enumerate().any(|(start, letter)| {
        let letter = letter.to_ascii_lowercase().wrapping_sub(b'a');
        letter < 26
            && FIRST_LETTERS >> letter & 1 == 1
            && MARKS.iter().any(|mark| {
                name.get(start..start + mark.len())
                    .is_some_and(|part| part.eq_ignore_ascii_case(mark.as_bytes()))
            })
    })
}

/// A copy of `value` fit for a record, with secrets inside replaced by [`REDACTED`], and the paths of what was replaced
/// added to `removed`.
pub fn redacted(name: &ParameterName, value: &Value, removed: &mut Vec<String>) -> Value {
    redacted_at(name.as_str(), name.as_str(), value, removed)
}

fn redacted_at(path: &str, name: &str, value: &Value, removed: &mut Vec<String>) -> Value {
    if is_sensitive(name) && *value != Value::Null {
        removed.push(path.to_owned());
        return Value::text(REDACTED);
    }
    match value {
        Value::Table(members) => Value::Table(
            members
                .iter()
                .map(|(name, value)| {
                    (
                        name.clone(),
                        redacted_at(&format!("{path}.{name}"), name, value, removed),
                    )
                })
                .collect(),
        ),
        Value::List(items) => Value::List(
            items
                .iter()
                .map(|item| redacted_at(path, "", item, removed))
                .collect(),
        ),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Text(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_in_any_case_and_place() {
        for name in [
            "Password",
            "newPASSWORD",
            "RoomPasswordHint",
            "pwd",
            "ApiKey",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in ["", "Identity", "Passwor", "Pw", "ForceChange"] {
            assert!(!is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_replaced_wherever_they_stand() {
        let mut removed = Vec::new();
        let table = Value::Table(vec![
            ("UserName".into(), Value::text("a")),
            ("Password".into(), Value::text("p")),
        ]);
        let shown = redacted(
            &"Remote".parse().unwrap(),
            &Value::List(vec![table]),
            &mut removed,
        );
        assert_eq!(shown.display(), "@{UserName=a; Password=[redacted]}");
        assert_eq!(removed, ["Remote.Password"]);
    }
}
