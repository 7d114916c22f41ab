//! The client of the management API: which gateway, signed in as whom, and what to tell people when it does not work.
//!
//! Writes carry an `Idempotency-Key`, so one whose connection broke is sent again without being done twice. What a server
//! answers is data for people to read: it is printed through [`super::Output`] and never acted on, and no redirect is followed.

mod chosen;
mod credentials;
mod failure;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::api::BASE;
use crate::api::types::Problem;

use super::Hint;

use chosen::Chosen;
pub(super) use chosen::server_url;
pub(super) use credentials::{Account, CredentialsError, CredentialsFile, Refresh};
use failure::{Done, Failure};
use transport::ExchangeError;
pub(super) use transport::{Answer, Transport, is_private};

/// The environment variable with a token, for programs.
pub(super) const TOKEN: &str = "PORTCULLIS_TOKEN";

/// How often a write whose connection broke is sent.
const TRIES: usize = 3;

/// How often a gateway that asks to be asked more slowly is asked again, and after how long.
const MOST_PAUSES: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Which gateway is meant.
#[derive(Clone, Debug, Default, Args)]
pub struct Connection {
    /// The gateway's control address, such as `https://pam.fabrikam.example:8444`; without it, where you signed in last.
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_SERVER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub server: Option<String>,
    /// PEM file of the certificate authorities that the gateway's certificate is verified by, instead of the platform's.
    #[arg(
        long,
        global = true,
        env = "PORTCULLIS_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub ca: Option<PathBuf>,
}

/// A gateway, and what is shown to it.
#[derive(Debug)]
pub(super) struct Client {
    transport: Transport,
    server: String,
    credential: Option<HeaderValue>,
    purpose: Purpose,
}

/// What a gateway is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To take a credential that somebody has just given.
    SignIn,
    /// For what somebody wants who has signed in before.
    Work,
}

/// What a gateway answered.
#[derive(Debug)]
pub(super) struct Told<T> {
    /// As this program understands it.
    pub(super) value: T,
    /// As it was said, for programs.
    pub(super) json: Json,
    /// Whether something was made.
    pub(super) is_new: bool,
}

impl Client {
    /// The gateway that is meant, as a stranger.
    pub(super) fn stranger(connection: &Connection) -> anyhow::Result<Self> {
        let chosen = Chosen::new(connection)?;
        Ok(Self {
            transport: Transport::new(chosen.ca.as_deref())?,
            server: chosen.server,
            credential: None,
            purpose: Purpose::Work,
        })
    }

    /// The gateway that is meant, as whoever is signed in there.
    pub(super) async fn signed_in(connection: &Connection) -> anyhow::Result<Self> {
        let chosen = Chosen::new(connection)?;
        let token = match std::env::var(TOKEN) {
            Ok(token) if !token.is_empty() => SecretString::from(token),
            _ => chosen.token().await?,
        };
        Ok(Self {
            transport: Transport::new(chosen.ca.as_deref())?,
            server: chosen.server,
            credential: Some(bearer(&token)?),
            purpose: Purpose::Work,
        })
    }

    /// The same gateway with a credential that somebody has just given.
    pub(super) fn with(self, credential: HeaderValue) -> Self {
        Self {
            credential: Some(credential),
            purpose: Purpose::SignIn,
            ..self
        }
    }

