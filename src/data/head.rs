//! The checks on a request's head that are the proxy's, whatever the dialect: one host, one framing, plain forms only.

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Version};

use super::reject::Rejection;
use super::tap::Tap;

/// What a clean head says.
#[derive(Debug)]
pub(super) struct Head {
    /// The host (and port) that the client named, lower case.
    pub(super) authority: String,
}

/// Drops the headers that `Connection` nominates: they are for this hop alone (RFC 9110 section 7.6.1).
pub(super) fn remove_nominated(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in &nominated {
        headers.remove(name);
    }
}

/// Refuses what is ambiguous or never needed: two hosts, `Host` beside another `:authority`, a URL in the request line,
/// CONNECT, TRACE and upgrades, transfer codings other than chunked, and both framings at once.
pub(super) fn check(parts: &Parts, tap: Option<&Tap>) -> Result<Head, Rejection> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Rejection::head("method", "this method is not supported"));
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Rejection::head(
            "two-hosts",
            "the request has two Host headers",
        ));
    }
    let host = match host {
        None => None,
        Some(host) => Some(
            host.to_str()
                .map_err(|_| Rejection::head("host", "the Host header is not plain text"))?,
        ),
    };
    let authority = match (parts.uri.authority(), host) {
        (Some(authority), host) => {
            if parts.version < Version::HTTP_2 {
                return Err(Rejection::head(
                    "absolute-form",
                    "the request line holds a whole URL; send the path and a Host header",
                ));
            }
            if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority.as_str())) {
                return Err(Rejection::head("two-hosts", "Host and :authority differ"));
            }
            authority.as_str()
        }
        (None, Some(host)) => host,
        (None, None) => return Err(Rejection::head("no-host", "the request names no host")),
    };
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_')
    };
    if authority.is_empty() || authority.len() > 255 || !authority.bytes().all(plain) {
        return Err(Rejection::head(
            "host",
            "the Host header is not a host name with an optional port",
        ));
    }
    if let Some(coding) = parts.headers.get(TRANSFER_ENCODING) {
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !chunked || parts.headers.get_all(TRANSFER_ENCODING).iter().count() > 1 {
            return Err(Rejection::head(
                "transfer-encoding",
                "only `Transfer-Encoding: chunked` is understood",
            ));
        }
        let target = parts.uri.path_and_query().map_or("/", |it| it.as_str());
        let request_line = format!("{} {target} {:?}", parts.method, parts.version);
        if !tap.is_some_and(|it| it.has_single_framing(&request_line)) {
            return Err(Rejection::head(
                "two-framings",
                "the request has both Content-Length and Transfer-Encoding, or follows another without waiting for its answer",
            ));
        }
    }
    Ok(Head {
        authority: authority.to_ascii_lowercase(),
    })
}
