//! Policies that only report, and several effects of one command: nothing that is added takes a command from what blocks it.

use proptest::prelude::*;

use super::*;

const FORWARD: (&str, &str) = ("ForwardingSmtpAddress", "eve@evil.example");
const AUDIT: (&str, &str) = ("AuditEnabled", "false");

fn policy(scope: &str, rest: &str) -> String {
    format!("[[policy]]\n{scope}\napproval = {rest}\n")
}

/// The verdict, rule and policy of a call of ours, and what else is reported.
fn decided(world: &World, task: &str, parameters: &[(&str, &str)]) -> String {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (*name, Value::text(*value)))
        .collect();
    let judgement = world.decide(&format!(r"Exchange\{task}"), &parameters);
    told(judgement.decision())
}

fn told(decision: &Decision) -> String {
    let Decision {
        verdict,
        rule,
        policy,
        reporting,
        ..
    } = decision;
    let policy = policy.as_deref().unwrap_or("-");
    let also = reporting.as_ref().map_or(String::new(), |it| {
        let (verdict, rule) = (it.verdict.as_str(), it.rule.as_str());
        format!("; {verdict} {rule} {}", it.policy)
    });
    format!("{} {} {policy}{also}", verdict.as_str(), rule.as_str())
}

#[test]
fn a_parameter_of_a_severer_effect_takes_no_command_out_of_a_never() {
    let policies = [
        policy("effect = 'destroy'", "'never'"),
        policy("effect = 'exfiltrate'", "'manual'"),
    ]
    .concat();
    for (exempt, exporting) in [
        ("", "allow granted effect:exfiltrate"),
        (EXEMPTION, "allow exempt effect:exfiltrate"),
    ] {
        let mut world = World::new(&(policies.clone() + exempt));
        world.grant("effect:exfiltrate", NOW_MS, NOW_MS + 1, None);
        let never = "block never effect:destroy";
        assert_eq!(decided(&world, "Set-Mailbox", &[FORWARD]), exporting);
        assert_eq!(decided(&world, "Set-Mailbox", &[AUDIT]), never);
        assert_eq!(decided(&world, "Set-Mailbox", &[AUDIT, FORWARD]), never);
        assert_eq!(decided(&world, "Set-Mailbox", &[FORWARD, AUDIT]), never);
    }
    // A policy that names the task is more specific than all effects.
    let mut world = World::new(&(policies + &policy(r"task = 'Exchange\Set-Mailbox'", "'auto'")));
    world.grant(r"exchange\set-mailbox", NOW_MS, NOW_MS + 1, None);
    assert_eq!(
        decided(&world, "Set-Mailbox", &[AUDIT, FORWARD]),
        r"allow granted exchange\set-mailbox"
    );
}

