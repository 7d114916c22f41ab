//! Parameters that a grant is pinned to: the same rules as a policy's, made of values that a request names.
//!
//! A pinned parameter has to be given. What is not pinned is as free as the policy's own rules leave it, but no abbreviation of
//! a pinned name passes.

use crate::model::{ParameterName, Pin, Pins, Redaction, Value};

use super::expression::compile_whole;
use super::number::Decimal;
use super::parameters::{Others, ParameterRule, ParameterRules, Presence, Visibility};
use super::problem::printable;
use super::requirement::{Allowed, Requirement};

/// How many parameters may be pinned.
const MAX_PINS: usize = 32;

/// How many values a pinned parameter may have to choose from.
const MAX_VALUES: usize = 100;

/// The longest value or regular expression, in bytes.
const MAX_VALUE_BYTES: usize = 1_024;

/// Why pins are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPin {
    /// A value is too long.
    #[error("a value of `{0}` is longer than {MAX_VALUE_BYTES} bytes")]
    Long(ParameterName),
    /// Too many parameters.
    #[error("more than {MAX_PINS} parameters are named")]
    Many,
    /// A regular expression cannot be used.
    #[error("the pattern for `{name}` cannot be used: {why}")]
    Pattern {
        /// The parameter.
        name: ParameterName,
        /// What is wrong with the expression.
        why: String,
    },
    /// A parameter is named twice.
    #[error("`{0}` is named twice")]
    Repeated(ParameterName),
    /// A value is none that can be asked for.
    #[error(
        "`{0}` cannot be pinned to this: give a text, a number, `$true` or `$false`, up to {MAX_VALUES} of them to choose from, or @{{pattern='…'}}"
    )]
    Value(ParameterName),
}

impl ParameterRules {
    /// The rules that pin parameters to values: a scalar is the one value that will do, a list has those that will, and a table
    /// with the one member `pattern` a regular expression that has to match the whole value, without case.
    pub fn pinned<'a>(
        pins: impl IntoIterator<Item = (&'a ParameterName, &'a Value)>,
    ) -> Result<Self, InvalidPin> {
        let mut rules: Vec<ParameterRule> = Vec::new();
        for (name, value) in pins {
            if rules.len() == MAX_PINS {
                return Err(InvalidPin::Many);
            }
            if rules.iter().any(|it| it.name == *name) {
                return Err(InvalidPin::Repeated(name.clone()));
            }
            rules.push(ParameterRule {
                name: name.clone(),
                presence: Presence::Required,
                requirements: vec![requirement(name, value)?],
                visibility: Visibility::of(name, &Redaction::default()),
            });
        }
        Ok(Self {
            rules,
            others: Others::Allow,
        })
    }

    /// The rules that a grant's pins come to. Where a requester and an approver pinned the same parameter, both bind.
    pub fn of_pins(pins: &Pins) -> Result<Self, InvalidPin> {
        let mut all = Self::default();
        for Pin { name, bound } in &pins.0 {
            all.rules
                .append(&mut Self::pinned([(name, &bound.to_value())])?.rules);
        }
        Ok(all)
    }
}

fn requirement(name: &ParameterName, value: &Value) -> Result<Requirement, InvalidPin> {
    let refused = || InvalidPin::Value(name.clone());
    match value {
        Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
            Ok(Requirement::OneOf(vec![allowed(name, value)?]))
        }
        Value::List(values) if values.is_empty() || values.len() > MAX_VALUES => Err(refused()),
        Value::List(values) => {
            let allowed: Result<_, _> = values.iter().map(|it| allowed(name, it)).collect();
            Ok(Requirement::OneOf(allowed?))
        }
        Value::Table(members) => {
            let mut told = members.iter().filter(|(member, _)| !member.contains('@'));
            match (told.next(), told.next()) {
                (Some((member, Value::Text(source))), None)
                    if member.eq_ignore_ascii_case("pattern") =>
                {
                    pattern(name, source)
                }
                _ => Err(refused()),
            }
        }
        Value::Null => Err(refused()),
    }
}

