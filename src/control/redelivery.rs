//! Notices as operators look at them, and those that were given up, tried again.

use serde_json::{Map, json};
use uuid::Uuid;

use crate::audit::Event;
use crate::model::{Principal, RequestState};
use crate::store::{Delivery, DeliveryState, MOST_LISTED, Relevance, StoreError, Write};

use super::Caller;
use super::desk::{Desk, Unfinished};
use super::reading::{self, Page};
use super::record::{Change, owed};
use super::refusals::{WorkflowError, done_but_unrecorded, half_done, not_reached, too_busy};

/// Deliveries that are tried again in one transaction.
const AT_ONCE: usize = 100;

/// Listings of [`MOST_LISTED`] that are gone through at most for all that were given up.
const MOST_LISTINGS: usize = 100;

/// Which notices are listed, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// In one of these states.
    pub states: Vec<DeliveryState>,
    /// Only what is older than this, [`Page::next`] of the page before.
    pub after: Option<Uuid>,
    /// At most this many, and at most [`MOST_LISTED`].
    pub most: usize,
}

/// Notices and where they stand, newest first: for operators.
pub(super) async fn list(
    desk: &Desk,
    who: &Principal,
    query: &DeliveryQuery,
) -> Result<Page<Delivery>, WorkflowError> {
    only_operators(desk, who, "lists everybody's messages")?;
    let most = query.most.clamp(1, MOST_LISTED);
    let found = desk.store.deliveries(&query.states, query.after, most);
    let items = found.await.map_err(not_reached)?;
    let next = items.last().map(|it| it.id);
    Ok(Page {
        next: next.filter(|_| items.len() == most),
        items,
    })
}

/// Has a notice tried again that was given up: for operators.
pub(super) async fn retry(
    desk: &Desk,
    caller: &Caller,
    id: Uuid,
    comment: Option<&str>,
) -> Result<Delivery, WorkflowError> {
    only_operators(desk, &caller.principal, "has messages sent again")?;
    let delivery = desk.store.delivery(id).await.map_err(not_reached)?;
    let delivery = delivery.ok_or_else(|| {
        WorkflowError::NotFound(format!(
            "there is no message {id}: what was sent or given up is forgotten after 30 days"
        ))
    })?;
    match delivery.state {
        DeliveryState::Dead => {}
        DeliveryState::Pending => {
            return Err(WorkflowError::Conflict(format!(
                "the message {id} waits to be sent already"
            )));
        }
        DeliveryState::Sent => {
            return Err(WorkflowError::Conflict(format!(
                "the message {id} was sent, and none is sent twice"
            )));
        }
    }
    if !is_of_use(desk, &delivery).await.map_err(not_reached)? {
        return Err(WorkflowError::Conflict(format!(
            "the message {id} is a reminder of something that nobody has to do any more"
        )));
    }
    match revive(desk, caller, vec![delivery], comment).await {
        Ok((mut revived, done)) => {
            let delivery = revived.pop().ok_or_else(too_busy)?;
            done.map_err(|it| {
                done_but_unrecorded(&it, &format!("the message {id} is sent again"))
            })?;
            Ok(delivery)
        }
        Err(error) => Err(not_reached(error)),
    }
}

/// Has all tried again that were given up and are still of use: for operators. How many they are.
pub(super) async fn retry_all(
    desk: &Desk,
    caller: &Caller,
    comment: Option<&str>,
) -> Result<usize, WorkflowError> {
    only_operators(desk, &caller.principal, "has messages sent again")?;
    let mut count = 0;
    match retry_each(desk, caller, comment, &mut count).await {
        Ok(()) => Ok(count),
        Err(Stopped::Store(error)) if count == 0 => Err(not_reached(error)),
        Err(Stopped::Store(error)) => {
            let done = format!("{}, and others are perhaps still given up", sent(count));
            Err(half_done(error, &done))
        }
        Err(Stopped::Unrecorded(error)) => Err(done_but_unrecorded(&error, &sent(count))),
    }
}

/// Why not all were gone through.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The store failed.
    Store(StoreError),
    /// Those that are tried again are not all on record yet.
    Unrecorded(Unfinished),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn sent(count: usize) -> String {
    match count {
        1 => "1 message is sent again".to_owned(),
        count => format!("{count} messages are sent again"),
    }
}

