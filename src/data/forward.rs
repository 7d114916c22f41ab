//! Upstream and back: what was permitted and recorded is written anew and sent; the answer comes back with its links
//! leading to the gateway.
//!
//! The only way into this file's requests is a [`RecordedPermit`].

use std::error::Error as _;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use tracing::{error, warn};
use url::Url;
use uuid::Uuid;

use crate::audit::{CallContext, RecordedPermit};
use crate::dialect::Reply;
use crate::dialect::exchange_rest::{self, BatchFrame, Call, LinkRewriter, Outgoing};
use crate::upstream::{Handover, Upstream, UpstreamBody, UpstreamError};

use super::gate::{Route, Worker};
use super::head;
use super::judge::Scene;
use super::outcome::OutcomeGuard;
use super::reject::{Rejection, upstream_result};
use super::reply::{GZIP_MAGIC, ReplyBody, Streamed, response};

/// Redirects that are followed for one call.
const MAX_REDIRECTS: usize = 3;

/// Answers up to this size are read whole and keep a `Content-Length`; larger ones, and those of unknown size, stream.
const WHOLE_ANSWER_BYTES: usize = 64 * 1024;

/// The largest answer to a `$batch`, which must be read whole: 20 items of 1,000 objects each with room to spare.
const BATCH_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// Whether an answer header goes to the client. Those do not that are this hop's own (RFC 9110 section 7.6.1), would lead the
/// client around the gateway (`Alt-Svc`), or are the session of whoever signed in upstream, who may be the gateway itself
/// (`Set-Cookie`; no cookie goes upstream).
fn is_passed_on(name: &HeaderName) -> bool {
    // A `match` compares lengths first.
    !matches!(
        name.as_str(),
        "alt-svc"
            | "connection"
            | "content-length"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-connection"
            | "set-cookie"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whom to ask, with what credential, and where answers should lead.
pub(super) struct Asked<'a> {
    pub(super) worker: &'a Worker,
    pub(super) route: &'a Route,
    pub(super) authorization: HeaderValue,
    pub(super) gateway_base: &'a str,
    /// Where it was decided, and how: it is again, if it waits for a connection.
    pub(super) scene: Scene<'a>,
    pub(super) context: &'a CallContext,
}

/// Whether what was recorded as permitted still is.
type Still<'a> = &'a (dyn Fn() -> bool + Sync);

/// A call that may go upstream.
pub(super) struct Going<'a> {
    /// Its id in the batch.
    pub(super) id: &'a str,
    pub(super) permit: RecordedPermit<Call>,
    /// The grant that it passed by, if by one.
    pub(super) grant: Option<Uuid>,
    pub(super) outcome: OutcomeGuard,
}

/// Sends one recorded call upstream.
pub(super) async fn single(
    asked: &Asked<'_>,
    going: Going<'_>,
) -> Result<Response<ReplyBody>, Rejection> {
    let Going {
        permit,
        grant,
        mut outcome,
        ..
    } = going;
    let call = permit.subject();
    let still = || asked.scene.still_permits(call, asked.context, grant);
    let upstream = match call.regional_host() {
        None => &asked.route.upstream,
        Some(host) => asked
            .route
            .regional(host)
            .ok_or_else(|| Rejection::unlisted_host(host))?,
    };
    let result = send(asked, upstream, exchange_rest::write(call), &still).await;
    match result {
        Ok((answered_by, answer)) => {
            outcome.upstream_answered(answer.status().as_u16());
            pass_on(asked, &answered_by, answer, outcome).await
        }
        Err((rejection, how)) => {
            outcome.answers(rejection.status.as_u16());
            outcome.finish(how);
            Err(rejection)
        }
    }
}

