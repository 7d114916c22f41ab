//! A gateway cmdlet's parameters: known ones only, bounded, and every problem of a kind told at once.

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::control::WorkflowError;
use crate::model::{
    Bound, COMMON_PARAMETERS, CmdletName, Command, Object, Parameters, Pin, Pins, REDACTED,
    Redaction, Value,
};

use super::{MOST_TEXT, message};

/// The parameters of one call.
pub(super) struct Arguments<'a> {
    cmdlet: &'a CmdletName,
    parameters: &'a Parameters,
}

/// The most items of a list.
const MOST_ITEMS: usize = 1_000;

/// The most members of a table.
const MOST_MEMBERS: usize = 32;

/// The longest name of a member, in characters.
const MOST_MEMBER_NAME: usize = 128;

impl<'a> Arguments<'a> {
    pub(super) fn new(command: &'a Command) -> Self {
        Self {
            cmdlet: &command.task.cmdlet,
            parameters: &command.parameters,
        }
    }

    /// Refuses parameters that are neither among `known` nor common to all cmdlets.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), WorkflowError> {
        let unknown: Vec<String> = self
            .parameters
            .iter()
            .filter(|it| {
                !known
                    .iter()
                    .chain(COMMON_PARAMETERS)
                    .any(|known| it.name.is(known))
            })
            .map(|it| format!("-{}", it.name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(WorkflowError::Invalid(format!(
            "{} does not know {}; it takes {}",
            self.cmdlet,
            listed(&unknown),
            listed(&dashed(known)),
        )))
    }

    /// Refuses the call if one of `names` is absent, naming all that are.
    pub(super) fn required(&self, names: &[&str]) -> Result<(), WorkflowError> {
        let missing: Vec<&str> = names.iter().copied().filter(|it| !self.has(it)).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(self.missing(&missing))
        }
    }

    /// The refusal of a call without these.
    pub(super) fn missing(&self, names: &[&str]) -> WorkflowError {
        WorkflowError::Invalid(format!("{} needs {}", self.cmdlet, listed(&dashed(names))))
    }

    /// Refuses parameters that narrow something down and say nothing, as a variable that was never set does: without them,
    /// more would be had than was meant.
    pub(super) fn none_empty(&self, names: &[&str]) -> Result<(), WorkflowError> {
        let is_empty = |name: &&str| match self.parameters.get(name) {
            Some(Value::Table(members)) => members.iter().all(|(name, _)| name.contains('@')),
            Some(Value::List(items)) => {
                let is_blank = |it: &Value| match it {
                    Value::Null => true,
                    Value::Text(text) => text.trim().is_empty(),
                    Value::Bool(_) | Value::List(_) | Value::Number(_) | Value::Table(_) => false,
                };
                items.iter().all(is_blank)
            }
            Some(Value::Bool(_) | Value::Null | Value::Number(_) | Value::Text(_)) => {
                !self.has(name)
            }
            None => false,
        };
        let empty: Vec<&str> = names.iter().copied().filter(is_empty).collect();
        if empty.is_empty() {
            return Ok(());
        }
        let (verb, them) = if empty.len() == 1 {
            ("is", "it")
        } else {
            ("are", "them")
        };
        Err(WorkflowError::Invalid(format!(
            "{} {verb} given and empty: give {them} a value, or leave {them} out",
            listed(&dashed(&empty))
        )))
    }

    /// Whether a parameter is there and says something: `$null` and blank texts do not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A text of at most `most` characters, without the white space around it.
    pub(super) fn text(&self, name: &str, most: usize) -> Result<Option<String>, WorkflowError> {
        let text = match self.value(name) {
            None => return Ok(None),
            Some(Value::Text(text)) => text.trim(),
            Some(Value::Number(number)) => number.as_str(),
            Some(Value::Bool(_) | Value::List(_) | Value::Null | Value::Table(_)) => {
                return Err(Self::wrong(name, "a text"));
            }
        };
        if text.chars().count() > most {
            return Err(Self::wrong(
                name,
                &format!("at most {most} characters long"),
            ));
        }
        if text
            .chars()
            .any(|it| it.is_control() && !it.is_whitespace())
        {
            return Err(Self::wrong(name, "a text without control characters"));
        }
        Ok(Some(text.to_owned()))
    }

