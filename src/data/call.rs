//! A request's life up to its operation: head → route → caller → body. From there on it is its dialect's: `rest` and
//! `remoting` go on with operation → judgement → record → forward or answer → outcome. Up to there it lasts as long as its client stays;
//! a request to a session of remoting goes on without it then ([`super::errand`]).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::audit::{CallContext, Event};
use crate::identity::Authenticated;
use crate::model::Principal;
use crate::state::Snapshot;
use crate::telemetry::metrics::StatusClass;

use super::body::{Discarded, WholeBody, discard, read_whole};
use super::errand::Errands;
use super::gate::{Gate, Protocol, Route, Worker};
use super::head;
use super::judge::Scene;
use super::reject::Rejection;
use super::reply::{ReplyBody, response};
use super::tap::Tap;
use super::{remoting, rest};

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Answers one request, whatever it is.
pub(super) async fn handle(
    worker: &Arc<Worker>,
    errands: &Errands,
    peer: SocketAddr,
    tap: Option<&Tap>,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let began = Instant::now();
    let request_id = worker.gate.audit.new_id(Utc::now());
    let mut seen = Seen::default();
    let answer = match live(worker, errands, peer, tap, request, request_id, &mut seen).await {
        Ok(answer) => answer,
        Err(rejection) => {
            record_rejection(&worker.gate, peer, request_id, &seen, &rejection);
            if let Some(kind) = rejection.kind {
                worker.gate.metrics.refused(kind);
            }
            let class = StatusClass::of(Some(rejection.status.as_u16()));
            let mut answer =
                response(rejection.into_reply(request_id, seen.route.map(|it| &it.protocol)));
            answer.extensions_mut().insert(class);
            if tap.is_some_and(Tap::is_after_unread_body) {
                // What follows is no head, so the connection ends here: its client is told, and sends nothing more on it.
                answer.headers_mut().insert(CONNECTION, CLOSE);
            }
            answer
        }
    };
    if let Some(route) = seen.route {
        let class = answer.extensions().get().copied();
        let class = class.unwrap_or_else(|| StatusClass::of(Some(answer.status().as_u16())));
        route.metrics.answered(class, began.elapsed());
    }
    answer
}

/// What was known of a request when it was refused.
#[derive(Default)]
pub(super) struct Seen<'a> {
    route: Option<&'a Route>,
    principal: Option<Arc<Principal>>,
    /// The refusal follows a decision record, whose outcome says the rest, or is on record itself.
    pub(super) decided: bool,
}

async fn live<'a>(
    worker: &'a Arc<Worker>,
    errands: &Errands,
    peer: SocketAddr,
    tap: Option<&Tap>,
    request: Request<Incoming>,
    request_id: Uuid,
    seen: &mut Seen<'a>,
) -> Result<Response<ReplyBody>, Rejection> {
    let gate = &*worker.gate;
    let (mut parts, body) = request.into_parts();
    let head = head::check(&parts, tap)?;
    head::remove_nominated(&mut parts.headers);
    if let Some(tap) = tap {
        tap.head_was_read();
        if body.is_end_stream() {
            tap.body_was_read();
        }
    }
    let route = gate
        .route(parts.uri.path())
        .ok_or_else(Rejection::no_such_endpoint)?;
    seen.route = Some(route);

    let caller = gate
        .identities
        .authenticate(&route.identities, &parts.headers, Utc::now())
        .await;
    let caller = match caller {
        Ok(caller) => caller,
        Err(failure) => {
            // Many clients begin without a credential, and go on with one: the connection is good for more if the body is out
            // of the way. Whoever waits to be asked for it is not.
            if !parts.headers.contains_key(EXPECT)
                && discard(body).await == Discarded::Whole
                && let Some(tap) = tap
            {
                tap.body_was_read();
            }
            return Err(failure.into());
        }
    };
    seen.principal = Some(Arc::clone(&caller.principal));

    let room = match &route.protocol {
        Protocol::ExchangeRest => None,
        Protocol::Psrp(_) => {
            let room = errands.room().await;
            Some(room.ok_or_else(Rejection::body_broken)?)
        }
    };
    let body = read_whole(
        body,
        gate.limits.body_bytes,
        gate.timeouts.body,
        &gate.bodies,
    )
    .await?;
    if let Some(tap) = tap {
        tap.body_was_read();
    }
    let whole = Whole {
        caller,
        parts,
        body,
        authority: head.authority,
        request_id,
        peer,
    };
    let Some(room) = room else {
        return whole.answer(worker, route, &gate.stopping, seen).await;
    };
    let worker = Arc::clone(worker);
    let carried_out = room.carry_out(request_id, &gate.stopping, |leaving| async move {
        whole.carry_out(&worker, &leaving).await
    });
    let answer = Box::pin(carried_out).await;
    // What came of it is on record, also if it was refused before any decision.
    seen.decided |= answer.is_some();
    answer.unwrap_or_else(|| Err(Rejection::broke_down()))
}

/// A request of a known caller that was read to its end, and belongs to no connection.
struct Whole {
    caller: Authenticated,
    parts: Parts,
    body: WholeBody,
    authority: String,
    request_id: Uuid,
    peer: SocketAddr,
}

