use proptest::prelude::*;

use crate::model::{PrincipalId, PrincipalKind};
use crate::policy::{Group, Place};

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
    }
}

fn terms<'a>(quorum: &'a Quorum<'a>) -> Terms<'a> {
    Terms {
        quorum,
        longest: None,
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
        terms: terms(quorum),
    };
    apply(case, event, at(minute))
}

#[test]
fn one_approval_makes_a_grant_that_starts_at_once() {
    let group = group("g", &["amy"]);
    let quorum = Quorum::new(vec![&group], 1);
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
    let quorum = Quorum::new(vec![&first, &second], 2);
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
    let of = |group| Quorum::new(vec![group], 2);
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
    let quorum = Quorum::new(vec![&group], 2);
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
        terms: terms(&quorum),
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
    let quorum = Quorum::new(vec![&group], 1);
    let denied = voted(&case(), "amy", Answer::Deny, &quorum, 1).unwrap().0;
    assert_eq!(denied.request.state, RequestState::Denied);
    let late = voted(&denied, "bo", Answer::Approve, &quorum, 2).unwrap_err();
    assert_eq!(late.to_string(), "the request is denied already by amy");
    assert!(apply(&denied, Event::Lapsed, at(10_000)).is_err());
    let waived = Event::Waived {
        terms: terms(&quorum),
    };
    assert!(apply(&denied, waived, at(2)).is_err());
}

#[test]
fn a_request_lapses_after_a_day_and_can_then_not_be_approved() {
    let group = group("g", &["amy"]);
    let quorum = Quorum::new(vec![&group], 1);
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
    let quorum = Quorum::new(vec![&group], 1);
    let event = Event::Waived {
        terms: Terms {
            longest: Some(Duration::hours(1)),
            ..terms(&quorum)
        },
    };
    let grant = apply(&case(), event, at(0)).unwrap().0.grant.unwrap();
    assert_eq!(grant.ends, at(60));
    assert_eq!(grant.approved_by, ["policy"]);
}

#[test]
fn an_approver_revokes_a_running_grant_once() {
    let group = group("g", &["amy"]);
    let quorum = Quorum::new(vec![&group], 1);
    let approved = voted(&case(), "amy", Answer::Approve, &quorum, 0)
        .unwrap()
        .0;
    let revoke = |case: &Case, by: &str, minute| {
        let event = Event::Revoked {
            by: &person(by, by),
            quorum: &quorum,
            comment: Some("enough".to_owned()),
        };
        apply(case, event, at(minute))
    };
    assert!(revoke(&approved, "ann", 1).is_err());
    assert!(revoke(&case(), "amy", 1).is_err());
    assert!(revoke(&approved, "amy", 240).is_err());
    let revoked = revoke(&approved, "amy", 239).unwrap().0;
    let again = revoke(&revoked, "amy", 239).unwrap_err().to_string();
    assert_eq!(again, "the grant is revoked already");
    assert!(apply(&revoked, Event::Ended, at(240)).is_err());
    assert!(apply(&approved, Event::Ended, at(239)).is_err());
    assert!(apply(&approved, Event::Ended, at(240)).is_ok());
}

const PEOPLE: [(&str, &str); 6] = [
    ("ann", "Ann"),
    ("ann-2", "ANN"),
    ("amy", "Amy"),
    ("bo", "Bo"),
    ("bo-2", "bO"),
    ("cy", "Cy"),
];

proptest! {
    /// Whatever people and the clock do, a grant comes only of a full quorum of others, and no state is left that is final.
    #[test]
    fn no_path_leads_to_a_grant_without_its_quorum(
        approvals in 1..3_u32,
        first in prop::collection::vec(0..6_usize, 0..6),
        second in prop::collection::vec(0..6_usize, 0..6),
        steps in prop::collection::vec((0..8_u8, 0..6_usize, 0..600_i64), 1..20),
    ) {
        let members = |numbers: &[usize]| numbers.iter().map(|it| PEOPLE[*it].1).collect::<Vec<_>>();
        let groups = [group("a", &members(&first)), group("b", &members(&second))];
        let quorum = Quorum::new(groups.iter().collect(), approvals);
        let mut now = case();
        let mut minute = 0;
        for (step, who, passed) in steps {
            minute += passed;
            let by = person(PEOPLE[who].0, PEOPLE[who].1);
            let answer = if step == 0 { Answer::Deny } else { Answer::Approve };
            let event = match step {
                0..=4 => Event::Voted { by: &by, answer, comment: None, terms: terms(&quorum) },
                5 => Event::Lapsed,
                6 => Event::Revoked { by: &by, quorum: &quorum, comment: None },
                _ => Event::Ended,
            };
            let Ok((next, effects)) = apply(&now, event, at(minute)) else { continue };
            prop_assert!(!effects.is_empty());
            if now.request.state != RequestState::Pending {
                prop_assert_eq!(&now.request, &next.request);
                prop_assert_eq!(&now.votes, &next.votes);
            }
            prop_assert!(now.grant.as_ref().is_none_or(|it| it.revoked.is_none()) || now == next);
            now = next;
            let voters: Vec<_> = now.votes.iter().map(|it| it.approver_name.to_lowercase()).collect();
            let distinct: std::collections::BTreeSet<_> = voters.iter().collect();
            prop_assert_eq!(distinct.len(), voters.len());
            prop_assert!(!voters.contains(&"ann".to_owned()));
            if let Some(grant) = &now.grant {
                prop_assert_eq!(now.request.state, RequestState::Approved);
                prop_assert!(grant.starts < now.request.expires);
                for group in &groups {
                    let yes = now.votes.iter().filter(|vote| {
                        vote.answer == Answer::Approve
                            && group.members.iter().any(|it| it.eq_ignore_ascii_case(&vote.approver_name))
                    });
                    prop_assert!(yes.count() >= approvals as usize);
                }
                prop_assert!(now.votes.iter().all(|it| it.answer == Answer::Approve));
            }
        }
    }
}
