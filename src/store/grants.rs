//! Grants, and the identities that were named under them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Closing, Grant, GrantState, HowClosed, Review};

use super::database::{Row, Statement, Transaction, sql};
use super::{Listing, Store, StoreError, change_one, json};

/// Which grants are listed. What is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// Where they stand: Active and Scheduled are both in force here, and told apart by who asks.
    pub state: Option<GrantState>,
    /// The name or key of their holder, in any case.
    pub holder: Option<String>,
    /// The policy, by its folded scope.
    pub policy: Option<String>,
    /// The task that they are narrowed to, in any case.
    pub task: Option<String>,
    /// Made at or after this.
    pub from: Option<DateTime<Utc>>,
    /// Made before this.
    pub until: Option<DateTime<Utc>>,
    /// Only those taken by break-glass that nobody has reviewed.
    pub awaiting_review: bool,
}

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

    /// Grants for which `filter` holds, newest first, at most [`super::MOST_LISTED`].
    pub async fn grants(
        &self,
        listing: &Listing,
        filter: &GrantFilter,
    ) -> Result<Vec<Grant>, StoreError> {
        let found = listed(listing, filter);
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
        let found = ended(now, most);
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// When the next grant ends.
    pub async fn next_end(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.database
            .rows(next_end())
            .await?
            .first()
            .map_or(Ok(None), |row| row.maybe_time("due"))
    }

    /// The identities that were counted under a grant.
    pub async fn identities(&self, grant: Uuid) -> Result<Vec<String>, StoreError> {
        let found = sql("select identity from grant_identities where grant_id = $1").bind(grant);
        let rows = self.database.rows(found).await?;
        rows.iter().map(|row| Ok(row.text("identity")?)).collect()
    }
}

/// The statement that finds grants whose time is over, by an index.
pub(super) fn ended(now: DateTime<Utc>, most: i64) -> Statement {
    sql("select * from grants where state = 'live' and ends_ms <= $1 order by ends_ms limit $2")
        .bind(now)
        .bind(most)
}

/// The statement that finds the next end, by one look into an index.
pub(super) fn next_end() -> Statement {
    sql("select min(ends_ms) as due from grants where state = 'live'")
}

/// The statement that lists grants. What it begins with is what one index has before the id, so no more rows are read than
/// are of that person, task or policy, or await a review.
pub(super) fn listed(listing: &Listing, filter: &GrantFilter) -> Statement {
    macro_rules! listing {
        ($by:literal) => {
            concat!(
                "select * from grants where ",
                $by,
                " and id < $2 and ($1 is null or principal_key = $1) and ($3 is null or state = $3)
                and ($4 is null or lower(principal_name) = lower($4) or lower(principal_key) = lower($4))
                and ($5 is null or policy = $5) and ($6 is null or lower(task) = lower($6))
                and ($7 is null or created_ms >= $7) and ($8 is null or created_ms < $8)
                and ($9 = 0 or (break_glass = 1 and reviewed_ms is null))
                order by id desc limit $10"
            )
        };
    }
    let GrantFilter {
        state,
        holder,
        policy,
        task,
        from,
        until,
        awaiting_review,
    } = filter;
    let found = if listing.of.is_some() {
        listing!("principal_key = $1")
    } else if *awaiting_review {
        listing!("break_glass = 1 and reviewed_ms is null")
    } else if holder.is_some() {
        listing!("(lower(principal_name) = lower($4) or lower(principal_key) = lower($4))")
    } else if task.is_some() {
        listing!("lower(task) = lower($6)")
    } else if policy.is_some() {
        listing!("policy = $5")
    } else if state.is_some() {
        listing!("state = $3")
    } else {
        listing!("1 = 1")
    };
    sql(found)
        .bind(listing.of.clone())
        .bind(listing.before.unwrap_or(Uuid::max()))
        .bind(state.map(|it| stored_state(it).to_owned()))
        .bind(holder.clone())
        .bind(policy.as_ref().map(|it| it.to_ascii_lowercase()))
        .bind(task.clone())
        .bind(from.map(|it| it.timestamp_millis()))
        .bind(until.map(|it| it.timestamp_millis()))
        .bind(i64::from(*awaiting_review))
        .bind(listing.most())
}

/// What is used up counts among a person's until its end, as what is in force does: it is held as long, for the pages and
/// retries of its last use.
pub(super) async fn add(
    transaction: &mut Transaction,
    grant: &Grant,
    most_live: i64,
) -> Result<(), StoreError> {
    let approved_by = json(&grant.approved_by)?;
    let insert = sql("insert into grants (id, request_id, principal_key, principal_name, policy, task, pins, starts_ms, ends_ms,
            uses, used, break_glass, approved_by, created_ms, state, version)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'live', $15
        where (select count(*) from grants where principal_key = $3 and policy = $5
            and state in ('live', 'used-up') and ends_ms > $14) < $16")
    .bind(grant.id)
    .bind(grant.request)
    .bind(grant.principal_key.as_str())
    .bind(grant.principal_name.as_str())
    .bind(grant.policy.as_str())
    .bind(grant.task.as_ref().map(ToString::to_string))
    .bind(json(&grant.pins)?)
    .bind(grant.starts)
    .bind(grant.ends)
    .bind(grant.uses.map(i64::from))
    .bind(i64::from(grant.used))
    .bind(i64::from(grant.break_glass))
    .bind(approved_by)
    .bind(grant.created)
    .bind(grant.version)
    .bind(most_live);
    match transaction.execute(insert).await? {
        1 => Ok(()),
        _ => Err(StoreError::TooManyGrants),
    }
}

