use std::fmt::Write as _;

use crate::model::Interner;
use crate::policy::PolicyFile;

use super::*;

fn warnings(text: &str, ungoverned: Ungoverned) -> String {
    let file = PolicyFile {
        path: "p.toml".to_owned(),
        text: text.to_owned(),
    };
    let set = PolicySet::load(&[file], &[], None, &Interner::default())
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let today = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
    lint(&set, ungoverned, today)
        .iter()
        .fold(String::new(), |mut told, it| {
            writeln!(told, "{it}\n    {}", it.hint.as_deref().unwrap()).unwrap();
            told
        })
}

/// Of a set whose endpoints block what no policy governs.
fn of(text: &str) -> String {
    warnings(text, Ungoverned::Block)
}

#[test]
fn a_sound_set_has_no_warning() {
    let text = "
        [[group]]
        name = 'a'
        members = ['amy', 'bo', 'cy']
        [[policy]]
        effect = 'grant-privilege'
        approval = 'manual'
        approvers = ['a']
        [[policy]]
        effect = 'exfiltrate'
        approval = 'manual'
        approvers = ['a']
        [[policy]]
        effect = 'destroy'
        approval = 'manual'
        approvers = ['a']
        [[policy]]
        task = 'Exchange\\Set-OrganizationConfig'
        approval = 'manual'
        approvers = ['a']
        other_parameters = 'block'
        [[exemption]]
        account = 's'
        owner = 'o'
        reason = 'r'
        expires = 2027-01-01
        tasks = ['Exchange\\*-Mailbox']
    ";
    assert_eq!(warnings(text, Ungoverned::Allow), "");
}

