//! The management API: `/api/v1` on the control listener, JSON over HTTP in front of `control`.
//!
//! It decides nothing that the workflow decides: handlers read a request strictly, call `control` as every cmdlet does, and write
//! the answer. What is its own: who is signed in (identities and tokens), what a token may be used for, shapes and bounds, and
//! that a write that is sent again is done once. Absent: cookies, CORS, anything that a browser would send unasked.

mod audit;
mod call;
mod decisions;
mod events;
mod grants;
mod idempotency;
mod limits;
mod notifications;
mod openapi;
mod policies;
mod problem;
mod requests;
mod routes;
mod schema;
mod tokens;
pub mod types;
mod views;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::audit::AuditLog;
use crate::config::{Config, IdentityKind};
use crate::control::Control;
use crate::identity::{Identities, Strangers};
use crate::model::Workload;
use crate::policy;
use crate::state::State;

use call::Call;
use limits::{Rates, Watchers};
use problem::{Failure, Kind};

pub use routes::{BASE, ROUTES, Right, Route};

/// What the API stands on.
#[derive(Debug)]
pub struct Parts {
    /// The workflow.
    pub control: Arc<Control>,
    /// Policies and grants in force.
    pub state: Arc<State>,
    /// Who may sign in.
    pub identities: Arc<Identities>,
    /// Where refused sign-ins go on record.
    pub audit: AuditLog,
    /// Which of them do.
    pub strangers: Arc<Strangers>,
}

/// What the configuration says about the API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether nobody else can read what is sent: TLS, a loopback address, or a network that is trusted.
    is_private: bool,
    /// Whether it listens on a loopback address.
    is_loopback: bool,
    /// The host of `public_url`, in lower case.
    public_host: Option<String>,
    /// Names of the identities that may sign in.
    identities: Vec<String>,
    operators: Option<String>,
    auditors: Option<String>,
    audit: PathBuf,
    login: types::Login,
    endpoints: Vec<(Workload, policy::Endpoint)>,
}

impl Settings {
    /// What `config` says.
    pub fn of(config: &Config) -> Self {
        let control = &config.control;
        let is_loopback = control.listen.ip().is_loopback();
        let may = config
            .identities
            .iter()
            .filter(|it| control.identity.contains(&it.name));
        let ways = may.map(|it| types::LoginIdentity {
            name: it.name.clone(),
            kind: match &it.kind {
                IdentityKind::Basic { .. } => types::LoginKind::Basic,
                IdentityKind::Jwt { .. } => types::LoginKind::Bearer,
            },
            device: match &it.kind {
                IdentityKind::Jwt {
                    device: Some(device),
                    ..
                } => Some(types::DeviceLogin {
                    device_authorization_endpoint: device.device_authorization_endpoint.to_string(),
                    token_endpoint: device.token_endpoint.to_string(),
                    client_id: device.client_id.clone(),
                    scope: device.scope.clone(),
                }),
                IdentityKind::Basic { .. } | IdentityKind::Jwt { .. } => None,
            },
        });
        Self {
            is_private: control.tls.is_some() || is_loopback || control.trusted_plaintext,
            is_loopback,
            public_host: control
                .public_url
                .as_ref()
                .and_then(|it| Some(it.host_str()?.to_ascii_lowercase())),
            identities: control.identity.clone(),
            operators: config.access_control.operators.clone(),
            auditors: config.access_control.auditors.clone(),
            audit: config.audit.directory.clone(),
            login: types::Login {
                identities: ways.collect(),
            },
            endpoints: config
                .endpoints
                .iter()
                .map(|it| {
                    let rules = policy::Endpoint {
                        ungoverned: it.ungoverned,
                        report_only: it.report_only,
                    };
                    (it.workload.clone(), rules)
                })
                .collect(),
        }
    }
}

/// The API, ready to serve.
#[derive(Debug)]
struct Api {
    control: Arc<Control>,
    state: Arc<State>,
    identities: Arc<Identities>,
    audit: AuditLog,
    strangers: Arc<Strangers>,
    settings: Settings,
    rates: Rates,
    watchers: Watchers,
    /// Searches of the audit log that run at once.
    searches: Semaphore,
}

/// What is answered when all went well.
#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// What is kept of the body for a repetition, where that is not all.
    kept: Option<Vec<u8>>,
}

impl Answer {
    /// `body`, with 200.
    fn ok(body: &impl Serialize) -> Result<Self, Failure> {
        Self::with(StatusCode::OK, body)
    }

    fn with(status: StatusCode, body: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self {
            status,
            headers: HeaderMap::new(),
            body: serde_json::to_vec(body).map_err(|it| views::unwritable(&it))?,
            kept: None,
        })
    }

    /// Nothing, with 204.
    fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::new(),
            body: Vec::new(),
            kept: None,
        }
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    fn into_response(self) -> Response {
        let has_body = !self.body.is_empty();
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if has_body && !response.headers().contains_key(CONTENT_TYPE) {
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
        }
        response
    }
}

