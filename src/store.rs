//! The store: requests, votes, grants, operators' policies and settings, the
//! management API's tokens and answers, the records still owed to the audit log and the
//! notices owed to people, in SQLite (embedded, the default) or
//! PostgreSQL. One struct, the same SQL on both.
//!
//! INVARIANT: everything that changes together is one [`Store::commit`]; an acknowledged commit is on disk; a change made
//! from an older version of a row than the stored one changes nothing. Nothing here decides who may do what.
//!
//! SQLite runs with a write-ahead log and full sync, PostgreSQL must not run with `synchronous_commit` off. One process at a
//! time uses a store, which `hold` sees to: the grants in a process's memory would not see a revocation made through another.

mod database;
mod grants;
mod hold;
mod notifications;
mod outbox;
mod policies;
mod postgres;
mod requests;
mod sqlite;
mod tokens;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::config;
use crate::model::{Grant, Request, RequestState, Vote};

use database::{Database, Row, Transaction};
pub use grants::GrantFilter;
pub use hold::Held;
use hold::Hold;
pub use notifications::{
    Delivery, DeliveryCounts, DeliveryState, OwedDelivery, OwedNotification, Relevance,
};
pub use outbox::OwedRecord;
pub use policies::{Setting, StoredDefinition};
pub use requests::{Listing, RequestFilter};
pub use sqlite::OpenError;
pub use tokens::{StoredAnswer, StoredReply, StoredToken};

/// The migrations, built in. The same texts run on both engines.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// The open store. Dropping it, or [`Store::close`], lets another process have it.
#[derive(Debug)]
pub struct Store {
    database: Database,
    hold: Hold,
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row was changed since it was read, or what should be new is there already: read again and decide again.
    #[error("it was changed by somebody else at the same moment")]
    Changed,
    /// A row holds what this program does not write.
    #[error("the store holds something that portcullis did not write: {what}")]
    Damaged {
        /// The table, the column and what is wrong.
        what: String,
    },
    /// The holder has as many grants under one policy as are allowed.
    #[error("one person has as many grants under one policy as are allowed")]
    TooManyGrants,
    /// The person has as many pending requests, tokens or kept answers as are allowed.
    #[error("one person has as many as are allowed")]
    TooManyPending,
    /// The database cannot be reached, or cannot write.
    #[error("the store cannot be used")]
    Unavailable {
        /// Why.
        source: sqlx::Error,
    },
}

/// One of the changes that a [`Store::commit`] makes together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A new grant, unless its holder has this many that are not over under its policy.
    AddGrant {
        /// The grant.
        grant: Grant,
        /// How many are enough.
        most_live: i64,
    },
    /// A new request, unless its person has this many pending.
    AddRequest {
        /// The request.
        request: Request,
        /// How many are enough.
        most_pending: i64,
    },
    /// A new token, unless its owner has this many.
    AddToken {
        /// The token.
        token: StoredToken,
        /// How many are enough.
        most: i64,
    },
    /// A new vote on the request of this id.
    AddVote(Uuid, Vote),
    /// Identities that are counted under the grant of this id; those that are already, once.
    AddIdentities(Uuid, Vec<String>),
    /// A delivery of a notice is not owed any more.
    DropDelivery(Delivery),
    /// A grant is over by time.
    ExpireGrant(Grant),
    /// A notice that people and programs must have.
    Notify(OwedNotification),
    /// A record that the audit log must have.
    Owe(OwedRecord),
    /// A policy of the store, new if its version is 0.
    PutPolicy(StoredDefinition),
    /// A setting, new if its version is 0.
    PutSetting(Setting),
    /// A policy of the store is no more.
    RemovePolicy(StoredDefinition),
    /// A token is no good any more.
    RemoveToken(Uuid),
    /// A delivery that was given up is tried again, made from the version that it carries.
    ReviveDelivery(Delivery),
    /// Where a delivery of a notice stands, made from the version that it carries.
    UpdateDelivery(Delivery),
    /// A grant's end, uses, closing and review, made from the version that it carries.
    UpdateGrant(Grant),
    /// A request's state and decision, made from the version that it carries.
    UpdateRequest(Request),
}

impl Store {
    /// Opens the store that `config` names, makes it if it is not there, and brings its schema up to date.
    pub async fn open(config: &config::Store) -> Result<Self, OpenError> {
        if let Some(path) = config.url.strip_prefix("sqlite:") {
            sqlite::open(path).await
        } else if config.url.starts_with("postgres:") || config.url.starts_with("postgresql:") {
            postgres::open(&config.url).await
        } else {
            Err(OpenError::UnknownKind)
        }
    }

    /// Opens the store that `config` names to look at it, beside the process that uses it: nothing can be changed.
    pub async fn look(config: &config::Store) -> Result<Self, OpenError> {
        if let Some(path) = config.url.strip_prefix("sqlite:") {
            sqlite::look(path).await
        } else if config.url.starts_with("postgres:") || config.url.starts_with("postgresql:") {
            postgres::look(&config.url).await
        } else {
            Err(OpenError::UnknownKind)
        }
    }

