//! `/tokens` and `/me`

use chrono::TimeDelta;
use http::StatusCode;

use crate::api::call::{Call, scope_word};
use crate::api::problem::Failure;
use crate::api::types::{MadeToken, Me, NewToken, Page, TokenQuery};
use crate::api::{Answer, Api, views};
use crate::control::{self, WhoseTokens};

/// How long a token is good when its maker does not say.
const DEFAULT_SECONDS: u32 = 30 * 24 * 3600;

pub(super) fn me(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let who = call.who();
    let snapshot = api.state.snapshot();
    let groups = snapshot.policies.groups().iter().filter(|it| it.has(who));
    Answer::ok(&Me {
        name: who.name.clone(),
        identity: who.identity.clone(),
        tenant: who.tenant.clone(),
        groups: groups.map(|it| it.name.clone()).collect(),
        operator: api.control.is_operator(who),
        auditor: api.control.is_auditor(who),
        token: call.token.as_ref().map(views::token),
    })
}

pub(super) async fn list(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let query: TokenQuery = call.query()?;
    let whose = if query.all.unwrap_or_default() {
        WhoseTokens::Everybody
    } else {
        WhoseTokens::Own
    };
    let tokens = api.control.tokens(call.who(), whose).await?;
    Answer::ok(&Page {
        items: tokens.iter().map(views::token).collect(),
        next: None,
    })
}

/// The secret is in the answer, and in nothing that is kept.
pub(super) async fn create(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    let new: NewToken = call.read()?;
    let mut scopes = new.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    let new = control::NewToken {
        name: new.name,
        scopes: scopes
            .into_iter()
            .map(|it| scope_word(it).to_owned())
            .collect(),
        lifetime: TimeDelta::seconds(i64::from(new.expires_in_seconds.unwrap_or(DEFAULT_SECONDS))),
    };
    let (token, secret) = api.control.create_token(call.caller.clone(), new).await?;
    let mut made = MadeToken {
        token: views::token(&token),
        secret: Some(secret),
    };
    let answer = Answer::with(StatusCode::CREATED, &made)?;
    made.secret = None;
    let kept = Answer::with(StatusCode::CREATED, &made)?.body;
    Ok(Answer {
        kept: Some(kept),
        ..answer
    })
}

pub(super) async fn revoke(api: &Api, call: &Call) -> Result<Answer, Failure> {
    call.no_query()?;
    api.control
        .revoke_token(call.caller.clone(), call.id()?)
        .await?;
    Ok(Answer::nothing())
}
