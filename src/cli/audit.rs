//! `portcullis audit`: verify, tail, search and show, offline, on the segments themselves.
//!
//! Everything is written to the `out` that [`run`] is given, with colours; whoever calls strips them where there is no terminal.

mod table;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::audit::history::{self, Flow, Follower};
use crate::audit::stored::{About, Filter, Stored};
use crate::audit::verify::{Expectation, NodeReport, verify};
use crate::audit::{Digest, Node};

/// How often `tail -f` looks for new records.
const FOLLOW: Duration = Duration::from_millis(250);

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
    directory: Option<PathBuf>,
    /// Only this node's log.
    #[arg(long)]
    node: Option<Node>,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The records as they are stored, one a line.
    Json,
    /// For people.
    Table,
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The log's directory, instead of the configured one.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Only this node's log.
    #[arg(long)]
    node: Option<Node>,
    /// A hash that was kept elsewhere: some record must have it, or the log was cut or rewritten.
    #[arg(long, value_name = "HASH")]
    expect: Option<Digest>,
    /// The hash of the last record before the oldest segment here, where older ones were archived.
    #[arg(long, value_name = "HASH")]
    after: Option<Digest>,
    /// Prints the report as JSON, one log a line.
    #[arg(long)]
    json: bool,
}

/// Arguments of `audit tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    place: Place,
    /// How many records.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    lines: usize,
    /// Goes on with the records that come, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Arguments of `audit search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    #[command(flatten)]
    place: Place,
    /// Who: name or key, in any case.
    #[arg(long)]
    principal: Option<String>,
    /// What: a task such as 'Exchange\*-Mailbox'; * stands for any characters.
    #[arg(long)]
    task: Option<String>,
    /// A decision and its outcome.
    #[arg(long, value_name = "ID")]
    decision: Option<Uuid>,
    /// A request for access, or an HTTP request.
    #[arg(long, value_name = "ID")]
    request: Option<Uuid>,
    /// A grant.
    #[arg(long, value_name = "ID")]
    grant: Option<Uuid>,
    /// From then on: 2026-11-21T09:00:00Z, 2026-11-21, or how long ago: 30m, 2h, 1d.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Before then; as for --since.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// allow, block or report-only.
    #[arg(long, value_parser = ["allow", "block", "report-only"])]
    verdict: Option<String>,
    /// decision, outcome, or an event's kind such as 'grant.*'.
    #[arg(long)]
    kind: Option<String>,
    /// At most so many records, the oldest first.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Arguments of `audit show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The id of a decision, grant, request or event, or a record's number.
    #[arg(value_name = "ID")]
    subject: Subject,
    #[command(flatten)]
    place: Place,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
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
pub struct Moment(String);

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
fn ago(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
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

/// Does what the command says. `directory` is the command's own or the configured one, `width` the terminal's in columns if
/// there is one. Exit code 1: verification found something, or nothing was found to show.
pub fn run(
    command: AuditCommand,
    directory: &Path,
    width: Option<u16>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let result = match command {
        AuditCommand::Verify(args) => run_verify(&args, directory, out),
        AuditCommand::Tail(args) => run_tail(&args, directory, width, out),
        AuditCommand::Search(args) => run_search(args, directory, width, out),
        AuditCommand::Show(args) => run_show(&args, directory, out),
    };
    match result {
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        other => other,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

fn unreadable(directory: &Path) -> String {
    format!(
        "cannot read the audit log in `{}`: name its directory, or run as the user who owns it",
        directory.display()
    )
}

fn run_verify(
    args: &VerifyArgs,
    directory: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let expectation = Expectation {
        node: args.node.clone(),
        hash: args.expect.map(|it| it.0),
        after: args.after.map(|it| it.0),
    };
    let reports = verify(directory, &expectation).with_context(|| unreadable(directory))?;
    if reports.is_empty() {
        bail!(
            "there is no audit log in `{}`: name the directory with the `audit-*.jsonl` files",
            directory.display()
        );
    }
    for report in &reports {
        if args.json {
            serde_json::to_writer(&mut *out, report).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            table::report(report, out)?;
        }
    }
    let is_sound = |it: &NodeReport| it.findings.is_empty();
    Ok(if reports.iter().all(is_sound) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_tail(
    args: &TailArgs,
    directory: &Path,
    width: Option<u16>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let node = args.place.node.as_ref();
    let (mut follower, lines) =
        Follower::start(directory, node, args.lines).with_context(|| unreadable(directory))?;
    print(&lines, args.output, width, out)?;
    if !args.follow {
        if lines.is_empty() && args.output == Format::Table {
            writeln!(out, "No records in `{}` yet.", directory.display())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        out.flush()?;
        std::thread::sleep(FOLLOW);
        let lines = follower.poll().with_context(|| unreadable(directory))?;
        if args.output == Format::Json {
            print(&lines, args.output, width, out)?;
        } else {
            table::rows(&lines, table::Header::Absent, width, out)?;
        }
    }
}

fn run_search(
    args: SearchArgs,
    directory: &Path,
    width: Option<u16>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let filter = Filter {
        principal: args.principal,
        task: args.task,
        decision: args.decision,
        request: args.request,
        grant: args.grant,
        since: args.since.map(|it| it.0),
        until: args.until.map(|it| it.0),
        verdict: args.verdict,
        kind: args.kind,
    };
    let mut found = Vec::new();
    let mut more = false;
    let since = filter.since.as_deref();
    history::read(
        directory,
        args.place.node.as_ref(),
        since,
        &mut |line, record| {
            if filter.wants(record) {
                if found.len() == args.limit {
                    more = true;
                    return Ok(Flow::Enough);
                }
                found.push(line.to_vec());
            }
            Ok(Flow::More)
        },
    )
    .with_context(|| unreadable(directory))?;
    print(&found, args.output, width, out)?;
    if args.output == Format::Table {
        if found.is_empty() {
            writeln!(
                out,
                "No record matches. `portcullis audit tail` shows the latest; --task and --kind take patterns such as '*-Mailbox'."
            )?;
        } else if more {
            writeln!(out, "There are more: narrow the search, or raise --limit.")?;
        } else {
            writeln!(
                out,
                "`portcullis audit show NUMBER` shows one with all that belongs to it."
            )?;
        }
    }
    Ok(exit(!found.is_empty()))
}

fn run_show(args: &ShowArgs, directory: &Path, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let node = args.place.node.as_ref();
    let mut shown = 0_usize;
    let mut visit = |takes: &mut dyn FnMut(&Stored<'_>) -> bool| {
        history::read(directory, node, None, &mut |line, record| {
            if takes(record) {
                shown += 1;
                match args.output {
                    Format::Json => {
                        out.write_all(line)?;
                        out.write_all(b"\n")?;
                    }
                    Format::Table => table::details(line, record, out)?,
                }
            }
            Ok(Flow::More)
        })
    };
    let id = match args.subject {
        Subject::Id(id) => Some(id),
        Subject::Seq(seq) => {
            let mut id = None;
            history::read(directory, node, None, &mut |_, record| {
                if record.seq == seq {
                    id = record.decision.or(record.id);
                    return Ok(Flow::Enough);
                }
                Ok(Flow::More)
            })
            .with_context(|| unreadable(directory))?;
            id
        }
    };
    if let Some(id) = id {
        let mut about = About::new(id);
        visit(&mut |record| about.takes(record)).with_context(|| unreadable(directory))?;
    }
    if shown == 0 && args.output == Format::Table {
        writeln!(
            out,
            "Nothing is on record about it. Is `{}` the right log? `portcullis audit search --help` has other ways to look.",
            directory.display()
        )?;
    }
    Ok(exit(shown > 0))
}

fn exit(found: bool) -> ExitCode {
    if found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print(
    lines: &[Vec<u8>],
    format: Format,
    width: Option<u16>,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Json => lines.iter().try_for_each(|line| {
            out.write_all(line)?;
            out.write_all(b"\n")
        }),
        Format::Table if lines.is_empty() => Ok(()),
        Format::Table => table::rows(lines, table::Header::Present, width, out),
    }
}

#[cfg(test)]
mod tests;
