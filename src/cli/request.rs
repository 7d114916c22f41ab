//! `portcullis request …`: asking for access, following what comes of it, and deciding what others ask for.

mod pins;
pub(super) mod show;
mod wait;

use std::time::Duration;

use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use crate::api::types::{
    Approval, NewRequest, Page, Remark, Request, RequestQuery, RequestStatus, Whose,
};

use super::client::{Client, Connection};
use super::{Outcome, Output, listing, times};

pub use pins::Pins;
pub(super) use pins::in_words;
pub use wait::Patience;

/// What `request` may be told.
#[derive(Clone, Debug, Args)]
pub struct RequestArguments {
    /// Which gateway.
    #[command(flatten)]
    pub connection: Connection,
    /// What is to be done.
    #[command(subcommand)]
    pub command: RequestCommand,
}

/// What can be done about requests.
#[derive(Clone, Debug, Subcommand)]
pub enum RequestCommand {
    /// Approve a request, as it is or for less.
    Approve(Approve),
    /// Ask for access to a task, a role or a role group.
    Create(Box<Create>),
    /// Deny a request.
    Deny(Said),
    /// List requests that you may know of, newest first.
    Ls(Ls),
    /// Show a request, its answers and its grant.
    Show(Shown),
    /// Take an own request back.
    Withdraw(Said),
}

/// Which request is shown.
#[derive(Clone, Debug, Args)]
pub struct Shown {
    /// Its id, or how it begins.
    pub id: String,
    /// Wait until it is decided.
    #[command(flatten)]
    pub patience: Patience,
}

/// What is said to a request or a grant.
#[derive(Clone, Debug, Args)]
pub struct Said {
    /// Its id, or how it begins.
    pub id: String,
    /// What to say with it.
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").args(["task", "policy", "role", "role_group", "effect"]).required(true).multiple(true))]
#[command(group = clap::ArgGroup::new("set").args(["policy", "role", "role_group", "effect"]).multiple(false))]
pub struct Create {
    /// A task, such as `Exchange\New-MoveRequest`; with one of the next four: only this task of it.
    #[arg(short, long)]
    pub task: Option<String>,
    /// All that the policy of this scope governs, such as `Exchange\Remove-*`.
    #[arg(long, value_name = "SCOPE")]
    pub policy: Option<String>,
    /// All tasks of this role, such as `Exchange\Mail Recipients`.
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// All tasks of this role group.
    #[arg(long, value_name = "NAME")]
    pub role_group: Option<String>,
    /// All commands of this effect, such as `exfiltrate`.
    #[arg(long, value_name = "EFFECT")]
    pub effect: Option<String>,
    /// Why.
    #[arg(short, long, default_value = "", value_name = "TEXT")]
    pub reason: String,
    /// For how long, such as `4h`; the policy's default without it.
    #[arg(short, long, value_name = "TIME", value_parser = times::span)]
    pub duration: Option<Duration>,
    /// From when, such as `2026-11-21 18:00` (UTC) or `+2h`; at the approval without it.
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    pub start: Option<times::Named>,
    /// For how many commands.
    #[arg(long, value_name = "N")]
    pub uses: Option<u32>,
    /// Only for such commands.
    #[command(flatten)]
    pub pins: Pins,
    /// Your own reference, such as a ticket's number.
    #[arg(long, value_name = "TEXT")]
    pub ticket: Option<String>,
    /// Take it without approval, in an emergency: everybody is told, and it is reviewed afterwards.
    #[arg(long)]
    pub break_glass: bool,
    /// Wait until it is decided.
    #[command(flatten)]
    pub patience: Patience,
}

/// What is approved of what was asked.
#[derive(Clone, Debug, Args)]
pub struct Approve {
    /// The request's id, or how it begins.
    pub id: String,
    /// What to say with it.
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// No longer than this, such as `1h`.
    #[arg(short, long, value_name = "TIME", value_parser = times::span)]
    pub duration: Option<Duration>,
    /// Not before this.
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    pub start: Option<times::Named>,
    /// No more commands than this.
    #[arg(long, value_name = "N")]
    pub uses: Option<u32>,
    /// Only this one of the tasks.
    #[arg(short, long)]
    pub task: Option<String>,
    /// Only for such commands, besides what was asked.
    #[command(flatten)]
    pub pins: Pins,
}

/// What is listed.
#[derive(Clone, Debug, Args)]
pub struct Ls {
    /// Your own.
    #[arg(long, conflicts_with = "to_approve")]
    pub mine: bool,
    /// Those that wait for your answer.
    #[arg(long)]
    pub to_approve: bool,
    /// Where they stand.
    #[arg(short, long, value_enum)]
    pub status: Option<Status>,
    /// Which of them, and how many.
    #[command(flatten)]
    pub narrowed: listing::Narrowed,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// A grant was made of it, or moved.
    Approved,
    /// An approver said no.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// It waits for its approvers.
    Pending,
    /// Its requester took it back.
    Withdrawn,
}

impl From<Status> for RequestStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Approved => Self::Approved,
            Status::Denied => Self::Denied,
            Status::Expired => Self::Expired,
            Status::Pending => Self::Pending,
            Status::Withdrawn => Self::Withdrawn,
        }
    }
}

