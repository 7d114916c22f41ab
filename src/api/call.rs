//! One call of the API: who calls, by which right, and what was sent, read strictly.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use chrono::Utc;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, USER_AGENT,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, Limited};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::api::Api;
use crate::api::problem::{Failure, Kind};
use crate::api::routes::{Right, Route};
use crate::api::schema;
use crate::api::types::{FieldProblem, TokenScope};
use crate::audit::Event;
use crate::control::{Caller, StoredToken, TOKEN_PREFIX, Tool, Via};
use crate::dialect::json;
use crate::model::Principal;

/// The largest body that is read, in bytes.
const MOST_BODY: usize = 64 * 1024;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest query, in bytes.
const MOST_QUERY: usize = 8 * 1024;

/// A call by somebody who may make it.
#[derive(Debug)]
pub(super) struct Call {
    /// Who, from where and by which way.
    pub(super) caller: Caller,
    /// The token that was presented, if it was one.
    pub(super) token: Option<StoredToken>,
    /// What the path's placeholders stand for, in order.
    pub(super) path: Vec<String>,
    /// The query as it came.
    pub(super) query: String,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// The body as it came.
    pub(super) body: Vec<u8>,
}

impl Call {
    pub(super) fn who(&self) -> &Principal {
        &self.caller.principal
    }

    /// The id in the path.
    pub(super) fn id(&self) -> Result<Uuid, Failure> {
        let text = self.path.first().map(String::as_str).unwrap_or_default();
        Uuid::try_parse(text)
            .ok()
            .filter(|_| text.len() == 36)
            .ok_or_else(|| {
                Failure::new(
                    Kind::NotFound,
                    "the path has no id, such as `0190b2c4-7d3e-7a51-9c1b-2f6d8e4a1b77`",
                )
            })
    }

    /// The body as a `T`; no body is an empty object.
    pub(super) fn read<T: JsonSchema + DeserializeOwned>(&self) -> Result<T, Failure> {
        let bytes: &[u8] = if self.body.is_empty() {
            b"{}"
        } else {
            &self.body
        };
        // Strict first: no member twice, no depth without bound.
        json::read(bytes).map_err(|error| Failure::new(Kind::Malformed, error.to_string()))?;
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| Failure::new(Kind::Malformed, error.to_string()))?;
        typed(value, "")
    }

    /// The query as a `T`.
    pub(super) fn query<T: JsonSchema + DeserializeOwned>(&self) -> Result<T, Failure> {
        let mut members = Map::new();
        let mut problems = Vec::new();
        let known = schema::of::<T>().and_then(|it| it.get("properties")?.as_object());
        for (name, text) in url::form_urlencoded::parse(self.query.as_bytes()) {
            let value = match known.and_then(|it| it.get(name.as_ref())) {
                Some(schema) => schema::from_text(schema, &text),
                None => Value::from(text.as_ref()),
            };
            if members.insert(name.clone().into_owned(), value).is_some() {
                problems.push(FieldProblem {
                    pointer: format!("?{}", schema::segment(&name)),
                    detail: "is given twice".to_owned(),
                });
            }
        }
        let value = Value::Object(members);
        problems.extend(
            schema::check::<T>(&value)
                .into_iter()
                .map(|it| FieldProblem {
                    pointer: it.pointer.replacen('/', "?", 1),
                    detail: it.detail,
                }),
        );
        if !problems.is_empty() {
            return Err(Failure::fields(
                "the query is not what this path takes",
                problems,
            ));
        }
        typed(value, "?")
    }

    /// That there is no query, where none is taken.
    pub(super) fn no_query(&self) -> Result<(), Failure> {
        if self.query.is_empty() {
            return Ok(());
        }
        let problems =
            url::form_urlencoded::parse(self.query.as_bytes()).map(|(name, _)| FieldProblem {
                pointer: format!("?{}", schema::segment(&name)),
                detail: "is not known here; this path takes no query".to_owned(),
            });
        Err(Failure::fields(
            "this path takes no query",
            problems.take(50).collect(),
        ))
    }
}

