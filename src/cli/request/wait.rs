//! `--wait`: follows a request until it is decided, and ends as it did.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use chrono::Utc;
use clap::Args;
use serde_json::json;

use crate::api::types::{Request, RequestStatus};
use crate::cli::client::{Client, Told, next_interval};
use crate::cli::{Outcome, Output, times};

/// Whether to wait, and for how long.
#[derive(Clone, Debug, Default, Args)]
pub struct Patience {
    /// Wait until it is decided; the exit code tells how: 0 approved, 3 denied, 4 expired, 5 withdrawn, 6 not decided in --timeout.
    #[arg(short, long)]
    pub wait: bool,
    /// With --wait: no longer than this.
    #[arg(long, value_name = "TIME", value_parser = times::span, requires = "wait")]
    pub timeout: Option<Duration>,
}

/// How a request that was waited for ended.
fn outcome(status: RequestStatus) -> Option<Outcome> {
    match status {
        RequestStatus::Approved => Some(Outcome::Done),
        RequestStatus::Denied => Some(Outcome::Denied),
        RequestStatus::Expired => Some(Outcome::Expired),
        RequestStatus::Pending => None,
        RequestStatus::Withdrawn => Some(Outcome::Withdrawn),
    }
}

/// Waits if that is wanted; `told` is the request as it is then.
pub(super) async fn until_decided(
    client: &Client,
    told: &mut Told<Request>,
    patience: &Patience,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    if !patience.wait {
        return Ok(Outcome::Done);
    }
    let path = format!("/requests/{}", told.value.id);
    let deadline = patience.timeout.map(|it| tokio::time::Instant::now() + it);
    let mut interval = None;
    let mut last_said = None;
    loop {
        if let Some(outcome) = outcome(told.value.status) {
            return Ok(outcome);
        }
        // Each step once; into a file or a pipe nothing but the beginning.
        let waits_for = told.value.missing_approvals.clone().unwrap_or_default();
        if last_said.is_none()
            || (io::stderr().is_terminal() && last_said.as_ref() != Some(&waits_for))
        {
            output.note(format_args!(
                "Waiting for {}; the request {} lapses {}. Ctrl+C ends the waiting, not the request.",
                if waits_for.is_empty() { "an answer" } else { &waits_for },
                told.value.id,
                times::relative(told.value.expires, Utc::now()),
            ))?;
            last_said = Some(waits_for);
        }
        let pause = next_interval(interval);
        interval = Some(pause);
        let next = tokio::time::Instant::now() + pause;
        match deadline {
            Some(deadline) if next >= deadline => {
                tokio::time::sleep_until(deadline).await;
                *told = client.get(&path, &json!({})).await?;
                return Ok(outcome(told.value.status).unwrap_or(Outcome::Undecided));
            }
            _ => tokio::time::sleep_until(next).await,
        }
        *told = client.get(&path, &json!({})).await?;
    }
}
