//! Grants.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Grant, Revocation};

use super::database::{Row, Transaction, sql};
use super::{Listing, Store, StoreError, change_one, json};

impl Store {
    /// The grant of this id.
    pub async fn grant(&self, id: Uuid) -> Result<Option<Grant>, StoreError> {
        let found = sql("select * from grants where id = $1").bind(id);
        let rows = self.database.rows(found).await?;
        rows.first().map(read).transpose()
    }

    /// The grant that a request became.
    pub async fn grant_of_request(&self, request: Uuid) -> Result<Option<Grant>, StoreError> {
        let found = sql("select * from grants where request_id = $1").bind(request);
        let rows = self.database.rows(found).await?;
        rows.first().map(read).transpose()
    }

    /// Grants, newest first, at most [`super::MOST_LISTED`].
    pub async fn grants(&self, listing: &Listing) -> Result<Vec<Grant>, StoreError> {
        let found = listing.statement(
            "select * from grants where id < $1 order by id desc limit $2",
            "select * from grants where principal_key = $1 order by id desc limit $2",
        );
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// A page of the grants that are not over at `now` and that owe no record to the audit log, by id; those after `after`.
    pub async fn grants_in_force(
        &self,
        now: DateTime<Utc>,
        after: Option<Uuid>,
        most: i64,
    ) -> Result<Vec<Grant>, StoreError> {
        let found = sql("select * from grants
            where state = 'live' and ends_ms > $1 and id > $2
                and not exists (select 1 from audit_outbox where audit_outbox.grant_id = grants.id)
            order by id limit $3")
        .bind(now)
        .bind(after.unwrap_or(Uuid::nil()))
        .bind(most);
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// Grants that ended at or before `now` and are not yet marked so, the first ended first.
    pub async fn ended_grants(
        &self,
        now: DateTime<Utc>,
        most: i64,
    ) -> Result<Vec<Grant>, StoreError> {
        let found = sql(
            "select * from grants where state = 'live' and ends_ms <= $1 order by ends_ms limit $2",
        )
        .bind(now)
        .bind(most);
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// When the next grant ends.
    pub async fn next_end(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let due = sql("select min(ends_ms) as due from grants where state = 'live'");
        self.database
            .rows(due)
            .await?
            .first()
            .map_or(Ok(None), |row| row.maybe_time("due"))
    }
}

pub(super) async fn add(transaction: &mut Transaction, grant: &Grant) -> Result<(), StoreError> {
    let approved_by = json(&grant.approved_by)?;
    let insert = sql("insert into grants (id, request_id, principal_key, principal_name, policy, task, starts_ms, ends_ms,
            approved_by, created_ms, state, version)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'live', $11)")
    .bind(grant.id)
    .bind(grant.request)
    .bind(grant.principal_key.as_str())
    .bind(grant.principal_name.as_str())
    .bind(grant.policy.as_str())
    .bind(grant.task.as_ref().map(ToString::to_string))
    .bind(grant.starts)
    .bind(grant.ends)
    .bind(approved_by)
    .bind(grant.created)
    .bind(grant.version);
    change_one(transaction, insert).await
}

pub(super) async fn end(transaction: &mut Transaction, grant: &Grant) -> Result<(), StoreError> {
    let revoked = grant.revoked.as_ref();
    let update = sql("update grants set state = $1, revoked_ms = $2, revoked_by = $3, revoked_comment = $4, version = version + 1
        where id = $5 and version = $6 and state = 'live'")
    .bind(revoked.map_or("expired", |_| "revoked"))
    .bind(revoked.map(|it| it.at.timestamp_millis()))
    .bind(revoked.map(|it| it.by.clone()))
    .bind(revoked.and_then(|it| it.comment.clone()))
    .bind(grant.id)
    .bind(grant.version);
    change_one(transaction, update).await
}

fn read(row: &Row) -> Result<Grant, StoreError> {
    let revoked = match (row.maybe_time("revoked_ms")?, row.maybe_text("revoked_by")?) {
        (Some(at), Some(by)) => Some(Revocation {
            at,
            by,
            comment: row.maybe_text("revoked_comment")?,
        }),
        (None, None) => None,
        _ => return Err(StoreError::damaged("half a revocation")),
    };
    Ok(Grant {
        id: row.id("id")?,
        request: row.id("request_id")?,
        principal_key: row.text("principal_key")?,
        principal_name: row.text("principal_name")?,
        policy: row.text("policy")?,
        task: row.maybe_parsed("task")?,
        starts: row.time("starts_ms")?,
        ends: row.time("ends_ms")?,
        approved_by: row.json("approved_by")?,
        created: row.time("created_ms")?,
        revoked,
        version: row.integer("version")?,
    })
}
