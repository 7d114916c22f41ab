//! Notices owed to people and programs: written in the transaction of the change that they tell of, one delivery for each
//! recipient of each channel, so that a crash loses none and a restart repeats none that is known to have arrived.
//!
//! What a notice says is the caller's; here it is a text. When a delivery is tried again is the caller's too.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::database::{Row, Transaction, sql};
use super::{Store, StoreError, change_one};

/// A notice of one event, with everybody whom it is to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedNotification {
    /// The event's id (UUID v7): a second notice of the same id is [`StoreError::Changed`].
    pub id: Uuid,
    /// The word for what happened, such as `request-filed`.
    pub kind: String,
    /// The request that it is about.
    pub request: Option<Uuid>,
    /// What there is to tell, as JSON.
    pub json: String,
    /// For how long it is of use.
    pub relevance: Relevance,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// To whom; of each channel no recipient twice.
    pub deliveries: Vec<OwedDelivery>,
}

/// For how long a notice is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relevance {
    /// It is delivered whatever happens.
    Always,
    /// It is forgotten when its request is decided, or its break-glass grant reviewed: a reminder.
    WhileAwaited,
}

/// One recipient of a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedDelivery {
    /// UUID v7; goes with every attempt, so that a repetition can be recognised.
    pub id: Uuid,
    /// By which channel.
    pub channel: String,
    /// To whom on it: an address, or nothing where the channel has one end only.
    pub recipient: String,
    /// Not before this.
    pub due: DateTime<Utc>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Given up.
    Dead,
    /// To be tried, for the first time or again.
    Pending,
    /// Taken by the far side.
    Sent,
}

impl DeliveryState {
    /// The word that the store and listings use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Pending => "pending",
            Self::Sent => "sent",
        }
    }
}

/// A delivery as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: Uuid,
    /// The notice's.
    pub notice: Uuid,
    /// What happened.
    pub kind: String,
    /// The request that it is about.
    pub request: Option<Uuid>,
    /// What there is to tell, as JSON.
    pub json: String,
    /// For how long it is of use.
    pub relevance: Relevance,
    /// When the notice was made.
    pub created: DateTime<Utc>,
    /// By which channel.
    pub channel: String,
    /// To whom on it.
    pub recipient: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts begun. A pending one of which there is no error is under way, or was cut off.
    pub attempts: i64,
    /// When it is tried next, if it is pending.
    pub due: DateTime<Utc>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was last tried again after it was given up.
    pub retried: Option<DateTime<Utc>>,
    /// When it was sent or given up.
    pub ended: Option<DateTime<Utc>>,
    /// Counts its changes: a change is stored only over the version that it was made from.
    pub version: i64,
}

impl Delivery {
    /// Whether an attempt has begun and not ended.
    pub fn is_under_way(&self) -> bool {
        self.state == DeliveryState::Pending && self.attempts > 0 && self.last_error.is_none()
    }

    /// When it is tried next, if it is to be and nobody is at it.
    pub fn next_try(&self) -> Option<DateTime<Utc>> {
        let waits = self.state == DeliveryState::Pending && !self.is_under_way();
        waits.then_some(self.due)
    }
}

/// How many deliveries are in a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Given up, and not yet forgotten.
    pub dead: i64,
    /// To be tried.
    pub pending: i64,
}

/// The reading of deliveries with their notices, up to its conditions.
macro_rules! deliveries {
    () => {
        "select deliveries.id, deliveries.notice_id, deliveries.channel, deliveries.recipient, deliveries.state,
            deliveries.attempts, deliveries.due_ms, deliveries.last_error, deliveries.ended_ms, deliveries.retried_ms,
            deliveries.version,
            notices.kind, notices.request_id, notices.notice, notices.while_pending, notices.created_ms
        from deliveries join notices on notices.id = deliveries.notice_id"
    };
}

