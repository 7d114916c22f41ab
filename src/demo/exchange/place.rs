//! Where a request goes: the parts of its path, read as forgivingly as the real service, and its query.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

/// Version segments that are served.
const VERSIONS: [&str; 4] = ["beta", "v0.5", "v1.0", "v2.0"];

/// The parts of `/adminapi/{version}/{tenant}/{rest}?{query}`.
#[derive(Debug)]
pub(super) struct Place {
    /// In lower case.
    pub(super) version: String,
    pub(super) tenant: String,
    /// What follows the tenant, decoded, without empty segments.
    pub(super) rest: Vec<String>,
    path: String,
    query: Vec<(String, String)>,
}

impl Place {
    /// The place that a request's target names; `None` if that is outside the admin API.
    pub(super) fn of(target: &Uri) -> Option<Self> {
        let mut segments = target
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned());
        let is_ours = segments.next()?.eq_ignore_ascii_case("adminapi");
        let version = segments.next()?.to_lowercase();
        let tenant = segments.next()?;
        let query = url::form_urlencoded::parse(target.query().unwrap_or_default().as_bytes());
        (is_ours && VERSIONS.contains(&version.as_str())).then(|| Self {
            version,
            tenant,
            rest: segments.collect(),
            path: target.path().to_owned(),
            query: query.into_owned().collect(),
        })
    }

    /// The base of links to this place: version and tenant.
    pub(super) fn base(&self, origin: &str) -> String {
        format!("{origin}/adminapi/{}/{}", self.version, self.tenant)
    }

    /// This place's address with a token in its query.
    pub(super) fn page(&self, origin: &str, token: &str) -> String {
        let select = self.query("$select");
        let select = select
            .map(|it| format!("&$select={it}"))
            .unwrap_or_default();
        format!("{origin}{}?$skiptoken={token}{select}", self.path)
    }

    /// A query option, its name in any case.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let named = |(it, _): &&(String, String)| it.eq_ignore_ascii_case(name);
        self.query
            .iter()
            .find(named)
            .map(|(_, value)| value.as_str())
    }

    /// The properties that `$select` names.
    pub(super) fn selected(&self) -> Vec<String> {
        let select = self.query("$select").unwrap_or_default();
        let names = select.split(',').map(str::trim);
        names
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The entity set that a read names, the key in it, and what is asked below that: `Mailbox('ana')/MailboxPermission`.
    /// The key may be in base64, or in a header (exchange-rest section 5.2).
    pub(super) fn entity(
        &self,
        headers: &HeaderMap,
    ) -> Option<(&str, Option<String>, Option<&str>)> {
        let (first, below) = match self.rest.as_slice() {
            [first] => (first, None),
            [first, below] => (first, Some(below.as_str())),
            _ => return None,
        };
        let (set, key) = match first.split_once('(') {
            None => (first.as_str(), None),
            Some((set, key)) => {
                let key = key.strip_suffix(')')?.trim_matches('\'').replace("''", "'");
                (set, Some(key))
            }
        };
        let header = headers.get("xparameter-identity");
        let key = match header.and_then(|it| it.to_str().ok()) {
            Some(identity) => Some(identity.to_owned()),
            None => key,
        };
        let is_encoded = self
            .query("isEncoded")
            .is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let key = match key {
            Some(key) if is_encoded => Some(String::from_utf8(STANDARD.decode(key).ok()?).ok()?),
            key => key,
        };
        Some((set, key, below))
    }
}