/// Goes through all that were given up, and counts in `count` those that are tried again, also where it cannot go on.
async fn retry_each(
    desk: &Desk,
    caller: &Caller,
    comment: Option<&str>,
    count: &mut usize,
) -> Result<(), Stopped> {
    let mut after = None;
    for _ in 0..MOST_LISTINGS {
        let dead = desk
            .store
            .deliveries(&[DeliveryState::Dead], after, MOST_LISTED)
            .await?;
        after = dead.last().map(|it| it.id);
        let is_last = dead.len() < MOST_LISTED;
        let mut useful = Vec::new();
        for delivery in dead {
            if is_of_use(desk, &delivery).await? {
                useful.push(delivery);
            }
        }
        for some in useful.chunks(AT_ONCE) {
            revive_those_left(desk, caller, some, comment, count).await?;
        }
        if is_last {
            break;
        }
    }
    Ok(())
}

/// Makes those pending that are still as they were listed.
pub(super) async fn revive_those_left(
    desk: &Desk,
    caller: &Caller,
    listed: &[Delivery],
    comment: Option<&str>,
    count: &mut usize,
) -> Result<(), Stopped> {
    match revive(desk, caller, listed.to_vec(), comment).await {
        Ok((revived, done)) => {
            *count += revived.len();
            return done.map_err(Stopped::Unrecorded);
        }
        // Another operator was at it: each for itself, and what is not dead any more is passed over.
        Err(StoreError::Changed) => {}
        Err(error) => return Err(error.into()),
    }
    for one in listed {
        match revive(desk, caller, vec![one.clone()], comment).await {
            Ok((revived, done)) => {
                *count += revived.len();
                done.map_err(Stopped::Unrecorded)?;
            }
            Err(StoreError::Changed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether somebody would still want to read it.
async fn is_of_use(desk: &Desk, delivery: &Delivery) -> Result<bool, StoreError> {
    let (Relevance::WhileAwaited, Some(request)) = (delivery.relevance, delivery.request) else {
        return Ok(true);
    };
    let case = desk.case(request).await?;
    Ok(case.is_some_and(|it| {
        let is_open = it.request.state == RequestState::Pending && desk.now() < it.request.expires;
        is_open || it.grant.is_some_and(|grant| grant.awaits_review())
    }))
}

/// Makes dead deliveries pending, with a record each. The outer error: none was; the inner one: that is not on record yet.
async fn revive(
    desk: &Desk,
    caller: &Caller,
    dead: Vec<Delivery>,
    comment: Option<&str>,
) -> Result<(Vec<Delivery>, Result<(), Unfinished>), StoreError> {
    let now = desk.now();
    let mut change = Change::default();
    let mut revived = Vec::new();
    for delivery in dead {
        let attempts = delivery.attempts;
        let delivery = Delivery {
            state: DeliveryState::Pending,
            attempts: 0,
            due: now,
            ended: None,
            retried: Some(now),
            ..delivery
        };
        change.writes.push(Write::ReviveDelivery(delivery.clone()));
        change
            .writes
            .push(recorded(&delivery, attempts, comment, caller, desk)?);
        revived.push(Delivery {
            version: delivery.version.saturating_add(1),
            ..delivery
        });
    }
    let done = desk.make(change).await?;
    Ok((revived, done))
}

fn recorded(
    delivery: &Delivery,
    attempts: i64,
    comment: Option<&str>,
    caller: &Caller,
    desk: &Desk,
) -> Result<Write, StoreError> {
    let mut details = Map::from_iter([
        ("notice".to_owned(), json!(delivery.notice)),
        ("delivery".to_owned(), json!(delivery.id)),
        ("event".to_owned(), json!(delivery.kind)),
        ("channel".to_owned(), json!(delivery.channel)),
        ("recipient".to_owned(), json!(delivery.recipient)),
        ("attempts".to_owned(), json!(attempts)),
        ("comment".to_owned(), json!(comment)),
    ]);
    details.extend(caller.via.details(&caller.principal));
    let who = &caller.principal;
    let event = Event {
        id: Uuid::now_v7(),
        at: desk.now(),
        kind: "notification.retried".to_owned(),
        principal: Some((who.key.clone(), who.name.clone())),
        source: Some(caller.source),
        request: delivery.request,
        grant: None,
        policy: None,
        decision: caller.decision,
        details,
    };
    owed(&event, None)
}

fn only_operators(desk: &Desk, who: &Principal, does: &str) -> Result<(), WorkflowError> {
    let policies = &desk.state.snapshot().policies;
    if reading::is_operator(desk, who, policies) {
        return Ok(());
    }
    Err(WorkflowError::Forbidden(format!(
        "only an operator {does}: a member of the group that `operators` under [access_control] of the gateway's configuration names"
    )))
}
