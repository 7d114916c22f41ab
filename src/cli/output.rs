//! Everything that commands print. Results go to standard output, as a table for people or as JSON for programs;
//! everything else goes to standard error.
//!
//! INVARIANT: what is printed here cannot steer the terminal. Much of it was written by others (reasons, names, whatever a
//! server answers), so control characters, and those that turn the direction of what follows, are replaced.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;

use super::password::Interrupted;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON, for programs.
    Json,
    /// Tables and lines, for people.
    Table,
}

/// When results are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// Also into files and pipes.
    Always,
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Never.
    Never,
}

const BAD: Style = AnsiColor::Red.on_default().bold();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const ADVICE: Style = AnsiColor::Cyan.on_default();

/// On terminals narrower than this, tables have a line for each value.
const NARROW: u16 = 60;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is wrong.
    Error,
    /// Something is allowed and doubtful.
    Warning,
}

/// Where commands print.
pub struct Output {
    format: Format,
    /// How many columns a table may take; `None` where nobody looks at it on a terminal.
    width: Option<u16>,
    results: Box<dyn Write>,
    messages: Box<dyn Write>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Output {
    /// The standard streams of this process.
    pub fn of_process(color: ColorWhen, format: Format) -> Self {
        let choice = match color {
            ColorWhen::Always => ColorChoice::Always,
            ColorWhen::Auto => ColorChoice::Auto,
            ColorWhen::Never => ColorChoice::Never,
        };
        let terminal = io::stdout()
            .is_terminal()
            .then(terminal_size::terminal_size)
            .flatten();
        Self {
            format,
            width: terminal.map(|(width, _)| width.0),
            results: Box::new(AutoStream::new(io::stdout(), choice)),
            messages: Box::new(AutoStream::new(io::stderr(), choice)),
        }
    }

    /// Streams of one's own, which get everything with colours.
    pub fn to_writers(format: Format, results: Box<dyn Write>, messages: Box<dyn Write>) -> Self {
        Self {
            format,
            width: None,
            results,
            messages,
        }
    }

    /// Lays tables out for a terminal of this many columns.
    #[must_use]
    pub fn with_width(self, columns: u16) -> Self {
        Self {
            width: Some(columns),
            ..self
        }
    }

    /// Where results go, for those that write them in forms of their own.
    pub fn results(&mut self) -> &mut dyn Write {
        &mut self.results
    }

    /// How results are to be written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// A line of a result.
    pub fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.results, "{}", Tame(text))
    }

    /// A line of a result, as what was hoped for.
    pub fn good(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.results, "{GOOD}{}{GOOD:#}", Tame(text))
    }

    /// A line of a result, as a sign that something is wrong.
    pub fn bad(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.results, "{BAD}{}{BAD:#}", Tame(text))
    }

    /// A problem or a warning as part of a result, with what to do about it.
    pub fn finding(
        &mut self,
        severity: Severity,
        text: impl fmt::Display,
        hint: Option<&str>,
    ) -> io::Result<()> {
        let (style, word) = match severity {
            Severity::Error => (BAD, "error"),
            Severity::Warning => (DOUBTFUL, "warning"),
        };
        writeln!(self.results, "{style}{word}{style:#}: {}", Tame(text))?;
        match hint {
            Some(hint) => writeln!(self.results, "  {ADVICE}hint{ADVICE:#}: {}", Tame(hint)),
            None => Ok(()),
        }
    }

    /// A table of a result.
    pub fn table(
        &mut self,
        head: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> io::Result<()> {
        self.columns(Some(head), rows)
    }

    fn columns(
        &mut self,
        head: Option<&[&str]>,
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> io::Result<()> {
        if let (Some(head), Some(width)) = (head, self.width)
            && width < NARROW
        {
            return self.stacked(head, rows);
        }
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = self.width {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        }
        if let Some(head) = head {
            table.set_header(head);
        }
        table.add_rows(
            rows.into_iter()
                .map(|row| row.into_iter().map(|it| printable(&it)).collect::<Vec<_>>()),
        );
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        // An id is copied whole, so it is not broken into lines.
        if head.is_some_and(|it| it.first() == Some(&"ID"))
            && let Some(column) = table.column_mut(0)
        {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        for line in table.lines() {
            writeln!(self.results, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Each row as lines of names and values: what a narrow terminal has room for.
    fn stacked(
        &mut self,
        head: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> io::Result<()> {
        let longest = head.iter().map(|it| it.len()).max().unwrap_or_default();
        for (index, row) in rows.into_iter().enumerate() {
            if index > 0 {
                writeln!(self.results)?;
            }
            for (name, value) in head.iter().zip(&row) {
                if !value.is_empty() {
                    writeln!(self.results, "{name:<longest$}  {}", printable(value))?;
                }
            }
        }
        Ok(())
    }

    /// Rows of a result without a head, in columns.
    pub fn rows(&mut self, rows: impl IntoIterator<Item = Vec<String>>) -> io::Result<()> {
        self.columns(None, rows)
    }

    /// A result as JSON.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        let mut tame = String::with_capacity(text.len());
        for it in text.chars() {
            // Outside of strings the one control character is the line's end, so this is the same JSON.
            if it != '\n' && steers(it) {
                let mut units = [0; 2];
                for unit in it.encode_utf16(&mut units) {
                    // Writing to a string cannot fail.
                    let _ = write!(tame, "\\u{unit:04x}");
                }
            } else {
                tame.push(it);
            }
        }
        writeln!(self.results, "{tame}")
    }

    /// A line that is no result: a question, or what goes on.
    pub fn note(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.messages, "{}", Tame(text))?;
        self.messages.flush()
    }

    /// What to do next; no result either.
    pub fn advice(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.messages, "{ADVICE}{}{ADVICE:#}", Tame(text))?;
        self.messages.flush()
    }

    /// Something doubtful that is no result.
    pub fn caution(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(
            self.messages,
            "{DOUBTFUL}warning{DOUBTFUL:#}: {}",
            Tame(text)
        )?;
        self.messages.flush()
    }

    /// Tells why a command could not be done, with causes and hints, and gives the exit code for that.
    ///
    /// A reader that went away (`portcullis … | head`) is no failure.
    pub fn failed(&mut self, error: &anyhow::Error) -> ExitCode {
        let is_closed_pipe = error.chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
        });
        if is_closed_pipe {
            return ExitCode::SUCCESS;
        }
        if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
            // What comes next does not stand after the terminal's `^C`.
            let _written = writeln!(self.messages);
            return ExitCode::from(interrupted.code);
        }
        // Where even this cannot be written, the exit code has to do.
        let _written = self.chain(error);
        ExitCode::FAILURE
    }
}

