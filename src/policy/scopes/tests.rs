use std::fmt::Write as _;

use proptest::prelude::*;

use crate::model::Interner;
use crate::policy::{PolicyFile, PolicySet};

fn try_load(texts: &[String]) -> Result<PolicySet, String> {
    let files: Vec<PolicyFile> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| PolicyFile {
            path: format!("{number}.toml"),
            text: text.clone(),
        })
        .collect();
    PolicySet::load(&files, &[], None, &Interner::default()).map_err(|problems| {
        problems.iter().fold(String::new(), |mut told, it| {
            let hint = it.hint.as_deref().unwrap_or("-");
            writeln!(told, "{it}\n    {hint}").unwrap();
            told
        })
    })
}

fn load(text: &str) -> PolicySet {
    try_load(&[text.to_owned()]).unwrap_or_else(|told| panic!("{told}"))
}

fn role(name: &str, tasks: &[&str]) -> String {
    let tasks: Vec<String> = tasks.iter().map(|it| format!("'Exchange\\{it}'")).collect();
    format!(
        "[[role]]\nname = 'Exchange\\{name}'\ntasks = [{}]\n",
        tasks.join(", ")
    )
}

fn group(name: &str, roles: &[&str]) -> String {
    let roles: Vec<String> = roles.iter().map(|it| format!("'Exchange\\{it}'")).collect();
    format!(
        "[[role_group]]\nname = 'Exchange\\{name}'\nroles = [{}]\n",
        roles.join(", ")
    )
}

fn policy(scope: &str) -> String {
    format!("[[policy]]\n{scope}\napproval = 'auto'\n")
}

fn governing(set: &PolicySet, task: &str, parameters: &[&str]) -> String {
    let task = format!(r"exchange\{task}").parse().unwrap();
    set.governing_with(&task, parameters.iter().copied())
        .map_or("-".to_owned(), |it| it.scope.text.clone())
}

