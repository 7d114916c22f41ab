//! Loading: good files mean what DESIGN 5.3 says, broken ones tell everything at once.

use std::fmt::Write as _;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use crate::model::{Interner, Principal, PrincipalId, PrincipalKind, Task};

use super::*;

fn files(texts: &[&str]) -> Vec<PolicyFile> {
    let file = |(number, text): (usize, &&str)| PolicyFile {
        path: format!(
            "policies/{}.toml",
            char::from(b'a' + u8::try_from(number).unwrap())
        ),
        text: (*text).to_owned(),
    };
    texts.iter().enumerate().map(file).collect()
}

fn load(text: &str) -> PolicySet {
    PolicySet::load(
        &files(&[text]),
        &[],
        Some("approvers"),
        &Interner::default(),
    )
    .unwrap_or_else(|problems| panic!("{}", told(&problems)))
}

fn problems(texts: &[&str], default_group: Option<&str>) -> String {
    told(&PolicySet::load(&files(texts), &[], default_group, &Interner::default()).unwrap_err())
}

fn told(problems: &[PolicyProblem]) -> String {
    let mut told = String::new();
    for problem in problems {
        writeln!(told, "{problem}").unwrap();
        if let Some(hint) = &problem.hint {
            writeln!(told, "    {hint}").unwrap();
        }
    }
    told
}

const GOOD: &str = r#"
[[group]]
name = "mbmanagers"
email = "mbmanagers@fabrikam.example"
members = ["amy@fabrikam.example", "bo@fabrikam.example"]

[[group]]
name = "approvers"
claim = "c0ffee"

[[policy]]
task = 'Exchange\New-MoveRequest'
approval = "manual"
approvers = ["MBManagers", "approvers"]
approvals = 2
max_duration = "8h"
default_duration = "90m"
[policy.parameters]
TargetDatabase = { one_of = ["DB01", "DB02"] }
Identity = { pattern = '.*@emea\.fabrikam\.example' }

[[policy]]
task = 'Exchange\Remove-*'
approval = "manual"
report_only = true
max_duration = "2h"

[[policy]]
task = 'Exchange\New-JournalRule'
approval = "never"

[[policy]]
task = 'Exchange\Set-*'
approval = "auto"

[[exemption]]
account = "sys1@fabrikam.example"
owner = "messaging-ops"
reason = "nightly provisioning job"
expires = 2027-03-31
from = ["10.20.0.0/16", "2001:db8::1"]
tasks = ['Exchange\*-Mailbox']
"#;

#[test]
fn every_field_has_its_meaning_and_its_default() {
    let set = load(GOOD);
    let policy = set.policy(r"EXCHANGE\new-moverequest").unwrap();
    assert_eq!(policy.scope.text, r"Exchange\New-MoveRequest");
    assert_eq!(policy.scope.folded, r"exchange\new-moverequest");
    assert!(policy.scope.is_exact());
    assert_eq!(policy.approval, Approval::Manual);
    assert_eq!(policy.approvals, 2);
    assert_eq!(policy.max_duration.unwrap().as_secs(), 8 * 3600);
    assert_eq!(policy.default_duration.as_secs(), 90 * 60);
    assert!(!policy.report_only);
    assert_eq!(policy.source.to_string(), "policies/a.toml:11");
    let groups: Vec<&str> = policy
        .approver_groups(&set)
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(groups, ["mbmanagers", "approvers"]);
    let sentences: Vec<String> = policy.parameters.sentences().collect();
    assert_eq!(sentences.len(), 2);
    assert!(
        sentences[0].starts_with("`TargetDatabase`"),
        "rules keep the file's order"
    );

    let remove = set
        .governing(&r"exchange\remove-mailbox".parse::<Task>().unwrap())
        .unwrap();
    assert_eq!(remove.scope.text, r"Exchange\Remove-*");
    assert_eq!(remove.approvers, ["approvers"], "the default group");
    assert_eq!(remove.approvals, 1);
    assert_eq!(
        remove.default_duration.as_secs(),
        2 * 3600,
        "never longer than max_duration"
    );
    assert!(remove.report_only);
    assert!(remove.parameters.is_empty());
    assert_eq!(set.policies()[3].default_duration.as_secs(), 4 * 3600);

    let exemption = &set.exemptions()[0];
    assert_eq!(exemption.owner, "messaging-ops");
    assert_eq!(exemption.expires.unwrap().to_string(), "2027-03-31");
    assert_eq!(exemption.from.len(), 2);
    assert_eq!(set.group("MBMANAGERS").unwrap().place.line, 2);
    assert!(set.group("nobody").is_none());
    assert_eq!((set.policies().len(), set.groups().len()), (4, 2));
}

