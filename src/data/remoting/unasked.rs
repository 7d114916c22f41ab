//! Pipelines that go on though their clients ask for nothing: the gateway decides them again by itself, by the same words as a
//! step of the client's, and stops what nothing covers any more, or whoever began it may not sign in any more. It looks whenever
//! policies, settings or grants change, and once a second, for what ends by the clock or a user file.
//!
//! A request of the client that waits meanwhile sees to the end of its pipeline itself; only if it does not do so soon, the
//! gateway does. Without a credential of its own the gateway could tell the server nothing, so it leaves what runs there to the
//! client's next request.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::warn;
use uuid::Uuid;

use crate::audit::CallContext;
use crate::data::gate::{Gate, Route};
use crate::data::judge::Scene;
use crate::dialect::psrp::soap::Target;
use crate::identity::Fallen;
use crate::state::Snapshot;
use crate::upstream::Pool;

use super::Remoting;
use super::closing::{AT_ONCE, own_frame, own_line, remotings};
use super::decide::Pending;
use super::going::{Against, decide_again};
use super::shells::Kept;
use super::standing::Beginner;
use super::upstream::{CLOSE, Ender};

/// How often it looks without being told of a change.
const PERIOD: Duration = Duration::from_secs(1);

/// How long it waits between two looks, so that many changes at once cost few of them.
const APART: Duration = Duration::from_millis(50);

/// How long a request that waits has for it to stop its own pipeline.
const ATTENTION: Duration = Duration::from_secs(2);

/// A pipeline that nothing covers any more, and what speaks against it.
struct Uncovered<'a> {
    route: &'a Route,
    remoting: &'a Remoting,
    kept: Arc<Kept>,
    command: Uuid,
    beginner: Beginner,
    against: Why,
}

/// What speaks against a pipeline that runs.
enum Why {
    /// The decision on it.
    Decision(Against),
    /// Who began it would not be signed in any more, by whatever credential.
    Fallen(Fallen),
}

/// Stops pipelines that nothing covers any more.
pub(super) async fn end_uncovered(gate: &Gate) {
    let pool = Pool::new();
    let with_turns = |(route, remoting)| (route, remoting, Semaphore::new(AT_ONCE));
    let own = |it: &(&Route, &Remoting)| it.0.credential.is_injected();
    let endpoints: Vec<_> = remotings(gate).filter(own).map(with_turns).collect();
    if endpoints.is_empty() {
        return;
    }
    let mut tick = interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One for each pipeline at most, since each is stopped once.
    let mut stopping = FuturesUnordered::new();
    loop {
        let mut changed = std::pin::pin!(gate.state.changes().notified());
        changed.as_mut().enable();
        let snapshot = gate.state.snapshot();
        for (route, remoting, turns) in &endpoints {
            for kept in remoting.shells.all() {
                for uncovered in look(gate, route, remoting, &kept, &snapshot) {
                    stopping.push(stop(gate, &pool, turns, Arc::clone(&snapshot), uncovered));
                }
                tokio::task::yield_now().await;
            }
        }
        let mut woken = std::pin::pin!(async {
            tokio::select! {
                () = changed => {}
                _ = tick.tick() => {}
            }
            sleep(APART).await;
        });
        loop {
            tokio::select! {
                () = &mut woken => break,
                Some(()) = stopping.next() => {}
            }
        }
    }
}

/// The pipelines of a session that are to be stopped now. They are marked, so that each is stopped once.
fn look<'a>(
    gate: &Gate,
    route: &'a Route,
    remoting: &'a Remoting,
    kept: &Arc<Kept>,
    snapshot: &Snapshot,
) -> Vec<Uncovered<'a>> {
    let commands: Vec<Uuid> = kept.lock().standing.keys().copied().collect();
    let uncovered = commands.into_iter().filter_map(|command| {
        let (proposal, beginner) = {
            let inner = kept.lock();
            let standing = inner.standing.get(&command)?;
            if standing.is_being_stopped {
                return None;
            }
            (inner.shell.going_on(command)?, standing.beginner.clone())
        };
        let pending = Pending {
            kept,
            proposal: Some(Box::new(proposal)),
        };
        let scene = scene(gate, route, snapshot, &beginner);
        let context = context(&scene, &beginner, command);
        let acts = pending.acts();
        let decided = match beginner.check(gate, route) {
            // A client may bring a new token, or a new password, with its next request.
            Err(fallen) if fallen.is_of_the_person() => Err(Why::Fallen(fallen)),
            Err(_) | Ok(()) => decide_again(&scene, &context, &acts, &kept.stands_on(command))
                .map_err(Why::Decision),
        };
        let mut inner = kept.lock();
        let standing = inner.standing.get_mut(&command)?;
        let Err(against) = decided else {
            standing.uncovered = None;
            return None;
        };
        let since = *standing.uncovered.get_or_insert_with(Instant::now);
        if standing.attended > 0 && since.elapsed() < ATTENTION {
            return None;
        }
        standing.is_being_stopped = true;
        Some(Uncovered {
            route,
            remoting,
            kept: Arc::clone(kept),
            command,
            beginner,
            against,
        })
    });
    uncovered.collect()
}

/// Puts on record that a pipeline may not go on, and stops it here and at the server.
async fn stop(
    gate: &Gate,
    pool: &Pool,
    turns: &Semaphore,
    snapshot: Arc<Snapshot>,
    uncovered: Uncovered<'_>,
) {
    let Uncovered {
        route,
        remoting,
        kept,
        command,
        beginner,
        against,
    } = uncovered;
    let scene = scene(gate, route, &snapshot, &beginner);
    let context = context(&scene, &beginner, command);
    let text = match against {
        Why::Decision(against) => against.record(&scene, &context).await.0,
        Why::Fallen(fallen) => {
            beginner.record(gate, route, command, fallen);
            format!("the pipeline may not go on: {fallen}")
        }
    };
    let Some(proposal) = kept.lock().shell.going_on(command) else {
        return;
    };
    let cleared = kept.refuse(Box::new(proposal), &text);
    let (target, frame) = (Target::default(), own_frame());
    let Some(line) = own_line(pool, route, remoting, &kept, &target, &frame) else {
        return;
    };
    // What it does not say to have ended it is told again, like all that was stopped.
    let _turn = turns.acquire().await;
    if timeout(CLOSE, line.send_ending(cleared, Ender::Gateway))
        .await
        .is_err()
    {
        warn!(shell = %kept.id, pipeline = %command, "The server did not say whether it stopped a pipeline that may not go on; it is told again");
    }
}

fn scene<'a>(
    gate: &'a Gate,
    route: &'a Route,
    snapshot: &'a Snapshot,
    beginner: &'a Beginner,
) -> Scene<'a> {
    Scene {
        gate,
        route,
        snapshot,
        principal: beginner.principal(),
    }
}

/// What records tell of it. No request is behind it, so it has an id of its own.
fn context(scene: &Scene<'_>, beginner: &Beginner, command: Uuid) -> CallContext {
    let decided = Utc::now();
    CallContext {
        request_id: scene.gate.audit.new_id(decided),
        client_request_id: Some(command.hyphenated().to_string()),
        principal: Arc::clone(beginner.principal()),
        source: beginner.source,
        endpoint: Arc::clone(&scene.route.path),
        tenant: None,
        policy_set: scene.snapshot.policies.shared_hash(),
        decided,
    }
}
