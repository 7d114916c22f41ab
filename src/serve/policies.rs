//! The policy files of a directory: read as one set, and read again when they change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::model::Interner;
use crate::policy::{Place, PolicyFile, PolicyProblem, PolicySet};

/// The largest policy file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Reads the `*.toml` files of `directory`, sorted by name; sub-directories and hidden files are passed over.
/// What cannot be read is a problem at line 0 of its file.
pub fn read_policy_files(directory: &Path) -> Result<Vec<PolicyFile>, Vec<PolicyProblem>> {
    let mut files = Vec::new();
    let mut problems = Vec::new();
    let names = match list(directory) {
        Ok(names) => names,
        Err(error) => {
            return Err(vec![problem(
                directory,
                &error,
                "`[policies] directory` must be a readable directory",
            )]);
        }
    };
    for path in names {
        match read(&path) {
            Ok(text) => files.push(PolicyFile {
                path: path.display().to_string(),
                text,
            }),
            Err(error) => problems.push(problem(
                &path,
                &error,
                "a policy file is UTF-8 text of at most 4 MiB",
            )),
        }
    }
    if problems.is_empty() {
        Ok(files)
    } else {
        Err(problems)
    }
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

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 4 MiB",
        ));
    }
    fs::read_to_string(path)
}

fn problem(path: &Path, error: &io::Error, hint: &str) -> PolicyProblem {
    PolicyProblem {
        place: Place {
            file: path.display().to_string(),
            line: 0,
        },
        message: format!("cannot be read: {error}"),
        hint: Some(hint.to_owned()),
    }
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
    /// Reads the whole set.
    pub(super) fn load(&self) -> Result<PolicySet, Vec<PolicyProblem>> {
        let files = read_policy_files(&self.directory)?;
        PolicySet::load(
            &files,
            self.default_approver_group.as_deref(),
            &self.interner,
        )
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
