//! Records and reports for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Row, Table};
use serde_json::Value;

use crate::audit::stored::Stored;
use crate::audit::verify::NodeReport;

const BOLD: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const NOTABLE: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Whether a table begins with the names of its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Absent,
    Present,
}

/// Records as a table, one a line.
pub(super) fn rows(
    lines: &[Vec<u8>],
    header: Header,
    width: Option<u16>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_truncation_indicator("…")
        .set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = width {
        table.set_width(width);
    }
    let mut styles = Vec::new();
    if header == Header::Present {
        styles.push(BOLD);
        table.add_row(["NUMBER", "TIME (UTC)", "KIND", "WHO", "WHAT", "RESULT"]);
    }
    for record in lines.iter().filter_map(|it| Stored::read(it)) {
        let mut row = Row::from(cells(&record));
        row.max_height(1);
        table.add_row(row);
        styles.push(style(&record));
    }
    for (line, style) in table.lines().zip(styles) {
        writeln!(out, "{style}{}{style:#}", line.trim_end())?;
    }
    Ok(())
}

fn cells(record: &Stored<'_>) -> [String; 6] {
    let time: String = record.time.chars().take(19).collect();
    let who = record.principal.as_ref().map(|it| clean(&it.name));
    let what = [&record.task, &record.session, &record.policy];
    let what = what.into_iter().flatten().next().map(|it| clean(it));
    let words = [
        record.verdict.as_deref(),
        record.rule.as_deref(),
        record.result.as_deref(),
    ];
    let mut result = words
        .into_iter()
        .flatten()
        .map(clean)
        .collect::<Vec<_>>()
        .join(" ");
    if let Some(status) = record.status {
        result = format!("{result} ({status})");
    }
    [
        record.seq.to_string(),
        clean(&time.replace('T', " ")),
        clean(&record.kind),
        who.unwrap_or_default(),
        what.unwrap_or_default(),
        result,
    ]
}

fn style(record: &Stored<'_>) -> Style {
    match (record.verdict.as_deref(), record.result.as_deref()) {
        (Some("block"), _) => BAD,
        (Some("report-only"), _) => NOTABLE,
        (_, Some("ok" | "answered")) => FAINT,
        (_, Some(_)) => NOTABLE,
        _ if record.kind.starts_with("audit.") && record.kind != "audit.segment" => NOTABLE,
        _ => Style::new(),
    }
}

/// One record with all that it says.
pub(super) fn details(line: &[u8], record: &Stored<'_>, out: &mut dyn Write) -> io::Result<()> {
    let style = style(record);
    let word = record.verdict.as_deref().or(record.result.as_deref());
    writeln!(
        out,
        "{BOLD}{} {}{BOLD:#}  {}  {style}{}{style:#}",
        record.seq,
        clean(&record.kind),
        clean(&record.time),
        clean(word.unwrap_or_default()),
    )?;
    let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
        return Ok(());
    };
    let told = ["seq", "time", "kind", "verdict", "result", "prev", "hash"];
    for (name, value) in &members {
        if !told.contains(&name.as_str()) {
            member("", name, value, out)?;
        }
    }
    writeln!(out)
}

/// A member on a line of its own, the members of an object as `name.member`; nothing for what is empty.
fn member(path: &str, name: &str, value: &Value, out: &mut dyn Write) -> io::Result<()> {
    let path = if path.is_empty() {
        clean(name)
    } else {
        format!("{path}.{}", clean(name))
    };
    let text = match value {
        Value::Null => return Ok(()),
        // Of the record's own flags only those that are set; a parameter's `false` is a value like any other.
        Value::Bool(false) if !path.contains('.') => return Ok(()),
        Value::Array(items) if items.is_empty() => return Ok(()),
        Value::Object(members) => {
            return members
                .iter()
                .try_for_each(|(name, value)| member(&path, name, value, out));
        }
        Value::String(text) if text.is_empty() => return Ok(()),
        Value::String(text) => clean(text),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) => clean(&value.to_string()),
    };
    writeln!(out, "  {FAINT}{path}{FAINT:#} {text}")
}

/// What a verification found in one node's log.
pub(super) fn report(report: &NodeReport, out: &mut dyn Write) -> io::Result<()> {
    let (style, word) = if report.findings.is_empty() {
        (GOOD, "good")
    } else {
        (BAD, "NOT AS IT WAS WRITTEN")
    };
    let plural = |is_one| if is_one { "" } else { "s" };
    writeln!(
        out,
        "{BOLD}{}{BOLD:#}: {style}{word}{style:#}, {} record{} in {} segment{}",
        report.node,
        report.records,
        plural(report.records == 1),
        report.segments,
        plural(report.segments == 1)
    )?;
    if let (Some(first), Some(last), Some(hash), Some(time)) = (
        report.first_seq,
        report.last_seq,
        &report.last_hash,
        &report.last_time,
    ) {
        writeln!(
            out,
            "  records {first} to {last}, the last at {}",
            clean(time)
        )?;
        writeln!(out, "  last hash {hash}")?;
    }
    for finding in &report.findings {
        write!(out, "  {BAD}{}{BAD:#}", finding.fault)?;
        if let Some(seq) = finding.seq {
            write!(out, " record {seq}")?;
        }
        if !finding.file.is_empty() {
            write!(out, ", {}:{}", clean(&finding.file), finding.line)?;
        }
        write!(out, ": {}", clean(&finding.detail))?;
        if finding.count > 1 {
            write!(out, " ({} of this kind)", finding.count)?;
        }
        writeln!(out)?;
    }
    for note in &report.notes {
        writeln!(out, "  {NOTABLE}note{NOTABLE:#} {}", clean(note))?;
    }
    Ok(())
}

/// `text` without characters that steer a terminal or turn the direction of writing.
fn clean(text: &str) -> String {
    let steers = |it: char| {
        it.is_control()
            || matches!(it, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|it| if steers(it) { '\u{fffd}' } else { it })
        .collect()
}