impl Output {
    fn chain(&mut self, error: &anyhow::Error) -> io::Result<()> {
        let (hints, causes): (Vec<_>, Vec<_>) = error.chain().partition(|it| it.is::<Hint>());
        for (depth, cause) in causes.into_iter().enumerate() {
            if depth == 0 {
                writeln!(self.messages, "{BAD}error{BAD:#}: {}", Tame(cause))?;
            } else {
                writeln!(self.messages, "  because {}", Tame(cause))?;
            }
        }
        for hint in hints {
            writeln!(self.messages, "  {ADVICE}hint{ADVICE:#}: {}", Tame(hint))?;
        }
        self.messages.flush()
    }
}

/// What to do about an error; put at the root of an [`anyhow::Error`], below the texts that tell what happened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Hint(pub String);

/// A text on one line, without what would let what was recorded, configured or answered steer the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(tamed).collect()
}

/// Whether a terminal would act on it, or show what follows in another order than it is.
fn steers(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn tamed(it: char) -> char {
    if steers(it) {
        char::REPLACEMENT_CHARACTER
    } else {
        it
    }
}

/// Lines of text that cannot steer the terminal.
struct Tame<T>(T);

impl<T: fmt::Display> fmt::Display for Tame<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Taming(f), "{}", self.0)
    }
}

