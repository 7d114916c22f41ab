//! Who calls, by a token of the API or a credential of an identity, and whether they may.

use std::net::IpAddr;

use chrono::Utc;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::Map;
use uuid::Uuid;

use crate::api::Api;
use crate::api::problem::{Failure, Kind};
use crate::api::routes::{Right, Route};
use crate::api::types::TokenScope;
use crate::audit::Event;
use crate::control::{StoredToken, TOKEN_PREFIX};
use crate::model::Principal;

impl Api {
    /// Who calls, by a token of the API or a credential of an identity.
    pub(super) async fn sign_in(
        &self,
        headers: &HeaderMap,
        source: IpAddr,
    ) -> Result<(Principal, Option<StoredToken>), Failure> {
        if let Some(secret) = own_token(headers) {
            let Some(token) = self.control.token(secret).await? else {
                self.refused_sign_in("unknown-token", source);
                let failure = Failure::new(
                    Kind::Unauthenticated,
                    "the token is unknown, revoked or expired: make another with POST /api/v1/tokens",
                );
                return Err(failure.with(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static(r#"Bearer realm="portcullis", error="invalid_token""#),
                ));
            };
            return Ok((self.owner(&token), Some(token)));
        }
        let allowed = &self.settings.identities;
        match self
            .identities
            .authenticate(allowed, headers, Utc::now())
            .await
        {
            Ok(known) => Ok((known.principal.as_ref().clone(), None)),
            Err(failure) => {
                if headers.contains_key(AUTHORIZATION) {
                    self.refused_sign_in(failure.reason(), source);
                }
                let kind = if failure.status() == http::StatusCode::UNAUTHORIZED {
                    Kind::Unauthenticated
                } else {
                    Kind::Unavailable
                };
                let answer = Failure::new(kind, failure.public_text());
                Err(if kind == Kind::Unauthenticated {
                    answer.with(WWW_AUTHENTICATE, failure.challenge())
                } else {
                    answer.with(RETRY_AFTER, HeaderValue::from_static("1"))
                })
            }
        }
    }

    /// The owner of a token. What an identity provider said of their groups is not known any more, so it does not count.
    fn owner(&self, token: &StoredToken) -> Principal {
        Principal {
            kind: token.principal_kind,
            id: self.state.interner.principal(&token.principal_key),
            key: token.principal_key.clone(),
            name: token.principal_name.clone(),
            groups: Vec::new(),
            tenant: token.tenant.clone(),
            identity: token.identity.clone(),
        }
    }

    /// Puts a refused sign-in on record, bounded.
    fn refused_sign_in(&self, reason: &str, source: IpAddr) {
        let now = Utc::now();
        if !self.strangers.is_recorded(source, now.timestamp_millis()) {
            return;
        }
        let details = Map::from_iter([
            ("reason".to_owned(), reason.into()),
            ("status".to_owned(), 401.into()),
            ("via".to_owned(), "api".into()),
        ]);
        self.audit.event_soon(Event {
            id: Uuid::now_v7(),
            at: now,
            kind: "sign-in.failed".to_owned(),
            principal: None,
            source: Some(source),
            request: None,
            grant: None,
            policy: None,
            decision: None,
            details,
        });
    }

    /// Refuses whoever may not use this route, and a token that was not made for it.
    pub(super) fn check_right(
        &self,
        route: &Route,
        who: &Principal,
        token: Option<&StoredToken>,
    ) -> Result<(), Failure> {
        if let Some(token) = token {
            let needed = scope_word(route.scope);
            if route.right == Right::PersonInPerson {
                return Err(Failure::new(
                    Kind::Forbidden,
                    "tokens are made and revoked by people with their own credentials, and not with a token",
                ));
            }
            if !token.scopes.iter().any(|it| it == needed) {
                return Err(Failure::new(
                    Kind::Forbidden,
                    format!(
                        "this takes a token with the scope `{needed}`, and this one has {}",
                        token.scopes.join(", ")
                    ),
                ));
            }
        }
        let (may, whom, group, key) = match route.right {
            Right::Anybody | Right::Person | Right::PersonInPerson => return Ok(()),
            Right::Auditor => (
                self.control.is_auditor(who),
                "auditors and operators",
                &self.settings.auditors,
                "auditors",
            ),
            Right::Operator => (
                self.control.is_operator(who),
                "operators",
                &self.settings.operators,
                "operators",
            ),
        };
        if may {
            return Ok(());
        }
        Err(Failure::new(
            Kind::Forbidden,
            match group {
                Some(group) => format!("this is for {whom}: be a member of the group `{group}`"),
                None => format!(
                    "this is for {whom}, and no group is named: set `{key}` under [access_control] of the gateway's configuration"
                ),
            },
        ))
    }
}

/// A token of the API among the headers, if there is one credential and it is such a one.
fn own_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    let is_own = scheme.eq_ignore_ascii_case("bearer") && secret.starts_with(TOKEN_PREFIX);
    (is_own && values.next().is_none()).then_some(secret)
}

/// The word of a scope.
pub(in crate::api) fn scope_word(scope: TokenScope) -> &'static str {
    match scope {
        TokenScope::Approve => "approve",
        TokenScope::Audit => "audit",
        TokenScope::Operate => "operate",
        TokenScope::Read => "read",
        TokenScope::Request => "request",
    }
}