#[test]
fn a_gate_that_can_be_undone_is_told_unless_the_endpoint_blocks() {
    let text = "[[policy]]\ntask = 'Exchange\\New-*'\napproval = 'auto'\n\
                [[policy]]\ntask = 'Exchange\\Set-RoleGroup'\napproval = 'auto'\nreport_only = true\n";
    insta::assert_snapshot!(warnings(text, Ungoverned::Allow), @r"
    p.toml:1: the gate can be undone: no policy is enforced for `Exchange\Add-ManagementRoleEntry`, `Exchange\Add-RoleGroupMember`, `Exchange\Set-AdminAuditLogConfig`, `Exchange\Set-ManagementRoleAssignment`, `Exchange\Set-ManagementRoleEntry` and 4 more
        write policies for them, or for their effects (change, destroy, grant-privilege); or let the endpoint block what no policy governs
    ");
    assert_eq!(of(text), "");
    assert_eq!(
        warnings("", Ungoverned::Allow),
        "",
        "nothing is governed at all"
    );
}

#[test]
fn policies_that_govern_nothing_are_told() {
    let text = "
        [[role]]
        name = 'Exchange\\Moves'
        tasks = ['Exchange\\New-MoveRequest']
        [[policy]]
        role = 'Exchange\\Moves'
        approval = 'auto'
        [[policy]]
        task = 'Exchange\\New-*'
        approval = 'auto'
        [[policy]]
        task = 'Exchange\\N*'
        approval = 'auto'
        [[policy]]
        task = 'Other\\New-*'
        approval = 'auto'
    ";
    insta::assert_snapshot!(of(text), @r"
    p.toml:5: policy `role:Exchange\Moves` governs no known task: a more specific policy governs each that it is about
        remove it, or what is more specific
    p.toml:11: policy `Exchange\N*` governs no known task: a more specific policy governs each that it is about
        remove it, or what is more specific
    ");
}

#[test]
fn tasks_that_are_not_known_are_told_with_what_was_meant() {
    let text = "
        [[policy]]
        task = 'Exchange\\New-MovRequest'
        approval = 'auto'
        [[policy]]
        task = 'Exchange\\Frobnicate-*'
        approval = 'auto'
        [[policy]]
        task = 'Other\\Frobnicate-It'
        approval = 'auto'
        [[policy]]
        task = 'Exchange\\Get-OurOwn'
        approval = 'auto'
        [[cmdlet]]
        tasks = ['Exchange\\Get-OurOwn']
        effect = 'read'
        [[role]]
        name = 'Exchange\\R'
        tasks = ['Exchange\\Set-Mailbox', 'Exchange\\Set-Malbox', 'Exchange\\New-ElevatedAccessRequest']
        [[exemption]]
        account = 's'
        owner = 'o'
        reason = 'r'
        expires = 2027-01-01
        tasks = ['Exchange\\Get-Mailboxen', 'Exchange\\*-Mailbox']
    ";
    insta::assert_snapshot!(of(text), @r"
    p.toml:2: `Exchange\New-MovRequest` matches no known cmdlet
        did you mean `Exchange\New-MoveRequest`?
    p.toml:5: `Exchange\Frobnicate-*` matches no known cmdlet
        if there is such a cmdlet, tell what it does in a [[cmdlet]]
    p.toml:17: role `Exchange\R` has tasks that match no known cmdlet: `Exchange\Set-Malbox`
        did you mean `Exchange\Set-Mailbox`?
    p.toml:20: the exemption of `s` is for `Exchange\Get-Mailboxen`, which matches no known cmdlet
        did you mean `Exchange\Get-Mailbox`?
    ");
}

#[test]
fn exemptions_without_end_and_ended_ones_are_told() {
    let exemption = |account: &str, more: &str| {
        format!("[[exemption]]\naccount = '{account}'\nowner = 'ops'\nreason = 'r'\n{more}\n")
    };
    let text = exemption("a", "")
        + &exemption("b", "expires = 2026-11-20")
        + &exemption("c", "expires = 2026-11-21");
    insta::assert_snapshot!(of(&text), @"
    p.toml:1: the exemption of `a` has no end
        `ops` owns it: give it a last day in `expires`, such as 2027-03-31
    p.toml:6: the exemption of `b` ended on 2026-11-20
        `ops` owns it: set a later day, or take it out
    ");
}

#[test]
fn approvals_that_nobody_can_give_are_told() {
    let group = |name: &str, members: &[&str]| {
        format!("[[group]]\nname = '{name}'\nmembers = {members:?}\n")
    };
    let policy = |task: &str, more: &str| {
        format!("[[policy]]\ntask = 'X\\{task}'\napproval = 'manual'\n{more}\n")
    };
    let text = [
        group("one", &["amy"]),
        group("two", &["amy", "bo"]),
        group("pair", &["AMY", "amy2"]),
        group("many", &["amy", "bo", "cy"]),
        "[[group]]\nname = 'claimed'\nclaim = 'x'\n".to_owned(),
        "[[person]]\nname = 'Amy'\naccounts = ['amy', 'amy2']\n".to_owned(),
        policy("Get-One", "approvers = ['one']"),
        policy("Get-Two", "approvers = ['two']\napprovals = 2"),
        policy("Get-Pair", "approvers = ['pair']\napprovals = 2"),
        policy("Get-Both", "approvers = ['one', 'pair']"),
        policy("Get-Fine", "approvers = ['many']\napprovals = 2"),
        policy(
            "Get-Asked",
            "approvers = ['two']\napprovals = 2\nrequesters = ['one']",
        ),
        policy("Get-Chain", "approvers = ['one', 'two', 'many']"),
        policy("Get-Claimed", "approvers = ['claimed', 'one']"),
    ]
    .concat();
    insta::assert_snapshot!(of(&text), @r"
    p.toml:19: requests of `Amy` under policy `X\Get-One` can never be approved: nobody approves an own request, and without them there are too few in `one`
        add members, or ask for fewer approvals
    p.toml:23: requests of `Amy`, `bo` under policy `X\Get-Two` can never be approved: nobody approves an own request, and without them there are too few in `two`
        add members, or ask for fewer approvals
    p.toml:28: no request under policy `X\Get-Pair` can ever be approved: it takes 2 different people in `pair`, and there is 1
        add members, or ask for fewer approvals; [[person]] makes accounts one person
    p.toml:33: no request under policy `X\Get-Both` can ever be approved: it takes 2 different people in `one`, `pair`, and there is 1
        add members, or ask for fewer approvals; [[person]] makes accounts one person
    p.toml:42: requests of `Amy` under policy `X\Get-Asked` can never be approved: nobody approves an own request, and without them there are too few in `two`
        add members, or ask for fewer approvals
    p.toml:48: requests of `Amy`, `bo`, `cy` under policy `X\Get-Chain` can never be approved: nobody approves an own request, and without them there are too few in `one`, `two`, `many`
        add members, or ask for fewer approvals
    ");
}

#[test]
fn dangerous_parameters_without_a_rule_are_told_where_an_effect_has_a_policy() {
    let policy = |scope: &str, more: &str| format!("[[policy]]\n{scope}\n{more}\n");
    let auto = "approval = 'auto'";
    let text = policy("effect = 'exfiltrate'", "approval = 'never'")
        + &policy("task = 'Exchange\\Set-*'", auto)
        + &policy(
            "task = 'Exchange\\Set-RemoteDomain'",
            "approval = 'auto'\nparameters = { AutoForwardEnabled = { absent = true } }\nother_parameters = 'allow'",
        )
        + &policy(
            "task = 'Exchange\\New-InboxRule'",
            "approval = 'auto'\nother_parameters = 'block'",
        )
        + &policy("task = 'Exchange\\New-TransportRule'", "approval = 'never'");
    insta::assert_snapshot!(of(&text), @r"
    p.toml:4: policy `Exchange\Set-*` governs commands that the stricter policy of an effect would without it, and has no rule for their dangerous parameters: `Set-HostedOutboundSpamFilterPolicy -AutoForwardingMode`, `Set-InboxRule -ForwardAsAttachmentTo -ForwardTo …`, `Set-SharingPolicy -Domains`, `Set-TransportRule -AddManagerAsRecipientType -AddToRecipients …`, `Set-AcceptedDomain -DomainType -MatchSubDomains` and 10 more
        add a rule, such as ForwardingSmtpAddress = { absent = true }, or list what is allowed
    ");
}

#[test]
fn a_severe_effect_that_is_easier_to_get_is_told() {
    let policy = |effect: &str, more: &str| format!("[[policy]]\neffect = '{effect}'\n{more}\n");
    let text = policy("change", "approval = 'never'") + &policy("destroy", "approval = 'auto'");
    insta::assert_snapshot!(of(&text), @"
    p.toml:4: `effect:destroy` is easier to get than `effect:change`, although it is more severe
        ask at least for the same approval
    ");
    let approvers = "[[group]]\nname = 'g'\nmembers = ['amy', 'bo']\n";
    let milder = policy("change", "approval = 'manual'\napprovers = ['g']");
    let text = format!(
        "{approvers}{milder}{}",
        policy("destroy", "approval = 'auto'")
    );
    insta::assert_snapshot!(of(&text), @"
    p.toml:8: `effect:destroy` is easier to get than `effect:change`, although it is more severe: a dangerous parameter makes a command easier to run
        ask at least for the same approval
    ");
    // A policy that only reports takes no command from another.
    let text = text + "report_only = true\n";
    assert_eq!(of(&text), "");
}

#[test]
fn what_cannot_name_an_identity_has_no_policy_that_limits_them() {
    let policy = |task: &str, spread: &str| {
        of(&format!(
            "[[policy]]\ntask = 'Exchange\\{task}'\napproval = 'auto'\nspread = {{ {spread} = 1 }}\n"
        ))
    };
    for spread in ["identities_per_grant", "identities_per_minute"] {
        assert!(policy("New-Mailbox", spread).contains("these may not have: `New-Mailbox`\n"));
        assert_eq!(policy("New-MailboxExportRequest", spread), "");
        assert_eq!(policy("Set-Mailbox", spread), "");
    }
    assert_eq!(policy("New-Mailbox", "calls_per_grant"), "");
}

#[test]
fn the_gate_can_be_undone_in_a_workload_of_another_name() {
    let text = |more: &str| {
        format!(
            "[[policy]]\ntask = 'OnPrem\\Set-Mailbox'\napproval = 'auto'\n\
             [[policy]]\ntask = 'Exchange\\*'\napproval = 'auto'\n\
             [[policy]]\ntask = 'Files\\Set-Share'\napproval = 'auto'\n{more}"
        )
    };
    let told = warnings(&text(""), Ungoverned::Allow);
    assert!(
        told.contains(r"no policy is enforced for `onprem\Add-"),
        "{told}"
    );
    assert!(!told.contains(r"`files\Add-"), "{told}");
    let governed = text("[[policy]]\ntask = 'OnPrem\\*'\napproval = 'auto'\n");
    let told = warnings(&governed, Ungoverned::Allow);
    assert!(!told.contains("can be undone"), "{told}");
}
