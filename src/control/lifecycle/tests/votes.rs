//! Who may answer, when, and what an answer does.

use super::*;

#[test]
fn one_approval_makes_a_grant_that_starts_at_once() {
    let group = group("g", &["amy"]);
    let quorum = quorum(vec![&group], 1);
    let (case, effects) = voted(&case(), "Amy", Answer::Approve, &quorum, 5).unwrap();
    let grant = case.grant.unwrap();
    assert_eq!(case.request.state, RequestState::Approved);
    assert_eq!((grant.starts, grant.ends), (at(5), at(5 + 240)));
    assert_eq!(grant.approved_by, ["Amy"]);
    assert_eq!(effects.len(), 3);
    assert_eq!(effects[2], Effect::GrantMade(grant));
}

#[test]
fn each_group_gives_its_share() {
    let (first, second) = (group("a", &["amy", "bo", "cy"]), group("b", &["bo", "dee"]));
    let quorum = quorum(vec![&first, &second], 2);
    let mut now = case();
    for (name, missing) in [
        ("amy", "1 approval of `a` and 2 approvals of `b`"),
        ("cy", "2 approvals of `b`"),
        ("bo", "1 approval of `b`"),
    ] {
        now = voted(&now, name, Answer::Approve, &quorum, 1).unwrap().0;
        assert_eq!(quorum.missing(&now.votes), missing);
        assert_eq!(now.grant, None);
    }
    now = voted(&now, "dee", Answer::Approve, &quorum, 2).unwrap().0;
    assert_eq!(now.grant.unwrap().approved_by, ["amy", "cy", "bo", "dee"]);
}

#[test]
fn a_vote_counts_no_longer_when_its_giver_left_the_group() {
    let before = group("g", &["amy", "bo", "cy"]);
    let after = group("g", &["bo", "cy"]);
    let of = |group| quorum(vec![group], 2);
    let now = voted(&case(), "amy", Answer::Approve, &of(&before), 1)
        .unwrap()
        .0;
    let now = voted(&now, "bo", Answer::Approve, &of(&after), 2)
        .unwrap()
        .0;
    assert_eq!(now.grant, None);
    let now = voted(&now, "cy", Answer::Approve, &of(&after), 3)
        .unwrap()
        .0;
    assert!(now.grant.is_some());
}

#[test]
fn the_requester_a_stranger_and_a_second_vote_are_refused() {
    let group = group("g", &["ann", "ANN", "amy", "bo"]);
    let quorum = quorum(vec![&group], 2);
    let refusal = |case: &Case, by: &str| {
        let refused = voted(case, by, Answer::Approve, &quorum, 1);
        refused.unwrap_err().to_string()
    };
    let own = "nobody can decide an own request: another member of `g` has to";
    assert_eq!(refusal(&case(), "ANN"), own);
    let same_name = Event::Voted {
        by: &person("another-key", "aNN"),
        answer: Answer::Deny,
        comment: None,
        narrowing: Narrowing::default(),
        rules: rules(&quorum),
    };
    assert_eq!(
        apply(&case(), same_name, at(1)).unwrap_err().to_string(),
        own
    );
    assert_eq!(refusal(&case(), "zoe"), "only a member of `g` may do this");
    let once = voted(&case(), "amy", Answer::Approve, &quorum, 1)
        .unwrap()
        .0;
    assert_eq!(
        refusal(&once, "AMY"),
        "you have answered this request already (approved); it still needs 1 approval of `g`"
    );
}

#[test]
fn what_is_decided_stays_decided() {
    let group = group("g", &["amy", "bo"]);
    let quorum = quorum(vec![&group], 1);
    let denied = voted(&case(), "amy", Answer::Deny, &quorum, 1).unwrap().0;
    assert_eq!(denied.request.state, RequestState::Denied);
    let late = voted(&denied, "bo", Answer::Approve, &quorum, 2).unwrap_err();
    assert_eq!(late.to_string(), "the request is denied already by amy");
    assert!(apply(&denied, Event::Lapsed, at(10_000)).is_err());
    let waived = Event::Waived {
        rules: rules(&quorum),
    };
    assert!(apply(&denied, waived, at(2)).is_err());
}

