//! One SQL for two engines: statements, rows and transactions that know two types, text and 64-bit integers, and no more.
//!
//! sqlx's own `Any` driver would bring a third set of types and take options only as a URL; SQLite needs its pragmas set and
//! its write transactions begun as such, so the choice of engine is a match here, and nowhere else below `store`.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{PgPool, Postgres, Row as _, Sqlite, SqlitePool};

/// The open database.
#[derive(Debug)]
pub(super) enum Database {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// A statement with its arguments: `$1` is the first one bound.
pub(super) struct Statement {
    sql: &'static str,
    arguments: Vec<Argument>,
}

/// What a statement is given.
pub(super) enum Argument {
    Integer(Option<i64>),
    Text(Option<String>),
}

/// A row of an answer; columns go by name.
pub(super) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

/// Statements that take effect together. Dropped without [`Transaction::commit`], none does.
pub(super) enum Transaction {
    Postgres(sqlx::Transaction<'static, Postgres>),
    Sqlite(sqlx::Transaction<'static, Sqlite>),
}

/// A statement of this text.
pub(super) fn sql(sql: &'static str) -> Statement {
    Statement {
        sql,
        arguments: Vec::new(),
    }
}

impl Statement {
    /// With one more argument.
    pub(super) fn bind(mut self, argument: impl Into<Argument>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

/// The statement as sqlx takes it for one engine.
macro_rules! prepared {
    ($engine:ty, $statement:expr) => {
        $statement.arguments.into_iter().fold(
            sqlx::query::<$engine>($statement.sql),
            |query, argument| match argument {
                Argument::Integer(value) => query.bind(value),
                Argument::Text(value) => query.bind(value),
            },
        )
    };
}

impl Database {
    /// The rows that a reading statement finds.
    pub(super) async fn rows(&self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Postgres(pool) => {
                let rows = prepared!(Postgres, statement).fetch_all(pool).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
            Self::Sqlite(pool) => {
                let rows = prepared!(Sqlite, statement).fetch_all(pool).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
        })
    }

    /// How the engine would find the rows, a line a step.
    #[cfg(test)]
    pub(super) async fn plan(&self, mut statement: Statement) -> String {
        let (explain, column) = match self {
            Self::Postgres(_) => ("explain", "QUERY PLAN"),
            Self::Sqlite(_) => ("explain query plan", "detail"),
        };
        statement.sql = format!("{explain} {}", statement.sql).leak();
        let rows = self.rows(statement).await.unwrap();
        let lines: Vec<String> = rows.iter().map(|it| it.text(column).unwrap()).collect();
        lines.join("\n")
    }

    /// Runs a writing statement by itself.
    #[cfg(test)]
    pub(super) async fn run(&self, statement: Statement) {
        let mut transaction = self.begin().await.unwrap();
        transaction.execute(statement).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Begins a transaction that writes.
    ///
    /// On SQLite it takes the write lock at once: one that began by reading could find at its first write that another
    /// had written since, and would fail without the busy timeout being tried.
    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            Self::Postgres(pool) => Transaction::Postgres(pool.begin().await?),
            Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with("begin immediate").await?),
        })
    }

    /// Closes all connections, after what they are doing.
    pub(super) async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    /// Runs a writing statement; how many rows it changed.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Postgres(transaction) => prepared!(Postgres, statement)
                .execute(&mut **transaction)
                .await?
                .rows_affected(),
            Self::Sqlite(transaction) => prepared!(Sqlite, statement)
                .execute(&mut **transaction)
                .await?
                .rows_affected(),
        })
    }

    /// Makes it all durable.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(transaction) => transaction.commit().await,
            Self::Sqlite(transaction) => transaction.commit().await,
        }
    }
}

impl Row {
    pub(super) fn integer(&self, column: &str) -> Result<i64, sqlx::Error> {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }

    pub(super) fn maybe_integer(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }

    pub(super) fn text(&self, column: &str) -> Result<String, sqlx::Error> {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }

    pub(super) fn maybe_text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }
}

impl From<i64> for Argument {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Argument {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Argument {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Argument {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Argument {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<uuid::Uuid> for Argument {
    fn from(value: uuid::Uuid) -> Self {
        Self::Text(Some(value.to_string()))
    }
}

impl From<chrono::DateTime<chrono::Utc>> for Argument {
    fn from(value: chrono::DateTime<chrono::Utc>) -> Self {
        Self::Integer(Some(value.timestamp_millis()))
    }
}
