//! `/events`: what happens, told as it happens ([server-sent events]).
//!
//! Nothing is kept for those who are away: whoever comes back with a `Last-Event-ID` is told by the event `lost` that things may
//! have happened since, and reads what is stored. So is who watches too slowly. A stream ends after a while, and its watcher
//! comes back with credentials that are looked at anew; a token that was revoked ends its streams within some seconds.
//!
//! [server-sent events]: https://html.spec.whatwg.org/multipage/server-sent-events.html

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::api::Api;
use crate::api::call::Call;
use crate::api::limits::Place;
use crate::api::problem::{Failure, Kind};
use crate::api::types::{Event, Lost};
use crate::control::{Happening, Via};

/// How often a stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long what is told may wait for its watcher to take it. Who takes nothing is gone, and a stream's place with them.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a stream lasts.
const LONGEST: Duration = Duration::from_mins(10);

/// Somebody who watches.
struct Watch {
    api: Arc<Api>,
    call: Call,
    happenings: Receiver<Happening>,
    until: Instant,
    /// What is said first.
    first: Option<Bytes>,
    _place: Place,
}

pub(super) fn watch(api: &Arc<Api>, call: Call) -> Result<Response, Failure> {
    const LAST: HeaderName = HeaderName::from_static("last-event-id");
    call.no_query()?;
    let Some(place) = api.watchers.enter(&call.who().key) else {
        let failure = Failure::new(
            Kind::TooMany,
            "too many streams of events are open: close some",
        );
        return Err(failure.with(RETRY_AFTER, HeaderValue::from_static("30")));
    };
    let mut first = String::from("retry: 2000\n: events from now on; none is replayed\n\n");
    if call.headers.contains_key(LAST) {
        first.push_str(&lost(
            "events are not kept for those who are away: read what you watch again",
        ));
    }
    let mut watch = Watch {
        api: Arc::clone(api),
        happenings: api.control.happenings(),
        call,
        until: Instant::now() + LONGEST,
        first: Some(Bytes::from(first)),
        _place: place,
    };
    // One message waits for its reader, in a task that ends whether or not the connection is ever read from again.
    let (teller, told) = tokio::sync::mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        loop {
            let said = tokio::select! {
                said = watch.next() => said,
                () = teller.closed() => return,
            };
            let Some(said) = said else { return };
            if teller.send_timeout(said, PATIENCE).await.is_err() {
                return;
            }
        }
    });
    let stream = futures_util::stream::unfold(told, |mut told| async move {
        let said = told.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(said), told))
    });
    let mut response = Response::new(Body::from_stream(stream));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

impl Watch {
    /// What is said next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let happening = tokio::select! {
                happening = self.happenings.recv() => happening,
                () = tokio::time::sleep_until(heartbeat.min(self.until)) => {
                    let goes_on = Instant::now() < self.until && self.is_good().await;
                    return goes_on.then(|| Bytes::from_static(b": alive\n\n"));
                }
            };
            match happening {
                Ok(happening) if self.may_know(&happening) => {
                    return self.is_good().await.then(|| Bytes::from(told(happening)));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(count)) => {
                    let reason = format!(
                        "{count} events came faster than they were read: read what you watch again"
                    );
                    return Some(Bytes::from(lost(&reason)));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn may_know(&self, happening: &Happening) -> bool {
        match (&happening.owner, &happening.policy) {
            (Some(owner), Some(policy)) => {
                self.api.control.may_know(self.call.who(), owner, policy)
            }
            // Policies and the switch are everybody's to know of.
            _ => true,
        }
    }

    /// Whether the token that opened the stream is good still.
    async fn is_good(&self) -> bool {
        match self.call.caller.via {
            Via::Api {
                token: Some(token), ..
            } => self.api.control.is_good_token(token).await.unwrap_or(false),
            Via::Api { token: None, .. } | Via::Cmdlet => true,
        }
    }
}

fn told(happening: Happening) -> String {
    let event = Event {
        id: happening.id,
        at: happening.at,
        kind: happening.kind.as_str().to_owned(),
        by: happening.by,
        request: happening.request,
        grant: happening.grant,
        policy: happening.policy,
    };
    format!("id: {}\n{}", event.id, message(&event.kind, &event))
}

fn lost(reason: &str) -> String {
    let reason = reason.to_owned();
    message("lost", &Lost { reason })
}

/// JSON of one line: what is inside cannot end the event.
fn message(kind: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {kind}\ndata: {data}\n\n")
}