    /// A whole number from 1 to `most`, as a number or as digits in a text.
    pub(super) fn whole_number(&self, name: &str, most: u32) -> Result<Option<u32>, WorkflowError> {
        let digits = match self.value(name) {
            None => return Ok(None),
            Some(Value::Text(text)) => text.trim(),
            Some(Value::Number(number)) => number.as_str(),
            Some(Value::Bool(_) | Value::List(_) | Value::Null | Value::Table(_)) => "",
        };
        // `parse` alone would take a plus sign.
        let number = digits
            .bytes()
            .all(|it| it.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()
            .filter(|it| (1..=most).contains(it));
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(Self::wrong(
                name,
                &format!("a whole number from 1 to {most}"),
            )),
        }
    }

    /// A switch, or a parameter that is `$true` or `$false`; off if it is absent.
    pub(super) fn switch(&self, name: &str) -> Result<bool, WorkflowError> {
        Ok(self.truth(name)?.unwrap_or(false))
    }

    /// A truth value, if it is given.
    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, WorkflowError> {
        let text = match self.value(name) {
            None => return Ok(None),
            Some(Value::Bool(set)) => return Ok(Some(*set)),
            Some(Value::Text(text)) => text.trim().trim_start_matches('$').to_ascii_lowercase(),
            Some(Value::List(_) | Value::Null | Value::Number(_) | Value::Table(_)) => {
                String::new()
            }
        };
        match text.as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(Self::wrong(name, "$true or $false")),
        }
    }

    /// One of `all`, by its word in any case.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Result<Option<T>, WorkflowError> {
        let Some(text) = self.text(name, MOST_MEMBER_NAME)? else {
            return Ok(None);
        };
        let mut words = all.iter().copied();
        let known = words.find(|it| word(*it).eq_ignore_ascii_case(&text));
        known.map(Some).ok_or_else(|| {
            let words: Vec<&str> = all.iter().copied().map(word).collect();
            Self::wrong(name, &format!("one of {}", words.join(", ")))
        })
    }

    /// A point in time, in ISO 8601; UTC where it names no zone.
    pub(super) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, WorkflowError> {
        let Some(text) = self.text(name, MOST_MEMBER_NAME)? else {
            return Ok(None);
        };
        let with_zone = DateTime::parse_from_rfc3339(&text).map(|it| it.with_timezone(&Utc));
        let plain = || {
            [
                "%Y-%m-%dT%H:%M:%S%.f",
                "%Y-%m-%d %H:%M:%S%.f",
                "%Y-%m-%dT%H:%M",
                "%Y-%m-%d %H:%M",
            ]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
            .map(|it| it.and_utc())
        };
        match with_zone.ok().or_else(plain) {
            Some(time) => Ok(Some(time)),
            None => Err(Self::wrong(
                name,
                "a time in UTC such as 2027-03-31T08:00:00Z",
            )),
        }
    }

    /// Texts: a list of them, or one.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, WorkflowError> {
        let refused = || Self::wrong(name, "a text, or a list of texts");
        let items = match self.value(name) {
            None => return Ok(None),
            Some(Value::List(items)) => items.as_slice(),
            Some(one @ Value::Text(_)) => std::slice::from_ref(one),
            Some(Value::Bool(_) | Value::Null | Value::Number(_) | Value::Table(_)) => {
                return Err(refused());
            }
        };
        if items.len() > MOST_ITEMS {
            return Err(Self::wrong(
                name,
                &format!("a list of at most {MOST_ITEMS} texts"),
            ));
        }
        items
            .iter()
            .map(|item| match item {
                Value::Text(text) if text.chars().count() <= MOST_TEXT => {
                    Ok(text.trim().to_owned())
                }
                _ => Err(refused()),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Pins: a table of parameters and what they must be.
    pub(super) fn pins(&self, name: &str) -> Result<Pins, WorkflowError> {
        let right = "a table of parameters and values, such as @{Identity='ana@contoso.example'} or @{Identity=@{pattern='.*@contoso\\.example'}}";
        let members = match self.value(name) {
            None => return Ok(Pins::default()),
            Some(Value::Table(members)) => members,
            Some(
                Value::Bool(_) | Value::List(_) | Value::Null | Value::Number(_) | Value::Text(_),
            ) => return Err(Self::wrong(name, right)),
        };
        let mut pins = Vec::new();
        for (parameter, value) in members.iter().filter(|(name, _)| !name.contains('@')) {
            let (Ok(name), Some(bound)) = (parameter.parse(), Bound::from_value(value)) else {
                return Err(Self::wrong(name, right));
            };
            pins.push(Pin { name, bound });
        }
        Ok(Pins(pins))
    }

    /// A table's members, as names and texts; those that hold secrets without them.
    pub(super) fn table(&self, name: &str) -> Result<Vec<(String, String)>, WorkflowError> {
        let members = match self.value(name) {
            None => return Ok(Vec::new()),
            Some(Value::Table(members)) => members,
            Some(
                Value::Bool(_) | Value::List(_) | Value::Null | Value::Number(_) | Value::Text(_),
            ) => {
                return Err(Self::wrong(name, "a table, such as @{Ticket='INC-1'}"));
            }
        };
        let built_in = Redaction::default();
        let pairs: Vec<(String, String)> = members
            .iter()
            .filter(|(member, _)| !member.contains('@'))
            .map(|(member, value)| {
                let shown = if built_in.hides(member) {
                    REDACTED.to_owned()
                } else {
                    value.display()
                };
                (member.clone(), shown)
            })
            .collect();
        let fits = pairs.len() <= MOST_MEMBERS
            && pairs.iter().all(|(member, text)| {
                member.chars().count() <= MOST_MEMBER_NAME && text.chars().count() <= MOST_TEXT
            });
        if fits {
            Ok(pairs)
        } else {
            Err(Self::wrong(
                name,
                &format!(
                    "a table of at most {MOST_MEMBERS} members, with names of at most {MOST_MEMBER_NAME} and values of at most {MOST_TEXT} characters"
                ),
            ))
        }
    }

    /// What to answer to a call that only asks whether it would run. `-WhatIf` is told what would happen; Exchange's
    /// validation call with `Confirm` true is answered with nothing, and the client then asks its user.
    pub(super) fn trial(&self, what: &str) -> Option<Vec<Object>> {
        let is_set = |name| self.truth(name).is_ok_and(|it| it == Some(true));
        if is_set("WhatIf") {
            let text = format!("What if: {} would {what}. Nothing was done.", self.cmdlet);
            return Some(vec![message(text)]);
        }
        is_set("Confirm").then(Vec::new)
    }

    /// Refuses a call that does not say clearly whether it is a trial.
    pub(super) fn clear(&self) -> Result<(), WorkflowError> {
        self.truth("Confirm")?;
        self.truth("WhatIf")?;
        Ok(())
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.parameters.get(name).filter(|value| match value {
            Value::Null => false,
            Value::Text(text) => !text.trim().is_empty(),
            Value::Bool(_) | Value::List(_) | Value::Number(_) | Value::Table(_) => true,
        })
    }

    fn wrong(name: &str, right: &str) -> WorkflowError {
        WorkflowError::Invalid(format!("-{name} must be {right}"))
    }
}

fn dashed(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| format!("-{it}")).collect()
}

/// `-A, -B and -C`.
fn listed(names: &[String]) -> String {
    match names {
        [] => "no parameters".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
