//! Durations as policy files write them: `30m`, `8h`, `1d`.

use std::time::Duration;

use super::problem::printable;

/// The longest duration: 4320 h, half a year, the most that Microsoft's own grants allow.
pub(super) const MAX: Duration = Duration::from_hours(4320);

/// What is wrong with a duration's text, and what would be right.
pub(super) fn parse(text: &str) -> Result<Duration, (String, &'static str)> {
    const HINT: &str = "write minutes, hours or days, such as `30m`, `8h` or `1d`";
    let malformed = || (format!("`{}` is not a duration", printable(text)), HINT);
    let (unit, seconds) = [("m", 60), ("h", 3600), ("d", 86_400)]
        .into_iter()
        .find(|(unit, _)| text.ends_with(unit))
        .ok_or_else(malformed)?;
    let digits = text.strip_suffix(unit).ok_or_else(malformed)?;
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(malformed());
    }
    let too_long = || (format!("`{text}` is too long"), "at most 4320h (180d)");
    let count: u64 = digits.parse().map_err(|_| too_long())?;
    let duration = Duration::from_secs(count.checked_mul(seconds).ok_or_else(too_long)?);
    if duration > MAX {
        Err(too_long())
    } else if duration.is_zero() {
        Err((format!("`{text}` is no time at all"), "at least 1m"))
    } else {
        Ok(duration)
    }
}

/// The duration in the largest unit that holds it exactly.
pub(super) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds.is_multiple_of(3600) {
        format!("{}h", seconds / 3600)
    } else {
        format!("{}m", seconds / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_hours_and_days_are_read() {
        let read = |text| parse(text).unwrap().as_secs();
        assert_eq!(
            ["30m", "8h", "1d", "4320h"].map(read),
            [1800, 28_800, 86_400, 15_552_000]
        );
        assert_eq!(shown(parse("1d").unwrap()), "24h");
        assert_eq!(shown(parse("90m").unwrap()), "90m");
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for text in [
            "", "h", "8", "8 h", "-1h", "+1h", "8H", "1.5h", "1h30m", "é", "90s",
        ] {
            assert!(
                parse(text).unwrap_err().0.contains("is not a duration"),
                "{text:?}"
            );
        }
        for text in [
            "4321h",
            "181d",
            "99999999999999999999h",
            "18446744073709551615d",
        ] {
            assert!(parse(text).unwrap_err().0.contains("too long"), "{text:?}");
        }
        assert!(parse("0m").unwrap_err().0.contains("no time at all"));
    }
}
