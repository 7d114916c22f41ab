use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use crate::model::{Interner, Parameter, Parameters, Value};
use crate::policy::{Asked, Endpoint, Holds, PolicyFile, Setting};

use super::*;

const POLICIES: &str = "
[[group]]
name = 'ops'
members = ['amy', 'bo']
[[group]]
name = 'helpdesk'
members = ['zed']
[[policy]]
effect = 'exfiltrate'
approval = 'manual'
approvers = ['ops']
approvals = 2
requesters = ['ops']
[[policy]]
effect = 'change'
approval = 'manual'
approvers = ['ops']
break_glass = ['helpdesk']
windows = [{ days = ['mon-fri'], from = '08:00', to = '18:00', zone = 'Europe/Berlin' }]
[[policy]]
task = 'Exchange\\New-JournalRule'
approval = 'never'
[[policy]]
task = 'Exchange\\Set-TransportRule'
approval = 'auto'
report_only = true
parameters = { Mode = { one_of = ['Audit'] } }
[[policy]]
task = 'Exchange\\New-MoveRequest'
approval = 'manual'
approvers = ['ops']
on_block = 'request'
[[exemption]]
account = 'sys'
owner = 'messaging'
reason = 'r'
expires = 2027-03-31
from = ['10.0.0.0/8']
";

fn set() -> PolicySet {
    let file = PolicyFile {
        path: "p.toml".to_owned(),
        text: POLICIES.to_owned(),
    };
    PolicySet::load(&[file], &[], None, &Interner::default())
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn asked(account: &str, task: &str, parameters: &[&str]) -> Asked {
    let mut command = Command {
        task: task.parse().unwrap(),
        parameters: Parameters::default(),
    };
    for name in parameters {
        let parameter = Parameter {
            name: name.parse().unwrap(),
            value: Value::text("x"),
            type_annotation: None,
        };
        command.parameters.push(parameter).unwrap();
    }
    Asked {
        account: account.to_owned(),
        groups: Vec::new(),
        command,
        source: [10, 0, 0, 1].into(),
        at: None,
        holds: Holds::Nothing,
    }
}

fn setting(mode: Mode, ungoverned: Ungoverned, now: &str) -> Setting {
    Setting {
        mode,
        endpoint: Endpoint {
            ungoverned,
            report_only: false,
        },
        now: now.parse::<DateTime<Utc>>().unwrap(),
    }
}

/// A Friday noon, and a Saturday.
const OPEN: &str = "2026-11-20T11:00:00Z";
const CLOSED: &str = "2026-11-21T11:00:00Z";

fn told(asked: &Asked, setting: &Setting) -> String {
    let set = set();
    let trace = asked.with_facts(&set, setting, |facts| {
        trace(&asked.command, facts, Whereabouts::Line)
    });
    let mut told = String::new();
    for step in &trace.steps {
        let mark = if step.decides { ">" } else { " " };
        writeln!(told, "{mark} {:18} {}", step.what, step.found).unwrap();
    }
    let decision = &trace.decision;
    writeln!(
        told,
        "= {} ({})",
        decision.verdict.as_str(),
        decision.rule.as_str()
    )
    .unwrap();
    if !decision.explanation.is_empty() {
        writeln!(told, "  {}", decision.explanation).unwrap();
    }
    for next in &trace.next {
        writeln!(told, "  next: {next}").unwrap();
    }
    told
}

#[test]
fn a_decision_is_told_step_by_step() {
    let enforce = |now| setting(Mode::Enforce, Ungoverned::Allow, now);
    let mut all = String::new();
    for (asked, setting) in [
        (
            asked("zed", r"Exchange\Set-Mailbox", &["Office"]),
            enforce(OPEN),
        ),
        (
            asked("zed", r"Exchange\Set-Mailbox", &["Office"]),
            enforce(CLOSED),
        ),
        (
            asked("zed", r"Exchange\Set-Mailbox", &["ForwardingSmtpAddress"]),
            enforce(OPEN),
        ),
        (
            asked("amy", r"Exchange\New-JournalRule", &[]),
            enforce(OPEN),
        ),
        (
            asked("amy", r"Exchange\Set-TransportRule", &["Name"]),
            enforce(OPEN),
        ),
        (
            asked("amy", r"Exchange\New-MoveRequest", &[]),
            enforce(OPEN),
        ),
        (
            asked("sys", r"Exchange\New-MoveRequest", &[]),
            enforce(OPEN),
        ),
        (asked("amy", r"Exchange\Get-Mailbox", &[]), enforce(OPEN)),
        (
            asked("amy", r"Exchange\New-ElevatedAccessRequest", &[]),
            enforce(OPEN),
        ),
    ] {
        let parameters = asked.command.parameters.iter().map(|it| it.name.as_str());
        let parameters: Vec<&str> = parameters.collect();
        writeln!(
            all,
            "{}: {} {}",
            asked.account,
            asked.command.task,
            parameters.join(" ")
        )
        .unwrap();
        writeln!(all, "{}", told(&asked, &setting)).unwrap();
    }
    insta::assert_snapshot!(all);
}

proptest! {
    /// Exactly one step decides, it is the last, and its decision is `decide`'s.
    #[test]
    fn one_step_decides_and_it_is_the_last(
        account in proptest::sample::select(vec!["amy", "zed", "sys", "other"]),
        task in proptest::sample::select(vec![
            r"Exchange\Set-Mailbox", r"Exchange\New-JournalRule", r"Exchange\Set-TransportRule",
            r"Exchange\Get-Mailbox", r"Exchange\New-ElevatedAccessRequest", r"Other\Set-It", r"Exchange\New-MoveRequest",
        ]),
        parameters in proptest::sample::subsequence(vec!["Office", "ForwardingSmtpAddress", "Mode"], 0..=3),
        mode in proptest::sample::select(vec![Mode::Disabled, Mode::Enforce, Mode::ReportOnly]),
        ungoverned in proptest::sample::select(vec![Ungoverned::Allow, Ungoverned::Block]),
        now in proptest::sample::select(vec![OPEN, CLOSED]),
        holds in proptest::sample::select(vec![Holds::Everything, Holds::Nothing]),
    ) {
        let asked = Asked { holds, ..asked(account, task, &parameters) };
        let set = set();
        asked.with_facts(&set, &setting(mode, ungoverned, now), |facts| {
            let trace = trace(&asked.command, facts, Whereabouts::Line);
            let decided: Vec<bool> = trace.steps.iter().map(|it| it.decides).collect();
            prop_assert_eq!(decided.iter().filter(|it| **it).count(), 1, "{:?}", &trace);
            prop_assert_eq!(decided.last(), Some(&true), "{:?}", &trace);
            let judgement = decide(&asked.command, |it| Subject::Command(it), facts);
            prop_assert_eq!(judgement.decision(), &trace.decision);
            Ok(())
        })?;
    }
}
