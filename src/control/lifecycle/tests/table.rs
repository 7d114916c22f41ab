//! Each state and each event, as a table.

use super::*;

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
