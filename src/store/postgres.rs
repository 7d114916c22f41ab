//! Opening PostgreSQL: durable commits, bounded waits, and one portcullis for a schema.

use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Row as _};

use super::database::Database;
use super::hold::{Hold, take};
use super::sqlite::{ACQUIRE_TIMEOUT, OpenError, unmigrated};
use super::{MIGRATIONS, Store};

/// Connections to the server.
const CONNECTIONS: u32 = 8;

/// Opens the database at `url`.
pub(super) async fn open(url: &str) -> Result<Store, OpenError> {
    let options = options(url)?;
    let unreachable = |source| OpenError::Connect { source };
    let mut session = options.connect().await.map_err(unreachable)?;
    let is_held = take(&mut session).await.map_err(unreachable)?;
    let host = options.get_host();
    let place = format!(
        "the store `{}` at `{host}`",
        options.get_database().unwrap_or_default()
    );
    if !is_held {
        return Err(OpenError::InUse {
            place,
            holder: String::new(),
        });
    }
    let durability: String =
        sqlx::query("select current_setting('synchronous_commit') as durability")
            .fetch_one(&mut session)
            .await
            .and_then(|row| row.try_get("durability"))
            .map_err(unreachable)?;
    if durability == "off" {
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
    let hold = Hold::session(session, options);
    Ok(Store {
        database: Database::Postgres(pool, hold.held()),
        hold,
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
    let hold = Hold::nothing();
    Ok(Store {
        database: Database::Postgres(pool, hold.held()),
        hold,
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
