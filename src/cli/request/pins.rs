//! `--parameter NAME=VALUE` and `--parameter-pattern NAME=REGEX`: what the parameters of the commands must be.

use clap::Args;
use serde_json::Number;

use crate::api::types::{ParameterPin, Scalar};
use crate::cli::Hint;
use crate::cli::output::printable;

/// Only for commands with these parameters.
#[derive(Clone, Debug, Default, Args)]
pub struct Pins {
    /// Only for commands with this parameter; given again with the same name, any of the values. `$true` and `$false` are switches.
    #[arg(short = 'P', long, value_name = "NAME=VALUE")]
    pub parameter: Vec<String>,
    /// Only for commands whose parameter this regular expression matches, whole and without case.
    #[arg(long, value_name = "NAME=REGEX")]
    pub parameter_pattern: Vec<String>,
}

impl Pins {
    /// As the management API takes them.
    pub(super) fn parameters(&self) -> anyhow::Result<Vec<ParameterPin>> {
        let mut pins: Vec<ParameterPin> = Vec::new();
        for text in &self.parameter {
            let (name, value) = split(text, "--parameter Identity=alice")?;
            let value = scalar(value);
            let known = pins
                .iter_mut()
                .find(|it| it.name.eq_ignore_ascii_case(name));
            match known.and_then(|it| it.one_of.as_mut()) {
                Some(values) => values.push(value),
                None => pins.push(ParameterPin {
                    name: name.to_owned(),
                    one_of: Some(vec![value]),
                    pattern: None,
                }),
            }
        }
        for text in &self.parameter_pattern {
            let (name, pattern) = split(text, "--parameter-pattern 'Identity=.*@emea'")?;
            pins.push(ParameterPin {
                name: name.to_owned(),
                one_of: None,
                pattern: Some(pattern.to_owned()),
            });
        }
        Ok(pins)
    }
}

fn split<'a>(text: &'a str, example: &str) -> anyhow::Result<(&'a str, &'a str)> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.ok_or_else(|| {
        let hint = Hint(format!("write a name, `=` and a value: `{example}`"));
        anyhow::Error::new(hint).context(format!("`{}` names no parameter", printable(text)))
    })
}

fn scalar(text: &str) -> Scalar {
    if text.eq_ignore_ascii_case("$true") {
        return Scalar::Bool(true);
    }
    if text.eq_ignore_ascii_case("$false") {
        return Scalar::Bool(false);
    }
    // Only what a number would be written as again; `007` is a name.
    let number = serde_json::from_str::<Number>(text)
        .ok()
        .filter(|it| it.to_string() == text);
    number.map_or_else(|| Scalar::Text(text.to_owned()), Scalar::Number)
}

/// What a parameter must be, in words.
pub(in crate::cli) fn in_words(pins: &[ParameterPin]) -> Vec<String> {
    pins.iter()
        .map(|pin| {
            let name = &pin.name;
            match (&pin.one_of, &pin.pattern) {
                (Some(values), _) => {
                    let values: Vec<String> = values
                        .iter()
                        .map(|it| match it {
                            Scalar::Bool(true) => "$true".to_owned(),
                            Scalar::Bool(false) => "$false".to_owned(),
                            Scalar::Number(number) => number.to_string(),
                            Scalar::Text(text) => text.clone(),
                        })
                        .collect();
                    format!("{name} = {}", values.join(" or "))
                }
                (None, Some(pattern)) => format!("{name} like {pattern}"),
                (None, None) => format!("{name} = anything"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_name_are_alternatives_and_keep_their_kind() {
        let pins = Pins {
            parameter: [
                "Identity=alice",
                "identity=bob=x",
                "Force=$True",
                "Size=10",
                "Id=007",
            ]
            .map(str::to_owned)
            .to_vec(),
            parameter_pattern: vec!["Name=x.*".to_owned()],
        };
        let pins = pins.parameters().unwrap();
        let json = serde_json::to_string(&pins).unwrap();
        insta::assert_snapshot!(json, @"[{\"name\":\"Identity\",\"one_of\":[\"alice\",\"bob=x\"]},{\"name\":\"Force\",\"one_of\":[true]},{\"name\":\"Size\",\"one_of\":[10]},{\"name\":\"Id\",\"one_of\":[\"007\"]},{\"name\":\"Name\",\"pattern\":\"x.*\"}]");
        insta::assert_snapshot!(in_words(&pins).join("; "), @"Identity = alice or bob=x; Force = $true; Size = 10; Id = 007; Name like x.*");
    }

    #[test]
    fn what_names_no_parameter_is_told_with_an_example() {
        for wrong in ["Identity", "=x", ""] {
            let pins = Pins {
                parameter: vec![wrong.to_owned()],
                ..Pins::default()
            };
            let error = format!("{:#}", pins.parameters().unwrap_err());
            assert!(error.contains("--parameter Identity=alice"), "{error}");
        }
    }
}
