//! Good files mean what they say; of bad ones, all problems are told at once, with their lines.

use super::*;

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
