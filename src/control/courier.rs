//! Carries owed notices away: one courier a channel, so that one that hangs delays no other, and nobody's request.
//!
//! Before an attempt, the store learns that it begins; after it, how it ended. So a delivery is attempted again only if the
//! last attempt failed, or was cut off: then nobody knows whether it arrived, and it goes once more under the same id, by
//! which the far side can recognise it. A delivery that fails is tried again, ever more seldom, until the configured time
//! is over; then it is dead, and the audit log has the record of that in the same transaction.
//!
//! Revisit when: several nodes share one store. What was cut off is told by the attempts that are open when couriers start,
//! which holds while one process at a time uses the store.

mod retry;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use uuid::Uuid;

use crate::audit::Event;
use crate::model::{Answered, Notice};
use crate::notify::{DeliveryError, Destination, Outgoing};
use crate::store::{Delivery, DeliveryState, Relevance, StoreError, Write};

use super::desk::{Desk, chain};
use super::record::owed;
use retry::{Next, next};
pub(super) use tally::Tallies;
pub use tally::{ChannelTally, Deliveries};

/// Looked at least this often, in case the clock was set or the machine slept.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// The wait after the store failed; it doubles with each further failure, up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait after a failure of the store.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How long deliveries that are sent or dead can be looked at.
const KEPT: TimeDelta = TimeDelta::days(30);

/// How often those that are older are forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// How long an attempt is nobody else's, unless it ends before: far longer than the configuration lets one take.
const UNDER_WAY: TimeDelta = TimeDelta::hours(1);

/// Deliveries on the way at once for a channel that the configuration does not have any more: each fails at once.
const STRAY: usize = 1;

/// Carries on all channels until `stop`, and then to the end of what is under way.
pub(super) async fn carry(desk: Arc<Desk>, stop: CancellationToken) {
    let mut channels: Vec<(Arc<str>, usize)> = desk
        .channels
        .names()
        .map(|(name, connections)| (Arc::clone(name), connections))
        .collect();
    let mut retry = FIRST_RETRY;
    let strays = loop {
        match begin(&desk, &channels).await {
            Ok(strays) => break strays,
            Err(error) => {
                log_store(&error);
                if !rest(&stop, &mut retry).await {
                    return;
                }
            }
        }
    };
    channels.extend(strays.into_iter().map(|name| (name, STRAY)));
    let mut couriers = JoinSet::new();
    for (name, connections) in channels {
        let courier = Courier {
            desk: Arc::clone(&desk),
            channel: name,
            connections,
            stop: stop.clone(),
        };
        couriers.spawn(courier.run());
    }
    couriers.spawn(forget(Arc::clone(&desk), stop));
    while let Some(ended) = couriers.join_next().await {
        if let Err(error) = ended {
            error!(%error, "A task of the couriers ended by a failure");
        }
    }
}

/// Has attempts that were cut off repeated at once; the channels that are owed something and configured no more.
async fn begin(desk: &Desk, channels: &[(Arc<str>, usize)]) -> Result<Vec<Arc<str>>, StoreError> {
    desk.store.reopen_deliveries(CUT_OFF, desk.now()).await?;
    desk.tallies.set_counts(desk.store.delivery_counts().await?);
    let in_use = desk.store.channels_in_use().await?;
    let is_configured = |name: &String| channels.iter().any(|it| *it.0 == **name);
    let strays = in_use.into_iter().filter(|name| !is_configured(name));
    Ok(strays.map(Arc::from).collect())
}

/// What is known of an attempt that has no end.
const CUT_OFF: &str = "the gateway stopped during the attempt: whether it arrived is not known";

/// Who carries on one channel.
#[derive(Clone)]
struct Courier {
    desk: Arc<Desk>,
    channel: Arc<str>,
    connections: usize,
    stop: CancellationToken,
}

