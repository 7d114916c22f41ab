//! Opening SQLite: a file of the owner's alone, a lock that keeps other processes out, and the pragmas that keep promises.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::database::Database;
use super::{Hold, MIGRATIONS, Store};

/// How long a statement waits for another's write to end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a statement waits for a free connection.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// One that writes, and three that read beside it. Each costs a thread and a page cache of up to [`CACHE`].
const CONNECTIONS: u32 = 4;

/// Pages that a connection keeps, for `PRAGMA cache_size`: 512 KiB. The system keeps the file's pages as well.
const CACHE: &str = "-512";

/// Why the store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database server did not let us in.
    #[error("cannot use the database server of `[store] url`")]
    Connect {
        /// Why.
        source: sqlx::Error,
    },
    /// A file or directory could not be made or opened.
    #[error("cannot open `{}`: check that its directory exists and may be written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another portcullis uses it.
    #[error(
        "{place} is in use by another portcullis{holder}: stop that one first, or give this one a store of its own (`[store] url`)"
    )]
    InUse {
        /// The store.
        place: String,
        /// ` (process 1234)`, if it is known.
        holder: String,
    },
    /// Its schema could not be brought up to date.
    #[error("cannot bring the schema of {place} up to date")]
    Migrate {
        /// The store.
        place: String,
        /// Why.
        source: MigrateError,
    },
    /// It was made by a newer program.
    #[error(
        "{place} was made by a newer portcullis (its schema has change {version}, which this one does not know): use that version, or a store of its own"
    )]
    NewerSchema {
        /// The store.
        place: String,
        /// The first unknown migration.
        version: i64,
    },
    /// The server may lose what it acknowledged.
    #[error(
        "the database server has `synchronous_commit = off`, so it may lose what it acknowledged: set it to `on` for this database or user"
    )]
    NotDurable,
    /// SQLite cannot use the file.
    #[error("the store `{}` {problem}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: &'static str,
        /// SQLite's words.
        source: sqlx::Error,
    },
    /// The URL is of no known kind.
    #[error("`[store] url` must be `sqlite:<path>` or `postgres://…`")]
    UnknownKind,
    /// The URL is of a known kind, but wrong.
    #[error("`[store] url`: {problem}")]
    Url {
        /// What is wrong, without secrets.
        problem: &'static str,
    },
}

/// Opens the database at `path`, the part of the URL after `sqlite:`.
pub(super) async fn open(path: &str) -> Result<Store, OpenError> {
    let path = database_path(path)?;
    // At the start, before anything is served, so these few file operations may block.
    let lock = prepare(&path)?;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // A damaged or hostile file cannot make the schema run functions (https://www.sqlite.org/security.html).
        .pragma("trusted_schema", "off")
        .pragma("cache_size", CACHE);
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        // On a full disk SQLite may undo a transaction by itself. The connection then takes itself to be in one for ever, and
        // begins no other: it is thrown away.
        .before_acquire(|connection, _| {
            let is_usable = !connection.is_in_transaction();
            Box::pin(std::future::ready(Ok(is_usable)))
        })
        .connect_with(options)
        .await
        .map_err(|source| unusable(&path, source))?;
    MIGRATIONS.run(&pool).await.map_err(|error| match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            unusable(&path, source)
        }
        other => unmigrated(format!("the store `{}`", path.display()), other),
    })?;
    Ok(Store {
        database: Database::Sqlite(pool),
        hold: Hold::file(lock),
    })
}

/// Opens the database at `path` to read it, beside whoever uses it.
pub(super) async fn look(path: &str) -> Result<Store, OpenError> {
    let path = database_path(path)?;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "off");
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|source| unusable(&path, source))?;
    Ok(Store {
        database: Database::Sqlite(pool),
        hold: Hold::nothing(),
    })
}

/// What a failed migration says about the store at `place`.
pub(super) fn unmigrated(place: String, source: MigrateError) -> OpenError {
    match source {
        MigrateError::VersionMissing(version) => OpenError::NewerSchema { place, version },
        source => OpenError::Migrate { place, source },
    }
}

fn database_path(text: &str) -> Result<PathBuf, OpenError> {
    let path = text.strip_prefix("//").unwrap_or(text);
    let problem = match path {
        "" => Some("a path is missing, such as `sqlite:data/portcullis.db`"),
        ":memory:" => Some("a store in memory would lose everything at a restart: name a file"),
        _ if path.contains('?') => Some("options after `?` are not known here"),
        _ => None,
    };
    match problem {
        Some(problem) => Err(OpenError::Url { problem }),
        None => Ok(PathBuf::from(path)),
    }
}

/// Makes the directory and the file, readable by their owner alone, and takes the lock.
fn prepare(path: &Path) -> Result<File, OpenError> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        |source| OpenError::File { path, source }
    };
    if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(at(directory))?;
    }
    let mut private = OpenOptions::new();
    private.read(true).write(true).create(true).mode(0o600);
    let lock_path = {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    };
    let mut lock = private.open(&lock_path).map_err(at(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            // What the holder wrote helps people find it, and is not needed to refuse.
            let _ = (&lock).take(20).read_to_string(&mut process);
            let holder = match process.trim().parse::<u32>() {
                Ok(process) => format!(" (process {process})"),
                Err(_) => String::new(),
            };
            return Err(OpenError::InUse {
                place: format!("the store `{}`", path.display()),
                holder,
            });
        }
        Err(TryLockError::Error(source)) => return Err(at(&lock_path)(source)),
    }
    let sign = |lock: &mut File| {
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())
    };
    sign(&mut lock).map_err(at(&lock_path))?;
    // SQLite gives its log and index beside the file the mode of the file (https://www.sqlite.org/src/file/src/os_unix.c).
    private.open(path).map_err(at(path))?;
    Ok(lock)
}

fn unusable(path: &Path, source: sqlx::Error) -> OpenError {
    OpenError::Sqlite {
        path: path.to_path_buf(),
        problem: problem(&source),
        source,
    }
}

/// What SQLite's primary result code means for people ([result codes]).
///
/// [result codes]: https://www.sqlite.org/rescode.html
fn problem(error: &sqlx::Error) -> &'static str {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .and_then(|code| code.parse::<u32>().ok())
        .map(|extended| extended & 0xff);
    match code {
        Some(5 | 6) => {
            "is locked by another program: close what has it open (a database browser, a backup)"
        }
        Some(8) => "is read-only: let the gateway's user write the file and its directory",
        Some(10) => "cannot be read or written: check the disk",
        Some(11) => {
            "is damaged: restore it from a backup, or recover it with `sqlite3 <file> .recover`"
        }
        Some(13) => "is on a full disk: make room",
        Some(14) => "cannot be opened: check its path and permissions",
        Some(26) => "is not an SQLite database: check `[store] url`",
        _ => "cannot be used",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_would_lose_data_or_hide_options_are_refused() {
        for good in [
            "data/p.db",
            "//data/p.db",
            "/var/lib/p.db",
            "///var/lib/p.db",
        ] {
            assert!(database_path(good).is_ok(), "{good}");
        }
        for bad in ["", "//", ":memory:", "p.db?mode=ro"] {
            assert!(database_path(bad).is_err(), "{bad}");
        }
        assert_eq!(
            database_path("///var/p.db").unwrap(),
            Path::new("/var/p.db")
        );
    }
}
