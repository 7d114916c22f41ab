//! What happens to a grant: its uses, its end, and the review of one that was taken by break-glass.

use chrono::{DateTime, Utc};

use crate::model::{Closing, Grant, GrantState, HowClosed, Principal, Review};

use super::granting::still_in_force;
use super::{Authority, Case, Effect, InvalidTransition, People};

pub(super) fn revoke(
    case: &mut Case,
    by: &Principal,
    authority: Authority<'_>,
    comment: Option<String>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    authority.check(by)?;
    close(grant(case)?, HowClosed::Revoked, by, comment, now)
}

pub(super) fn end(
    case: &mut Case,
    by: &Principal,
    people: People<'_>,
    comment: Option<String>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    let grant = grant(case)?;
    if !people.is_same(by, &grant.principal_key, &grant.principal_name) {
        let holder = grant.principal_name.clone();
        return Err(InvalidTransition::NotHolder { holder });
    }
    close(grant, HowClosed::Ended, by, comment, now)
}

fn close(
    grant: &mut Grant,
    how: HowClosed,
    by: &Principal,
    comment: Option<String>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    still_in_force(grant, now)?;
    grant.closed = Some(Closing {
        how,
        at: now,
        by: by.name.clone(),
        comment,
    });
    Ok(vec![Effect::GrantClosed(grant.clone())])
}

/// Takes one use; the last one closes the grant.
pub(super) fn take_use(
    case: &mut Case,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    let grant = grant(case)?;
    still_in_force(grant, now)?;
    if now < grant.starts {
        let starts = grant.starts;
        return Err(InvalidTransition::NotStarted { starts });
    }
    grant.used = grant.used.saturating_add(1);
    if grant.uses_left() != Some(0) {
        return Ok(vec![Effect::GrantUsed(grant.clone())]);
    }
    grant.closed = Some(Closing {
        how: HowClosed::UsedUp,
        at: now,
        by: grant.principal_name.clone(),
        comment: None,
    });
    Ok(vec![Effect::GrantClosed(grant.clone())])
}

pub(super) fn expire(case: &Case, now: DateTime<Utc>) -> Result<Vec<Effect>, InvalidTransition> {
    let state = case.request.state;
    let grant = case
        .grant
        .as_ref()
        .ok_or(InvalidTransition::NoGrant { state })?;
    match grant.state(now) {
        GrantState::Expired => Ok(vec![Effect::GrantExpired(grant.clone())]),
        GrantState::Active | GrantState::Scheduled => {
            Err(InvalidTransition::NotDue { due: grant.ends })
        }
        GrantState::Ended | GrantState::Revoked | GrantState::UsedUp => {
            still_in_force(grant, now).map(|()| Vec::new())
        }
    }
}

/// A look at a grant that its holder took alone; also after it is over, and only once.
pub(super) fn review(
    case: &mut Case,
    by: &Principal,
    authority: Authority<'_>,
    comment: Option<String>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    authority.check(by)?;
    let grant = grant(case)?;
    if !grant.break_glass {
        return Err(InvalidTransition::NotBreakGlass);
    }
    let people = authority.quorum.people();
    if people.is_same(by, &grant.principal_key, &grant.principal_name) {
        let groups = authority.quorum.to_string();
        return Err(InvalidTransition::OwnReview { groups });
    }
    if let Some(review) = &grant.reviewed {
        let by = review.by.clone();
        return Err(InvalidTransition::AlreadyReviewed { by });
    }
    grant.reviewed = Some(Review {
        at: now,
        by: by.name.clone(),
        comment,
    });
    Ok(vec![Effect::GrantReviewed(grant.clone())])
}

impl Authority<'_> {
    /// Refuses who is neither an approver of the policy nor an operator.
    fn check(&self, by: &Principal) -> Result<(), InvalidTransition> {
        let is_approver = !self.quorum.groups_of(by).is_empty();
        if is_approver || self.operators.is_some_and(|it| it.has(by)) {
            return Ok(());
        }
        let mut groups = self.quorum.to_string();
        if let Some(operators) = self.operators {
            groups = format!("{groups} or `{}` (the operators)", operators.name);
        }
        Err(InvalidTransition::NotApprover { groups })
    }
}

fn grant(case: &mut Case) -> Result<&mut Grant, InvalidTransition> {
    let state = case.request.state;
    case.grant
        .as_mut()
        .ok_or(InvalidTransition::NoGrant { state })
}
