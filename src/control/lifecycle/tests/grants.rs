//! What a grant holds for, and how it ends.

use super::*;

#[test]
fn a_grant_is_never_longer_than_the_policy_of_now_allows() {
    let group = group("g", &["amy"]);
    let quorum = quorum(vec![&group], 1);
    let event = Event::Waived {
        rules: Rules {
            longest: Duration::hours(1),
            ..rules(&quorum)
        },
    };
    let grant = apply(&case(), event, at(0)).unwrap().0.grant.unwrap();
    assert_eq!(grant.ends, at(60));
    assert_eq!(grant.approved_by, ["policy"]);
}

#[test]
fn an_approver_revokes_a_running_grant_once() {
    let group = group("g", &["amy"]);
    let quorum = quorum(vec![&group], 1);
    let approved = voted(&case(), "amy", Answer::Approve, &quorum, 0)
        .unwrap()
        .0;
    let revoke = |case: &Case, by: &str, minute| {
        let event = Event::Revoked {
            by: &person(by, by),
            authority: Authority {
                quorum: &quorum,
                operators: None,
            },
            comment: Some("enough".to_owned()),
        };
        apply(case, event, at(minute))
    };
    assert!(revoke(&approved, "ann", 1).is_err());
    assert!(revoke(&case(), "amy", 1).is_err());
    assert!(revoke(&approved, "amy", 240).is_err());
    let revoked = revoke(&approved, "amy", 239).unwrap().0;
    let again = revoke(&revoked, "amy", 239).unwrap_err().to_string();
    assert_eq!(again, "the grant is revoked already by amy");
    assert!(apply(&revoked, Event::Expired, at(240)).is_err());
    assert!(apply(&approved, Event::Expired, at(239)).is_err());
    assert!(apply(&approved, Event::Expired, at(240)).is_ok());
}

#[test]
fn an_operator_revokes_as_well() {
    let (group, keepers) = (group("g", &["amy"]), group("keepers", &["kim"]));
    let quorum = quorum(vec![&group], 1);
    let approved = voted(&case(), "amy", Answer::Approve, &quorum, 0)
        .unwrap()
        .0;
    let revoke = |operators, by: &str| {
        let event = Event::Revoked {
            by: &person(by, by),
            authority: Authority {
                quorum: &quorum,
                operators,
            },
            comment: None,
        };
        apply(&approved, event, at(1))
    };
    assert!(revoke(Some(&keepers), "kim").is_ok());
    assert!(revoke(Some(&keepers), "amy").is_ok());
    let refused = revoke(Some(&keepers), "bo").unwrap_err().to_string();
    assert_eq!(
        refused,
        "only a member of `g` or `keepers` (the operators) may do this"
    );
    assert!(revoke(None, "kim").is_err());
}

