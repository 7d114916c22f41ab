//! `portcullis audit`: verify, tail, search and show, offline, on the segments themselves.
//!
//! Everything is written to the `out` that [`run`] is given, with colours; whoever calls strips them where there is no terminal.

mod arguments;
mod table;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::audit::history::{self, Flow, Follower};
use crate::audit::stored::{About, Filter, Stored};
use crate::audit::verify::{Expectation, NodeReport, verify};
use crate::cli::Format;

pub use arguments::{
    AuditCommand, Moment, Place, SearchArgs, ShowArgs, Subject, TailArgs, VerifyArgs,
};

/// How often `tail -f` looks for new records.
const FOLLOW: Duration = Duration::from_millis(250);

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
