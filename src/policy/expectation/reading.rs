//! A file of expectations: TOML in, calls and what should be decided on them out; every problem is told at once.

use std::net::{IpAddr, Ipv4Addr};

use toml::de::{DeTable, DeValue};

use crate::model::{Command, Number, Parameter, Parameters, Task, Value};

use super::super::fields::Fields;
use super::super::problem::{At, Located, Report, nearest, printable};
use super::super::{PolicyFile, PolicyProblem, Rule, Verdict};
use super::{Asked, Expectation, Holds};

/// How many expectations a file may have.
const MAX_EXPECTATIONS: usize = 10_000;

/// How deep a parameter's value may be nested.
const MAX_DEPTH: usize = 16;

/// Reads a file of `[[test]]` sections; on any problem, all of them are told.
pub fn read_expectations(file: &PolicyFile) -> Result<Vec<Expectation>, Vec<PolicyProblem>> {
    const MAX_FILE_BYTES: usize = 4 << 20;
    let files = std::slice::from_ref(file);
    let mut report = Report::new(files);
    let start = At { file: 0, offset: 0 };
    let mut expectations = Vec::new();
    if file.text.len() > MAX_FILE_BYTES {
        report.problem(
            start,
            format!("the file is longer than {MAX_FILE_BYTES} bytes"),
        );
        return Err(report.finish());
    }
    let (document, errors) = DeTable::parse_recoverable(&file.text);
    for error in &errors {
        let offset = error.span().map_or(file.text.len(), |span| span.start);
        let message = error.message().trim().replace('\n', "; ");
        report.problem(At { file: 0, offset }, format!("not TOML: {message}"));
    }
    if errors.is_empty() {
        let mut fields = Fields {
            report: &mut report,
            what: "a file of expectations",
            table: document.get_ref(),
            at: start,
        };
        fields.refuse_unknown(&["test"]);
        fields.require("test", "write [[test]] for each call");
        let tests = fields.tables("test");
        if let Some(first_too_many) = tests.get(MAX_EXPECTATIONS) {
            let message = format!("more than {MAX_EXPECTATIONS} tests");
            report.problem(first_too_many.at, message);
        }
        for Located { value: table, at } in tests.into_iter().take(MAX_EXPECTATIONS) {
            let mut fields = Fields {
                report: &mut report,
                what: "a test",
                table,
                at,
            };
            expectations.extend(read_one(&mut fields));
        }
    }
    let problems = report.finish();
    if problems.is_empty() {
        Ok(expectations)
    } else {
        Err(problems)
    }
}

