//! A request's life: head → route → caller → body → operation → judgement → record → forward or answer → outcome.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use uuid::Uuid;

use crate::audit::{CallContext, Event, Recordable, Recorded};
use crate::dialect::exchange_rest::{self, Batch, Call, Operation, Reading};
use crate::dialect::{Dialect, Problem, Reply};
use crate::identity::Authenticated;
use crate::model::Principal;
use crate::policy::Refusal;
use crate::state::{OwnCmdletError, Snapshot};
use crate::telemetry::metrics::StatusClass;

use super::body::read_whole;
use super::forward::{self, Asked};
use super::gate::{Gate, Route, Worker};
use super::head;
use super::outcome::OutcomeGuard;
use super::reject::Rejection;
use super::reply::{ReplyBody, response};
use super::tap::Tap;

/// The longest `client-request-id` that is kept for the record, in bytes; real ones are GUIDs.
const CLIENT_REQUEST_ID_BYTES: usize = 64;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Answers one request, whatever it is.
pub(super) async fn handle(
    worker: &Worker,
    peer: SocketAddr,
    tap: Option<&Tap>,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let began = Instant::now();
    let request_id = worker.gate.audit.new_id(Utc::now());
    let mut seen = Seen::default();
    let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let answer = match live(worker, peer, tap, request, request_id, &mut seen).await {
        Ok(answer) => answer,
        Err(rejection) => {
            record_rejection(&worker.gate, peer, request_id, &seen, &rejection);
            if let Some(kind) = rejection.kind {
                worker.gate.metrics.refused(kind);
            }
            let mut answer = response(rejection.into_reply(request_id));
            if is_chunked && tap.is_some_and(Tap::is_after_unread_body) {
                // Where the next head begins is not known for sure.
                answer.headers_mut().insert(CONNECTION, CLOSE);
            }
            answer
        }
    };
    if let Some(route) = seen.route {
        route.metrics.answered(
            StatusClass::of(Some(answer.status().as_u16())),
            began.elapsed(),
        );
    }
    answer
}

/// What was known of a request when it was refused.
#[derive(Default)]
struct Seen<'a> {
    route: Option<&'a Route>,
    principal: Option<Arc<Principal>>,
    /// The refusal follows a decision record, whose outcome says the rest.
    decided: bool,
}

async fn live<'a>(
    worker: &'a Worker,
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
        .await?;
    seen.principal = Some(Arc::clone(&caller.principal));

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
    let gateway_base = gateway_base(gate, route, &head.authority);
    let operation = understand(route, &parts, &body.bytes, &head.authority, &gateway_base)?;
    match &operation {
        Operation::Batch(batch) => {
            for item in &batch.items {
                check_tenant(route, &caller.principal, item.call.tenant())?;
                // A batch goes to one host, whichever its items name.
                if item.call.regional_host().is_some() {
                    return Err(Rejection::regional_item(&item.id));
                }
            }
        }
        Operation::Single(call) => {
            check_tenant(route, &caller.principal, call.tenant())?;
            if let Some(host) = call.regional_host() {
                route
                    .regional(host)
                    .ok_or_else(|| Rejection::unlisted_host(host))?;
            }
        }
    }

    let snapshot = gate.state.snapshot();
    let context = CallContext {
        request_id,
        client_request_id: client_request_id(&parts),
        principal: Arc::clone(&caller.principal),
        source: peer.ip(),
        endpoint: Arc::clone(&route.path),
        tenant: None,
        policy_set: snapshot.policies.shared_hash(),
        decided: Utc::now(),
    };
    let scene = Scene {
        worker,
        route,
        snapshot: &snapshot,
        caller: &caller,
        gateway_base: &gateway_base,
    };
    match operation {
        Operation::Single(call) => scene.single(call, context, seen).await,
        Operation::Batch(batch) => scene.batch(batch, context, seen).await,
    }
}

/// What the steps from the decision on share.
pub(super) struct Scene<'a> {
    pub(super) worker: &'a Worker,
    pub(super) route: &'a Route,
    pub(super) snapshot: &'a Snapshot,
    pub(super) caller: &'a Authenticated,
    gateway_base: &'a str,
}

