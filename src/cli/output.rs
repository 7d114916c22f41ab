//! Everything that commands print. Results go to standard output, as a table for people or as JSON for programs;
//! everything else goes to standard error.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

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
        Self {
            format,
            results: Box::new(AutoStream::new(io::stdout(), choice)),
            messages: Box::new(AutoStream::new(io::stderr(), choice)),
        }
    }

    /// Streams of one's own, which get everything with colours.
    pub fn to_writers(format: Format, results: Box<dyn Write>, messages: Box<dyn Write>) -> Self {
        Self {
            format,
            results,
            messages,
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
        writeln!(self.results, "{text}")
    }

    /// A line of a result, as what was hoped for.
    pub fn good(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.results, "{GOOD}{text}{GOOD:#}")
    }

    /// A line of a result, as a sign that something is wrong.
    pub fn bad(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.results, "{BAD}{text}{BAD:#}")
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
        writeln!(self.results, "{style}{word}{style:#}: {text}")?;
        match hint {
            Some(hint) => writeln!(self.results, "  {ADVICE}hint{ADVICE:#}: {hint}"),
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
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
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
        for line in table.lines() {
            writeln!(self.results, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Rows of a result without a head, in columns.
    pub fn rows(&mut self, rows: impl IntoIterator<Item = Vec<String>>) -> io::Result<()> {
        self.columns(None, rows)
    }

    /// A result as JSON.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.results, value)?;
        writeln!(self.results)
    }

    /// A line that is no result: a question, or what goes on.
    pub fn note(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.messages, "{text}")?;
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
                writeln!(self.messages, "{BAD}error{BAD:#}: {cause}")?;
            } else {
                writeln!(self.messages, "  because {cause}")?;
            }
        }
        for hint in hints {
            writeln!(self.messages, "  {ADVICE}hint{ADVICE:#}: {hint}")?;
        }
        self.messages.flush()
    }
}

/// What to do about an error; put at the root of an [`anyhow::Error`], below the texts that tell what happened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Hint(pub String);

/// A text without control characters, which would let what was recorded or configured steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|it| {
            if it.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                it
            }
        })
        .collect()
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
}
