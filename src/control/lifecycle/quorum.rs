//! Whose approvals a policy asks for, and whether they were given.

use std::fmt;

use crate::model::{Answer, Principal, Vote};
use crate::policy::{Group, Policy, PolicySet};

/// The approver groups of a policy, as they are now. Each gives its own share; a person who is in two of them counts in both.
///
/// A quorum without groups is never reached, and nobody is in it.
#[derive(Clone, Debug)]
pub(crate) struct Quorum<'a> {
    groups: Vec<&'a Group>,
    /// How many approvals of each group.
    approvals: usize,
}

impl<'a> Quorum<'a> {
    /// That of `policy`. A group that does not exist makes a quorum that is never reached.
    pub(crate) fn of(policy: &Policy, policies: &'a PolicySet) -> Self {
        let groups = policy.approvers.iter().map(|name| policies.group(name));
        Self::new(
            groups.collect::<Option<_>>().unwrap_or_default(),
            policy.approvals,
        )
    }

    /// So many approvals of each of `groups`.
    pub(crate) fn new(groups: Vec<&'a Group>, approvals: u32) -> Self {
        Self {
            groups,
            approvals: usize::try_from(approvals.max(1)).unwrap_or(usize::MAX),
        }
    }

    /// The names of the groups that `principal` is a member of.
    pub(crate) fn groups_of(&self, principal: &Principal) -> Vec<String> {
        let groups = self.groups.iter().filter(|it| it.has(principal));
        groups.map(|it| it.name.clone()).collect()
    }

    /// Whether each group gave its share.
    pub(crate) fn is_reached(&self, votes: &[Vote]) -> bool {
        !self.groups.is_empty()
            && self
                .groups
                .iter()
                .all(|group| given(group, votes) >= self.approvals)
    }

    /// What is missing, such as ``1 approval of `mbmanagers` ``.
    pub(crate) fn missing(&self, votes: &[Vote]) -> String {
        let shares: Vec<String> = self
            .groups
            .iter()
            .filter_map(|group| {
                let missing = self.approvals.saturating_sub(given(group, votes));
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
}

/// How many approvals of `group` there are. A vote counts if its giver was a member when it was given, and is still, as far
/// as that can be told without the giver's credential.
fn given(group: &Group, votes: &[Vote]) -> usize {
    let is_listed = |vote: &Vote| {
        group.members.iter().any(|member| {
            member.eq_ignore_ascii_case(&vote.approver_name)
                || member.eq_ignore_ascii_case(&vote.approver_key)
        })
    };
    votes
        .iter()
        .filter(|vote| vote.answer == Answer::Approve)
        .filter(|vote| {
            vote.groups
                .iter()
                .any(|it| it.eq_ignore_ascii_case(&group.name))
        })
        .filter(|vote| is_listed(vote) || group.claim.is_some())
        .count()
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
