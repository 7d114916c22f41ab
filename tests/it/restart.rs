//! What holds across a stop and a start, and that two processes never share a data directory.

use http::StatusCode;
use serde_json::json;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::gateway::Gateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_and_revocations_hold_across_a_restart() {
    let mut gateway = Gateway::start().await;
    let move_mailbox = async |gateway: &Gateway, person: &str| {
        let mailbox = json!({"Identity": "eva@contoso.example"});
        gateway
            .invoke(person, "New-MoveRequest", mailbox)
            .await
            .status
    };
    let kept = gateway
        .grant("ana", r"Exchange\New-MoveRequest", "amy")
        .await;
    let revoked = gateway
        .grant("ivy", r"Exchange\New-MoveRequest", "amy")
        .await;
    let answer = gateway
        .invoke(
            "bo",
            "Revoke-ElevatedAccessAuthorization",
            json!({"RequestId": revoked}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let pending = gateway
        .invoke(
            "ana",
            "New-ElevatedAccessRequest",
            json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "later"}),
        )
        .await;

    assert!(gateway.terminate().success());
    gateway.restart();
    assert_eq!(move_mailbox(&gateway, "ana").await, StatusCode::OK);
    assert_eq!(move_mailbox(&gateway, "ivy").await, StatusCode::FORBIDDEN);
    let id = pending.first("Identity");
    let approved = gateway
        .invoke(
            "bo",
            "Approve-ElevatedAccessRequest",
            json!({"RequestId": id}),
        )
        .await;
    assert_eq!(
        approved.first("RequestStatus"),
        "Approved",
        "{}",
        approved.text()
    );

    // Revoked after the restart: what was loaded can be taken away.
    let answer = gateway
        .invoke(
            "bo",
            "Revoke-ElevatedAccessAuthorization",
            json!({"RequestId": kept}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(move_mailbox(&gateway, "ana").await, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_ends_while_the_gateway_is_down_is_over_when_it_is_back() {
    let mut gateway = Gateway::start().await;
    let set_mailbox = async |gateway: &Gateway| {
        let parameters = json!({"Identity": "eva@contoso.example", "DisplayName": "Eva"});
        gateway
            .invoke("ana", "Set-Mailbox", parameters)
            .await
            .status
    };
    let filed = gateway
        .invoke(
            "ana",
            "New-ElevatedAccessRequest",
            json!({"Task": r"Exchange\Set-Mailbox", "Reason": "short"}),
        )
        .await;
    assert_eq!(filed.first("RequestStatus"), "Approved", "{}", filed.text());
    let id = filed.first("Identity");
    let shown = gateway
        .invoke(
            "ana",
            "Get-ElevatedAccessAuthorization",
            json!({"RequestId": id}),
        )
        .await;
    assert_eq!(shown.first("State"), "Active", "{}", shown.text());
    gateway.kill();
    // The gateway is down for two hours, or so it looks.
    let options = SqliteConnectOptions::new().filename(gateway.path("data/portcullis.db"));
    let mut store = SqliteConnection::connect_with(&options).await.unwrap();
    let passed = "UPDATE grants SET starts_ms = starts_ms - 7200000, ends_ms = ends_ms - 7200000";
    let changed = sqlx::query(passed).execute(&mut store).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    store.close().await.unwrap();
    gateway.restart();
    assert_eq!(set_mailbox(&gateway).await, StatusCode::FORBIDDEN);
    let shown = gateway
        .invoke(
            "ana",
            "Get-ElevatedAccessAuthorization",
            json!({"RequestId": id}),
        )
        .await;
    assert_eq!(shown.first("State"), "Expired", "{}", shown.text());
    let expired = gateway.eventually("the end is on record", |it| {
        it.records()
            .into_iter()
            .find(|it| it["kind"] == "grant.expired")
    });
    assert_eq!(expired["request"], id);
    // It can be asked for again.
    let again = gateway
        .invoke(
            "ana",
            "New-ElevatedAccessRequest",
            json!({"Task": r"Exchange\Set-Mailbox", "Reason": "again"}),
        )
        .await;
    assert_eq!(again.first("RequestStatus"), "Approved", "{}", again.text());
    assert_ne!(again.first("Identity"), id);
    assert_eq!(set_mailbox(&gateway).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_data_is_refused() {
    let gateway = Gateway::start().await;
    let records = gateway.records().len();
    let (code, text) = gateway.refused_start();
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("another process writes to the audit log"),
        "{text}"
    );
    assert_eq!(gateway.records().len(), records);

    // Another log does not help: the store is one process's as well.
    let configuration = std::fs::read_to_string(gateway.configuration_file()).unwrap();
    let other = configuration.replace("\"data/audit\"", "\"data/other\"");
    std::fs::write(gateway.configuration_file(), other).unwrap();
    let (code, text) = gateway.refused_start();
    assert_eq!(code, 1, "{text}");
    let expected = format!(
        "in use by another portcullis (process {})",
        gateway.process_id()
    );
    assert!(text.contains(&expected), "{text}");
    let read = gateway.invoke("ana", "Get-Mailbox", json!({})).await;
    assert_eq!(read.status, StatusCode::OK, "the first one goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_a_clear_error() {
    let mut gateway = Gateway::start().await;
    gateway.kill();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let configuration = std::fs::read_to_string(gateway.configuration_file()).unwrap();
    let usual = "[proxy]\nlisten = \"127.0.0.1:0\"";
    assert!(configuration.contains(usual));
    let other = configuration.replace(usual, &format!("[proxy]\nlisten = \"{address}\""));
    std::fs::write(gateway.configuration_file(), other).unwrap();
    let (code, text) = gateway.refused_start();
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains(&format!("cannot listen on {address}: the port is taken")),
        "{text}"
    );
}
