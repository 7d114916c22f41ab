use std::collections::HashSet;
use std::hash::BuildHasher as _;

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::minutes(minute)
}

fn grant(number: u128, holder: &str, policy: &str, task: Option<&str>, ends: i64) -> Grant {
    Grant {
        id: Uuid::from_u128(number),
        request: Uuid::from_u128(number),
        principal_key: holder.to_owned(),
        principal_name: holder.to_owned(),
        policy: policy.to_owned(),
        task: task.map(|it| it.parse().unwrap()),
        starts: at(0),
        ends: at(ends),
        approved_by: Vec::new(),
        created: at(0),
        pins: crate::model::Pins::default(),
        uses: None,
        used: 0,
        break_glass: false,
        closed: None,
        reviewed: None,
        version: 0,
    }
}

struct Seen {
    id: Uuid,
    is_narrowed: bool,
}

/// The grants of a holder under a policy.
fn all(table: &GrantTable, interner: &Interner, holder: &str, policy: &str) -> Vec<Seen> {
    let mut found = Vec::new();
    let (holder, policy) = (interner.principal(holder), interner.policy(policy));
    table.each(holder, policy, &mut |grant| {
        found.push(Seen {
            id: grant.id,
            is_narrowed: grant.task.is_some(),
        });
        ControlFlow::Continue(())
    });
    found
}

fn held(table: &GrantTable, interner: &Interner, holder: &str, policy: &str) -> Option<u128> {
    let found = all(table, interner, holder, policy);
    found.first().map(|it| it.id.as_u128())
}

#[test]
fn a_grant_is_found_by_its_holder_and_policy_until_it_is_removed() {
    let (table, interner) = (GrantTable::default(), Interner::default());
    let one = grant(1, "ann", r"exchange\remove-*", None, 60);
    table.insert(&one, &interner).unwrap();
    table.insert(&one, &interner).unwrap();
    assert_eq!(table.len(), 1);
    assert_eq!(
        held(&table, &interner, "ann", r"exchange\remove-*"),
        Some(1)
    );
    assert_eq!(held(&table, &interner, "bob", r"exchange\remove-*"), None);
    assert_eq!(held(&table, &interner, "ann", r"exchange\set-*"), None);
    table.remove(&one, &interner);
    table.remove(&one, &interner);
    assert!(table.is_empty());
}

#[test]
fn a_task_narrows_a_grant_unless_the_policy_is_that_task() {
    let (table, interner) = (GrantTable::default(), Interner::default());
    let task = Some(r"Exchange\Remove-Mailbox");
    table
        .insert(&grant(1, "ann", r"exchange\remove-*", task, 60), &interner)
        .unwrap();
    table
        .insert(&grant(2, "bob", r"exchange\remove-*", task, 60), &interner)
        .unwrap();
    table
        .insert(
            &grant(3, "ann", r"exchange\remove-mailbox", task, 60),
            &interner,
        )
        .unwrap();
    let narrowed = |holder, policy| {
        let found = all(&table, &interner, holder, policy);
        found.iter().any(|it| it.is_narrowed)
    };
    assert!(narrowed("ann", r"exchange\remove-*"));
    assert!(narrowed("bob", r"exchange\remove-*"));
    assert!(!narrowed("ann", r"exchange\remove-mailbox"));
    assert_eq!(table.narrowed.len(), 1, "grants share a task");
}

#[test]
fn a_grant_is_small() {
    assert_eq!(size_of::<Entered>(), 40);
    assert_eq!(size_of::<(Key, Held)>(), 48);
}

#[test]
fn terms_bind_until_the_grant_is_put_in_force_anew() {
    let (table, interner) = (GrantTable::default(), Interner::default());
    let counted = Grant {
        uses: Some(2),
        break_glass: true,
        ..grant(1, "ann", "p", Some(r"Exchange\Remove-Mailbox"), 60)
    };
    table.insert(&counted, &interner).unwrap();
    let seen = || {
        let (holder, policy) = (interner.principal("ann"), interner.policy("p"));
        let mut seen = None;
        table.each(holder, policy, &mut |it| {
            seen = Some((it.uses_left, it.break_glass, it.task.map(Task::folded)));
            ControlFlow::Continue(())
        });
        seen.unwrap()
    };
    let task = || Some(r"exchange\remove-mailbox".to_owned());
    assert_eq!(seen(), (Some(2), true, task()));
    let used = Grant { used: 1, ..counted };
    table.lower_uses(&used, &interner);
    assert_eq!(seen(), (Some(1), true, task()));
    let plain = Grant {
        uses: None,
        break_glass: false,
        ..used
    };
    table.insert(&plain, &interner).unwrap();
    assert_eq!(seen(), (None, false, task()));
}

