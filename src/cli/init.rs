//! `portcullis init`: a starter set that works at once, every key of it explained.
//!
//! INVARIANT: nothing that exists is changed. What exists is found before anything is written, and files are made with
//! `create_new`, so that even a race overwrites nothing.

#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{Months, NaiveDate, Utc};
use clap::Args;
use serde_json::json;

use crate::tls;

use super::{Format, Hint, Outcome, Output};

/// What `init` may be told.
#[derive(Clone, Debug, Args)]
pub struct Init {
    /// Where to write; it is made if it is not there.
    #[arg(default_value = ".", value_name = "DIR")]
    pub directory: PathBuf,
    /// A further name or address for the development certificate, which has localhost and the loopback addresses; may be repeated.
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
}

/// The files of the starter set, besides the certificates.
const FILES: [(&str, &str, Access); 5] = [
    (
        "portcullis.toml",
        include_str!("init/portcullis.toml"),
        Access::Everyone,
    ),
    (
        "policies/exchange.toml",
        include_str!("../../policies/exchange.toml"),
        Access::Everyone,
    ),
    (
        "policies/exemptions.toml",
        include_str!("../../policies/exemptions.toml"),
        Access::Everyone,
    ),
    (
        "policies/groups.toml",
        include_str!("../../policies/groups.toml"),
        Access::Everyone,
    ),
    ("users.toml", include_str!("init/users.toml"), Access::Owner),
];

/// The last day of the sample exemption as the sample file has it; a fresh copy gets a year.
const SAMPLE_EXPIRY: &str = "2027-03-31";

/// What [`tls::write_development_certificates`] writes.
const CERTIFICATES: [&str; 4] = [
    "certs/ca.pem",
    "certs/ca-key.pem",
    "certs/server.pem",
    "certs/server-key.pem",
];

/// Who may read a file.
#[derive(Clone, Copy)]
enum Access {
    Everyone,
    Owner,
}

/// Writes the starter set, or nothing.
pub(super) fn run(options: &Init, output: &mut Output) -> anyhow::Result<Outcome> {
    // `.` would only make the paths that are printed longer.
    let directory = options
        .directory
        .strip_prefix(".")
        .unwrap_or(&options.directory);
    refuse_existing(directory)?;
    let mut written = Written::default();
    let names: Vec<&str> = options.names.iter().map(String::as_str).collect();
    // First what may fail for its arguments, so that a bad `--name` leaves nothing behind.
    let certificates = tls::write_development_certificates(&directory.join("certs"), &names)?;
    written.files.extend(certificates.created);
    for (name, text, access) in FILES {
        let path = directory.join(name);
        write(&path, &filled(text, Utc::now().date_naive()), access)?;
        written.files.push(path);
    }
    report(directory, &written.files, output)?;
    written.files.clear();
    Ok(Outcome::Done)
}

/// Files that were made, and that go again if not all of them could be.
#[derive(Default)]
struct Written {
    files: Vec<PathBuf>,
}

impl Drop for Written {
    fn drop(&mut self) {
        for path in &self.files {
            // What cannot be removed is found, and told, by the next `init`.
            let _removed = fs::remove_file(path);
        }
    }
}

fn refuse_existing(directory: &Path) -> anyhow::Result<()> {
    let existing: Vec<String> = FILES
        .iter()
        .map(|it| it.0)
        .chain(CERTIFICATES)
        .map(|it| directory.join(it))
        .filter(|it| it.symlink_metadata().is_ok())
        .map(|it| format!("`{}`", it.display()))
        .collect();
    if existing.is_empty() {
        return Ok(());
    }
    let hint = Hint("name another directory, or move these files away".to_owned());
    Err(anyhow::Error::new(hint).context(format!(
        "nothing was written, because it would overwrite {}",
        existing.join(", ")
    )))
}

/// The text of a file, with its dates set.
fn filled(text: &str, today: NaiveDate) -> String {
    let in_a_year = today.checked_add_months(Months::new(12)).unwrap_or(today);
    text.replace(SAMPLE_EXPIRY, &in_a_year.to_string())
}

fn write(path: &Path, text: &str, access: Access) -> anyhow::Result<()> {
    let mode = match access {
        Access::Everyone => 0o644,
        Access::Owner => 0o600,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot make the directory `{}`", parent.display()))?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

fn report(directory: &Path, written: &[PathBuf], output: &mut Output) -> anyhow::Result<()> {
    if output.format() == Format::Json {
        output.json(&json!({ "written": written }))?;
        return Ok(());
    }
    output.line("Written:")?;
    for path in written {
        output.line(format_args!("  {}", path.display()))?;
    }
    let config = directory.join("portcullis.toml");
    let is_here = directory.as_os_str().is_empty();
    let option = if is_here {
        String::new()
    } else {
        format!(" --config {}", config.display())
    };
    output.line("\nNext:")?;
    output.line(format_args!(
        "  edit {}: the issuer's tenant id, then the policies",
        config.display()
    ))?;
    output.line(format_args!("  portcullis check{option}"))?;
    output.line(format_args!("  portcullis serve{option}"))?;
    output.line(format_args!(
        "Clients must trust {}.",
        directory.join("certs/ca.pem").display()
    ))?;
    Ok(())
}
