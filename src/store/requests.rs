//! Requests and the votes on them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::model::{Answer, Request, RequestState, Task, Vote};

use super::database::{Row, Statement, Transaction, sql};
use super::{MOST_LISTED, Store, StoreError, change_one, json};

/// Which rows a listing goes through: newest first, at most [`MOST_LISTED`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only those of the person with this key.
    pub of: Option<String>,
    /// Only those older than this id, the last one of the page before.
    pub before: Option<Uuid>,
    /// No more than this many, if that is less than [`MOST_LISTED`].
    pub most: Option<usize>,
}

impl Listing {
    pub(super) fn most(&self) -> i64 {
        let most = self.most.map_or(MOST_LISTED, |it| it.min(MOST_LISTED));
        i64::try_from(most).unwrap_or(i64::MAX)
    }
}

/// Which requests are listed. What is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Where they stand.
    pub state: Option<RequestState>,
    /// The name or key of who asked, in any case.
    pub requester: Option<String>,
    /// The policy, by its folded scope.
    pub policy: Option<String>,
    /// The task asked for, in any case.
    pub task: Option<String>,
    /// Filed at or after this.
    pub from: Option<DateTime<Utc>>,
    /// Filed before this.
    pub until: Option<DateTime<Utc>>,
}

impl Store {
    /// The request of this id.
    pub async fn request(&self, id: Uuid) -> Result<Option<Request>, StoreError> {
        let found = sql("select * from requests where id = $1").bind(id);
        let rows = self.database.rows(found).await?;
        rows.first().map(read).transpose()
    }

