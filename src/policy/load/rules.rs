//! `[policy.parameters]`

use std::collections::HashMap;

use regex::Regex;

use crate::model::{ParameterName, Redaction};

use super::super::ParameterRules;
use super::super::expression::compile_whole;
use super::super::fields::RawScalar;
use super::super::file::RawRule;
use super::super::number::Decimal;
use super::super::parameters::{Others, ParameterRule, Presence, Visibility};
use super::super::problem::{At, Located, Report, printable};
use super::super::requirement::{Allowed, Requirement};

/// How many different expressions a set may have.
const MAX_PATTERNS: usize = 10_000;

/// Reads rules, and compiles each regular expression once however often the set has it.
#[derive(Default)]
pub(super) struct RuleReader {
    patterns: HashMap<String, Option<Regex>>,
}

impl RuleReader {
    pub(super) fn read(
        &mut self,
        rules: Option<Located<Vec<RawRule>>>,
        others: Option<Located<String>>,
        report: &mut Report<'_>,
    ) -> ParameterRules {
        let (rules, at) = match rules {
            Some(Located { value, at }) => (value, Some(at)),
            None => (Vec::new(), None),
        };
        if let (true, Some(at)) = (rules.is_empty(), at) {
            let hint = "leave it out, or write other_parameters = \"block\" to allow no parameter";
            report.problem_with_hint(at, "`parameters` has no rule", hint);
        }
        let by_default = if rules.is_empty() {
            Others::Allow
        } else {
            Others::Block
        };
        let others = others.and_then(|it| read_others(&it, report));
        let mut read: Vec<ParameterRule> = Vec::with_capacity(rules.len());
        for raw in rules {
            let at = raw.name.at;
            if let Some(rule) = self.read_rule(raw, report) {
                if read.iter().any(|it| it.name == rule.name) {
                    let message = format!("a second rule for `{}`", rule.name);
                    report.problem_with_hint(at, message, "parameters are compared without case");
                }
                read.push(rule);
            }
        }
        ParameterRules {
            rules: read,
            others: others.unwrap_or(by_default),
        }
    }

