//! A call of Exchange's admin API, from its operation on: judgement → record → forward or answer → outcome.

use chrono::Utc;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use uuid::Uuid;

use crate::audit::{CallContext, Recorded};
use crate::dialect::exchange_rest::{self, Batch, Call, Operation, Reading};
use crate::dialect::{Problem, Reply};
use crate::identity::Authenticated;
use crate::model::Principal;
use crate::policy::{Refusal, Subject};
use crate::state::OwnCmdletError;

use super::call::{Arrival, Seen};
use super::forward::{self, Asked, Going};
use super::gate::{Route, Worker};
use super::judge::{Judged, Scene, recordable};
use super::outcome::OutcomeGuard;
use super::reject::Rejection;
use super::reply::{ReplyBody, response};
use super::uses::passes_by;

/// The longest `client-request-id` that is kept for the record, in bytes; real ones are GUIDs.
const CLIENT_REQUEST_ID_BYTES: usize = 64;

impl Judged for Call {
    fn subject(&self) -> Subject<'_> {
        Self::subject(self)
    }

    fn is_page(&self) -> bool {
        Self::is_page(self)
    }
}

/// Answers a request: one call, or a batch of them.
pub(super) async fn answer(
    arrival: &Arrival<'_>,
    seen: &mut Seen<'_>,
) -> Result<Response<ReplyBody>, Rejection> {
    let Arrival {
        scene,
        parts,
        gateway_base,
        ..
    } = arrival;
    let (route, caller) = (scene.route, arrival.caller);
    let operation = understand(arrival)?;
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

    let context = arrival.context(client_request_id(parts));
    let rest = Rest {
        scene: *scene,
        worker: arrival.worker,
        caller: arrival.caller,
        gateway_base,
    };
    match operation {
        Operation::Single(call) => rest.single(call, context, seen).await,
        Operation::Batch(batch) => Box::pin(rest.batch(batch, context, seen)).await,
    }
}

/// What the steps from the decision on share.
struct Rest<'a> {
    scene: Scene<'a>,
    worker: &'a Worker,
    caller: &'a Authenticated,
    gateway_base: &'a str,
}

impl Rest<'_> {
    /// Decides, records, and forwards or answers one call.
    async fn single(
        &self,
        call: Call,
        mut context: CallContext,
        seen: &mut Seen<'_>,
    ) -> Result<Response<ReplyBody>, Rejection> {
        context.tenant = Some(call.tenant().to_owned());
        let (judgement, receipt) = self.scene.judge(call, &context).await?;
        let gate = self.scene.gate;
        let grant = passes_by(judgement.decision());
        let recorded = gate
            .audit
            .record_one(&context, judgement, recordable)
            .await?;
        seen.decided = true;
        match recorded {
            Recorded::Permitted(permit) => {
                let mut outcome = OutcomeGuard::new(&gate.audit, permit.decision_id());
                outcome.took(receipt);
                let going = Going {
                    id: "",
                    permit,
                    grant,
                    outcome,
                };
                forward::single(&self.asked(&context), going).await
            }
            // On the heap, so that calls which pass need no room for it.
            Recorded::Own(id, own) => {
                let answer = Box::pin(self.answer(own.subject(), id, &context)).await;
                Ok(response(answer))
            }
            Recorded::Refused(id, refusal) => {
                let answer = Box::pin(self.refuse(&refusal, id, &context)).await;
                Ok(response(answer))
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
        let gate = self.scene.gate;
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
            let (judgement, receipt) = self.scene.judge(call, &context).await?;
            receipts.push((receipt, passes_by(judgement.decision())));
            judgements.push(judgement);
        }
        let recorded = gate.audit.record(&context, judgements, recordable).await?;
        seen.decided = true;
        let mut own = Vec::new();
        let mut permits = Vec::new();
        for ((id, recorded), (receipt, grant)) in ids.iter().zip(recorded).zip(receipts) {
            match recorded {
                Recorded::Permitted(permit) => {
                    let mut outcome = OutcomeGuard::new(&gate.audit, permit.decision_id());
                    outcome.took(receipt);
                    permits.push(Going {
                        id,
                        permit,
                        grant,
                        outcome,
                    });
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
        forward::batch(&self.asked(&context), &frame, permits, &own, &ids).await
    }

    fn asked<'a>(&'a self, context: &'a CallContext) -> Asked<'a> {
        Asked {
            worker: self.worker,
            route: self.scene.route,
            authorization: self
                .scene
                .route
                .credential
                .for_call(self.caller.authorization()),
            gateway_base: self.gateway_base,
            scene: self.scene,
            context,
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
        let identities = &self.scene.gate.identities;
        let item = identities
            .authenticate(&self.scene.route.identities, &headers, Utc::now())
            .await?;
        if item.principal.key == self.caller.principal.key {
            Ok(())
        } else {
            Err(foreign())
        }
    }

    /// Has a gateway cmdlet answered, and records how that went.
    async fn answer(&self, call: &Call, decision: Uuid, context: &CallContext) -> Reply {
        let gate = self.scene.gate;
        let mut outcome = OutcomeGuard::new(&gate.audit, decision);
        let Some(command) = call.command() else {
            return Self::problem(
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
                Self::problem(status, &target, &error.to_string(), decision)
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
        let filed = self.scene.file_request(refusal, decision, context).await;
        let filed = filed.map(|it| it.text());
        let text = filed.as_deref().unwrap_or(&refusal.decision().explanation);
        // No outcome: a block is complete by its decision's record.
        Self::problem(StatusCode::FORBIDDEN, &target, text, decision)
    }

    fn problem(status: StatusCode, target: &str, text: &str, decision: Uuid) -> Reply {
        let problem = Problem {
            status,
            target: target.to_owned(),
            text: text.to_owned(),
        };
        exchange_rest::refuse(&problem, decision)
    }
}

/// Reads the request in the endpoint's dialect.
fn understand(arrival: &Arrival<'_>) -> Result<Operation, Rejection> {
    let Arrival {
        scene: Scene { route, .. },
        parts,
        body,
        authority,
        gateway_base,
        ..
    } = arrival;
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
    Ok(exchange_rest::read(
        &parts.method,
        path_and_query,
        &parts.headers,
        body,
        &reading,
    )?)
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