#[test]
fn the_most_specific_scope_governs_whatever_its_kind() {
    let set = load(
        &[
            role("Recipients", &["Set-Mailbox", "Get-*", "New-MoveRequest"]),
            role(
                "Moves",
                &["New-MoveRequest", "Remove-MoveRequest", "Set-User"],
            ),
            group("Helpdesk", &["Recipients", "Moves"]),
            policy("role = 'exchange\\RECIPIENTS'"),
            policy("role_group = 'Exchange\\Helpdesk'"),
            policy("task = 'Exchange\\Get-Mailbox'"),
            policy("task = 'Exchange\\New-*'"),
            policy("effect = 'exfiltrate'"),
            policy("effect = 'change'"),
        ]
        .concat(),
    );
    let mut table = String::new();
    for (task, parameters) in [
        ("Get-Mailbox", &[][..]),
        ("Get-User", &[]),
        ("New-MoveRequest", &[]),
        ("Set-Mailbox", &[]),
        ("Set-Mailbox", &["ForwardingSmtpAddress"]),
        ("Remove-MoveRequest", &[]),
        ("Set-RemoteDomain", &["Name"]),
        ("Set-RemoteDomain", &["autoforwardenabled"]),
        ("Set-RemoteDomain", &["AutoForw"]),
        ("Set-OrganizationConfig", &["EwsEnabled"]),
        ("Export-QuarantineMessage", &[]),
        ("Export-Nothing", &[]),
        ("Frobnicate-Nothing", &[]),
        ("Remove-Mailbox", &[]),
    ] {
        let found = governing(&set, task, parameters);
        writeln!(table, "{task:24} {:22} {found}", parameters.join(" ")).unwrap();
    }
    insta::assert_snapshot!(table, @r"
    Get-Mailbox                                     Exchange\Get-Mailbox
    Get-User                                        role:Exchange\Recipients
    New-MoveRequest                                 Exchange\New-*
    Set-Mailbox                                     role:Exchange\Recipients
    Set-Mailbox              ForwardingSmtpAddress  role:Exchange\Recipients
    Remove-MoveRequest                              role-group:Exchange\Helpdesk
    Set-RemoteDomain         Name                   effect:change
    Set-RemoteDomain         autoforwardenabled     effect:exfiltrate
    Set-RemoteDomain         AutoForw               effect:exfiltrate
    Set-OrganizationConfig   EwsEnabled             effect:change
    Export-QuarantineMessage                        effect:exfiltrate
    Export-Nothing                                  effect:exfiltrate
    Frobnicate-Nothing                              effect:change
    Remove-Mailbox                                  -
    ");
    let scope = set.policy(r"ROLE:exchange\recipients").unwrap();
    assert_eq!(scope.scope.folded, r"role:exchange\recipients");
    assert!(!scope.scope.is_exact());
}

#[test]
fn all_policies_that_may_govern_a_task_are_known() {
    let set = load(
        &[
            policy("task = 'Exchange\\Get-*'"),
            policy("effect = 'read'"),
            policy("effect = 'change'"),
            policy("effect = 'destroy'"),
            policy("effect = 'exfiltrate'"),
        ]
        .concat(),
    );
    let possible = |task: &str| {
        let task = format!(r"Exchange\{task}").parse().unwrap();
        let possible: Vec<_> = set
            .possible(&task)
            .map(|it| it.scope.text.as_str())
            .collect();
        possible.join(" ")
    };
    assert_eq!(possible("Get-Mailbox"), r"Exchange\Get-*");
    assert_eq!(
        possible("Set-Mailbox"),
        "effect:exfiltrate effect:destroy effect:change"
    );
    assert_eq!(possible("Remove-Mailbox"), "effect:destroy");
    let exfiltrate = set.policy("effect:exfiltrate").unwrap();
    assert!(set.may_govern(exfiltrate, &r"Exchange\Set-Mailbox".parse().unwrap()));
    assert!(!set.may_govern(exfiltrate, &r"Exchange\Set-Place".parse().unwrap()));
}

/// A dangerous parameter whose effect no policy is about must not take a command out of the policy that governs it without.
#[test]
fn a_dangerous_parameter_never_frees_a_command() {
    let set = load(&policy("effect = 'change'"));
    assert_eq!(
        governing(&set, "Set-Mailbox", &["ForwardingSmtpAddress"]),
        "effect:change"
    );
    assert_eq!(
        governing(&set, "Set-Mailbox", &["AuditEnabled", "Password"]),
        "effect:change"
    );
}

#[test]
fn roles_that_share_a_task_tie_unless_something_more_specific_governs_it() {
    let one = [
        role(
            "A",
            &[
                "Set-Mailbox",
                "Get-Mailbox",
                "Get-User",
                "Get-Group",
                "Get-Place",
            ],
        ),
        policy("role = 'Exchange\\A'"),
        group("One", &["A"]),
        policy("role_group = 'Exchange\\One'"),
    ]
    .concat();
    let two = [
        role("B", &["Get-*", "New-Mailbox"]),
        policy("role = 'Exchange\\B'"),
        role("C", &["New-Mail*", "Set-Mailbox"]),
        policy("role = 'Exchange\\C'"),
    ]
    .concat();
    insta::assert_snapshot!(try_load(&[one.clone(), two.clone()]).unwrap_err(), @r"
    1.toml:4: `role:Exchange\B` and `role:Exchange\A` at 0.toml:4 are equally specific for `exchange\get-mailbox`, `exchange\get-user`, `exchange\get-group`, one other task
        write a policy that is enforced for each of these tasks, or take them out of one of the roles
    1.toml:10: `role:Exchange\C` and `role:Exchange\A` at 0.toml:4 are equally specific for `exchange\set-mailbox`
        write a policy that is enforced for each of these tasks, or take them out of one of the roles
    1.toml:10: `role:Exchange\C` and `role:Exchange\B` at 1.toml:4 are equally specific for `exchange\new-mailbox`
        write a policy that is enforced for each of these tasks, or take them out of one of the roles
    ");
    let settled = [
        policy("task = 'Exchange\\Get-*'"),
        policy("task = 'Exchange\\Set-Mailbox'"),
        policy("task = 'Exchange\\New-Mail*'"),
    ];
    assert!(try_load(&[one, two, settled.concat()]).is_ok());
}

#[test]
fn roles_without_policies_may_share_tasks_and_role_groups_tie_like_roles() {
    let roles = role("A", &["Set-Mailbox"]) + &role("B", &["Set-Mailbox"]);
    let one = roles.clone() + &policy("role = 'Exchange\\A'");
    assert!(try_load(&[one]).is_ok());
    let groups = roles + &group("One", &["A"]) + &group("Two", &["B", "A"]);
    let policies = policy("role_group = 'Exchange\\One'") + &policy("role_group = 'Exchange\\Two'");
    insta::assert_snapshot!(try_load(&[groups.clone() + &policies]).unwrap_err(), @r"
    0.toml:16: `role-group:Exchange\Two` and `role-group:Exchange\One` at 0.toml:13 are equally specific for `exchange\set-mailbox`
        write a policy that is enforced for each of these tasks, or take them out of one of the roles
    ");
    // A role's policy is more specific than those of the groups.
    assert!(try_load(&[groups + &policies + &policy("role = 'Exchange\\A'")]).is_ok());
}

#[test]
fn what_a_scope_names_must_be_there_and_be_one() {
    let text = [
        policy("role = 'Exchange\\Recipient'"),
        policy("role_group = 'Exchange\\Help'"),
        policy("effect = 'exfiltrat'"),
        policy("effect = 'read'\ntask = 'Exchange\\Get-It'"),
        policy("effect = 'read'"),
        role("Recipients", &["Set Mailbox", "Get-It", "GET-it"]),
        role("recipients", &[]),
        "[[role]]\nname = 'Recipients'\ntasks = ['Exchange\\Get-It']\n".to_owned(),
        "[[role]]\nname = 'Other\\X'\ntasks = ['Exchange\\Get-It']\n".to_owned(),
        "[[role]]\nname = 'Other\\Y'\n".to_owned(),
        group("Helpdesk", &["Nobody", "Recipients", "recipients"]),
        "[[cmdlet]]\ntasks = ['Exchange\\Get-*', 'Exchange\\Get-It']\neffect = 'reed'\n".to_owned(),
        "[[cmdlet]]\ntasks = ['exchange\\get-it']\ndangerous = { A = 'read', a = 'change', 'B C' = 'read', D = 4 }\n"
            .to_owned(),
        "[[cmdlet]]\ntasks = []\n".to_owned(),
    ]
    .concat();
    insta::assert_snapshot!(try_load(&[text]).unwrap_err(), @r#"
    0.toml:2: role `Exchange\Recipient` is not defined
        did you mean `exchange\recipients`?
    0.toml:5: role group `Exchange\Help` is not defined
        did you mean `exchange\helpdesk`?
    0.toml:8: there is no effect `exfiltrat`
        did you mean "exfiltrate"?
    0.toml:10: a policy has one scope, not `task` and `effect`
        write a policy for each
    0.toml:19: `Exchange\Set Mailbox` names no cmdlet (`Verb-Noun`)
        such as 'Exchange\New-MoveRequest' or 'Exchange\Remove-*', in single quotes
    0.toml:19: `tasks` lists `Exchange\GET-it` twice
        -
    0.toml:20: a second role `Exchange\recipients`; the first is at 0.toml:17
        role names are compared without case
    0.toml:22: `tasks` lists no task
        -
    0.toml:24: `Recipients` does not begin with a workload
        such as 'Exchange\Mail Recipients', in single quotes
    0.toml:28: `Exchange\Get-It` is of another workload than role `Other\X`
        write a role for each workload
    0.toml:29: a role has no `tasks`
        such as ['Exchange\Set-Mailbox', 'Exchange\Get-*']
    0.toml:33: role `Exchange\Nobody` is not defined
        define it: [[role]] with this name, or have it written by `portcullis roles import`
    0.toml:33: `roles` lists `Exchange\recipients` twice
        -
    0.toml:35: `Exchange\Get-*` is not a task
        one task, such as 'Exchange\Set-Mailbox', and no pattern
    0.toml:36: there is no effect `reed`
        did you mean "read"?
    0.toml:38: `exchange\get-it` is judged a second time; the first is at 0.toml:34
        say all of a task in one place
    0.toml:39: a second effect of `a`
        parameters are compared without case
    0.toml:39: `B C` is not a parameter name (letters, digits, underscores)
        -
    0.toml:39: `D` must be a text in quotes, not `4`
        -
    0.toml:40: a cmdlet has no `effect`
        what the cmdlets do at worst, whatever their parameters
    0.toml:41: `tasks` lists no task
        -
    "#);
}

proptest! {
    /// Which policy governs follows from what the files say, not from their order.
    #[test]
    fn governing_does_not_depend_on_the_order_of_files(
        tasks in proptest::collection::vec("(Get|Set|New)-(A|B|AB|\\*)", 0..4),
        roles in proptest::collection::vec(
            proptest::collection::vec("(Get|Set|New)-(A|B|AB|\\*)", 1..4), 0..3),
        effects in proptest::sample::subsequence(vec!["read", "change", "destroy"], 0..=3),
        order in any::<prop::sample::Index>(),
    ) {
        let mut files: Vec<String> = Vec::new();
        for task in &tasks {
            files.push(policy(&format!("task = 'Exchange\\{task}'")));
        }
        for (number, tasks) in roles.iter().enumerate() {
            let mut tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
            tasks.sort_unstable();
            tasks.dedup();
            let name = format!("R{number}");
            files.push(role(&name, &tasks) + &policy(&format!("role = 'Exchange\\{name}'")));
        }
        files.extend(effects.iter().map(|it| policy(&format!("effect = '{it}'"))));
        let mut turned = files.clone();
        if !turned.is_empty() {
            let by = order.index(turned.len());
            turned.rotate_left(by);
            turned.reverse();
        }
        match (try_load(&files), try_load(&turned)) {
            (Ok(one), Ok(two)) => {
                for task in ["Get-A", "Get-B", "Set-A", "Set-AB", "New-A", "New-C", "Remove-A"] {
                    prop_assert_eq!(governing(&one, task, &[]), governing(&two, task, &[]));
                    let parsed = format!(r"Exchange\{task}").parse().unwrap();
                    let possible = one.possible(&parsed).next().map(|it| it.scope.text.clone());
                    prop_assert_eq!(possible.unwrap_or("-".to_owned()), governing(&one, task, &[]));
                }
            }
            (Err(one), Err(two)) => prop_assert_eq!(one.lines().count(), two.lines().count()),
            (one, two) => prop_assert!(false, "{:?} {:?}", one.err(), two.err()),
        }
    }
}

#[test]
fn of_those_that_apply_the_most_specific_enforced_one_governs() {
    let reports = |scope: &str| policy(scope) + "report_only = true\n";
    let set = load(
        &[
            role("R", &["Get-User", "Set-User"]),
            policy("role = 'Exchange\\R'"),
            reports("task = 'Exchange\\Get-User'"),
            reports("task = 'Exchange\\Set-*'"),
            reports("effect = 'read'"),
            reports("effect = 'exfiltrate'"),
            policy("effect = 'destroy'"),
            "[[policy]]\neffect = 'change'\napproval = 'never'\n".to_owned(),
        ]
        .concat(),
    );
    let mut table = String::new();
    for (task, parameters) in [
        ("Get-User", &[][..]),
        ("Get-Mailbox", &[]),
        ("Set-User", &[]),
        ("Set-Mailbox", &["AuditEnabled", "ForwardingSmtpAddress"]),
        ("Set-RemoteDomain", &["AutoForwardEnabled"]),
        ("Export-QuarantineMessage", &[]),
        ("Remove-Mailbox", &[]),
        ("Add-MailboxPermission", &[]),
    ] {
        let mut command = crate::model::Command {
            task: format!(r"Exchange\{task}").parse().unwrap(),
            parameters: crate::model::Parameters::default(),
        };
        for name in parameters {
            let parameter = crate::model::Parameter {
                name: name.parse().unwrap(),
                value: crate::model::Value::Null,
                type_annotation: None,
            };
            command.parameters.push(parameter).unwrap();
        }
        let found = set.governing_command(&command);
        let text = |it: Option<&crate::policy::Policy>| {
            it.map_or("-".to_owned(), |it| it.scope.text.clone())
        };
        let possible: Vec<_> = set
            .possible(&command.task)
            .map(|it| it.scope.text.as_str())
            .collect();
        writeln!(
            table,
            "{task:24} {:18} {:18} of {}",
            text(found.policy),
            text(found.reporting),
            possible.join(" ")
        )
        .unwrap();
    }
    insta::assert_snapshot!(table, @r"
    Get-User                 role:Exchange\R    Exchange\Get-User  of role:Exchange\R
    Get-Mailbox              effect:read        -                  of effect:read
    Set-User                 role:Exchange\R    Exchange\Set-*     of role:Exchange\R
    Set-Mailbox              effect:change      Exchange\Set-*     of effect:change
    Set-RemoteDomain         effect:change      Exchange\Set-*     of effect:change
    Export-QuarantineMessage effect:exfiltrate  -                  of effect:exfiltrate
    Remove-Mailbox           effect:destroy     -                  of effect:destroy
    Add-MailboxPermission    -                  -                  of
    ");
}

#[test]
fn a_policy_that_only_reports_settles_nothing_between_those_that_are_enforced() {
    let roles = [
        role("A", &["Set-Mailbox", "Get-Mailbox"]),
        role("B", &["Set-Mailbox", "Get-Mailbox"]),
        policy("role = 'Exchange\\A'"),
        policy("role = 'Exchange\\B'"),
        policy("task = 'Exchange\\Get-Mailbox'"),
        policy("task = 'Exchange\\Set-Mailbox'"),
    ]
    .concat();
    assert!(try_load(std::slice::from_ref(&roles)).is_ok());
    let told = try_load(&[roles + "report_only = true\n"]).unwrap_err();
    insta::assert_snapshot!(told, @r"
    0.toml:10: `role:Exchange\B` and `role:Exchange\A` at 0.toml:7 are equally specific for `exchange\set-mailbox`
        write a policy that is enforced for each of these tasks, or take them out of one of the roles
    ");
}