struct Taming<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Taming<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars()
            .try_for_each(|it| self.0.write_char(if it == '\n' { it } else { tamed(it) }))
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! An output that tests read.

    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::{Format, Output};

    #[derive(Clone, Default)]
    pub(crate) struct Printed(Arc<Mutex<Vec<u8>>>);

    impl Write for Printed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Printed {
        /// What was printed, without colours.
        pub(crate) fn text(&self) -> String {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            anstream::adapter::strip_str(&text).to_string()
        }
    }

    /// An output, its results and its messages.
    pub(crate) fn output(format: Format) -> (Output, Printed, Printed) {
        let (results, messages) = (Printed::default(), Printed::default());
        let output = Output::to_writers(
            format,
            Box::new(results.clone()),
            Box::new(messages.clone()),
        );
        (output, results, messages)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::testing::output;
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_and_then_what_to_do() {
        let (mut output, results, messages) = output(Format::Table);
        let error = anyhow::Error::new(Hint("look under the sofa".to_owned()))
            .context("it is gone")
            .context("cannot open the door");
        assert_eq!(output.failed(&error), ExitCode::FAILURE);
        assert_eq!(results.text(), "");
        insta::assert_snapshot!(messages.text(), @"
        error: cannot open the door
          because it is gone
          hint: look under the sofa
        ");
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let (mut output, _, messages) = output(Format::Table);
        let gone = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe));
        let error = gone.context("cannot print").unwrap_err();
        assert_eq!(output.failed(&error), ExitCode::SUCCESS);
        assert_eq!(messages.text(), "");
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let (mut output, results, _) = output(Format::Table);
        output
            .table(&["NAME"], [vec!["a\u{1b}[2Jb\nc".to_owned()]])
            .unwrap();
        insta::assert_snapshot!(results.text(), @"
        NAME
        a�[2Jb�c
        ");
    }

    #[test]
    fn no_text_can_steer_the_terminal_or_turn_its_direction() {
        let evil = "a\u{1b}]0;b\u{7}\r\u{9b}2J\u{202e}c";
        let (mut plain, results, messages) = output(Format::Table);
        plain.line(evil).unwrap();
        plain.good(evil).unwrap();
        plain.finding(Severity::Error, evil, Some(evil)).unwrap();
        plain.note(evil).unwrap();
        plain.advice(evil).unwrap();
        let error = anyhow::Error::new(Hint(evil.to_owned())).context(evil);
        plain.failed(&error);
        let tame = "a�]0;b���2J�c";
        assert_eq!(results.text().matches(tame).count(), 4);
        assert_eq!(messages.text().matches(tame).count(), 4);
        assert!(!format!("{}{}", results.text(), messages.text()).contains(['\u{7}', '\r']));

        let (mut json, results, _) = output(Format::Json);
        json.json(&serde_json::json!({ "a": evil })).unwrap();
        let text = results.text();
        assert!(!text.contains(|it| it != '\n' && steers(it)), "{text:?}");
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["a"], evil, "programs still read what it was");
    }

    #[test]
    fn a_table_stays_within_the_terminal_and_breaks_no_id() {
        let (wide, results, _) = output(Format::Table);
        let mut narrow = wide.with_width(64);
        let words = "many words that go on and on for longer than a line ".repeat(4);
        let id = "01a1ffa0-2283".to_owned();
        narrow
            .table(&["ID", "B", "C"], [vec![id.clone(), words.clone(), words]])
            .unwrap();
        let text = results.text();
        assert!(text.lines().all(|it| it.chars().count() <= 64), "{text}");
        assert!(text.contains(&id), "{text}");
    }

    #[test]
    fn a_narrow_terminal_gets_a_line_for_each_value() {
        let (wide, results, _) = output(Format::Table);
        let mut narrow = wide.with_width(40);
        let row = |id: &str, what: &str| vec![id.to_owned(), String::new(), what.to_owned()];
        narrow
            .table(
                &["ID", "USES", "WHAT"],
                [
                    row("01a1ffa0-2283", r"Exchange\New-MoveRequest"),
                    row("01a1ffa0-2284", "all"),
                ],
            )
            .unwrap();
        insta::assert_snapshot!(results.text(), @r"
        ID    01a1ffa0-2283
        WHAT  Exchange\New-MoveRequest

        ID    01a1ffa0-2284
        WHAT  all
        ");
    }
}
