//! The program: reads the command line, does what it says, and tells how that went by text and exit code.

use std::process::ExitCode;

use clap::Parser as _;
use portcullis::cli::{self, Cli, Output};
use tikv_jemallocator::Jemalloc;

/// Gives memory back after a burst, which glibc's does not: docs/decisions/0007-jemalloc-in-the-binary.md.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::of_process(cli.global.color, cli.global.output);
    match cli::run(cli.command, &mut output) {
        Ok(outcome) => outcome.into(),
        Err(error) => output.failed(&error),
    }
}
