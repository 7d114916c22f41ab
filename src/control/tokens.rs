//! Tokens of the management API: made for whoever is signed in, good for a while, kept as digests of their secrets. And the
//! answers that the API's writes got, kept for those who send one again.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::fill;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use serde_json::{Map, json};
use uuid::Uuid;

use crate::audit::Event;
use crate::model::Principal;
use crate::store::{StoreError, StoredReply, StoredToken, Write};

use super::desk::Desk;
use super::reading;
use super::record::{Change, owed};
use super::refusals::{WorkflowError, done_but_unrecorded, not_reached};
use super::{Caller, Via};

/// How the secret of a token begins: what it is can be seen where it should not be, as in a log or a repository.
pub const TOKEN_PREFIX: &str = "ptk_";

/// Tokens that one person may have: a program or two, and some to spare while they are exchanged.
const MOST_TOKENS: i64 = 20;

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// How long the answers to writes are kept.
const REPLIES_FOR: TimeDelta = TimeDelta::hours(24);

/// Answers that are kept for one person.
const MOST_REPLIES: i64 = 2_000;

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// How long it is good.
    pub lifetime: TimeDelta,
}

/// What is known of a write that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was made already, or is being made: this is known of it.
    Known(StoredReply),
    /// It is new.
    New(StoredReply),
}