fn typed<T: JsonSchema + DeserializeOwned>(mut value: Value, root: &str) -> Result<T, Failure> {
    let problems = schema::check::<T>(&value);
    if !problems.is_empty() {
        return Err(Failure::fields(
            "the body is not what this path takes",
            problems,
        ));
    }
    if let Some(schema) = schema::of::<T>() {
        schema::settle(schema, &mut value);
    }
    serde_json::from_value(value).map_err(|error| {
        let problem = FieldProblem {
            pointer: root.to_owned(),
            detail: error.to_string(),
        };
        Failure::fields("the request is not what this path takes", vec![problem])
    })
}

impl Api {
    /// The call that this request is, if whoever sent it may make it.
    pub(super) async fn call(
        &self,
        route: &Route,
        parts: &Parts,
        path: Vec<String>,
        body: Body,
    ) -> Result<Call, Failure> {
        let source = source(parts);
        self.check_host(parts)?;
        check_site(parts)?;
        let (principal, token) = self.sign_in(&parts.headers, source).await?;
        if !self
            .rates
            .allow(&principal.key, Utc::now().timestamp_millis())
        {
            let failure = Failure::new(
                Kind::TooMany,
                "you ask more often than is answered: wait a second",
            );
            return Err(failure.with(RETRY_AFTER, HeaderValue::from_static("1")));
        }
        // A token can always give itself up, so that whoever signs out by it needs nothing else.
        let gives_itself_up = route.name == "revoke_token"
            && token
                .as_ref()
                .is_some_and(|it| path.first().is_some_and(|id| *id == it.id.to_string()));
        if !gives_itself_up {
            self.check_right(route, &principal, token.as_ref())?;
        }
        let query = parts.uri.query().unwrap_or_default().to_owned();
        if query.len() > MOST_QUERY {
            return Err(Failure::new(
                Kind::Malformed,
                format!("the query is longer than {MOST_QUERY} bytes"),
            ));
        }
        let body = if route.method == "GET" || route.method == "DELETE" {
            Vec::new()
        } else {
            read_body(&parts.headers, body).await?
        };
        Ok(Call {
            caller: Caller {
                principal,
                source,
                decision: None,
                via: Via::Api {
                    token: token.as_ref().map(|it| it.id),
                    tool: tool(&parts.headers),
                },
            },
            token,
            path,
            query,
            headers: parts.headers.clone(),
            body,
        })
    }