#[test]
fn approvers_only_narrow_and_each_narrowing_binds() {
    let group = group("g", &["amy", "bo", "cy"]);
    let quorum = quorum(vec![&group], 2);
    let pin = |value: &str| {
        Pins(vec![Pin {
            name: "Identity".parse().unwrap(),
            bound: Bound::OneOf(vec![Pinned::Text(value.to_owned())]),
        }])
    };
    let mut asked = case();
    asked.request.uses = Some(5);
    asked.request.starts = Some(at(30));
    asked.request.pins = pin("ana");
    let none = Narrowing::default;
    for (wide, how) in [
        (
            Narrowing {
                duration: Some(Duration::hours(5)),
                ..none()
            },
            "it may last up to 4 hours",
        ),
        (
            Narrowing {
                duration: Some(Duration::zero()),
                ..none()
            },
            "it may last up to 4 hours",
        ),
        (
            Narrowing {
                starts: Some(at(29)),
                ..none()
            },
            "it may not start before 1970-01-01 00:30:00 UTC",
        ),
        (
            Narrowing {
                uses: Some(6),
                ..none()
            },
            "it may have from 1 to 5 uses",
        ),
        (
            Narrowing {
                uses: Some(0),
                ..none()
            },
            "it may have from 1 to 5 uses",
        ),
    ] {
        let refused = narrowed(&asked, "amy", &wide, &quorum)
            .unwrap_err()
            .to_string();
        assert_eq!(
            refused,
            format!("an approval can only narrow what was asked: {how}")
        );
    }
    let task = |name: &str| Some(name.parse().unwrap());
    let first = Narrowing {
        duration: Some(Duration::hours(2)),
        starts: Some(at(60)),
        uses: Some(3),
        pins: pin("bob"),
        task: task(r"Exchange\Remove-Mailbox"),
    };
    let once = narrowed(&asked, "amy", &first, &quorum).unwrap();
    let other = Narrowing {
        task: task(r"Exchange\Remove-Contact"),
        ..none()
    };
    let refused = narrowed(&once, "bo", &other, &quorum)
        .unwrap_err()
        .to_string();
    assert_eq!(
        refused,
        r"an approval can only narrow what was asked: it is for `Exchange\Remove-Mailbox` alone"
    );
    let second = Narrowing {
        uses: Some(2),
        ..none()
    };
    let done = narrowed(&once, "bo", &second, &quorum).unwrap();
    // What was asked stays on record as it was.
    assert_eq!(done.request.pins, pin("ana"));
    assert_eq!(
        (done.request.duration, done.request.uses),
        (Duration::hours(4), Some(5))
    );
    assert_eq!(done.votes[0].narrowing, first);
    let grant = done.grant.unwrap();
    assert_eq!((grant.starts, grant.ends), (at(60), at(180)));
    assert_eq!((grant.uses, grant.task), (Some(2), first.task));
    assert_eq!(grant.pins.0.len(), 2);
}

#[test]
fn a_use_counts_until_the_last_one_closes_the_grant() {
    let group = group("g", &["amy"]);
    let quorum = quorum(vec![&group], 1);
    let mut asked = case();
    asked.request.uses = Some(2);
    asked.request.starts = Some(at(10));
    let now = voted(&asked, "amy", Answer::Approve, &quorum, 0).unwrap().0;
    let early = apply(&now, Event::Used, at(9)).unwrap_err();
    assert!(
        matches!(early, InvalidTransition::NotStarted { .. }),
        "{early:?}"
    );
    let (now, effects) = apply(&now, Event::Used, at(10)).unwrap();
    assert!(
        matches!(effects.as_slice(), [Effect::GrantUsed(_)]),
        "{effects:?}"
    );
    let (now, effects) = apply(&now, Event::Used, at(11)).unwrap();
    assert!(
        matches!(effects.as_slice(), [Effect::GrantClosed(_)]),
        "{effects:?}"
    );
    let grant = now.grant.as_ref().unwrap();
    assert_eq!(grant.closed.as_ref().unwrap().how, HowClosed::UsedUp);
    assert_eq!(grant.state(at(11)), GrantState::UsedUp);
    let over = apply(&now, Event::Used, at(12)).unwrap_err().to_string();
    assert_eq!(over, "the grant is used up already");
}

#[test]
fn an_extension_moves_the_end_of_a_running_grant_and_nothing_else() {
    let group = group("g", &["amy"]);
    let quorum = quorum(vec![&group], 1);
    let running = voted(&case(), "amy", Answer::Approve, &quorum, 0)
        .unwrap()
        .0;
    let held = running.grant.unwrap();
    let mut asked = case();
    asked.request.extends = Some(held.id);
    asked.request.duration = Duration::hours(1);
    asked.extended = Some(held.clone());
    let wide = Narrowing {
        uses: Some(1),
        ..Narrowing::default()
    };
    assert!(narrowed(&asked, "amy", &wide, &quorum).is_err());
    let (longer, effects) = voted(&asked, "amy", Answer::Approve, &quorum, 5).unwrap();
    assert_eq!(longer.grant, None);
    assert_eq!(longer.request.state, RequestState::Approved);
    let end = Grant {
        ends: at(240 + 60),
        ..held
    };
    assert_eq!(longer.extended, Some(end.clone()));
    assert!(effects.contains(&Effect::GrantExtended(end)));
    // What ended while it waited is not brought back.
    let late = voted(&asked, "amy", Answer::Approve, &quorum, 240).unwrap_err();
    assert_eq!(late.to_string(), "the grant is expired already");
}

