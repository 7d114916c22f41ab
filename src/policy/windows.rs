//! `[[policy.windows]]`: the hours in which a policy's grants cover commands, in the time of some place.
//!
//! Wall-clock time is what people mean by `08:00`, so clocks that are put forward or back are followed: a window is open
//! whenever a clock on the wall there shows a time in it. An hour that is skipped is never open, one that comes twice is
//! open twice.

use chrono::{
    DateTime, Datelike as _, Days, DurationRound as _, NaiveDate, NaiveTime, Offset as _,
    TimeDelta, TimeZone as _, Utc, Weekday,
};
use chrono_tz::Tz;

/// Days that are looked through for the next opening: a window opens every week, unless the clocks skip it.
const DAYS_AHEAD: u64 = 15;

/// When something is open; without a window, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    pub(super) windows: Vec<Window>,
}

/// Hours on some days of the week, in the time of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins, from Monday on.
    pub days: Vec<Weekday>,
    /// When it begins.
    pub from: NaiveTime,
    /// When it ends, this moment excluded: on the next day if it is not after `from`. Midnight is the end of the day.
    pub to: NaiveTime,
    /// Whose time it is.
    pub zone: Tz,
}

impl Windows {
    /// Whether there is none, so that it is always open.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// The windows, in the order in which they are written.
    pub fn iter(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter()
    }

    /// Whether it is open at `now`.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.windows.is_empty() || self.windows.iter().any(|it| it.is_open(now))
    }

    /// The first moment from `now` on at which it is open: `now`, if it is open now.
    pub fn next_opening(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_open(now) {
            return Some(now);
        }
        self.windows
            .iter()
            .filter_map(|it| it.next_begin(now))
            .min()
    }

    /// The first moment from `now` on at which it is open, as people at the place of the window that opens say it.
    pub fn next_opening_text(&self, now: DateTime<Utc>) -> Option<String> {
        let opens = self.next_opening(now)?;
        let window = self.windows.iter().find(|it| it.is_open(opens))?;
        let local = opens.with_timezone(&window.zone);
        Some(format!(
            "{} ({}), {} UTC",
            local.format("%a %Y-%m-%d %H:%M"),
            window.zone.name(),
            opens.format("%Y-%m-%d %H:%M")
        ))
    }
}

impl Window {
    /// Whether the wall clock shows a time in the window.
    fn is_open(&self, now: DateTime<Utc>) -> bool {
        let local = now.with_timezone(&self.zone).naive_local();
        let (day, time) = (local.weekday(), local.time());
        if self.from < self.to {
            return self.days.contains(&day) && (self.from..self.to).contains(&time);
        }
        (self.days.contains(&day) && time >= self.from)
            || (self.days.contains(&day.pred()) && time < self.to)
    }

    /// The first moment after `now` at which the window opens.
    fn next_begin(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = now.with_timezone(&self.zone).date_naive();
        let begin = (0..DAYS_AHEAD)
            .filter_map(|ahead| today.checked_add_days(Days::new(ahead)))
            .flat_map(|day| self.begins(day))
            .filter(|it| *it > now && self.is_open(*it))
            .min();
        let horizon = begin.or_else(|| now.checked_add_days(Days::new(DAYS_AHEAD)))?;
        self.open_by_leap(now, horizon).or(begin)
    }

    /// When the clocks there show the begin of the window on `day`: once, twice, or never.
    fn begins(&self, day: NaiveDate) -> impl Iterator<Item = DateTime<Utc>> {
        let local = self.zone.from_local_datetime(&day.and_time(self.from));
        [local.earliest(), local.latest()]
            .into_iter()
            .flatten()
            .map(|it| it.with_timezone(&Utc))
    }

    /// The first moment in between at which the clocks leap into the window, if they are changed at all: past its begin, or
    /// back from behind its end. They are changed at whole quarters of an hour.
    fn open_by_leap(&self, after: DateTime<Utc>, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let offset = |at: DateTime<Utc>| self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        if offset(after) == offset(before) {
            return None;
        }
        let quarter = TimeDelta::minutes(15);
        let mut at = after
            .duration_trunc(quarter)
            .ok()?
            .checked_add_signed(quarter)?;
        while at < before {
            if self.is_open(at) {
                return Some(at);
            }
            at = at.checked_add_signed(quarter)?;
        }
        None
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let days: Vec<String> = self.days.iter().map(ToString::to_string).collect();
        let days = if days.len() == 7 {
            "every day".to_owned()
        } else {
            days.join(", ")
        };
        let to = if self.to == NaiveTime::MIN {
            "24:00".to_owned()
        } else {
            self.to.format("%H:%M").to_string()
        };
        write!(
            f,
            "{days} {}–{to} {}",
            self.from.format("%H:%M"),
            self.zone.name()
        )
    }
}

#[cfg(test)]
mod tests;
