//! What a policy says besides its scope and its approval.

use super::*;

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
fn no_policy_that_asks_a_person_why_approves_what_a_call_files_for_itself() {
    let told = |terms: &str| {
        let text = format!("{GROUPS}\n[[policy]]\ntask = 'X\\Get-A'\n{terms}\n");
        let set = PolicySet::load(
            &[PolicyFile {
                path: "a.toml".to_owned(),
                text,
            }],
            &[],
            Some("ops"),
            &Interner::default(),
        );
        set.err().map(|it| it[0].message.clone())
    };
    for reason in [
        "min_length = 10",
        "pattern = 'CHG'",
        "required = true, min_length = 1",
    ] {
        for on_block in ["hold", "request"] {
            let terms =
                format!("approval = 'auto'\non_block = '{on_block}'\nreason = {{ {reason} }}");
            let message = told(&terms).unwrap();
            assert!(message.contains("without a person's reason"), "{message}");
        }
    }
    for terms in [
        "approval = 'auto'\non_block = 'block'\nreason = { min_length = 10 }",
        "approval = 'auto'\nreason = { min_length = 10 }",
        "approval = 'auto'\non_block = 'hold'\nreason = { required = false, min_length = 10 }",
        "approval = 'auto'\non_block = 'hold'",
        "approval = 'manual'\non_block = 'hold'\nreason = { min_length = 10 }",
    ] {
        assert_eq!(told(terms), None, "{terms}");
    }
}
