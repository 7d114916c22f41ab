//! Opening PostgreSQL: durable commits, bounded waits, and one portcullis for a schema.

use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Row as _};

use super::database::Database;
use super::sqlite::{ACQUIRE_TIMEOUT, OpenError, unmigrated};
use super::{Hold, MIGRATIONS, Store};

/// Connections to the server.
const CONNECTIONS: u32 = 8;

/// The first key of the advisory lock: `port` in ASCII. The second is the schema's.
const LOCK: i32 = i32::from_be_bytes(*b"port");

/// Opens the database at `url`.
pub(super) async fn open(url: &str) -> Result<Store, OpenError> {
    let options = options(url)?;
    let unreachable = |source| OpenError::Connect { source };
    let mut session = Box::new(options.connect().await.map_err(unreachable)?);
    let row = sqlx::query(
        "select pg_try_advisory_lock($1, hashtext(current_schema())) as held,
            current_setting('synchronous_commit') as durability",
    )
    .bind(LOCK)
    .fetch_one(&mut *session)
    .await
    .map_err(unreachable)?;
    let host = options.get_host();
    let place = format!(
        "the store `{}` at `{host}`",
        options.get_database().unwrap_or_default()
    );
    if !row.try_get::<bool, _>("held").map_err(unreachable)? {
        return Err(OpenError::InUse {
            place,
            holder: String::new(),
        });
    }
    if row
        .try_get::<String, _>("durability")
        .map_err(unreachable)?
        == "off"
    {
        return Err(OpenError::NotDurable);
    }
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone())
        .await
        .map_err(unreachable)?;
    MIGRATIONS
        .run(&pool)
        .await
        .map_err(|error| unmigrated(place, error))?;
    Ok(Store {
        database: Database::Postgres(pool),
        _hold: Hold::Postgres { _session: session },
    })
}

/// Opens the database at `url` to read it, beside whoever uses it.
pub(super) async fn look(url: &str) -> Result<Store, OpenError> {
    let options = options(url)?.options([("default_transaction_read_only", "on")]);
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|source| OpenError::Connect { source })?;
    Ok(Store {
        database: Database::Postgres(pool),
        _hold: Hold::None,
    })
}

fn options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| OpenError::Url {
        problem: "not a PostgreSQL URL, such as `postgres://portcullis@db.example/portcullis`",
    })?;
    // Milliseconds. A statement that hangs must become an answer before a client gives up.
    Ok(options.application_name("portcullis").options([
        ("statement_timeout", "10000"),
        ("lock_timeout", "5000"),
        ("idle_in_transaction_session_timeout", "10000"),
    ]))
}