impl Courier {
    async fn run(self) {
        let mut posted = self.desk.posted();
        // Tasks of their own: one that waits for the store in the middle of a transaction must go on while this waits for it.
        let mut under_way = JoinSet::new();
        let mut retry = FIRST_RETRY;
        let mut paused_until: Option<Instant> = None;
        while !self.stop.is_cancelled() {
            posted.mark_unchanged();
            paused_until = paused_until.filter(|it| Instant::now() < *it);
            let free = self.connections.saturating_sub(under_way.len());
            let mut failure = None;
            let mut sleep = LONGEST_SLEEP;
            if paused_until.is_none() && free > 0 {
                let (taken, next) = self.take(free).await;
                for delivery in taken {
                    under_way.spawn(self.clone().attempt(delivery));
                }
                match next {
                    Ok(None) => {}
                    Ok(Some(due)) => {
                        let left = (due - self.desk.now()).to_std().unwrap_or_default();
                        sleep = left.min(LONGEST_SLEEP);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            if failure.is_none() {
                let pause_ends = paused_until.unwrap_or_else(|| Instant::now() + sleep);
                // All are cancel-safe: attempts go on at the next turn, and a change that comes meanwhile is seen then.
                tokio::select! {
                    () = self.stop.cancelled() => break,
                    Some(ended) = under_way.join_next() => match ended {
                        Ok(Ok(())) => retry = FIRST_RETRY,
                        Ok(Err(error)) => failure = Some(error),
                        Err(error) => self.log_bug(&error),
                    },
                    _ = posted.changed() => {}
                    () = tokio::time::sleep_until(pause_ends) => {}
                }
            }
            if let Some(error) = failure {
                log_store(&error);
                paused_until = Some(Instant::now() + retry);
                retry = (retry * 2).min(LONGEST_RETRY);
            }
        }
        while let Some(ended) = under_way.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => log_store(&error),
                Err(error) => self.log_bug(&error),
            }
        }
    }

    /// An attempt that panicked is repeated when it is nobody else's any more.
    fn log_bug(&self, error: &tokio::task::JoinError) {
        error!(channel = &*self.channel, %error, "An attempt to deliver a notice ended by a failure");
    }

    /// Takes so many of those that are due, each noted in the store as begun; and when more will be due.
    ///
    /// What was taken is to be attempted even where the store fails after it.
    async fn take(
        &self,
        free: usize,
    ) -> (Vec<Delivery>, Result<Option<DateTime<Utc>>, StoreError>) {
        let mut taken = Vec::new();
        let next = self.take_into(&mut taken, free).await;
        (taken, next)
    }

    async fn take_into(
        &self,
        taken: &mut Vec<Delivery>,
        free: usize,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let store = &self.desk.store;
        let most = i64::try_from(free).unwrap_or(i64::MAX);
        let now = self.desk.now();
        let mut found = store.due_deliveries(&self.channel, now, most).await?;
        if found.is_empty() {
            let counts = store.delivery_counts().await?;
            self.desk.tallies.set_counts(counts);
            return store.next_delivery(&self.channel).await;
        }
        for delivery in &mut found {
            delivery.attempts = delivery.attempts.saturating_add(1);
            delivery.last_error = None;
            // Until the attempt has an end, nobody looks at it again.
            delivery.due = now + UNDER_WAY;
        }
        // All at once is one wait for the disk. One that is not owed any more, since its request was decided, spoils that.
        let all: Vec<Write> = found.iter().cloned().map(Write::UpdateDelivery).collect();
        match store.commit(&all).await {
            Ok(()) => taken.extend(found.into_iter().map(begun)),
            Err(StoreError::Changed) => {
                for delivery in found {
                    match store
                        .commit(&[Write::UpdateDelivery(delivery.clone())])
                        .await
                    {
                        Ok(()) => taken.push(begun(delivery)),
                        Err(StoreError::Changed) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        store.next_delivery(&self.channel).await
    }

    /// One attempt, whose beginning is noted already, to the note how it ended.
    async fn attempt(self, delivery: Delivery) -> Result<(), StoreError> {
        let desk = &self.desk;
        let outcome = match self.notice(&delivery).await {
            Ok(Some(notice)) => {
                let outgoing = Outgoing {
                    id: delivery.id,
                    notice: &notice,
                };
                let to = Destination {
                    channel: Arc::clone(&self.channel),
                    recipient: delivery.recipient.clone(),
                };
                let (channels, now) = (&desk.channels, desk.now());
                let receipt = channels.deliver(outgoing, &to, now, &mut ()).await;
                receipt.map(|it| it.text)
            }
            Ok(None) => return drop_one(desk, delivery).await,
            Err(error) => Err(error),
        };
        self.note(delivery, outcome).await
    }

    /// What there is to tell, as of now; nothing where the recipient has no part in it any more.
    async fn notice(&self, delivery: &Delivery) -> Result<Option<Notice>, DeliveryError> {
        let unreadable = |error: &dyn std::error::Error| DeliveryError::Local {
            what: format!("the store does not give the notice: {}", chain(error)),
        };
        let mut notice: Notice =
            serde_json::from_str(&delivery.json).map_err(|error| unreadable(&error))?;
        // The operator may have named more to hide since it was stored.
        notice.hide(self.desk.redaction());
        if let (Relevance::WhileAwaited, Some(request)) = (delivery.relevance, delivery.request) {
            let votes = self.desk.store.votes(request).await;
            let votes = votes.map_err(|error| unreadable(&error))?;
            let answers = votes.into_iter().map(|vote| Answered {
                by: vote.approver_name,
                answer: vote.answer,
            });
            notice.answers = answers.collect();
            let mut answered = notice.answers.iter();
            let has_answered = answered.any(|it| {
                let channels = &self.desk.channels;
                channels.is_address_of(&it.by, &delivery.recipient)
            });
            if has_answered {
                return Ok(None);
            }
        }
        Ok(Some(notice))
    }

    /// Stores how an attempt ended. What arrived must not be forgotten to have: this waits for the store until the end.
    async fn note(
        &self,
        mut delivery: Delivery,
        outcome: Result<String, DeliveryError>,
    ) -> Result<(), StoreError> {
        let mut retry = FIRST_RETRY;
        let writes = self.judge(&mut delivery, outcome)?;
        loop {
            match self.desk.store.commit(&writes).await {
                Ok(()) => break,
                Err(StoreError::Changed) => {
                    debug!(delivery = %delivery.id, "A delivery was changed by somebody else");
                    return Ok(());
                }
                Err(error) => {
                    log_store(&error);
                    if !rest(&self.stop, &mut retry).await {
                        return Err(error);
                    }
                }
            }
        }
        if delivery.state == DeliveryState::Dead {
            // The keeper brings the record of it to the audit log.
            self.desk.wake();
        }
        Ok(())
    }

    fn judge(
        &self,
        delivery: &mut Delivery,
        outcome: Result<String, DeliveryError>,
    ) -> Result<Vec<Write>, StoreError> {
        let now = self.desk.now();
        let tallies = &self.desk.tallies;
        let channel: &str = &self.channel;
        let error = match outcome {
            Ok(answer) => {
                debug!(channel, delivery = %delivery.id, kind = delivery.kind, answer, "Notice delivered");
                tallies.sent(&self.channel);
                delivery.state = DeliveryState::Sent;
                delivery.ended = Some(now);
                return Ok(vec![Write::UpdateDelivery(delivery.clone())]);
            }
            Err(error) => error,
        };
        let attempts = u32::try_from(delivery.attempts).unwrap_or(u32::MAX);
        let since = delivery.retried.unwrap_or(delivery.created);
        let age = (now - since).to_std().unwrap_or_default();
        let give_up_after = self.desk.channels.give_up_after();
        let text = chain(&error);
        delivery.last_error = Some(text.clone());
        tallies.failed(&self.channel);
        match next(delivery.id, attempts, age, give_up_after, &error) {
            Next::Again(wait) => {
                warn!(channel, delivery = %delivery.id, kind = delivery.kind, attempts, error = text, again_in_s = wait.as_secs(), "Notice could not be delivered; it is tried again");
                delivery.due = TimeDelta::from_std(wait)
                    .ok()
                    .and_then(|wait| now.checked_add_signed(wait))
                    .unwrap_or(now);
                Ok(vec![Write::UpdateDelivery(delivery.clone())])
            }
            Next::GiveUp => {
                error!(channel, delivery = %delivery.id, kind = delivery.kind, attempts, error = text, "Notice was given up; `portcullis notify ls` shows it");
                tallies.dead(&self.channel);
                delivery.state = DeliveryState::Dead;
                delivery.ended = Some(now);
                let record = owed(&given_up(delivery, now), None)?;
                Ok(vec![Write::UpdateDelivery(delivery.clone()), record])
            }
        }
    }
}

/// A delivery as it is stored once its attempt is noted.
fn begun(mut delivery: Delivery) -> Delivery {
    delivery.version = delivery.version.saturating_add(1);
    delivery
}

/// The record of a notice that reaches nobody any more.
fn given_up(delivery: &Delivery, now: DateTime<Utc>) -> Event {
    let details = [
        ("notice", json!(delivery.notice)),
        ("delivery", json!(delivery.id)),
        ("event", json!(delivery.kind)),
        ("channel", json!(delivery.channel)),
        ("recipient", json!(delivery.recipient)),
        ("attempts", json!(delivery.attempts)),
        ("error", json!(delivery.last_error)),
    ];
    Event {
        id: Uuid::now_v7(),
        at: now,
        kind: "notification.dead".to_owned(),
        principal: None,
        source: None,
        request: delivery.request,
        grant: None,
        policy: None,
        decision: None,
        details: details
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

async fn drop_one(desk: &Desk, delivery: Delivery) -> Result<(), StoreError> {
    match desk.store.commit(&[Write::DropDelivery(delivery)]).await {
        Ok(()) | Err(StoreError::Changed) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Forgets old deliveries now and then.
async fn forget(desk: Arc<Desk>, stop: CancellationToken) {
    loop {
        if let Err(error) = desk.store.forget_deliveries(desk.now() - KEPT).await {
            log_store(&error);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FORGET_EVERY) => {}
        }
    }
}

/// Waits after a failure of the store; whether to go on.
async fn rest(stop: &CancellationToken, retry: &mut Duration) -> bool {
    let wait = *retry;
    *retry = (wait * 2).min(LONGEST_RETRY);
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

fn log_store(error: &StoreError) {
    warn!(error = %chain(error), "Notices wait: the store cannot go on");
}
