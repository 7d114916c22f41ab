//! Quantities as people write them: `10 MiB`, `30s`.

use std::time::Duration;

use super::problem::Wrong;

/// Sizes are in powers of 1024 and say so; `KB` is refused because people disagree on what it is.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Spans of time, in milliseconds.
const SPANS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// No size and no span of time in the file may be larger, so that sums of them cannot overflow: 1 TiB, 366 days.
const LARGEST_SIZE: u64 = 1 << 40;
const LONGEST_SPAN_MS: u64 = 366 * 86_400_000;

/// Reads a size such as `64 KiB`, in bytes; never zero.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let expected = "a size such as `64 KiB` or `10 MiB`";
    match quantity(text, SIZES) {
        Some(0) => Err(Wrong::text(text, "a size above zero")),
        Some(bytes) if bytes <= LARGEST_SIZE => Ok(bytes),
        Some(_) => Err(Wrong::text(text, "a size of at most `1024 GiB`")),
        None => Err(hinted(
            text,
            expected,
            "write a whole number and `B`, `KiB`, `MiB` or `GiB`",
        )),
    }
}

/// Reads a span of time such as `30s`; never zero.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let expected = "a span of time such as `30s` or `24h`";
    match quantity(text, SPANS) {
        Some(0) => Err(Wrong::text(text, "a span of time above zero")),
        Some(span) if span <= LONGEST_SPAN_MS => Ok(Duration::from_millis(span)),
        Some(_) => Err(Wrong::text(text, "a span of time of at most `366d`")),
        None => Err(hinted(
            text,
            expected,
            "write a whole number and `ms`, `s`, `m`, `h` or `d`",
        )),
    }
}

fn hinted(text: &str, expected: &str, hint: &str) -> Wrong {
    Wrong::text(text, expected).hint(hint)
}

/// A whole number and a unit; `None` also where the product leaves 64 bits.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = units.iter().find(|it| it.0 == unit.trim_start())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A size as people write it, in the largest unit that divides it.
pub fn size_text(bytes: u64) -> String {
    largest(bytes, SIZES, " ")
}

/// A span of time as people write it, in the largest unit that divides it.
pub fn duration_text(span: Duration) -> String {
    largest(
        u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
        SPANS,
        "",
    )
}

fn largest(amount: u64, units: &[(&str, u64)], gap: &str) -> String {
    let unit = units
        .iter()
        .rev()
        .find(|it| amount >= it.1 && amount.is_multiple_of(it.1));
    match unit {
        Some((unit, factor)) => format!("{}{gap}{unit}", amount / factor),
        None => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_need_a_whole_number_and_a_unit() {
        assert_eq!(size("64 KiB"), Ok(65_536));
        assert_eq!(size("10MiB"), Ok(10 << 20));
        for bad in [
            "",
            "64",
            "64 KB",
            "1.5 MiB",
            "-1 B",
            "0 B",
            "KiB",
            "1 TiB",
            "99999999999 GiB",
            "1 ki\u{df}b",
        ] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn spans_need_a_whole_number_and_a_unit() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("100 ms"), Ok(Duration::from_millis(100)));
        for bad in [
            "",
            "30",
            "30 sec",
            "0s",
            "1h30m",
            "400d",
            "18446744073709551615d",
        ] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bytes in 1..LARGEST_SIZE, millis in 1..LONGEST_SPAN_MS) {
            prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
            let span = Duration::from_millis(millis);
            prop_assert_eq!(duration(&duration_text(span)), Ok(span));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (size(&text), duration(&text));
        }
    }
}
