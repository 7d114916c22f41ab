//! Tokens of the management API, and the answers that its writes got. What a token may be used for is the caller's to say; here
//! scopes, headers and bodies are texts.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::PrincipalKind;

use super::database::{Row, Transaction, sql};
use super::{MOST_LISTED, Store, StoreError, change_one, json};

/// A token of the management API, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// UUID v7.
    pub id: Uuid,
    /// The digest of its secret, in hexadecimal digits.
    pub digest: String,
    /// What it is for.
    pub name: String,
    /// [`crate::model::Principal::key`] of its owner.
    pub principal_key: String,
    /// [`crate::model::Principal::name`] of its owner.
    pub principal_name: String,
    /// What kind of caller its owner is.
    pub principal_kind: PrincipalKind,
    /// The identity that verified its owner when it was made.
    pub identity: String,
    /// Its owner's tenant.
    pub tenant: Option<String>,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it is no good any more.
    pub expires: DateTime<Utc>,
}

/// What was answered to a write, or that the answer is still awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReply {
    /// Whose write.
    pub principal_key: String,
    /// Which one, in its sender's words.
    pub idempotency_key: String,
    /// The digest of what was sent.
    pub fingerprint: String,
    /// When it came.
    pub created: DateTime<Utc>,
    /// What it was answered; `None` until then.
    pub answer: Option<StoredAnswer>,
}

