use std::fmt::Write as _;

use crate::policy::{PolicyFile, Ungoverned};

use super::*;

fn file(text: &str) -> PolicyFile {
    PolicyFile {
        path: "t.toml".to_owned(),
        text: text.to_owned(),
    }
}

const POLICIES: &str = "
[[group]]
name = 'ops'
members = ['amy']
[[policy]]
effect = 'exfiltrate'
approval = 'manual'
approvers = ['ops']
[[policy]]
task = 'Exchange\\New-MoveRequest'
approval = 'auto'
parameters = { TargetDatabase = { one_of = ['DB01', 2] } }
windows = [{ from = '08:00', to = '18:00', zone = 'UTC' }]
[[exemption]]
account = 'sys'
owner = 'o'
reason = 'r'
from = ['10.0.0.0/8']
";

fn run(text: &str) -> String {
    let set = PolicySet::load(&[file(POLICIES)], &[], None, &Interner::default()).unwrap();
    let setting = Setting {
        mode: Mode::Enforce,
        endpoint: Endpoint {
            ungoverned: Ungoverned::Allow,
            report_only: false,
        },
        now: "2026-11-21T12:00:00Z".parse().unwrap(),
    };
    let expectations = read_expectations(&file(text)).unwrap_or_else(|it| panic!("{it:?}"));
    let mut told = format!("{} expectations\n", expectations.len());
    for Unmet {
        expectation,
        differences,
        decision,
    } in unmet(&expectations, &set, &setting)
    {
        let name = expectation.name.as_deref().unwrap_or("-");
        writeln!(
            told,
            "{} {name}: {}",
            expectation.place,
            differences.join("; ")
        )
        .unwrap();
        writeln!(told, "    {}", decision.explanation).unwrap();
    }
    told
}

#[test]
fn expectations_that_hold_are_silent() {
    let text = "
        [[test]]
        as = 'zed'
        task = 'Exchange\\Set-Mailbox'
        parameters = { Identity = 'ana', ForwardingSmtpAddress = 'x@y' }
        expect = 'block'
        rule = 'needs-approval'
        policy = 'EFFECT:exfiltrate'
        [[test]]
        as = 'zed'
        task = 'exchange\\new-moverequest'
        parameters = { TargetDatabase = 2.0, Identity = ['a', 'b'] }
        expect = 'block'
        rule = 'parameter-rule'
        [[test]]
        as = 'zed'
        task = 'exchange\\new-moverequest'
        parameters = { TargetDatabase = 2 }
        granted = true
        expect = 'allow'
        rule = 'granted'
        [[test]]
        as = 'zed'
        task = 'exchange\\new-moverequest'
        parameters = { TargetDatabase = 'db01' }
        at = '2026-11-21T19:00:00Z'
        granted = true
        expect = 'block'
        rule = 'outside-window'
        [[test]]
        as = 'SYS'
        task = 'Exchange\\New-JournalRule'
        from = '10.1.2.3'
        expect = 'allow'
        rule = 'exempt'
        [[test]]
        as = 'sys'
        task = 'Exchange\\New-JournalRule'
        expect = 'block'
        [[test]]
        as = 'zed'
        task = 'Exchange\\Get-Mailbox'
        expect = 'allow'
        policy = 'none'
    ";
    assert_eq!(run(text), "7 expectations\n");
}

#[test]
fn what_is_decided_otherwise_is_told() {
    let text = "
        [[test]]
        name = 'nobody forwards mail'
        as = 'zed'
        task = 'Exchange\\Set-Mailbox'
        parameters = { ForwardingAddress = 'x' }
        expect = 'allow'
        rule = 'ungoverned-allowed'
        policy = 'none'
        [[test]]
        as = 'zed'
        task = 'Exchange\\Set-Mailbox'
        expect = 'block'
    ";
    insta::assert_snapshot!(run(text), @r"
    2 expectations
    t.toml:2 nobody forwards mail: verdict: expected allow, is block; rule: expected ungoverned-allowed, is needs-approval; policy: expected none, is effect:exfiltrate
        Set-Mailbox needs approval. Request it with: New-ElevatedAccessRequest -Task 'Exchange\Set-Mailbox' -Parameters @{ForwardingAddress='…'} -Reason '…' -DurationHours 4
    t.toml:10 -: verdict: expected block, is allow
    ");
}

#[test]
fn problems_of_a_file_are_told_at_once() {
    let text = "
        [[test]]
        as = 'zed'
        task = 'Set-Mailbox'
        expect = 'alow'
        [[test]]
        ass = 'zed'
        from = 'home'
        at = 'noon'
        rule = 'exemt'
        granted = 1
        parameters = { 'A B' = 1, C = nan, d = 1, D = 2 }
    ";
    let problems = read_expectations(&file(text)).unwrap_err();
    let told = problems.iter().fold(String::new(), |mut told, it| {
        writeln!(told, "{it}\n    {}", it.hint.as_deref().unwrap_or("-")).unwrap();
        told
    });
    insta::assert_snapshot!(told, @r#"
    t.toml:4: `Set-Mailbox` is not a task
        such as 'Exchange\Set-Mailbox'
    t.toml:5: there is no verdict `alow`
        did you mean "allow"?
    t.toml:6: a test has no `as`
        the account that calls
    t.toml:6: a test has no `task`
        such as 'Exchange\Set-Mailbox'
    t.toml:6: a test has no `expect`
        one of "allow", "block", "report-only"
    t.toml:7: unknown key `ass` in a test
        did you mean `as`?
    t.toml:8: `home` is not an address
        such as 10.20.3.4
    t.toml:11: `granted` must be `true` or `false`, not `1`
        -
    t.toml:12: parameter `A B` has no name or value that a command can have
        texts, numbers, booleans, and lists and tables of them
    t.toml:12: parameter `C` has no name or value that a command can have
        texts, numbers, booleans, and lists and tables of them
    t.toml:12: parameter `D` is given twice
        -
    "#);
    assert_eq!(read_expectations(&file("")).unwrap_err().len(), 1);
    assert_eq!(read_expectations(&file("test = [")).unwrap_err().len(), 1);
}
