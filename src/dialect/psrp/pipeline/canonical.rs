//! One spelling for each value that can be written in several: the one that .NET writes, which is what a server makes of all.
//!
//! `None` where a server would make something else of it than is written (it rounds, or reads the time of the moment into
//! it), and where .NET knows no such value.

use chrono::NaiveDate;

/// A `System.Decimal`: without exponent, and with no more digits than it keeps. Zeros at the end are part of the value.
pub(super) fn decimal(text: &str) -> Option<String> {
    const MAX_DIGITS: usize = 28;
    let (sign, rest) = signed(text);
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) => (digits(whole)?, Some(digits(fraction)?)),
        None => (digits(rest)?, None),
    };
    let whole = without_zeros(whole);
    if whole.len() + fraction.map_or(0, str::len) > MAX_DIGITS {
        return None;
    }
    let is_zero = [whole, fraction.unwrap_or("")]
        .iter()
        .all(|it| it.bytes().all(|it| it == b'0'));
    let sign = if is_zero { "" } else { sign };
    Some(match fraction {
        Some(fraction) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{whole}"),
    })
}

/// A `System.Double`, if the digits that the server shows of it (15) are all that it has.
pub(super) fn double(text: &str) -> Option<String> {
    let number: f64 = finite(text)?;
    let shown = format!("{number:.14e}");
    let again: f64 = shown.parse().ok()?;
    // Both are finite: the same bits, or zeros.
    (again.to_bits() == number.to_bits()).then(|| floating(&shown))?
}

/// A `System.Single`, if the digits that the server shows of it (7) are all that it has.
pub(super) fn single(text: &str) -> Option<String> {
    let number: f32 = text.parse().ok().filter(|it: &f32| it.is_finite())?;
    finite(text)?;
    let shown = format!("{number:.6e}");
    let again: f32 = shown.parse().ok()?;
    (again.to_bits() == number.to_bits()).then(|| floating(&shown))?
}

/// A `System.Version`: two to four numbers of 31 bits.
pub(super) fn version(text: &str) -> Option<String> {
    let parts: Option<Vec<String>> = text
        .split('.')
        .map(|part| {
            let number: i32 = digits(part)?.parse().ok()?;
            Some(number.to_string())
        })
        .collect();
    parts
        .filter(|it| (2..=4).contains(&it.len()))
        .map(|it| it.join("."))
}

/// A `System.DateTime`: `2026-11-21T22:04:34.5Z`, with an offset or none in place of the `Z`.
///
/// A date or a time alone is none: what the server adds is its own.
pub(super) fn date_time(text: &str) -> Option<String> {
    let (date, rest) = text.split_once('T')?;
    let (time, zone) = match rest.find(['Z', '+', '-']) {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, ""),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    if year == 0 {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, self::fraction(fraction)?),
        None => (time, String::new()),
    };
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if let Some(offset) = zone.strip_prefix(['+', '-']) {
        let [hours, minutes] = numbers(offset, ':', [2, 2])?;
        if minutes > 59 || hours * 60 + minutes > 14 * 60 {
            return None;
        }
    } else if !matches!(zone, "" | "Z") {
        return None;
    }
    Some(format!("{date}T{time}{fraction}{zone}"))
}

/// A `System.TimeSpan`: as it is written, and as the server shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Duration {
    /// `P1DT2H3M4.5S`.
    pub(super) written: String,
    /// `1.02:03:04.5000000`.
    pub(super) shown: String,
}

/// Reads `-P1DT2H3M4.5S`. Years and months, which .NET does not write, have no length of their own.
pub(super) fn duration(text: &str) -> Option<Duration> {
    const TICKS: i128 = 10_000_000;
    let (sign, rest) = signed(text);
    let rest = rest.strip_prefix('P')?;
    let (days, times) = match rest.split_once('T') {
        Some((days, times)) if !times.is_empty() => (days, times),
        Some(_) => return None,
        None if rest.is_empty() => return None,
        None => (rest, ""),
    };
    let mut ticks: i128 = 0;
    let (count, rest) = amount(days, 'D')?;
    if !rest.is_empty() {
        return None;
    }
    ticks += count * 86400 * TICKS;
    let (count, rest) = amount(times, 'H')?;
    ticks += count * 3600 * TICKS;
    let (count, rest) = amount(rest, 'M')?;
    ticks += count * 60 * TICKS;
    if let Some((whole, part)) = rest.split_once('.') {
        let part = fraction(part.strip_suffix('S')?)?;
        let part = part.strip_prefix('.').unwrap_or("0");
        ticks += whole_number(whole)? * TICKS + format!("{part:0<7}").parse::<i128>().ok()?;
    } else {
        let (count, rest) = amount(rest, 'S')?;
        if !rest.is_empty() {
            return None;
        }
        ticks += count * TICKS;
    }
    // The least of all has no counterpart above zero, and is left out.
    i64::try_from(ticks).ok()?;
    let sign = if ticks == 0 { "" } else { sign };
    Some(Duration::of(sign, ticks))
}