#[test]
fn a_request_lapses_after_a_day_and_can_then_not_be_approved() {
    let group = group("g", &["amy"]);
    let quorum = quorum(vec![&group], 1);
    let day = 24 * 60;
    assert!(apply(&case(), Event::Lapsed, at(day - 1)).is_err());
    assert!(voted(&case(), "amy", Answer::Approve, &quorum, day - 1).is_ok());
    let late = voted(&case(), "amy", Answer::Approve, &quorum, day).unwrap_err();
    assert_eq!(
        late.to_string(),
        "the request expired at 1970-01-02 00:00:00 UTC: it was not decided within 24 hours; it has to be filed again"
    );
    let lapsed = apply(&case(), Event::Lapsed, at(day)).unwrap().0;
    assert_eq!(lapsed.request.state, RequestState::Expired);
    assert!(apply(&lapsed, Event::Lapsed, at(day)).is_err());
}

#[test]
fn a_person_gives_one_approval_to_whichever_group_needs_it() {
    let (first, second) = (group("a", &["amy", "bo"]), group("b", &["amy", "cy"]));
    let quorum = quorum(vec![&first, &second], 1);
    // Amy alone is not both groups, though she is in both.
    let now = voted(&case(), "amy", Answer::Approve, &quorum, 1)
        .unwrap()
        .0;
    assert_eq!(now.grant, None);
    assert_eq!(quorum.missing(&now.votes), "1 approval of `b`");
    // Bo is only in the first, so Amy moves to the second: nobody is asked for more than that.
    let now = voted(&now, "bo", Answer::Approve, &quorum, 2).unwrap().0;
    assert!(now.grant.is_some());
}

#[test]
fn accounts_of_one_person_are_one_person() {
    let file = PolicyFile {
        path: "p.toml".to_owned(),
        text: "[[person]]\nname = \"Ann\"\naccounts = [\"ann\", \"adm-ann\"]\n\
            [[person]]\nname = \"Bo\"\naccounts = [\"bo\", \"adm-bo\"]\n"
            .to_owned(),
    };
    let set = PolicySet::load(&[file], &[], None, &Interner::default()).unwrap();
    let group = group("g", &["adm-ann", "bo", "adm-bo", "cy"]);
    let known = Quorum::new(vec![&group], 2, People::of(&set));
    let own = voted(&case(), "adm-ann", Answer::Approve, &known, 1).unwrap_err();
    assert!(
        matches!(own, InvalidTransition::OwnRequest { .. }),
        "{own:?}"
    );
    let once = voted(&case(), "bo", Answer::Approve, &known, 1).unwrap().0;
    let twice = voted(&once, "adm-bo", Answer::Approve, &known, 2).unwrap_err();
    assert!(
        matches!(twice, InvalidTransition::AlreadyAnswered { .. }),
        "{twice:?}"
    );

    // What was voted before the two accounts were known as one counts once from then on.
    let stranger = Quorum::new(vec![&group], 3, People::default());
    let both = voted(&once, "adm-bo", Answer::Approve, &stranger, 2)
        .unwrap()
        .0;
    assert_eq!(known.missing(&both.votes), "1 approval of `g`");
    let done = voted(&both, "cy", Answer::Approve, &known, 3).unwrap().0;
    assert!(done.grant.is_some());
}

#[test]
fn a_comment_is_given_where_the_policy_asks_for_one() {
    let group = group("g", &["amy"]);
    let quorum = quorum(vec![&group], 1);
    for answer in [Answer::Approve, Answer::Deny] {
        for (comment, is_fine) in [(None, false), (Some("so be it".to_owned()), true)] {
            let event = Event::Voted {
                by: &person("amy", "Amy"),
                answer,
                comment,
                narrowing: Narrowing::default(),
                rules: Rules {
                    comment: Comment::Required,
                    ..rules(&quorum)
                },
            };
            assert_eq!(apply(&case(), event, at(1)).is_ok(), is_fine);
        }
    }
}