#[test]
fn glass_is_broken_by_members_alone_and_looked_at_afterwards_by_others() {
    let (group, fire) = (group("g", &["ann", "amy"]), group("fire", &["ann", "bo"]));
    let quorum = quorum(vec![&group], 2);
    let broken = |by: &str, groups: &[&Group]| {
        let event = Event::BrokenGlass {
            by: &person(by, by),
            groups,
            rules: rules(&quorum),
        };
        apply(&case(), event, at(1))
    };
    assert!(broken("bo", &[&fire]).is_err(), "another's request");
    let nobody = broken("ann", &[]).unwrap_err().to_string();
    assert_eq!(
        nobody,
        "only a member of a break-glass group (the policy has none) may do this"
    );
    assert!(broken("ann", &[&group]).is_ok());
    let taken = broken("ann", &[&fire]).unwrap().0;
    let grant = taken.grant.as_ref().unwrap();
    assert!(grant.break_glass && taken.request.break_glass && grant.awaits_review());
    assert_eq!(grant.approved_by, ["break-glass"]);

    let review = |case: &Case, by: &str, minute| {
        let event = Event::Reviewed {
            by: &person(by, by),
            authority: Authority {
                quorum: &quorum,
                operators: None,
            },
            comment: Some("looked".to_owned()),
        };
        apply(case, event, at(minute)).map(|it| it.0)
    };
    let own = review(&taken, "ann", 2).unwrap_err();
    assert!(
        matches!(own, InvalidTransition::OwnReview { .. }),
        "{own:?}"
    );
    assert!(review(&taken, "bo", 2).is_err());
    // Also long after it is over, and once.
    let reviewed = review(&taken, "amy", 100_000).unwrap();
    assert!(!reviewed.grant.as_ref().unwrap().awaits_review());
    let again = review(&reviewed, "amy", 100_001).unwrap_err().to_string();
    assert_eq!(again, "the grant was reviewed already by amy");
    let ordinary = voted(
        &case(),
        "amy",
        Answer::Approve,
        &self::quorum(vec![&group], 1),
        1,
    );
    assert!(review(&ordinary.unwrap().0, "amy", 2).is_err());
}

#[test]
fn extensions_add_up_to_no_more_than_the_longest_grant() {
    let group = group("g", &["amy"]);
    let quorum = quorum(vec![&group], 1);
    let extended = |grant: &Grant, hours: i64| {
        let mut asked = case();
        asked.request.extends = Some(grant.id);
        asked.request.duration = Duration::hours(hours);
        asked.extended = Some(grant.clone());
        let rules = Rules {
            longest: Duration::hours(6),
            ..rules(&quorum)
        };
        apply(&asked, Event::Waived { rules }, at(30)).map(|it| it.0.extended.unwrap())
    };
    let first = voted(&case(), "amy", Answer::Approve, &quorum, 0)
        .unwrap()
        .0
        .grant
        .unwrap();
    let second = extended(&first, 1).unwrap();
    assert_eq!(second.ends, at(5 * 60));
    // What would be too long ends when the longest grant ends.
    let third = extended(&second, 3).unwrap();
    assert_eq!(third.ends, at(6 * 60));
    let refused = extended(&third, 1).unwrap_err().to_string();
    assert_eq!(
        refused,
        "the grant lasts as long already as its policy allows, extensions included: 6 hours from its start; file a new request"
    );
}
