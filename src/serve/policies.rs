//! The policy files of a directory: read as one set, and read again when they change.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::model::Interner;
use crate::policy::{Place, PolicyFile, PolicyProblem, PolicySet};

/// Longer files are cut here, in bytes: one above what [`PolicySet::load`] takes, so that it tells them.
const LONGEST: u64 = (4 << 20) + 1;

/// Reads the `*.toml` files of `directory`, sorted by name; sub-directories and hidden files are passed over.
///
/// # Errors
///
/// The directory, or a file in it, cannot be read or is not UTF-8; its path is in the message.
pub fn read_policy_files(directory: &Path) -> io::Result<Vec<PolicyFile>> {
    let named = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let read = |path: &Path| {
        let mut text = String::new();
        File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
        Ok(PolicyFile {
            path: path.display().to_string(),
            text,
        })
    };
    let paths = list(directory).map_err(|error| named(directory, error))?;
    paths
        .iter()
        .map(|path| read(path).map_err(|error| named(path, error)))
        .collect()
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|it| it == "toml") && !hidden && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A directory of policy files, with what is needed to read it as a set.
#[derive(Debug)]
pub(super) struct PolicySource {
    pub(super) directory: PathBuf,
    pub(super) default_approver_group: Option<String>,
    pub(super) interner: Arc<Interner>,
}

/// What a directory looked like: names, sizes and times of its files. A change of any makes it worth reading again.
pub(super) type Looks = Vec<(PathBuf, u64, Option<SystemTime>)>;

impl PolicySource {
    /// Reads the files, and tells what is wrong with them as a set.
    pub(super) fn load(&self) -> Result<Vec<PolicyFile>, Vec<PolicyProblem>> {
        let files = read_policy_files(&self.directory).map_err(|error| {
            let place = Place { file: self.directory.display().to_string(), line: 0 };
            let hint = "`[policies] directory` is where the policy files lie; let the gateway's account read it";
            vec![PolicyProblem { place, message: format!("cannot read policies: {error}"), hint: Some(hint.to_owned()) }]
        })?;
        PolicySet::load(
            &files,
            &[],
            self.default_approver_group.as_deref(),
            &self.interner,
        )?;
        Ok(files)
    }

    /// What the directory looks like now; empty if it cannot be listed.
    pub(super) fn looks(&self) -> Looks {
        let paths = list(&self.directory).unwrap_or_default();
        paths
            .into_iter()
            .map(|path| {
                let metadata = fs::metadata(&path).ok();
                let length = metadata.as_ref().map_or(0, fs::Metadata::len);
                let modified = metadata.and_then(|it| it.modified().ok());
                (path, length, modified)
            })
            .collect()
    }
}
