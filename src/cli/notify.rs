//! `portcullis notify …`: what is owed to people and programs, and whether it would arrive.
//!
//! Listing looks into the store beside the gateway that uses it; a test sends a message by itself, without the store; what was given
//! up is sent again by the gateway.

mod retry;

pub use retry::Retry;

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::config::{self, Config, Environment};
use crate::notify::{Channels, Destination, Outgoing, Progress};
use crate::store::{Delivery, DeliveryState, MOST_LISTED, Store};
use crate::telemetry::Chain;

use super::{ConfigFile, Format, Hint, Outcome, Output, check, listing, runtime};

/// What can be done about messages.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum NotifyCommand {
    /// List messages that wait or were given up, with their last error and next try, newest first.
    Ls(Ls),
    /// Have messages sent again that were given up: for operators, through the gateway.
    Retry(Retry),
    /// Send a test message, and tell each step.
    Test(Test),
}

/// What `ls` may be told.
#[derive(Clone, Debug, Args)]
pub struct Ls {
    /// Which configuration is meant.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Those in this state only; without it, all that are not sent. What ended is kept for 30 days.
    #[arg(long, value_enum)]
    pub state: Option<ListedState>,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListedState {
    /// Given up.
    Dead,
    /// To be tried, for the first time or again.
    Pending,
    /// Taken by the far side.
    Sent,
}

/// What `test` may be told.
#[derive(Clone, Debug, Args)]
pub struct Test {
    /// Which configuration is meant.
    #[command(flatten)]
    pub config: ConfigFile,
    /// By this channel only: `mail`, or a webhook's name.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Whom to send the mail to; without it, the addresses of `escalate_to`.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Vec<String>,
}

/// Does what `command` says.
pub(super) fn run(
    command: NotifyCommand,
    environment: &Environment,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let read = |file: &ConfigFile, output: &mut Output| {
        let reading = config::read(&file.path, environment);
        if reading.config.is_none() {
            check::print_problems(&reading.problems, output)?;
        }
        anyhow::Ok(reading.config)
    };
    match command {
        NotifyCommand::Ls(ls) => match read(&ls.config, output)? {
            Some(config) => list(&config, ls.state, output),
            None => Ok(Outcome::Problems),
        },
        NotifyCommand::Retry(retry) => runtime()?.block_on(retry::run(retry, output)),
        NotifyCommand::Test(test) => match read(&test.config, output)? {
            Some(config) => try_out(&config, &test, output),
            None => Ok(Outcome::Problems),
        },
    }
}

fn list(
    config: &Config,
    state: Option<ListedState>,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let states = match state {
        None => [DeliveryState::Pending, DeliveryState::Dead].as_slice(),
        Some(ListedState::Dead) => &[DeliveryState::Dead],
        Some(ListedState::Pending) => &[DeliveryState::Pending],
        Some(ListedState::Sent) => &[DeliveryState::Sent],
    };
    let deliveries = runtime()?.block_on(async {
        let store = Store::look(&config.store)
            .await
            .context("the store cannot be opened")?;
        let found = store
            .deliveries(states, None, MOST_LISTED)
            .await
            .context(Hint(
                "a store that no gateway of this version has used yet lists nothing: start it once"
                    .to_owned(),
            ))
            .context("the store does not list its messages");
        store.close().await;
        found
    })?;
    if output.format() == Format::Json {
        output.json(&deliveries.iter().map(as_json).collect::<Vec<_>>())?;
        return Ok(Outcome::Done);
    }
    if deliveries.is_empty() {
        output.line(match state {
            None => "no message waits, and none was given up",
            Some(_) => "there is no such message",
        })?;
        return Ok(Outcome::Done);
    }
    let ids: Vec<Uuid> = deliveries.iter().map(|it| it.id).collect();
    let length = listing::id_length(&ids);
    let head = [
        "ID",
        "WHEN",
        "EVENT",
        "CHANNEL",
        "RECIPIENT",
        "STATE",
        "ATTEMPTS",
        "NEXT TRY",
        "LAST ERROR",
    ];
    output.table(&head, deliveries.iter().map(|it| row(it, length)))?;
    if deliveries.iter().any(|it| it.state == DeliveryState::Dead) {
        output.advice("once the cause is mended, have those that were given up sent again: `portcullis notify retry ID`, or `--all-dead`")?;
    }
    Ok(Outcome::Done)
}

fn row(it: &Delivery, length: usize) -> Vec<String> {
    vec![
        listing::short(it.id, length),
        moment(it.created),
        it.kind.clone(),
        it.channel.clone(),
        it.recipient.clone(),
        it.state.as_str().to_owned(),
        it.attempts.to_string(),
        match it.state {
            DeliveryState::Pending if it.is_under_way() => "under way".to_owned(),
            DeliveryState::Pending => moment(it.due),
            DeliveryState::Dead | DeliveryState::Sent => String::new(),
        },
        it.last_error.clone().unwrap_or_default(),
    ]
}

fn as_json(it: &Delivery) -> Json {
    json!({
        "id": it.id,
        "notice": it.notice,
        "event": it.kind,
        "request": it.request,
        "channel": it.channel,
        "recipient": it.recipient,
        "state": it.state.as_str(),
        "attempts": it.attempts,
        "created": precise(it.created),
        "retried": it.retried.map(precise),
        "next_try": it.next_try().map(precise),
        "ended": it.ended.map(precise),
        "last_error": it.last_error,
    })
}

fn moment(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn precise(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What is printed of a test, step by step.
struct Told<'a> {
    output: &'a mut Output,
    steps: Vec<String>,
    /// Where not even a step can be printed, the result tells that.
    broken: Option<std::io::Error>,
}

// The steps come from the thread that prints them; `Output` as such may hold what cannot change threads.
impl Told<'_> {
    fn say(&mut self, what: &str) {
        if self.output.format() == Format::Table
            && let Err(error) = self.output.line(format_args!("  {what}"))
        {
            self.broken = Some(error);
        }
        self.steps.push(what.to_owned());
    }
}

/// Keeps the steps until they are printed.
struct Steps(tokio::sync::mpsc::UnboundedSender<String>);

impl Progress for Steps {
    fn step(&mut self, what: &str) {
        // Whoever does not listen any more does not want to know.
        let _ = self.0.send(what.to_owned());
    }
}

fn try_out(config: &Config, test: &Test, output: &mut Output) -> anyhow::Result<Outcome> {
    let destinations = destinations(config, test)?;
    let (channels, broken) =
        Channels::open(&config.notify).context("messages cannot be delivered")?;
    for problem in &broken {
        output.note(Chain(problem))?;
    }
    let runtime = runtime()?;
    let by = std::env::var("USER").unwrap_or_else(|_| "An operator".to_owned());
    let mut results = Vec::new();
    let mut is_good = true;
    for to in destinations {
        let whom = if to.recipient.is_empty() {
            to.channel.to_string()
        } else {
            format!("{} to {}", to.channel, to.recipient)
        };
        let mut told = Told {
            output,
            steps: Vec::new(),
            broken: None,
        };
        if told.output.format() == Format::Table {
            told.output.line(&whom)?;
        }
        let now = Utc::now();
        let notice = Channels::test_notice(Uuid::now_v7(), &by, now);
        let outgoing = Outgoing {
            id: Uuid::now_v7(),
            notice: &notice,
        };
        let (send, mut steps) = tokio::sync::mpsc::unbounded_channel();
        let outcome = runtime.block_on(async {
            let mut progress = Steps(send);
            let mut work = std::pin::pin!(channels.deliver(outgoing, &to, now, &mut progress));
            loop {
                // Both are cancel-safe: the delivery is only polled here.
                tokio::select! {
                    Some(step) = steps.recv() => told.say(&step),
                    outcome = &mut work => break outcome,
                }
            }
        });
        while let Ok(step) = steps.try_recv() {
            told.say(&step);
        }
        let Told { steps, broken, .. } = told;
        if let Some(error) = broken {
            return Err(error).context("cannot print");
        }
        let error = outcome.as_ref().err().map(|error| Chain(error).to_string());
        if output.format() == Format::Table {
            match &error {
                None => output.good("  delivered")?,
                Some(error) => output.bad(format_args!("  not delivered: {error}"))?,
            }
        }
        is_good &= error.is_none();
        results.push(json!({
            "channel": &*to.channel,
            "recipient": to.recipient,
            "id": outgoing.id,
            "steps": steps,
            "error": error,
        }));
    }
    if output.format() == Format::Json {
        output.json(&results)?;
    }
    Ok(if is_good {
        Outcome::Done
    } else {
        Outcome::Problems
    })
}

/// Where test messages go.
fn destinations(config: &Config, test: &Test) -> anyhow::Result<Vec<Destination>> {
    let is_meant = |name: &str| test.channel.as_ref().is_none_or(|it| it == name);
    let mut destinations = Vec::new();
    if config.notify.smtp.is_some() && is_meant("mail") {
        let to = if test.to.is_empty() {
            &config.notify.escalate_to
        } else {
            &test.to
        };
        if to.is_empty() {
            let hint = Hint("say it by `--to ADDRESS`".to_owned());
            return Err(anyhow::Error::new(hint).context("nobody is named to send the mail to"));
        }
        destinations.extend(to.iter().map(|address| Destination {
            channel: "mail".into(),
            recipient: address.clone(),
        }));
    }
    let webhooks = config.notify.webhooks.iter();
    let meant = webhooks.filter(|it| is_meant(&it.name));
    destinations.extend(meant.map(|it| Destination {
        channel: it.name.as_str().into(),
        recipient: String::new(),
    }));
    if destinations.is_empty() {
        let (what, hint) = match &test.channel {
            Some(name) => (
                format!("the configuration has no channel `{name}`"),
                "`mail` stands for `[notify.smtp]`, and each `[[webhook]]` has its name",
            ),
            None => (
                "the configuration names nobody to tell".to_owned(),
                "add `[notify.smtp]` or a `[[webhook]]`: docs/notifications.md",
            ),
        };
        return Err(anyhow::Error::new(Hint(hint.to_owned())).context(what));
    }
    Ok(destinations)
}
