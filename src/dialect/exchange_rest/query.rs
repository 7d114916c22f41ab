//! A request's query: a closed list of keys for each form, none of them twice.

use crate::dialect::{Unreadable, shown};

use super::escape;

/// The longest query, in bytes: a filter over hundreds of identities is the longest thing sent.
const MAX_QUERY_BYTES: usize = 32 * 1024;

/// The key that names the regional host which a page must be asked of. Only the gateway's own links carry it, and it is
/// taken off before anything goes upstream.
pub(super) const HOST: &str = "portcullis-host";
/// The key of a further page's token: opaque, and passed on in the very letters of the upstream's link.
pub(super) const SKIPTOKEN: &str = "$skiptoken";

/// Keys of a cmdlet's call.
pub(super) const OF_COMMAND: &[&str] = &["$select", SKIPTOKEN, HOST];
/// Keys of a read of an entity (exchange-rest section 5.2).
pub(super) const OF_READ: &[&str] = &[
    "$expand",
    "$filter",
    "$select",
    SKIPTOKEN,
    "$top",
    "Anr",
    "GroupMailbox",
    IS_ENCODED,
    "IsUsingMailboxFolderId",
    "OrganizationalUnit",
    "PropertySet",
    READ_HEADERS,
    "SoftDeletedMailbox",
    HOST,
];
/// Keys of a session's set-up (exchange-rest section 5.1).
pub(super) const OF_SESSION: &[&str] = &["Version"];
/// Whether identities in the path are in base64.
pub(super) const IS_ENCODED: &str = "isEncoded";
/// Whether the identity is in the header `XParameter-Identity`, in base64.
pub(super) const READ_HEADERS: &str = "ReadIdsAndParamsFromHeaders";

/// A query: keys as this file spells them, and decoded values.
///
/// INVARIANT: no key twice; the value of [`SKIPTOKEN`] is not decoded, and made of URL characters alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads `text`, what stands behind the path's `?`; the keys may be of `known` alone, in any case.
    pub(super) fn read(text: Option<&str>, known: &[&'static str]) -> Result<Self, Unreadable> {
        let mut query = Self::default();
        let text = text.unwrap_or_default();
        if text.len() > MAX_QUERY_BYTES {
            let text = format!("the query is longer than {MAX_QUERY_BYTES} bytes");
            return Err(Unreadable::bad("long-query", text));
        }
        if text.is_empty() {
            return Ok(query);
        }
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                let text = format!("the query's part `{}` is not `key=value`", shown(pair));
                Unreadable::bad("bad-query", text)
            })?;
            let given = escape::decode(key, "the query")?;
            let mut known = known.iter().copied();
            let key = known
                .find(|it| it.eq_ignore_ascii_case(&given))
                .ok_or_else(|| {
                    let text = format!("the query key `{}` is not known here", shown(&given));
                    Unreadable::bad("unknown-query-key", text)
                })?;
            if query.get(key).is_some() {
                let text = format!("the query key `{key}` is given twice");
                return Err(Unreadable::bad("duplicate-query-key", text));
            }
            let value = if key == SKIPTOKEN {
                token(value)?
            } else {
                decode_value(value)?
            };
            query.0.push((key, value));
        }
        Ok(query)
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(it, _)| *it == key)
            .map(|(_, value)| value.as_str())
    }

    /// Takes `key` out.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(it, _)| *it == key)?;
        Some(self.0.remove(at).1)
    }

    /// Takes the switch `key` out: `true` or `false` in any case; absent is false.
    pub(super) fn take_switch(&mut self, key: &str) -> Result<bool, Unreadable> {
        match self.take(key) {
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if !text.eq_ignore_ascii_case("false") => {
                let text = format!("`{key}` must be `true` or `false`");
                Err(Unreadable::bad("bad-query", text))
            }
            Some(_) | None => Ok(false),
        }
    }

    /// Keys and values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Writes it with its `?`, and `more` keys behind its own; nothing if there is none.
    pub(super) fn write(&self, more: &[(&str, &str)], out: &mut String) {
        let mut before = '?';
        let mut push = |key: &str, value: &str| {
            out.push(before);
            out.push_str(key);
            out.push('=');
            if key == SKIPTOKEN {
                out.push_str(value);
            } else {
                out.push_str(&escape::query_value(value).to_string());
            }
            before = '&';
        };
        for (key, value) in self.iter() {
            push(key, value);
        }
        for (key, value) in more {
            push(key, value);
        }
    }
}

fn decode_value(text: &str) -> Result<String, Unreadable> {
    if let Some(odd) = text.chars().find(|it| !it.is_ascii_graphic() || *it == '#') {
        let text = format!("the query holds `{}` unencoded", odd.escape_debug());
        return Err(Unreadable::bad("query-character", text));
    }
    // A plus sign is a blank in a query, as web servers read it.
    Ok(escape::decode(&text.replace('+', "%20"), "the query")?.into_owned())
}

fn token(text: &str) -> Result<String, Unreadable> {
    let is_clean = text
        .chars()
        .all(|it| it.is_ascii_alphanumeric() || "-._~%!$'()*+,=:@/?;".contains(it));
    if text.is_empty() || !is_clean || !escape::escapes_are_whole(text) {
        return Err(Unreadable::bad(
            "bad-skiptoken",
            "`$skiptoken` is not a token; follow the `@odata.nextLink` of the answer as it is",
        ));
    }
    Ok(text.to_owned())
}
