//! A request's path, taken apart: `{base}/{version}/{tenant}/{segment}…`, where a segment is a name and perhaps what
//! stands in parentheses behind it (OData's keys and function arguments).
//!
//! INVARIANT: each segment is decoded exactly once, and no decoded text holds `/`, `\`, `;` or a control character.
//! What goes upstream is built from this, never copied.

use std::borrow::Cow;

use crate::dialect::{Unreadable, shown};

use super::escape;
use super::version::Version;

/// The longest path that is read, in bytes.
const MAX_PATH_BYTES: usize = 4096;
/// The longest tenant: a domain name (RFC 1035 section 2.3.4).
const MAX_TENANT_BYTES: usize = 253;

/// What a path names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) version: Version,
    /// As it is spelled.
    pub(super) tenant: String,
    /// What follows the tenant.
    pub(super) segments: Vec<Segment>,
    /// Whether a slash ends the path.
    pub(super) trailing_slash: bool,
}

/// One segment of a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) behind: Behind,
}

/// What stands behind a segment's name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Behind {
    /// `(name=literal,…)`; empty for `()`.
    Arguments(Vec<(String, Literal)>),
    /// `(literal)`
    Key(Literal),
    /// No parentheses.
    Nothing,
}

/// An OData literal: `'text'`, `Namespace.Type'text'`, or a bare token such as a GUID or `null`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Literal {
    /// The enumeration's type, if one stands before the quote.
    pub(super) prefix: Option<String>,
    /// Whether the text stands in quotes.
    pub(super) quoted: bool,
    /// The text, its doubled quotes undone.
    pub(super) text: String,
}

impl Literal {
    /// `'text'`
    pub(super) fn quoted(text: impl Into<String>) -> Self {
        Self {
            prefix: None,
            quoted: true,
            text: text.into(),
        }
    }

    /// As it stands in a path.
    pub(super) fn write(&self, out: &mut String) {
        if let Some(prefix) = &self.prefix {
            out.push_str(prefix);
        }
        if self.quoted {
            let doubled = self.text.replace('\'', "''");
            out.push('\'');
            out.push_str(&escape::literal(&doubled).to_string());
            out.push('\'');
        } else {
            out.push_str(&self.text);
        }
    }
}

/// Reads `path` (no query), which must lie below `base`, such as `/adminapi`.
pub(super) fn read(path: &str, base: &str) -> Result<Target, Unreadable> {
    if path.len() > MAX_PATH_BYTES {
        let text = format!("the path is longer than {MAX_PATH_BYTES} bytes");
        return Err(Unreadable::bad("long-path", text));
    }
    if !path.bytes().all(may_stand_in_path) {
        let odd = path
            .chars()
            .find(|it| u8::try_from(*it).map_or(true, |it| !may_stand_in_path(it)));
        let text = format!(
            "the path holds `{}`",
            odd.unwrap_or_default().escape_debug()
        );
        return Err(Unreadable::bad("path-character", text));
    }
    let rest = below(path, base).ok_or_else(|| {
        let text = format!("the path is not below `{}/`", shown(base));
        Unreadable::bad("unknown-path", text)
    })?;
    let (rest, trailing_slash) = match rest.strip_suffix('/') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let mut parts = rest.split('/').map(decode_segment);
    let version = parts.next().transpose()?.unwrap_or_default();
    let version = Version::read(&version).ok_or_else(|| {
        Unreadable::bad(
            "unknown-version",
            format!(
                "`{}` is not a version of this API; `beta`, `v0.5`, `v1.0` and `v2.0` are",
                shown(&version)
            ),
        )
    })?;
    let tenant = parts.next().transpose()?.unwrap_or_default();
    if !is_tenant(&tenant) {
        return Err(Unreadable::bad(
            "bad-tenant",
            format!(
                "`{}` is not a tenant; the path needs a tenant's GUID or domain behind the version",
                shown(&tenant)
            ),
        ));
    }
    let segments = parts
        .map(|part| Segment::read(&part?))
        .collect::<Result<_, _>>()?;
    Ok(Target {
        version,
        tenant: tenant.into_owned(),
        segments,
        trailing_slash,
    })
}