fn allowed(name: &ParameterName, value: &Value) -> Result<Allowed, InvalidPin> {
    let refused = || InvalidPin::Value(name.clone());
    match value {
        Value::Bool(set) => Ok(Allowed::Bool(*set)),
        Value::Number(number) if number.as_str().len() > MAX_VALUE_BYTES => {
            Err(InvalidPin::Long(name.clone()))
        }
        Value::Number(number) => Decimal::parse(number.as_str())
            .map(|it| Allowed::Number(it, number.as_str().to_owned()))
            .ok_or_else(refused),
        Value::Text(text) if text.len() > MAX_VALUE_BYTES => Err(InvalidPin::Long(name.clone())),
        Value::Text(text) => Ok(Allowed::Text(text.clone())),
        Value::List(_) | Value::Null | Value::Table(_) => Err(refused()),
    }
}

fn pattern(name: &ParameterName, source: &str) -> Result<Requirement, InvalidPin> {
    if source.len() > MAX_VALUE_BYTES {
        return Err(InvalidPin::Long(name.clone()));
    }
    match compile_whole(source) {
        Ok(regex) => Ok(Requirement::Pattern {
            source: printable(source),
            regex,
        }),
        Err(why) => Err(InvalidPin::Pattern {
            name: name.clone(),
            why,
        }),
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Number, Parameter, Parameters};

    use super::*;

    fn parameters(given: &[(&str, Value)]) -> Parameters {
        let mut parameters = Parameters::default();
        for (name, value) in given {
            let parameter = Parameter {
                name: name.parse().unwrap(),
                value: value.clone(),
                type_annotation: None,
            };
            parameters.push(parameter).unwrap();
        }
        parameters
    }

    fn pins(given: &[(&str, Value)]) -> Result<ParameterRules, InvalidPin> {
        let given = parameters(given);
        ParameterRules::pinned(given.iter().map(|it| (&it.name, &it.value)))
    }

    fn table(member: &str, value: &str) -> Value {
        Value::Table(vec![(member.to_owned(), Value::text(value))])
    }

    #[test]
    fn pinned_parameters_must_be_given_as_they_are_and_others_are_free() {
        let rules = pins(&[
            ("Identity", Value::text("ana@contoso.example")),
            (
                "Type",
                Value::List(vec![Value::text("Shared"), Value::text("Room")]),
            ),
            ("Quota", Value::Number(Number::new("4").unwrap())),
            ("Office", table("Pattern", "b[0-9]+")),
        ])
        .unwrap();
        let covers = |identity: &str, kind: &str, office: &str, more: &[(&str, Value)]| {
            let mut given = vec![
                ("identity", Value::text(identity)),
                ("Type", Value::text(kind)),
                ("Quota", Value::text("4")),
                ("Office", Value::text(office)),
            ];
            given.extend_from_slice(more);
            rules.check(&parameters(&given)).is_ok()
        };
        assert!(covers("ANA@contoso.example", "room", "B12", &[]));
        assert!(covers(
            "ana@contoso.example",
            "room",
            "B12",
            &[("Phone", Value::text("1"))]
        ));
        assert!(!covers("bo@contoso.example", "room", "B12", &[]));
        assert!(!covers("ana@contoso.example", "User", "B12", &[]));
        assert!(!covers("ana@contoso.example", "room", "B12x", &[]));
        assert!(!covers(
            "ana@contoso.example",
            "room",
            "B12",
            &[("Ident", Value::text("bo"))]
        ));
        assert!(
            rules
                .check(&parameters(&[(
                    "Identity",
                    Value::text("ana@contoso.example")
                )]))
                .is_err()
        );
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        for value in [
            Value::Null,
            Value::List(Vec::new()),
            Value::List(vec![Value::Null]),
            Value::List(vec![Value::text("x"); MAX_VALUES + 1]),
            Value::Table(Vec::new()),
            table("like", "x"),
            table("pattern", "("),
            table("pattern", "a)|(b"),
            Value::text("x".repeat(MAX_VALUE_BYTES + 1)),
        ] {
            assert!(pins(&[("Identity", value.clone())]).is_err(), "{value:?}");
        }
        let name: ParameterName = "A".parse().unwrap();
        let value = Value::text("x");
        let repeated = ParameterRules::pinned([(&name, &value), (&name, &value)]);
        assert_eq!(repeated.unwrap_err(), InvalidPin::Repeated(name));
        let names: Vec<ParameterName> = (0..=MAX_PINS)
            .map(|it| format!("P{it}").parse().unwrap())
            .collect();
        let many = ParameterRules::pinned(names.iter().map(|it| (it, &value)));
        assert_eq!(many.unwrap_err(), InvalidPin::Many);
    }
}