/// Marks a grant as over by time.
pub(super) async fn expire(transaction: &mut Transaction, grant: &Grant) -> Result<(), StoreError> {
    let update = sql("update grants set state = 'expired', version = version + 1
        where id = $1 and version = $2 and state = 'live'")
    .bind(grant.id)
    .bind(grant.version);
    change_one(transaction, update).await
}

/// Stores all of a grant that may change, made from the version that it carries.
pub(super) async fn update(transaction: &mut Transaction, grant: &Grant) -> Result<(), StoreError> {
    let closed = grant.closed.as_ref();
    let reviewed = grant.reviewed.as_ref();
    // What is over by time stays so.
    let update = sql("update grants set state = coalesce($1, state), closed_ms = $2, closed_by = $3, closed_comment = $4,
            ends_ms = $5, used = $6, reviewed_ms = $7, reviewed_by = $8, reviewed_comment = $9, version = version + 1
        where id = $10 and version = $11")
    .bind(closed.map(|it| closed_word(it.how).to_owned()))
    .bind(closed.map(|it| it.at.timestamp_millis()))
    .bind(closed.map(|it| it.by.clone()))
    .bind(closed.and_then(|it| it.comment.clone()))
    .bind(grant.ends)
    .bind(i64::from(grant.used))
    .bind(reviewed.map(|it| it.at.timestamp_millis()))
    .bind(reviewed.map(|it| it.by.clone()))
    .bind(reviewed.and_then(|it| it.comment.clone()))
    .bind(grant.id)
    .bind(grant.version);
    change_one(transaction, update).await
}

/// Counts an identity under a grant; one that is counted already stays so.
pub(super) async fn add_identity(
    transaction: &mut Transaction,
    grant: Uuid,
    identity: &str,
) -> Result<(), StoreError> {
    let insert: Statement = sql(
        "insert into grant_identities (grant_id, identity) values ($1, $2)
        on conflict do nothing",
    )
    .bind(grant)
    .bind(identity);
    transaction.execute(insert).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Grant, StoreError> {
    let how = match row.text("state")?.as_str() {
        "ended" => Some(HowClosed::Ended),
        "revoked" => Some(HowClosed::Revoked),
        "used-up" => Some(HowClosed::UsedUp),
        "expired" | "live" => None,
        other => return Err(StoreError::damaged(format!("a grant's state `{other}`"))),
    };
    let closed = match (
        how,
        row.maybe_time("closed_ms")?,
        row.maybe_text("closed_by")?,
    ) {
        (Some(how), Some(at), Some(by)) => Some(Closing {
            how,
            at,
            by,
            comment: row.maybe_text("closed_comment")?,
        }),
        (None, None, None) => None,
        _ => return Err(StoreError::damaged("half a closing of a grant")),
    };
    let reviewed = match (
        row.maybe_time("reviewed_ms")?,
        row.maybe_text("reviewed_by")?,
    ) {
        (Some(at), Some(by)) => Some(Review {
            at,
            by,
            comment: row.maybe_text("reviewed_comment")?,
        }),
        (None, None) => None,
        _ => return Err(StoreError::damaged("half a review of a grant")),
    };
    Ok(Grant {
        id: row.id("id")?,
        request: row.id("request_id")?,
        principal_key: row.text("principal_key")?,
        principal_name: row.text("principal_name")?,
        policy: row.text("policy")?,
        task: row.maybe_parsed("task")?,
        pins: row.json("pins")?,
        starts: row.time("starts_ms")?,
        ends: row.time("ends_ms")?,
        uses: row.maybe_count("uses")?,
        used: row.count("used")?,
        break_glass: row.flag("break_glass")?,
        approved_by: row.json("approved_by")?,
        created: row.time("created_ms")?,
        closed,
        reviewed,
        version: row.integer("version")?,
    })
}

fn closed_word(how: HowClosed) -> &'static str {
    match how {
        HowClosed::Ended => "ended",
        HowClosed::Revoked => "revoked",
        HowClosed::UsedUp => "used-up",
    }
}

/// The word under which a grant of this state is stored. One that has just expired is stored as live for a moment more.
fn stored_state(state: GrantState) -> &'static str {
    match state {
        GrantState::Active | GrantState::Scheduled => "live",
        GrantState::Ended => closed_word(HowClosed::Ended),
        GrantState::Expired => "expired",
        GrantState::Revoked => closed_word(HowClosed::Revoked),
        GrantState::UsedUp => closed_word(HowClosed::UsedUp),
    }
}