#[test]
fn a_severer_effect_that_only_reports_takes_no_command_from_an_enforced_one() {
    let mut world = World::new(
        &[
            policy("effect = 'change'", "'manual'"),
            policy("effect = 'destroy'", "'never'\nreport_only = true"),
            policy("effect = 'exfiltrate'", "'auto'\nreport_only = true"),
        ]
        .concat(),
    );
    world.endpoint.ungoverned = Ungoverned::Allow;
    let all = |world: &World| {
        let calls: [&[(&str, &str)]; 4] = [&[], &[FORWARD], &[AUDIT], &[AUDIT, FORWARD]];
        calls.map(|it| decided(world, "Set-Mailbox", it)).join("\n")
    };
    insta::assert_snapshot!(all(&world), @r"
    block needs-approval effect:change
    block needs-approval effect:change; report-only needs-approval effect:exfiltrate
    block needs-approval effect:change; report-only never effect:destroy
    block needs-approval effect:change; report-only never effect:destroy
    ");
    world.grant("effect:change", NOW_MS, NOW_MS + 1, None);
    insta::assert_snapshot!(all(&world), @r"
    allow granted effect:change
    allow granted effect:change; report-only needs-approval effect:exfiltrate
    allow granted effect:change; report-only never effect:destroy
    allow granted effect:change; report-only never effect:destroy
    ");
    // Where only such apply, it is theirs to say.
    assert_eq!(
        decided(&world, "New-JournalRule", &[]),
        "report-only needs-approval effect:exfiltrate"
    );
    assert_eq!(
        decided(&world, "Remove-Mailbox", &[]),
        "report-only never effect:destroy"
    );
}

#[test]
fn a_policy_that_is_tried_out_opens_nothing_and_is_on_record() {
    let pattern = policy(
        r"task = 'Exchange\Set-*'",
        "'manual'\nreport_only = true\nparameters = { Identity = { one_of = ['a'] } }\nother_parameters = 'allow'",
    );
    let change = policy("effect = 'change'", "'manual'");
    let mut world = World::new(&(pattern.clone() + &change));
    let (ours, other) = ([("Identity", "a")], [("Identity", "b")]);
    assert_eq!(
        decided(&world, "Set-Mailbox", &ours),
        r"block needs-approval effect:change; report-only needs-approval exchange\set-*"
    );
    world.grant("effect:change", NOW_MS, NOW_MS + 1, None);
    assert_eq!(
        decided(&world, "Set-Mailbox", &other),
        r"allow granted effect:change; report-only parameter-rule exchange\set-*"
    );
    // A grant under it counts for what it would say, and covers nothing.
    world.grants = Grants::default();
    world.grant(r"exchange\set-*", NOW_MS, NOW_MS + 1, None);
    assert_eq!(
        decided(&world, "Set-Mailbox", &ours),
        r"block needs-approval effect:change; allow granted exchange\set-*"
    );
    // Alone it decides, as far as that goes; no other is reported then.
    let alone = World::new(&pattern);
    assert_eq!(
        decided(&alone, "Set-Mailbox", &other),
        r"report-only parameter-rule exchange\set-*"
    );
    // For whom an exemption holds, it would as well.
    let exempt = World::new(&(pattern + &change + EXEMPTION));
    assert_eq!(
        decided(&exempt, "Set-Mailbox", &other),
        r"allow exempt effect:change; allow exempt exchange\set-*"
    );
}

#[test]
fn a_name_that_could_be_a_dangerous_parameters_passes_by_no_policy_that_only_reports() {
    for approval in ["'never'", "'manual'"] {
        let reports = format!("{approval}\nreport_only = true");
        for scope in [r"task = 'Exchange\Set-*'", "effect = 'change'"] {
            let world = World::new(
                &[
                    policy(scope, &reports),
                    policy("effect = 'exfiltrate'", "'manual'"),
                ]
                .concat(),
            );
            let hidden = world.strange(r"Exchange\Set-Mailbox", &["Identity"], &["Fwd"]);
            assert_eq!(
                told(&hidden),
                "block parameter-rule effect:exfiltrate",
                "{scope} {approval}"
            );
        }
    }
    // What is `never` is so whatever else might be there, and a milder one takes nothing over.
    let policies = [
        policy("effect = 'change'", "'never'"),
        policy("effect = 'exfiltrate'", "'manual'"),
    ];
    let world = World::new(&policies.concat());
    let never = world.strange(r"Exchange\Set-Mailbox", &["Identity"], &["Fwd"]);
    assert_eq!(told(&never), "block never effect:change");
    // A milder `never` may be meant too.
    let policies = [
        policy("effect = 'destroy'", "'never'"),
        policy("effect = 'exfiltrate'", "'manual'"),
    ];
    let mut world = World::new(&policies.concat());
    world.grant("effect:exfiltrate", NOW_MS, NOW_MS + 1, None);
    let strange = world.strange(r"Exchange\Set-Mailbox", &[FORWARD.0], &["Xyz"]);
    assert_eq!(told(&strange), "block parameter-rule effect:destroy");
}

fn scopes() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "effect = 'change'",
        "effect = 'destroy'",
        "effect = 'exfiltrate'",
        "effect = 'grant-privilege'",
        r"task = 'Exchange\Set-*'",
        r"task = 'Exchange\Set-Mailbox'",
        r"role = 'Exchange\R'",
    ])
}

proptest! {
    /// Whatever is tried out: what an enforced policy decides stays as it is.
    #[test]
    fn what_is_added_to_be_tried_out_changes_no_decision_of_an_enforced_policy(
        base in proptest::collection::btree_map(scopes(), proptest::sample::select(vec!["auto", "manual", "never"]), 0..4),
        tried in proptest::collection::btree_map(scopes(), proptest::sample::select(vec!["auto", "manual", "never"]), 1..4),
        parameters in proptest::sample::subsequence(vec!["ForwardingSmtpAddress", "AuditEnabled", "GrantSendOnBehalfTo", "Office"], 0..=4),
        task in proptest::sample::select(vec!["Set-Mailbox", "Set-User", "Remove-Mailbox", "New-JournalRule"]),
        granted in proptest::option::of(scopes()),
        is_exempt: bool,
    ) {
        let role = "[[role]]\nname = 'Exchange\\R'\ntasks = ['Exchange\\Set-User', 'Exchange\\Set-Mailbox']\n";
        let exempt = if is_exempt { EXEMPTION } else { "" };
        let text = |more: &str| {
            let policies: String = base.iter().map(|(scope, it)| policy(scope, &format!("'{it}'"))).collect();
            format!("{role}{policies}{more}{exempt}")
        };
        let more: String = tried
            .iter()
            .filter(|(scope, _)| !base.contains_key(*scope))
            .map(|(scope, it)| policy(scope, &format!("'{it}'\nreport_only = true")))
            .collect();
        let parameters: Vec<_> = parameters.into_iter().map(|it| (it, "x")).collect();
        let [before, after] = [String::new(), more].map(|more| {
            let mut world = World::new(&text(&more));
            for scope in granted.iter().chain(tried.keys()) {
                let (kind, name) = scope.split_once(" = ").unwrap();
                let name = name.trim_matches('\'').to_ascii_lowercase();
                let scope = if kind == "task" { name } else { format!("{kind}:{name}") };
                world.grant(&scope, NOW_MS, NOW_MS + 1, None);
            }
            let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, Value::text(*value))).collect();
            let judgement = world.decide(&format!(r"Exchange\{task}"), &parameters);
            let decision = Decision { reporting: None, exemption: None, ..judgement.decision().clone() };
            let governing = decision.policy.as_deref().and_then(|it| world.policies.policy(it)).map(|it| it.report_only);
            (decision, governing)
        });
        if before.0.policy.is_some() {
            prop_assert_eq!(&before.0, &after.0);
        }
        // And what an enforced policy could govern never passes as a report.
        prop_assert!(after.0.verdict != Verdict::ReportOnly || after.1 == Some(true));
    }
}
