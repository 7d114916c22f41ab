//! Whether the gateway can write where it must: the audit log and an embedded store.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use crate::config::{Reading, Role};

use super::Finding;

/// Finds directories that cannot be written, and such that cannot be made.
pub(super) fn writable(reading: &Reading, findings: &mut Vec<Finding>) {
    for file in &reading.files {
        let directory = match file.role {
            Role::AuditDirectory => file.path.as_path(),
            Role::Store => parent(&file.path),
            _ => continue,
        };
        if file.role == Role::Store && file.path.is_dir() {
            let message = format!(
                "`{}` is a directory, and the store is a file",
                file.path.display()
            );
            findings.push(Finding::error(file, message, Some("name a file in it")));
        }
        if let Err((place, error)) = probe(directory) {
            let message = format!("cannot write in `{}`: {error}", place.display());
            findings.push(Finding::error(
                file,
                message,
                Some("let the gateway's account write there, or name another place"),
            ));
        }
    }
}

/// Whether a file can be made in `directory`; if that is not there yet, in the nearest one that is, where it will be made.
fn probe(directory: &Path) -> Result<(), (&Path, io::Error)> {
    let existing = directory.ancestors().map(or_here).find(|it| it.exists());
    let existing = existing.unwrap_or(Path::new("."));
    if !existing.is_dir() {
        return Err((
            existing,
            io::Error::new(io::ErrorKind::NotADirectory, "not a directory"),
        ));
    }
    // Only the attempt tells: permissions, read-only mounts and quotas all have a say.
    let path = existing.join(format!(".portcullis-check-{}", std::process::id()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|_| fs::remove_file(&path))
        .map_err(|error| (existing, error))
}

fn parent(path: &Path) -> &Path {
    or_here(path.parent().unwrap_or(path))
}

/// `data` is in a directory without a name, by which `.` is meant.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}