    /// Makes all of `writes`, or none of them; durable when it returns.
    ///
    /// [`StoreError::Unavailable`] leaves open whether they were made: the answer to the commit itself may be what was lost.
    pub async fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        for write in writes {
            match write {
                Write::AddGrant { grant, most_live } => {
                    grants::add(&mut transaction, grant, *most_live).await?;
                }
                Write::AddRequest {
                    request,
                    most_pending,
                } => requests::add(&mut transaction, request, *most_pending).await?,
                Write::AddToken { token, most } => {
                    tokens::add(&mut transaction, token, *most).await?;
                }
                Write::AddVote(request, vote) => {
                    requests::add_vote(&mut transaction, *request, vote).await?;
                }
                Write::AddIdentities(grant, identities) => {
                    for identity in identities {
                        grants::add_identity(&mut transaction, *grant, identity).await?;
                    }
                }
                Write::DropDelivery(delivery) => {
                    notifications::remove(&mut transaction, delivery).await?;
                }
                Write::ExpireGrant(grant) => grants::expire(&mut transaction, grant).await?,
                Write::Notify(owed) => notifications::add(&mut transaction, owed).await?,
                Write::Owe(record) => outbox::add(&mut transaction, record).await?,
                Write::PutPolicy(policy) => policies::put(&mut transaction, policy).await?,
                Write::PutSetting(setting) => {
                    policies::put_setting(&mut transaction, setting).await?;
                }
                Write::RemovePolicy(policy) => policies::remove(&mut transaction, policy).await?,
                Write::RemoveToken(id) => tokens::remove(&mut transaction, *id).await?,
                Write::ReviveDelivery(delivery) => {
                    notifications::revive(&mut transaction, delivery).await?;
                }
                Write::UpdateDelivery(delivery) => {
                    notifications::update(&mut transaction, delivery).await?;
                }
                Write::UpdateGrant(grant) => {
                    grants::update(&mut transaction, grant).await?;
                    if grant.reviewed.is_some() {
                        notifications::forget_reminders(&mut transaction, grant.request).await?;
                    }
                }
                Write::UpdateRequest(request) => {
                    requests::update(&mut transaction, request).await?;
                    if request.state != RequestState::Pending {
                        notifications::forget_reminders(&mut transaction, request.id).await?;
                    }
                }
            }
        }
        Ok(transaction.commit().await?)
    }

    /// Tells whether this process has the store to itself, at each change; what this process keeps of it in memory may be out of
    /// date after one. It ends with the store.
    pub fn hold(&self) -> tokio::sync::watch::Receiver<Held> {
        self.hold.held()
    }

    /// Closes the connections and lets another process have the store.
    pub async fn close(self) {
        self.database.close().await;
    }
}

/// How many rows a listing gives at most.
pub const MOST_LISTED: usize = 1_000;

/// A failure of one row's unique constraint, and a transaction that the server gave up in favour of another, mean that
/// somebody was faster; everything else, that the store cannot be used.
impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        /// `serialization_failure` and `deadlock_detected` ([PostgreSQL error codes], class 40).
        ///
        /// [PostgreSQL error codes]: https://www.postgresql.org/docs/current/errcodes-appendix.html
        const GAVE_WAY: [&str; 2] = ["40001", "40P01"];
        let lost_a_race = source.as_database_error().is_some_and(|error| {
            error.is_unique_violation()
                || error
                    .code()
                    .is_some_and(|code| GAVE_WAY.contains(&code.as_ref()))
        });
        if lost_a_race {
            Self::Changed
        } else {
            Self::Unavailable { source }
        }
    }
}

/// Changes one row that was read at a version, or says that it was changed since.
async fn change_one(
    transaction: &mut Transaction,
    statement: database::Statement,
) -> Result<(), StoreError> {
    match transaction.execute(statement).await? {
        1 => Ok(()),
        _ => Err(StoreError::Changed),
    }
}

impl StoreError {
    fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

impl Row {
    fn id(&self, column: &str) -> Result<Uuid, StoreError> {
        self.parsed(column)
    }

    fn parsed<T: std::str::FromStr>(&self, column: &str) -> Result<T, StoreError> {
        let text = self.text(column)?;
        text.parse().map_err(|_| {
            StoreError::damaged(format!("`{}` in column `{column}`", text.escape_debug()))
        })
    }

    fn maybe_parsed<T: std::str::FromStr>(&self, column: &str) -> Result<Option<T>, StoreError> {
        match self.maybe_text(column)? {
            None => Ok(None),
            Some(_) => self.parsed(column).map(Some),
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?)
            .map_err(|error| StoreError::damaged(format!("column `{column}`: {error}")))
    }

    fn count(&self, column: &str) -> Result<u32, StoreError> {
        counted(column, self.integer(column)?)
    }

    fn maybe_count(&self, column: &str) -> Result<Option<u32>, StoreError> {
        self.maybe_integer(column)?
            .map(|number| counted(column, number))
            .transpose()
    }

    fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.integer(column)? != 0)
    }

    fn time(&self, column: &str) -> Result<DateTime<Utc>, StoreError> {
        moment(column, self.integer(column)?)
    }

    fn maybe_time(&self, column: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.maybe_integer(column)?
            .map(|ms| moment(column, ms))
            .transpose()
    }
}

fn counted(column: &str, number: i64) -> Result<u32, StoreError> {
    u32::try_from(number)
        .map_err(|_| StoreError::damaged(format!("the number {number} in column `{column}`")))
}

fn moment(column: &str, ms: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(ms)
        .ok_or_else(|| StoreError::damaged(format!("the time {ms} in column `{column}`")))
}

/// `texts` as a JSON array, which both engines keep as text.
fn json(texts: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(texts).map_err(|error| StoreError::damaged(error.to_string()))
}