/// Does what the command line says.
pub(super) async fn run(
    arguments: RequestArguments,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let client = Client::signed_in(&arguments.connection).await?;
    match arguments.command {
        RequestCommand::Approve(approve) => run_approve(&client, &approve, output).await,
        RequestCommand::Create(create) => run_create(&client, *create, output).await,
        RequestCommand::Deny(said) => answer(&client, &said, "deny", output).await,
        RequestCommand::Ls(ls) => run_ls(&client, ls, output).await,
        RequestCommand::Show(shown) => {
            let id = find(&client, &shown.id).await?;
            let path = format!("/requests/{id}");
            let mut told = client.get::<Request>(&path, &json!({})).await?;
            let waited = wait::until_decided(&client, &mut told, &shown.patience, output).await?;
            show::whole(&told, output)?;
            show::next_steps(&told.value, output)?;
            Ok(waited)
        }
        RequestCommand::Withdraw(said) => answer(&client, &said, "withdraw", output).await,
    }
}

async fn run_create(
    client: &Client,
    create: Create,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let asked = NewRequest {
        task: create.task,
        policy: create.policy,
        role: create.role,
        role_group: create.role_group,
        effect: create.effect,
        extends: None,
        reason: create.reason,
        duration_seconds: create.duration.map(times::seconds),
        starts: create.start.map(|it| it.from(Utc::now())),
        uses: create.uses,
        parameters: create.pins.parameters()?,
        break_glass: create.break_glass,
        context: [("tool".to_owned(), "portcullis request".to_owned())].into(),
        external_identity: create.ticket,
    };
    let told = client.post::<Request>("/requests", &asked).await?;
    filed(client, told, &create.patience, output).await
}

/// Tells of a request that was filed, and waits for what comes of it.
pub(super) async fn filed(
    client: &Client,
    mut told: super::client::Told<Request>,
    patience: &Patience,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    if !told.is_new {
        output.note(
            "You asked for the same before, and it is not decided yet: this is that request.",
        )?;
    }
    let outcome = wait::until_decided(client, &mut told, patience, output).await?;
    show::whole(&told, output)?;
    show::next_steps(&told.value, output)?;
    Ok(outcome)
}

async fn run_approve(
    client: &Client,
    approve: &Approve,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let id = find(client, &approve.id).await?;
    let approval = Approval {
        comment: approve.comment.clone(),
        duration_seconds: approve.duration.map(times::seconds),
        starts: approve.start.map(|it| it.from(Utc::now())),
        uses: approve.uses,
        parameters: approve.pins.parameters()?,
        task: approve.task.clone(),
    };
    let path = format!("/requests/{id}/approve");
    let told = client.post::<Request>(&path, &approval).await?;
    show::whole(&told, output)?;
    show::next_steps(&told.value, output)?;
    Ok(Outcome::Done)
}

async fn answer(
    client: &Client,
    said: &Said,
    verb: &str,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let id = find(client, &said.id).await?;
    let remark = Remark {
        comment: said.comment.clone(),
    };
    let path = format!("/requests/{id}/{verb}");
    let told = client.post::<Request>(&path, &remark).await?;
    show::whole(&told, output)?;
    show::next_steps(&told.value, output)?;
    Ok(Outcome::Done)
}

async fn run_ls(client: &Client, ls: Ls, output: &mut Output) -> anyhow::Result<Outcome> {
    let now = Utc::now();
    let most = ls.narrowed.most();
    let query = RequestQuery {
        status: ls.status.map(Into::into),
        whose: if ls.to_approve {
            Some(Whose::ToDecide)
        } else {
            ls.mine.then_some(Whose::Mine)
        },
        policy: ls.narrowed.policy,
        principal: ls.narrowed.principal,
        task: ls.narrowed.task,
        since: ls.narrowed.since.map(|it| it.from(now)),
        until: None,
        cursor: None,
        limit: None,
    };
    let list = listing::collect(most, async |cursor, limit| {
        let query = RequestQuery {
            cursor,
            limit: Some(limit),
            ..query.clone()
        };
        client.get::<Page<Request>>("/requests", &query).await
    })
    .await?;
    let is_shown = listing::print(&list, "request", output, |items, output| {
        let ids: Vec<Uuid> = items.iter().map(|it| it.id).collect();
        let length = listing::id_length(&ids);
        let rows = items.iter().map(|it| show::row(it, length, now));
        Ok(output.table(&show::HEAD, rows)?)
    })?;
    if is_shown && ls.to_approve {
        output.advice("look at one with `portcullis request show ID`; decide with `portcullis request approve ID` or `portcullis request deny ID`")?;
    }
    Ok(Outcome::Done)
}

/// The id of the request that begins so.
async fn find(client: &Client, text: &str) -> anyhow::Result<Uuid> {
    listing::resolve(text, "request", "request", async |cursor, limit| {
        let query = RequestQuery {
            cursor,
            limit: Some(limit),
            ..RequestQuery::default()
        };
        let page = client.get::<Page<Request>>("/requests", &query).await?;
        let ids = page.value.items.iter().map(|it| vec![it.id]).collect();
        Ok((ids, page.value.next))
    })
    .await
}
