//! Reads the policy files of a directory.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use crate::policy::PolicyFile;

/// Longer files are cut here, in bytes, one above what [`crate::policy::PolicySet::load`] takes, so that it tells them.
const LONGEST: u64 = (4 << 20) + 1;

/// Every `*.toml` of `directory`, by name.
///
/// # Errors
///
/// The directory, or a file in it, cannot be read; its path is in the message.
pub(crate) fn read_files(directory: &Path) -> io::Result<Vec<PolicyFile>> {
    let named = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(|it| named(directory, it))? {
        let path = entry.map_err(|it| named(directory, it))?.path();
        if path.extension().is_some_and(|it| it == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &Path| {
        let mut text = String::new();
        let file = File::open(path)?;
        file.take(LONGEST).read_to_string(&mut text)?;
        Ok(PolicyFile {
            path: path.display().to_string(),
            text,
        })
    };
    paths
        .iter()
        .map(|path| read(path).map_err(|it| named(path, it)))
        .collect()
}