impl Store {
    /// Deliveries of `channel` that are due at `now`, the first due first.
    pub async fn due_deliveries(
        &self,
        channel: &str,
        now: DateTime<Utc>,
        most: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let found = sql(concat!(
            deliveries!(),
            " where deliveries.channel = $1 and deliveries.state = 'pending' and deliveries.due_ms <= $2
            order by deliveries.due_ms, deliveries.id limit $3"
        ))
        .bind(channel)
        .bind(now)
        .bind(most);
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// When the next delivery of `channel` is due.
    pub async fn next_delivery(&self, channel: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let due = sql(
            "select min(due_ms) as due from deliveries where channel = $1 and state = 'pending'",
        )
        .bind(channel);
        self.database
            .rows(due)
            .await?
            .first()
            .map_or(Ok(None), |row| row.maybe_time("due"))
    }

    /// Channels that deliveries are pending for, in alphabetical order.
    pub async fn channels_in_use(&self) -> Result<Vec<String>, StoreError> {
        let found =
            sql("select distinct channel from deliveries where state = 'pending' order by channel");
        let rows = self.database.rows(found).await?;
        rows.iter().map(|row| Ok(row.text("channel")?)).collect()
    }

    /// The delivery of this id.
    pub async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>, StoreError> {
        let found = sql(concat!(deliveries!(), " where deliveries.id = $1")).bind(id);
        let rows = self.database.rows(found).await?;
        rows.first().map(read).transpose()
    }

    /// Deliveries in one of `states`, older than `before`, newest first, at most `most` and [`super::MOST_LISTED`].
    pub async fn deliveries(
        &self,
        states: &[DeliveryState],
        before: Option<Uuid>,
        most: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let word = |state: DeliveryState| {
            if states.contains(&state) {
                state.as_str()
            } else {
                ""
            }
        };
        let found = sql(concat!(
            deliveries!(),
            " where deliveries.state in ($1, $2, $3) and deliveries.id < $4
            order by deliveries.id desc limit $5"
        ))
        .bind(word(DeliveryState::Dead))
        .bind(word(DeliveryState::Pending))
        .bind(word(DeliveryState::Sent))
        .bind(before.unwrap_or(Uuid::max()))
        .bind(i64::try_from(most.min(super::MOST_LISTED)).unwrap_or(i64::MAX));
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// How many deliveries there are to be tried, and how many were given up.
    pub async fn delivery_counts(&self) -> Result<DeliveryCounts, StoreError> {
        let found = sql("select state, count(*) as count from deliveries
            where state <> 'sent' group by state");
        let mut counts = DeliveryCounts::default();
        for row in self.database.rows(found).await? {
            let count = row.integer("count")?;
            match state(&row)? {
                DeliveryState::Dead => counts.dead = count,
                DeliveryState::Pending => counts.pending = count,
                DeliveryState::Sent => {}
            }
        }
        Ok(counts)
    }

    /// Has attempts repeated at `now` that began and have no end; `why` is told of them.
    pub async fn reopen_deliveries(&self, why: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let update = sql(
            "update deliveries set due_ms = $1, last_error = $2, version = version + 1
            where state = 'pending' and attempts > 0 and last_error is null",
        )
        .bind(now)
        .bind(why);
        transaction.execute(update).await?;
        Ok(transaction.commit().await?)
    }

    /// Forgets deliveries that ended before `then`, and notices that have none left.
    pub async fn forget_deliveries(&self, then: DateTime<Utc>) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let ended = sql("delete from deliveries where state <> 'pending' and ended_ms < $1");
        transaction.execute(ended.bind(then)).await?;
        let notices = sql("delete from notices where created_ms < $1
            and not exists (select 1 from deliveries where deliveries.notice_id = notices.id)");
        transaction.execute(notices.bind(then)).await?;
        Ok(transaction.commit().await?)
    }
}

/// Adds a notice and its deliveries.
pub(super) async fn add(
    transaction: &mut Transaction,
    owed: &OwedNotification,
) -> Result<(), StoreError> {
    let insert = sql(
        "insert into notices (id, kind, request_id, notice, while_pending, created_ms)
        values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(owed.id)
    .bind(owed.kind.as_str())
    .bind(owed.request.map(|id| id.to_string()))
    .bind(owed.json.as_str())
    .bind(match owed.relevance {
        Relevance::Always => 0,
        Relevance::WhileAwaited => 1,
    })
    .bind(owed.created);
    change_one(transaction, insert).await?;
    for delivery in &owed.deliveries {
        let insert = sql("insert into deliveries (id, notice_id, channel, recipient, state, attempts, due_ms, version)
            values ($1, $2, $3, $4, 'pending', 0, $5, 0)")
        .bind(delivery.id)
        .bind(owed.id)
        .bind(delivery.channel.as_str())
        .bind(delivery.recipient.as_str())
        .bind(delivery.due);
        change_one(transaction, insert).await?;
    }
    Ok(())
}

/// Stores where a delivery stands, over the version that it carries.
pub(super) async fn update(
    transaction: &mut Transaction,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let update = sql(
        "update deliveries set state = $1, attempts = $2, due_ms = $3, last_error = $4, ended_ms = $5,
            version = version + 1
        where id = $6 and version = $7 and state = 'pending'",
    )
    .bind(delivery.state.as_str())
    .bind(delivery.attempts)
    .bind(delivery.due)
    .bind(delivery.last_error.clone())
    .bind(delivery.ended.map(|it| it.timestamp_millis()))
    .bind(delivery.id)
    .bind(delivery.version);
    change_one(transaction, update).await
}

/// Has a delivery tried again that was given up, in the version that it carries.
pub(super) async fn revive(
    transaction: &mut Transaction,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let update = sql(
        "update deliveries set state = 'pending', attempts = 0, due_ms = $1, ended_ms = null, retried_ms = $2,
            version = version + 1
        where id = $3 and version = $4 and state = 'dead'",
    )
    .bind(delivery.due)
    .bind(delivery.retried.map(|it| it.timestamp_millis()))
    .bind(delivery.id)
    .bind(delivery.version);
    change_one(transaction, update).await
}

/// Forgets a delivery, in the version that it carries.
pub(super) async fn remove(
    transaction: &mut Transaction,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let delete = sql("delete from deliveries where id = $1 and version = $2 and state = 'pending'")
        .bind(delivery.id)
        .bind(delivery.version);
    change_one(transaction, delete).await
}

/// Forgets what was to be told only while somebody had to look at this request or its grant.
pub(super) async fn forget_reminders(
    transaction: &mut Transaction,
    request: Uuid,
) -> Result<(), StoreError> {
    let delete = sql("delete from deliveries where state = 'pending'
        and notice_id in (select id from notices where request_id = $1 and while_pending = 1)")
    .bind(request);
    transaction.execute(delete).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: row.id("id")?,
        notice: row.id("notice_id")?,
        kind: row.text("kind")?,
        request: row.maybe_parsed("request_id")?,
        json: row.text("notice")?,
        relevance: match row.integer("while_pending")? {
            0 => Relevance::Always,
            _ => Relevance::WhileAwaited,
        },
        created: row.time("created_ms")?,
        channel: row.text("channel")?,
        recipient: row.text("recipient")?,
        state: state(row)?,
        attempts: row.integer("attempts")?,
        due: row.time("due_ms")?,
        last_error: row.maybe_text("last_error")?,
        retried: row.maybe_time("retried_ms")?,
        ended: row.maybe_time("ended_ms")?,
        version: row.integer("version")?,
    })
}

fn state(row: &Row) -> Result<DeliveryState, StoreError> {
    match row.text("state")?.as_str() {
        "dead" => Ok(DeliveryState::Dead),
        "pending" => Ok(DeliveryState::Pending),
        "sent" => Ok(DeliveryState::Sent),
        other => Err(StoreError::damaged(format!("a delivery's state `{other}`"))),
    }
}

#[cfg(test)]
mod tests;
