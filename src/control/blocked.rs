//! Requests that blocked calls file for themselves, where their policy has `on_block = "request"` or `"hold"`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use crate::model::{Command, GrantState, Pins, Request, RequestState, Task};
use crate::state::BlockedRequest;

use super::desk::Desk;
use super::filing::{file, no_policy};
use super::refusals::{WorkflowError, not_reached};
use super::{Ask, Asked, Caller, Case, Manner};

/// How long a block goes by what an equal one filed before it, whatever became of that: a script that tries again and again
/// does not bother approvers again and again.
const BLOCKS_AS_ONE: TimeDelta = TimeDelta::minutes(5);

/// How many blocks are remembered.
const MOST_BLOCKS: usize = 10_000;

/// Requests that blocked calls filed lately, by person, policy and task.
#[derive(Debug, Default)]
pub(super) struct Blocks(Mutex<HashMap<BlockKey, (Uuid, DateTime<Utc>)>>);

type BlockKey = (String, String, Option<Task>);

/// Files the request of a blocked call, unless an equal one did so lately and what came of that still counts.
pub(super) async fn file_for_blocked(
    desk: &Desk,
    caller: &Caller,
    ask: &Ask,
) -> Result<BlockedRequest, WorkflowError> {
    let Asked::Policy { scope, task } = &ask.scope else {
        return Err(no_policy("", caller.words()));
    };
    let key = (caller.principal.key.clone(), scope.clone(), task.clone());
    let now = desk.now();
    if let Some(id) = desk.blocks.lately(&key, now)
        && let Some(known) = desk.store.request(id).await.map_err(not_reached)?
    {
        let grant = grant_of(desk, &known).await?;
        if !grant.is_some_and(is_spent) {
            return Ok(BlockedRequest {
                id,
                state: known.state,
                grant,
                is_earlier: true,
            });
        }
    }
    let Case { request, grant, .. } = file(desk, caller, ask).await?.case;
    desk.blocks.remember(key, request.id, now);
    Ok(BlockedRequest {
        id: request.id,
        state: request.state,
        // It starts when it was approved, which is after `now`.
        grant: grant.map(|it| it.state(desk.now())),
        is_earlier: false,
    })
}

/// Where the grant that was made of a request stands.
async fn grant_of(desk: &Desk, request: &Request) -> Result<Option<GrantState>, WorkflowError> {
    if request.state != RequestState::Approved {
        return Ok(None);
    }
    let grant = desk.store.grant_of_request(request.id).await;
    let grant = grant.map_err(not_reached)?;
    Ok(grant.map(|it| it.state(desk.now())))
}

/// Whether a grant came to its end as it should: the next call has to ask again.
fn is_spent(grant: GrantState) -> bool {
    match grant {
        GrantState::Ended | GrantState::Expired | GrantState::UsedUp => true,
        GrantState::Active | GrantState::Revoked | GrantState::Scheduled => false,
    }
}

/// Waits until a request is decided, and what came of it is in force.
pub(super) async fn settled(desk: &Desk, request: Uuid) -> Result<RequestState, WorkflowError> {
    let mut happenings = desk.happenings.subscribe();
    loop {
        let known = desk.store.request(request).await.map_err(not_reached)?;
        match known.map(|it| it.state) {
            Some(RequestState::Pending) => {}
            Some(state) => {
                // A change is told of before its grant is in force.
                let in_force = desk.record_owed().await;
                return in_force.map(|()| state).map_err(|error| {
                    WorkflowError::Unavailable(format!(
                        "the request is decided, and its grant not in force yet: {error}"
                    ))
                });
            }
            None => {
                return Err(WorkflowError::NotFound(format!(
                    "there is no request {request}"
                )));
            }
        }
        loop {
            match happenings.recv().await {
                Ok(happening) if happening.request == Some(request) => break,
                Ok(_) => {}
                // Some were missed: it may have been among them.
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => {
                    return Err(WorkflowError::Unavailable(
                        "the gateway is stopping".to_owned(),
                    ));
                }
            }
        }
    }
}

impl Blocks {
    fn lately(&self, key: &BlockKey, now: DateTime<Utc>) -> Option<Uuid> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, at) = known.get(key)?;
        (now - *at < BLOCKS_AS_ONE).then_some(*id)
    }

    fn remember(&self, key: BlockKey, id: Uuid, now: DateTime<Utc>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_BLOCKS {
            known.retain(|_, (_, at)| now - *at < BLOCKS_AS_ONE);
        }
        if known.len() < MOST_BLOCKS {
            known.insert(key, (id, now));
        }
    }
}

/// What a blocked call asks for by itself: its one task, as long as the policy has it by default.
pub(super) fn for_blocked(command: &Command, policy: &str) -> Ask {
    Ask {
        scope: Asked::Policy {
            scope: policy.to_owned(),
            task: Some(command.task.clone()),
        },
        reason: format!("blocked call of {}", command.task.cmdlet),
        duration: None,
        starts: None,
        uses: None,
        pins: Pins::default(),
        manner: Manner::Ordinary,
        context: Vec::new(),
        external_identity: None,
    }
}
