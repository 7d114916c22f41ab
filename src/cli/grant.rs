//! `portcullis grant …`: what is granted, giving it back, taking it away, reviewing and extending it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use crate::api::types::{
    Extension, Grant, GrantQuery, GrantStatus, ListingQuery, Page, Remark, Request, Whose,
};

use super::client::{Client, Connection, Told};
use super::request::{self, Patience, Said};
use super::{Format, Outcome, Output, listing, times};

/// What `grant` may be told.
#[derive(Clone, Debug, Args)]
pub struct GrantArguments {
    /// Which gateway.
    #[command(flatten)]
    pub connection: Connection,
    /// What is to be done.
    #[command(subcommand)]
    pub command: GrantCommand,
}

/// What can be done about grants.
#[derive(Clone, Debug, Subcommand)]
pub enum GrantCommand {
    /// Give an own grant back before its time.
    End(Said),
    /// Ask that an own grant lasts longer.
    Extend(Extend),
    /// List grants that you may know of, newest first.
    Ls(Ls),
    /// Mark a grant that was taken without approval as looked at.
    Review(Said),
    /// Take a grant away: for approvers of its policy and operators.
    Revoke(Said),
    /// Show a grant.
    Show {
        /// Its id or its request's, or how one of them begins.
        id: String,
    },
}

/// How much longer a grant shall last.
#[derive(Clone, Debug, Args)]
pub struct Extend {
    /// The grant's id or its request's, or how one of them begins.
    pub id: String,
    /// Why.
    #[arg(short, long, default_value = "", value_name = "TEXT")]
    pub reason: String,
    /// How much longer, such as `2h`; the policy's default without it.
    #[arg(short, long, value_name = "TIME", value_parser = times::span)]
    pub duration: Option<Duration>,
    /// Wait until it is decided.
    #[command(flatten)]
    pub patience: Patience,
}

/// What is listed.
#[derive(Clone, Debug, Args)]
pub struct Ls {
    /// Your own.
    #[arg(long, conflicts_with = "to_revoke")]
    pub mine: bool,
    /// Those in force that you may take away.
    #[arg(long)]
    pub to_revoke: bool,
    /// Those that were taken without approval and that nobody has reviewed yet.
    #[arg(long)]
    pub to_review: bool,
    /// Where they stand.
    #[arg(short, long, value_enum)]
    pub status: Option<Status>,
    /// Those that name this task.
    #[arg(short, long)]
    pub task: Option<String>,
    /// Those under the policy of this scope.
    #[arg(long, value_name = "SCOPE")]
    pub policy: Option<String>,
    /// Those of this person.
    #[arg(short, long, value_name = "NAME")]
    pub principal: Option<String>,
    /// Those made since, such as `2026-11-21` or `7d`.
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    pub since: Option<times::Named>,
    /// At most this many.
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub most: u32,
}

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// It covers commands now.
    Active,
    /// Its holder gave it back.
    Ended,
    /// Its time is over.
    Expired,
    /// It was taken away.
    Revoked,
    /// Its time is still to come.
    Scheduled,
    /// Its last use was taken.
    UsedUp,
}

impl From<Status> for GrantStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Ended => Self::Ended,
            Status::Expired => Self::Expired,
            Status::Revoked => Self::Revoked,
            Status::Scheduled => Self::Scheduled,
            Status::UsedUp => Self::UsedUp,
        }
    }
}

