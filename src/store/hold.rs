//! The hold on a store, by which one process at a time uses it, and what is known of it from moment to moment.
//!
//! A file's lock lasts as long as the process has the file open. An advisory lock of PostgreSQL ends with its session, which a
//! server that restarts, an administrator or a network may end: so the session is asked again and again, and while nobody knows
//! that the lock is held, nothing is written ([`super::Store::commit`]), and whoever keeps a copy in memory learns that it may
//! be out of date ([`super::Store::hold`]). The lock is taken again as soon as it can be had.
//!
//! INVARIANT: a session that is not trusted any more is let go before another one tries for the lock. It may be alive, after a
//! server that stalled or a statement that was cancelled, and would keep the lock from its own process.
//!
//! Revisit when: several processes share a store. Then a change has to reach the others' memory, and there is no such hold.

use std::fs::File;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, Row as _};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

/// The first key of the advisory lock: `port` in ASCII. The second is the schema's.
const LOCK: i32 = i32::from_be_bytes(*b"port");

/// How often the session is asked, and a lock that was lost is tried for.
const PERIOD: Duration = Duration::from_millis(500);

/// How long the server may take to answer. Another process can have the store for this long and [`PERIOD`] without this one
/// knowing.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether this process has the store to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nobody else uses it.
    Held,
    /// Another process may use it, and may have changed it.
    Lost,
}

/// What keeps other processes out.
#[derive(Debug)]
pub(super) struct Hold {
    held: watch::Receiver<Held>,
    _by: By,
}

#[derive(Debug)]
enum By {
    /// Nothing: this one only reads.
    Nothing { _held: watch::Sender<Held> },
    /// A locked file beside the database.
    File {
        _lock: File,
        _held: watch::Sender<Held>,
    },
    /// A task that keeps a session which holds an advisory lock.
    Session { _task: AbortOnDropHandle<()> },
}

impl Hold {
    /// None: for a store that is only looked at.
    pub(super) fn nothing() -> Self {
        let (sender, held) = watch::channel(Held::Held);
        Self {
            held,
            _by: By::Nothing { _held: sender },
        }
    }

    /// By a locked file, which cannot be lost.
    pub(super) fn file(lock: File) -> Self {
        let (sender, held) = watch::channel(Held::Held);
        Self {
            held,
            _by: By::File {
                _lock: lock,
                _held: sender,
            },
        }
    }

    /// By the lock that `session` holds. If it is lost, it is taken again by a session with `options`.
    pub(super) fn session(session: PgConnection, options: PgConnectOptions) -> Self {
        let (sender, held) = watch::channel(Held::Held);
        let task = tokio::spawn(keep(session, options, sender));
        Self {
            held,
            _by: By::Session {
                _task: AbortOnDropHandle::new(task),
            },
        }
    }

    /// Tells each change. What was lost and regained at once is told as one change.
    pub(super) fn held(&self) -> watch::Receiver<Held> {
        self.held.clone()
    }
}

/// Asks the session until it is lost, then tries for the lock until it is had, and so on.
async fn keep(mut session: PgConnection, options: PgConnectOptions, held: watch::Sender<Held>) {
    loop {
        let why = loop {
            tokio::time::sleep(PERIOD).await;
            if let Err(why) = confirm(&mut session).await {
                break why;
            }
        };
        held.send_replace(Held::Lost);
        error!(
            error = why,
            "The store's lock is lost: nothing is stored and no grant counts until it is held again"
        );
        drop(session);
        session = regain(&options).await;
        info!("The store's lock is held again");
        held.send_replace(Held::Held);
    }
}

/// That the session lives and has the lock.
async fn confirm(session: &mut PgConnection) -> Result<(), String> {
    // A pooler between here and the server may answer by another session, which has no lock.
    let asked = sqlx::query(
        "select exists(
            select from pg_locks
            where locktype = 'advisory' and granted and pid = pg_backend_pid() and objsubid = 2
                and classid = $1::integer::oid and objid = hashtext(current_schema())::oid
        ) as held",
    )
    .bind(LOCK)
    .fetch_one(session);
    match tokio::time::timeout(PATIENCE, asked).await {
        Err(_) => Err(format!("the server did not answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(row)) => match row.try_get::<bool, _>("held") {
            Ok(true) => Ok(()),
            Ok(false) => Err("the session is another one: a pooler must not change sessions between transactions".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    }
}

/// A session that has the lock, however long it takes.
async fn regain(options: &PgConnectOptions) -> PgConnection {
    let mut told = false;
    let mut refused = false;
    loop {
        let tried = async {
            let mut session = options.connect().await?;
            let has_it = take(&mut session).await?;
            Ok::<_, sqlx::Error>(has_it.then_some(session))
        };
        match tokio::time::timeout(PATIENCE, tried).await {
            Ok(Ok(Some(session))) => return session,
            // The server may not have noticed yet that the session before is gone.
            Ok(Ok(None)) if !refused => refused = true,
            Ok(Ok(None)) if !told => {
                told = true;
                error!(
                    "Another portcullis has taken the store: this one stores nothing and no grant counts here; stop one of the two"
                );
            }
            Ok(Err(error)) if !told => {
                told = true;
                warn!(%error, "The database server cannot be reached; it is tried on");
            }
            Ok(Ok(None) | Err(_)) | Err(_) => {}
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Takes the lock, if nobody has it.
pub(super) async fn take(session: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query("select pg_try_advisory_lock($1, hashtext(current_schema())) as held")
        .bind(LOCK)
        .fetch_one(session)
        .await?
        .try_get("held")
}

#[cfg(test)]
mod tests;
