//! Times and spans as people write and read them on the command line. Times are UTC, and told relative to now beside it.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use crate::config::duration_text;

/// Units, the largest first, in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Longer spans are mistakes: 366 days.
const LONGEST: u64 = 366 * 86_400;

/// Reads a span such as `4h`, `90m` or `1h30m`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let wrong =
        || "write whole numbers with `d`, `h`, `m` or `s`, such as `4h` or `1h30m`".to_owned();
    let mut seconds: u64 = 0;
    let mut rest = text.trim();
    let mut units = UNITS.iter();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let unit = tail.chars().next().ok_or_else(wrong)?;
        // Each unit once, the larger first.
        let (_, factor) = units.find(|it| it.0 == unit).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        seconds = number
            .checked_mul(*factor)
            .and_then(|it| it.checked_add(seconds))
            .filter(|it| *it <= LONGEST)
            .ok_or_else(|| "at most 366 days".to_owned())?;
        rest = tail.strip_prefix(unit).unwrap_or_default();
    }
    if seconds == 0 {
        return Err("this is no time at all".to_owned());
    }
    Ok(Duration::from_secs(seconds))
}

/// A span of whole seconds as the management API takes it.
pub(super) fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

/// A time that somebody named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A moment.
    At(DateTime<Utc>),
    /// So long before now.
    Before(Duration),
    /// So long after now.
    In(Duration),
}

/// Reads a time: `2026-11-21T18:00Z`, `2026-11-21 18:00` and `2026-11-21` (UTC), `+2h` (from now), `2h` or `-2h` (ago).
pub(super) fn time(text: &str) -> Result<Named, String> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('+') {
        return span(rest).map(Named::In);
    }
    if let Ok(ago) = span(text.strip_prefix('-').unwrap_or(text)) {
        return Ok(Named::Before(ago));
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(Named::At(time.to_utc()));
    }
    let plain = text.strip_suffix('Z').unwrap_or(text).replace('T', " ");
    let moment = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(&plain, format).ok())
        .or_else(|| {
            let day = NaiveDate::parse_from_str(&plain, "%Y-%m-%d").ok()?;
            Some(day.and_time(NaiveTime::MIN))
        });
    moment.map(|it| Named::At(it.and_utc())).ok_or_else(|| {
        "write a time in UTC such as `2026-11-21 18:00`, or a span from now such as `+2h`"
            .to_owned()
    })
}

impl Named {
    /// Which moment that is.
    pub(super) fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let delta = |span: Duration| TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
        match self {
            Self::At(moment) => moment,
            Self::Before(span) => now.checked_sub_signed(delta(span)).unwrap_or(now),
            Self::In(span) => now.checked_add_signed(delta(span)).unwrap_or(now),
        }
    }
}

/// A moment, to the minute.
pub(super) fn moment(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// How far a moment is from now, such as `in 3 h` or `5 min ago`.
pub(super) fn relative(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (time - now).num_seconds();
    let amount = seconds.unsigned_abs();
    // Rounded, so that what was just granted for 4 h does not end in 3 h 59 min.
    let minutes = (amount + 30) / 60;
    let text = match (amount, minutes) {
        (0..5, _) => return "now".to_owned(),
        (5..60, _) => format!("{amount} s"),
        (_, 0..60) => format!("{minutes} min"),
        (_, 60..600) if !minutes.is_multiple_of(60) => {
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
        (_, 60..2_880) => format!("{} h", (minutes + 30) / 60),
        _ => format!("{} days", (minutes + 720) / 1_440),
    };
    if seconds > 0 {
        format!("in {text}")
    } else {
        format!("{text} ago")
    }
}

/// Both: `in 3 h (2026-11-21 18:00 UTC)`.
pub(super) fn both(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({})", relative(time, now), moment(time))
}

/// A span of seconds as people write it.
pub(super) fn seconds_text(seconds: i64) -> String {
    let mut left = u64::try_from(seconds).unwrap_or_default();
    let mut text = String::new();
    for (unit, factor) in UNITS {
        if left >= factor {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}{unit}", left / factor);
            left %= factor;
        }
    }
    if text.is_empty() {
        duration_text(Duration::ZERO)
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-21T16:30:00Z".parse().unwrap()
    }

    #[test]
    fn spans_are_whole_numbers_with_units() {
        for (text, seconds) in [
            ("4h", 14_400),
            ("1h30m", 5_400),
            ("90m", 5_400),
            ("2d", 172_800),
            (" 7s ", 7),
        ] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in [
            "",
            "4",
            "h",
            "4 h",
            "0s",
            "1.5h",
            "-4h",
            "30m1h",
            "1h1h",
            "9999999999999999999h",
            "400d",
            "4ä",
        ] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_moments_or_spans_from_now() {
        for (text, moment) in [
            ("2026-11-21T18:00Z", "2026-11-21T18:00:00Z"),
            ("2026-11-21T18:00:05+02:00", "2026-11-21T16:00:05Z"),
            ("2026-11-21 18:00", "2026-11-21T18:00:00Z"),
            ("2026-11-22", "2026-11-22T00:00:00Z"),
            ("+2h", "2026-11-21T18:30:00Z"),
            ("-30m", "2026-11-21T16:00:00Z"),
            ("1d", "2026-11-20T16:30:00Z"),
        ] {
            let expected: DateTime<Utc> = moment.parse().unwrap();
            assert_eq!(time(text).unwrap().from(now()), expected, "{text}");
        }
        for wrong in ["", "tomorrow", "18:00", "2026-13-01", "+", "++1h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn distances_are_told_in_the_unit_that_matters() {
        let told = |seconds: i64| relative(now() + TimeDelta::seconds(seconds), now());
        let all = [
            0, -4, 30, -60, 3_599, 3_600, 5_400, -36_600, 90_000, 172_800, -864_000,
        ];
        insta::assert_snapshot!(all.map(told).join(", "), @"now, now, in 30 s, 1 min ago, in 1 h, in 1 h, in 1 h 30 min, 10 h ago, in 25 h, in 2 days, 10 days ago");
    }

    proptest! {
        #[test]
        fn a_span_that_is_told_can_be_typed(seconds in 1..LONGEST) {
            let text = seconds_text(i64::try_from(seconds).unwrap());
            prop_assert_eq!(span(&text), Ok(Duration::from_secs(seconds)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let _ = span(&text);
            let _ = time(&text).map(|it| it.from(now()));
        }
    }
}