impl Scene<'_> {
    /// Decides, records, and forwards or answers one call.
    async fn single(
        &self,
        call: Call,
        mut context: CallContext,
        seen: &mut Seen<'_>,
    ) -> Result<Response<ReplyBody>, Rejection> {
        context.tenant = Some(call.tenant().to_owned());
        let (judgement, receipt) = self.judge(call, &context).await?;
        let gate = &*self.worker.gate;
        let recorded = gate
            .audit
            .record_one(&context, judgement, recordable)
            .await?;
        seen.decided = true;
        match recorded {
            Recorded::Permitted(permit) => {
                let mut outcome = OutcomeGuard::new(&gate.audit, permit.decision_id());
                outcome.took(receipt);
                forward::single(&self.asked(), permit, outcome).await
            }
            Recorded::Own(id, own) => Ok(response(self.answer(own.subject(), id, &context).await)),
            Recorded::Refused(id, refusal) => {
                Ok(response(self.refuse(&refusal, id, &context).await))
            }
        }
    }

    /// Decides each item by itself, records all at once, forwards what may go on and answers the rest inside a 200
    /// (exchange-rest section 4).
    async fn batch(
        &self,
        batch: Batch,
        mut context: CallContext,
        seen: &mut Seen<'_>,
    ) -> Result<Response<ReplyBody>, Rejection> {
        let gate = &*self.worker.gate;
        for item in &batch.items {
            self.bind_to_caller(&item.id, item.authorization.as_deref())
                .await?;
        }
        context.tenant = batch
            .items
            .first()
            .map(|item| item.call.tenant().to_owned());
        let Batch { frame, items } = batch;
        let (ids, calls): (Vec<_>, Vec<_>) =
            items.into_iter().map(|item| (item.id, item.call)).unzip();
        let mut judgements = Vec::with_capacity(calls.len());
        let mut receipts = Vec::with_capacity(calls.len());
        for call in calls {
            // One after the other: each takes its own use.
            let (judgement, receipt) = self.judge(call, &context).await?;
            judgements.push(judgement);
            receipts.push(receipt);
        }
        let recorded = gate.audit.record(&context, judgements, recordable).await?;
        seen.decided = true;
        let mut own = Vec::new();
        let mut permits = Vec::new();
        for ((id, recorded), receipt) in ids.iter().zip(recorded).zip(receipts) {
            match recorded {
                Recorded::Permitted(permit) => {
                    let mut outcome = OutcomeGuard::new(&gate.audit, permit.decision_id());
                    outcome.took(receipt);
                    permits.push((id.as_str(), permit, outcome));
                }
                Recorded::Own(decision, call) => {
                    own.push((
                        id.clone(),
                        self.answer(call.subject(), decision, &context).await,
                    ));
                }
                Recorded::Refused(decision, refusal) => {
                    own.push((id.clone(), self.refuse(&refusal, decision, &context).await));
                }
            }
        }
        forward::batch(&self.asked(), &frame, permits, &own, &ids).await
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            worker: self.worker,
            route: self.route,
            authorization: self.route.credential.for_call(self.caller.authorization()),
            gateway_base: self.gateway_base,
        }
    }

    /// An item's own credential must be the outer one, or another of the same person.
    async fn bind_to_caller(&self, id: &str, authorization: Option<&str>) -> Result<(), Rejection> {
        let Some(authorization) = authorization else {
            return Ok(());
        };
        if authorization.as_bytes() == self.caller.authorization().as_bytes() {
            return Ok(());
        }
        let foreign = || Rejection::foreign_item(id);
        let mut headers = http::HeaderMap::new();
        headers.insert(
            http::header::AUTHORIZATION,
            HeaderValue::from_str(authorization).map_err(|_| foreign())?,
        );
        let identities = &self.worker.gate.identities;
        let item = identities
            .authenticate(&self.route.identities, &headers, Utc::now())
            .await?;
        if item.principal.key == self.caller.principal.key {
            Ok(())
        } else {
            Err(foreign())
        }
    }

    /// Has a gateway cmdlet answered, and records how that went.
    async fn answer(&self, call: &Call, decision: Uuid, context: &CallContext) -> Reply {
        let gate = &*self.worker.gate;
        let mut outcome = OutcomeGuard::new(&gate.audit, decision);
        let Some(command) = call.command() else {
            return self.problem(
                StatusCode::BAD_REQUEST,
                "",
                "there is no cmdlet in this call",
                decision,
            );
        };
        let target = command.task.cmdlet.to_string();
        let result = gate
            .own_cmdlets
            .answer(&context.principal, context.source, command, decision)
            .await;
        let reply = match result {
            Ok(objects) => exchange_rest::answer(call, &objects, self.gateway_base),
            Err(error) => {
                let status = match &error {
                    OwnCmdletError::Forbidden(_) => StatusCode::FORBIDDEN,
                    // 404 would be taken for success by some clients (exchange-rest section 3.3).
                    OwnCmdletError::Invalid(_) | OwnCmdletError::NotFound(_) => {
                        StatusCode::BAD_REQUEST
                    }
                    OwnCmdletError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
                };
                self.problem(status, &target, &error.to_string(), decision)
            }
        };
        outcome.answers(reply.status.as_u16());
        outcome.finish(if reply.status.is_success() {
            "answered"
        } else {
            "failed"
        });
        reply
    }

    /// A block, as the caller sees it (DESIGN 5.6). Where the policy says so, it files the request that it asks for.
    async fn refuse(
        &self,
        refusal: &Refusal<Call>,
        decision: Uuid,
        context: &CallContext,
    ) -> Reply {
        let command = refusal.subject().command();
        let target = command.map_or(String::new(), |it| it.task.cmdlet.to_string());
        let filed = match command {
            Some(command) => {
                self.file_request(command, refusal.decision(), decision, context)
                    .await
            }
            None => None,
        };
        let text = filed.as_deref().unwrap_or(&refusal.decision().explanation);
        // No outcome: a block is complete by its decision's record.
        self.problem(StatusCode::FORBIDDEN, &target, text, decision)
    }

    fn problem(&self, status: StatusCode, target: &str, text: &str, decision: Uuid) -> Reply {
        match self.route.dialect {
            Dialect::ExchangeRest => exchange_rest::refuse(
                &Problem {
                    status,
                    target: target.to_owned(),
                    text: text.to_owned(),
                },
                decision,
            ),
        }
    }
}

