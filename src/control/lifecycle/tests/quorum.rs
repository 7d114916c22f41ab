//! However events come: no grant without its quorum.

use super::*;

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
