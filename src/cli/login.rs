//! `portcullis login` and `logout`: signing in at a gateway's management API, and keeping what it takes.
//!
//! Three ways: a token that somebody has, the identity provider's device flow, or a password, for which the gateway gives a
//! token that ends by itself. A password is never kept, and never an argument, which others could see.

mod device;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use clap::Args;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::api::types::{Login, LoginIdentity, LoginKind, MadeToken, Me, NewToken, TokenScope};

use super::client::{
    Account, Client, Connection, CredentialsError, CredentialsFile, Refresh, bearer, server_url,
};
use super::output::printable;
use super::{Format, Hint, Outcome, Output, password, times};

pub(super) use device::refreshed;

/// A longer file holds no token, in bytes.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// How `login` signs in.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("way").multiple(false))]
pub struct LoginArguments {
    /// Which gateway.
    #[command(flatten)]
    pub connection: Connection,
    /// Take the token in this file; `-` for standard input.
    #[arg(long, group = "way", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Confirm a code in a browser, on this computer or another (OAuth 2.0 device flow).
    #[arg(long, group = "way")]
    pub device: bool,
    /// Ask for a name and a password.
    #[arg(long, group = "way")]
    pub password: bool,
    /// With --password: the name; without it, it is asked for.
    #[arg(long, value_name = "NAME", requires = "password")]
    pub user: Option<String>,
    /// With --password: how long to be signed in.
    #[arg(long = "for", value_name = "TIME", default_value = "12h", value_parser = times::span)]
    pub lasts: Duration,
    /// With --device: the gateway's identity to sign in by, if it has several.
    #[arg(long, value_name = "NAME", requires = "device")]
    pub identity: Option<String>,
}

/// Where `logout` signs out.
#[derive(Clone, Debug, Args)]
pub struct LogoutArguments {
    /// Which gateway.
    #[command(flatten)]
    pub connection: Connection,
    /// At all gateways.
    #[arg(long, conflicts_with = "server")]
    pub all: bool,
}

/// What one signs in with.
struct Fresh {
    token: SecretString,
    expires: Option<DateTime<Utc>>,
    token_id: Option<String>,
    refresh: Option<Refresh>,
}

/// How to sign in.
enum Way<'a> {
    Device(&'a LoginIdentity),
    File(&'a std::path::Path),
    Password,
}

/// Signs in.
pub(super) async fn run(
    arguments: &LoginArguments,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    // Where it cannot be kept, nobody needs to type a password.
    let file = CredentialsFile::of_process().map_err(CredentialsError::explained)?;
    file.read().map_err(CredentialsError::explained)?;
    let client = Client::stranger(&arguments.connection)?;
    let offered;
    let way = if let Some(path) = &arguments.token_file {
        Way::File(path)
    } else {
        offered = client.get::<Login>("/login", &json!({})).await?.value;
        chosen(arguments, &offered, client.server())?
    };
    let fresh = match way {
        Way::Device(identity) => device::sign_in(identity, output).await?,
        Way::File(path) => Fresh {
            token: token_of(path)?,
            expires: None,
            token_id: None,
            refresh: None,
        },
        Way::Password => by_password(arguments, output).await?,
    };
    let client = Client::stranger(&arguments.connection)?.with(bearer(&fresh.token)?);
    let me = client.get::<Me>("/me", &json!({})).await?.value;
    let expires = fresh
        .expires
        .or_else(|| me.token.as_ref().map(|it| it.expires));
    let ca = match &arguments.connection.ca {
        // It is looked for from any directory later.
        Some(path) => Some(std::path::absolute(path).context("where is `--ca`?")?),
        None => None,
    };
    let server = client.server().to_owned();
    let account = Account {
        user: me.name.clone(),
        ca,
        token: fresh.token,
        expires,
        token_id: fresh.token_id,
        refresh: fresh.refresh,
    };
    file.change(|it| {
        let ca = it.servers.remove(&server).and_then(|before| before.ca);
        let ca = account.ca.clone().or(ca);
        it.servers.insert(server.clone(), Account { ca, ..account });
        it.default = Some(server.clone());
    })
    .map_err(CredentialsError::explained)?;
    match output.format() {
        Format::Json => output.json(&json!({
            "server": client.server(),
            "name": me.name,
            "identity": me.identity,
            "groups": me.groups,
            "operator": me.operator,
            "auditor": me.auditor,
            "expires": expires,
        }))?,
        Format::Table => {
            output.good(format_args!(
                "signed in at {} as {}",
                client.server(),
                printable(&me.name)
            ))?;
            output.note(format_args!("kept in {}", file.path().display()))?;
            if let Some(expires) = expires {
                output.line(format_args!("until {}", times::moment(expires)))?;
            }
            output.advice(if me.groups.is_empty() {
                "next: `portcullis request create --task …`, or `portcullis request ls --mine`"
            } else {
                "next: `portcullis request ls --to-approve`, or `portcullis request create --task …`"
            })?;
        }
    }
    Ok(Outcome::Done)
}

fn chosen<'a>(
    arguments: &LoginArguments,
    offered: &'a Login,
    server: &str,
) -> anyhow::Result<Way<'a>> {
    let devices: Vec<&LoginIdentity> = offered
        .identities
        .iter()
        .filter(|it| it.device.is_some())
        .filter(|it| {
            arguments
                .identity
                .as_ref()
                .is_none_or(|name| *name == it.name)
        })
        .collect();
    let has_passwords = offered
        .identities
        .iter()
        .any(|it| it.kind == LoginKind::Basic);
    let by_token = "take a token from your identity provider or `portcullis token create`, and sign in with `portcullis login --token-file FILE`";
    if arguments.password && !has_passwords {
        let error = anyhow::Error::new(Hint(by_token.to_owned()));
        return Err(error.context(format!("`{server}` takes no passwords")));
    }
    if arguments.password || (!arguments.device && devices.is_empty() && has_passwords) {
        return Ok(Way::Password);
    }
    match devices.as_slice() {
        [only] => Ok(Way::Device(only)),
        [] => {
            let error = anyhow::Error::new(Hint(by_token.to_owned()));
            Err(error.context(format!("`{server}` offers no device flow")))
        }
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|it| format!("`{}`", printable(&it.name)))
                .collect();
            let hint = format!("choose one by `--device --identity`: {}", names.join(", "));
            let error = anyhow::Error::new(Hint(hint));
            Err(error.context(format!("`{server}` has several identity providers")))
        }
    }
}