#[test]
fn a_group_has_its_members_and_those_whose_token_has_its_claim() {
    let set = load(GOOD);
    let mut caller = principal("AMY@fabrikam.example");
    assert!(set.group("mbmanagers").unwrap().has(&caller));
    assert!(!set.group("approvers").unwrap().has(&caller));
    caller.groups = vec!["c0ffee".to_owned()];
    assert!(set.group("approvers").unwrap().has(&caller));
}

#[test]
fn the_hash_tells_names_and_texts_apart() {
    let hash = |files: &[PolicyFile]| {
        PolicySet::load(files, &[], None, &Interner::default())
            .unwrap()
            .hash()
            .to_owned()
    };
    let file = |path: &str, text: &str| PolicyFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let one = hash(&[file("a", "# b")]);
    assert_eq!(one.len(), 64);
    assert_eq!(one, hash(&[file("a", "# b")]));
    assert_ne!(one, hash(&[file("a#", " # b")]));
    assert_ne!(one, hash(&[file("a", "# c")]));
    assert_ne!(one, hash(&[file("a", "# b"), file("", "")]));
    assert_eq!(PolicySet::empty().hash(), hash(&[]));
    assert_eq!(
        &*PolicySet::empty().shared_hash(),
        PolicySet::empty().hash()
    );
}

#[test]
fn empty_files_are_fine_and_byte_order_marks_and_crlf_do_not_shift_lines() {
    assert!(load("").policies().is_empty());
    assert!(load("# nothing\n\n").policies().is_empty());
    let set = load("\u{feff}# one\r\n[[policy]]\r\ntask = 'X\\Get-*'\r\napproval = 'auto'\r\n");
    assert_eq!(set.policies()[0].source.to_string(), "policies/a.toml:2");
}

#[test]
fn all_problems_of_all_files_are_told_at_once() {
    let broken = [
        r#"
[[group]]
nam = "ops"
members = "amy"

[[group]]
name = "empty"

[[group]]
name = "EMPTY"
email = "not an address"
members = ["a@x", "A@X", ""]

[[group]]
name = "pair"
members = ["a@x", "b@x"]

[[policy]]
task = 'Exchange\New-MoveRequest'
approval = "manaul"
aprovers = ["pair"]

[[policy]]
task = 'Exchange\Set-*-x'
approval = "manual"
approvers = ["pear", "empty", "pair", "Pair"]
approvals = 3
max_duration = "2h"
default_duration = "3h"

[[policy]]
approval = "never"
approvers = ["pair"]
approvals = 0
report_only = "yes"
default_duration = "forever"
max_duration = "0h"

[group.x]
"#,
        r#"
[[policy]]
role = 'Exchange\Mail Recipients'
approval = "auto"

[[policy]]
task = 'Exchange\Get-*'
approval = "manual"
approvers = []
other_parameters = "deny"
parameters = {}

[[policy]]
task = 'exchange\GET-*'
approval = "auto"
[policy.parameters]
A = { one_of = [] }
a = { one_of = [1979-05-27, nan, "ok"] }
B = { pattern = '(' }
C = { pattern = 'a)|(b' }
D = { min = 3, max = 2.5 }
E = { absent = true, one_of = ["x"] }
F = { present = false, maxitems = 1 }
G = { max_items = 0, optional = 1 }
H = "DB01"
"I J" = { present = true, optional = true }
K = { pattern = '(?:(?:[a-z]{100}){100}){100}' }

[[policy]]
task = 'Exchange\*-Mailbox'
approval = "auto"

[[policy]]
task = 'Exchange\*box'
approval = "auto"

[[policy]]
task = 'Exchange\New-ElevatedAccessRequest'
approval = "auto"

[[exemption]]
account = "sys*"
expires = "2027-03-31"
from = ["10.20.3.4/16", "10.20.0.0/33", "::ffff:10.0.0.0/104"]
tasks = ["New-Mailbox"]

[[exemption]]
account = "sys1"
owner = ""
reason = "a\u0007b"
expires = 2027-03-31T10:00:00Z
from = []

[[role]]
name = "x"

[exemptions]
"#,
        "[[policy]]\ntask = 'Exchange\\Get-*\napproval = \"auto\"\napproval = \"never\"\n",
        "group = 4\npolicy = [1, {task = 'X\\Get-It', approval = 'auto'}]\n",
    ];
    insta::assert_snapshot!(problems(&broken, None));
}

