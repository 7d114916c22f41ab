//! Pins: the parameter values that a request binds its grant to, such as "only `-Identity alice@…`".

use serde::{Deserialize, Serialize};

use super::{ParameterName, REDACTED, Redaction, Value};

/// The most pins of one request or narrowing.
pub const MOST_PINS: usize = 32;

/// The most values that a pin lists.
pub const MOST_PINNED_VALUES: usize = 100;

/// The longest pinned value or pattern, in bytes.
pub const MOST_PINNED_BYTES: usize = 1_024;

/// The most pins with a pattern of one request or narrowing: a pattern takes more memory than all other pins together.
pub const MOST_PINNED_PATTERNS: usize = 4;

/// The most room that the pins of one request or narrowing take as JSON, in bytes.
pub const MOST_PINS_BYTES: usize = 16 << 10;

/// Pins, all of which must hold.
///
/// One parameter may be pinned twice, by the requester and by an approver: then both bind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pins(pub Vec<Pin>);

/// What one parameter of a command must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The parameter, which must be given.
    #[serde(with = "super::name::as_text")]
    pub name: ParameterName,
    /// What its value must be.
    pub bound: Bound,
}

/// What a pinned parameter's value must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Like one of these; of a list, each item.
    OneOf(Vec<Pinned>),
    /// Matched whole by this regular expression, without case.
    Pattern(String),
}

/// A value that a pin lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pinned {
    /// `$true` or `$false`.
    Bool(bool),
    /// A number, in its digits.
    Number(String),
    /// A text.
    Text(String),
}

impl Pins {
    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many have a pattern.
    pub fn patterns(&self) -> usize {
        let has_pattern = |it: &&Pin| matches!(it.bound, Bound::Pattern(_));
        self.0.iter().filter(has_pattern).count()
    }

    /// About how much room they take, in bytes: as JSON, when nothing has to be escaped.
    pub fn bytes(&self) -> usize {
        let of_value = |it: &Pinned| match it {
            Pinned::Bool(_) => 16,
            Pinned::Number(text) | Pinned::Text(text) => 16 + text.len(),
        };
        let of_pin = |it: &Pin| {
            32 + it.name.as_str().len()
                + match &it.bound {
                    Bound::OneOf(values) => values.iter().map(of_value).sum(),
                    Bound::Pattern(pattern) => pattern.len(),
                }
        };
        self.0.iter().map(of_pin).sum()
    }

    /// These and `others`: only what both allow is allowed.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        let mut all = self.0.clone();
        for pin in &others.0 {
            if !all.contains(pin) {
                all.push(pin.clone());
            }
        }
        Self(all)
    }

    /// These as they are shown: of parameters that `redaction` hides, not the values.
    #[must_use]
    pub fn without(mut self, redaction: &Redaction) -> Self {
        for pin in &mut self.0 {
            if redaction.hides(pin.name.as_str()) {
                pin.bound = Bound::OneOf(vec![Pinned::Text(REDACTED.to_owned())]);
            }
        }
        self
    }

    /// Each parameter once, with what it must be in the words of people: values separated by commas, or `like` and a pattern;
    /// both of two that bind the same one.
    pub fn shown(&self) -> impl Iterator<Item = (String, String)> {
        let mut shown: Vec<(String, String)> = Vec::new();
        for Pin { name, bound } in &self.0 {
            let text = match bound {
                Bound::OneOf(_) => bound.to_value().display(),
                Bound::Pattern(pattern) => format!("like {pattern}"),
            };
            match shown.iter_mut().find(|(known, _)| name.is(known)) {
                Some((_, known)) => *known = format!("{known} and {text}"),
                None => shown.push((name.to_string(), text)),
            }
        }
        shown.into_iter()
    }

    /// As names and values: a text, a list of texts, or a table with the one member `pattern`.
    pub fn to_value(&self) -> Value {
        let members = self
            .0
            .iter()
            .map(|pin| (pin.name.to_string(), pin.bound.to_value()));
        Value::Table(members.collect())
    }
}

impl Bound {
    /// The bound of this value: a scalar, a list of scalars, or a table with the one member `pattern`. `None` for another.
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::List(values) if !values.is_empty() => values
                .iter()
                .map(Pinned::from_value)
                .collect::<Option<_>>()
                .map(Self::OneOf),
            Value::Table(members) => {
                let mut told = members.iter().filter(|(name, _)| !name.contains('@'));
                match (told.next(), told.next()) {
                    (Some((name, Value::Text(pattern))), None)
                        if name.eq_ignore_ascii_case("pattern") =>
                    {
                        Some(Self::Pattern(pattern.clone()))
                    }
                    _ => None,
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
                Pinned::from_value(value).map(|only| Self::OneOf(vec![only]))
            }
            Value::List(_) | Value::Null => None,
        }
    }

    /// The value that [`Bound::from_value`] reads.
    pub fn to_value(&self) -> Value {
        match self {
            Self::OneOf(values) => match values.as_slice() {
                [only] => only.to_value(),
                values => Value::List(values.iter().map(Pinned::to_value).collect()),
            },
            Self::Pattern(pattern) => {
                Value::Table(vec![("pattern".to_owned(), Value::text(pattern.as_str()))])
            }
        }
    }
}

impl Pinned {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(set) => Some(Self::Bool(*set)),
            Value::Number(number) => Some(Self::Number(number.as_str().to_owned())),
            Value::Text(text) => Some(Self::Text(text.clone())),
            Value::List(_) | Value::Null | Value::Table(_) => None,
        }
    }

    /// The value; a number as the text of its digits, which compares alike.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Bool(set) => Value::Bool(*set),
            Self::Number(digits) => super::Number::new(digits)
                .map_or_else(|| Value::text(digits.as_str()), Value::Number),
            Self::Text(text) => Value::text(text.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(name: &str, bound: Bound) -> Pin {
        Pin {
            name: name.parse().unwrap(),
            bound,
        }
    }

    #[test]
    fn pins_survive_storage() {
        let pins = Pins(vec![
            pin(
                "Identity",
                Bound::OneOf(vec![
                    Pinned::Text("a".into()),
                    Pinned::Number("1.50".into()),
                ]),
            ),
            pin("Name", Bound::Pattern("x.*".into())),
            pin("Force", Bound::OneOf(vec![Pinned::Bool(true)])),
        ]);
        let text = serde_json::to_string(&pins).unwrap();
        assert_eq!(serde_json::from_str::<Pins>(&text).unwrap(), pins);
        assert_eq!(
            pins.to_value().display(),
            "@{Identity=a,1.50; Name=@{pattern=x.*}; Force=True}"
        );
    }

    #[test]
    fn both_of_two_pins_on_one_parameter_are_kept() {
        let one = Pins(vec![pin("Identity", Bound::Pattern("a.*".into()))]);
        let two = Pins(vec![pin("Identity", Bound::Pattern(".*b".into()))]);
        assert_eq!(one.and(&two).0.len(), 2);
        assert_eq!(one.and(&one), one);
    }
}