/// The API as a service: each request needs the address of its sender (a `SocketAddr`) among its extensions.
pub fn router(parts: Parts, settings: Settings) -> Router {
    /// Each reads the disk for up to some seconds.
    const SEARCHES: usize = 4;
    let api = Arc::new(Api {
        control: parts.control,
        state: parts.state,
        identities: parts.identities,
        audit: parts.audit,
        strangers: parts.strangers,
        settings,
        rates: Rates::default(),
        watchers: Watchers::default(),
        searches: Semaphore::new(SEARCHES),
    });
    let mut router = Router::new();
    let mut paths: Vec<&str> = ROUTES.iter().map(|it| it.path).collect();
    paths.dedup();
    for path in paths {
        let mut methods = MethodRouter::new();
        let mut allowed = Vec::new();
        for route in ROUTES.iter().filter(|it| it.path == path) {
            allowed.push(route.method);
            let api = Arc::clone(&api);
            let handler = move |params: RawPathParams, request: Request| {
                let api = Arc::clone(&api);
                async move { serve(api, route, &params, request).await }
            };
            methods = methods.merge(on(filter(route.method), handler));
        }
        let allowed = allowed.join(", ");
        let methods = methods.fallback(move || {
            let failure =
                Failure::new(Kind::MethodNotAllowed, format!("this path takes {allowed}"));
            let allow = HeaderValue::from_str(&allowed);
            let failure = match allow {
                Ok(allow) => failure.with(ALLOW, allow),
                Err(_) => failure,
            };
            std::future::ready(finished(failure.into_response()))
        });
        router = router.route(&format!("{BASE}{path}"), methods);
    }
    router.fallback(|| {
        let text =
            format!("there is no such path; {BASE}/openapi.json describes those that there are");
        std::future::ready(finished(Failure::new(Kind::NotFound, text).into_response()))
    })
}

fn filter(method: &str) -> MethodFilter {
    match method {
        "DELETE" => MethodFilter::DELETE,
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        _ => MethodFilter::GET,
    }
}

async fn serve(
    api: Arc<Api>,
    route: &'static Route,
    params: &RawPathParams,
    request: Request,
) -> Response {
    let path = params.iter().map(|it| it.1.to_owned()).collect();
    let (parts, body) = request.into_parts();
    let answered = match route.right {
        Right::Anybody => match api.check_host(&parts) {
            Ok(()) => open(&api, route),
            Err(failure) => Err(failure),
        },
        Right::Auditor | Right::Operator | Right::Person | Right::PersonInPerson => {
            match api.call(route, &parts, path, body).await {
                Ok(call) if route.name == "watch_events" => {
                    return match events::watch(&api, call) {
                        Ok(response) => finished(response),
                        Err(failure) => finished(failure.into_response()),
                    };
                }
                Ok(call) if route.is_write() => write(Arc::clone(&api), route, call).await,
                Ok(call) => dispatch(&api, route, &call).await,
                Err(failure) => Err(failure),
            }
        }
    };
    finished(match answered {
        Ok(answer) => answer.into_response(),
        Err(failure) => failure.into_response(),
    })
}

/// What goes for all answers: no copy is kept, nothing is guessed.
fn finished(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// A write, to its end, whether or not its sender waits.
async fn write(api: Arc<Api>, route: &'static Route, call: Call) -> Result<Answer, Failure> {
    let task = tokio::spawn(async move {
        let place = match idempotency::begin(&api, route, &call).await? {
            idempotency::Write::Answered(answer) => return Ok(*answer),
            idempotency::Write::New(place) => place,
        };
        let done = dispatch(&api, route, &call).await;
        idempotency::end(&api, place, &done).await;
        done
    });
    task.await.unwrap_or_else(|_| {
        Err(Failure::new(
            Kind::Internal,
            "the gateway stopped before this was done: look whether it was",
        ))
    })
}

/// What anybody may ask.
fn open(api: &Api, route: &Route) -> Result<Answer, Failure> {
    match route.name {
        "describe" => Answer::ok(openapi::document()),
        _ => Answer::ok(&api.settings.login),
    }
}

async fn dispatch(api: &Api, route: &Route, call: &Call) -> Result<Answer, Failure> {
    match route.name {
        "show_access_control" => policies::show_access_control(api, call),
        "switch_access_control" => policies::switch_access_control(api, call).await,
        "search_audit" => audit::search(api, call).await,
        "explain_decision" => decisions::explain(api, call).await,
        "list_exemptions" => policies::list_exemptions(api, call),
        "list_grants" => grants::list(api, call).await,
        "show_grant" => grants::show(api, call).await,
        "end_grant" => grants::end(api, call).await,
        "extend_grant" => grants::extend(api, call).await,
        "review_grant" => grants::review(api, call).await,
        "revoke_grant" => grants::revoke(api, call).await,
        "list_groups" => policies::list_groups(api, call),
        "show_me" => tokens::me(api, call),
        "list_notifications" => notifications::list(api, call).await,
        "retry_dead_notifications" => notifications::retry_dead(api, call).await,
        "retry_notification" => notifications::retry(api, call).await,
        "list_policies" => policies::list(api, call).await,
        "create_policy" => policies::create(api, call).await,
        "show_policy" => policies::show(api, call).await,
        "replace_policy" => policies::replace(api, call).await,
        "delete_policy" => policies::delete(api, call).await,
        "list_requests" => requests::list(api, call).await,
        "create_request" => requests::create(api, call).await,
        "show_request" => requests::show(api, call).await,
        "approve_request" => requests::approve(api, call).await,
        "deny_request" => requests::deny(api, call).await,
        "withdraw_request" => requests::withdraw(api, call).await,
        "list_tokens" => tokens::list(api, call).await,
        "create_token" => tokens::create(api, call).await,
        "revoke_token" => tokens::revoke(api, call).await,
        "who_can" => decisions::who_can(api, call).await,
        name => Err(Failure::new(
            Kind::Internal,
            format!("`{name}` is not served"),
        )),
    }
}
