//! The client of the management API: which gateway, signed in as whom, and what to tell people when it does not work.
//!
//! Writes carry an `Idempotency-Key`, so one whose connection broke is sent again without being done twice. What a server
//! answers is data for people to read: it is printed through [`super::Output`] and never acted on, and no redirect is followed.

mod credentials;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use clap::Args;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use url::Url;
use uuid::Uuid;

use crate::api::BASE;
use crate::api::types::{FieldProblem, Problem};
use crate::telemetry::Chain;

use super::Hint;
use super::output::printable;

pub(super) use credentials::{Account, CredentialsError, CredentialsFile, Refresh};
use transport::ExchangeError;
pub(super) use transport::{Answer, Transport, is_private};

/// The environment variable with a token, for programs.
pub(super) const TOKEN: &str = "PORTCULLIS_TOKEN";

/// How often a write whose connection broke is sent.
const TRIES: usize = 3;

/// How often a gateway that asks to be asked more slowly is asked again, and after how long.
const MOST_PAUSES: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// A token that ends sooner than this is exchanged for a fresh one first.
const FRESH_FOR: TimeDelta = TimeDelta::seconds(60);

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

/// Why a gateway did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What answered is no gateway, or another version.
    #[error("what answers at `{url}` is not the management API of a gateway ({what})")]
    NotGateway { url: String, what: String },
    /// It does not take the credential that was just given.
    #[error("`{server}` does not take this sign-in{}", reason(why.as_ref()))]
    NotTaken { server: String, why: Option<String> },
    /// It says no.
    #[error("{}", printable(&.0.detail))]
    Refused(Box<Problem>),
    /// It does not know who asks.
    #[error("you are not signed in at `{server}`{}", reason(why.as_ref()))]
    SignedOut { server: String, why: Option<String> },
    /// There was no answer.
    #[error("`{url}` cannot be asked")]
    Unreachable {
        url: String,
        done: Done,
        source: ExchangeError,
    },
}

/// Whether what was asked for may have been done without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Maybe,
    No,
}

impl Failure {
    /// With what to do about it.
    fn explained(self) -> anyhow::Error {
        let hint = match &self {
            Self::NotGateway { .. } => Some(
                "name the gateway's control address (`[control] listen`, port 8444 by default), not the one that tools connect to".to_owned(),
            ),
            Self::NotTaken { .. } => Some(
                "see whether name, password or token are right, and whether this way to sign in is one of the gateway's (`[control] identity`)".to_owned(),
            ),
            Self::Refused(problem) => match problem.status {
                403 => Some("see who may with `portcullis who-can TASK --online`".to_owned()),
                404 => Some(
                    "see what there is with `portcullis request ls`, `portcullis grant ls` and `portcullis who-can TASK --online`".to_owned(),
                ),
                409 => Some("see how it stands with `portcullis request show ID` or `portcullis grant show ID`".to_owned()),
                _ => None,
            },
            Self::SignedOut { server, .. } => {
                Some(format!("sign in with `portcullis login --server {server}`"))
            }
            Self::Unreachable { done: Done::Maybe, .. } => Some(
                "it may have been done all the same: look with `portcullis request ls --mine` or `portcullis grant ls --mine` before you repeat it".to_owned(),
            ),
            Self::Unreachable { .. } => Some(
                "see whether the address is right, the gateway runs, and its certificate is trusted (`--ca FILE` for a private authority); nothing else was tried, and no proxy is used".to_owned(),
            ),
        };
        let mut lines = vec![Chain(&self).to_string()];
        if let Self::Refused(problem) = &self {
            lines.extend(problem.errors.iter().map(field_text));
        }
        let root = match hint {
            Some(hint) => anyhow::Error::new(Hint(hint)),
            None => anyhow::Error::msg(lines.pop().unwrap_or_default()),
        };
        lines.into_iter().rev().fold(root, anyhow::Error::context)
    }
}

fn reason(why: Option<&String>) -> String {
    why.map(|it| format!(": {}", printable(it)))
        .unwrap_or_default()
}

/// What is wrong with one member, by the option that people gave it with.
fn field_text(field: &FieldProblem) -> String {
    let member = field.pointer.trim_start_matches(['/', '?']);
    let member = member.split('/').next().unwrap_or_default();
    let name = match member {
        "duration_seconds" => "--duration",
        "effect" => "--effect",
        "expires_in_seconds" => "--expires",
        "external_identity" => "--ticket",
        "comment" => "--comment",
        "parameters" => "--parameter",
        "policy" => "--policy",
        "principal" => "--principal",
        "reason" => "--reason",
        "role" => "--role",
        "role_group" => "--role-group",
        "since" => "--since",
        "starts" => "--start",
        "task" => "--task",
        "uses" => "--uses",
        _ => &field.pointer,
    };
    format!("`{}`: {}", printable(name), printable(&field.detail))
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
            Some(problem) => Err(Failure::Refused(Box::new(problem))),
            None => Err(strange(format!("it says {}", answer.status))),
        }
    }
}

/// A gateway by its URL, and what is kept of it.
struct Chosen {
    server: String,
    ca: Option<PathBuf>,
    account: Option<Account>,
    file: Option<CredentialsFile>,
}