/// Sends the recorded items of a batch upstream, if there are any, and puts all answers into one.
pub(super) async fn batch(
    asked: &Asked<'_>,
    frame: &BatchFrame,
    mut permits: Vec<Going<'_>>,
    own: &[(String, Reply)],
    order: &[String],
) -> Result<Response<ReplyBody>, Rejection> {
    let upstreams_answer = if permits.is_empty() {
        None
    } else {
        let items: Vec<_> = permits
            .iter()
            .map(|it| (it.id, it.permit.subject()))
            .collect();
        // One that is not permitted any more takes the batch with it: it is one request.
        let still = || {
            let still = |it: &Going<'_>| {
                let call = it.permit.subject();
                asked.scene.still_permits(call, asked.context, it.grant)
            };
            permits.iter().all(still)
        };
        let upstream = &asked.route.upstream;
        let authorization = asked.authorization.to_str().ok();
        let outgoing =
            exchange_rest::write_batch(frame, &items, upstream.authority().as_str(), authorization);
        match batch_answer(asked, upstream, outgoing, &still).await {
            Ok(answer) => Some(answer),
            Err((rejection, how)) => {
                for Going { outcome, .. } in &mut permits {
                    outcome.answers(rejection.status.as_u16());
                    outcome.finish(how);
                }
                return Err(rejection);
            }
        }
    };
    let merged = match exchange_rest::merge_batch(upstreams_answer.as_deref(), own, order) {
        Ok(merged) => merged,
        Err(unreadable) => {
            let rejection = Rejection::upstream_answer(&unreadable.text);
            for Going { outcome, .. } in &mut permits {
                outcome.upstream_answered(StatusCode::OK.as_u16());
                outcome.answers(rejection.status.as_u16());
                outcome.finish("upstream-broken");
            }
            return Err(rejection);
        }
    };
    for Going { id, outcome, .. } in &mut permits {
        let status = merged
            .statuses
            .iter()
            .find(|(answered, status)| answered == id && *status != 0)
            .map(|(_, status)| *status);
        if let Some(status) = status {
            outcome.upstream_answered(status);
            outcome.finish_answered();
        } else {
            // Whether it ran is not known, so it is not recorded as if it were.
            outcome.answers(StatusCode::BAD_GATEWAY.as_u16());
            outcome.finish("upstream-broken");
        }
    }
    Ok(response(merged.reply))
}

/// The upstream's answer to a batch, whole, links rewritten.
async fn batch_answer(
    asked: &Asked<'_>,
    upstream: &Upstream,
    outgoing: Outgoing,
    still: Still<'_>,
) -> Result<Bytes, (Rejection, &'static str)> {
    let (_, answer) = send(asked, upstream, outgoing, still).await?;
    let status = answer.status();
    if status != StatusCode::OK {
        let text = format!(
            "the upstream refused the whole batch with status {}",
            status.as_u16()
        );
        return Err((Rejection::upstream_answer(&text), "failed"));
    }
    let unpack = is_gzip(answer.headers());
    let mut links = link_rewriter(asked);
    let whole = read_answer(answer.into_body(), BATCH_ANSWER_BYTES).await?;
    let whole = if unpack && whole.starts_with(GZIP_MAGIC) {
        gunzip(&whole).ok_or_else(|| {
            (
                Rejection::upstream_answer("the upstream's answer is badly compressed"),
                "failed",
            )
        })?
    } else {
        whole
    };
    let mut rewritten = BytesMut::from(links.push(whole));
    rewritten.extend_from_slice(&links.finish());
    Ok(rewritten.freeze())
}

