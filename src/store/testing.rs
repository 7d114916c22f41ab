//! Stores for tests: one test, run on every engine that is there.
//!
//! SQLite always; PostgreSQL too when `PORTCULLIS_TEST_POSTGRES` holds the URL of a database in which schemas may be made.

use sqlx::Connection as _;
use uuid::Uuid;

use crate::config;

use super::{OpenError, Store};

/// A place of its own for a store: an SQLite file in a folder that goes with it, or a fresh PostgreSQL schema.
pub(crate) struct Place {
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    /// A fresh SQLite file.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/portcullis.db");
        Self {
            url: format!("sqlite:{}", path.display()),
            _folder: Some(folder),
        }
    }

    /// A fresh schema of the PostgreSQL server for tests, if there is one.
    pub(crate) async fn on_server() -> Option<Self> {
        let server = std::env::var("PORTCULLIS_TEST_POSTGRES").ok()?;
        Some(Self::postgres(&server).await)
    }

    /// Ends the session by which a store there is held, as an administrator or a failing network does.
    pub(crate) async fn end_hold(&self) {
        let mut session = sqlx::PgConnection::connect(&self.url).await.unwrap();
        let ended = sqlx::query(
            "select pg_terminate_backend(pid) from pg_locks
            where locktype = 'advisory' and granted and objid = hashtext(current_schema())::oid",
        )
        .fetch_all(&mut session)
        .await
        .unwrap();
        assert_eq!(ended.len(), 1, "one session holds the store");
    }

    async fn postgres(server: &str) -> Self {
        let schema = format!("test_{}", Uuid::now_v7().simple());
        let mut session = sqlx::PgConnection::connect(server).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("create schema {schema}"));
        sqlx::raw_sql(create).execute(&mut session).await.unwrap();
        let join = if server.contains('?') { '&' } else { '?' };
        Self {
            url: format!("{server}{join}options[search_path]={schema}"),
            _folder: None,
        }
    }

    /// The path of the SQLite file.
    pub(crate) fn path(&self) -> &std::path::Path {
        std::path::Path::new(self.url.strip_prefix("sqlite:").unwrap())
    }

    /// What the configuration says of it.
    pub(crate) fn config(&self) -> config::Store {
        config::Store {
            url: self.url.clone(),
        }
    }

    /// The store there, opened; waits for whoever has just let it go.
    pub(crate) async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    /// The outcome of opening the store there. A server notices the end of a session a moment after its client does, so this
    /// waits while the store is in use.
    pub(crate) async fn try_open(&self) -> Result<Store, OpenError> {
        loop {
            match Store::open(&self.config()).await {
                Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                outcome => return outcome,
            }
        }
    }
}

/// Runs `test` on each engine, one after the other.
pub(crate) async fn on_each_engine(test: impl AsyncFn(&Place)) {
    test(&Place::sqlite()).await;
    if let Some(place) = Place::on_server().await {
        test(&place).await;
    }
}
