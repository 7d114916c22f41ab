//! Sessions that end without their clients: idle ones, and all of them when the gateway stops.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Map;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::audit::Event;
use crate::data::gate::{Gate, Protocol, Route};
use crate::dialect::psrp::soap::{Frame, Response, Target};
use crate::upstream::Pool;

use super::Remoting;
use super::clearance::Cleared;
use super::shells::Kept;
use super::upstream::{Heard, Line};

/// How often idle sessions are looked for, at most.
const PERIOD: Duration = Duration::from_secs(30);

/// How long the server may take to close a session.
const CLOSE: Duration = Duration::from_secs(10);

/// How many are closed at once.
const AT_ONCE: usize = 16;

/// Closes sessions that nobody uses any more, until `stop` fires.
pub async fn tend_sessions(gate: Arc<Gate>, stop: CancellationToken) {
    let idles = remotings(&gate).map(|it| it.1.settings.idle);
    let Some(shortest) = idles.min() else {
        return;
    };
    let pool = Pool::new();
    let mut tick = interval((shortest / 4).clamp(Duration::from_millis(250), PERIOD));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        for (route, remoting) in remotings(&gate) {
            let idle = remoting.shells.take_idle(remoting.settings.idle);
            close_all(&gate, &pool, route, remoting, idle, "idle").await;
        }
    }
}

/// Closes all sessions: the gateway stops.
pub async fn close_sessions(gate: &Gate) {
    let pool = Pool::new();
    for (route, remoting) in remotings(gate) {
        let all = remoting.shells.take_all();
        close_all(gate, &pool, route, remoting, all, "gateway-stopped").await;
    }
}

fn remotings(gate: &Gate) -> impl Iterator<Item = (&Route, &Remoting)> {
    gate.routes
        .iter()
        .filter_map(|route| match &route.protocol {
            Protocol::ExchangeRest => None,
            Protocol::Psrp(remoting) => Some((route, &**remoting)),
        })
}

async fn close_all(
    gate: &Gate,
    pool: &Pool,
    route: &Route,
    remoting: &Remoting,
    sessions: Vec<Arc<Kept>>,
    why: &'static str,
) {
    stream::iter(sessions)
        .for_each_concurrent(AT_ONCE, |kept| async move {
            close(gate, pool, route, remoting, &kept, why).await;
        })
        .await;
}

async fn close(
    gate: &Gate,
    pool: &Pool,
    route: &Route,
    remoting: &Remoting,
    kept: &Kept,
    why: &'static str,
) {
    {
        // Outcomes of pipelines that nobody asks for any more are recorded as they are dropped.
        let mut inner = kept.lock();
        inner.standing.clear();
        inner.held.clear();
    }
    kept.changed.notify_waiters();
    gate.audit.event_soon(ended(gate, route, kept, why));
    // With the callers' own credentials the gateway has none of its own to say it with: the server's idle time ends it.
    let Some(authorization) = route.credential.own() else {
        return;
    };
    let line = Line {
        pool,
        route,
        remoting,
        kept,
        authorization,
        target: &Target::default(),
        frame: &Frame {
            message: Uuid::nil(),
            session: None,
            timeout: Some(CLOSE),
            max_envelope: None,
            locale: None,
            data_locale: None,
        },
    };
    match timeout(CLOSE, line.send(Cleared::closing())).await {
        Ok(Heard::Answer(Response::Fault(fault))) => {
            debug!(shell = %kept.id, text = fault.text, "The server had closed a session before");
        }
        Ok(Heard::Answer(_)) => {}
        Ok(Heard::Lost(_)) | Err(_) => {
            warn!(shell = %kept.id, endpoint = %route.path, "A session could not be closed upstream; the server's own idle time ends it");
        }
    }
}

fn ended(gate: &Gate, route: &Route, kept: &Kept, why: &'static str) -> Event {
    let at = Utc::now();
    let mut details = Map::new();
    details.insert("endpoint".to_owned(), route.path.to_string().into());
    details.insert("shell".to_owned(), kept.id.to_string().into());
    details.insert("why".to_owned(), why.into());
    Event {
        id: gate.audit.new_id(at),
        at,
        kind: "session.ended".to_owned(),
        principal: Some((kept.owner.key.clone(), kept.owner.name.clone())),
        source: None,
        request: None,
        grant: None,
        policy: None,
        decision: None,
        details,
    }
}