/// What follows `base` and its slash in `path`.
fn below<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    let (start, rest) = path.split_at_checked(base.len())?;
    let rest = rest.strip_prefix('/')?;
    start.eq_ignore_ascii_case(base).then_some(rest)
}

/// RFC 3986's path characters, without `;`, which begins path parameters.
fn may_stand_in_path(it: u8) -> bool {
    it.is_ascii_alphanumeric()
        || matches!(
            it,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
                | b'/'
        )
}

fn decode_segment(part: &str) -> Result<Cow<'_, str>, Unreadable> {
    let text = escape::decode(part, "the path")?;
    if text.is_empty() {
        return Err(Unreadable::bad(
            "empty-segment",
            "the path holds an empty segment (`//`)",
        ));
    }
    if text == "." || text == ".." {
        return Err(Unreadable::bad(
            "dot-segment",
            "the path holds a `.` or `..` segment",
        ));
    }
    if let Some(odd) = text.bytes().find(|it| matches!(it, b'/' | b'\\' | b';')) {
        return Err(Unreadable::bad(
            "path-character",
            format!(
                "the path holds `{}`; an identity with such a character goes in base64, with `isEncoded=true`",
                char::from(odd)
            ),
        ));
    }
    Ok(text)
}

fn is_tenant(text: &str) -> bool {
    text.len() <= MAX_TENANT_BYTES
        && text.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|it| it.is_ascii_alphanumeric() || it == b'-')
        })
}

impl Segment {
    fn read(text: &str) -> Result<Self, Unreadable> {
        let wrong = || {
            Unreadable::bad(
                "bad-segment",
                format!(
                    "the path's segment `{}` is not of a form that is known here",
                    shown(text)
                ),
            )
        };
        let (name, behind) = match text.split_once('(') {
            None => (text, Behind::Nothing),
            Some((name, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(wrong)?;
                (name, Behind::read(inner).ok_or_else(wrong)?)
            }
        };
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'$'));
        if !is_name {
            return Err(wrong());
        }
        let name = name.to_owned();
        Ok(Self { name, behind })
    }
}

impl Behind {
    fn read(text: &str) -> Option<Self> {
        let first = text.find(['=', '\'']).and_then(|at| text.get(at..));
        if text.is_empty() {
            return Some(Self::Arguments(Vec::new()));
        }
        if !first.is_some_and(|it| it.starts_with('=')) {
            let (literal, rest) = read_literal(text)?;
            return rest.is_empty().then_some(Self::Key(literal));
        }
        let mut arguments = Vec::new();
        let mut rest = text;
        loop {
            let (name, value) = rest.split_once('=')?;
            let is_name = !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphabetic());
            let (literal, after) = read_literal(value)?;
            if !is_name {
                return None;
            }
            arguments.push((name.to_owned(), literal));
            if after.is_empty() {
                return Some(Self::Arguments(arguments));
            }
            rest = after.strip_prefix(',')?;
        }
    }
}

/// The literal that `text` begins with, and what follows it.
fn read_literal(text: &str) -> Option<(Literal, &str)> {
    let is_token = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    let end = text.find(|it| !is_token(it)).unwrap_or(text.len());
    let (token, rest) = text.split_at_checked(end)?;
    let Some(mut rest) = rest.strip_prefix('\'') else {
        let literal = Literal {
            prefix: None,
            quoted: false,
            text: token.to_owned(),
        };
        return (!token.is_empty()).then_some((literal, rest));
    };
    let mut inner = String::new();
    loop {
        let (before, after) = rest.split_once('\'')?;
        inner.push_str(before);
        match after.strip_prefix('\'') {
            None => {
                let literal = Literal {
                    prefix: (!token.is_empty()).then(|| token.to_owned()),
                    quoted: true,
                    text: inner,
                };
                return Some((literal, after));
            }
            Some(after) => {
                inner.push('\'');
                rest = after;
            }
        }
    }
}
