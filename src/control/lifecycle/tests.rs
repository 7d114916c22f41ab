use std::fmt::Write as _;

use proptest::prelude::*;

use crate::model::{
    Bound, GrantState, HowClosed, Interner, Pin, Pinned, Pins, PrincipalId, PrincipalKind,
    RequestState,
};
use crate::policy::{Place, PolicyFile, PolicySet};

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::minutes(minute)
}

fn person(key: &str, name: &str) -> Principal {
    Principal {
        kind: PrincipalKind::User,
        key: key.to_owned(),
        id: PrincipalId(0),
        name: name.to_owned(),
        groups: Vec::new(),
        tenant: None,
        identity: "test".to_owned(),
    }
}

fn group(name: &str, members: &[&str]) -> Group {
    Group {
        name: name.to_owned(),
        email: None,
        members: members.iter().map(|it| (*it).to_owned()).collect(),
        claim: None,
        place: Place {
            file: "p.toml".to_owned(),
            line: 1,
        },
    }
}

fn case() -> Case {
    Case {
        request: Request {
            id: Uuid::from_u128(1),
            principal_key: "ann".to_owned(),
            principal_name: "Ann".to_owned(),
            policy: r"exchange\remove-*".to_owned(),
            task: None,
            reason: "r".to_owned(),
            context: Vec::new(),
            external_identity: None,
            duration: Duration::hours(4),
            pins: Pins::default(),
            starts: None,
            uses: None,
            extends: None,
            break_glass: false,
            state: RequestState::Pending,
            created: at(0),
            expires: at(0) + PENDING_FOR,
            decided: None,
            decided_by: None,
            comment: None,
            version: 0,
        },
        votes: Vec::new(),
        grant: None,
        extended: None,
    }
}

fn quorum(groups: Vec<&Group>, approvals: u32) -> Quorum<'_> {
    Quorum::new(groups, approvals, People::default())
}

fn rules<'a>(quorum: &'a Quorum<'a>) -> Rules<'a> {
    Rules {
        quorum,
        longest: Duration::hours(4_320),
        most_uses: None,
        comment: Comment::Optional,
        grant: Uuid::from_u128(2),
    }
}

fn voted(
    case: &Case,
    by: &str,
    answer: Answer,
    quorum: &Quorum<'_>,
    minute: i64,
) -> Result<(Case, Vec<Effect>), InvalidTransition> {
    let event = Event::Voted {
        by: &person(&by.to_lowercase(), by),
        answer,
        comment: None,
        narrowing: Narrowing::default(),
        rules: rules(quorum),
    };
    apply(case, event, at(minute))
}

fn narrowed(
    case: &Case,
    by: &str,
    narrowing: &Narrowing,
    quorum: &Quorum<'_>,
) -> Result<Case, InvalidTransition> {
    let event = Event::Voted {
        by: &person(by, by),
        answer: Answer::Approve,
        comment: None,
        narrowing: narrowing.clone(),
        rules: rules(quorum),
    };
    apply(case, event, at(1)).map(|it| it.0)
}

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

