//! The file of local users: TOML, read whole, with every problem and its line.
//!
//! ```toml
//! [[user]]
//! name = "amy"                            # what she signs in with; without "/" and ":"
//! password_hash = "$argon2id$v=19$…"      # from `portcullis user hash-password`
//! principal = "amy@fabrikam.example"      # what policies call her; default: the name
//! groups = ["pam-approvers"]              # what a token's `groups` claim would hold
//! disabled = true                         # may not sign in
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::{Interner, Principal, PrincipalKind};

use super::authorization::MAX_USER_BYTES;
use super::password::HashedPassword;
use super::throttle::Throttle;

/// The most users in a file.
const MAX_USERS: usize = 10_000;

/// The most groups of a user.
const MAX_GROUPS: usize = 200;

/// A local user.
pub(super) struct User {
    /// As the file spells it.
    pub(super) name: String,
    pub(super) principal: Arc<Principal>,
    pub(super) password: HashedPassword,
    pub(super) standing: Standing,
    /// The reading of the user files since which all of this is as it is, but for the failures.
    pub(super) since: u64,
    /// Failed sign-ins of this user.
    pub(super) throttle: Throttle,
}

impl User {
    fn is_like(&self, other: &Self) -> bool {
        self.principal == other.principal
            && self.standing == other.standing
            && self.password.is_same(&other.password)
    }
}

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Disabled,
    Enabled,
}

/// The users of a file as it was read.
pub(super) struct Users {
    by_name: HashMap<String, User>,
    /// What an unknown user's password is checked against, so that it takes as long as a known one's.
    pub(super) nobodys: HashedPassword,
    /// Which reading of the file this is: what was verified by another no longer counts.
    pub(super) generation: u64,
}

impl Users {
    /// The user of this name, in any ASCII case.
    pub(super) fn find(&self, name: &str) -> Option<&User> {
        self.by_name.get(&name.to_ascii_lowercase())
    }

    /// Notes who is another than `before`: since this `reading`.
    pub(super) fn compare(&mut self, before: &Self, reading: u64) {
        for (name, user) in &mut self.by_name {
            let same = before.by_name.get(name).filter(|it| it.is_like(user));
            user.since = same.map_or(reading, |it| it.since);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// What users of one file have in common.
pub(super) struct Naming<'a> {
    /// The section's name.
    pub(super) identity: &'a str,
    /// What their principals' keys begin with, such as `local:`.
    pub(super) key_prefix: &'a str,
    pub(super) interner: &'a Interner,
}

/// Something wrong in a user file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// From 1.
    pub(super) line: usize,
    pub(super) text: String,
}

/// Reads a user file: all of it is right, or every problem is told.
pub(super) fn read(
    text: &str,
    naming: &Naming<'_>,
    generation: u64,
    random: [u8; 48],
) -> Result<Users, Vec<Problem>> {
    let mut reader = Reader {
        text,
        naming,
        problems: Vec::new(),
    };
    let users = reader.users();
    let costliest = users.values().max_by_key(|it| it.password.cost());
    let nobodys = HashedPassword::nobodys(costliest.map(|it| &it.password), random);
    match nobodys {
        Some(nobodys) if reader.problems.is_empty() => Ok(Users {
            by_name: users,
            nobodys,
            generation,
        }),
        _ => Err(reader.problems),
    }
}

struct Reader<'a> {
    text: &'a str,
    naming: &'a Naming<'a>,
    problems: Vec<Problem>,
}

/// A `[[user]]` as it is written.
#[derive(Default)]
struct Raw {
    name: Option<(String, Range<usize>)>,
    password: Option<HashedPassword>,
    has_password: bool,
    principal: Option<(String, Range<usize>)>,
    groups: Vec<String>,
    disabled: bool,
}