/// The token in a file, or on standard input: its first line.
fn token_of(path: &std::path::Path) -> anyhow::Result<SecretString> {
    let read = || format!("cannot read a token from `{}`", path.display());
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(read)?)
    };
    let mut text = String::new();
    source
        .take(LONGEST_TOKEN)
        .read_to_string(&mut text)
        .with_context(read)?;
    let line = text.lines().next().unwrap_or_default().trim();
    // `Bearer …` is how tools show it.
    Ok(SecretString::from(
        line.strip_prefix("Bearer ").unwrap_or(line),
    ))
}

/// Signs in by a password, and has the gateway make a token in its place.
async fn by_password(arguments: &LoginArguments, output: &mut Output) -> anyhow::Result<Fresh> {
    let basic = ask_basic(arguments.user.as_deref(), output).await?;
    let client = Client::stranger(&arguments.connection)?.with(basic);
    let token = NewToken {
        name: format!("portcullis login on {}", host()),
        scopes: vec![
            TokenScope::Approve,
            TokenScope::Audit,
            TokenScope::Operate,
            TokenScope::Read,
            TokenScope::Request,
        ],
        expires_in_seconds: Some(times::seconds(arguments.lasts)),
    };
    let made = client.post::<MadeToken>("/tokens", &token).await?.value;
    let secret = made.secret.context("the gateway gave no token")?;
    Ok(Fresh {
        token: SecretString::from(secret),
        expires: Some(made.token.expires),
        token_id: Some(made.token.id.to_string()),
        refresh: None,
    })
}

/// Asks for a name, if it is not given, and for a password; what to show as `Authorization`.
pub(super) async fn ask_basic(
    user: Option<&str>,
    output: &mut Output,
) -> anyhow::Result<HeaderValue> {
    let user = if let Some(user) = user {
        user.to_owned()
    } else {
        if io::stdin().is_terminal() {
            output.note("Name:")?;
        }
        password::line()?.expose_secret().trim().to_owned()
    };
    if user.is_empty() || user.contains([':', '\0']) {
        let hint = Hint("name yourself by `--user NAME`".to_owned());
        return Err(anyhow::Error::new(hint).context("this is not a user's name"));
    }
    let password = password::once(output).await?;
    let pair = format!("{user}:{}", password.expose_secret());
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
        .context("this cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

/// This computer's name, so that people know their tokens apart.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .filter(|it| it.is_ascii_alphanumeric() || "-._".contains(*it))
        .take(60)
        .collect();
    if name.is_empty() {
        "a computer without a name".to_owned()
    } else {
        name
    }
}

/// Signs out: forgets what is kept, and has the gateway revoke what it gave for a password.
pub(super) async fn out(
    arguments: &LogoutArguments,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let file = CredentialsFile::of_process().map_err(CredentialsError::explained)?;
    let kept = file.read().map_err(CredentialsError::explained)?;
    let named = match &arguments.connection.server {
        Some(server) if !server.is_empty() => Some(server_url(server)?),
        _ => kept.default.clone(),
    };
    let servers: Vec<String> = kept
        .servers
        .keys()
        .filter(|it| arguments.all || named.as_ref() == Some(*it))
        .cloned()
        .collect();
    if servers.is_empty() {
        output.note("you are not signed in there")?;
    }
    for server in &servers {
        let account = kept.servers.get(server);
        if let Some(account) = account
            && let Some(id) = &account.token_id
        {
            let connection = Connection {
                server: Some(server.clone()),
                ca: account.ca.clone(),
            };
            let revoked = async {
                let client = Client::stranger(&connection)?.with(bearer(&account.token)?);
                client.delete(&format!("/tokens/{id}")).await
            };
            if let Err(error) = revoked.await {
                output.caution(format_args!(
                    "the token that you were given is still good, until it ends by itself: {error}"
                ))?;
                output.advice(format_args!(
                    "revoke it with `portcullis token revoke {id} --password --server {server}`"
                ))?;
            }
        }
    }
    file.change(|it| {
        it.servers.retain(|server, _| !servers.contains(server));
        let is_gone = it
            .default
            .as_ref()
            .is_some_and(|default| !it.servers.contains_key(default));
        if is_gone {
            it.default = None;
        }
    })
    .map_err(CredentialsError::explained)?;
    match output.format() {
        Format::Json => output.json(&json!({ "signed_out": servers }))?,
        Format::Table => {
            for server in &servers {
                output.good(format_args!("signed out at {server}"))?;
            }
        }
    }
    Ok(Outcome::Done)
}
