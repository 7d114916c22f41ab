//! Requests that blocked calls file for themselves, where their policy has `on_block = "request"`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::{Command, Pins, RequestState, Task};

use super::desk::Desk;
use super::filing::{file, no_policy};
use super::refusals::{WorkflowError, not_reached};
use super::{Ask, Asked, Caller, Manner};

/// How long a block goes by what an equal one filed before it, whatever became of that: a script that tries again and again
/// does not bother approvers again and again.
const BLOCKS_AS_ONE: TimeDelta = TimeDelta::minutes(5);

/// How many blocks are remembered.
const MOST_BLOCKS: usize = 10_000;

/// Requests that blocked calls filed lately, by person, policy and task.
#[derive(Debug, Default)]
pub(super) struct Blocks(Mutex<HashMap<BlockKey, (Uuid, DateTime<Utc>)>>);

type BlockKey = (String, String, Option<Task>);

/// Files the request of a blocked call, unless an equal one did so lately; its id, and where it stands.
pub(super) async fn file_for_blocked(
    desk: &Desk,
    caller: &Caller,
    ask: &Ask,
) -> Result<(Uuid, RequestState), WorkflowError> {
    let Asked::Policy { scope, task } = &ask.scope else {
        return Err(no_policy("", caller.words()));
    };
    let key = (caller.principal.key.clone(), scope.clone(), task.clone());
    let now = desk.now();
    if let Some(id) = desk.blocks.lately(&key, now)
        && let Some(known) = desk.store.request(id).await.map_err(not_reached)?
    {
        return Ok((id, known.state));
    }
    let request = file(desk, caller, ask).await?.case.request;
    desk.blocks.remember(key, request.id, now);
    Ok((request.id, request.state))
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
