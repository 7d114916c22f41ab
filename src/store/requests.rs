//! Requests and the votes on them.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::model::{Answer, Request, RequestState, Vote};

use super::database::{Row, Statement, Transaction, sql};
use super::{MOST_LISTED, Store, StoreError, change_one, json};

/// Which rows a listing is of. Newest first, at most [`MOST_LISTED`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Everybody's, older than this id if there is one.
    All {
        /// The last id of the page before.
        before: Option<Uuid>,
    },
    /// Those of the person with this key.
    Of(String),
}

impl Listing {
    /// The statement for it, of two that take the id or key, and the number of rows.
    pub(super) fn statement(&self, all: &'static str, of: &'static str) -> Statement {
        match self {
            Self::All { before } => sql(all).bind(before.unwrap_or(Uuid::max())),
            Self::Of(key) => sql(of).bind(key.as_str()),
        }
        .bind(i64::try_from(MOST_LISTED).unwrap_or(i64::MAX))
    }
}

impl Store {
    /// The request of this id.
    pub async fn request(&self, id: Uuid) -> Result<Option<Request>, StoreError> {
        let found = sql("select * from requests where id = $1").bind(id);
        let rows = self.database.rows(found).await?;
        rows.first().map(read).transpose()
    }

    /// The pending request of this person for this policy and task, if there is one.
    pub async fn pending_request(
        &self,
        principal_key: &str,
        policy: &str,
        task: Option<&str>,
    ) -> Result<Option<Request>, StoreError> {
        let found = sql("select * from requests
            where principal_key = $1 and policy = $2 and lower(coalesce(task, '')) = lower(coalesce($3, ''))
                and state = 'pending'")
        .bind(principal_key)
        .bind(policy)
        .bind(task.map(str::to_owned));
        let rows = self.database.rows(found).await?;
        rows.first().map(read).transpose()
    }

    /// Requests, newest first, at most [`MOST_LISTED`].
    pub async fn requests(&self, listing: &Listing) -> Result<Vec<Request>, StoreError> {
        let found = listing.statement(
            "select * from requests where id < $1 order by id desc limit $2",
            "select * from requests where principal_key = $1 order by id desc limit $2",
        );
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// Pending requests that expire at or before `now`, the first due first.
    pub async fn lapsed_requests(
        &self,
        now: DateTime<Utc>,
        most: i64,
    ) -> Result<Vec<Request>, StoreError> {
        let found = sql(
            "select * from requests where state = 'pending' and expires_ms <= $1
            order by expires_ms limit $2",
        )
        .bind(now)
        .bind(most);
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// When the next pending request expires.
    pub async fn next_expiry(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let due = sql("select min(expires_ms) as due from requests where state = 'pending'");
        self.database
            .rows(due)
            .await?
            .first()
            .map_or(Ok(None), |row| row.maybe_time("due"))
    }

    /// The votes on `requests`, which are a page of `listing`; on each the first first.
    pub async fn votes_on(
        &self,
        requests: &[Request],
        listing: &Listing,
    ) -> Result<HashMap<Uuid, Vec<Vote>>, StoreError> {
        let (Some(newest), Some(oldest)) = (requests.first(), requests.last()) else {
            return Ok(HashMap::new());
        };
        let found = match listing {
            Listing::All { .. } => sql("select * from votes where request_id between $1 and $2
                order by request_id, at_ms, approver_key")
            .bind(oldest.id)
            .bind(newest.id),
            Listing::Of(key) => sql(
                "select votes.* from votes join requests on requests.id = votes.request_id
                where requests.id between $1 and $2 and requests.principal_key = $3
                order by request_id, at_ms, approver_key",
            )
            .bind(oldest.id)
            .bind(newest.id)
            .bind(key.as_str()),
        };
        let mut votes: HashMap<Uuid, Vec<Vote>> = HashMap::new();
        for row in self.database.rows(found).await? {
            let request = row.id("request_id")?;
            votes.entry(request).or_default().push(read_vote(&row)?);
        }
        Ok(votes)
    }

    /// The votes on a request, the first first.
    pub async fn votes(&self, request: Uuid) -> Result<Vec<Vote>, StoreError> {
        let found = sql("select * from votes where request_id = $1 order by at_ms, approver_key")
            .bind(request);
        self.database
            .rows(found)
            .await?
            .iter()
            .map(read_vote)
            .collect()
    }
}

pub(super) async fn add(
    transaction: &mut Transaction,
    request: &Request,
    most_pending: i64,
) -> Result<(), StoreError> {
    let context = json(&request.context)?;
    let insert = sql("insert into requests (id, principal_key, principal_name, policy, task, reason, context, external_identity,
            duration_ms, state, created_ms, expires_ms, decided_ms, decided_by, comment, version)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16
        where (select count(*) from requests where principal_key = $2 and state = 'pending') < $17")
    .bind(request.id)
    .bind(request.principal_key.as_str())
    .bind(request.principal_name.as_str())
    .bind(request.policy.as_str())
    .bind(request.task.as_ref().map(ToString::to_string))
    .bind(request.reason.as_str())
    .bind(context)
    .bind(request.external_identity.clone())
    .bind(request.duration.num_milliseconds())
    .bind(state_word(request.state))
    .bind(request.created)
    .bind(request.expires)
    .bind(request.decided.map(|it| it.timestamp_millis()))
    .bind(request.decided_by.clone())
    .bind(request.comment.clone())
    .bind(request.version)
    .bind(most_pending);
    match transaction.execute(insert).await? {
        1 => Ok(()),
        _ => Err(StoreError::TooManyPending),
    }
}

pub(super) async fn update(
    transaction: &mut Transaction,
    request: &Request,
) -> Result<(), StoreError> {
    let update = sql("update requests set state = $1, decided_ms = $2, decided_by = $3, comment = $4, version = version + 1
        where id = $5 and version = $6")
    .bind(state_word(request.state))
    .bind(request.decided.map(|it| it.timestamp_millis()))
    .bind(request.decided_by.clone())
    .bind(request.comment.clone())
    .bind(request.id)
    .bind(request.version);
    change_one(transaction, update).await
}

pub(super) async fn add_vote(
    transaction: &mut Transaction,
    request: Uuid,
    vote: &Vote,
) -> Result<(), StoreError> {
    let groups = json(&vote.groups)?;
    let insert = sql("insert into votes (request_id, approver_key, approver_name, approver_groups, answer, comment, at_ms)
        values ($1, $2, $3, $4, $5, $6, $7)")
    .bind(request)
    .bind(vote.approver_key.as_str())
    .bind(vote.approver_name.as_str())
    .bind(groups)
    .bind(match vote.answer {
        Answer::Approve => "approve",
        Answer::Deny => "deny",
    })
    .bind(vote.comment.clone())
    .bind(vote.at);
    change_one(transaction, insert).await
}

fn read(row: &Row) -> Result<Request, StoreError> {
    let state = match row.text("state")?.as_str() {
        "approved" => RequestState::Approved,
        "denied" => RequestState::Denied,
        "expired" => RequestState::Expired,
        "pending" => RequestState::Pending,
        other => return Err(StoreError::damaged(format!("a request's state `{other}`"))),
    };
    Ok(Request {
        id: row.id("id")?,
        principal_key: row.text("principal_key")?,
        principal_name: row.text("principal_name")?,
        policy: row.text("policy")?,
        task: row.maybe_parsed("task")?,
        reason: row.text("reason")?,
        context: row.json("context")?,
        external_identity: row.maybe_text("external_identity")?,
        duration: Duration::milliseconds(row.integer("duration_ms")?),
        state,
        created: row.time("created_ms")?,
        expires: row.time("expires_ms")?,
        decided: row.maybe_time("decided_ms")?,
        decided_by: row.maybe_text("decided_by")?,
        comment: row.maybe_text("comment")?,
        version: row.integer("version")?,
    })
}

fn state_word(state: RequestState) -> &'static str {
    match state {
        RequestState::Approved => "approved",
        RequestState::Denied => "denied",
        RequestState::Expired => "expired",
        RequestState::Pending => "pending",
    }
}

fn read_vote(row: &Row) -> Result<Vote, StoreError> {
    let answer = match row.text("answer")?.as_str() {
        "approve" => Answer::Approve,
        "deny" => Answer::Deny,
        other => return Err(StoreError::damaged(format!("a vote's answer `{other}`"))),
    };
    Ok(Vote {
        approver_key: row.text("approver_key")?,
        approver_name: row.text("approver_name")?,
        groups: row.json("approver_groups")?,
        answer,
        comment: row.maybe_text("comment")?,
        at: row.time("at_ms")?,
    })
}
