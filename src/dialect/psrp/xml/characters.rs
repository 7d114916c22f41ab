//! Text as XML writes it: entities, line ends, and which characters there may be.

use std::borrow::Cow;

use super::bad;
use crate::dialect::Unreadable;

/// Entities become what they stand for, line ends become line feeds (XML 1.0 section 2.11), odd characters are refused.
pub(super) fn decode(raw: &str) -> Result<Cow<'_, str>, Unreadable> {
    if !raw.chars().all(is_xml_char) {
        return Err(bad(
            "bad-character",
            "the XML has a character that XML cannot hold",
        ));
    }
    if !raw.contains(['&', '\r']) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\r']) {
        let (plain, special) = rest.split_at_checked(at).unwrap_or_default();
        out.push_str(plain);
        if let Some(after) = special.strip_prefix('\r') {
            out.push('\n');
            rest = after.strip_prefix('\n').unwrap_or(after);
            continue;
        }
        let entity = special.strip_prefix('&').and_then(|it| it.split_once(';'));
        let decoded = entity.and_then(|(name, after)| Some((entity_of(name)?, after)));
        let Some((it, after)) = decoded else {
            return Err(bad(
                "bad-entity",
                "only `&amp;`, `&lt;`, `&gt;`, `&quot;`, `&apos;` and numeric entities are read",
            ));
        };
        out.push(it);
        rest = after;
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

fn entity_of(name: &str) -> Option<char> {
    const MAX_DIGITS: usize = 7;
    let named = match name {
        "amp" => '&',
        "apos" => '\'',
        "gt" => '>',
        "lt" => '<',
        "quot" => '"',
        numeric => {
            let digits = numeric.strip_prefix('#')?;
            let (digits, radix) = match digits.strip_prefix('x') {
                Some(hex) => (hex, 16),
                None => (digits, 10),
            };
            let is_plain = digits.bytes().all(|it| it.is_ascii_hexdigit());
            if digits.len() > MAX_DIGITS || !is_plain {
                return None;
            }
            let it = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
            return is_xml_char(it).then_some(it);
        }
    };
    Some(named)
}

/// Whether XML 1.0 section 2.2 allows it.
fn is_xml_char(it: char) -> bool {
    matches!(it, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Writes `text` with XML's own escapes. Line ends are written as numbers, so that no reader changes them.
pub(in crate::dialect::psrp) fn escape(text: &str, out: &mut String) {
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            it if is_xml_char(it) => out.push(it),
            // It cannot be written, and would end the document for its reader.
            _ => out.push('\u{fffd}'),
        }
    }
}
