//! What a parameter rule asks of a value.
//!
//! Values compare as PowerShell does: text without case; the number 4 and the text `4` alike. A number and a text are alike only
//! where the text is what a server shows of the number: it may take either for a name, and `12345.00` is another object's than
//! `12345`. A text is no boolean, since PowerShell makes `$true` of `"False"`; what a rule writes as a text (`"$true"`) may be one.
//! Where PowerShell would go further (`"0x4"`, `" 4"`), a value is unlike: a rule that is too strict blocks, one that is too lax
//! lets pass.

use std::fmt;

use regex::Regex;

use crate::model::Value;

use super::number::Decimal;

/// One thing asked of a value. It holds for a list or table if it holds for each scalar inside; for a null, an empty list
/// or an empty table, none does.
#[derive(Clone, Debug)]
pub(super) enum Requirement {
    /// No more than this.
    Max(Decimal, String),
    /// No more scalars than this.
    MaxItems(usize),
    /// No less than this.
    Min(Decimal, String),
    /// Like one of these.
    OneOf(Vec<Allowed>),
    /// Matched whole, without case.
    Pattern {
        source: String,
        /// Anchored at both ends.
        regex: Regex,
    },
}

/// A value that a `one_of` allows.
#[derive(Clone, Debug)]
pub(super) enum Allowed {
    Bool(bool),
    /// The number, and its digits as the file has them.
    Number(Decimal, String),
    Text(String),
}

impl Requirement {
    /// Whether it holds for `value`.
    pub(super) fn holds(&self, value: &Value) -> bool {
        let (mut scalars, mut all_hold) = (0, true);
        value.for_each_leaf(&mut |scalar| {
            scalars += 1;
            all_hold = all_hold && self.holds_for_scalar(scalar);
        });
        let few_enough = match self {
            Self::MaxItems(most) => scalars <= *most,
            Self::Max(..) | Self::Min(..) | Self::OneOf(_) | Self::Pattern { .. } => true,
        };
        scalars > 0 && all_hold && few_enough
    }

    fn holds_for_scalar(&self, scalar: &Value) -> bool {
        match self {
            Self::Max(max, _) => number(scalar).is_some_and(|it| it <= *max),
            Self::MaxItems(_) => *scalar != Value::Null,
            Self::Min(min, _) => number(scalar).is_some_and(|it| it >= *min),
            Self::OneOf(allowed) => allowed.iter().any(|it| it.is_like(scalar)),
            Self::Pattern { regex, .. } => match scalar {
                Value::Text(text) => matches(regex, text),
                Value::Number(number) => {
                    Decimal::is_shown_as(number.as_str()) && matches(regex, number.as_str())
                }
                Value::Bool(_) => matches(regex, &scalar.display()),
                Value::List(_) | Value::Null | Value::Table(_) => false,
            },
        }
    }
}

impl Allowed {
    fn is_like(&self, scalar: &Value) -> bool {
        match (self, scalar) {
            (Self::Bool(one), Value::Bool(two)) => one == two,
            (Self::Number(one, written), Value::Number(two)) => {
                let digits = two.as_str();
                (Decimal::is_shown_as(digits) || digits == written)
                    && number(scalar).as_ref() == Some(one)
            }
            (Self::Number(one, _), Value::Text(text)) => {
                Decimal::is_shown_as(text) && number(scalar).as_ref() == Some(one)
            }
            (Self::Text(text), Value::Bool(two)) => truth(text) == Some(*two),
            (Self::Text(text), Value::Number(two)) => {
                text == two.as_str() && Decimal::is_shown_as(text)
            }
            (Self::Text(one), Value::Text(two)) => same_text(one, two),
            (Self::Bool(_), Value::Number(_) | Value::Text(_))
            | (Self::Number(..), Value::Bool(_))
            | (_, Value::List(_) | Value::Null | Value::Table(_)) => false,
        }
    }
}

fn number(scalar: &Value) -> Option<Decimal> {
    match scalar {
        Value::Number(number) => Decimal::parse(number.as_str()),
        Value::Text(text) => Decimal::parse(text),
        Value::Bool(_) | Value::List(_) | Value::Null | Value::Table(_) => None,
    }
}

fn truth(text: &str) -> Option<bool> {
    let word = text.strip_prefix('$').unwrap_or(text);
    if word.eq_ignore_ascii_case("true") {
        Some(true)
    } else if word.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Whether two texts differ in case alone. An ASCII letter is like no other than itself: to Unicode, the Kelvin sign is a
/// `k`, and what stands behind the gateway may not think so.
fn same_text(one: &str, two: &str) -> bool {
    let (mut left, mut right) = (one.chars(), two.chars());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(a), Some(b))
                if a.eq_ignore_ascii_case(&b)
                    || (!a.is_ascii()
                        && !b.is_ascii()
                        && a.to_lowercase().eq(b.to_lowercase())) => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

/// Whether `regex`, which ignores case, matches `text`. The Kelvin sign and the long s are the only letters outside ASCII
/// that it would take for ASCII ones; no text with them matches, for the reason that [`same_text`] gives.
fn matches(regex: &Regex, text: &str) -> bool {
    !text.contains(['\u{212a}', '\u{17f}']) && regex.is_match(text)
}

/// Reads as the rest of "`Parameter` must …".
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        match self {
            Self::Max(_, max) => write!(f, "be at most {max}"),
            Self::MaxItems(1) => f.write_str("have one value"),
            Self::MaxItems(most) => write!(f, "have at most {most} values"),
            Self::Min(_, min) => write!(f, "be at least {min}"),
            Self::OneOf(allowed) => {
                let one = if allowed.len() == 1 { "" } else { "one of " };
                write!(f, "be {one}")?;
                for (index, value) in allowed.iter().take(SHOWN).enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{value}")?;
                }
                if allowed.len() > SHOWN {
                    write!(f, ", … ({} in all)", allowed.len())?;
                }
                Ok(())
            }
            Self::Pattern { source, .. } => write!(f, "match `{source}`"),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("`$true`"),
            Self::Bool(false) => f.write_str("`$false`"),
            Self::Number(_, text) | Self::Text(text) => write!(f, "`{text}`"),
        }
    }
}
