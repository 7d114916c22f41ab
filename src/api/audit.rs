//! `/audit`: searches of the log's segments, part by part.
//!
//! A search looks for a few seconds at most; where it stopped is in the cursor, so a part can be short, or empty, and not the last.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use http::header::{HeaderValue, RETRY_AFTER};
use serde_json::value::RawValue;

use crate::api::call::Call;
use crate::api::problem::{Failure, Kind};
use crate::api::types::{AuditQuery, Page};
use crate::api::{Answer, Api, views};
use crate::audit::history::{self, Flow};
use crate::audit::stored::Filter;
use crate::audit::{Node, list};

/// How long one part of a search reads.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn search(api: &Api, call: &Call) -> Result<Answer, Failure> {
    let query: AuditQuery = call.query()?;
    let after = query.cursor.as_deref().map(Cursor::read).transpose()?;
    let most = views::limit(query.limit);
    let filter = Filter {
        principal: query.principal,
        task: query.task,
        decision: query.decision,
        request: query.request,
        grant: query.grant,
        since: query.since.map(written),
        until: query.until.map(written),
        verdict: query.verdict,
        kind: query.kind,
    };
    let Ok(_turn) = api.searches.try_acquire() else {
        let failure = Failure::new(
            Kind::TooMany,
            "others search the audit log: try again in a moment",
        );
        return Err(failure.with(RETRY_AFTER, HeaderValue::from_static("3")));
    };
    let directory = api.settings.audit.clone();
    let found = tokio::task::spawn_blocking(move || look(&directory, &filter, after, most)).await;
    let failed = || Failure::new(Kind::Unavailable, "the audit log cannot be read now");
    let page = found.map_err(|_| failed())?.map_err(|error| {
        tracing::error!(%error, "Audit log cannot be read");
        failed()
    })?;
    Answer::ok(&page)
}

/// A time as records write it.
fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Up to where a search has looked.
struct Cursor {
    node: Node,
    seq: u64,
    time: String,
}

impl Cursor {
    fn read(text: &str) -> Result<Self, Failure> {
        let mut parts = text.splitn(3, '~');
        let mut read = || {
            Some(Self {
                seq: parts.next()?.parse().ok()?,
                time: written(DateTime::from_timestamp_micros(
                    parts.next()?.parse().ok()?,
                )?),
                node: parts.next()?.parse().ok()?,
            })
        };
        read().ok_or_else(|| views::wrong("?cursor", "must be the `next` of the part before"))
    }

    /// Without a `next` where the record's time is none, which only a damaged log has.
    fn write(&self) -> Option<String> {
        let time: DateTime<Utc> = self.time.parse().ok()?;
        let micros = time.timestamp_micros();
        Some(format!("{}~{micros}~{}", self.seq, self.node))
    }
}

fn look(
    directory: &Path,
    filter: &Filter,
    after: Option<Cursor>,
    most: usize,
) -> io::Result<Page<Box<RawValue>>> {
    let begun = Instant::now();
    let mut items: Vec<Box<RawValue>> = Vec::new();
    let mut last: Option<Cursor> = None;
    let mut is_over = true;
    for node in list(directory)?.into_keys() {
        let from = match &after {
            Some(after) if node < after.node => continue,
            Some(after) if node == after.node => Some(after),
            _ => None,
        };
        // A node's records are in order, so no segment before the cursor's is needed.
        let since = from.map(|it| it.time.as_str()).max(filter.since.as_deref());
        history::read(directory, Some(&node), since, &mut |line, record| {
            if from.is_some_and(|it| record.seq <= it.seq) {
                return Ok(Flow::More);
            }
            if items.len() >= most || begun.elapsed() > PATIENCE {
                is_over = false;
                return Ok(Flow::Enough);
            }
            if filter.wants(record)
                && let Ok(line) = serde_json::from_slice(line)
            {
                items.push(line);
            }
            last = Some(Cursor {
                node: node.clone(),
                seq: record.seq,
                time: record.time.clone().into_owned(),
            });
            Ok(Flow::More)
        })?;
        if !is_over {
            break;
        }
    }
    Ok(Page {
        items,
        next: last
            .or(after)
            .filter(|_| !is_over)
            .and_then(|it| it.write()),
    })
}