#[test]
fn keys_given_out_in_order_do_not_crowd() {
    let hashes: Vec<u64> = (0..1_000_u32)
        .flat_map(|person| {
            (0..100).map(move |policy| Key::new(PrincipalId(person), PolicyId(policy)))
        })
        .map(|key| BuildHasherDefault::<KeyHasher>::default().hash_one(key))
        .collect();
    // 100,000 keys: of 65,536 values of any 16 bits, a random function would leave about 14,250 out.
    for shift in [0, 16, 32, 48] {
        let distinct: HashSet<u64> = hashes.iter().map(|it| it >> shift & 0xffff).collect();
        assert!(
            distinct.len() > 48_000,
            "bits from {shift}: {}",
            distinct.len()
        );
    }
}

proptest! {
    /// The table agrees with a list of grants, whatever is done to both.
    #[test]
    fn the_table_holds_what_was_inserted_and_not_removed_or_swept(
        steps in prop::collection::vec((0..4_u8, 0..6_u128, 0..2_usize, 0..2_usize, 1..9_i64), 0..60)
    ) {
        let (table, interner) = (GrantTable::default(), Interner::default());
        let (holders, policies) = (["ann", "bob"], ["p", "q"]);
        let mut model: Vec<Grant> = Vec::new();
        for (step, number, holder, policy, minute) in steps {
            // A grant's holder and policy never change, so its number settles them.
            let number = number * 4 + holder as u128 * 2 + policy as u128;
            let it = grant(number, holders[holder], policies[policy], None, minute);
            match step {
                0 | 1 => {
                    model.retain(|other| other.id != it.id);
                    model.push(it.clone());
                    table.insert(&it, &interner).unwrap();
                }
                2 => {
                    model.retain(|other| other.id != it.id);
                    table.remove(&it, &interner);
                }
                _ => {
                    let before = model.len();
                    model.retain(|other| other.ends > at(minute));
                    prop_assert_eq!(table.sweep(at(minute).timestamp_millis()), before - model.len());
                }
            }
            prop_assert_eq!(table.len(), model.len());
            for holder in holders {
                for policy in policies {
                    for other in 0..24 {
                        let expected = model.iter().any(|it| {
                            it.id.as_u128() == other && it.principal_key == holder && it.policy == policy
                        });
                        let found = all(&table, &interner, holder, policy);
                        let is_found = found.iter().any(|it| it.id.as_u128() == other);
                        prop_assert_eq!(is_found, expected);
                    }
                }
            }
        }
    }
}

#[test]
fn who_waits_is_told_when_no_grant_counts_and_when_all_do_again_and_of_nothing_between() {
    let (table, interner) = (GrantTable::default(), Interner::default());
    let held = grant(1, "local:ana", "x\\a", None, 60);
    table.insert(&held, &interner).unwrap();
    let is_told = |by: &dyn Fn()| {
        let mut waiting = std::pin::pin!(table.changes().notified());
        waiting.as_mut().enable();
        by();
        waiting.enable()
    };
    assert!(is_told(&|| table.suspend()));
    // Whoever decided again now would find none of what is being read.
    assert!(!is_told(&|| {
        table.suspend();
        table.clear();
        table.insert(&held, &interner).unwrap();
        table
            .insert(&grant(2, "local:ana", "x\\a", None, 1), &interner)
            .unwrap();
        table.sweep(at(1).timestamp_millis());
        table.remove(&held, &interner);
        table.insert(&held, &interner).unwrap();
    }));
    assert!(is_told(&|| table.resume()));
    assert!(is_told(&|| table.remove(&held, &interner)));
}
