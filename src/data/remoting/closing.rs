//! What ends without clients: pipelines that nothing covers any more ([`super::unasked`]), pipelines that waited for approval too long, those that the server was told to end and did not say to
//! have ended, idle sessions, and all sessions when the gateway stops.
//!
//! That a session ended is on record before the server is told, so a server that hangs delays neither the record nor, beyond a
//! bound, the stop.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Map;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::audit::Event;
use crate::data::gate::{Gate, Protocol, Route};
use crate::dialect::psrp::soap::{Frame, Target};
use crate::upstream::Pool;

use super::Remoting;
use super::shells::{Again, Kept};
use super::unasked::end_uncovered;
use super::upstream::{CLOSE, Closing, Line};

/// How often idle sessions are looked for, at most.
const PERIOD: Duration = Duration::from_secs(30);

/// How often pipelines are looked for that waited for approval too long.
const OVERDUE_PERIOD: Duration = Duration::from_secs(1);

/// How long before each time that a server is told to close a session as the gateway stops.
const PAUSES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_secs(1),
];

/// How many are closed at once.
pub(super) const AT_ONCE: usize = 16;

/// Ends pipelines that nobody decided on in time or that nothing covers any more, and closes sessions that nobody uses any more, until `stop` fires.
pub async fn tend_sessions(gate: Arc<Gate>, stop: CancellationToken) {
    let tend = async {
        tokio::join!(
            give_up_overdue(&gate),
            close_idle(&gate),
            end_uncovered(&gate),
            end_unconfirmed(&gate)
        )
    };
    tokio::select! {
        () = stop.cancelled() => {}
        ((), (), (), ()) = tend => {}
    }
}

async fn give_up_overdue(gate: &Gate) {
    if remotings(gate).next().is_none() {
        return;
    }
    let mut tick = interval(OVERDUE_PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = Instant::now();
        for kept in remotings(gate).flat_map(|it| it.1.shells.all()) {
            let were_any = kept.lock().give_up_overdue(now);
            if were_any {
                kept.changed.notify_waiters();
            }
        }
    }
}

/// Tells servers again to end what they were told to end and did not say to have ended, whether or not its client asks for it: the
/// pipelines of sessions, and sessions that are no more.
async fn end_unconfirmed(gate: &Gate) {
    let pool = Pool::new();
    // Each by itself: closing many sessions at a server that hangs takes longer than a period.
    tokio::join!(
        async {
            let Some(mut tick) = every_period(gate) else {
                return;
            };
            loop {
                tick.tick().await;
                end_pipelines_again(gate, &pool).await;
            }
        },
        async {
            let Some(mut tick) = every_period(gate) else {
                return;
            };
            loop {
                tick.tick().await;
                close_again(gate, &pool).await;
            }
        }
    );
}

async fn end_pipelines_again(gate: &Gate, pool: &Pool) {
    let mut unconfirmed = Vec::new();
    for (route, remoting) in remotings(gate) {
        let mut all = remoting.shells.all();
        all.retain(|it| !it.lock().shell.stopping().is_empty());
        unconfirmed.extend(all.into_iter().map(|it| (route, remoting, it)));
    }
    stream::iter(unconfirmed)
        .for_each_concurrent(AT_ONCE, |(route, remoting, kept)| async move {
            let (target, frame) = (Target::default(), own_frame());
            let line = own_line(pool, route, remoting, &kept, &target, &frame);
            if let Some(line) = line {
                line.end_again().await;
            }
        })
        .await;
}

async fn close_again(gate: &Gate, pool: &Pool) {
    let unclosed: Vec<_> = remotings(gate)
        .flat_map(|(route, remoting)| {
            let unclosed = remoting.shells.unclosed().into_iter();
            unclosed.map(move |(kept, again)| (route, remoting, kept, again))
        })
        .collect();
    stream::iter(unclosed)
        .for_each_concurrent(AT_ONCE, |(route, remoting, kept, again)| async move {
            let (target, frame) = (Target::default(), own_frame());
            let Some(line) = own_line(pool, route, remoting, &kept, &target, &frame) else {
                return;
            };
            match (line.close().await, again) {
                (Closing::Confirmed, _) => remoting.shells.is_closed(&kept),
                (Closing::Unconfirmed, Again::Later) => {}
                (Closing::Unconfirmed, Again::Enough) => {
                    warn!(shell = %kept.id, endpoint = %route.path, "A session could not be closed upstream, and the server is not told again; its own idle time ends what runs there");
                    remoting.shells.is_closed(&kept);
                }
            }
        })
        .await;
}

/// Fires often enough for the shortest idle time; none if there are no sessions.
fn every_period(gate: &Gate) -> Option<Interval> {
    let shortest = remotings(gate).map(|it| it.1.settings.idle).min()?;
    let mut tick = interval((shortest / 4).clamp(Duration::from_millis(250), PERIOD));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(tick)
}