/// Does what the command line says.
pub(super) async fn run(arguments: GrantArguments, output: &mut Output) -> anyhow::Result<Outcome> {
    let client = Client::signed_in(&arguments.connection).await?;
    match arguments.command {
        GrantCommand::End(said) => act(&client, &said, "end", output).await,
        GrantCommand::Extend(extend) => {
            let id = find(&client, &extend.id).await?;
            let asked = Extension {
                reason: extend.reason,
                duration_seconds: extend.duration.map(times::seconds),
            };
            let path = format!("/grants/{id}/extend");
            let told = client.post::<Request>(&path, &asked).await?;
            request::filed(&client, told, &extend.patience, output).await
        }
        GrantCommand::Ls(ls) => run_ls(&client, ls, output).await,
        GrantCommand::Review(said) => act(&client, &said, "review", output).await,
        GrantCommand::Revoke(said) => act(&client, &said, "revoke", output).await,
        GrantCommand::Show { id } => {
            let id = find(&client, &id).await?;
            let path = format!("/grants/{id}");
            let told = client.get::<Grant>(&path, &json!({})).await?;
            whole(&told, output)?;
            next_steps(&told.value, output)?;
            Ok(Outcome::Done)
        }
    }
}

async fn act(
    client: &Client,
    said: &Said,
    verb: &str,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let id = find(client, &said.id).await?;
    let remark = Remark {
        comment: said.comment.clone(),
    };
    let path = format!("/grants/{id}/{verb}");
    let told = client.post::<Grant>(&path, &remark).await?;
    whole(&told, output)?;
    next_steps(&told.value, output)?;
    Ok(Outcome::Done)
}

async fn run_ls(client: &Client, ls: Ls, output: &mut Output) -> anyhow::Result<Outcome> {
    let now = Utc::now();
    let query = GrantQuery {
        listing: ListingQuery {
            status: ls.status.map(Into::into),
            whose: if ls.to_revoke {
                Some(Whose::ToDecide)
            } else {
                ls.mine.then_some(Whose::Mine)
            },
            policy: ls.policy,
            principal: ls.principal,
            task: ls.task,
            since: ls.since.map(|it| it.from(now)),
            ..ListingQuery::default()
        },
        awaiting_review: ls.to_review.then_some(true),
    };
    let most = usize::try_from(ls.most).unwrap_or(usize::MAX);
    let list = listing::collect(most, async |cursor, limit| {
        let mut query = query.clone();
        query.listing.cursor = cursor;
        query.listing.limit = Some(limit);
        client.get::<Page<Grant>>("/grants", &query).await
    })
    .await?;
    if output.format() == Format::Json {
        output.json(&list.json)?;
        return Ok(Outcome::Done);
    }
    if list.items.is_empty() {
        output.note("there is no such grant")?;
        return Ok(Outcome::Done);
    }
    table(&list.items, now, output)?;
    if list.has_more {
        output.note(format_args!(
            "there are more: `--most {}`",
            most.saturating_mul(4)
        ))?;
    }
    if ls.to_review {
        output.advice("look at one with `portcullis grant show ID`; then `portcullis grant review ID --comment …`")?;
    }
    Ok(Outcome::Done)
}

/// Grants, a row each.
pub(super) fn table(
    grants: &[Grant],
    now: DateTime<Utc>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let ids: Vec<Uuid> = grants.iter().map(|it| it.id).collect();
    let length = listing::id_length(&ids);
    let head = ["ID", "STATUS", "WHO", "WHAT", "USES", "ENDS", "APPROVED BY"];
    let rows = grants.iter().map(|it| {
        vec![
            listing::short(it.id, length),
            status(it).to_owned(),
            it.holder.clone(),
            it.task.clone().unwrap_or_else(|| it.policy.clone()),
            uses(it).unwrap_or_default(),
            times::relative(it.closed.unwrap_or(it.ends), now),
            if it.break_glass {
                "nobody: emergency".to_owned()
            } else {
                it.approved_by.join(", ")
            },
        ]
    });
    output.table(&head, rows)?;
    Ok(())
}

fn status(it: &Grant) -> &'static str {
    match it.status {
        GrantStatus::Active => "active",
        GrantStatus::Ended => "ended",
        GrantStatus::Expired => "expired",
        GrantStatus::Revoked => "revoked",
        GrantStatus::Scheduled => "scheduled",
        GrantStatus::UsedUp => "used up",
    }
}

