//! Whose approvals a policy asks for, and whether they were given.

use std::fmt;

use crate::model::{Answer, Principal, Vote, is_account};
use crate::policy::{Group, Policy, PolicySet};

/// Who is the same person as who: by key, by name in any case, or because a policy file says so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct People<'a>(Option<&'a PolicySet>);

impl<'a> People<'a> {
    /// As `policies` have them.
    pub(crate) fn of(policies: &'a PolicySet) -> Self {
        Self(Some(policies))
    }

    /// Whether the account with this key and name is `person`'s.
    pub(crate) fn is_same(self, person: &Principal, key: &str, name: &str) -> bool {
        same_account((&person.key, &person.name), (key, name))
            || self
                .0
                .is_some_and(|it| it.is_same_person(person, key, name))
    }
}

fn same_account(one: (&str, &str), two: (&str, &str)) -> bool {
    one.0 == two.0 || one.1.to_lowercase() == two.1.to_lowercase()
}

/// The approver groups of a policy, as they are now. Each gives its own share, and a person who is in several of them gives
/// an approval to one: to whichever needs it, so that a quorum is reached whenever the people who said yes can be seated so.
///
/// A quorum without groups is never reached, and nobody is in it.
#[derive(Clone, Debug)]
pub(crate) struct Quorum<'a> {
    groups: Vec<&'a Group>,
    /// How many approvals of each group.
    approvals: usize,
    people: People<'a>,
}

impl<'a> Quorum<'a> {
    /// That of `policy`. A group that does not exist makes a quorum that is never reached.
    pub(crate) fn of(policy: &Policy, policies: &'a PolicySet) -> Self {
        let groups = policy.approvers.iter().map(|name| policies.group(name));
        Self::new(
            groups.collect::<Option<_>>().unwrap_or_default(),
            policy.approvals,
            People::of(policies),
        )
    }

    /// That of a policy that does not exist any more.
    pub(crate) fn nobody(policies: &'a PolicySet) -> Self {
        Self::new(Vec::new(), 1, People::of(policies))
    }

    /// So many approvals of each of `groups`.
    pub(crate) fn new(groups: Vec<&'a Group>, approvals: u32, people: People<'a>) -> Self {
        Self {
            groups,
            approvals: usize::try_from(approvals.max(1)).unwrap_or(usize::MAX),
            people,
        }
    }

    pub(crate) fn people(&self) -> People<'a> {
        self.people
    }

    /// The names of the groups that `principal` is a member of.
    pub(crate) fn groups_of(&self, principal: &Principal) -> Vec<String> {
        let groups = self.groups.iter().filter(|it| it.has(principal));
        groups.map(|it| it.name.clone()).collect()
    }

    /// Whether each group gave its share.
    pub(crate) fn is_reached(&self, votes: &[Vote]) -> bool {
        let seated = self.seated(votes);
        !seated.is_empty() && seated.iter().all(|given| *given >= self.approvals)
    }

    /// What is missing, such as ``1 approval of `mbmanagers` ``.
    pub(crate) fn missing(&self, votes: &[Vote]) -> String {
        let shares: Vec<String> = self
            .groups
            .iter()
            .zip(self.seated(votes))
            .filter_map(|(group, given)| {
                let missing = self.approvals.saturating_sub(given);
                let plural = if missing == 1 { "" } else { "s" };
                (missing > 0).then(|| format!("{missing} approval{plural} of `{}`", group.name))
            })
            .collect();
        if shares.is_empty() {
            "nothing".to_owned()
        } else {
            shares.join(" and ")
        }
    }

    /// How many approvals each group has, with people seated so that as many seats as can be are taken.
    fn seated(&self, votes: &[Vote]) -> Vec<usize> {
        let mut counted: Vec<&Vote> = Vec::new();
        let approvals = votes.iter().filter(|it| it.answer == Answer::Approve);
        for vote in approvals {
            // Two accounts may have become known as one person's only after both voted.
            if !counted.iter().any(|it| self.is_same_voter(it, vote)) {
                counted.push(vote);
            }
        }
        let eligible = counted
            .iter()
            .map(|vote| {
                let groups = self.groups.iter().enumerate();
                let counts = groups.filter(|(_, group)| counts_for(vote, group));
                counts.map(|(index, _)| index).collect()
            })
            .collect();
        let mut seating = Seating {
            eligible,
            seats: vec![Vec::new(); self.groups.len()],
            room: self.approvals,
        };
        for voter in 0..counted.len() {
            seating.seat(voter, &mut vec![false; self.groups.len()]);
        }
        seating.seats.iter().map(Vec::len).collect()
    }

    fn is_same_voter(&self, one: &Vote, two: &Vote) -> bool {
        let account = |vote: &Vote| (vote.approver_key.clone(), vote.approver_name.clone());
        let ((one_key, one_name), (two_key, two_name)) = (account(one), account(two));
        same_account((&one_key, &one_name), (&two_key, &two_name))
            || self
                .people
                .0
                .is_some_and(|it| it.are_same_person((&one_key, &one_name), (&two_key, &two_name)))
    }
}

/// A vote counts for a group if its giver was a member when it was given, and is still, as far as that can be told without
/// the giver's credential.
fn counts_for(vote: &Vote, group: &Group) -> bool {
    let was_member = vote
        .groups
        .iter()
        .any(|it| it.eq_ignore_ascii_case(&group.name));
    let is_listed = || {
        let is_giver = |it: &String| is_account(it, &vote.approver_key, &vote.approver_name);
        group.members.iter().any(is_giver)
    };
    was_member && (group.claim.is_some() || is_listed())
}

/// People on the seats of groups, by their numbers. Who comes takes a free seat, or has somebody move to another group.
struct Seating {
    /// The groups in which each person may sit.
    eligible: Vec<Vec<usize>>,
    /// Who sits in each group.
    seats: Vec<Vec<usize>>,
    /// Seats in each group.
    room: usize,
}

impl Seating {
    /// Seats `person`, without asking the groups that were `asked` already; whether that was possible. It goes as deep as
    /// there are groups.
    fn seat(&mut self, person: usize, asked: &mut [bool]) -> bool {
        let groups = self.eligible.get(person).cloned().unwrap_or_default();
        for group in groups {
            match asked.get_mut(group) {
                Some(asked) if !*asked => *asked = true,
                _ => continue,
            }
            let sitting = self.seats.get(group).cloned().unwrap_or_default();
            let free = if sitting.len() < self.room {
                Some(sitting.len())
            } else {
                sitting.iter().position(|other| self.seat(*other, asked))
            };
            if let (Some(place), Some(seats)) = (free, self.seats.get_mut(group)) {
                match seats.get_mut(place) {
                    Some(seat) => *seat = person,
                    None => seats.push(person),
                }
                return true;
            }
        }
        false
    }
}

impl fmt::Display for Quorum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups.is_empty() {
            return f.write_str("an approver group (the policy has none)");
        }
        for (index, group) in self.groups.iter().enumerate() {
            let before = if index == 0 { "" } else { " or " };
            write!(f, "{before}`{}`", group.name)?;
        }
        Ok(())
    }
}
