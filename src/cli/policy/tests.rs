//! What the commands print of a small set of policies.

use std::fs;
use std::path::Path;

use clap::Parser as _;

use crate::cli::output::testing;
use crate::cli::{self, Cli, Format};

use super::*;

const POLICIES: &str = r#"
[[group]]
name = "ops"
members = ["amy@contoso.example", "bo@contoso.example", "cy@contoso.example"]

[[group]]
name = "on-call"
claim = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"

[[person]]
name = "Amy"
accounts = ["amy@contoso.example", "adm-amy@contoso.example"]

[[role]]
name = 'Exchange\Mail Recipients'
tasks = ['Exchange\Set-Mailbox', 'Exchange\Set-User']

[[role_group]]
name = 'Exchange\Helpdesk'
roles = ['Exchange\Mail Recipients']

[[policy]]
role = 'Exchange\Mail Recipients'
approval = "manual"
approvers = ["ops"]
approvals = 2
requesters = ["on-call", "ops"]
max_duration = "2h"
reason = { min_length = 10, pattern = '\bCHG\d{7}\b', hint = "name a change, such as CHG0012345" }
approver_comment = "required"
break_glass = ["on-call"]
on_block = "request"
max_uses = 5
spread = { calls_per_minute = 30, identities_per_grant = 10 }
windows = [{ days = ["mon-fri"], from = "08:00", to = "18:00", zone = "Europe/Berlin" }]
[policy.parameters]
Identity = { pattern = '.*@contoso\.example' }
Office = {}

[[policy]]
effect = "exfiltrate"
approval = "manual"
approvers = ["ops"]

[[policy]]
effect = "grant-privilege"
approval = "never"

[[policy]]
task = 'Exchange\New-MovRequest'
approval = "auto"

[[exemption]]
account = "sys1@contoso.example"
owner = "messaging"
reason = "nightly job"
tasks = ['Exchange\*-Mailbox']
"#;

/// The starter tree with other policies.
fn tree() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (mut output, _, _) = testing::output(Format::Table);
    let cli = Cli::parse_from(["portcullis", "init", directory.path().to_str().unwrap()]);
    cli::run(cli.command, &mut output).unwrap();
    let policies = directory.path().join("policies");
    for entry in fs::read_dir(&policies).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::write(policies.join("all.toml"), POLICIES).unwrap();
    directory
}

fn run_in(directory: &Path, arguments: &[&str]) -> (Outcome, String) {
    let config = directory.join("portcullis.toml");
    let given = ["portcullis"].iter().chain(arguments).copied();
    let cli = Cli::parse_from(given.chain(["--config", config.to_str().unwrap()]));
    let (mut output, results, messages) = testing::output(cli.global.output);
    let outcome = match cli.command {
        cli::Command::Policy(command) => run(command, &Environment::default(), &mut output),
        cli::Command::WhoCan(arguments) => {
            cli::who_can::run(&arguments, &Environment::default(), &mut output)
        }
        _ => panic!("only policies are looked at"),
    };
    let outcome = outcome.unwrap_or_else(|error| {
        let _code = output.failed(&error);
        Outcome::Problems
    });
    let text = results.text() + &messages.text();
    (outcome, text.replace(directory.to_str().unwrap(), "[dir]"))
}

/// What is printed where nothing is wrong.
fn told(arguments: &[&str]) -> String {
    let (outcome, text) = run_in(tree().path(), arguments);
    assert_eq!(outcome, Outcome::Done, "{text}");
    text
}

fn json(arguments: &[&str]) -> serde_json::Value {
    let arguments: Vec<&str> = arguments.iter().chain(&["-o", "json"]).copied().collect();
    serde_json::from_str(&told(&arguments)).unwrap()
}