fn uses(it: &Grant) -> Option<String> {
    it.uses.map(|uses| format!("{} of {uses}", it.used))
}

fn whole(told: &Told<Grant>, output: &mut Output) -> anyhow::Result<()> {
    if output.format() == Format::Json {
        output.json(&told.json)?;
        return Ok(());
    }
    print(&told.value, Utc::now(), output)
}

/// All of a grant.
pub(super) fn print(it: &Grant, now: DateTime<Utc>, output: &mut Output) -> anyhow::Result<()> {
    let mut lines: Vec<(&str, String)> = vec![
        ("grant", it.id.to_string()),
        ("status", status(it).to_owned()),
        ("who", it.holder.clone()),
        (
            "what",
            it.task
                .clone()
                .unwrap_or_else(|| format!("all that the policy `{}` governs", it.policy)),
        ),
    ];
    lines.extend(
        request::in_words(&it.parameters)
            .into_iter()
            .map(|it| ("only", it)),
    );
    lines.push(("starts", times::both(it.starts, now)));
    lines.push(match it.closed {
        None => ("ends", times::both(it.ends, now)),
        Some(_) => ("planned", format!("until {}", times::moment(it.ends))),
    });
    lines.extend(uses(it).map(|it| ("uses", format!("{it} taken"))));
    if it.break_glass {
        lines.push(("emergency", "taken without approval".to_owned()));
    } else {
        lines.push(("approved", format!("by {}", it.approved_by.join(", "))));
    }
    if it.awaits_review {
        lines.push(("review", "waits for an approver to look at it".to_owned()));
    }
    lines.extend(
        deed(
            it.closed,
            it.closed_by.as_ref(),
            it.closed_comment.as_ref(),
            now,
        )
        .map(|it| ("closed", it)),
    );
    lines.extend(
        deed(
            it.reviewed,
            it.reviewed_by.as_ref(),
            it.reviewed_comment.as_ref(),
            now,
        )
        .map(|it| ("reviewed", it)),
    );
    lines.push(("request", it.request.to_string()));
    request::show::print(&lines, output)
}

fn deed(
    at: Option<DateTime<Utc>>,
    by: Option<&String>,
    comment: Option<&String>,
    now: DateTime<Utc>,
) -> Option<String> {
    let by = by.map(|it| format!(" by {it}")).unwrap_or_default();
    let comment = comment.map(|it| format!(": {it}")).unwrap_or_default();
    Some(format!("{}{by}{comment}", times::both(at?, now)))
}

fn next_steps(it: &Grant, output: &mut Output) -> anyhow::Result<()> {
    let id = it.id;
    match it.status {
        _ if it.awaits_review => output.advice(format_args!(
            "an approver reviews it with `portcullis grant review {id} --comment …`"
        ))?,
        GrantStatus::Active | GrantStatus::Scheduled => output.advice(format_args!(
            "its holder gives it back with `portcullis grant end {id}` or asks for more time with `portcullis grant extend {id} --duration 2h`; an approver takes it away with `portcullis grant revoke {id}`"
        ))?,
        GrantStatus::Ended | GrantStatus::Expired | GrantStatus::Revoked | GrantStatus::UsedUp => {
            output.advice("ask anew with `portcullis request create`")?;
        }
    }
    Ok(())
}

/// The id of the grant that begins so, or whose request does.
async fn find(client: &Client, text: &str) -> anyhow::Result<Uuid> {
    listing::resolve(text, "grant", async |cursor, limit| {
        let query = ListingQuery::<GrantStatus> {
            cursor,
            limit: Some(limit),
            ..ListingQuery::default()
        };
        let page = client.get::<Page<Grant>>("/grants", &query).await?;
        let ids = page.value.items.iter().map(|it| vec![it.id, it.request]);
        Ok((ids.collect(), page.value.next))
    })
    .await
}
