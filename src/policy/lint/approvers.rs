//! Whether the approver groups can give what a policy asks of them, to everybody who may ask.
//!
//! Each person gives one approval, in one group: whoever is in two counts in the one where it helps. Who is in a claim's group
//! only tokens tell, so policies with such groups are passed over.

use std::collections::HashMap;

use super::super::{Approval, Group, Policy, PolicyProblem, PolicySet};
use super::{listed, place_of, warning};

/// How many people are looked at one by one.
const MAX_PEOPLE: usize = 500;

/// The most approvals that are reckoned with.
const MAX_SEATS: usize = 500;

pub(super) fn lint(set: &PolicySet, warnings: &mut Vec<PolicyProblem>) {
    for policy in set.policies() {
        if policy.approval != Approval::Manual {
            continue;
        }
        let groups: Vec<&Group> = policy.approver_groups(set).collect();
        if groups.iter().all(|it| it.claim.is_none()) {
            lint_one(policy, &groups, set, warnings);
        }
    }
}

fn lint_one(
    policy: &Policy,
    groups: &[&Group],
    set: &PolicySet,
    warnings: &mut Vec<PolicyProblem>,
) {
    let room = Room::new(policy, groups, set);
    if room.people.len() > MAX_PEOPLE || room.seats.len() > MAX_SEATS {
        return;
    }
    let names: Vec<String> = groups.iter().map(|it| it.name.clone()).collect();
    if !room.fills(None) {
        let message = format!(
            "no request under policy `{}` can ever be approved: it takes {} different people in {}, and {}",
            policy.scope.text,
            room.seats.len(),
            listed(&names),
            match room.people.len() {
                1 => "there is 1".to_owned(),
                count => format!("there are {count} in all"),
            }
        );
        let hint = "add members, or ask for fewer approvals; [[person]] makes accounts one person";
        warnings.push(warning(place_of(policy), message, hint));
        return;
    }
    let requesters: Vec<&Group> = policy
        .requesters
        .iter()
        .filter_map(|it| set.group(it))
        .collect();
    let may_ask = |person: &Seated| {
        requesters.is_empty()
            || requesters.iter().any(|group| {
                group.claim.is_some() || group.members.iter().any(|it| person.is(it, set))
            })
    };
    let stuck: Vec<String> = (0..room.people.len())
        .filter(|person| !room.fills(Some(*person)))
        .filter_map(|person| room.people.get(person))
        .filter(|person| may_ask(person))
        .map(|person| person.name.clone())
        .collect();
    if !stuck.is_empty() {
        let message = format!(
            "requests of {} under policy `{}` can never be approved: nobody approves an own request, and without them there are too few in {}",
            listed(&stuck),
            policy.scope.text,
            listed(&names)
        );
        warnings.push(warning(
            place_of(policy),
            message,
            "add members, or ask for fewer approvals",
        ));
    }
}

/// Somebody who approves: a person, or an account that is no other person's.
struct Seated {
    name: String,
    is_person: bool,
}

impl Seated {
    /// All accounts of a person are that person.
    fn of(account: &str, set: &PolicySet) -> Self {
        let person = set.person(account, account);
        Self {
            name: person.map_or_else(|| account.to_owned(), |it| it.name.clone()),
            is_person: person.is_some(),
        }
    }

    fn is(&self, account: &str, set: &PolicySet) -> bool {
        let other = Self::of(account, set);
        self.is_person == other.is_person && self.name.eq_ignore_ascii_case(&other.name)
    }
}

/// People, and the seats that they have to fill: for each group as many as there are approvals.
struct Room {
    people: Vec<Seated>,
    /// By seat, who may take it.
    seats: Vec<Vec<usize>>,
}

impl Room {
    fn new(policy: &Policy, groups: &[&Group], set: &PolicySet) -> Self {
        let mut numbers: HashMap<(bool, String), usize> = HashMap::new();
        let mut people: Vec<Seated> = Vec::new();
        let mut seats = Vec::new();
        for group in groups {
            let members: Vec<usize> = group
                .members
                .iter()
                .map(|account| {
                    let seated = Seated::of(account, set);
                    let key = (seated.is_person, seated.name.to_ascii_lowercase());
                    *numbers.entry(key).or_insert_with(|| {
                        people.push(seated);
                        people.len() - 1
                    })
                })
                .collect();
            for _ in 0..policy.approvals {
                seats.push(members.clone());
            }
        }
        Self { people, seats }
    }

    /// Whether all seats can be taken, each by another person, without `absent`.
    fn fills(&self, absent: Option<usize>) -> bool {
        let mut taken: Vec<Option<usize>> = vec![None; self.people.len()];
        (0..self.seats.len()).all(|seat| {
            let mut asked = vec![false; self.people.len()];
            if let Some(asked) = absent.and_then(|it| asked.get_mut(it)) {
                *asked = true;
            }
            self.seat(seat, &mut asked, &mut taken)
        })
    }

    /// Finds somebody for a seat, moving those who sit already to other seats where that helps. As deep as there are seats.
    fn seat(&self, seat: usize, asked: &mut [bool], taken: &mut [Option<usize>]) -> bool {
        let members = self.seats.get(seat).map_or(&[][..], Vec::as_slice);
        for person in members {
            match asked.get_mut(*person) {
                Some(asked) if !*asked => *asked = true,
                Some(_) | None => continue,
            }
            let sits = taken.get(*person).copied().flatten();
            if sits.is_none_or(|other| self.seat(other, asked, taken)) {
                if let Some(taken) = taken.get_mut(*person) {
                    *taken = Some(seat);
                }
                return true;
            }
        }
        false
    }
}
