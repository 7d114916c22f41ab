//! Stub.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {}

impl AuditCommand {
    /// The log's directory, if the command names it.
    pub fn directory(&self) -> Option<&Path> {
        None
    }
}

/// Does what `command` says.
pub fn run(
    command: AuditCommand,
    _directory: &Path,
    _width: Option<u16>,
    _out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match command {}
}