    /// Refuses a page of a stranger's that a browser was made to take for this host (DNS rebinding), where anybody on this
    /// machine could be meant; and, where others could listen, credentials in the clear.
    pub(super) fn check_host(&self, parts: &Parts) -> Result<(), Failure> {
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

    /// Who calls, by a token of the API or a credential of an identity.
    async fn sign_in(
        &self,
        headers: &HeaderMap,
        source: IpAddr,
    ) -> Result<(Principal, Option<StoredToken>), Failure> {
        if let Some(secret) = own_token(headers) {
            let Some(token) = self.control.token(secret).await? else {
                self.refused_sign_in("unknown-token", source);
                let failure = Failure::new(
                    Kind::Unauthenticated,
                    "the token is unknown, revoked or expired: make another with POST /api/v1/tokens",
                );
                return Err(failure.with(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static(r#"Bearer realm="portcullis", error="invalid_token""#),
                ));
            };
            return Ok((self.owner(&token), Some(token)));
        }
        let allowed = &self.settings.identities;
        match self
            .identities
            .authenticate(allowed, headers, Utc::now())
            .await
        {
            Ok(known) => Ok((known.principal.as_ref().clone(), None)),
            Err(failure) => {
                if headers.contains_key(AUTHORIZATION) {
                    self.refused_sign_in(failure.reason(), source);
                }
                let kind = if failure.status() == http::StatusCode::UNAUTHORIZED {
                    Kind::Unauthenticated
                } else {
                    Kind::Unavailable
                };
                let answer = Failure::new(kind, failure.public_text());
                Err(if kind == Kind::Unauthenticated {
                    answer.with(WWW_AUTHENTICATE, failure.challenge())
                } else {
                    answer.with(RETRY_AFTER, HeaderValue::from_static("1"))
                })
            }
        }
    }

    /// The owner of a token. What an identity provider said of their groups is not known any more, so it does not count.
    fn owner(&self, token: &StoredToken) -> Principal {
        Principal {
            kind: token.principal_kind,
            id: self.state.interner.principal(&token.principal_key),
            key: token.principal_key.clone(),
            name: token.principal_name.clone(),
            groups: Vec::new(),
            tenant: token.tenant.clone(),
            identity: token.identity.clone(),
        }
    }

    /// Puts a refused sign-in on record, bounded.
    fn refused_sign_in(&self, reason: &str, source: IpAddr) {
        let now = Utc::now();
        if !self.strangers.is_recorded(source, now.timestamp_millis()) {
            return;
        }
        let details = Map::from_iter([
            ("reason".to_owned(), reason.into()),
            ("status".to_owned(), 401.into()),
            ("via".to_owned(), "api".into()),
        ]);
        self.audit.event_soon(Event {
            id: Uuid::now_v7(),
            at: now,
            kind: "sign-in.failed".to_owned(),
            principal: None,
            source: Some(source),
            request: None,
            grant: None,
            policy: None,
            decision: None,
            details,
        });
    }

    fn check_right(
        &self,
        route: &Route,
        who: &Principal,
        token: Option<&StoredToken>,
    ) -> Result<(), Failure> {
        if let Some(token) = token {
            let needed = scope_word(route.scope);
            if route.right == Right::PersonInPerson {
                return Err(Failure::new(
                    Kind::Forbidden,
                    "tokens are made and revoked by people with their own credentials, and not with a token",
                ));
            }
            if !token.scopes.iter().any(|it| it == needed) {
                return Err(Failure::new(
                    Kind::Forbidden,
                    format!(
                        "this takes a token with the scope `{needed}`, and this one has {}",
                        token.scopes.join(", ")
                    ),
                ));
            }
        }
        let (may, whom, group, key) = match route.right {
            Right::Anybody | Right::Person | Right::PersonInPerson => return Ok(()),
            Right::Auditor => (
                self.control.is_auditor(who),
                "auditors and operators",
                &self.settings.auditors,
                "auditors",
            ),
            Right::Operator => (
                self.control.is_operator(who),
                "operators",
                &self.settings.operators,
                "operators",
            ),
        };
        if may {
            return Ok(());
        }
        Err(Failure::new(
            Kind::Forbidden,
            match group {
                Some(group) => format!("this is for {whom}: be a member of the group `{group}`"),
                None => format!(
                    "this is for {whom}, and no group is named: set `{key}` under [access_control] of the gateway's configuration"
                ),
            },
        ))
    }
}

/// What calls, as it says itself.
fn tool(headers: &HeaderMap) -> Tool {
    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes);
    if agent.is_some_and(|it| it.starts_with(b"portcullis/")) {
        Tool::CommandLine
    } else {
        Tool::Other
    }
}

/// A token of the API among the headers, if there is one credential and it is such a one.
fn own_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    let is_own = scheme.eq_ignore_ascii_case("bearer") && secret.starts_with(TOKEN_PREFIX);
    (is_own && values.next().is_none()).then_some(secret)
}

/// The word of a scope.
pub(super) fn scope_word(scope: TokenScope) -> &'static str {
    match scope {
        TokenScope::Approve => "approve",
        TokenScope::Audit => "audit",
        TokenScope::Operate => "operate",
        TokenScope::Read => "read",
        TokenScope::Request => "request",
    }
}

/// From where a request came.
pub(super) fn source(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<SocketAddr>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |it| it.ip().to_canonical())
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

/// Refuses what a browser was made to send by another site's page: browsers keep Basic credentials and add them unasked.
fn check_site(parts: &Parts) -> Result<(), Failure> {
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

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Failure> {
    let limited = Limited::new(body, MOST_BODY);
    let read = tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await;
    let body = match read {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Failure::new(
                Kind::TooLarge,
                format!("a body has at most {MOST_BODY} bytes"),
            ));
        }
        Ok(Err(_)) => {
            return Err(Failure::new(
                Kind::Malformed,
                "the body ended before its end",
            ));
        }
        Err(_) => {
            return Err(Failure::new(
                Kind::TooSlow,
                "the body took longer than 10 s",
            ));
        }
    };
    // A form of a page names its own type even where it has no field, and so is refused; a program without a body has none.
    if !body.is_empty() || headers.contains_key(CONTENT_TYPE) {
        let mut kinds = headers.get_all(CONTENT_TYPE).iter();
        let kind = kinds.next().and_then(|it| it.to_str().ok());
        let kind = kind.filter(|_| kinds.next().is_none()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Failure::new(
                Kind::UnsupportedMediaType,
                "send `Content-Type: application/json`",
            ));
        }
    }
    Ok(body.to_vec())
}
