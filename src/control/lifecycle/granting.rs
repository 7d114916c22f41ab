//! What a grant holds for: what was asked, less what approvers and the policy take away.

use chrono::{DateTime, Duration, Utc};

use crate::model::{Answer, Grant, GrantState, HowClosed, Narrowing, Pins, RequestState, Task};

use super::refusal::shown;
use super::{Case, Effect, InvalidTransition, Rules};

/// What a grant that is made of a case would hold for. Narrowings add up: each approver's binds, also that of one who has
/// left the group since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// How long it lasts from its start; for an extension, how much longer than before.
    duration: Duration,
    /// When it starts at the earliest; `None`: as soon as it is approved.
    starts: Option<DateTime<Utc>>,
    /// How many commands it covers.
    uses: Option<u32>,
    /// What the commands' parameters must be.
    pins: Pins,
    /// The one task that it covers.
    task: Option<Task>,
    is_extension: bool,
    now: DateTime<Utc>,
}

impl Terms {
    pub(super) fn of(case: &Case, rules: &Rules<'_>, now: DateTime<Utc>) -> Self {
        let request = &case.request;
        let asked = Self {
            duration: request.duration,
            starts: request.starts,
            uses: request.uses,
            pins: request.pins.clone(),
            task: request.task.clone(),
            is_extension: request.extends.is_some(),
            now,
        };
        let policy = Narrowing {
            duration: Some(rules.longest),
            uses: rules.most_uses.filter(|_| request.extends.is_none()),
            ..Narrowing::default()
        };
        let approvals = case.votes.iter().filter(|it| it.answer == Answer::Approve);
        approvals
            .map(|it| &it.narrowing)
            .chain([&policy])
            .fold(asked, Self::narrowed)
    }

    fn narrowed(self, by: &Narrowing) -> Self {
        let Narrowing {
            duration,
            starts,
            uses,
            pins,
            task,
        } = by;
        Self {
            duration: duration.map_or(self.duration, |it| it.min(self.duration)),
            starts: self.starts.into_iter().chain(*starts).max(),
            uses: self.uses.into_iter().chain(*uses).min(),
            pins: self.pins.and(pins),
            task: self.task.or_else(|| task.clone()),
            ..self
        }
    }

    /// Refuses a narrowing that would give more than these terms, or nothing at all.
    pub(super) fn check(&self, narrowing: &Narrowing) -> Result<(), InvalidTransition> {
        let Narrowing {
            duration,
            starts,
            uses,
            pins,
            task,
        } = narrowing;
        let widens = |how: String| Err(InvalidTransition::Widens { how });
        let is_more_than_shorter =
            starts.is_some() || uses.is_some() || task.is_some() || !pins.is_empty();
        if self.is_extension && is_more_than_shorter {
            return widens("of an extension, only the duration can be narrowed".to_owned());
        }
        if let Some(duration) = duration
            && (*duration > self.duration || *duration <= Duration::zero())
        {
            let hours = self.duration.as_seconds_f64() / 3600.0;
            return widens(format!("it may last up to {hours} hours"));
        }
        if let Some(starts) = starts {
            let earliest = self.starts.map_or(self.now, |it| it.max(self.now));
            if *starts < earliest {
                return widens(format!("it may not start before {}", shown(earliest)));
            }
        }
        if let Some(uses) = uses
            && (*uses == 0 || self.uses.is_some_and(|most| *uses > most))
        {
            return widens(match self.uses {
                Some(most) => format!("it may have from 1 to {most} uses"),
                None => "it must have at least one use".to_owned(),
            });
        }
        match (&self.task, task) {
            (Some(asked), Some(task)) if asked != task => {
                widens(format!("it is for `{asked}` alone"))
            }
            _ => Ok(()),
        }
    }
}

/// Approves the request: a grant is made, or the end of the one that it extends moves.
pub(super) fn approve(
    case: &mut Case,
    approved_by: Vec<String>,
    rules: &Rules<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<Effect>, InvalidTransition> {
    let terms = Terms::of(case, rules, now);
    let granted = if case.request.extends.is_some() {
        Effect::GrantExtended(extend(case, &terms, rules, now)?)
    } else {
        Effect::GrantMade(grant(case, terms, approved_by, rules, now)?)
    };
    let request = &mut case.request;
    request.state = RequestState::Approved;
    request.decided = Some(now);
    Ok(vec![Effect::RequestChanged(request.clone()), granted])
}

fn grant(
    case: &mut Case,
    terms: Terms,
    approved_by: Vec<String>,
    rules: &Rules<'_>,
    now: DateTime<Utc>,
) -> Result<Grant, InvalidTransition> {
    let request = &case.request;
    let starts = terms.starts.map_or(now, |it| it.max(now));
    let ends = starts
        .checked_add_signed(terms.duration)
        .ok_or(InvalidTransition::TooLong)?;
    let grant = Grant {
        id: rules.grant,
        request: request.id,
        principal_key: request.principal_key.clone(),
        principal_name: request.principal_name.clone(),
        policy: request.policy.clone(),
        task: terms.task,
        pins: terms.pins,
        starts,
        ends,
        uses: terms.uses,
        used: 0,
        break_glass: request.break_glass,
        approved_by,
        created: now,
        closed: None,
        reviewed: None,
        version: 0,
    };
    case.grant = Some(grant.clone());
    Ok(grant)
}

/// Moves the end of the grant that the request extends: never backward, and never past the longest grant that the policy allows.
fn extend(
    case: &mut Case,
    terms: &Terms,
    rules: &Rules<'_>,
    now: DateTime<Utc>,
) -> Result<Grant, InvalidTransition> {
    let state = case.request.state;
    let grant = case
        .extended
        .as_mut()
        .ok_or(InvalidTransition::NoGrant { state })?;
    still_in_force(grant, now)?;
    let later = |from: DateTime<Utc>, by| {
        from.checked_add_signed(by)
            .ok_or(InvalidTransition::TooLong)
    };
    let last = later(grant.starts, rules.longest)?;
    if last <= grant.ends {
        let longest = rules.longest;
        return Err(InvalidTransition::AtItsLongest { longest });
    }
    grant.ends = later(grant.ends, terms.duration)?.min(last).max(grant.ends);
    Ok(grant.clone())
}

/// Refuses a grant that is over.
pub(super) fn still_in_force(grant: &Grant, now: DateTime<Utc>) -> Result<(), InvalidTransition> {
    match grant.state(now) {
        GrantState::Active | GrantState::Scheduled => Ok(()),
        state @ (GrantState::Ended
        | GrantState::Expired
        | GrantState::Revoked
        | GrantState::UsedUp) => {
            let closing = grant.closed.as_ref();
            // That the last use was taken is nobody's act.
            let closing = closing.filter(|it| it.how != HowClosed::UsedUp);
            let by = closing.map(|it| it.by.clone());
            Err(InvalidTransition::Over { state, by })
        }
    }
}