/// An answer to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Header names and values that belong to it.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Store {
    /// The token whose secret has this digest, if it is good at `now`.
    pub async fn token(
        &self,
        digest: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<StoredToken>, StoreError> {
        let found = sql("select * from api_tokens where digest = $1 and expires_ms > $2")
            .bind(digest)
            .bind(now);
        let rows = self.database.rows(found).await?;
        rows.first().map(read).transpose()
    }

    /// The token of this id, if it is good at `now`.
    pub async fn token_by_id(
        &self,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Option<StoredToken>, StoreError> {
        let found = sql("select * from api_tokens where id = $1 and expires_ms > $2")
            .bind(id)
            .bind(now);
        let rows = self.database.rows(found).await?;
        rows.first().map(read).transpose()
    }

    /// The tokens of one person, or of everybody, that are good at `now`, newest first; of everybody's, the last thousand.
    pub async fn tokens(
        &self,
        of: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<StoredToken>, StoreError> {
        let found = sql(
            "select * from api_tokens
            where expires_ms > $1 and ($2 is null or principal_key = $2) order by id desc limit $3",
        )
        .bind(now)
        .bind(of.map(str::to_owned))
        .bind(i64::try_from(MOST_LISTED).unwrap_or(i64::MAX));
        let rows = self.database.rows(found).await?;
        rows.iter().map(read).collect()
    }

    /// Takes a place for the answer to a write: `None` if it is new, or what is known of it. Answers from before `old` are
    /// forgotten; beyond `most` of one person, the error is [`StoreError::TooManyPending`].
    pub async fn claim_reply(
        &self,
        reply: &StoredReply,
        old: DateTime<Utc>,
        most: i64,
    ) -> Result<Option<StoredReply>, StoreError> {
        let mut transaction = self.database.begin().await?;
        let forget = sql("delete from api_replies where created_ms < $1").bind(old);
        transaction.execute(forget).await?;
        let insert = sql(
            "insert into api_replies (principal_key, idempotency_key, fingerprint, created_ms)
            select $1, $2, $3, $4 where not exists
                (select 1 from api_replies where principal_key = $1 and idempotency_key = $2)
            and (select count(*) from api_replies where principal_key = $1) < $5",
        )
        .bind(reply.principal_key.as_str())
        .bind(reply.idempotency_key.as_str())
        .bind(reply.fingerprint.as_str())
        .bind(reply.created)
        .bind(most);
        let claimed = transaction.execute(insert).await;
        if matches!(claimed, Ok(1)) {
            transaction.commit().await?;
            return Ok(None);
        }
        match claimed.map_err(StoreError::from) {
            Ok(_) => transaction.commit().await?,
            // Another claim of the same key was faster.
            Err(StoreError::Changed) => drop(transaction),
            Err(error) => return Err(error),
        }
        let found =
            sql("select * from api_replies where principal_key = $1 and idempotency_key = $2")
                .bind(reply.principal_key.as_str())
                .bind(reply.idempotency_key.as_str());
        let rows = self.database.rows(found).await?;
        match rows.first() {
            Some(row) => read_reply(row).map(Some),
            None => Err(StoreError::TooManyPending),
        }
    }

    /// Keeps the answer to a write for which a place was taken.
    pub async fn keep_reply(&self, reply: &StoredReply) -> Result<(), StoreError> {
        let Some(answer) = &reply.answer else {
            return Ok(());
        };
        let mut transaction = self.database.begin().await?;
        let update = sql("update api_replies set status = $1, headers = $2, body = $3
            where principal_key = $4 and idempotency_key = $5")
        .bind(i64::from(answer.status))
        .bind(json(&answer.headers)?)
        .bind(answer.body.as_str())
        .bind(reply.principal_key.as_str())
        .bind(reply.idempotency_key.as_str());
        transaction.execute(update).await?;
        Ok(transaction.commit().await?)
    }

    /// Gives the place for an answer back: the write was not made.
    pub async fn forget_reply(&self, reply: &StoredReply) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let delete =
            sql("delete from api_replies where principal_key = $1 and idempotency_key = $2")
                .bind(reply.principal_key.as_str())
                .bind(reply.idempotency_key.as_str());
        transaction.execute(delete).await?;
        Ok(transaction.commit().await?)
    }
}

/// Adds a token, unless its owner has `most` good ones already ([`StoreError::TooManyPending`]). Those that expired go.
pub(super) async fn add(
    transaction: &mut Transaction,
    token: &StoredToken,
    most: i64,
) -> Result<(), StoreError> {
    let old = sql("delete from api_tokens where expires_ms <= $1").bind(token.created);
    transaction.execute(old).await?;
    let insert = sql(
        "insert into api_tokens (id, digest, name, principal_key, principal_name, principal_kind,
            identity, tenant, scopes, created_ms, expires_ms)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
        where (select count(*) from api_tokens where principal_key = $4) < $12",
    )
    .bind(token.id)
    .bind(token.digest.as_str())
    .bind(token.name.as_str())
    .bind(token.principal_key.as_str())
    .bind(token.principal_name.as_str())
    .bind(match token.principal_kind {
        PrincipalKind::App => "app",
        PrincipalKind::User => "user",
    })
    .bind(token.identity.as_str())
    .bind(token.tenant.clone())
    .bind(json(&token.scopes)?)
    .bind(token.created)
    .bind(token.expires)
    .bind(most);
    match transaction.execute(insert).await? {
        1 => Ok(()),
        _ => Err(StoreError::TooManyPending),
    }
}

pub(super) async fn remove(transaction: &mut Transaction, id: Uuid) -> Result<(), StoreError> {
    let delete = sql("delete from api_tokens where id = $1").bind(id);
    change_one(transaction, delete).await
}

fn read(row: &Row) -> Result<StoredToken, StoreError> {
    let kind = row.text("principal_kind")?;
    Ok(StoredToken {
        id: row.id("id")?,
        digest: row.text("digest")?,
        name: row.text("name")?,
        principal_key: row.text("principal_key")?,
        principal_name: row.text("principal_name")?,
        principal_kind: match kind.as_str() {
            "app" => PrincipalKind::App,
            "user" => PrincipalKind::User,
            _ => return Err(StoreError::damaged("column `principal_kind`")),
        },
        identity: row.text("identity")?,
        tenant: row.maybe_text("tenant")?,
        scopes: row.json("scopes")?,
        created: row.time("created_ms")?,
        expires: row.time("expires_ms")?,
    })
}

fn read_reply(row: &Row) -> Result<StoredReply, StoreError> {
    let answer = match row.maybe_integer("status")? {
        None => None,
        Some(status) => Some(StoredAnswer {
            status: u16::try_from(status)
                .map_err(|_| StoreError::damaged(format!("the status {status}")))?,
            headers: row.json("headers")?,
            body: row.text("body")?,
        }),
    };
    Ok(StoredReply {
        principal_key: row.text("principal_key")?,
        idempotency_key: row.text("idempotency_key")?,
        fingerprint: row.text("fingerprint")?,
        created: row.time("created_ms")?,
        answer,
    })
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use crate::store::Write;
    use crate::store::testing::on_each_engine;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_123).unwrap() + Duration::minutes(minute)
    }

    fn token(owner: &str, expires: DateTime<Utc>) -> StoredToken {
        let id = Uuid::now_v7();
        StoredToken {
            id,
            digest: format!("digest of {id}"),
            name: "for tests".to_owned(),
            principal_key: owner.to_owned(),
            principal_name: format!("{owner}@fabrikam.example"),
            principal_kind: PrincipalKind::App,
            identity: "entra".to_owned(),
            tenant: Some("t".to_owned()),
            scopes: vec!["read".to_owned(), "approve".to_owned()],
            created: at(0),
            expires,
        }
    }

    fn reply(person: &str, key: &str, created: DateTime<Utc>) -> StoredReply {
        StoredReply {
            principal_key: person.to_owned(),
            idempotency_key: key.to_owned(),
            fingerprint: "of the body".to_owned(),
            created,
            answer: None,
        }
    }

    #[tokio::test]
    async fn a_token_is_found_by_its_digest_until_it_expires_or_is_removed() {
        on_each_engine(async |place| {
            let store = place.open().await;
            let (one, two) = (token("ann", at(10)), token("bob", at(20)));
            for token in [&one, &two] {
                let token = token.clone();
                store
                    .commit(&[Write::AddToken { token, most: 1 }])
                    .await
                    .unwrap();
            }
            let found = store.token(&one.digest, at(9)).await.unwrap();
            assert_eq!(found.as_ref(), Some(&one));
            assert_eq!(store.token(&one.digest, at(10)).await.unwrap(), None);
            assert_eq!(
                store.tokens(None, at(0)).await.unwrap(),
                [two.clone(), one.clone()]
            );
            assert_eq!(
                store.tokens(Some("bob"), at(0)).await.unwrap(),
                std::slice::from_ref(&two)
            );
            let third = token("ann", at(30));
            let add = Write::AddToken {
                token: third.clone(),
                most: 1,
            };
            let refused = store.commit(&[add]).await;
            assert!(matches!(refused, Err(StoreError::TooManyPending)));
            store.commit(&[Write::RemoveToken(one.id)]).await.unwrap();
            assert_eq!(store.token_by_id(one.id, at(0)).await.unwrap(), None);
            let again = store.commit(&[Write::RemoveToken(one.id)]).await;
            assert!(matches!(again, Err(StoreError::Changed)));
        })
        .await;
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_key_until_it_is_old() {
        on_each_engine(async |place| {
            let store = place.open().await;
            let mut first = reply("ann", "k", at(0));
            let claim = |reply: StoredReply, old: i64| {
                let store = &store;
                async move { store.claim_reply(&reply, at(old), 2).await }
            };
            assert_eq!(claim(first.clone(), -10).await.unwrap(), None);
            assert_eq!(
                claim(first.clone(), -10).await.unwrap(),
                Some(first.clone())
            );
            first.answer = Some(StoredAnswer {
                status: 201,
                headers: vec![("location".to_owned(), "/x".to_owned())],
                body: "{}".to_owned(),
            });
            store.keep_reply(&first).await.unwrap();
            assert_eq!(
                claim(first.clone(), -10).await.unwrap(),
                Some(first.clone())
            );
            // Another person's key is another key; one person has so many and no more.
            assert_eq!(claim(reply("bob", "k", at(1)), -10).await.unwrap(), None);
            let given_back = reply("ann", "l", at(1));
            assert_eq!(claim(given_back.clone(), -10).await.unwrap(), None);
            let more = claim(reply("ann", "m", at(1)), -10).await;
            assert!(matches!(more, Err(StoreError::TooManyPending)));
            store.forget_reply(&given_back).await.unwrap();
            assert_eq!(claim(given_back, -10).await.unwrap(), None);
            // The first is old by now, and its key is free.
            let later = reply("ann", "k", at(5));
            assert_eq!(claim(later, 1).await.unwrap(), None);
        })
        .await;
    }
}
