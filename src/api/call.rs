//! One call of the API: who calls, by which right, and what was sent, read strictly.

mod caller;
mod site;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use chrono::Utc;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::api::Api;
use crate::api::problem::{Failure, Kind};
use crate::api::routes::Route;
use crate::api::schema;
use crate::api::types::FieldProblem;
use crate::control::{Caller, StoredToken, Tool, Via};
use crate::dialect::json;
use crate::model::Principal;

pub(super) use caller::scope_word;
use site::check_site;

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

/// From where a request came.
pub(super) fn source(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<SocketAddr>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |it| it.ip().to_canonical())
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
