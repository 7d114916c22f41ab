//! `portcullis completions` and `portcullis man`: made of the same definitions as the command line itself.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Hint, Outcome, Output};

/// For which shell.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Where manual pages go.
#[derive(Clone, Debug, Args)]
pub struct ManArguments {
    /// A directory to write a page for each command to; without it, the main page goes to standard output.
    pub directory: Option<PathBuf>,
}

/// Prints a shell's completions.
pub(super) fn completions(
    arguments: &CompletionsArguments,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "portcullis",
        &mut text,
    );
    output.results().write_all(&text)?;
    Ok(Outcome::Done)
}

/// Prints the manual page, or writes one for each command.
pub(super) fn man(arguments: &ManArguments, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = &arguments.directory else {
        Man::new(command).render(output.results())?;
        return Ok(Outcome::Done);
    };
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make `{}`", directory.display()))?;
    let count = write_pages(&command, directory)?;
    output.note(format_args!(
        "{count} pages written to {}; read one with `man -l FILE`",
        directory.display()
    ))?;
    Ok(Outcome::Done)
}

/// Writes the page of a command and of all below it. How many that are.
fn write_pages(command: &clap::Command, directory: &Path) -> anyhow::Result<usize> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let path = directory.join(format!("{name}.1"));
    let write = || format!("cannot write `{}`", path.display());
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = match file {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let hint = Hint("nothing is overwritten: name an empty directory".to_owned());
            return Err(anyhow::Error::new(hint).context(write()));
        }
        other => other.with_context(write)?,
    };
    file.write_all(&page).with_context(write)?;
    let below = command.get_subcommands().filter(|it| !it.is_hide_set());
    below
        .map(|it| write_pages(it, directory))
        .sum::<anyhow::Result<usize>>()
        .map(|it| it + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;
    use crate::cli::output::testing::output;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let (mut out, results, _) = output(Format::Table);
            completions(&CompletionsArguments { shell }, &mut out).unwrap();
            let text = results.text();
            for command in Cli::command().get_subcommands() {
                assert!(text.contains(command.get_name()), "{shell}: {command}");
            }
        }
    }

    #[test]
    fn each_command_has_a_page_and_none_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("man");
        let arguments = ManArguments {
            directory: Some(directory.clone()),
        };
        let (mut out, _, messages) = output(Format::Table);
        man(&arguments, &mut out).unwrap();
        let page = fs::read_to_string(directory.join("portcullis-request-create.1")).unwrap();
        assert!(page.contains("break\\-glass"), "{page}");
        assert!(directory.join("portcullis.1").is_file());
        assert!(messages.text().contains("pages written"));
        assert!(man(&arguments, &mut out).is_err());
    }
}
