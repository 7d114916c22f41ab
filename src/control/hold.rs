//! What happens when the store's hold is lost: grants in memory may be out of date, so none counts until all is read again.

use std::time::Duration;

use serde_json::Map;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::audit::Event;
use crate::store::{Held, StoreError};

use super::desk::{Desk, chain};
use super::force;

/// The wait after what is stored could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// How long the audit log may take for a record.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

/// Follows the hold until `stop`.
pub(super) async fn follow(desk: &Desk, stop: &CancellationToken) {
    let mut held = desk.store.hold();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = held.changed() => if changed.is_err() {
                // Whoever holds it has ended, and with it the store.
                return;
            }
        }
        // Lost and regained at once looks like regained, and means the same.
        desk.state.grants.suspend();
        if *held.borrow_and_update() == Held::Lost {
            error!("No grant counts: the store may be changed by another process");
            record(desk, "store.lost").await;
            continue;
        }
        while let Err(error) = read_again(desk).await {
            warn!(error = %chain(&error), "What is stored cannot be read again yet; no grant counts until then");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
            if held.has_changed().unwrap_or(true) {
                break;
            }
        }
        if held.has_changed().unwrap_or(true) {
            continue;
        }
        desk.state.grants.resume();
        record(desk, "store.regained").await;
        desk.wake();
        info!("Grants count again");
    }
}

/// Everything that is kept in memory, anew.
async fn read_again(desk: &Desk) -> Result<(), StoreError> {
    desk.uses.forget_all();
    desk.load_grants_anew().await?;
    force::refresh(desk).await
}

async fn record(desk: &Desk, kind: &str) {
    let event = Event {
        id: Uuid::now_v7(),
        at: desk.now(),
        kind: kind.to_owned(),
        principal: None,
        source: None,
        request: None,
        grant: None,
        policy: None,
        decision: None,
        details: Map::new(),
    };
    match tokio::time::timeout(RECORD_TIMEOUT, desk.ledger.event(event)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, kind, "It could not be recorded"),
        Err(_) => warn!(
            kind,
            "It could not be recorded: the audit log does not answer"
        ),
    }
}
