//! The OAuth 2.0 device flow ([RFC 8628]): a code that a person confirms in a browser, on this computer or another, while
//! this waits for the token. And the exchange of a refresh token for a fresh one.
//!
//! [RFC 8628]: https://www.rfc-editor.org/rfc/rfc8628

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, header};
use http_body_util::Full;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::api::types::LoginIdentity;
use crate::cli::client::{Answer, Refresh, Transport, is_private};
use crate::cli::output::printable;
use crate::cli::{Hint, Output};
use crate::telemetry::Chain;

use super::Fresh;

/// Between two questions whether the person has confirmed, where the provider does not say (RFC 8628 section 3.2).
const INTERVAL: u64 = 5;

/// The longest that is waited between two questions, in seconds.
const LONGEST_INTERVAL: u64 = 60;

/// The longest that is waited for a person, in seconds, whatever the provider says.
const LONGEST_WAIT: u64 = 3_600;

/// RFC 8628 section 3.4.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What begins a flow (RFC 8628 section 3.2).
#[derive(Deserialize)]
struct Begun {
    device_code: SecretString,
    user_code: String,
    /// Some providers still say `verification_url`.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

/// A token (RFC 6749 section 5.1).
#[derive(Deserialize)]
struct Given {
    access_token: SecretString,
    token_type: String,
    expires_in: Option<u64>,
    refresh_token: Option<SecretString>,
}

/// Why there is none (RFC 6749 section 5.2).
#[derive(Deserialize)]
struct Denied {
    error: String,
    error_description: Option<String>,
}

/// What the provider says to a question for a token.
enum Reply<T> {
    Denied(Denied),
    Given(T),
}

/// Has the person confirm a code, and waits for the token.
pub(super) async fn sign_in(
    identity: &LoginIdentity,
    output: &mut Output,
) -> anyhow::Result<Fresh> {
    let device = identity
        .device
        .as_ref()
        .context("the gateway says nothing of a device flow")?;
    let transport = Transport::new(None)?;
    let mut form = vec![("client_id", device.client_id.as_str())];
    if let Some(scope) = &device.scope {
        form.push(("scope", scope));
    }
    let begun: Begun = match post(&transport, &device.device_authorization_endpoint, &form).await? {
        Reply::Given(begun) => begun,
        Reply::Denied(denied) => return Err(refusal(&denied)),
    };
    let page: Option<Url> = begun.verification_uri.parse().ok();
    if !page.as_ref().is_some_and(is_private) {
        bail!(
            "the identity provider names `{}` to confirm the code at, which is no `https://` address",
            printable(&begun.verification_uri)
        );
    }
    output.note(format_args!(
        "To sign in by `{}`, open\n\n    {}\n\nand enter the code\n\n    {}\n",
        printable(&identity.name),
        printable(&begun.verification_uri),
        printable(&begun.user_code)
    ))?;
    if let Some(complete) = &begun.verification_uri_complete {
        output.note(format_args!(
            "or open {}, and see that it shows this code.",
            printable(complete)
        ))?;
    }
    output.note("Waiting …")?;
    let given = wait(
        &transport,
        &device.token_endpoint,
        &device.client_id,
        &begun,
    )
    .await?;
    fresh(given, &device.token_endpoint, &device.client_id, Utc::now())
}

async fn wait(
    transport: &Transport,
    endpoint: &str,
    client_id: &str,
    begun: &Begun,
) -> anyhow::Result<Given> {
    let patience = Duration::from_secs(begun.expires_in.min(LONGEST_WAIT));
    let deadline = tokio::time::Instant::now() + patience;
    let mut interval = begun
        .interval
        .unwrap_or(INTERVAL)
        .clamp(1, LONGEST_INTERVAL);
    let form = [
        ("grant_type", GRANT_TYPE),
        ("device_code", begun.device_code.expose_secret()),
        ("client_id", client_id),
    ];
    loop {
        tokio::time::sleep(Duration::from_secs(interval)).await;
        if tokio::time::Instant::now() >= deadline {
            let hint = Hint("begin again with `portcullis login --device`".to_owned());
            return Err(anyhow::Error::new(hint).context("nobody confirmed the code in time"));
        }
        match post(transport, endpoint, &form).await? {
            Reply::Given(given) => return Ok(given),
            Reply::Denied(denied) => match denied.error.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval = (interval + 5).min(LONGEST_INTERVAL),
                _ => return Err(refusal(&denied)),
            },
        }
    }
}

/// Exchanges a refresh token for a fresh token.
pub(in crate::cli) async fn refreshed(
    refresh: &Refresh,
    now: DateTime<Utc>,
) -> anyhow::Result<RefreshedToken> {
    let transport = Transport::new(None)?;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.token.expose_secret()),
        ("client_id", refresh.client_id.as_str()),
    ];
    match post(&transport, &refresh.token_endpoint, &form).await? {
        Reply::Denied(denied) => Err(refusal(&denied)),
        Reply::Given(mut given) => {
            let given: &mut Given = &mut given;
            // A provider that gives no new refresh token goes on with the old one (RFC 6749 section 6).
            let kept = given
                .refresh_token
                .take()
                .unwrap_or_else(|| refresh.token.clone());
            check_type(&given.token_type)?;
            Ok(RefreshedToken {
                token: given.access_token.clone(),
                expires: ends(given.expires_in, now),
                refresh: Some(Refresh {
                    token_endpoint: refresh.token_endpoint.clone(),
                    client_id: refresh.client_id.clone(),
                    token: kept,
                }),
            })
        }
    }
}