/// Sends a request and follows redirects within the endpoint's list; says who answered.
async fn send(
    asked: &Asked<'_>,
    upstream: &Upstream,
    outgoing: Outgoing,
    still: Still<'_>,
) -> Result<(Upstream, Response<UpstreamBody>), (Rejection, &'static str)> {
    let mut upstream = upstream.clone();
    // Kept only where a redirect could be followed.
    let again = (!asked.route.regional.is_empty()).then(|| outgoing.clone());
    let mut next = Some(outgoing);
    // Nothing is decided again for a call that waits for nothing.
    let may = |handover| handover == Handover::AtOnce || still();
    for _ in 0..=MAX_REDIRECTS {
        let Some(request) = next.take().or_else(|| again.clone()) else {
            break;
        };
        let request = request_of(asked, request);
        let began = Instant::now();
        let answer = asked
            .worker
            .pool
            .send(&upstream, request, &may)
            .await
            .map_err(|error| failed(asked, &error))?;
        asked.route.metrics.upstream(began.elapsed());
        if answer.status() == StatusCode::UNAUTHORIZED && asked.route.credential.is_injected() {
            // Passed on, it would tell the client that its own sign-in was wrong.
            error!(endpoint = %asked.route.path, upstream = %upstream.authority(), "Upstream refused the gateway's own credential; look at the endpoint's `upstream_auth` and the file that it names");
            return Err((Rejection::credential_refused(), "failed"));
        }
        let Some(host) = redirected_to(&answer, &upstream) else {
            return Ok((upstream, answer));
        };
        upstream = match asked.route.regional(&host) {
            Some(regional) => regional.clone(),
            None => return Err((Rejection::unlisted_redirect(&host), "failed")),
        };
    }
    Err((
        Rejection::upstream_answer("the upstream redirects in a circle"),
        "failed",
    ))
}

/// The authority that a redirect leads to, if the answer is one and leads elsewhere.
fn redirected_to(answer: &Response<UpstreamBody>, upstream: &Upstream) -> Option<String> {
    if !answer.status().is_redirection() {
        return None;
    }
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    let url = Url::parse(location).ok()?;
    let authority = authority(&url);
    (authority != upstream.authority().as_str()).then_some(authority)
}

/// Host and port of a URL, lower case, the port only where it is not the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// Tells operators why the upstream did not answer; the client learns less.
fn failed(asked: &Asked<'_>, error: &UpstreamError) -> (Rejection, &'static str) {
    let result = upstream_result(error);
    if matches!(error, UpstreamError::Withdrawn { .. }) {
        return (Rejection::from(error), result);
    }
    warn!(endpoint = %asked.route.path, %error, cause = error.source().map(tracing::field::display), "Upstream did not answer");
    (Rejection::from(error), result)
}

fn request_of(asked: &Asked<'_>, outgoing: Outgoing) -> Request<Full<Bytes>> {
    let Outgoing {
        method,
        path_and_query,
        headers,
        body,
    } = outgoing;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    // INVARIANT: the dialect builds the path from checked parts, so it always parses; `/` would be refused upstream.
    *request.uri_mut() = Uri::try_from(path_and_query).unwrap_or_default();
    *request.headers_mut() = headers;
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, asked.authorization.clone());
    // Links in the answer must be rewritten, so it should come as plain text.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

/// Hands an upstream answer to the client: whole if it is small, else as it comes.
async fn pass_on(
    asked: &Asked<'_>,
    answered_by: &Upstream,
    answer: Response<UpstreamBody>,
    mut outcome: OutcomeGuard,
) -> Result<Response<ReplyBody>, Rejection> {
    let (mut parts, body) = answer.into_parts();
    let length = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    clean(&mut parts.headers);
    rewrite_location(&mut parts.headers, asked, answered_by);
    let is_json = parts
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|it| is_json_type(it.as_bytes()));
    let gzip = is_gzip(&parts.headers);
    let mut links = is_json.then(|| link_rewriter(asked));
    let whole =
        length.is_some_and(|length| length <= WHOLE_ANSWER_BYTES) || body_is_empty(parts.status);
    if !whole {
        let unpack = gzip && is_json && parts.status.is_success();
        if unpack {
            parts.headers.remove(CONTENT_ENCODING);
        }
        let streamed = Streamed::new(body, unpack, links, outcome);
        return Ok(Response::from_parts(
            parts,
            ReplyBody::Streamed(Box::new(streamed)),
        ));
    }
    let mut bytes = match read_answer(body, WHOLE_ANSWER_BYTES).await {
        Ok(bytes) => bytes,
        Err((rejection, how)) => {
            outcome.answers(rejection.status.as_u16());
            outcome.finish(how);
            return Err(rejection);
        }
    };
    // An answer that is declared compressed and is not, or that comes padded, is handed on as it is (section 3.5).
    if gzip
        && is_json
        && parts.status.is_success()
        && bytes.starts_with(GZIP_MAGIC)
        && let Some(unpacked) = gunzip(&bytes)
    {
        bytes = unpacked;
        parts.headers.remove(CONTENT_ENCODING);
    }
    outcome.look_at(&bytes);
    if let Some(links) = &mut links {
        let first = links.push(bytes);
        let rest = links.finish();
        bytes = if rest.is_empty() {
            first
        } else {
            let mut joined = BytesMut::from(first);
            joined.extend_from_slice(&rest);
            joined.freeze()
        };
    }
    outcome.finish_answered();
    Ok(Response::from_parts(parts, ReplyBody::Whole(bytes)))
}

