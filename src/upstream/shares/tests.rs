use proptest::prelude::*;

use super::*;

const PEOPLE: [&str; 4] = ["ana", "bea", "eve", "una"];

/// Lets `count` wait of this person, and says how many got a place of `places`.
fn ask(shares: &mut Shares<()>, whose: &str, count: usize, places: usize) -> usize {
    let whose = Arc::from(whose);
    for _ in 0..count {
        shares.wait(&whose, ());
    }
    std::iter::from_fn(|| shares.next(places)).count()
}

#[test]
fn one_person_gets_half_and_each_further_one_finds_some() {
    let mut shares = Shares::default();
    assert_eq!(ask(&mut shares, "ana", 100, 16), 8);
    assert_eq!(ask(&mut shares, "bea", 100, 16), 4);
    assert_eq!(ask(&mut shares, "eve", 100, 16), 2);
    assert_eq!(ask(&mut shares, "una", 1, 16), 1);
}

#[test]
fn the_only_place_there_is_goes_to_whoever_asks() {
    let mut shares = Shares::default();
    assert_eq!(ask(&mut shares, "ana", 1, 1), 1);
    assert_eq!(ask(&mut shares, "bea", 1, 1), 0);
    shares.give_back("ana");
    let next = shares.next(1).map(|it| it.0);
    assert_eq!(next.as_deref(), Some("bea"));
}

#[test]
fn of_those_with_as_many_places_the_one_who_came_first_is_next() {
    let mut shares = Shares::default();
    let (ana, bea) = (Arc::from("ana"), Arc::from("bea"));
    for (whose, waiter) in [(&bea, 1), (&ana, 2), (&bea, 3), (&ana, 4)] {
        shares.wait(whose, waiter);
    }
    let order: Vec<_> = std::iter::from_fn(|| shares.next(100))
        .map(|it| it.1)
        .collect();
    assert_eq!(order, [1, 2, 3, 4]);
}

#[test]
fn where_there_are_fewer_places_than_are_taken_nobody_gets_one() {
    let mut shares = Shares::default();
    assert_eq!(ask(&mut shares, "ana", 8, 16), 8);
    assert_eq!(ask(&mut shares, "bea", 1, 4), 0);
    // With as many as before again, they do.
    assert!(shares.next(16).is_some());
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    GiveBack(usize),
    Leave(usize),
    Wait(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0..64_usize).prop_map(Deed::GiveBack),
        (0..64_usize).prop_map(Deed::Leave),
        (0..PEOPLE.len()).prop_map(Deed::Wait),
        (0..1_usize).prop_map(Deed::Wait),
    ]
}

proptest! {
    #[test]
    fn nobody_has_all_and_nobody_waits_beside_a_place_they_may_have(
        places in 1..40_usize,
        deeds in prop::collection::vec(deed(), 0..200),
    ) {
        let mut shares = Shares::default();
        // Who has places, and who waits, as whoever asked sees it.
        let mut has: Vec<Arc<str>> = Vec::new();
        let mut waits: Vec<(Arc<str>, Number)> = Vec::new();
        for (deed, id) in deeds.into_iter().zip(0_usize..) {
            match deed {
                Deed::GiveBack(which) if !has.is_empty() => {
                    let whose = has.swap_remove(which % has.len());
                    shares.give_back(&whose);
                }
                Deed::Leave(which) if !waits.is_empty() => {
                    let (whose, number) = waits.swap_remove(which % waits.len());
                    shares.leave(&whose, number);
                }
                Deed::GiveBack(_) | Deed::Leave(_) => {}
                Deed::Wait(who) => {
                    let whose = Arc::from(PEOPLE[who]);
                    let number = shares.wait(&whose, id);
                    waits.push((whose, number));
                }
            }
            while let Some((whose, _)) = shares.next(places) {
                let own = has.iter().filter(|it| **it == whose).count();
                prop_assert!(own < places - has.len(), "{whose} had {own}, {} of {places} were taken", has.len());
                let first = waits.iter().enumerate().filter(|(_, it)| it.0 == whose).min_by_key(|(_, it)| it.1).unwrap().0;
                waits.remove(first);
                has.push(whose);
            }
            prop_assert!(has.len() <= places);
            for person in PEOPLE {
                let own = has.iter().filter(|it| &***it == person).count();
                let is_waiting = waits.iter().any(|it| &*it.0 == person);
                prop_assert!(own <= places.div_ceil(2), "{person} has {own} of {places}");
                prop_assert!(!is_waiting || own >= places - has.len(), "{person} waits with {own}, {} of {places} are taken", has.len());
            }
            prop_assert_eq!(shares.taken, has.len());
        }
        for whose in has {
            shares.give_back(&whose);
        }
        for (whose, number) in waits {
            shares.leave(&whose, number);
        }
        prop_assert!(shares.people.is_empty() && shares.taken == 0);
    }
}