async fn close_idle(gate: &Gate) {
    let Some(mut tick) = every_period(gate) else {
        return;
    };
    let pool = Pool::new();
    loop {
        tick.tick().await;
        let ended = end_all(gate, "idle", |it| it.shells.take_idle(it.settings.idle));
        stream::iter(ended)
            .for_each_concurrent(AT_ONCE, |(route, remoting, kept)| {
                let pool = &pool;
                async move {
                    let (target, frame) = (Target::default(), own_frame());
                    if let Some(line) = own_line(pool, route, remoting, &kept, &target, &frame) {
                        line.close_or_keep_on(&kept).await;
                    }
                }
            })
            .await;
    }
}

/// How much of a drain is kept for closing sessions, so that no connection, whoever it is of, can use it up: none where there are no
/// sessions.
pub fn reserved_for_sessions(gate: &Gate, drain: Duration) -> Duration {
    if remotings(gate).all(|it| it.1.shells.are_none()) {
        return Duration::ZERO;
    }
    CLOSE.min(drain / 2)
}

/// Closes all sessions: the gateway stops. The server is waited for as long as `left`, and no longer than it may take for one.
pub async fn close_sessions(gate: &Gate, left: Duration) {
    let pool = Pool::new();
    let mut ended = end_all(gate, "gateway-stopped", |it| it.shells.take_all());
    // Their end is on record.
    for (route, remoting) in remotings(gate) {
        let unclosed = remoting.shells.take_unclosed().into_iter();
        ended.extend(unclosed.map(|it| (route, remoting, it)));
    }
    let count = ended.len();
    if timeout(left.min(CLOSE), close_all(&pool, ended))
        .await
        .is_err()
    {
        warn!(
            sessions = count,
            "Not all sessions could be closed upstream before the stop; the server's own idle time ends them"
        );
    }
}

pub(super) fn remotings(gate: &Gate) -> impl Iterator<Item = (&Route, &Remoting)> {
    gate.routes
        .iter()
        .filter_map(|route| match &route.protocol {
            Protocol::ExchangeRest => None,
            Protocol::Psrp(remoting) => Some((route, &**remoting)),
        })
}

/// A session that has ended here.
type Ended<'a> = (&'a Route, &'a Remoting, Arc<Kept>);

/// Ends the sessions of all endpoints that `take` takes out of them, and puts that on record.
fn end_all<'a>(
    gate: &'a Gate,
    why: &'static str,
    take: impl Fn(&Remoting) -> Vec<Arc<Kept>>,
) -> Vec<Ended<'a>> {
    let mut all = Vec::new();
    for (route, remoting) in remotings(gate) {
        for kept in take(remoting) {
            {
                // Outcomes of pipelines that nobody asks for any more are recorded as they are dropped.
                let mut inner = kept.lock();
                inner.standing.clear();
                inner.held.clear();
            }
            kept.closed.cancel();
            kept.changed.notify_waiters();
            gate.audit.event_soon(ended(gate, route, &kept, why));
            all.push((route, remoting, kept));
        }
    }
    all
}

/// Closes these at their servers, which are told a few times.
async fn close_all(pool: &Pool, ended: Vec<Ended<'_>>) {
    stream::iter(ended)
        .for_each_concurrent(AT_ONCE, |(route, remoting, kept)| async move {
            let (target, frame) = (Target::default(), own_frame());
            let Some(line) = own_line(pool, route, remoting, &kept, &target, &frame) else {
                return;
            };
            for pause in PAUSES {
                sleep(pause).await;
                if line.close().await == Closing::Confirmed {
                    return;
                }
            }
            warn!(shell = %kept.id, endpoint = %route.path, "A session could not be closed upstream; the server's own idle time ends it");
        })
        .await;
}

/// The gateway's own way to the server. With the callers' own credentials it has none to say anything with: the server's idle time
/// ends what there is.
pub(super) fn own_line<'a>(
    pool: &'a Pool,
    route: &'a Route,
    remoting: &'a Remoting,
    kept: &'a Kept,
    target: &'a Target,
    frame: &'a Frame,
) -> Option<Line<'a>> {
    Some(Line {
        pool,
        route,
        remoting,
        kept,
        authorization: route.credential.own()?,
        target,
        frame,
        charged: None,
    })
}

pub(super) fn own_frame() -> Frame {
    Frame {
        message: Uuid::nil(),
        session: None,
        timeout: Some(CLOSE),
        max_envelope: None,
        locale: None,
        data_locale: None,
    }
}

/// That a session ended without its client.
pub(super) fn ended(gate: &Gate, route: &Route, kept: &Kept, why: &'static str) -> Event {
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
