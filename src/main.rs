//! The program: reads the command line, does what it says, and tells how that went by text and exit code.

use std::process::ExitCode;

use clap::Parser as _;
use portcullis::cli::{self, Cli, Output};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::of_process(cli.global.color, cli.global.output);
    match cli::run(cli.command, &mut output) {
        Ok(outcome) => outcome.into(),
        Err(error) => output.failed(&error),
    }
}