impl Reader<'_> {
    fn users(&mut self) -> HashMap<String, User> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.problem(error.span().unwrap_or_default(), error.message().to_owned());
        }
        let mut users = HashMap::new();
        let mut principals: HashMap<String, String> = HashMap::new();
        for (key, value) in root.get_ref() {
            if key.get_ref() != "user" {
                let text = format!("unknown key `{}`: the file holds [[user]]", key.get_ref());
                self.problem(key.span(), text);
                continue;
            }
            let Some(array) = value.get_ref().as_array() else {
                self.problem(key.span(), "write [[user]], in double brackets".to_owned());
                continue;
            };
            if array.len() > MAX_USERS {
                self.problem(key.span(), format!("more than {MAX_USERS} users"));
                continue;
            }
            for entry in array {
                let Some(table) = entry.get_ref().as_table() else {
                    self.problem(entry.span(), "a user is a table".to_owned());
                    continue;
                };
                let raw = self.raw(table);
                let Some((user, named_at)) = self.user(raw, entry.span()) else {
                    continue;
                };
                let principal = user.principal.name.to_ascii_lowercase();
                if let Some(other) = principals.insert(principal, user.name.clone()) {
                    // Two keys of one person could approve each other's requests.
                    let text = format!("`{}` has the same principal as `{other}`", user.name);
                    self.problem(named_at.clone(), text);
                }
                match users.entry(user.name.to_ascii_lowercase()) {
                    Entry::Vacant(place) => {
                        place.insert(user);
                    }
                    Entry::Occupied(_) => {
                        self.problem(named_at, format!("the user `{}` is there twice", user.name));
                    }
                }
            }
        }
        users
    }

    fn raw(&mut self, table: &DeTable<'_>) -> Raw {
        let mut raw = Raw::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "name" => raw.name = Some(self.name(key.get_ref(), value)),
                "principal" => raw.principal = Some(self.name(key.get_ref(), value)),
                "password_hash" => {
                    raw.has_password = true;
                    let text = value.get_ref().as_str().unwrap_or_default();
                    match HashedPassword::read(text) {
                        Ok(password) => raw.password = Some(password),
                        Err(hint) => self.problem(value.span(), hint.to_owned()),
                    }
                }
                "groups" => raw.groups = self.groups(value),
                "disabled" => match value.get_ref().as_bool() {
                    Some(disabled) => raw.disabled = disabled,
                    None => self.problem(value.span(), "disabled is true or false".to_owned()),
                },
                other => {
                    let text = format!(
                        "unknown key `{other}`: a user has name, password_hash, principal, groups, disabled"
                    );
                    self.problem(key.span(), text);
                }
            }
        }
        raw
    }

    fn user(&mut self, raw: Raw, at: Range<usize>) -> Option<(User, Range<usize>)> {
        if raw.name.is_none() {
            self.problem(at.clone(), "a user needs a name".to_owned());
        }
        if !raw.has_password {
            self.problem(at, "a user needs a password_hash".to_owned());
        }
        let is_told = |it: &(String, Range<usize>)| it.0.is_empty();
        let (name, named_at) = raw.name.filter(|it| !is_told(it))?;
        if raw.principal.as_ref().is_some_and(is_told) {
            return None;
        }
        let Naming {
            identity,
            key_prefix,
            interner,
        } = self.naming;
        let key = format!("{key_prefix}{}", name.to_ascii_lowercase());
        let principal = Principal {
            kind: PrincipalKind::User,
            id: interner.principal(&key),
            key,
            name: raw.principal.map_or_else(|| name.clone(), |it| it.0),
            groups: raw.groups,
            tenant: None,
            identity: (*identity).to_owned(),
        };
        let user = User {
            name,
            principal: Arc::new(principal),
            password: raw.password?,
            standing: if raw.disabled {
                Standing::Disabled
            } else {
                Standing::Enabled
            },
            since: 0,
            throttle: Throttle::default(),
        };
        Some((user, named_at))
    }

    /// A name that fits into a Basic credential, a key and a line of a log; empty if it does not, which is told then.
    fn name(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> (String, Range<usize>) {
        let text = value.get_ref().as_str().unwrap_or_default();
        let has_separator = key == "name" && text.contains(['/', ':']);
        if is_plain(text) && !has_separator {
            return (text.to_owned(), value.span());
        }
        let text = format!(
            "{key} is a text of 1 to {MAX_USER_BYTES} bytes, without control characters, spaces at its ends, `/` or `:`"
        );
        self.problem(value.span(), text);
        // It is there, only not right: there is no need to say that it is missing.
        (String::new(), value.span())
    }

    fn groups(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<String> {
        let groups: Option<Vec<String>> = value.get_ref().as_array().and_then(|array| {
            let text = |it: &Spanned<DeValue<'_>>| it.get_ref().as_str().map(str::to_owned);
            array.iter().map(text).collect()
        });
        let groups = groups.filter(|it| it.len() <= MAX_GROUPS && it.iter().all(|it| is_plain(it)));
        if groups.is_none() {
            let text = format!("groups is a list of at most {MAX_GROUPS} names");
            self.problem(value.span(), text);
        }
        groups.unwrap_or_default()
    }

    fn problem(&mut self, at: Range<usize>, text: String) {
        let before = self.text.as_bytes().iter().take(at.start);
        let line = 1 + before.filter(|it| **it == b'\n').count();
        self.problems.push(Problem { line, text });
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_USER_BYTES
        && text.trim() == text
        && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=7168,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn parse(text: &str) -> Result<Users, Vec<Problem>> {
        let naming = Naming {
            identity: "staff",
            key_prefix: "local:",
            interner: &Interner::default(),
        };
        read(&text.replace("HASH", HASH), &naming, 1, [7; 48])
    }

    fn problems(text: &str) -> Vec<String> {
        let problems = parse(text).err().unwrap();
        let shown = problems
            .iter()
            .map(|it| format!("{}: {}", it.line, it.text));
        shown.collect()
    }

    #[test]
    fn a_user_is_read_with_its_principal_and_found_in_any_case() {
        let users = parse(
            "[[user]]\nname = 'Amy'\npassword_hash = 'HASH'\n[[user]]\nname = 'bo'\n\
             password_hash = 'HASH'\nprincipal = 'bo@x.example'\ngroups = ['g']\ndisabled = true",
        )
        .unwrap();
        let amy = users.find("aMY").unwrap();
        assert_eq!(amy.principal.key, "local:amy");
        assert_eq!(amy.principal.name, "Amy");
        assert_eq!(amy.principal.identity, "staff");
        assert_eq!(amy.standing, Standing::Enabled);
        let bo = users.find("bo").unwrap();
        assert_eq!(bo.principal.name, "bo@x.example");
        assert_eq!(bo.principal.groups, ["g"]);
        assert_eq!(bo.standing, Standing::Disabled);
        assert!(users.find("cy").is_none());
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn all_problems_are_told_at_once_with_their_lines() {
        let text = "colour = 1\n[[user]]\nname = 'a/b'\npassword_hash = '$1$secret'\n[[user]]\nnam = 'c'\n\
                    [[user]]\nname = 'd'\npassword_hash = 'HASH'\ndisabled = 'yes'\ngroups = [1]\n\
                    [[user]]\nname = 'D'\npassword_hash = 'HASH'\n";
        let problems = problems(text);
        let starts = [
            "1: unknown key `colour`",
            "3: name is a text",
            "4: password_hash must be an argon2id hash",
            "6: unknown key `nam`",
            "5: a user needs a name",
            "5: a user needs a password_hash",
            "10: disabled is true or false",
            "11: groups is a list",
            "13: `D` has the same principal as `d`",
            "13: the user `D` is there twice",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        for start in starts {
            assert!(
                problems.iter().any(|it| it.starts_with(start)),
                "{start}: {problems:#?}"
            );
        }
        assert!(!problems.join("").contains("secret"));
    }

    #[test]
    fn broken_toml_and_a_single_table_are_told_with_their_line() {
        assert!(problems("[[user]]\nname = \n")[0].starts_with("2: "));
        assert_eq!(
            problems("[user]\nname = 'a'"),
            ["1: write [[user]], in double brackets"]
        );
    }

    #[test]
    fn two_users_cannot_be_one_principal() {
        let text = "[[user]]\nname = 'a'\nprincipal = 'P'\npassword_hash = 'HASH'\n\
                    [[user]]\nname = 'b'\nprincipal = 'p'\npassword_hash = 'HASH'\n";
        assert_eq!(problems(text), ["6: `b` has the same principal as `a`"]);
    }

    #[test]
    fn an_empty_file_is_a_file_without_users() {
        assert_eq!(parse("").unwrap().len(), 0);
    }
}
