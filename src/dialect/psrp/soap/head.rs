//! The HTTP head of a request: one path, a closed list of query keys, one type of body.

use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use crate::dialect::{Unreadable, shown};

/// What PowerShell and the Exchange Management Shell append to the URL (psrp section 1), and what goes upstream of it.
const QUERY_KEYS: &[&str] = &[
    "clientApplication",
    "ExchClientVer",
    "PSVersion",
    "serializationLevel",
];

/// What a request's URL says besides the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Keys of the closed list with their values, distinct, in the client's order.
    query: Vec<(&'static str, String)>,
}

impl Target {
    /// `path` with what goes upstream of the query.
    pub fn path_and_query(&self, path: &str) -> String {
        let pairs: Vec<_> = self
            .query
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        if pairs.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", pairs.join(";"))
        }
    }
}

/// Reads a request's head. `path` is the endpoint's, such as `/powershell`, without a slash at its end; it is compared
/// without case.
pub fn read_head(
    method: &Method,
    path_and_query: &str,
    headers: &HeaderMap,
    path: &str,
) -> Result<Target, Unreadable> {
    let (given, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let given = given.strip_suffix('/').unwrap_or(given);
    if !given.eq_ignore_ascii_case(path) {
        let text = format!(
            "`{}` is not the path of this endpoint, `{path}`",
            shown(given)
        );
        return Err(Unreadable::bad("unknown-path", text));
    }
    if *method != Method::POST {
        let text = "this path takes `POST` only";
        return Err(Unreadable::with(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            text,
        ));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Unreadable::with(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-encoding",
            "a body must not be compressed",
        ));
    }
    content_type(one(headers, &header::CONTENT_TYPE)?)?;
    Ok(Target {
        query: query.map(read_query).transpose()?.unwrap_or_default(),
    })
}

fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Unreadable> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().and_then(|it| it.to_str().ok());
    if let (Some(value), None) = (first, values.next()) {
        return Ok(value);
    }
    let text = format!("`{name}` must be there once");
    Err(Unreadable::bad("bad-header", text))
}

fn content_type(value: &str) -> Result<(), Unreadable> {
    let mut parts = value.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let refused =
        |reason, text: &str| Unreadable::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason, text);
    if kind.to_ascii_lowercase().starts_with("multipart/") {
        return Err(refused(
            "message-encryption",
            "messages that are encrypted inside of HTTPS are not read here; connect with an `https://` URI and `-Authentication Basic`",
        ));
    }
    let parameter = parts.next().unwrap_or_default().to_ascii_lowercase();
    let charset = parameter
        .strip_prefix("charset=")
        .map(|it| it.trim_matches('"'));
    match charset {
        Some("utf-8")
            if kind.eq_ignore_ascii_case("application/soap+xml") && parts.next().is_none() =>
        {
            Ok(())
        }
        Some("utf-16") => Err(refused(
            "utf-16",
            "UTF-16 is not read here; leave `-UseUTF16` out of `New-PSSessionOption`",
        )),
        Some(_) | None => Err(refused(
            "content-type",
            "a body must be `application/soap+xml;charset=UTF-8`",
        )),
    }
}

fn read_query(query: &str) -> Result<Vec<(&'static str, String)>, Unreadable> {
    const LONGEST: usize = 64;
    let mut read: Vec<(&'static str, String)> = Vec::new();
    for pair in query.split([';', '&']).filter(|it| !it.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = QUERY_KEYS.iter().find(|it| it.eq_ignore_ascii_case(key));
        let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-');
        match known {
            Some(known)
                if value.len() <= LONGEST
                    && value.bytes().all(is_plain)
                    && read.iter().all(|it| it.0 != *known) =>
            {
                read.push((known, value.to_owned()));
            }
            Some(_) | None => {
                let text = format!("`{}` is not a query that is read here", shown(pair));
                return Err(Unreadable::bad("bad-query", text));
            }
        }
    }
    Ok(read)
}
