//! The arguments of `portcullis audit`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::audit::{Digest, Node};
use crate::cli::Format;

/// Reads and verifies the audit log; none of this needs a running gateway.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Checks the chain of every log in the directory: exit code 0 if all is as it was written, 1 if not.
    Verify(VerifyArgs),
    /// Shows the last records, and with -f those that come.
    Tail(TailArgs),
    /// Finds records.
    Search(SearchArgs),
    /// Shows everything about a decision, a grant, a request or a record's number.
    Show(ShowArgs),
}

/// Where the log is.
#[derive(Debug, Args)]
pub struct Place {
    /// The log's directory, instead of the configured one.
    #[arg(long, value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
    /// Only this node's log.
    #[arg(long)]
    pub(super) node: Option<Node>,
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The log's directory, instead of the configured one.
    #[arg(value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
    /// Only this node's log.
    #[arg(long)]
    pub(super) node: Option<Node>,
    /// A hash that was kept elsewhere: some record must have it, or the log was cut or rewritten.
    #[arg(long, value_name = "HASH")]
    pub(super) expect: Option<Digest>,
    /// The hash of the last record before the oldest segment here, where older ones were archived.
    #[arg(long, value_name = "HASH")]
    pub(super) after: Option<Digest>,
    /// Prints the report as JSON, one log a line.
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `audit tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// How many records.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    pub(super) lines: usize,
    /// Goes on with the records that come, until interrupted.
    #[arg(short, long)]
    pub(super) follow: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
}

/// Arguments of `audit search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    #[command(flatten)]
    pub(super) place: Place,
    /// Who: name or key, in any case.
    #[arg(long)]
    pub(super) principal: Option<String>,
    /// What: a task such as 'Exchange\*-Mailbox'; * stands for any characters.
    #[arg(long)]
    pub(super) task: Option<String>,
    /// A decision and its outcome.
    #[arg(long, value_name = "ID")]
    pub(super) decision: Option<Uuid>,
    /// A request for access, or an HTTP request.
    #[arg(long, value_name = "ID")]
    pub(super) request: Option<Uuid>,
    /// A grant.
    #[arg(long, value_name = "ID")]
    pub(super) grant: Option<Uuid>,
    /// From then on: 2026-11-21T09:00:00Z, 2026-11-21, or how long ago: 30m, 2h, 1d.
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<Moment>,
    /// Before then; as for --since.
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<Moment>,
    /// allow, block or report-only.
    #[arg(long, value_parser = ["allow", "block", "report-only"])]
    pub(super) verdict: Option<String>,
    /// decision, outcome, or an event's kind such as 'grant.*'.
    #[arg(long)]
    pub(super) kind: Option<String>,
    /// At most so many records, the oldest first.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(super) limit: usize,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
}

/// Arguments of `audit show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The id of a decision, grant, request or event, or a record's number.
    #[arg(value_name = "ID")]
    pub(super) subject: Subject,
    #[command(flatten)]
    pub(super) place: Place,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
}

/// What `audit show` shows.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    /// Whatever has this id.
    Id(Uuid),
    /// The record of this number.
    Seq(u64),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seq) = text.parse() {
            return Ok(Self::Seq(seq));
        }
        Uuid::try_parse(text)
            .map(Self::Id)
            .map_err(|_| "give an id such as 01990f2c-… or a record's number".to_owned())
    }
}

/// A moment, as records write times.
#[derive(Clone, Debug)]
pub struct Moment(pub(super) String);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = ago(text, Utc::now())
            .or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|it| it.to_utc()))
            .or_else(|| {
                let date = text.parse::<NaiveDate>().ok()?;
                Some(date.and_time(chrono::NaiveTime::MIN).and_utc())
            })
            .ok_or("give a time such as 2026-11-21T09:00:00Z or 2026-11-21, or how long ago: 30m, 2h, 1d")?;
        Ok(Self(moment.to_rfc3339_opts(SecondsFormat::Micros, true)))
    }
}

/// `2h` before `now`.
pub(super) fn ago(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86400,
        'w' => 7 * 86400,
        _ => return None,
    };
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let length = TimeDelta::try_seconds(number.checked_mul(seconds)?)?;
    now.checked_sub_signed(length)
}

impl AuditCommand {
    /// The directory that the command line names: with one, no configuration is needed.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Verify(args) => args.directory.as_deref(),
            Self::Tail(TailArgs { place, .. })
            | Self::Search(SearchArgs { place, .. })
            | Self::Show(ShowArgs { place, .. }) => place.directory.as_deref(),
        }
    }
}
