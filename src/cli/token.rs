//! `portcullis token …`: tokens of the management API, for programs. A token cannot make tokens, and revokes none but itself, so
//! whoever is signed in by one gives `--password`.

use std::time::Duration;

use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use crate::api::types::{MadeToken, NewToken, Page, Token, TokenQuery, TokenScope};

use super::client::{Client, Connection};
use super::{Format, Hint, Outcome, Output, listing, login, times};

/// What `token` may be told.
#[derive(Clone, Debug, Args)]
pub struct TokenArguments {
    /// Which gateway.
    #[command(flatten)]
    pub connection: Connection,
    /// Ask for a name and a password, and use them instead of how you are signed in.
    #[arg(long, global = true)]
    pub password: bool,
    /// With --password: the name; without it, it is asked for.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// What is to be done.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What can be done about tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token of your own, and print it: it is shown this once.
    Create(Create),
    /// List your tokens, newest first.
    Ls {
        /// Everybody's: for operators.
        #[arg(long)]
        all: bool,
    },
    /// Revoke an own token; an operator, anybody's.
    Revoke {
        /// Its id, or how it begins.
        id: String,
    },
}

/// What a token is made for.
#[derive(Clone, Debug, Args)]
pub struct Create {
    /// What it is for, such as `nightly report`.
    pub name: String,
    /// What it may be used for; several by commas.
    #[arg(short, long, value_enum, value_delimiter = ',', default_value = "read")]
    pub scope: Vec<Scope>,
    /// How long it is good.
    #[arg(short, long, value_name = "TIME", default_value = "30d", value_parser = times::span)]
    pub expires: Duration,
}

/// What a token may be used for, each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// To decide requests, revoke and review grants.
    Approve,
    /// To read the audit log.
    Audit,
    /// To change policies and access control.
    Operate,
    /// To read all else.
    Read,
    /// To file and withdraw requests; to end and extend grants.
    Request,
}

impl From<Scope> for TokenScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Approve => Self::Approve,
            Scope::Audit => Self::Audit,
            Scope::Operate => Self::Operate,
            Scope::Read => Self::Read,
            Scope::Request => Self::Request,
        }
    }
}

/// Does what the command line says.
pub(super) async fn run(arguments: TokenArguments, output: &mut Output) -> anyhow::Result<Outcome> {
    let client = if arguments.password {
        let basic = login::ask_basic(arguments.user.as_deref(), output).await?;
        Client::stranger(&arguments.connection)?.with(basic)
    } else {
        Client::signed_in(&arguments.connection).await?
    };
    let is_in_person = arguments.password;
    let advised = |error: anyhow::Error| {
        if is_in_person {
            return error;
        }
        let hint = "a token makes no token and revokes none but itself: if you are signed in by one, add `--password`";
        anyhow::Error::new(Hint(hint.to_owned())).context(format!("{error:#}"))
    };
    match arguments.command {
        TokenCommand::Create(create) => run_create(&client, create, output).await.map_err(advised),
        TokenCommand::Ls { all } => {
            run_ls(
                &client,
                TokenQuery {
                    all: all.then_some(true),
                },
                output,
            )
            .await
        }
        TokenCommand::Revoke { id } => {
            let id = find(&client, &id).await?;
            let gone = client.delete(&format!("/tokens/{id}")).await;
            gone.map_err(advised)?;
            match output.format() {
                Format::Json => output.json(&json!({ "revoked": id }))?,
                Format::Table => output.good(format_args!("the token {id} is revoked"))?,
            }
            Ok(Outcome::Done)
        }
    }
}

async fn run_create(
    client: &Client,
    create: Create,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let mut scopes: Vec<TokenScope> = create.scope.into_iter().map(Into::into).collect();
    scopes.sort();
    scopes.dedup();
    let asked = NewToken {
        name: create.name,
        scopes,
        expires_in_seconds: Some(times::seconds(create.expires)),
    };
    let told = client.post::<MadeToken>("/tokens", &asked).await?;
    if output.format() == Format::Json {
        output.json(&told.json)?;
        return Ok(Outcome::Done);
    }
    let made = told.value;
    let token = &made.token;
    match &made.secret {
        Some(secret) => output.line(secret)?,
        None => output.caution(
            "the token was made, but its secret was lost on the way; revoke it and make another",
        )?,
    }
    output.note(format_args!(
        "This is shown once. It may {}, until {}.",
        scopes_text(token),
        times::moment(token.expires)
    ))?;
    output.advice(format_args!(
        "a program takes it as PORTCULLIS_TOKEN, with PORTCULLIS_SERVER={}; revoke it with `portcullis token revoke {}`",
        client.server(),
        token.id
    ))?;
    Ok(Outcome::Done)
}

async fn run_ls(
    client: &Client,
    query: TokenQuery,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let told = client.get::<Page<Token>>("/tokens", &query).await?;
    if output.format() == Format::Json {
        output.json(&told.json)?;
        return Ok(Outcome::Done);
    }
    let tokens = told.value.items;
    if tokens.is_empty() {
        output.note("there is no token")?;
        output.advice("make one with `portcullis token create NAME --scope read`")?;
        return Ok(Outcome::Done);
    }
    let now = Utc::now();
    let ids: Vec<Uuid> = tokens.iter().map(|it| it.id).collect();
    let length = listing::id_length(&ids);
    let head = ["ID", "NAME", "OWNER", "MAY", "MADE", "ENDS"];
    let rows = tokens.iter().map(|it| {
        vec![
            listing::short(it.id, length),
            it.name.clone(),
            it.owner.clone(),
            scopes_text(it),
            times::relative(it.created, now),
            times::relative(it.expires, now),
        ]
    });
    output.table(&head, rows)?;
    Ok(Outcome::Done)
}

fn scopes_text(token: &Token) -> String {
    let words = token.scopes.iter().map(|it| match it {
        TokenScope::Approve => "approve",
        TokenScope::Audit => "audit",
        TokenScope::Operate => "operate",
        TokenScope::Read => "read",
        TokenScope::Request => "request",
    });
    words.collect::<Vec<_>>().join(", ")
}

async fn find(client: &Client, text: &str) -> anyhow::Result<Uuid> {
    listing::resolve(text, "token", "token", async |_, _| {
        let query = TokenQuery::default();
        let page = client.get::<Page<Token>>("/tokens", &query).await?;
        let ids = page.value.items.iter().map(|it| vec![it.id]);
        Ok((ids.collect(), None))
    })
    .await
}