impl Duration {
    fn of(sign: &str, ticks: i128) -> Self {
        let (seconds, part) = (ticks / 10_000_000, ticks % 10_000_000);
        let (days, seconds) = (seconds / 86400, seconds % 86400);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let whole = |count: i128, unit: char| match count {
            0 => String::new(),
            count => format!("{count}{unit}"),
        };
        let written_seconds = match (seconds, part) {
            (0, 0) => String::new(),
            (seconds, 0) => format!("{seconds}S"),
            (seconds, part) => {
                let part = format!("{part:07}");
                format!("{seconds}.{}S", part.trim_end_matches('0'))
            }
        };
        let time = [whole(hours, 'H'), whole(minutes, 'M'), written_seconds].concat();
        let days_written = whole(days, 'D');
        let written = match (days_written.is_empty(), time.is_empty()) {
            (true, true) => "PT0S".to_owned(),
            (false, true) => format!("{sign}P{days_written}"),
            (_, false) => format!("{sign}P{days_written}T{time}"),
        };
        let days = if days == 0 {
            String::new()
        } else {
            format!("{days}.")
        };
        let part = if part == 0 {
            String::new()
        } else {
            format!(".{part:07}")
        };
        Self {
            written,
            shown: format!("{sign}{days}{hours:02}:{minutes:02}:{seconds:02}{part}"),
        }
    }
}

/// `12` and what follows, of `12D…`; nothing and all of it, if there is no such unit.
fn amount(text: &str, unit: char) -> Option<(i128, &str)> {
    match text.split_once(unit) {
        Some((count, rest)) => Some((whole_number(count)?, rest)),
        None => Some((0, text)),
    }
}

fn whole_number(text: &str) -> Option<i128> {
    const MAX_DIGITS: usize = 18;
    let digits = digits(text).filter(|it| it.len() <= MAX_DIGITS)?;
    digits.parse().ok()
}

/// `.5` of `5000000`; nothing of zeros.
fn fraction(text: &str) -> Option<String> {
    const MAX_DIGITS: usize = 7;
    let kept = digits(text)?.trim_end_matches('0');
    match kept.len() {
        0 => Some(String::new()),
        1..=MAX_DIGITS => Some(format!(".{kept}")),
        _ => None,
    }
}

/// Numbers with exactly so many digits each.
fn numbers<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[u32; N]> {
    let mut parts = text.split(between);
    let mut read = [0; N];
    for (number, length) in read.iter_mut().zip(lengths) {
        let part = digits(parts.next()?).filter(|it| it.len() == length)?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(read)
}

/// A number of JSON's form but for zeros before it, that is not greater than any float.
fn finite(text: &str) -> Option<f64> {
    let (_, rest) = signed(text);
    let (mantissa, exponent) = rest.split_once('E').unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    digits(whole)?;
    digits(fraction)?;
    digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))?;
    text.parse().ok().filter(|it: &f64| it.is_finite())
}

/// `1.5`, `1E+15` or `1E-05`, of `1.50000e0` and the like.
fn floating(shown: &str) -> Option<String> {
    let (sign, rest) = signed(shown);
    let (mantissa, exponent) = rest.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (first, others) = mantissa.split_once('.')?;
    let significant = format!("{first}{others}");
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    // How many digits of the number are significant at most is where .NET goes over to exponents.
    let most = i32::try_from(first.len() + others.len()).ok()?;
    let (head, tail) = significant.split_at_checked(1)?;
    let text = if exponent >= most || exponent < -4 {
        let point = if tail.is_empty() { "" } else { "." };
        let mark = if exponent < 0 { '-' } else { '+' };
        format!("{head}{point}{tail}E{mark}{:02}", exponent.unsigned_abs())
    } else if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).ok()?;
        format!("0.{}{significant}", "0".repeat(zeros))
    } else {
        let whole = usize::try_from(exponent).ok()? + 1;
        match significant.split_at_checked(whole) {
            Some((whole, "")) => whole.to_owned(),
            Some((whole, fraction)) => format!("{whole}.{fraction}"),
            None => format!("{significant:0<whole$}"),
        }
    };
    Some(format!("{sign}{text}"))
}

fn signed(text: &str) -> (&str, &str) {
    match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    }
}

/// `text`, if it is digits and at least one.
fn digits(text: &str) -> Option<&str> {
    let is_digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    is_digits.then_some(text)
}

fn without_zeros(digits: &str) -> &str {
    match digits.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    }
}

#[cfg(test)]
mod tests;
