//! Where the store is: who may have it, and what is wrong with a file that is none.

use super::super::database::sql;
use super::*;

#[tokio::test]
async fn a_second_process_is_refused_and_a_later_one_let_in() {
    on_each_engine(async |place| {
        let first = place.open().await;
        let refused = Store::open(&place.config()).await.unwrap_err();
        assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
        assert!(refused.to_string().contains("stop that one first"));
        first.close().await;
        place.try_open().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused() {
    on_each_engine(async |place| {
        let store = place.open().await;
        let mut transaction = store.database.begin().await.unwrap();
        let newer = sql(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                select 9999, description, success, checksum, 0 from _sqlx_migrations where version = 1",
        );
        transaction.execute(newer).await.unwrap();
        transaction.commit().await.unwrap();
        store.close().await;
        let refused = place.try_open().await.unwrap_err();
        assert!(refused.to_string().contains("made by a newer portcullis"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn sqlite_keeps_what_it_acknowledged_and_is_its_owners_alone() {
    let place = Place::sqlite();
    let store = place.open().await;
    let pragma = async |text| {
        let rows = store.database.rows(sql(text)).await.unwrap();
        let column = text.strip_prefix("pragma ").unwrap();
        rows[0]
            .integer(column)
            .map_or_else(|_| rows[0].text(column).unwrap(), |it| it.to_string())
    };
    assert_eq!(pragma("pragma journal_mode").await, "wal");
    assert_eq!(pragma("pragma synchronous").await, "2");
    assert_eq!(pragma("pragma foreign_keys").await, "1");
    let busy = store.database.rows(sql("pragma busy_timeout")).await;
    assert_eq!(busy.unwrap()[0].integer("timeout").unwrap(), 5_000);
    store.commit(&[add(&request("ann", None))]).await.unwrap();

    let folder = place.path().parent().unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    let mut files = 0;
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 4, "the database, its log, its index and the lock");
}

#[tokio::test]
async fn a_file_that_is_no_database_or_a_damaged_one_is_named() {
    let place = Place::sqlite();
    std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    std::fs::write(place.path(), "a".repeat(8192)).unwrap();
    let error = Store::open(&place.config()).await.unwrap_err();
    assert!(
        error.to_string().contains("is not an SQLite database"),
        "{error}"
    );

    let place = Place::sqlite();
    place.open().await.close().await;
    let mut bytes = std::fs::read(place.path()).unwrap();
    bytes[100..4096].fill(0x5a);
    std::fs::write(place.path(), bytes).unwrap();
    let error = Store::open(&place.config()).await.unwrap_err();
    assert!(
        error.to_string().contains("is damaged: restore it"),
        "{error}"
    );
}

#[tokio::test]
async fn a_store_locked_by_another_program_is_named() {
    let place = Place::sqlite();
    place.open().await.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(place.path())
        .locking_mode(sqlx::sqlite::SqliteLockingMode::Exclusive);
    let mut browser = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::raw_sql("begin exclusive")
        .execute(&mut browser)
        .await
        .unwrap();
    let error = Store::open(&place.config()).await.unwrap_err();
    assert!(
        error.to_string().contains("is locked by another program"),
        "{error}"
    );
}

#[tokio::test]
async fn urls_of_unknown_kinds_are_refused() {
    for url in ["mysql://x/y", "portcullis.db", ""] {
        let config = config::Store {
            url: url.to_owned(),
        };
        let error = Store::open(&config).await.unwrap_err();
        assert!(matches!(error, OpenError::UnknownKind), "{url}");
    }
}