/// Drops this hop's own headers and those that `Connection` nominates.
fn clean(headers: &mut HeaderMap) {
    head::remove_nominated(headers);
    // Few headers come, so looking through them is cheaper than looking each name up.
    let dropped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| !is_passed_on(name))
        .cloned()
        .collect();
    for name in &dropped {
        headers.remove(name);
    }
}

/// A redirect within the upstream leads to the gateway instead.
fn rewrite_location(headers: &mut HeaderMap, asked: &Asked<'_>, answered_by: &Upstream) {
    let Some(location) = headers.get(LOCATION) else {
        return;
    };
    let rewritten = location.to_str().ok().and_then(|location| {
        let path = match Url::parse(location) {
            Ok(url) if authority(&url) == answered_by.authority().as_str() => match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            },
            Err(_) if location.starts_with('/') => location.to_owned(),
            // Another host; or a text that, put behind a host's name, could make it another one: `@evil.example/`.
            Ok(_) | Err(_) => return None,
        };
        let gateway = asked.gateway_base.strip_suffix(&*asked.route.path)?;
        HeaderValue::from_str(&format!("{gateway}{path}")).ok()
    });
    match rewritten {
        Some(value) => headers.insert(LOCATION, value),
        None => headers.remove(LOCATION),
    };
}

/// Links are told apart by the endpoint's own upstream, whoever answered: one to a regional host leads back there.
fn link_rewriter(asked: &Asked<'_>) -> LinkRewriter {
    LinkRewriter::new(asked.gateway_base, Arc::clone(&asked.route.link_hosts))
}

fn is_json_type(declared: &[u8]) -> bool {
    const JSON: &[u8] = b"application/json";
    declared
        .get(..JSON.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(JSON))
}

fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

fn gunzip(bytes: &[u8]) -> Option<Bytes> {
    use std::io::Read as _;
    let mut unpacked = Vec::new();
    let limit = BATCH_ANSWER_BYTES as u64;
    flate2::read::GzDecoder::new(bytes)
        .take(limit + 1)
        .read_to_end(&mut unpacked)
        .ok()?;
    (unpacked.len() as u64 <= limit).then(|| unpacked.into())
}

fn body_is_empty(status: StatusCode) -> bool {
    status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

async fn read_answer(
    mut body: UpstreamBody,
    limit: usize,
) -> Result<Bytes, (Rejection, &'static str)> {
    let mut first: Option<Bytes> = None;
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| (Rejection::from(&error), upstream_result(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.as_ref().map_or(0, Bytes::len) + more.len() + data.len() > limit {
            return Err((
                Rejection::upstream_answer("the upstream's answer is too large"),
                "failed",
            ));
        }
        if first.is_none() && more.is_empty() {
            first = Some(data);
        } else {
            if let Some(first) = first.take() {
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&data);
        }
    }
    Ok(first.unwrap_or_else(|| more.freeze()))
}
