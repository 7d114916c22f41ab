//! `portcullis notify retry …`: has messages sent again that were given up. A change, so it goes through the gateway, which asks for
//! an operator's right and puts it on record.

use clap::Args;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::api::types::{
    Notification, NotificationQuery, NotificationState, Page, Remark, Retried,
};
use crate::cli::client::{Client, Connection};
use crate::cli::output::printable;
use crate::cli::{Format, Outcome, Output, listing};

/// What `retry` may be told.
#[derive(Clone, Debug, Args)]
pub struct Retry {
    /// Which gateway.
    #[command(flatten)]
    pub connection: Connection,
    /// Ids of messages that were given up, or how they begin.
    #[arg(value_name = "ID", required_unless_present = "all_dead")]
    pub ids: Vec<String>,
    /// All that were given up.
    #[arg(long, conflicts_with = "ids")]
    pub all_dead: bool,
    /// What to say with it, for the record.
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// Does what the command line says.
pub(super) async fn run(retry: Retry, output: &mut Output) -> anyhow::Result<Outcome> {
    let client = Client::signed_in(&retry.connection).await?;
    let remark = Remark {
        comment: retry.comment,
    };
    if retry.all_dead {
        return all(&client, &remark, output).await;
    }
    // All are looked up first, so that a wrong one is told before any is sent.
    let mut ids: Vec<Uuid> = Vec::new();
    for text in &retry.ids {
        let id = find(&client, text).await?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let mut answers: Vec<Json> = Vec::new();
    for id in ids {
        let path = format!("/notifications/{id}/retry");
        let told = client.post::<Notification>(&path, &remark).await?;
        if output.format() == Format::Table {
            output.good(format_args!(
                "{} is sent again {}",
                printable(&told.value.event),
                printable(&whither(&told.value))
            ))?;
        }
        answers.push(told.json);
    }
    if output.format() == Format::Json {
        output.json(&json!({ "items": answers }))?;
    }
    advise(output)?;
    Ok(Outcome::Done)
}

async fn all(client: &Client, remark: &Remark, output: &mut Output) -> anyhow::Result<Outcome> {
    let told = client
        .post::<Retried>("/notifications/retry", remark)
        .await?;
    if output.format() == Format::Json {
        output.json(&told.json)?;
        return Ok(Outcome::Done);
    }
    match told.value.retried {
        0 => output.note("no message was given up that would still be of use")?,
        1 => output.good("1 message is sent again")?,
        count => output.good(format_args!("{count} messages are sent again"))?,
    }
    if told.value.retried > 0 {
        advise(output)?;
    }
    Ok(Outcome::Done)
}

/// `to amy@fabrikam.example by mail`, `by soc`.
fn whither(it: &Notification) -> String {
    if it.recipient.is_empty() {
        format!("by {}", it.channel)
    } else {
        format!("to {} by {}", it.recipient, it.channel)
    }
}

fn advise(output: &mut Output) -> anyhow::Result<()> {
    output.advice("see on the gateway's host whether it arrives: `portcullis notify ls`")?;
    Ok(())
}

async fn find(client: &Client, text: &str) -> anyhow::Result<Uuid> {
    listing::resolve(text, "notify", "message", async |cursor, limit| {
        let query = NotificationQuery {
            state: Some(NotificationState::Dead),
            cursor,
            limit: Some(limit),
        };
        let page = client
            .get::<Page<Notification>>("/notifications", &query)
            .await?;
        let ids = page.value.items.iter().map(|it| vec![it.id]);
        Ok((ids.collect(), page.value.next))
    })
    .await
}