    /// The gateway's URL, without a slash at its end.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// What is at `path`.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> anyhow::Result<Told<T>> {
        let query = encoded(query)?;
        let url = format!("{}{BASE}{path}{query}", self.server);
        self.ask(&Method::GET, &url, None).await
    }

    /// Has something done.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<Told<T>> {
        let url = format!("{}{BASE}{path}", self.server);
        let body = serde_json::to_vec(body).context("what was asked cannot be written as JSON")?;
        self.ask(&Method::POST, &url, Some(body.into())).await
    }

    /// Has something taken away.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Told<Json>> {
        let url = format!("{}{BASE}{path}", self.server);
        self.ask(&Method::DELETE, &url, None).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &Method,
        url: &str,
        body: Option<Bytes>,
    ) -> anyhow::Result<Told<T>> {
        let answer = self.send(method, url, body).await;
        let told = answer.and_then(|answer| self.understood(url, &answer));
        told.map_err(Failure::explained)
    }

    async fn send(
        &self,
        method: &Method,
        url: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, Failure> {
        let unaskable = |source: &dyn std::fmt::Display| Failure::NotGateway {
            url: url.to_owned(),
            what: format!("the address is wrong: {source}"),
        };
        let key = Uuid::now_v7().to_string();
        let mut tries = 1;
        let mut pauses = 0;
        loop {
            let mut request = Request::builder()
                .method(method)
                .uri(url)
                .header(header::ACCEPT, "application/json, application/problem+json")
                .header(
                    header::USER_AGENT,
                    concat!("portcullis/", env!("CARGO_PKG_VERSION")),
                );
            if let Some(credential) = &self.credential {
                request = request.header(header::AUTHORIZATION, credential);
            }
            if *method != Method::GET {
                request = request.header("idempotency-key", &key);
            }
            if body.is_some() {
                request = request.header(header::CONTENT_TYPE, "application/json");
            }
            let request = request.body(Full::new(body.clone().unwrap_or_default()));
            let request = request.map_err(|error| unaskable(&error))?;
            match self.transport.exchange(request).await {
                // It was not done: whoever lists much is asked to be slower.
                Ok(answer)
                    if answer.status == StatusCode::TOO_MANY_REQUESTS && pauses < MOST_PAUSES =>
                {
                    pauses += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(answer) => return Ok(answer),
                // The key makes sure that it is done once.
                Err(ExchangeError::Body(_) | ExchangeError::Broken(_)) if tries < TRIES => {
                    tries += 1;
                }
                Err(source) => {
                    let done = match source {
                        ExchangeError::Connect(_) => Done::No,
                        _ if *method == Method::GET => Done::No,
                        _ => Done::Maybe,
                    };
                    return Err(Failure::Unreachable {
                        url: url.to_owned(),
                        done,
                        source,
                    });
                }
            }
        }
    }

    fn understood<T: DeserializeOwned>(
        &self,
        url: &str,
        answer: &Answer,
    ) -> Result<Told<T>, Failure> {
        let strange = |what: String| Failure::NotGateway {
            url: url.to_owned(),
            what,
        };
        if answer.status.is_success() {
            let body: &[u8] = if answer.body.is_empty() {
                b"null"
            } else {
                &answer.body
            };
            let json: Json = serde_json::from_slice(body)
                .map_err(|error| strange(format!("its answer is not JSON: {error}")))?;
            let value = T::deserialize(&json)
                .map_err(|error| strange(format!("its answer is not what was asked: {error}")))?;
            return Ok(Told {
                value,
                json,
                is_new: answer.status == StatusCode::CREATED,
            });
        }
        let problem = serde_json::from_slice::<Problem>(&answer.body)
            .ok()
            .filter(|_| answer.media_type == "application/problem+json");
        match problem {
            _ if answer.status == StatusCode::UNAUTHORIZED => {
                let server = self.server.clone();
                let why = problem.map(|it| it.detail);
                Err(match self.purpose {
                    Purpose::SignIn => Failure::NotTaken { server, why },
                    Purpose::Work => Failure::SignedOut { server, why },
                })
            }
            Some(problem) => Err(Failure::Refused {
                path: url
                    .strip_prefix(&format!("{}{BASE}", self.server))
                    .unwrap_or(url)
                    .to_owned(),
                problem: Box::new(problem),
            }),
            None => Err(strange(format!("it says {}", answer.status))),
        }
    }
}

/// The credential of a token.
pub(super) fn bearer(token: &SecretString) -> anyhow::Result<HeaderValue> {
    let text = token.expose_secret();
    let is_token = !text.is_empty() && text.bytes().all(|it| it.is_ascii_graphic());
    if !is_token {
        let hint = Hint("it is one line of letters, digits and signs, without spaces".to_owned());
        return Err(anyhow::Error::new(hint).context("this is not a token"));
    }
    let mut value =
        HeaderValue::try_from(format!("Bearer {text}")).context("this token cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

/// A query with each member that is there.
fn encoded(query: &impl Serialize) -> anyhow::Result<String> {
    let query = serde_json::to_value(query).context("the query cannot be written")?;
    let members = query.as_object().into_iter().flatten();
    let mut pairs: Vec<(&String, String)> = members
        .map(|(name, value)| match value {
            Json::String(text) => (name, text.clone()),
            other => (name, other.to_string()),
        })
        .collect();
    pairs.sort();
    if pairs.is_empty() {
        return Ok(String::new());
    }
    let mut text = url::form_urlencoded::Serializer::for_suffix(String::from("?"), 1);
    Ok(text.extend_pairs(pairs).finish())
}

/// How long to wait before asking again how something stands: from half a second to 5 s.
pub(super) fn next_interval(last: Option<Duration>) -> Duration {
    last.map_or(Duration::from_millis(500), |it| {
        (it * 3 / 2).min(Duration::from_secs(5))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_only_what_is_asked() {
        let query = serde_json::json!({"task": r"Exchange\New-*", "limit": 5});
        assert_eq!(encoded(&query).unwrap(), r"?limit=5&task=Exchange%5CNew-*");
        assert_eq!(encoded(&serde_json::json!({})).unwrap(), "");
    }

    #[test]
    fn a_token_is_one_word_and_not_shown() {
        let value = bearer(&SecretString::from("abc")).unwrap();
        assert!(value.is_sensitive());
        for wrong in ["", "a b", "a\nb", "ä"] {
            assert!(bearer(&SecretString::from(wrong)).is_err(), "{wrong:?}");
        }
    }
}
