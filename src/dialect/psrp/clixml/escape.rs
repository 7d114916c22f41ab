//! CLIXML's own escapes: `_xHHHH_` for a UTF-16 unit ([MS-PSRP] 2.2.5.3.2).
//!
//! .NET's decoder also takes `_XHHHH_` and eight digits, others do not; what they would see differently is refused.

use std::borrow::Cow;

use crate::dialect::{Unreadable, shown};

/// What a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A property's name: nothing that need not be escaped may be.
    Name,
    Value,
}

pub(super) fn decode<'a>(text: &Cow<'a, str>, role: Role) -> Result<Cow<'a, str>, Unreadable> {
    if !text.contains("_x") && !text.contains("_X") {
        return Ok(text.clone());
    }
    let mut out = String::with_capacity(text.len());
    let mut rest: &str = text;
    while let Some(at) = rest.find('_') {
        let (plain, special) = rest.split_at_checked(at).unwrap_or_default();
        out.push_str(plain);
        if is_doubtful(special) {
            return Err(bad(special));
        }
        let Some((unit, after)) = escaped_unit(special) else {
            out.push('_');
            rest = special.strip_prefix('_').unwrap_or_default();
            continue;
        };
        let (it, after) = match unit {
            0xd800..=0xdbff => {
                let (low, after) = escaped_unit(after).ok_or_else(|| bad(special))?;
                let mut pair = char::decode_utf16([unit, low]);
                match (pair.next(), pair.next()) {
                    (Some(Ok(it)), None) => (it, after),
                    _ => return Err(bad(special)),
                }
            }
            unit => match char::from_u32(unit.into()) {
                Some(it) => (it, after),
                None => return Err(bad(special)),
            },
        };
        if role == Role::Name && it.is_ascii_graphic() && it != '_' {
            return Err(bad(special));
        }
        out.push(it);
        rest = after;
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// The unit of an escape that `text` begins with, and what follows it.
fn escaped_unit(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.strip_prefix("_x")?.split_at_checked(4)?;
    let rest = rest.strip_prefix('_')?;
    let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
    let unit = is_hex.then(|| u16::from_str_radix(digits, 16).ok())??;
    Some((unit, rest))
}

/// Whether some readers take the start of `text` for an escape and others do not.
fn is_doubtful(text: &str) -> bool {
    let is_escape = |start: &str, digits: usize| {
        text.strip_prefix(start)
            .and_then(|it| it.split_at_checked(digits))
            .is_some_and(|(hex, rest)| {
                rest.starts_with('_') && hex.bytes().all(|it| it.is_ascii_hexdigit())
            })
    };
    is_escape("_X", 4) || is_escape("_X", 8) || is_escape("_x", 8)
}

fn bad(text: &str) -> Unreadable {
    let start: String = text.chars().take(12).collect();
    let text = format!(
        "`{}` is not an escape that every reader sees alike",
        shown(&start)
    );
    Unreadable::bad("clixml-escape", text)
}
