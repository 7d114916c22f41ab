//! Texts of CLIXML ([MS-PSRP] 2.2.5.3.2), as both dialects write them.

use std::fmt::Write as _;

/// Writes `text` so that XML holds it and every reader sees the same: control characters, what is outside of the basic
/// plane, and an underscore that an `x` follows as `_xHHHH_`; XML's marks as entities.
pub(super) fn write(text: &str, out: &mut String) {
    let mut rest = text.chars();
    while let Some(it) = rest.next() {
        let begins_escape = it == '_' && rest.as_str().starts_with(['x', 'X']);
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            it if it.is_control()
                || begins_escape
                || it > '\u{ffff}'
                || matches!(it, '\u{fffe}' | '\u{ffff}') =>
            {
                for unit in it.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(out, "_x{unit:04X}_");
                }
            }
            it => out.push(it),
        }
    }
}
