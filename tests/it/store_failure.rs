//! The disk under the store is full: what would have to be stored is refused, all else goes on, and nothing acknowledged is lost.

use http::StatusCode;
use serde_json::json;

use crate::client::Answer;
use crate::gateway::{Gateway, Setup};
use crate::small_disk::SmallDisk;

async fn asks(gateway: &Gateway, whose: &str) -> Answer {
    let ask = json!({
        "Task": r"Exchange\Remove-Mailbox",
        "Reason": "left",
        "Parameters": {"Identity": whose},
        "RequestContext": {"Note": "x".repeat(1_900)}
    });
    gateway
        .invoke("ana", "New-ElevatedAccessRequest", ask)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_disk_that_is_full_refuses_changes_until_there_is_room_and_loses_none() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let mut gateway = Gateway::with(Setup {
        environment: vec![(
            "PORTCULLIS__STORE__URL".to_owned(),
            format!("sqlite:{}/portcullis.db", disk.path().display()),
        )],
        ..Setup::default()
    })
    .await;
    // A grant that is in force before the disk is full.
    let ask = json!({"Task": r"Exchange\New-MoveRequest", "Reason": "sales"});
    let asked = gateway
        .invoke("ana", "New-ElevatedAccessRequest", ask)
        .await;
    let moved = asked.first("Identity").as_str().unwrap().to_owned();
    let approve = json!({"RequestId": moved, "Comment": "fine"});
    let approved = gateway
        .invoke("amy", "Approve-ElevatedAccessRequest", approve)
        .await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text());

    disk.fill();
    let mut acknowledged = Vec::new();
    let refused = loop {
        let answer = asks(&gateway, &format!("user{}", acknowledged.len())).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        let id = answer.first("Identity").as_str().unwrap().to_owned();
        acknowledged.push(id);
        assert!(
            acknowledged.len() < 90,
            "a full disk takes no end of requests"
        );
    };
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        refused.text()
    );
    assert!(
        refused
            .error()
            .contains("the gateway's store cannot be used now"),
        "{}",
        refused.text()
    );
    let revoke = json!({"RequestId": moved, "Comment": "over"});
    let revoked = gateway
        .invoke("amy", "Revoke-ElevatedAccessAuthorization", revoke.clone())
        .await;
    assert_eq!(revoked.status, StatusCode::SERVICE_UNAVAILABLE);
    // Decisions need no store: who has a grant goes on, who has none is blocked.
    let user = json!({"Identity": "eva@contoso.example"});
    let runs = gateway.invoke("ana", "New-MoveRequest", user.clone()).await;
    assert_eq!(runs.status, StatusCode::OK, "{}", runs.text());
    let blocked = gateway.invoke("ivy", "New-MoveRequest", user.clone()).await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);

    disk.free();
    let again = asks(&gateway, "later").await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text());
    acknowledged.push(again.first("Identity").as_str().unwrap().to_owned());
    let revoked = gateway
        .invoke("amy", "Revoke-ElevatedAccessAuthorization", revoke)
        .await;
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text());
    let blocked = gateway.invoke("ana", "New-MoveRequest", user).await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);

    // Killed, started again: all that was acknowledged is there, and on record once.
    gateway.kill();
    gateway.restart();
    for id in &acknowledged {
        let shown = json!({"RequestId": id});
        let found = gateway
            .invoke("ana", "Get-ElevatedAccessRequest", shown)
            .await;
        assert_eq!(found.first("RequestStatus"), "Pending", "{id}");
    }
    assert!(gateway.terminate().success());
    let records = gateway.records();
    for id in &acknowledged {
        let filed = records
            .iter()
            .filter(|it| it["kind"] == "request.filed" && it["request"] == id.as_str());
        assert_eq!(filed.count(), 1, "{id}");
    }
    let (code, text) = gateway.portcullis(&["audit", "verify", "data/audit"]);
    assert_eq!(code, 0, "{text}");
}
