//! Names: workload, cmdlet, task and parameter. Spelling is kept, comparison ignores ASCII case, as PowerShell does.
//!
//! INVARIANT: every name in this file is short ASCII of a closed alphabet, so folding case is folding ASCII, and no
//! name can carry a separator, a quote, a control character or a look-alike letter.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// The longest name that is read, in bytes. Exchange's longest cmdlet name has 60.
pub const MAX_NAME_BYTES: usize = 128;

/// A text that is not the name it was given as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {expected}", .text.escape_debug())]
pub struct InvalidName {
    /// What was given, cut to a length that can be shown.
    pub text: String,
    /// What would have been right, such as ``a cmdlet name (`Verb-Noun`)``.
    pub expected: &'static str,
}

impl InvalidName {
    fn new(text: &str, expected: &'static str) -> Self {
        let text = text.chars().take(MAX_NAME_BYTES).collect();
        Self { text, expected }
    }
}

macro_rules! caseless_name {
    ($name:ident) => {
        impl $name {
            /// The name as it was first spelled.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether `other` is this name in any case.
            pub fn is(&self, other: &str) -> bool {
                self.0.eq_ignore_ascii_case(other)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.eq_ignore_ascii_case(&other.0)
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                for byte in self.0.bytes() {
                    state.write_u8(byte.to_ascii_lowercase());
                }
                state.write_u8(0xff);
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                let folded = |name: &Self| {
                    name.0
                        .bytes()
                        .map(|it| it.to_ascii_lowercase())
                        .collect::<Vec<_>>()
                };
                folded(self).cmp(&folded(other))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

/// A cmdlet's name: `Verb-Noun`, letters, one hyphen, letters and digits; never module-qualified.
#[derive(Clone)]
pub struct CmdletName(Box<str>);

impl CmdletName {
    /// Whether the gateway itself answers this cmdlet: any verb, a noun that begins with `ElevatedAccess`.
    pub fn is_gateway_cmdlet(&self) -> bool {
        const NOUN: &[u8] = b"ElevatedAccess";
        self.noun()
            .as_bytes()
            .get(..NOUN.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(NOUN))
    }

    /// What stands before the hyphen.
    pub fn verb(&self) -> &str {
        self.0.split_once('-').map_or("", |it| it.0)
    }

    /// What stands after the hyphen.
    pub fn noun(&self) -> &str {
        self.0.split_once('-').map_or("", |it| it.1)
    }
}

impl FromStr for CmdletName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let well_formed = text.len() <= MAX_NAME_BYTES
            && text.split_once('-').is_some_and(|(verb, noun)| {
                !verb.is_empty()
                    && !noun.is_empty()
                    && verb.bytes().all(|it| it.is_ascii_alphabetic())
                    && noun.bytes().all(|it| it.is_ascii_alphanumeric())
            });
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new(
                text,
                "a cmdlet name (`Verb-Noun`, letters and digits)",
            ))
        }
    }
}

caseless_name!(CmdletName);

/// A parameter's name: an ASCII letter, then letters, digits and underscores.
#[derive(Clone)]
pub struct ParameterName(Box<str>);

impl FromStr for ParameterName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if is_identifier(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new(
                text,
                "a parameter name (letters, digits, underscores)",
            ))
        }
    }
}

caseless_name!(ParameterName);

/// A system behind the gateway, such as `Exchange`: the first half of a task's name. Cheap to clone.
#[derive(Clone)]
pub struct Workload(Arc<str>);

impl FromStr for Workload {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if is_identifier(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName::new(
                text,
                "a workload name (letters, digits, underscores)",
            ))
        }
    }
}

caseless_name!(Workload);

/// One cmdlet of a workload, written `Exchange\New-MoveRequest`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Task {
    /// The system.
    pub workload: Workload,
    /// The cmdlet.
    pub cmdlet: CmdletName,
}

impl Task {
    /// The task's text in lower case, the form that indexes and stores use: `exchange\new-moverequest`.
    pub fn folded(&self) -> String {
        let mut text = self.to_string();
        text.make_ascii_lowercase();
        text
    }
}

impl FromStr for Task {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let expected = r"a task (`Workload\Verb-Noun`)";
        let (workload, cmdlet) = text
            .split_once('\\')
            .ok_or_else(|| InvalidName::new(text, expected))?;
        match (workload.parse(), cmdlet.parse()) {
            (Ok(workload), Ok(cmdlet)) => Ok(Self { workload, cmdlet }),
            _ => Err(InvalidName::new(text, expected)),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\\{}", self.workload, self.cmdlet)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whether `text` is an ASCII letter, then letters, digits and underscores, of a bounded length.
fn is_identifier(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && text
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'_')
}

/// Stores a name, or an absent one, as its text; reading parses it.
pub(super) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::model) fn serialize<T: Display, S: Serializer>(
        name: &T,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_str(name)
    }

    pub(in crate::model) fn deserialize<'de, T, D>(input: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(input)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmdlet_names_are_one_verb_and_one_noun() {
        for good in ["Get-Mailbox", "get-mailbox", "New-X400Address2"] {
            assert!(good.parse::<CmdletName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-",
            "Get-",
            "-Mailbox",
            "Get-Mail-box",
            "GetMailbox",
            "Get-Mailbox ",
            " Get-Mailbox",
            "Get-Mailbox\0",
            "Get\u{2013}Mailbox",
            "Get-Mailb\u{43e}x",
            r"Exchange\Get-Mailbox",
            "Get-Mailbox;Remove-Mailbox",
            "G3t-Mailbox",
        ] {
            assert!(bad.parse::<CmdletName>().is_err(), "{bad:?}");
        }
        assert!(
            format!("Get-{}", "a".repeat(MAX_NAME_BYTES))
                .parse::<CmdletName>()
                .is_err()
        );
    }

    #[test]
    fn names_compare_without_case_and_keep_their_spelling() {
        let one: Task = r"Exchange\New-MoveRequest".parse().unwrap();
        let two: Task = r"exchange\NEW-moverequest".parse().unwrap();
        assert_eq!(one, two);
        assert_eq!(two.to_string(), r"exchange\NEW-moverequest");
        assert_eq!(one.folded(), two.folded());
    }

    #[test]
    fn the_gateway_answers_every_elevated_access_cmdlet() {
        let is_ours = |text: &str| text.parse::<CmdletName>().unwrap().is_gateway_cmdlet();
        assert!(is_ours("New-ElevatedAccessRequest"));
        assert!(is_ours("set-elevatedaccessanything"));
        assert!(!is_ours("New-MoveRequest"));
        assert!(!is_ours("Get-Elevated"));
    }
}