/// A token that took another's place.
pub(in crate::cli) struct RefreshedToken {
    pub(in crate::cli) token: SecretString,
    pub(in crate::cli) expires: Option<DateTime<Utc>>,
    pub(in crate::cli) refresh: Option<Refresh>,
}

fn fresh(
    given: Given,
    token_endpoint: &str,
    client_id: &str,
    now: DateTime<Utc>,
) -> anyhow::Result<Fresh> {
    check_type(&given.token_type)?;
    Ok(Fresh {
        token: given.access_token,
        expires: ends(given.expires_in, now),
        token_id: None,
        refresh: given.refresh_token.map(|token| Refresh {
            token_endpoint: token_endpoint.to_owned(),
            client_id: client_id.to_owned(),
            token,
        }),
    })
}

fn check_type(word: &str) -> anyhow::Result<()> {
    if word.eq_ignore_ascii_case("bearer") {
        return Ok(());
    }
    bail!(
        "the identity provider gave a token of the type `{}`, which the gateway does not take",
        printable(word)
    )
}

fn ends(expires_in: Option<u64>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let seconds = i64::try_from(expires_in?).ok()?;
    now.checked_add_signed(TimeDelta::try_seconds(seconds)?)
}

fn refusal(denied: &Denied) -> anyhow::Error {
    let (what, hint) = match denied.error.as_str() {
        "access_denied" => (
            "the sign-in was refused",
            "if that was a mistake, begin again",
        ),
        "expired_token" => (
            "nobody confirmed the code in time",
            "begin again with `portcullis login --device`",
        ),
        "invalid_grant" => (
            "the identity provider does not renew this sign-in",
            "sign in again with `portcullis login --device`",
        ),
        _ => (
            "the identity provider refused",
            "the keys of `[[identity]]` (client_id, scope, endpoints) may not fit what is registered there",
        ),
    };
    let told = denied.error_description.as_ref().unwrap_or(&denied.error);
    // The first line says it; some providers append ids and times.
    let told = printable(told.lines().next().unwrap_or_default());
    anyhow::Error::new(Hint(hint.to_owned())).context(format!("{what}: {told}"))
}

/// Asks the provider something (RFC 6749 section 4: a form in, JSON out).
async fn post<T: DeserializeOwned>(
    transport: &Transport,
    endpoint: &str,
    form: &[(&str, &str)],
) -> anyhow::Result<Reply<T>> {
    let url: Url = endpoint.parse().ok().filter(is_private).with_context(|| {
        let url = printable(endpoint);
        format!(
            "the gateway names `{url}` as the identity provider's, which is no `https://` address"
        )
    })?;
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = Request::post(url.as_str())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::from(body)))
        .context("the identity provider's address is wrong")?;
    let answer = transport.exchange(request).await.map_err(|error| {
        let hint = Hint(format!("tried: POST {url}"));
        let text = format!("the identity provider cannot be asked: {}", Chain(&error));
        anyhow::Error::new(hint).context(text)
    })?;
    understood(&answer, &url)
}

fn understood<T: DeserializeOwned>(answer: &Answer, url: &Url) -> anyhow::Result<Reply<T>> {
    if answer.status.is_success() {
        // The parser's text could quote the token.
        let given = serde_json::from_slice(&answer.body).ok();
        return given
            .map(Reply::Given)
            .with_context(|| format!("the answer of `{url}` is not what RFC 8628 has for it"));
    }
    let denied = serde_json::from_slice(&answer.body).ok();
    denied
        .map(Reply::Denied)
        .with_context(|| format!("the identity provider's `{url}` says {}", answer.status))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            media_type: "application/json".to_owned(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn said<T: DeserializeOwned>(status: u16, body: &str) -> String {
        let url = "https://idp.example/token".parse().unwrap();
        match understood::<T>(&answer(status, body), &url) {
            Ok(Reply::Given(_)) => "given".to_owned(),
            Ok(Reply::Denied(denied)) => format!("{:#}", refusal(&denied)),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn what_the_provider_answers_is_told_in_words() {
        let token = r#"{"access_token": "t0ken", "token_type": "Bearer", "expires_in": 60}"#;
        assert_eq!(said::<Given>(200, token), "given");
        insta::assert_snapshot!(
            [
                said::<Given>(200, r#"{"access_token": 5, "s3cret": "t0ken"}"#),
                said::<Given>(400, r#"{"error": "access_denied"}"#),
                said::<Given>(400, r#"{"error": "expired_token"}"#),
                said::<Given>(400, "{\"error\": \"unauthorized_client\", \"error_description\": \"AADSTS7: no \\u001b[2J such\\nTrace: 1\"}"),
                said::<Given>(500, "<html>"),
            ]
            .join("\n"),
            @"
            the answer of `https://idp.example/token` is not what RFC 8628 has for it
            the sign-in was refused: access_denied: if that was a mistake, begin again
            nobody confirmed the code in time: expired_token: begin again with `portcullis login --device`
            the identity provider refused: AADSTS7: no �[2J such: the keys of `[[identity]]` (client_id, scope, endpoints) may not fit what is registered there
            the identity provider's `https://idp.example/token` says 500 Internal Server Error
            "
        );
    }

    #[test]
    fn only_bearer_tokens_are_taken() {
        let given = |word: &str| Given {
            access_token: SecretString::from("t"),
            token_type: word.to_owned(),
            expires_in: Some(u64::MAX),
            refresh_token: None,
        };
        let now = Utc::now();
        let taken = fresh(given("bearer"), "https://i.example", "c", now).unwrap();
        assert!(taken.expires.is_none(), "a span beyond all calendars");
        assert!(fresh(given("DPoP"), "https://i.example", "c", now).is_err());
    }
}
