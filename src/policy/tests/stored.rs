//! Policies of the store beside those of files.

use super::*;

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