#[test]
fn references_and_defaults_are_checked_across_files() {
    let group = "[[group]]\nname = 'ops'\nmembers = ['a@x']\n";
    let policy = "[[policy]]\ntask = 'X\\Get-It'\napproval = 'manual'\n";
    insta::assert_snapshot!(problems(&[policy], None), @"
    policies/a.toml:1: nobody can approve: the policy has no `approvers`, and there is no default
        list groups in `approvers`, or set default_approver_group under [access_control]
    ");
    insta::assert_snapshot!(problems(&[policy, group], Some("opz")), @"
    policies/a.toml:1: nobody can approve: the default approver group `opz` is not defined
        did you mean `ops`?
    ");
    let two = format!("{policy}approvals = 2\n");
    insta::assert_snapshot!(problems(&[&two, group], Some("OPS")), @"
    policies/a.toml:1: 2 approvals are asked of group `ops`, which has 1 (policies/b.toml:1)
        ask for fewer approvals, or add members
    ");
    assert!(
        PolicySet::load(
            &files(&[policy, group]),
            &[],
            Some("OPS"),
            &Interner::default()
        )
        .is_ok()
    );
    // A group may stand in the file that cannot be read: only that is told.
    insta::assert_snapshot!(problems(&[policy, "[[group]"], Some("ops")), @"policies/b.toml:1: not TOML: unclosed array table, expected `]`");
}

#[test]
fn ties_name_both_places_and_other_overlaps_are_fine() {
    let policy = |task: &str| format!("[[policy]]\ntask = 'X\\{task}'\napproval = 'auto'\n");
    let one = policy("*-Mailbox") + &policy("Get-*") + &policy("Get-Mailbox");
    assert_eq!(load(&one).policies().len(), 3);
    let two = policy("*") + &policy("get-mailbox") + &policy("Get-M*");
    insta::assert_snapshot!(problems(&[&one, &two], None), @r"
    policies/b.toml:1: `X\*` and `X\*-Mailbox` at policies/a.toml:1 match some of the same tasks and are equally specific
        write out more of one of them before its first `*`, or name the tasks that both match
    policies/b.toml:4: a second policy for `X\get-mailbox`; the first is at policies/a.toml:7
        remove one of them
    ");
}

#[test]
fn sizes_and_numbers_are_bounded() {
    let long = "#".repeat((4 << 20) + 1);
    insta::assert_snapshot!(problems(&[&long], None), @"
    policies/a.toml:1: the file is 4194305 bytes long; 4194304 are read
        split it: all files of the folder are one set
    ");
    let many: Vec<String> = (0..2)
        .map(|file| {
            let policy =
                |number| format!("[[policy]]\ntask='X\\Get-T{file}x{number}'\napproval='auto'\n");
            (0..50_001).map(policy).collect()
        })
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    insta::assert_snapshot!(problems(&many, None), @"
    policies/b.toml:149998: more than 100000 policies
        cover several tasks with a pattern
    ");
}

fn principal(name: &str) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        key: format!("{name}-key"),
        id: PrincipalId(7),
        name: name.to_owned(),
        groups: Vec::new(),
        tenant: None,
        identity: "test".to_owned(),
    }
}

#[test]
fn an_exemption_holds_within_all_of_its_bounds() {
    let set = load(GOOD);
    let exempt = |account: &str, task: &str, source: &str, now: &str| {
        let source: IpAddr = source.parse().unwrap();
        let now: DateTime<Utc> = now.parse().unwrap();
        set.exemption(&principal(account), &task.parse().unwrap(), source, now)
            .is_some()
    };
    let (account, task) = ("SYS1@fabrikam.example", r"exchange\new-mailbox");
    let (source, now) = ("10.20.255.255", "2027-03-31T23:59:59.999Z");
    assert!(exempt(account, task, source, now));
    assert!(exempt(account, task, "::ffff:10.20.0.1", now));
    assert!(exempt(account, task, "2001:db8::1", now));
    assert!(!exempt("sys2@fabrikam.example", task, source, now));
    assert!(!exempt(account, r"exchange\new-mailboxes", source, now));
    assert!(!exempt(account, r"other\new-mailbox", source, now));
    assert!(!exempt(account, task, "10.21.0.0", now));
    assert!(!exempt(account, task, "2001:db8::2", now));
    assert!(!exempt(account, task, source, "2027-04-01T00:00:00Z"));
}

#[test]
fn any_exemption_of_an_account_may_hold_and_a_key_is_an_account() {
    let text = |account: &str, task: &str| {
        format!(
            "[[exemption]]\naccount = '{account}'\nowner = 'o'\nreason = 'r'\ntasks = ['X\\{task}']\n"
        )
    };
    let set = load(&(text("sys", "Get-A") + &text("SYS", "Get-B") + &text("sys-key", "Get-C")));
    let exempt = |task: &str| {
        let source = "10.0.0.1".parse().unwrap();
        set.exemption(
            &principal("sys"),
            &task.parse().unwrap(),
            source,
            DateTime::UNIX_EPOCH,
        )
        .map(|it| it.place.line)
    };
    assert_eq!(
        [r"X\Get-A", r"X\Get-B", r"X\Get-C", r"X\Get-D"].map(exempt),
        [Some(1), Some(6), Some(11), None]
    );
}

proptest! {
    #[test]
    fn loading_any_text_never_panics(text in ".{0,200}") {
        let _ = PolicySet::load(&files(&[&text]), &[], None, &Interner::default());
    }

    #[test]
    fn loading_almost_good_text_never_panics_and_tells_lines_that_exist(
        lines in proptest::collection::vec(prop_oneof![
            proptest::sample::select(GOOD.lines().collect::<Vec<_>>()).prop_map(str::to_owned),
            "[a-z_]{1,8}( = |\\.)[0-9a-z\\[\\]{}\"'*\\\\,-]{0,12}",
        ], 0..30),
    ) {
        let text = lines.join("\n");
        if let Err(problems) = PolicySet::load(&files(&[&text]), &[], None, &Interner::default()) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!((1..=lines.len().max(1)).contains(&problem.place.line), "{}", problem);
            }
        }
    }
}

const GROUPS: &str = "[[group]]\nname = 'ops'\nmembers = ['amy', 'bo']\n[[group]]\nname = 'oncall'\nclaim = 'c0ffee'\n";

#[test]
fn every_option_has_its_meaning_and_its_default() {
    let set = load(&format!(
        "{GROUPS}
        [[policy]]
        task = 'X\\Get-All'
        approval = 'manual'
        approvers = ['ops']
        reason = {{ min_length = 12, pattern = 'CHG\\d+', hint = 'name a change' }}
        requesters = ['oncall']
        approver_comment = 'required'
        windows = [
            {{ days = ['sat-mon', 'wed'], from = '22:00', to = '24:00', zone = 'Europe/Berlin' }},
            {{ from = '00:00', to = '24:00', zone = 'UTC' }},
        ]
        break_glass = ['oncall']
        on_block = 'request'
        max_uses = 3
        spread = {{ calls_per_minute = 1, calls_per_grant = 2, identities_per_minute = 3, identities_per_grant = 4 }}
        [[policy]]
        task = 'X\\Get-None'
        approval = 'auto'
        "
    ));
    let all = set.policy(r"X\Get-All").unwrap();
    assert_eq!(all.approver_comment, Comment::Required);
    assert_eq!(all.on_block, OnBlock::Request);
    assert_eq!(all.max_uses, Some(3));
    assert_eq!(
        all.spread.unwrap(),
        Spread {
            calls_per_minute: Some(1),
            calls_per_grant: Some(2),
            identities_per_minute: Some(3),
            identities_per_grant: Some(4),
        }
    );
    let windows: Vec<String> = all.windows.iter().map(ToString::to_string).collect();
    assert_eq!(
        windows,
        [
            "Mon, Wed, Sat, Sun 22:00–24:00 Europe/Berlin",
            "every day 00:00–24:00 UTC"
        ]
    );
    let mut caller = principal("zed");
    assert!(!all.may_request(&caller, &set) && !all.may_break_glass(&caller, &set));
    caller.groups = vec!["c0ffee".to_owned()];
    assert!(all.may_request(&caller, &set) && all.may_break_glass(&caller, &set));

    let told = |reason: &str| all.reason.check(reason).map_err(|it| it.to_string());
    assert_eq!(told("needed for chg0012"), Ok(()));
    assert_eq!(told("  "), Err("a reason is required".to_owned()));
    assert_eq!(
        told(" chg0012 "),
        Err("the reason must have at least 12 characters, and has 7".to_owned())
    );
    assert_eq!(
        told("because I say so"),
        Err("the reason does not fit: name a change".to_owned())
    );

    let none = set.policy(r"X\Get-None").unwrap();
    assert!(none.may_request(&principal("zed"), &set));
    assert!(!none.may_break_glass(&caller, &set));
    assert!(none.windows.is_empty() && none.spread.is_none() && none.max_uses.is_none());
    assert_eq!(
        (none.approver_comment, none.on_block),
        (Comment::Optional, OnBlock::Block)
    );
    assert!(none.reason.check("x").is_ok() && none.reason.check("").is_err());
}

#[test]
fn problems_of_options_are_told_at_once() {
    let text = format!(
        "{GROUPS}
[[group]]
name = 'nobody'
[[policy]]
task = 'X\\Get-A'
approval = 'manual'
approvers = ['ops']
reason = {{}}
requesters = []
approver_comment = 'requird'
windows = [{{ days = ['mo'], from = '8:00', to = '25:00', zone = 'Europe/Berlim' }}, {{ from = '24:00', to = '24:00', zone = 'UTC' }}, {{ from = '09:00', to = '09:00', zone = 'UTC', day = 1 }}, {{ days = [], from = '09:00' }}]
break_glass = ['nobody', 'opz']
on_block = 'holt'
max_uses = 0
spread = {{}}
[[policy]]
task = 'X\\Get-B'
approval = 'never'
reason = {{ min_length = 0, pattern = '(', hint = 'h' }}
requesters = ['ops', 'OPS']
windows = {{ from = '08:00' }}
max_uses = 2
spread = {{ calls_per_minute = 1000001, call = 1 }}
[[policy]]
task = 'X\\Get-C'
approval = 'auto'
reason = {{ required = false, hint = 'h' }}
[[person]]
name = 'Amy'
accounts = ['amy', 'adm-amy', 'AMY']
[[person]]
name = 'amy'
accounts = ['ADM-AMY', 'x']
[[person]]
name = 'Bo'
accounts = ['bo']
[[person]]
name = ''
accounts = []
[[person]]
nam = 'x'
"
    );
    insta::assert_snapshot!(problems(&[&text], None));
}

#[test]
fn accounts_of_a_person_are_that_person() {
    let set = load(
        "[[person]]\nname = 'Amy'\naccounts = ['amy@x', 'adm-amy@x', 'key-amy']\n\
         [[person]]\nname = 'Bo'\naccounts = ['bo@x', 'adm-bo@x']\n",
    );
    let same = |one: &str, key: &str, name: &str| set.is_same_person(&principal(one), key, name);
    assert!(same("AMY@x", "k", "Adm-Amy@x"), "two names of one person");
    assert!(
        same("amy@x", "key-amy", "whoever"),
        "a key of the same person"
    );
    assert!(same("zed@x", "k", "ZED@x"), "the same name");
    assert!(same("zed@x", "zed@x-key", "other"), "the same key");
    assert!(!same("amy@x", "k", "bo@x"));
    assert!(!same("zed@x", "k", "zad@x"));
    assert_eq!(set.person("key-amy", "").unwrap().name, "Amy");
    assert!(set.person("k", "zed@x").is_none());
}

fn stored(scope: Definition, minute: i64) -> StoredPolicy {
    StoredPolicy {
        definition: scope,
        by: "op@x".to_owned(),
        at: DateTime::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap(),
    }
}

fn task(task: &str) -> Definition {
    Definition {
        task: Some(task.to_owned()),
        approval: "auto".to_owned(),
        ..Definition::default()
    }
}

fn with_stored(text: &str, stored: &[StoredPolicy]) -> PolicySet {
    PolicySet::load(&files(&[text]), stored, Some("ops"), &Interner::default()).unwrap()
}

#[test]
fn stored_policies_stand_beside_those_of_files_and_say_who_made_them() {
    let definition = Definition {
        task: None,
        effect: Some("read".to_owned()),
        approval: "manual".to_owned(),
        approvers: Some(vec!["ops".to_owned()]),
        max_duration: Some("2h".to_owned()),
        requesters: Some(vec!["ops".to_owned()]),
        reason: Some(ReasonDefinition {
            min_length: Some(5),
            pattern: Some(r"a\b".to_owned()),
            ..ReasonDefinition::default()
        }),
        spread: Some(SpreadDefinition {
            calls_per_minute: Some(3),
            ..SpreadDefinition::default()
        }),
        windows: vec![WindowDefinition {
            days: Some(vec!["mon-fri".to_owned()]),
            from: "08:00".to_owned(),
            to: "18:00".to_owned(),
            zone: Some("UTC".to_owned()),
        }],
        parameters: Some("P = { one_of = ['a', 1] }".parse().unwrap()),
        other_parameters: Some("allow".to_owned()),
        ..Definition::default()
    };
    let json = serde_json::to_string(&definition).unwrap();
    assert_eq!(
        serde_json::from_str::<Definition>(&json).unwrap(),
        definition
    );
    let set = with_stored(
        GROUPS,
        &[stored(definition, 0), stored(task(r"X\Get-*"), 1)],
    );
    assert_eq!(told(set.skipped()), "");
    let policy = set.policy("effect:read").unwrap();
    assert_eq!(
        policy.source.to_string(),
        "store, by op@x on 2027-01-15 08:00 UTC"
    );
    insta::assert_snapshot!(policy.asks());
    let governing = set
        .governing(&r"X\Get-It".parse::<Task>().unwrap())
        .unwrap();
    assert_eq!(governing.scope.folded, r"x\get-*");
    assert_ne!(set.hash(), with_stored(GROUPS, &[]).hash());
}

#[test]
fn stored_policies_that_cannot_stand_are_left_out_and_told() {
    let text = format!("{GROUPS}[[policy]]\ntask = 'X\\Get-*'\napproval = 'never'\n");
    let many = [
        stored(task(r"X\GET-*"), 5),
        stored(task(r"X\Set-A"), 1),
        stored(task(r"X\set-a"), 2),
        stored(task("nonsense"), 3),
        stored(Definition::default(), 4),
        stored(
            Definition {
                approvers: Some(vec!["gone".to_owned()]),
                approval: "manual".to_owned(),
                ..task(r"X\Set-B")
            },
            6,
        ),
        stored(task(r"X\*-Mail"), 7),
        stored(task(r"X\*-M*"), 8),
        stored(task(r"X\Set-C"), 9),
    ];
    let set = with_stored(&text, &many);
    let scopes: Vec<&str> = set
        .policies()
        .iter()
        .map(|it| it.scope.text.as_str())
        .collect();
    assert_eq!(scopes, [r"X\Get-*", r"X\Set-A", r"X\*-Mail", r"X\Set-C"]);
    assert_eq!(set.policies()[0].approval, Approval::Never);
    insta::assert_snapshot!(told(set.skipped()));
}

proptest! {
    /// Whatever is in the store, what the files define stays as it is.
    #[test]
    fn no_stored_policy_takes_one_of_a_file_away(
        scopes in proptest::collection::vec("X\\\\(Get|Set|\\*)-(A|B|\\*|A\\*)|", 0..8),
        file in "X\\\\(Get|Set|\\*)-(A|B|\\*|A\\*)",
    ) {
        let text = format!("[[policy]]\ntask = '{file}'\napproval = 'never'\n");
        let alone = with_stored(&text, &[]);
        let all: Vec<_> = scopes.iter().enumerate().map(|(at, it)| stored(task(it), i64::try_from(at).unwrap())).collect();
        let set = with_stored(&text, &all);
        prop_assert_eq!(set.policies().len() + set.skipped().len(), 1 + scopes.len());
        for name in [r"X\Get-A", r"X\Set-B", r"X\Get-C", r"X\Set-AB"] {
            let name: Task = name.parse().unwrap();
            if let Some(governing) = alone.governing(&name) {
                let now = set.governing(&name).unwrap();
                let is_more_specific = (now.scope.is_exact() && !governing.scope.is_exact())
                    || now.scope.folded.find('*') > governing.scope.folded.find('*');
                prop_assert!(now.id == governing.id || now.scope.folded == governing.scope.folded || is_more_specific);
            }
        }
    }
}
