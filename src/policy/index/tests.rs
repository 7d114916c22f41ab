use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts
        .iter()
        .map(|it| Pattern::parse(&format!(r"X\{it}")).unwrap())
        .collect()
}

fn task(cmdlet: &str) -> Task {
    format!(r"x\{cmdlet}").parse().unwrap()
}

fn find(index: &TaskIndex, task: &Task) -> Option<usize> {
    index.find(&FoldedTask::new(task))
}

/// What DESIGN 3.1 says, in the plainest words.
fn governing_by_scan(scopes: &[Pattern], task: &Task) -> Option<usize> {
    let folded = task.folded();
    (0..scopes.len())
        .filter(|it| scopes[*it].matches(folded.as_bytes()))
        .max_by_key(|it| (scopes[*it].is_exact(), scopes[*it].literal_prefix().len()))
}

#[test]
fn the_most_specific_scope_governs() {
    let scopes = [
        "*",
        "Get-*",
        "Get-Mail*",
        "Get-Mailbox",
        "*-User",
        "*-UserPhoto*",
        "R*box",
    ];
    // `*` ties with `*-User`, which has no literal prefix either.
    let (_, conflicts) = TaskIndex::new(&patterns(&scopes));
    assert_eq!(conflicts, [Conflict::Tie(0, 4), Conflict::Tie(0, 5)]);
    let scopes = &scopes[1..];
    let (index, conflicts) = TaskIndex::new(&patterns(scopes));
    assert_eq!(conflicts, []);
    let mut table = String::new();
    for cmdlet in [
        "Get-Mailbox",
        "Get-MailboxPermission",
        "GET-USER",
        "Set-User",
        "Set-UserPhoto",
        "Set-UserPhotos",
        "Remove-Mailbox",
        "Remove-Mailboxes",
        "Set-Users",
    ] {
        let governing = find(&index, &task(cmdlet)).map_or("-", |it| scopes[it]);
        writeln!(table, "{cmdlet:22} {governing}").unwrap();
    }
    insta::assert_snapshot!(table, @"
    Get-Mailbox            Get-Mailbox
    Get-MailboxPermission  Get-Mail*
    GET-USER               Get-*
    Set-User               *-User
    Set-UserPhoto          *-UserPhoto*
    Set-UserPhotos         *-UserPhoto*
    Remove-Mailbox         R*box
    Remove-Mailboxes       -
    Set-Users              -
    ");
}

#[test]
fn the_longest_names_fit() {
    let workload = "w".repeat(MAX_NAME_BYTES);
    let cmdlet = format!("Get-{}", "n".repeat(MAX_NAME_BYTES - 4));
    let task: Task = format!("{workload}\\{cmdlet}").parse().unwrap();
    assert_eq!(FoldedTask::new(&task).as_bytes(), task.folded().as_bytes());
}

#[test]
fn thousands_of_patterns_that_begin_alike_are_told_apart_quickly() {
    let texts: Vec<String> = (0..5_000)
        .flat_map(|it| [format!("*-Noun{it:05}"), format!("*-Part{it:05}*")])
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (index, conflicts) = TaskIndex::new(&patterns(&texts));
    assert_eq!(conflicts, []);
    assert_eq!(find(&index, &task("Get-Noun04999")), Some(9_998));
    assert_eq!(find(&index, &task("Get-Part00001x")), Some(3));
    assert_eq!(find(&index, &task("Get-Noun05000")), None);
}

#[test]
fn patterns_too_alike_to_compare_are_refused() {
    let texts: Vec<String> = (0..1_010)
        .map(|it| format!("*-*q{}q*", letters(it)))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (_, conflicts) = TaskIndex::new(&patterns(&texts));
    assert!(matches!(conflicts.last(), Some(Conflict::TooMany(_))));
}

/// `number` in letters that are not `q`.
fn letters(number: usize) -> String {
    format!("{number:04}")
        .bytes()
        .map(|it| char::from(it - b'0' + b'a'))
        .collect()
}

proptest! {
    #[test]
    fn the_index_agrees_with_a_scan(
        texts in proptest::collection::vec("[ab]{1,2}-[ab]{1,2}|[ab]{0,2}\\*[ab]{0,2}|[ab]{0,1}\\*?[ab]{0,1}-[ab]{0,2}\\*?[ab]{0,2}", 0..12),
        cmdlets in proptest::collection::vec("[abAB]{1,3}-[abAB]{1,4}", 20),
    ) {
        let scopes: Vec<Pattern> =
            texts.iter().filter_map(|it| Pattern::parse(&format!(r"x\{it}")).ok()).collect();
        // Leave out what ties, so that the rest is a set that would load.
        let mut kept: Vec<Pattern> = Vec::new();
        for scope in scopes {
            kept.push(scope);
            if !TaskIndex::new(&kept).1.is_empty() {
                kept.pop();
            }
        }
        let (index, _) = TaskIndex::new(&kept);
        for cmdlet in &cmdlets {
            prop_assert_eq!(find(&index, &task(cmdlet)), governing_by_scan(&kept, &task(cmdlet)));
        }
    }

    #[test]
    fn two_scopes_that_are_equally_specific_for_a_task_are_a_conflict(
        one in "[ab]{0,2}\\*[ab]{0,2}(-[ab]{0,2}\\*[ab]{0,2})?",
        two in "[ab]{0,2}\\*[ab]{0,2}(-[ab]{0,2}\\*[ab]{0,2})?",
        cmdlet in "[ab]{1,3}-[ab]{1,4}",
    ) {
        let parsed = |text: &str| Pattern::parse(&format!(r"x\{text}"));
        if let (Ok(one), Ok(two)) = (parsed(&one), parsed(&two)) {
            let folded = task(&cmdlet).folded();
            let both = one.matches(folded.as_bytes()) && two.matches(folded.as_bytes());
            let equal = one.literal_prefix().len() == two.literal_prefix().len();
            let (_, conflicts) = TaskIndex::new(&[one, two]);
            if both && equal {
                prop_assert_eq!(conflicts, [Conflict::Tie(0, 1)]);
            } else if !equal {
                prop_assert_eq!(conflicts, []);
            }
        }
    }
}