impl Chosen {
    fn new(connection: &Connection) -> anyhow::Result<Self> {
        let file = CredentialsFile::of_process();
        let has_token = std::env::var_os(TOKEN).is_some_and(|it| !it.is_empty());
        let mut kept = match &file {
            // A program that is told all by its environment needs no file, nor a home.
            _ if has_token && connection.server.is_some() && connection.ca.is_some() => {
                credentials::Credentials::default()
            }
            Ok(file) => file.read().map_err(CredentialsError::explained)?,
            Err(_) => credentials::Credentials::default(),
        };
        let named = connection.server.as_deref().filter(|it| !it.is_empty());
        let server = match named {
            Some(server) => server_url(server)?,
            None => kept.default.take().map(|it| server_url(&it)).transpose()?.ok_or_else(|| {
                let hint = Hint(
                    "sign in with `portcullis login --server https://…`, or name it by PORTCULLIS_SERVER"
                        .to_owned(),
                );
                anyhow::Error::new(hint).context("no gateway is named, and you are signed in at none")
            })?,
        };
        let account = kept.servers.remove(&server);
        let kept_ca = account.as_ref().and_then(|it| it.ca.clone());
        Ok(Self {
            ca: connection.ca.clone().or(kept_ca),
            server,
            account,
            file: file.ok(),
        })
    }

    /// What to show the gateway; a fresh token where the kept one has ended.
    async fn token(&self) -> anyhow::Result<SecretString> {
        let signed_out = |why: Option<String>| {
            let server = self.server.clone();
            Failure::SignedOut { server, why }.explained()
        };
        let Some(account) = &self.account else {
            return Err(signed_out(None));
        };
        let now = Utc::now();
        let ends = match account.expires {
            Some(ends) if ends <= now + FRESH_FOR => ends,
            _ => return Ok(account.token.clone()),
        };
        let (Some(refresh), Some(file)) = (&account.refresh, &self.file) else {
            if ends > now {
                return Ok(account.token.clone());
            }
            let why = format!("your sign-in ended at {}", super::times::moment(ends));
            return Err(signed_out(Some(why)));
        };
        let fresh = match super::login::refreshed(refresh, now).await {
            Ok(fresh) => fresh,
            Err(error) => {
                // Another command may have been faster, and providers take a refresh token once.
                let kept = file.read().ok();
                let account = kept.and_then(|mut it| it.servers.remove(&self.server));
                if let Some(account) = account
                    && account.expires.is_some_and(|it| it > now)
                {
                    return Ok(account.token);
                }
                return Err(signed_out(Some(format!(
                    "your sign-in ended at {}, and was not renewed: {error:#}",
                    super::times::moment(ends)
                ))));
            }
        };
        let token = fresh.token.clone();
        let keep = |it: &mut credentials::Credentials| {
            if let Some(account) = it.servers.get_mut(&self.server) {
                account.token = fresh.token;
                account.expires = fresh.expires;
                account.refresh = fresh.refresh;
            }
        };
        file.change(keep).map_err(CredentialsError::explained)?;
        Ok(token)
    }
}

/// A gateway's URL in the one form by which it is known.
pub(super) fn server_url(text: &str) -> anyhow::Result<String> {
    let refused = |why: &str| {
        let hint = Hint("such as `https://pam.fabrikam.example:8444`".to_owned());
        anyhow::Error::new(hint).context(format!("`{}` {why}", printable(text)))
    };
    let url: Url = text
        .parse()
        .ok()
        .filter(|it: &Url| it.host().is_some())
        .ok_or_else(|| refused("is not the URL of a gateway"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused_secret());
    }
    if !is_private(&url) {
        return Err(refused(
            "would show your credentials to everybody on the way: it takes `https://`, or `http://` on this host",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("has a query or a fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn refused_secret() -> anyhow::Error {
    let hint = Hint("take them out, and sign in with `portcullis login --password`".to_owned());
    anyhow::Error::new(hint).context("the gateway's URL has a user's name or password in it")
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
    fn a_gateway_is_known_by_one_form_of_its_url() {
        for (text, known) in [
            ("https://PAM.example:443/", "https://pam.example"),
            (
                "https://pam.example:8444/base/",
                "https://pam.example:8444/base",
            ),
            ("http://127.0.0.1:8444", "http://127.0.0.1:8444"),
        ] {
            assert_eq!(server_url(text).unwrap(), known);
        }
    }

    #[test]
    fn a_url_that_would_give_a_secret_away_is_refused() {
        let said = |text: &str| format!("{:#}", server_url(text).unwrap_err());
        insta::assert_snapshot!(
            [
                "pam.example",
                "http://pam.example",
                "https://ana:hunter2@pam.example",
                "https://pam.example/?a=b",
                "file:///etc",
            ].map(said).join("\n"),
            @"
            `pam.example` is not the URL of a gateway: such as `https://pam.fabrikam.example:8444`
            `http://pam.example` would show your credentials to everybody on the way: it takes `https://`, or `http://` on this host: such as `https://pam.fabrikam.example:8444`
            the gateway's URL has a user's name or password in it: take them out, and sign in with `portcullis login --password`
            `https://pam.example/?a=b` has a query or a fragment: such as `https://pam.fabrikam.example:8444`
            `file:///etc` is not the URL of a gateway: such as `https://pam.fabrikam.example:8444`
            "
        );
    }

    #[test]
    fn all_that_is_wrong_is_told_by_the_names_that_people_typed() {
        let problem = Problem {
            kind: "urn:portcullis:problem:invalid".to_owned(),
            title: "Invalid".to_owned(),
            status: 422,
            detail: "2 members are wrong".to_owned(),
            errors: vec![
                FieldProblem {
                    pointer: "/duration_seconds".to_owned(),
                    detail: "at most 8h".to_owned(),
                },
                FieldProblem {
                    pointer: "/parameters/0/pattern".to_owned(),
                    detail: "no regular\u{1b}[2J expression".to_owned(),
                },
                FieldProblem {
                    pointer: "/else".to_owned(),
                    detail: "odd".to_owned(),
                },
            ],
        };
        let error = Failure::Refused(Box::new(problem)).explained();
        let lines: Vec<String> = error.chain().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        2 members are wrong
        `--duration`: at most 8h
        `--parameter`: no regular�[2J expression
        `/else`: odd
        ");
    }

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