/// Every state with every event, each by somebody who may as far as the person goes.
#[test]
fn states_and_events_as_a_table() {
    let (group, fire) = (group("approvers", &["amy", "bo"]), group("fire", &["ann"]));
    let quorum = quorum(vec![&group], 1);
    let (ann, amy, bo) = (
        person("ann", "ann"),
        person("amy", "amy"),
        person("bo", "bo"),
    );
    let authority = Authority {
        quorum: &quorum,
        operators: None,
    };
    let people = People::default();
    let fires = [&fire];
    let events = || {
        let vote = |answer| Event::Voted {
            by: &bo,
            answer,
            comment: None,
            narrowing: Narrowing::default(),
            rules: rules(&quorum),
        };
        vec![
            ("approve", vote(Answer::Approve)),
            ("deny", vote(Answer::Deny)),
            (
                "withdraw",
                Event::Withdrawn {
                    by: &ann,
                    people,
                    comment: None,
                },
            ),
            (
                "waive",
                Event::Waived {
                    rules: rules(&quorum),
                },
            ),
            (
                "break glass",
                Event::BrokenGlass {
                    by: &ann,
                    groups: &fires,
                    rules: rules(&quorum),
                },
            ),
            ("lapse", Event::Lapsed),
            ("use", Event::Used),
            (
                "end",
                Event::Ended {
                    by: &ann,
                    people,
                    comment: None,
                },
            ),
            (
                "revoke",
                Event::Revoked {
                    by: &bo,
                    authority,
                    comment: None,
                },
            ),
            ("expire", Event::Expired),
            (
                "review",
                Event::Reviewed {
                    by: &bo,
                    authority,
                    comment: None,
                },
            ),
        ]
    };
    let after = |case: &Case, event, minute| apply(case, event, at(minute)).unwrap().0;
    let mut single = case();
    single.request.uses = Some(1);
    let mut later = case();
    later.request.starts = Some(at(60));
    let approved = |case: &Case| voted(case, "amy", Answer::Approve, &quorum, 1).unwrap().0;
    let active = approved(&case());
    let revoke = Event::Revoked {
        by: &amy,
        authority,
        comment: None,
    };
    let end = Event::Ended {
        by: &ann,
        people,
        comment: None,
    };
    let withdraw = Event::Withdrawn {
        by: &ann,
        people,
        comment: None,
    };
    let broken = Event::BrokenGlass {
        by: &ann,
        groups: &fires,
        rules: rules(&quorum),
    };
    let states = [
        ("pending", case(), 10),
        ("pending, a day old", case(), 24 * 60),
        (
            "denied",
            voted(&case(), "amy", Answer::Deny, &quorum, 1).unwrap().0,
            10,
        ),
        ("withdrawn", after(&case(), withdraw, 1), 10),
        (
            "lapsed",
            after(&case(), Event::Lapsed, 24 * 60),
            24 * 60 + 1,
        ),
        ("scheduled", approved(&later), 10),
        ("active", active.clone(), 10),
        ("active, one use", approved(&single), 10),
        ("used up", after(&approved(&single), Event::Used, 5), 10),
        ("revoked", after(&active, revoke, 5), 10),
        ("ended", after(&active, end, 5), 10),
        ("over by time", active, 500),
        ("break-glass", after(&case(), broken, 1), 10),
    ];
    let mut table = String::new();
    for (name, before, minute) in &states {
        for (what, event) in events() {
            let outcome = match apply(before, event, at(*minute)) {
                Ok((next, _)) => {
                    let grant = next.grant.map_or(String::new(), |it| {
                        let reviewed = if it.reviewed.is_some() {
                            ", reviewed"
                        } else {
                            ""
                        };
                        format!(", grant {}{reviewed}", it.state(at(*minute)).as_str())
                    });
                    format!("{}{grant}", next.request.state.as_str())
                }
                Err(why) => format!("– {why}"),
            };
            writeln!(table, "{name:<20} {what:<12} {outcome}").unwrap();
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

const PEOPLE: [(&str, &str); 6] = [
    ("ann", "Ann"),
    ("ann-2", "ANN"),
    ("amy", "Amy"),
    ("bo", "Bo"),
    ("bo-2", "bO"),
    ("cy", "Cy"),
];

/// Whether the groups can each be given `approvals` different people of `yes`, by trying all ways.
fn is_a_quorum(groups: &[Group], approvals: u32, yes: &[String]) -> bool {
    fn fill(seats: &[&Group], yes: &mut Vec<String>) -> bool {
        let Some((seat, rest)) = seats.split_first() else {
            return true;
        };
        (0..yes.len()).any(|index| {
            let person = yes.remove(index);
            let fits = seat
                .members
                .iter()
                .any(|it| it.eq_ignore_ascii_case(&person))
                && fill(rest, yes);
            yes.insert(index, person);
            fits
        })
    }
    let seats: Vec<&Group> = groups
        .iter()
        .flat_map(|it| std::iter::repeat_n(it, approvals as usize))
        .collect();
    fill(&seats, &mut yes.to_vec())
}

proptest! {
    /// Whatever people and the clock do, and however often the gateway starts anew in between, a grant comes only of a full
    /// quorum of others or is marked as break-glass, it holds for no more than was asked, and no state is left that is final.
    #[test]
    fn no_path_leads_to_a_grant_without_its_quorum(
        approvals in 1..3_u32,
        first in prop::collection::vec(0..6_usize, 0..6),
        second in prop::collection::vec(0..6_usize, 0..6),
        uses in prop::option::of(1..4_u32),
        start in prop::option::of(1..2_000_i64),
        steps in prop::collection::vec((0..14_u8, 0..6_usize, 0..600_i64, 0..6_i64), 1..24),
    ) {
        let members = |numbers: &[usize]| numbers.iter().map(|it| PEOPLE[*it].1).collect::<Vec<_>>();
        let groups = [group("a", &members(&first)), group("b", &members(&second))];
        let fire = group("fire", &["ann", "cy"]);
        let fires = [&fire];
        let quorum = quorum(groups.iter().collect(), approvals);
        let authority = Authority { quorum: &quorum, operators: None };
        let people = People::default();
        let mut now = case();
        now.request.uses = uses;
        now.request.starts = start.map(at);
        let asked = now.request.clone();
        let mut minute = 0;
        for (step, who, passed, hours) in steps {
            minute += passed;
            let by = person(PEOPLE[who].0, PEOPLE[who].1);
            let answer = if step == 0 { Answer::Deny } else { Answer::Approve };
            let narrowing = match hours {
                0 => Narrowing::default(),
                hours => Narrowing { duration: Some(Duration::hours(hours)), ..Narrowing::default() },
            };
            let comment = None;
            let event = match step {
                0..=5 => Event::Voted { by: &by, answer, comment, narrowing, rules: rules(&quorum) },
                6 => Event::Lapsed,
                7 => Event::Revoked { by: &by, authority, comment },
                8 => Event::Withdrawn { by: &by, people, comment },
                9 => Event::Ended { by: &by, people, comment },
                10 => Event::BrokenGlass { by: &by, groups: &fires, rules: rules(&quorum) },
                11 => Event::Reviewed { by: &by, authority, comment },
                12 => Event::Used,
                _ => Event::Expired,
            };
            let before = now.grant.as_ref().map(|it| it.state(at(minute)));
            let Ok((next, effects)) = apply(&now, event, at(minute)) else { continue };
            prop_assert!(!effects.is_empty());
            if now.request.state != RequestState::Pending {
                prop_assert_eq!(&now.request, &next.request);
                prop_assert_eq!(&now.votes, &next.votes);
            }
            let is_over = before.is_some_and(|it| !matches!(it, GrantState::Active | GrantState::Scheduled));
            if is_over {
                prop_assert_eq!(before, next.grant.as_ref().map(|it| it.state(at(minute))));
                prop_assert_eq!(now.grant.as_ref().map(|it| it.used), next.grant.as_ref().map(|it| it.used));
            }
            now = next;
            // What a restart keeps is all that counts: the case is read back as it was stored.
            now = Case { request: Request { version: now.request.version + 1, ..now.request }, ..now };
            let voters: Vec<_> = now.votes.iter().map(|it| it.approver_name.to_lowercase()).collect();
            let distinct: std::collections::BTreeSet<_> = voters.iter().collect();
            prop_assert_eq!(distinct.len(), voters.len());
            prop_assert!(!voters.contains(&"ann".to_owned()));
            if let Some(grant) = &now.grant {
                prop_assert_eq!(now.request.state, RequestState::Approved);
                prop_assert!(grant.created < now.request.expires);
                prop_assert!(grant.ends - grant.starts <= asked.duration);
                prop_assert!(asked.starts.is_none_or(|it| grant.starts >= it));
                prop_assert!(grant.starts >= grant.created);
                prop_assert!(grant.uses.unwrap_or(u32::MAX) <= asked.uses.unwrap_or(u32::MAX));
                prop_assert!(grant.used <= grant.uses.unwrap_or(u32::MAX));
                prop_assert!(grant.reviewed.is_none() || grant.break_glass);
                if grant.break_glass {
                    prop_assert_eq!(&grant.approved_by, &["break-glass"]);
                } else {
                    prop_assert!(is_a_quorum(&groups, approvals, &voters));
                    prop_assert!(now.votes.iter().all(|it| it.answer == Answer::Approve));
                }
            } else if now.request.state == RequestState::Pending {
                // Nor is anybody kept waiting who has all that is needed.
                let yes: Vec<_> = now.votes.iter().filter(|it| it.answer == Answer::Approve)
                    .map(|it| it.approver_name.to_lowercase()).collect();
                prop_assert!(yes.is_empty() || !is_a_quorum(&groups, approvals, &yes));
            }
        }
    }
}