    /// The pending request of the same person for the same thing as `request`, if there is one.
    pub async fn pending_like(&self, request: &Request) -> Result<Option<Request>, StoreError> {
        let found = sql("select * from requests
            where principal_key = $1 and policy = $2 and subject = $3 and state = 'pending'")
        .bind(request.principal_key.as_str())
        .bind(request.policy.as_str())
        .bind(subject(request)?);
        let rows = self.database.rows(found).await?;
        rows.first().map(read).transpose()
    }

    /// Requests for which `filter` holds, newest first.
    pub async fn requests(
        &self,
        listing: &Listing,
        filter: &RequestFilter,
    ) -> Result<Vec<Request>, StoreError> {
        let found = listed(listing, filter);
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// Pending requests that expire at or before `now`, the first due first.
    pub async fn lapsed_requests(
        &self,
        now: DateTime<Utc>,
        most: i64,
    ) -> Result<Vec<Request>, StoreError> {
        let found = lapsed(now, most);
        self.database.rows(found).await?.iter().map(read).collect()
    }

    /// When the next pending request expires.
    pub async fn next_expiry(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.database
            .rows(next_expiry())
            .await?
            .first()
            .map_or(Ok(None), |row| row.maybe_time("due"))
    }

    /// The votes on `requests`; on each the first first.
    pub async fn votes_on(
        &self,
        requests: &[Request],
    ) -> Result<HashMap<Uuid, Vec<Vote>>, StoreError> {
        /// Requests that one statement asks for. Fewer are asked for as well by naming one again.
        const AT_ONCE: usize = 100;
        static TEXT: LazyLock<String> = LazyLock::new(|| {
            let ids: Vec<String> = (1..=AT_ONCE).map(|it| format!("${it}")).collect();
            format!(
                "select * from votes where request_id in ({}) order by request_id, at_ms, approver_key",
                ids.join(", ")
            )
        });
        let mut votes: HashMap<Uuid, Vec<Vote>> = HashMap::new();
        for some in requests.chunks(AT_ONCE) {
            let Some(last) = some.last() else { continue };
            let ids = some.iter().chain(std::iter::repeat(last)).map(|it| it.id);
            let found = ids.take(AT_ONCE).fold(sql(&TEXT), Statement::bind);
            for row in self.database.rows(found).await? {
                let request = row.id("request_id")?;
                votes.entry(request).or_default().push(read_vote(&row)?);
            }
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

/// The statement that finds pending requests whose time is over, by an index.
pub(super) fn lapsed(now: DateTime<Utc>, most: i64) -> Statement {
    sql("select * from requests where state = 'pending' and expires_ms <= $1 order by expires_ms limit $2")
        .bind(now)
        .bind(most)
}

/// The statement that finds the next expiry, by one look into an index.
pub(super) fn next_expiry() -> Statement {
    sql("select min(expires_ms) as due from requests where state = 'pending'")
}

/// The statement that lists requests. What it begins with is what one index has before the id, so no more rows are read than
/// are of that person, task, policy or state.
pub(super) fn listed(listing: &Listing, filter: &RequestFilter) -> Statement {
    macro_rules! listing {
        ($by:literal) => {
            concat!(
                "select * from requests where ",
                $by,
                " and id < $3 and ($1 is null or principal_key = $1) and ($2 is null or state = $2)
                and ($4 is null or lower(principal_name) = lower($4) or lower(principal_key) = lower($4))
                and ($5 is null or policy = $5) and ($6 is null or lower(task) = lower($6))
                and ($7 is null or created_ms >= $7) and ($8 is null or created_ms < $8)
                order by id desc limit $9"
            )
        };
    }
    let RequestFilter {
        state,
        requester,
        policy,
        task,
        from,
        until,
    } = filter;
    let found = if listing.of.is_some() {
        listing!("principal_key = $1")
    } else if requester.is_some() {
        listing!("(lower(principal_name) = lower($4) or lower(principal_key) = lower($4))")
    } else if task.is_some() {
        listing!("lower(task) = lower($6)")
    } else if policy.is_some() {
        listing!("policy = $5")
    } else if state.is_some() {
        listing!("state = $2")
    } else {
        listing!("1 = 1")
    };
    sql(found)
        .bind(listing.of.clone())
        .bind(state.map(|it| state_word(it).to_owned()))
        .bind(listing.before.unwrap_or(Uuid::max()))
        .bind(requester.clone())
        .bind(policy.as_ref().map(|it| it.to_ascii_lowercase()))
        .bind(task.clone())
        .bind(from.map(|it| it.timestamp_millis()))
        .bind(until.map(|it| it.timestamp_millis()))
        .bind(listing.most())
}

pub(super) async fn add(
    transaction: &mut Transaction,
    request: &Request,
    most_pending: i64,
) -> Result<(), StoreError> {
    let context = json(&request.context)?;
    let insert = sql("insert into requests (id, principal_key, principal_name, policy, task, subject, pins, reason, context,
            external_identity, duration_ms, starts_ms, uses, extends, break_glass, state, created_ms, expires_ms, decided_ms,
            decided_by, comment, version)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22
        where (select count(*) from requests where principal_key = $2 and state = 'pending') < $23")
    .bind(request.id)
    .bind(request.principal_key.as_str())
    .bind(request.principal_name.as_str())
    .bind(request.policy.as_str())
    .bind(request.task.as_ref().map(ToString::to_string))
    .bind(subject(request)?)
    .bind(json(&request.pins)?)
    .bind(request.reason.as_str())
    .bind(context)
    .bind(request.external_identity.clone())
    .bind(request.duration.num_milliseconds())
    .bind(request.starts.map(|it| it.timestamp_millis()))
    .bind(request.uses.map(i64::from))
    .bind(request.extends.map(|it| it.to_string()))
    .bind(i64::from(request.break_glass))
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
    let update = sql("update requests set state = $1, decided_ms = $2, decided_by = $3, comment = $4, break_glass = $5, version = version + 1
        where id = $6 and version = $7")
    .bind(state_word(request.state))
    .bind(request.decided.map(|it| it.timestamp_millis()))
    .bind(request.decided_by.clone())
    .bind(request.comment.clone())
    .bind(i64::from(request.break_glass))
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
    let insert = sql("insert into votes (request_id, approver_key, approver_name, approver_groups, answer, comment, narrowing, at_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8)")
    .bind(request)
    .bind(vote.approver_key.as_str())
    .bind(vote.approver_name.as_str())
    .bind(groups)
    .bind(match vote.answer {
        Answer::Approve => "approve",
        Answer::Deny => "deny",
    })
    .bind(vote.comment.clone())
    .bind(json(&vote.narrowing)?)
    .bind(vote.at);
    change_one(transaction, insert).await
}

fn read(row: &Row) -> Result<Request, StoreError> {
    let state = match row.text("state")?.as_str() {
        "approved" => RequestState::Approved,
        "denied" => RequestState::Denied,
        "expired" => RequestState::Expired,
        "pending" => RequestState::Pending,
        "withdrawn" => RequestState::Withdrawn,
        other => return Err(StoreError::damaged(format!("a request's state `{other}`"))),
    };
    Ok(Request {
        id: row.id("id")?,
        principal_key: row.text("principal_key")?,
        principal_name: row.text("principal_name")?,
        policy: row.text("policy")?,
        task: row.maybe_parsed("task")?,
        pins: row.json("pins")?,
        reason: row.text("reason")?,
        context: row.json("context")?,
        external_identity: row.maybe_text("external_identity")?,
        duration: Duration::milliseconds(row.integer("duration_ms")?),
        starts: row.maybe_time("starts_ms")?,
        uses: row.maybe_count("uses")?,
        extends: row.maybe_parsed("extends")?,
        break_glass: row.flag("break_glass")?,
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
        RequestState::Withdrawn => "withdrawn",
    }
}

/// What, besides the person and the policy, makes two requests the same: the task, the pins, and the grant to be extended.
/// Pins can be longer than an index takes, so a digest stands for them.
fn subject(request: &Request) -> Result<String, StoreError> {
    let mut subject = request.task.as_ref().map(Task::folded).unwrap_or_default();
    if !request.pins.is_empty() {
        let digest = digest(
            &SHA256,
            json(&request.pins)?.to_ascii_lowercase().as_bytes(),
        );
        subject.push_str(" #");
        for byte in digest.as_ref() {
            // Writing to a `String` cannot fail.
            let _ = write!(subject, "{byte:02x}");
        }
    }
    if let Some(extends) = request.extends {
        let _ = write!(subject, " +{extends}");
    }
    Ok(subject)
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
        narrowing: row.json("narrowing")?,
        at: row.time("at_ms")?,
    })
}
