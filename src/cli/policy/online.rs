//! `portcullis policy ls --online`: the policies in force, with those of the gateway's store.

use std::time::Duration;

use crate::api::types::{Page, Policy, PolicyQuery, PolicySource};
use crate::cli::client::{Client, Connection};
use crate::cli::{Format, Outcome, Output, listing};
use crate::config::duration_text;

use super::ls::HEAD;

/// Lists what the gateway has in force.
pub(super) async fn ls(connection: &Connection, output: &mut Output) -> anyhow::Result<Outcome> {
    let client = Client::signed_in(connection).await?;
    let list = listing::collect(usize::MAX, async |cursor, limit| {
        let query = PolicyQuery {
            cursor,
            limit: Some(limit),
        };
        client.get::<Page<Policy>>("/policies", &query).await
    })
    .await?;
    if output.format() == Format::Json {
        output.json(&list.json)?;
        return Ok(Outcome::Done);
    }
    if list.items.is_empty() {
        output.note("there is no policy")?;
        return Ok(Outcome::Done);
    }
    output.table(&HEAD, list.items.iter().map(row))?;
    if list.has_more {
        output.note("there are more; GET /api/v1/policies lists them all")?;
    }
    Ok(Outcome::Done)
}

fn row(it: &Policy) -> Vec<String> {
    let grants = |seconds: Option<u64>| match seconds {
        _ if it.approval == "never" => String::new(),
        Some(seconds) => duration_text(Duration::from_secs(seconds)),
        None => "any time".to_owned(),
    };
    let report_only = if it.report_only { " (report-only)" } else { "" };
    let approvers = it.approvers.join(", ");
    vec![
        it.scope.clone(),
        format!("{}{report_only}", it.approval),
        if it.approvals > 1 {
            format!("{} of each: {approvers}", it.approvals)
        } else {
            approvers
        },
        grants(Some(it.default_duration_seconds)),
        grants(it.max_duration_seconds),
        match &it.source {
            PolicySource::File { place } => place.clone(),
            PolicySource::Store { by, at } => {
                format!("store, by {by} on {}", at.format("%Y-%m-%d %H:%M UTC"))
            }
        },
    ]
}