/// The digest that stands for a secret: it has 256 random bits, so a plain hash will do.
fn digest_of(secret: &str) -> String {
    hex(digest(&SHA256, secret.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The token whose secret this is, if it is good now.
pub(super) async fn find(desk: &Desk, secret: &str) -> Result<Option<StoredToken>, WorkflowError> {
    let found = desk.store.token(&digest_of(secret), desk.now()).await;
    found.map_err(not_reached)
}

/// Whether the token of this id is good still.
pub(super) async fn is_good(desk: &Desk, id: Uuid) -> Result<bool, WorkflowError> {
    let found = desk.store.token_by_id(id, desk.now()).await;
    found.map(|it| it.is_some()).map_err(not_reached)
}

/// The caller's tokens, or everybody's, newest first.
pub(super) async fn list(
    desk: &Desk,
    who: &Principal,
    whose: Whose,
) -> Result<Vec<StoredToken>, WorkflowError> {
    let of = match whose {
        Whose::Everybody => {
            only_operators(desk, who, "lists everybody's tokens")?;
            None
        }
        Whose::Own => Some(who.key.as_str()),
    };
    desk.store.tokens(of, desk.now()).await.map_err(not_reached)
}

/// Whose tokens are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's: for operators.
    Everybody,
    /// The caller's own.
    Own,
}

/// Makes a token of the caller's own; it and its secret, which is kept nowhere.
pub(super) async fn create(
    desk: &Desk,
    caller: &Caller,
    new: NewToken,
) -> Result<(StoredToken, String), WorkflowError> {
    let mut bytes = [0_u8; SECRET_BYTES];
    fill(&mut bytes).map_err(|_| {
        WorkflowError::Unavailable("the system gives no random numbers now: try again".to_owned())
    })?;
    let secret = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let now = desk.now();
    let who = &caller.principal;
    let token = StoredToken {
        id: Uuid::now_v7(),
        digest: digest_of(&secret),
        name: new.name,
        principal_key: who.key.clone(),
        principal_name: who.name.clone(),
        principal_kind: who.kind,
        identity: who.identity.clone(),
        tenant: who.tenant.clone(),
        scopes: new.scopes,
        created: now,
        expires: now + new.lifetime,
    };
    let mut change = Change::default();
    change.writes.push(Write::AddToken {
        token: token.clone(),
        most: MOST_TOKENS,
    });
    change
        .writes
        .push(recorded("token.created", &token, caller, desk).map_err(not_reached)?);
    match desk.make(change).await {
        Ok(Ok(())) => Ok((token, secret)),
        Ok(Err(error)) => {
            // Its secret is never told, so it is no use to anybody, and its owner sees it listed.
            let what = format!(
                "the token {} is made, but its secret is lost with this answer: revoke it",
                token.id
            );
            Err(done_but_unrecorded(&error, &what))
        }
        Err(StoreError::TooManyPending) => Err(WorkflowError::Conflict(format!(
            "you have {MOST_TOKENS} tokens, and more are not made: revoke those that are not needed"
        ))),
        Err(error) => Err(not_reached(error)),
    }
}

/// Revokes a token: of one's own, or, for operators, of anybody's.
pub(super) async fn revoke(desk: &Desk, caller: &Caller, id: Uuid) -> Result<(), WorkflowError> {
    let who = &caller.principal;
    let policies = &desk.state.snapshot().policies;
    let token = desk.store.token_by_id(id, desk.now()).await;
    let token = token
        .map_err(not_reached)?
        .filter(|it| it.principal_key == who.key || reading::is_operator(desk, who, policies))
        .ok_or_else(|| no_token(id))?;
    let mut change = Change::default();
    change.writes.push(Write::RemoveToken(id));
    change
        .writes
        .push(recorded("token.revoked", &token, caller, desk).map_err(not_reached)?);
    match desk.make(change).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(done_but_unrecorded(
            &error,
            &format!("the token {id} is revoked"),
        )),
        Err(StoreError::Changed) => Err(no_token(id)),
        Err(error) => Err(not_reached(error)),
    }
}

fn no_token(id: Uuid) -> WorkflowError {
    WorkflowError::NotFound(format!("there is no token {id} that you may revoke"))
}

fn only_operators(desk: &Desk, who: &Principal, does: &str) -> Result<(), WorkflowError> {
    let policies = &desk.state.snapshot().policies;
    if reading::is_operator(desk, who, policies) {
        return Ok(());
    }
    Err(WorkflowError::Forbidden(match &desk.settings.operators {
        Some(group) => format!("only an operator {does}: a member of the group `{group}`"),
        None => format!(
            "only an operator {does}, and there are none: name their group as `operators` under [access_control] of the gateway's configuration"
        ),
    }))
}

fn recorded(
    kind: &str,
    token: &StoredToken,
    caller: &Caller,
    desk: &Desk,
) -> Result<Write, StoreError> {
    let mut details = Map::from_iter([
        ("token_id".to_owned(), json!(token.id)),
        ("name".to_owned(), json!(token.name)),
        ("owner".to_owned(), json!(token.principal_name)),
        ("owner_key".to_owned(), json!(token.principal_key)),
        ("scopes".to_owned(), json!(token.scopes)),
        ("expires".to_owned(), json!(token.expires)),
    ]);
    details.extend(caller.via.details(&caller.principal));
    let who = &caller.principal;
    let event = Event {
        id: Uuid::now_v7(),
        at: desk.now(),
        kind: kind.to_owned(),
        principal: Some((who.key.clone(), who.name.clone())),
        source: Some(caller.source),
        request: None,
        grant: None,
        policy: None,
        decision: caller.decision,
        details,
    };
    owed(&event, None)
}

/// Takes a place for the answer to a write of this person; what is known of it, if it was sent before.
pub(super) async fn claim(
    desk: &Desk,
    who: &Principal,
    idempotency_key: String,
    fingerprint: String,
) -> Result<Claim, WorkflowError> {
    // By the clock of the machine, as a test's clock stands still.
    let now = Utc::now();
    let reply = StoredReply {
        principal_key: who.key.clone(),
        idempotency_key,
        fingerprint,
        created: now,
        answer: None,
    };
    let known = desk
        .store
        .claim_reply(&reply, now - REPLIES_FOR, MOST_REPLIES)
        .await;
    match known {
        Ok(None) => Ok(Claim::New(reply)),
        Ok(Some(known)) => Ok(Claim::Known(known)),
        Err(StoreError::TooManyPending) => Err(WorkflowError::Conflict(format!(
            "{MOST_REPLIES} answers of yours are kept for their idempotency keys, and more are not: leave the key out, or wait until those of yesterday are forgotten"
        ))),
        Err(error) => Err(not_reached(error)),
    }
}

/// Keeps the answer to a write, or, without one, gives its place back.
pub(super) async fn answered(desk: &Desk, reply: &StoredReply) -> Result<(), WorkflowError> {
    let done = match &reply.answer {
        Some(_) => desk.store.keep_reply(reply).await,
        None => desk.store.forget_reply(reply).await,
    };
    done.map_err(not_reached)
}

impl Via {
    /// What a record tells of it.
    pub(super) fn details(self, who: &Principal) -> Map<String, serde_json::Value> {
        match self {
            Self::Api { token, .. } => {
                let mut details = Map::from_iter([
                    ("via".to_owned(), json!("api")),
                    ("identity".to_owned(), json!(who.identity)),
                ]);
                if let Some(token) = token {
                    details.insert("token".to_owned(), json!(token));
                }
                details
            }
            Self::Cmdlet => Map::new(),
        }
    }
}
