//! `portcullis roles …`: roles and role groups as policy files have them, from what the service says of them.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::model::Workload;
use crate::policy::Imported;

use super::{Format, Hint, Outcome, Output};

/// The longest file that is read, in bytes: all role entries of a large organisation.
const LONGEST: u64 = 256 << 20;

/// What can be done with roles.
#[derive(Clone, Debug, Subcommand)]
pub enum RolesCommand {
    /// Make roles and role groups of a policy file of what Get-ManagementRoleEntry and Get-RoleGroup return as JSON.
    Import(Import),
}

/// What `roles import` may be told.
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// Files of JSON: `Get-ManagementRoleEntry '*\*' | ConvertTo-Json`, `Get-RoleGroup | ConvertTo-Json`, or the service's own answers.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The workload that the cmdlets are of.
    #[arg(long, default_value = "Exchange")]
    pub workload: String,
    /// Write the policy file here instead of printing it; a file that is there already stays as it is.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

pub(super) fn run(command: RolesCommand, output: &mut Output) -> anyhow::Result<Outcome> {
    let RolesCommand::Import(arguments) = command;
    let workload: Workload = arguments.workload.parse()?;
    let mut imported = Imported::default();
    for path in &arguments.files {
        let text = read(path)?;
        imported
            .add(&text, &workload)
            .with_context(|| format!("cannot import `{}`", path.display()))?;
    }
    if imported.roles.is_empty() {
        let hint = "it takes Get-ManagementRoleEntry '*\\*' | Select-Object Role, Name, Type | ConvertTo-Json";
        return Err(anyhow::Error::new(Hint(hint.to_owned()))
            .context("there is no entry of a role in these files"));
    }
    for (what, count) in &imported.passed_over {
        output.note(format_args!("passed over {count} times: {what}"))?;
    }
    let without = imported.roles_without_entries();
    if !without.is_empty() {
        let names = without.into_iter().collect::<Vec<_>>().join(", ");
        output.note(format_args!(
            "left out of role groups, for want of entries: {names}"
        ))?;
    }
    if let Some(path) = &arguments.write {
        write(path, &imported.to_toml())?;
        let (roles, groups) = (imported.roles.len(), imported.role_groups.len());
        output.good(format_args!(
            "{roles} roles and {groups} role groups in `{}`",
            path.display()
        ))?;
    } else if output.format() == Format::Json {
        output.json(&imported)?;
    } else {
        output.results().write_all(imported.to_toml().as_bytes())?;
    }
    Ok(Outcome::Done)
}

/// A file's text. Windows PowerShell writes UTF-16, and marks it at the begin.
fn read(path: &Path) -> anyhow::Result<String> {
    let told = || format!("cannot read `{}`", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        .with_context(told)?;
    anyhow::ensure!(
        bytes.len() as u64 <= LONGEST,
        "`{}` is longer than {LONGEST} bytes",
        path.display()
    );
    let (pairs, _) = bytes.as_chunks::<2>();
    let text = match bytes.as_slice() {
        [0xff, 0xfe, ..] => utf16(pairs.iter().skip(1).map(|it| u16::from_le_bytes(*it))),
        [0xfe, 0xff, ..] => utf16(pairs.iter().skip(1).map(|it| u16::from_be_bytes(*it))),
        _ => String::from_utf8(bytes).ok(),
    };
    text.with_context(|| format!("`{}` is neither UTF-8 nor UTF-16", path.display()))
}

fn utf16(units: impl Iterator<Item = u16>) -> Option<String> {
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    if let Err(error) = &opened
        && error.kind() == std::io::ErrorKind::AlreadyExists
    {
        return Err(anyhow::Error::new(Hint(
            "name another file, compare the two, and take over what you want".to_owned(),
        ))
        .context(format!("`{}` is there already", path.display())));
    }
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::output::testing;

    fn import(files: Vec<PathBuf>, write: Option<PathBuf>, format: Format) -> (String, String) {
        let (mut output, results, messages) = testing::output(format);
        let command = RolesCommand::Import(Import {
            files,
            workload: "Exchange".to_owned(),
            write,
        });
        if let Err(error) = run(command, &mut output) {
            let _code = output.failed(&error);
        }
        (results.text(), messages.text())
    }

    const ENTRIES: &str = r#"[{"Role":"Mail Recipients","Name":"Set-Mailbox","Type":"Cmdlet"}]"#;

    #[test]
    fn what_windows_powershell_writes_is_read_too() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (
            directory.path().join("one.json"),
            directory.path().join("two.json"),
        );
        let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        let little: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(units(ENTRIES).into_iter().flat_map(u16::to_le_bytes))
            .collect();
        let groups = r#"{"Name":"Helpdesk","Roles":["Mail Recipients","Ö"]}"#;
        let big: Vec<u8> = [0xfe, 0xff]
            .into_iter()
            .chain(units(groups).into_iter().flat_map(u16::to_be_bytes))
            .collect();
        fs::write(&one, little).unwrap();
        fs::write(&two, big).unwrap();
        let (text, notes) = import(vec![one.clone(), two.clone()], None, Format::Table);
        assert!(text.contains(r"    'Exchange\Set-Mailbox',"), "{text}");
        assert!(text.contains(r"'Exchange\Helpdesk'"), "{text}");
        assert_eq!(
            notes,
            "left out of role groups, for want of entries: Exchange\\Ö\n"
        );
        let (text, _) = import(vec![one, two], None, Format::Json);
        assert!(text.contains(r#""Exchange\\Helpdesk""#), "{text}");
    }

    #[test]
    fn a_file_that_is_there_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let (json, toml) = (
            directory.path().join("e.json"),
            directory.path().join("roles.toml"),
        );
        fs::write(&json, ENTRIES).unwrap();
        let (text, _) = import(vec![json.clone()], Some(toml.clone()), Format::Table);
        assert!(text.starts_with("1 roles and 0 role groups in"), "{text}");
        fs::write(&toml, "mine").unwrap();
        let (_, error) = import(vec![json], Some(toml.clone()), Format::Table);
        assert!(error.contains("is there already"), "{error}");
        assert_eq!(fs::read_to_string(toml).unwrap(), "mine");
    }

    #[test]
    fn files_without_entries_are_refused_with_what_would_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.json");
        fs::write(&path, r#"{"value":[{"Identity":"x"}]}"#).unwrap();
        let (text, error) = import(vec![path.clone()], None, Format::Table);
        assert_eq!(text, "");
        assert!(error.contains("Get-ManagementRoleEntry"), "{error}");
        fs::write(&path, "nonsense").unwrap();
        assert!(
            import(vec![path], None, Format::Table)
                .1
                .contains("because not JSON")
        );
    }
}