fn read_one(fields: &mut Fields<'_, '_, '_>) -> Option<Expectation> {
    fields.refuse_unknown(&[
        "name",
        "as",
        "groups",
        "task",
        "parameters",
        "from",
        "at",
        "granted",
        "expect",
        "rule",
        "policy",
    ]);
    fields.require("as", "the account that calls");
    fields.require("task", r"such as 'Exchange\Set-Mailbox'");
    fields.require("expect", r#"one of "allow", "block", "report-only""#);
    let at = fields.at;
    let name = fields.text("name").map(|it| it.value);
    let account = fields.text("as");
    let groups = fields.texts("groups").map_or_else(Vec::new, |it| it.value);
    let task = fields.text("task");
    let parameters = read_parameters(fields);
    let from = fields.text("from");
    let moment = fields.text("at");
    let granted = fields.boolean("granted").is_some_and(|it| it.value);
    let expect = fields.text("expect");
    let rule = fields.text("rule");
    let policy = fields.text("policy").map(|it| it.value);
    let report = &mut *fields.report;
    let task = task.and_then(|it| {
        understood(
            &it,
            "a task",
            |text| text.parse::<Task>().ok(),
            r"such as 'Exchange\Set-Mailbox'",
            report,
        )
    });
    let from = match from {
        Some(text) => understood(
            &text,
            "an address",
            |text| text.parse().ok(),
            "such as 10.20.3.4",
            report,
        )?,
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let moment = match moment {
        Some(text) => Some(understood(
            &text,
            "a moment",
            |text| text.parse().ok(),
            r#"such as "2026-11-21T15:30:00Z""#,
            report,
        )?),
        None => None,
    };
    let verdicts = [Verdict::Allow, Verdict::Block, Verdict::ReportOnly];
    let verdict = expect.and_then(|it| word(&it, "verdict", verdicts, Verdict::as_str, report));
    let rule = match rule {
        Some(text) => Some(word(&text, "rule", Rule::ALL, Rule::as_str, report)?),
        None => None,
    };
    let place = report.place(at);
    Some(Expectation {
        name,
        asked: Asked {
            account: account?.value,
            groups: groups.into_iter().map(|it| it.value).collect(),
            command: Command {
                task: task?,
                parameters,
            },
            source: from,
            at: moment,
            holds: if granted {
                Holds::Everything
            } else {
                Holds::Nothing
            },
        },
        verdict: verdict?,
        rule,
        policy,
        place,
    })
}

fn understood<T>(
    text: &Located<String>,
    what: &str,
    read: impl FnOnce(&str) -> Option<T>,
    hint: &str,
    report: &mut Report<'_>,
) -> Option<T> {
    let found = read(&text.value);
    if found.is_none() {
        let message = format!("`{}` is not {what}", printable(&text.value));
        report.problem_with_hint(text.at, message, hint);
    }
    found
}

fn word<T: Copy, const N: usize>(
    text: &Located<String>,
    what: &str,
    all: [T; N],
    as_str: impl Fn(T) -> &'static str,
    report: &mut Report<'_>,
) -> Option<T> {
    let found = all.into_iter().find(|it| as_str(*it) == text.value);
    if found.is_none() {
        let words = all.map(&as_str);
        let hint = match nearest(&text.value, words) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", words.join(", ")),
        };
        let message = format!("there is no {what} `{}`", printable(&text.value));
        report.problem_with_hint(text.at, message, hint);
    }
    found
}

fn read_parameters(fields: &mut Fields<'_, '_, '_>) -> Parameters {
    let mut parameters = Parameters::default();
    let Some(Located { value: table, at }) = fields.table("parameters") else {
        return parameters;
    };
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in keys {
        let at = At {
            offset: key.span().start,
            ..at
        };
        let name = key.get_ref().as_ref();
        let (Ok(parsed), Some(value)) = (name.parse(), value_of(value.get_ref(), MAX_DEPTH)) else {
            let message = format!(
                "parameter `{}` has no name or value that a command can have",
                printable(name)
            );
            fields.report.problem_with_hint(
                at,
                message,
                "texts, numbers, booleans, and lists and tables of them",
            );
            continue;
        };
        let parameter = Parameter {
            name: parsed,
            value,
            type_annotation: None,
        };
        if let Err(repeated) = parameters.push(parameter) {
            fields.report.problem(at, repeated.to_string());
        }
    }
    parameters
}

fn value_of(value: &DeValue<'_>, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    match value {
        DeValue::Array(items) => {
            let items = items.iter().map(|it| value_of(it.get_ref(), depth));
            items.collect::<Option<_>>().map(Value::List)
        }
        DeValue::Boolean(set) => Some(Value::Bool(*set)),
        DeValue::Datetime(datetime) => Some(Value::text(datetime.to_string())),
        DeValue::Float(float) => Number::new(float.as_str()).map(Value::Number),
        DeValue::Integer(digits) => {
            let number = i128::from_str_radix(digits.as_str(), digits.radix()).ok()?;
            Number::new(&number.to_string()).map(Value::Number)
        }
        DeValue::String(text) => Some(Value::text(text.as_ref())),
        DeValue::Table(members) => {
            let members = members.iter().map(|(name, value)| {
                Some((
                    name.get_ref().to_string(),
                    value_of(value.get_ref(), depth)?,
                ))
            });
            members.collect::<Option<_>>().map(Value::Table)
        }
    }
}
