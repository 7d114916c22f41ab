//! One gateway at a time uses a PostgreSQL store: a second one does not start, and a hold that is lost is noticed and taken again.
//! Needs the server that `PORTCULLIS_TEST_POSTGRES` names, as `scripts/test` has it.

use std::process::Stdio;

use http::StatusCode;
use serde_json::json;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::gateway::{Gateway, Setup};

/// The URL of a fresh schema, if there is a server.
#[expect(
    clippy::print_stderr,
    reason = "a test that did not run must not look as if it had"
)]
async fn fresh_schema() -> Option<String> {
    let Ok(server) = std::env::var("PORTCULLIS_TEST_POSTGRES") else {
        eprintln!("NOT RUN: no PORTCULLIS_TEST_POSTGRES");
        return None;
    };
    let schema = format!("test_{}", Uuid::now_v7().simple());
    let mut session = sqlx::PgConnection::connect(&server).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("create schema {schema}"));
    sqlx::raw_sql(create).execute(&mut session).await.unwrap();
    let join = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{join}options[search_path]={schema}"))
}

async fn end_hold(url: &str) {
    let mut session = sqlx::PgConnection::connect(url).await.unwrap();
    let ended = sqlx::query(
        "select pg_terminate_backend(pid) from pg_locks
        where locktype = 'advisory' and granted and objid = hashtext(current_schema())::oid",
    )
    .fetch_all(&mut session)
    .await
    .unwrap();
    assert_eq!(ended.len(), 1);
}

async fn approved(gateway: &Gateway) {
    let ask = json!({"Task": r"Exchange\New-MoveRequest", "Reason": "sales"});
    let asked = gateway
        .invoke("ana", "New-ElevatedAccessRequest", ask)
        .await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.text());
    let id = asked.first("Identity").as_str().unwrap().to_owned();
    let reply = json!({"RequestId": id, "Comment": "fine"});
    let answer = gateway
        .invoke("amy", "Approve-ElevatedAccessRequest", reply)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

async fn moves(gateway: &Gateway) -> StatusCode {
    let user = json!({"Identity": "eva@contoso.example"});
    gateway.invoke("ana", "New-MoveRequest", user).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_is_refused_and_a_lost_hold_is_noticed() {
    let Some(url) = fresh_schema().await else {
        return;
    };
    let mut gateway = Gateway::with(Setup {
        environment: vec![("PORTCULLIS__STORE__URL".to_owned(), url.clone())],
        ..Setup::default()
    })
    .await;
    approved(&gateway).await;
    assert_eq!(moves(&gateway).await, StatusCode::OK);

    let mut other = Gateway::start().await;
    other.terminate();
    let start = |url: &str| {
        let mut command = other.command(&["serve", "--config"]);
        command
            .arg(other.configuration_file())
            .env("PORTCULLIS__STORE__URL", url)
            .stdin(Stdio::null());
        command
    };
    let second = start(&url).output().unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{told}");
    assert!(
        told.contains("is in use by another portcullis") && told.contains("stop that one first"),
        "{told}"
    );

    // Lost, and nobody else there: taken again.
    end_hold(&url).await;
    gateway.wait_for_log("The store's lock is lost");
    gateway.wait_for_log("Grants count again");
    assert_eq!(moves(&gateway).await, StatusCode::OK);
    assert_eq!(gateway.ask_control("/readyz").0, 200);

    // Lost to somebody who waited for it.
    let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
    let waits = tokio::spawn(async move {
        let lock = "select pg_advisory_lock(x'706f7274'::int, hashtext(current_schema()))";
        sqlx::raw_sql(lock).execute(&mut session).await.unwrap();
        session
    });
    let mut looking = sqlx::PgConnection::connect(&url).await.unwrap();
    loop {
        let waiting = sqlx::query(
            "select from pg_locks where locktype = 'advisory' and not granted
                and objid = hashtext(current_schema())::oid",
        );
        let waiting = waiting.fetch_all(&mut looking).await.unwrap();
        if !waiting.is_empty() {
            break;
        }
    }
    end_hold(&url).await;
    gateway.wait_for_log("Another portcullis has taken the store");
    assert_eq!(
        moves(&gateway).await,
        StatusCode::FORBIDDEN,
        "the grant may be revoked by now"
    );
    let user = json!({"Identity": "eva@contoso.example"});
    let blocked = gateway.invoke("ana", "New-MoveRequest", user).await.text();
    assert!(
        blocked.contains("cannot tell now which grants are in force"),
        "{blocked}"
    );
    let (status, text) = gateway.ask_control("/readyz");
    assert_eq!(status, 503);
    assert!(text.contains("the store's lock is lost"), "{text}");
    let ask = json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "left"});
    let refused = gateway
        .invoke("ana", "New-ElevatedAccessRequest", ask)
        .await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    waits.await.unwrap().close().await.unwrap();
    gateway.wait_for_log("Grants count again");
    assert_eq!(moves(&gateway).await, StatusCode::OK);
    assert!(gateway.terminate().success());
    let kinds: Vec<String> = gateway
        .records()
        .iter()
        .filter_map(|it| it["kind"].as_str().map(str::to_owned))
        .collect();
    let count = |kind: &str| kinds.iter().filter(|it| *it == kind).count();
    assert_eq!(count("store.regained"), 2);
}