    fn read_rule(&mut self, raw: RawRule, report: &mut Report<'_>) -> Option<ParameterRule> {
        let RawRule {
            name,
            absent,
            max,
            max_items,
            min,
            one_of,
            optional,
            pattern,
            present,
        } = raw;
        let at = name.at;
        let absent = only_true("absent", absent.as_ref(), "present = true", report);
        let present = only_true("present", present.as_ref(), "absent = true", report);
        let optional = optional.is_some_and(|it| it.value);
        let bounds = (read_number(min, report), read_number(max, report));
        if let (Some((min, _)), Some((max, _))) = &bounds
            && min > max
        {
            report.problem(at, "`min` is greater than `max`, so no value would do");
        }
        let requirements: Vec<Requirement> = [
            one_of.and_then(|it| read_one_of(it, report)),
            pattern.and_then(|it| self.read_pattern(it, report)),
            bounds.0.map(|(min, text)| Requirement::Min(min, text)),
            bounds.1.map(|(max, text)| Requirement::Max(max, text)),
            max_items.and_then(|it| read_max_items(&it, report)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if absent && (present || optional || !requirements.is_empty()) {
            report.problem(
                at,
                "`absent` goes with nothing else: there is no value to ask more of",
            );
        }
        if present && optional {
            report.problem(at, "`present` and `optional` contradict each other");
        }
        let presence = if absent {
            Presence::Forbidden
        } else if present || !(optional || requirements.is_empty()) {
            Presence::Required
        } else {
            Presence::Optional
        };
        match name.value.parse::<ParameterName>() {
            Ok(name) => Some(ParameterRule {
                visibility: Visibility::of(&name, &Redaction::default()),
                name,
                presence,
                requirements,
            }),
            Err(invalid) => {
                let message = format!("`{}` is not {}", printable(&name.value), invalid.expected);
                report.problem(at, message);
                None
            }
        }
    }

    fn read_pattern(
        &mut self,
        pattern: Located<String>,
        report: &mut Report<'_>,
    ) -> Option<Requirement> {
        let Located { value: source, at } = pattern;
        if let Some(Some(regex)) = self.patterns.get(&source) {
            let regex = regex.clone();
            return Some(Requirement::Pattern { source, regex });
        }
        let compiled = if self.patterns.len() >= MAX_PATTERNS {
            Err(format!(
                "the set has more than {MAX_PATTERNS} different ones"
            ))
        } else {
            compile_whole(&source)
        };
        let regex = match compiled {
            Ok(regex) => Some(regex),
            Err(why) => {
                note_bad_pattern(at, &why, report);
                None
            }
        };
        self.patterns.insert(source.clone(), regex.clone());
        regex.map(|regex| Requirement::Pattern { source, regex })
    }
}

fn note_bad_pattern(at: At, why: &str, report: &mut Report<'_>) {
    report.problem_with_hint(
        at,
        format!("`pattern` cannot be used: {why}"),
        r"write a regular expression in single quotes, such as '.*@contoso\.example'",
    );
}

fn read_others(text: &Located<String>, report: &mut Report<'_>) -> Option<Others> {
    match text.value.as_str() {
        "allow" => Some(Others::Allow),
        "block" => Some(Others::Block),
        other => {
            let message = format!("`other_parameters` cannot be `{}`", printable(other));
            report.problem_with_hint(text.at, message, r#"write "block" or "allow""#);
            None
        }
    }
}

/// A switch that says something only when it is true.
fn only_true(
    key: &str,
    switch: Option<&Located<bool>>,
    opposite: &str,
    report: &mut Report<'_>,
) -> bool {
    let Some(Located { value, at }) = switch else {
        return false;
    };
    if !value {
        let hint = format!("leave it out, or write {opposite}");
        report.problem_with_hint(*at, format!("`{key}` can only be true"), hint);
    }
    *value
}

fn read_number(
    digits: Option<Located<String>>,
    report: &mut Report<'_>,
) -> Option<(Decimal, String)> {
    let Located { value, at } = digits?;
    let number = decimal(&value);
    if number.is_none() {
        report.problem(at, format!("`{value}` is no number to compare with"));
    }
    Some((number?, value))
}

/// TOML's floats may begin with a plus sign, and may be infinite or no number, which JSON's cannot.
fn decimal(digits: &str) -> Option<Decimal> {
    Decimal::parse(digits.strip_prefix('+').unwrap_or(digits))
}

fn read_one_of(
    list: Located<Vec<Located<RawScalar>>>,
    report: &mut Report<'_>,
) -> Option<Requirement> {
    if list.value.is_empty() {
        let hint = "list a value, or write absent = true";
        report.problem_with_hint(list.at, "`one_of` has no value, so none would do", hint);
        return None;
    }
    let allowed = list.value.into_iter().filter_map(|item| match item.value {
        RawScalar::Bool(set) => Some(Allowed::Bool(set)),
        RawScalar::Number(digits) => {
            let digits = Located {
                value: digits,
                at: item.at,
            };
            read_number(Some(digits), report).map(|(number, text)| Allowed::Number(number, text))
        }
        RawScalar::Text(text) => Some(Allowed::Text(text)),
    });
    Some(Requirement::OneOf(allowed.collect()))
}

fn read_max_items(count: &Located<i64>, report: &mut Report<'_>) -> Option<Requirement> {
    match usize::try_from(count.value) {
        Ok(count) if count > 0 => Some(Requirement::MaxItems(count)),
        _ => {
            let message = format!("`max_items` must be at least 1, not {}", count.value);
            report.problem_with_hint(count.at, message, "write absent = true to allow none");
            None
        }
    }
}
