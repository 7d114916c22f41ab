//! JSON written by hand: the hot records are formatted into one buffer without a value tree.
//!
//! Beyond RFC 8259, DEL and the C1 controls (U+0080 to U+009F) are escaped too, so that a line that is shown raw
//! cannot command a terminal.

use std::io::Write as _;
use std::net::IpAddr;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use uuid::Uuid;

/// Whether a byte of UTF-8 may have to be escaped. 0xc2 leads U+0080 to U+00BF, of which the first half are controls.
const fn is_suspect(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0x7f || byte == 0xc2
}

/// [`is_suspect`] for each byte: a look-up costs less than the comparisons.
const SUSPECTS: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &mut [bool] = &mut table;
    let mut byte: u8 = 0;
    while let [first, others @ ..] = rest {
        *first = is_suspect(byte);
        byte = byte.wrapping_add(1);
        rest = others;
    }
    table
};

/// `text` as a JSON string.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    // Without an early exit the scan has no branches, and nearly every text is clean.
    let suspect = text.bytes().fold(false, |found, byte| {
        found | SUSPECTS.get(usize::from(byte)).copied().unwrap_or(true)
    });
    if suspect {
        out.push(b'"');
        text.chars().for_each(|char| escaped(out, char));
        out.push(b'"');
    } else {
        word(out, text);
    }
}

/// A text without anything to escape as a JSON string: one of our own words.
pub(super) fn word(out: &mut Vec<u8>, word: &str) {
    out.reserve(word.len() + 2);
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, char: char) {
    match char {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
            out.extend_from_slice(b"\\u00");
            hex(out, &[u8::try_from(char).unwrap_or(0)]);
        }
        _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// `text` as a JSON string of at most about `limit` bytes; what is cut off shows as `…`.
pub(super) fn bounded_text(out: &mut Vec<u8>, whole: &str, limit: usize) {
    if whole.len() <= limit {
        return text(out, whole);
    }
    let end = whole.floor_char_boundary(limit);
    let mut cut = whole.get(..end).unwrap_or_default().to_owned();
    cut.push('…');
    text(out, &cut);
}

/// [`bounded_text`], or `null`.
pub(super) fn optional_text(out: &mut Vec<u8>, text: Option<&str>, limit: usize) {
    match text {
        Some(text) => bounded_text(out, text, limit),
        None => null(out),
    }
}

/// `null`
pub(super) fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

/// `true` or `false`
pub(super) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// The digits of `value`.
pub(super) fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

/// [`number`], or `null`.
pub(super) fn optional_number(out: &mut Vec<u8>, value: Option<u64>) {
    match value {
        Some(value) => number(out, value),
        None => null(out),
    }
}

/// The two digits of a number below 100.
fn pair(value: u32) -> [u8; 2] {
    let digit = |value: u32| b'0' + u8::try_from(value % 10).unwrap_or(0);
    [digit(value / 10), digit(value)]
}

/// `time` as a JSON string of 27 characters: `2026-11-21T09:08:03.123456Z`. Years outside 0 to 9999 do not occur.
pub(super) fn time(out: &mut Vec<u8>, time: DateTime<Utc>) {
    let date = time.date_naive();
    let clock = time.time();
    let seconds = clock.num_seconds_from_midnight();
    // Chrono shows a leap second as nanoseconds past one second.
    let micros = (clock.nanosecond() / 1000).min(999_999);
    let year = date.year_ce().1;
    let [century, year] = [pair(year / 100), pair(year % 100)];
    let [month, day] = [pair(date.month()), pair(date.day())];
    let [hour, minute, second] = [
        pair(seconds / 3600),
        pair(seconds / 60 % 60),
        pair(seconds % 60),
    ];
    let [micros_1, micros_2, micros_3] = [
        pair(micros / 10_000),
        pair(micros / 100 % 100),
        pair(micros % 100),
    ];
    let text = [
        b'"',
        century[0],
        century[1],
        year[0],
        year[1],
        b'-',
        month[0],
        month[1],
        b'-',
        day[0],
        day[1],
        b'T',
        hour[0],
        hour[1],
        b':',
        minute[0],
        minute[1],
        b':',
        second[0],
        second[1],
        b'.',
        micros_1[0],
        micros_1[1],
        micros_2[0],
        micros_2[1],
        micros_3[0],
        micros_3[1],
        b'Z',
        b'"',
    ];
    out.extend_from_slice(&text);
}

/// `id` as a JSON string.
pub(super) fn uuid(out: &mut Vec<u8>, id: Uuid) {
    out.push(b'"');
    out.extend_from_slice(id.hyphenated().encode_lower(&mut [0; 36]).as_bytes());
    out.push(b'"');
}

/// [`uuid`], or `null`.
pub(super) fn optional_uuid(out: &mut Vec<u8>, id: Option<Uuid>) {
    match id {
        Some(id) => uuid(out, id),
        None => null(out),
    }
}

/// `address` as a JSON string.
pub(super) fn address(out: &mut Vec<u8>, address: IpAddr) {
    out.push(b'"');
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(out, u64::from(octet));
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
    out.push(b'"');
}

/// `bytes` in lower-case hexadecimal, without quotes.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |value: u8| match value {
        0..=9 => b'0' + value,
        _ => b'a' + value - 10,
    };
    for chunk in bytes.chunks(32) {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(chunk) {
            if let [high, low] = pair {
                *high = digit(byte >> 4);
                *low = digit(byte & 15);
            }
        }
        out.extend_from_slice(text.get(..2 * chunk.len()).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_reads_back_and_holds_no_control_character() {
        for sample in [
            "plain",
            "q\"b\\n\n\r\t\0\u{1f}\u{7f}",
            "\u{80}\u{9b}31m\u{9f}",
            "\u{a0}é…😀",
        ] {
            let json = written(|out| text(out, sample));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), sample);
            assert!(!json.chars().any(char::is_control), "{json:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(written(|out| bounded_text(out, "aéé", 2)), "\"a…\"");
        assert_eq!(written(|out| bounded_text(out, "aé", 3)), "\"aé\"");
    }

    #[test]
    fn numbers_times_and_addresses_have_their_usual_form() {
        assert_eq!(written(|out| number(out, 0)), "0");
        assert_eq!(written(|out| number(out, u64::MAX)), u64::MAX.to_string());
        let at: DateTime<Utc> = "2026-01-02T03:04:05.000007Z".parse().unwrap();
        assert_eq!(
            written(|out| time(out, at)),
            "\"2026-01-02T03:04:05.000007Z\""
        );
        for sample in ["127.0.0.1", "203.0.113.255", "2001:db8::1"] {
            let json = written(|out| address(out, sample.parse().unwrap()));
            assert_eq!(json, format!("\"{sample}\""));
        }
    }
}
