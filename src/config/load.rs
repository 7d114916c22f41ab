//! From a file and an environment to a [`Config`], or to everything that is wrong with them.

use std::path::{Path, PathBuf};

use super::file::{self, TomlFile};
use super::lower::Lowering;
use super::raw::RawConfig;
use super::reader::Reader;
use super::{Config, ConfigProblem, Environment, Identity, Place};

impl Config {
    /// Reads the file at `path` and what `environment` changes in it; on any problem, all of them.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, Vec<ConfigProblem>> {
        let reading = read(path, environment);
        match reading.config {
            Some(config) => Ok(config),
            None => Err(reading.problems),
        }
    }
}

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Reading {
    /// The configuration; `None` exactly if there are problems.
    pub config: Option<Config>,
    /// What is wrong, by place.
    pub problems: Vec<ConfigProblem>,
    /// What is allowed and doubtful, by place.
    pub warnings: Vec<ConfigProblem>,
    /// The files and directories that the configuration names; with problems, those that are known in spite of them.
    pub files: Vec<NamedFile>,
    /// The identities that are whole; with problems, those that are in spite of them.
    pub identities: Vec<Identity>,
    /// `[access_control] default_approver_group`, also where there are problems.
    pub default_approver_group: Option<String>,
}

/// A file or directory that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// What it is for.
    pub role: Role,
    /// The key that names it, such as `proxy.tls.certificate`.
    pub key: String,
    /// Where it is; relative paths begin at the configuration file's directory.
    pub path: PathBuf,
    /// Where the key was set.
    pub place: Place,
}

/// What a named file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[audit] directory`
    AuditDirectory,
    /// `[proxy] tls.certificate`
    Certificate,
    /// `[[identity]] jwks`, as a file.
    Jwks,
    /// `[proxy] tls.key`
    Key,
    /// `[notify.smtp] ca` and `[[webhook]] ca`
    NotifyCa,
    /// `[policies] directory`
    PolicyDirectory,
    /// A password or a token to sign in with upstream or at the mail server, a webhook's URL or its key.
    Secret,
    /// The file of an embedded store.
    Store,
    /// `[notify] templates`
    TemplateDirectory,
    /// `[[endpoint]] upstream_ca`
    UpstreamCa,
    /// `[[identity]] users`
    Users,
}

/// Reads the file at `path` and what `environment` changes in it, and tells everything that is wrong at once.
pub fn read(path: &Path, environment: &Environment) -> Reading {
    let name = path.display().to_string();
    match file::open(path).and_then(|text| TomlFile::parse(&name, &text)) {
        Ok(file) => layered(path, &name, &file, environment),
        Err(mut problems) => Reading {
            config: None,
            problems: {
                problems.sort();
                problems
            },
            warnings: Vec::new(),
            files: Vec::new(),
            identities: Vec::new(),
            default_approver_group: None,
        },
    }
}

fn layered(path: &Path, name: &str, file: &TomlFile, environment: &Environment) -> Reading {
    let mut reader = Reader::new(name, &file.tables);
    let variables = environment.source(file, &mut reader.problems);
    let raw = config::Config::builder()
        .add_source(file.clone())
        .add_source(variables)
        .build()
        .map_err(|error| reader.problem(&Place::File(name.to_owned()), error.to_string(), None))
        .ok()
        .and_then(|values| RawConfig::read_root(values.cache, &mut reader));
    let default_approver_group = raw
        .as_ref()
        .and_then(|it| {
            it.access_control
                .as_ref()?
                .value
                .default_approver_group
                .as_ref()
        })
        .map(|it| it.value.clone());
    let mut lowering = Lowering {
        reader: &mut reader,
        directory: path.parent().unwrap_or(Path::new("")),
        files: Vec::new(),
        identities: Vec::new(),
    };
    let config = raw.and_then(|it| lowering.config(it));
    let Lowering {
        files, identities, ..
    } = lowering;
    let Reader {
        mut problems,
        mut warnings,
        ..
    } = reader;
    problems.sort();
    problems.dedup();
    warnings.sort();
    Reading {
        config: config.filter(|_| problems.is_empty()),
        problems,
        warnings,
        files,
        identities,
        default_approver_group,
    }
}
