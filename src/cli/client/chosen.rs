//! Which gateway is meant, by its URL, and what is kept of it: whom it knows, and how long still.

use std::path::PathBuf;

use chrono::{TimeDelta, Utc};
use secrecy::SecretString;
use url::Url;

use crate::api::BASE;
use crate::cli::output::printable;
use crate::cli::{Hint, login, times};

use super::credentials::{Account, Credentials, CredentialsError, CredentialsFile};
use super::failure::Failure;
use super::transport::is_private;
use super::{Connection, TOKEN};

/// A token that ends sooner than this is exchanged for a fresh one first.
const FRESH_FOR: TimeDelta = TimeDelta::seconds(60);

/// A gateway by its URL, and what is kept of it.
pub(super) struct Chosen {
    pub(super) server: String,
    pub(super) ca: Option<PathBuf>,
    account: Option<Account>,
    file: Option<CredentialsFile>,
}

impl Chosen {
    pub(super) fn new(connection: &Connection) -> anyhow::Result<Self> {
        let file = CredentialsFile::of_process();
        let has_token = std::env::var_os(TOKEN).is_some_and(|it| !it.is_empty());
        let mut kept = match &file {
            // A program that is told all by its environment needs no file, nor a home.
            _ if has_token && connection.server.is_some() && connection.ca.is_some() => {
                Credentials::default()
            }
            Ok(file) => file.read().map_err(CredentialsError::explained)?,
            Err(_) => Credentials::default(),
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
    pub(super) async fn token(&self) -> anyhow::Result<SecretString> {
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
            let why = format!("your sign-in ended at {}", times::moment(ends));
            return Err(signed_out(Some(why)));
        };
        let fresh = match login::refreshed(refresh, now).await {
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
                    times::moment(ends)
                ))));
            }
        };
        let token = fresh.token.clone();
        let keep = |it: &mut Credentials| {
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
pub(in crate::cli) fn server_url(text: &str) -> anyhow::Result<String> {
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
    let known = url.as_str().trim_end_matches('/');
    if known.ends_with(BASE) {
        return Err(refused("is the address of the API: leave `/api/v1` out"));
    }
    Ok(known.to_owned())
}

fn refused_secret() -> anyhow::Error {
    let hint = Hint("take them out, and sign in with `portcullis login --password`".to_owned());
    anyhow::Error::new(hint).context("the gateway's URL has a user's name or password in it")
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
}
