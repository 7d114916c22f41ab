//! `Idempotency-Key`: a write that is sent again is answered again and not done again.
//!
//! INVARIANT: the place for the answer is taken in the store before the write is made. What ended with 5xx gives its place
//! back; a write whose gateway stopped before it answered has a place without an answer, and whoever sends it again is told so.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};

use crate::api::Answer;
use crate::api::Api;
use crate::api::call::Call;
use crate::api::problem::{Failure, Kind, PROBLEM_JSON};
use crate::api::routes::Route;
use crate::control::{Claim, StoredAnswer, StoredReply};

/// The header that names a write.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header that says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Whether a write is to be made.
pub(super) enum Write {
    /// It was made: this was answered.
    Answered(Box<Answer>),
    /// It is new; its answer is to be kept in this place, if it has a key.
    New(Option<StoredReply>),
}

/// What is known of the write that `call` is.
pub(super) async fn begin(api: &Api, route: &Route, call: &Call) -> Result<Write, Failure> {
    let Some(key) = key(&call.headers)? else {
        return Ok(Write::New(None));
    };
    let fingerprint = fingerprint(route, call);
    let claim = api
        .control
        .claim_reply(call.who(), key, fingerprint.clone());
    match claim.await? {
        Claim::New(place) => Ok(Write::New(Some(place))),
        Claim::Known(known) if known.fingerprint != fingerprint => Err(Failure::new(
            Kind::KeyReused,
            "another request was sent with this `Idempotency-Key`: give each its own",
        )),
        Claim::Known(known) => match known.answer {
            Some(answer) => Ok(Write::Answered(Box::new(again(answer)?))),
            None => Err(Failure::new(
                Kind::UnknownOutcome,
                "the first request with this `Idempotency-Key` is not answered yet, or was cut off when the gateway stopped: wait a moment and send it again, or look whether it was done and send it with another key",
            )),
        },
    }
}

/// Keeps what a write was answered.
pub(super) async fn end(api: &Api, place: Option<StoredReply>, done: &Result<Answer, Failure>) {
    let Some(mut place) = place else { return };
    place.answer = match done {
        Ok(answer) => Some(kept(
            answer.status,
            &answer.headers,
            answer.kept.as_ref().unwrap_or(&answer.body),
        )),
        Err(failure) if failure.status().is_server_error() => None,
        Err(failure) => Some(kept(failure.status(), &HeaderMap::new(), &failure.body())),
    };
    if let Err(error) = api.control.answered(place).await {
        tracing::warn!(%error, "The answer to a write could not be kept; whoever sends the write again is told so");
    }
}

fn kept(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> StoredAnswer {
    let kept = [ETAG, LOCATION].into_iter().filter_map(|name| {
        let value = headers.get(&name)?.to_str().ok()?.to_owned();
        Some((name.as_str().to_owned(), value))
    });
    StoredAnswer {
        status: status.as_u16(),
        headers: kept.collect(),
        body: String::from_utf8_lossy(body).into_owned(),
    }
}

fn again(stored: StoredAnswer) -> Result<Answer, Failure> {
    let damaged = || Failure::new(Kind::Internal, "the answer that was kept cannot be read");
    let status = StatusCode::from_u16(stored.status).map_err(|_| damaged())?;
    let mut headers = HeaderMap::new();
    for (name, value) in stored.headers {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| damaged())?,
            HeaderValue::from_str(&value).map_err(|_| damaged())?,
        );
    }
    if status.is_client_error() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(Answer {
        status,
        headers,
        body: stored.body.into_bytes(),
        kept: None,
    })
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    const LONGEST: usize = 128;
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|it| {
        (1..=LONGEST).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_graphic())
    });
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(Failure::new(
            Kind::Malformed,
            format!(
                "`Idempotency-Key` is one header of 1 to {LONGEST} printable ASCII characters without blanks, such as a UUID"
            ),
        )),
    }
}

/// The digest of what was sent: method, path, precondition and body.
fn fingerprint(route: &Route, call: &Call) -> String {
    let mut context = Context::new(&SHA256);
    let mut add = |bytes: &[u8]| {
        context.update(&bytes.len().to_le_bytes());
        context.update(bytes);
    };
    add(route.name.as_bytes());
    for part in &call.path {
        add(part.as_bytes());
    }
    add(call
        .headers
        .get(http::header::IF_MATCH)
        .map_or(b"", HeaderValue::as_bytes));
    add(&call.body);
    URL_SAFE_NO_PAD.encode(context.finish().as_ref())
}
