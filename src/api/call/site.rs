//! What a browser was made to send by a page that is not the gateway's own is refused: by the name of the host, and by the page's site.

use std::net::IpAddr;

use http::Method;
use http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;

use crate::api::Api;
use crate::api::problem::{Failure, Kind};

impl Api {
    /// Refuses a page of a stranger's that a browser was made to take for this host (DNS rebinding), where anybody on this
    /// machine could be meant; and, where others could listen, credentials in the clear.
    pub(in crate::api) fn check_host(&self, parts: &Parts) -> Result<(), Failure> {
        if !self.settings.is_private {
            return Err(Failure::new(
                Kind::PlainHttp,
                "the API is not served over plain HTTP on an address that others can reach: set `tls` under [control] of the gateway's configuration, or listen on 127.0.0.1",
            ));
        }
        if !self.settings.is_loopback {
            return Ok(());
        }
        let named = authority(parts);
        let host = named.map(|it| {
            it.host()
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_ascii_lowercase()
        });
        let is_own = host.as_deref().is_some_and(|host| {
            host == "localhost"
                || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
                || self.settings.public_host.as_deref() == Some(host)
        });
        if is_own {
            return Ok(());
        }
        Err(Failure::new(
            Kind::WrongHost,
            "name this gateway by `localhost` or a loopback address, or set `public_url` under [control] of its configuration to the name that you use",
        ))
    }
}

/// Refuses what a browser was made to send by another site's page: browsers keep Basic credentials and add them unasked.
pub(super) fn check_site(parts: &Parts) -> Result<(), Failure> {
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return Ok(());
    }
    let site = parts.headers.get(SITE).map(HeaderValue::as_bytes);
    let is_foreign_site = site.is_some_and(|it| it != b"same-origin" && it != b"none");
    let is_foreign_origin = parts.headers.get(ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().ok().and_then(|it| it.split_once("://"));
        let own = authority(parts);
        origin.map(|it| it.1) != own.as_ref().map(http::uri::Authority::as_str)
    });
    if is_foreign_site || is_foreign_origin {
        return Err(Failure::new(
            Kind::CrossSite,
            "pages of other sites may not use the API; call it from a program",
        ));
    }
    Ok(())
}

fn authority(parts: &Parts) -> Option<http::uri::Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?.parse().ok()?;
    hosts.next().is_none().then_some(host)
}

/// Where a browser says which site's page sends a request ([Fetch metadata]).
///
/// [Fetch metadata]: https://www.w3.org/TR/fetch-metadata/
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