#[test]
fn policies_are_listed_with_everything_else_that_files_define() {
    insta::assert_snapshot!(told(&["policy", "ls"]), @r"
    SCOPE                          APPROVAL  APPROVERS       LASTS  AT MOST   SOURCE
    role:Exchange\Mail Recipients  manual    2 of each: ops  2h     2h        [dir]/policies/all.toml:22
    effect:exfiltrate              manual    ops             4h     any time  [dir]/policies/all.toml:40
    effect:grant-privilege         never                                      [dir]/policies/all.toml:45
    Exchange\New-MovRequest        auto                      4h     any time  [dir]/policies/all.toml:49

    GROUP    MEMBERS                                                      SOURCE
    ops      amy@contoso.example, bo@contoso.example, cy@contoso.example  [dir]/policies/all.toml:2
    on-call  claim 6ba7b810-9dad-11d1-80b4-00c04fd430c8                   [dir]/policies/all.toml:6

    ROLE                      TASKS  SOURCE
    Exchange\Mail Recipients  2      [dir]/policies/all.toml:14

    ROLE GROUP         ROLES                     SOURCE
    Exchange\Helpdesk  Exchange\Mail Recipients  [dir]/policies/all.toml:18

    PERSON  ACCOUNTS                                      SOURCE
    Amy     amy@contoso.example, adm-amy@contoso.example  [dir]/policies/all.toml:10

    EXEMPT                TASKS               FROM  UNTIL   OWNER      SOURCE
    sys1@contoso.example  Exchange\*-Mailbox  any   no end  messaging  [dir]/policies/all.toml:53
    ");
    let listed = json(&["policy", "ls"]);
    assert_eq!(listed["policies"][0]["kind"], "role");
    assert_eq!(listed["policies"][0]["spread"]["calls_per_minute"], 30);
    assert_eq!(listed["roles"][0]["tasks"][1], r"Exchange\Set-User");
    assert_eq!(listed["persons"][0]["name"], "Amy");
}

#[test]
fn a_policy_is_shown_whole_by_its_scope_or_a_task() {
    insta::assert_snapshot!(told(&["policy", "show", r"role:exchange\mail recipients"]), @r"
    role:Exchange\Mail Recipients
      approval            manual
      approvers           2 of ops
      requesters          on-call, ops
      lasts               2h
      at most             2h
      reason              at least 10 characters, name a change, such as CHG0012345
      approver's comment  required
      hours               Mon, Tue, Wed, Thu, Fri 08:00–18:00 Europe/Berlin
      uses                at most 5 of a grant
      spread              30 calls a minute, 10 identities a grant
      break-glass         on-call
      on block            files a request
      parameter           `Identity` must be given and match `.*@contoso\.example`
      parameter           `Office` may have any value
      parameter           any other is blocked
      source              [dir]/policies/all.toml:22
    ");
    assert_eq!(
        told(&["policy", "show", r"Exchange\Set-User"]),
        told(&["policy", "show", r"role:Exchange\Mail Recipients"])
    );
    assert_eq!(
        json(&["policy", "show", "effect:exfiltrate"])["approval"],
        "manual"
    );
    let (outcome, text) = run_in(tree().path(), &["policy", "show", r"Exchange\Get-Mailbox"]);
    assert_eq!(outcome, Outcome::Problems);
    insta::assert_snapshot!(text, @r"
    error: no policy is about `Exchange\Get-Mailbox` or governs it
      hint: `portcullis policy ls` lists the scopes
    ");
}

#[test]
fn warnings_are_told_and_count_only_if_asked_to() {
    insta::assert_snapshot!(told(&["policy", "check"]), @r"
    warning: [dir]/policies/all.toml:22: the gate can be undone: no policy is enforced for `Exchange\Set-AdminAuditLogConfig`, `Exchange\Set-OrganizationConfig`
      hint: write policies for them, or for their effects (change, destroy); or let the endpoint block what no policy governs
    warning: [dir]/policies/all.toml:49: `Exchange\New-MovRequest` matches no known cmdlet
      hint: did you mean `Exchange\New-MoveRequest`?
    warning: [dir]/policies/all.toml:53: the exemption of `sys1@contoso.example` has no end
      hint: `messaging` owns it: give it a last day in `expires`, such as 2027-03-31

    no problems, 3 warnings
    ");
    let (outcome, _) = run_in(tree().path(), &["policy", "check", "--strict"]);
    assert_eq!(outcome, Outcome::Problems);
}

#[test]
fn a_call_is_explained() {
    insta::assert_snapshot!(told(&[
        "policy", "explain", "--as", "zed@contoso.example", "--task", r"Exchange\Set-Mailbox",
        "--parameter", "Identity=ana@contoso.example", "--at", "2026-11-20T11:00:00Z",
    ]), @r"
       own cmdlet        it is none of the gateway's own cmdlets
       access control    enforced
       effect            change
       governing policy  `role:Exchange\Mail Recipients` (manual) at [dir]/policies/all.toml:22
       exemption         none of this caller
       parameter rules   all hold
       hours             a window is open
    -> grant             no grant covers it

    block (needs-approval)
    Set-Mailbox needs approval
    next: zed@contoso.example may not ask: only members of on-call, ops may
    ");
    insta::assert_snapshot!(told(&[
        "policy", "explain", "--as", "zed@contoso.example", "--task", r"Exchange\Set-RemoteDomain",
        "--parameter", "AutoForwardEnabled=true",
    ]), @r"
       own cmdlet        it is none of the gateway's own cmdlets
       access control    enforced
       effect            change; exfiltrate for -AutoForwardEnabled
       governing policy  `effect:exfiltrate` (manual) at [dir]/policies/all.toml:40, for -AutoForwardEnabled
       exemption         none of this caller
       parameter rules   the policy has none
    -> grant             no grant covers it

    block (needs-approval)
    Set-RemoteDomain needs approval. Request it with: New-ElevatedAccessRequest -Task 'Exchange\Set-RemoteDomain' -Parameters @{AutoForwardEnabled='…'} -Reason '…' -DurationHours 4
    next: a request needs 1 approval of ops
    ");
    let explained = json(&[
        "policy",
        "explain",
        "--as",
        "sys1@contoso.example",
        "--task",
        r"Exchange\Set-Mailbox",
        "--from",
        "10.0.0.1",
    ]);
    assert_eq!(explained["rule"], "exempt");
    assert_eq!(explained["steps"][4]["decides"], true);
    let granted = json(&[
        "policy",
        "explain",
        "--as",
        "zed",
        "--group",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "--granted",
        "--task",
        r"Exchange\Set-Mailbox",
        "--parameter",
        "Identity=x@contoso.example",
        "--at",
        "2026-11-20T11:00:00Z",
    ]);
    assert_eq!(granted["verdict"], "allow");
    let (outcome, text) = run_in(
        tree().path(),
        &["policy", "explain", "--as", "x", "--task", "Set-Mailbox"],
    );
    assert_eq!(outcome, Outcome::Problems);
    insta::assert_snapshot!(text, @r"
    error: `Set-Mailbox` is not a task (`Workload\Verb-Noun`)
      hint: such as 'Exchange\Set-Mailbox', in single quotes
    ");
}

#[test]
fn each_task_of_a_role_or_role_group_is_explained() {
    let of_role = told(&[
        "policy",
        "explain",
        "--as",
        "zed",
        "--role",
        r"exchange\mail recipients",
        "--parameter",
        "Identity=ana@contoso.example",
        "--at",
        "2026-11-20T11:00:00Z",
    ]);
    insta::assert_snapshot!(of_role, @r"
    TASK                  VERDICT  RULE            BY
    Exchange\Set-Mailbox  block    needs-approval  role:Exchange\Mail Recipients
    Exchange\Set-User     block    needs-approval  role:Exchange\Mail Recipients
    ");
    let of_group = told(&[
        "policy",
        "explain",
        "--as",
        "zed",
        "--role-group",
        r"Exchange\Helpdesk",
        "--parameter",
        "Identity=ana@contoso.example",
        "--at",
        "2026-11-20T11:00:00Z",
    ]);
    assert_eq!(of_group, of_role, "the group has this one role");
    let exempt = json(&[
        "policy",
        "explain",
        "--as",
        "sys1@contoso.example",
        "--role",
        r"Exchange\Mail Recipients",
        "--from",
        "10.0.0.1",
    ]);
    assert_eq!(exempt["items"][0]["task"], r"Exchange\Set-Mailbox");
    assert_eq!(exempt["items"][0]["rule"], "exempt");

    let (outcome, text) = run_in(
        tree().path(),
        &["policy", "explain", "--as", "x", "--role-group", "Helpdesk"],
    );
    assert_eq!(outcome, Outcome::Problems);
    insta::assert_snapshot!(text, @r"
    error: the policy files have no role group `Helpdesk`
      hint: name it with its workload, such as 'Exchange\Mail Recipients'; `portcullis policy ls` lists them
    ");
    for both in [
        ["--task", r"Exchange\Set-Mailbox", "--role", "x"],
        ["--role", "x", "--role-group", "x"],
    ] {
        let line = ["portcullis", "policy", "explain", "--as", "x"];
        let refused = Cli::try_parse_from(line.into_iter().chain(both));
        assert!(refused.is_err(), "{both:?}");
    }
    let none = Cli::try_parse_from(["portcullis", "policy", "explain", "--as", "x"]);
    assert!(none.is_err());
}

#[test]
fn values_of_parameters_are_json_or_texts() {
    let explained = |value: &str| {
        let parameter = format!("Office={value}");
        json(&[
            "policy",
            "explain",
            "--as",
            "zed",
            "--task",
            r"Exchange\Set-Mailbox",
            "--at",
            "2026-11-20T11:00:00Z",
            "--parameter",
            "Identity=[\"a@contoso.example\",\"b@contoso.example\"]",
            "--parameter",
            &parameter,
        ])
    };
    for value in ["true", "4", "a=b", "{\"a\":null}", "[1,2]", "{"] {
        assert_eq!(explained(value)["rule"], "needs-approval", "{value}");
    }
}

#[test]
fn expectations_are_run() {
    let directory = tree();
    let file = directory.path().join("tests.toml");
    let path = file.to_str().unwrap().to_owned();
    let good = "[[test]]\nas = 'zed'\ntask = 'Exchange\\New-ManagementRoleAssignment'\nexpect = 'block'\nrule = 'never'\n";
    fs::write(&file, good).unwrap();
    let (outcome, text) = run_in(directory.path(), &["policy", "test", &path]);
    assert_eq!((outcome, text.trim()), (Outcome::Done, "1 tests, 0 failed"));
    fs::write(
        &file,
        format!("{good}[[test]]\nas = 'zed'\ntask = 'Exchange\\Get-Mailbox'\nexpect = 'block'\n"),
    )
    .unwrap();
    let (outcome, text) = run_in(directory.path(), &["policy", "test", &path]);
    assert_eq!(outcome, Outcome::Problems);
    insta::assert_snapshot!(text, @r"
    error: [dir]/tests.toml:6: Exchange\Get-Mailbox: verdict: expected block, is allow
    2 tests, 1 failed
    ");
    fs::write(&file, "[[tset]]\n").unwrap();
    let (outcome, text) = run_in(directory.path(), &["policy", "test", &path]);
    assert_eq!(outcome, Outcome::Problems);
    assert!(text.contains("did you mean `test`?"), "{text}");
}

#[test]
fn directories_are_compared() {
    let (old, new) = (tree(), tree());
    let text = POLICIES.replace("approvals = 2", "approvals = 1").replace(
        "effect = \"grant-privilege\"",
        "task = 'Exchange\\New-RoleGroup'",
    );
    fs::write(new.path().join("policies/all.toml"), text).unwrap();
    let of = |tree: &tempfile::TempDir| tree.path().join("policies").to_str().unwrap().to_owned();
    let (outcome, text) = run_in(old.path(), &["policy", "diff", &of(&old), &of(&new)]);
    assert_eq!(outcome, Outcome::Done);
    insta::assert_snapshot!(text, @r"
    Exchange\Add-ADPermission, Exchange\Add-ComplianceCaseMember, Exchange\Add-eDiscoveryCaseAdmin, Exchange\Add-FederatedDomain, Exchange\Add-HVEAppAccess, … 48 more
      - effect:grant-privilege: never
      + no policy

    Exchange\Enable-Mailbox, Exchange\New-Mailbox, Exchange\New-MailUser, Exchange\New-ReceiveConnector, Exchange\New-RemoteMailbox, … 9 more
      - effect:grant-privilege (with dangerous parameters): never
      + no policy

    Exchange\Set-CalendarProcessing, Exchange\Set-MailContact, Exchange\Set-MailPublicFolder, Exchange\Set-MailUser, Exchange\Set-TransportConfig, … 1 more
      - effect:grant-privilege (with dangerous parameters): never
      - effect:exfiltrate (with dangerous parameters): manual; approvers: ops; lasts: 4h
      + effect:exfiltrate (with dangerous parameters): manual; approvers: ops; lasts: 4h

    Exchange\Add-MailboxFolderPermission, Exchange\Set-MailboxFolderPermission
      - effect:grant-privilege: never
      + effect:exfiltrate (with dangerous parameters): manual; approvers: ops; lasts: 4h

    Exchange\Set-Mailbox, Exchange\Set-User
      - role:Exchange\Mail Recipients: manual; approvers: 2 of ops; requesters: on-call, ops; lasts: 2h; at most: 2h; reason: at least 10 characters, name a change, such as CHG0012345; approver's comment: required; hours: Mon, Tue, Wed, Thu, Fri 08:00–18:00 Europe/Berlin; uses: at most 5 of a grant; spread: 30 calls a minute, 10 identities a grant; break-glass: on-call; on block: files a request; parameter: `Identity` must be given and match `.*@contoso\.example`; parameter: `Office` may have any value; parameter: any other is blocked
      + role:Exchange\Mail Recipients: manual; approvers: ops; requesters: on-call, ops; lasts: 2h; at most: 2h; reason: at least 10 characters, name a change, such as CHG0012345; approver's comment: required; hours: Mon, Tue, Wed, Thu, Fri 08:00–18:00 Europe/Berlin; uses: at most 5 of a grant; spread: 30 calls a minute, 10 identities a grant; break-glass: on-call; on block: files a request; parameter: `Identity` must be given and match `.*@contoso\.example`; parameter: `Office` may have any value; parameter: any other is blocked

    Exchange\New-RoleGroup
      - effect:grant-privilege: never
      + Exchange\New-RoleGroup: never

    78 tasks change
    ");
    let (_, text) = run_in(old.path(), &["policy", "diff", &of(&old), &of(&old)]);
    assert_eq!(text.trim(), "no task changes");
    let (outcome, text) = run_in(old.path(), &["policy", "diff", &of(&old), "/nowhere"]);
    assert_eq!(outcome, Outcome::Problems);
    assert!(
        text.contains("cannot read policies in `/nowhere`"),
        "{text}"
    );
}

#[test]
fn who_can_run_a_task_is_told() {
    insta::assert_snapshot!(told(&["who-can", r"Exchange\Set-Mailbox"]), @r"
    Exchange\Set-Mailbox: change

    role:Exchange\Mail Recipients ([dir]/policies/all.toml:22)
      may ask          on-call (claim 6ba7b810-9dad-11d1-80b4-00c04fd430c8); ops (amy@contoso.example, bo@contoso.example, cy@contoso.example)
      approve          2 of ops (amy@contoso.example, bo@contoso.example, cy@contoso.example)
      in an emergency  on-call (claim 6ba7b810-9dad-11d1-80b4-00c04fd430c8)

    NEEDS NO GRANT        FROM  UNTIL   OWNER      SOURCE
    sys1@contoso.example  any   no end  messaging  [dir]/policies/all.toml:53
    ");
    insta::assert_snapshot!(told(&["who-can", r"exchange\set-remotedomain"]), @r"
    exchange\set-remotedomain: change

    effect:exfiltrate, with -AutoForwardEnabled ([dir]/policies/all.toml:40)
      may ask  everybody
      approve  1 of ops (amy@contoso.example, bo@contoso.example, cy@contoso.example)

    without these parameters no policy governs it: it passes or not as the endpoint's `ungoverned` says
    ");
    insta::assert_snapshot!(told(&["who-can", r"Exchange\Get-Something"]), @r"
    Exchange\Get-Something: read (by its verb; the catalogue does not know it)

    no policy governs it: it passes or not as the endpoint's `ungoverned` says
    ");
    insta::assert_snapshot!(told(&["who-can", r"Exchange\New-RoleGroup"]), @r"
    Exchange\New-RoleGroup: grant-privilege

    effect:grant-privilege ([dir]/policies/all.toml:45)
      may run it  nobody, exempt or not
    ");
    let found = json(&["who-can", r"Exchange\Set-Mailbox"]);
    assert_eq!(found["policies"][0]["break_glass"][0]["name"], "on-call");
    assert_eq!(found["exemptions"][0]["owner"], "messaging");
}