/// What the record tells of a call.
fn recordable(call: &Call) -> Recordable<'_> {
    Recordable {
        subject: call.subject(),
        is_page: call.is_page(),
    }
}

/// Reads the request in the endpoint's dialect.
fn understand(
    route: &Route,
    parts: &Parts,
    body: &[u8],
    authority: &str,
    gateway_base: &str,
) -> Result<Operation, Rejection> {
    let mut authorities: Vec<&str> = Vec::with_capacity(route.authorities.len() + 2);
    authorities.extend(route.authorities.iter().map(String::as_str));
    authorities.push(authority);
    authorities.extend(gateway_base.split('/').nth(2));
    let reading = Reading {
        workload: &route.workload,
        path: &route.path,
        authorities: &authorities,
    };
    let path_and_query = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    match route.dialect {
        Dialect::ExchangeRest => Ok(exchange_rest::read(
            &parts.method,
            path_and_query,
            &parts.headers,
            body,
            &reading,
        )?),
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

/// A caller whose credential names a tenant may only name that one, by its GUID or one of its domains.
fn check_tenant(route: &Route, principal: &Principal, named: &str) -> Result<(), Rejection> {
    let guid = route
        .tenants
        .iter()
        .find(|(domain, _)| domain.eq_ignore_ascii_case(named))
        .map_or(named, |(_, guid)| guid.as_str());
    let may = match &principal.tenant {
        Some(tenant) => tenant.eq_ignore_ascii_case(guid),
        // Nobody vouches for a tenant: those of the endpoint are all there are, if it lists any.
        None => {
            route.tenants.is_empty()
                || route
                    .tenants
                    .iter()
                    .any(|(_, it)| it.eq_ignore_ascii_case(guid))
        }
    };
    if may {
        Ok(())
    } else {
        Err(Rejection::wrong_tenant(named))
    }
}

fn client_request_id(parts: &Parts) -> Option<String> {
    let id = parts.headers.get("client-request-id")?.to_str().ok()?;
    (id.len() <= CLIENT_REQUEST_ID_BYTES).then(|| id.to_owned())
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