impl Whole {
    /// Answers it, and puts on record that it was refused even if nobody is there to hear that.
    async fn carry_out(
        self,
        worker: &Worker,
        leaving: &CancellationToken,
    ) -> Result<Response<ReplyBody>, Rejection> {
        let gate = &*worker.gate;
        let route = gate
            .route(self.parts.uri.path())
            .ok_or_else(Rejection::no_such_endpoint)?;
        let mut seen = Seen {
            route: Some(route),
            principal: Some(Arc::clone(&self.caller.principal)),
            decided: false,
        };
        let answer = self.answer(worker, route, leaving, &mut seen).await;
        if let Err(rejection) = &answer {
            record_rejection(gate, self.peer, self.request_id, &seen, rejection);
        }
        answer
    }

    /// Answers it, as its endpoint does.
    async fn answer(
        &self,
        worker: &Worker,
        route: &Route,
        leaving: &CancellationToken,
        seen: &mut Seen<'_>,
    ) -> Result<Response<ReplyBody>, Rejection> {
        let gate = &*worker.gate;
        let snapshot = gate.state.snapshot();
        let arrival = Arrival {
            scene: Scene {
                gate,
                route,
                snapshot: &snapshot,
                principal: &self.caller.principal,
            },
            worker,
            caller: &self.caller,
            parts: &self.parts,
            body: &self.body.bytes,
            authority: &self.authority,
            gateway_base: &gateway_base(gate, route, &self.authority),
            request_id: self.request_id,
            source: self.peer.ip(),
            leaving,
        };
        match &route.protocol {
            Protocol::ExchangeRest => rest::answer(&arrival, seen).await,
            // On the heap, so that other endpoints' requests need no room for it.
            Protocol::Psrp(remoting) => Box::pin(remoting::answer(&arrival, remoting, seen)).await,
        }
    }
}

/// A request of a known caller, whole, at an endpoint.
pub(super) struct Arrival<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) worker: &'a Worker,
    pub(super) caller: &'a Authenticated,
    pub(super) parts: &'a Parts,
    pub(super) body: &'a [u8],
    /// The host that the client named.
    pub(super) authority: &'a str,
    /// The address at which the client reaches this endpoint.
    pub(super) gateway_base: &'a str,
    pub(super) request_id: Uuid,
    pub(super) source: IpAddr,
    /// Fires when whoever only waits is to wait no longer: the gateway stops, or the client of a session went away.
    pub(super) leaving: &'a CancellationToken,
}

impl<'a> Arrival<'a> {
    /// It, with other policies and settings.
    pub(super) fn with<'s>(&'s self, snapshot: &'s Snapshot) -> Arrival<'s>
    where
        'a: 's,
    {
        Arrival {
            scene: Scene {
                snapshot,
                ..self.scene
            },
            ..*self
        }
    }

    /// What records tell of it besides decisions.
    pub(super) fn context(&self, client_request_id: Option<String>) -> CallContext {
        let Scene {
            route,
            snapshot,
            principal,
            ..
        } = self.scene;
        CallContext {
            request_id: self.request_id,
            client_request_id,
            principal: Arc::clone(principal),
            source: self.source,
            endpoint: Arc::clone(&route.path),
            tenant: None,
            policy_set: snapshot.policies.shared_hash(),
            decided: Utc::now(),
        }
    }
}

/// The address at which the client reaches this endpoint: what links in answers are rewritten to.
fn gateway_base(gate: &Gate, route: &Route, authority: &str) -> String {
    if let Some(base) = &gate.public_base {
        return [base, &*route.path].concat();
    }
    let scheme = if gate.tls.is_some() {
        "https://"
    } else {
        "http://"
    };
    [scheme, authority, &route.path].concat()
}

/// Puts a refusal on record that no decision record speaks of.
fn record_rejection(
    gate: &Gate,
    peer: SocketAddr,
    request_id: Uuid,
    seen: &Seen<'_>,
    rejection: &Rejection,
) {
    if seen.decided || rejection.status == StatusCode::SERVICE_UNAVAILABLE {
        return;
    }
    let now = Utc::now();
    if seen.principal.is_none()
        && !gate
            .strangers
            .is_recorded(peer.ip(), now.timestamp_millis())
    {
        return;
    }
    // Also of a caller who is signed in: an item of a batch may carry a credential of its own.
    let kind = if rejection.status == StatusCode::UNAUTHORIZED {
        "sign-in.failed"
    } else {
        "call.unreadable"
    };
    let mut details = serde_json::Map::new();
    details.insert("reason".to_owned(), rejection.reason.into());
    details.insert("status".to_owned(), rejection.status.as_u16().into());
    if let Some(route) = seen.route {
        details.insert("endpoint".to_owned(), route.path.to_string().into());
    }
    gate.audit.event_soon(Event {
        id: request_id,
        at: now,
        kind: kind.to_owned(),
        principal: seen
            .principal
            .as_ref()
            .map(|it| (it.key.clone(), it.name.clone())),
        source: Some(peer.ip()),
        request: None,
        grant: None,
        policy: None,
        decision: None,
        details,
    });
}
