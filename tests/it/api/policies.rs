//! Policies of the store, with entity tags; groups and the switch.

use http::StatusCode;
use serde_json::json;

use super::{Ask, problem, with_keepers};
use crate::client::Answer;
use crate::gateway::Gateway;

const PATH: &str = "/policies/Exchange%5CSet-TransportRule";

async fn put(gateway: &Gateway, etag: &str, approvals: u32) -> Answer {
    let body = json!({"task": r"Exchange\Set-TransportRule", "approval": "manual", "approvers": ["mbmanagers"], "approvals": approvals});
    Ask::by("ivy", "PUT", PATH)
        .header("if-match", etag)
        .json(&body)
        .send(gateway)
        .await
}

#[tokio::test]
async fn policies_are_made_changed_and_removed_under_their_tags() {
    let gateway = Gateway::with(with_keepers()).await;
    let body = json!({"task": r"Exchange\Set-TransportRule", "approval": "manual", "approvers": ["mbmanagers"]});
    let refused = gateway.post_api("amy", "/policies", &body).await;
    assert_eq!(problem(&refused), "forbidden");
    let made = gateway.post_api("ivy", "/policies", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!(made.json()["source"]["by"], "ivy@contoso.example");
    assert_eq!(
        made.headers["location"],
        "/api/v1/policies/Exchange%5CSet%2DTransportRule"
    );
    let etag = made.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(made.json()["etag"], etag.as_str());
    // In force at once.
    let blocked = gateway
        .invoke("ana", "Set-TransportRule", json!({"Identity": "x"}))
        .await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);
    let twice = gateway.post_api("ivy", "/policies", &body).await;
    assert_eq!(problem(&twice), "conflict");

    let bare = Ask::by("ivy", "PUT", PATH).json(&body).send(&gateway).await;
    assert_eq!(
        (bare.status.as_u16(), problem(&bare).as_str()),
        (428, "precondition-required")
    );
    let stale = put(&gateway, "\"1-0\"", 2).await;
    assert_eq!(
        (stale.status.as_u16(), problem(&stale).as_str()),
        (412, "precondition-failed")
    );
    let changed = put(&gateway, &etag, 2).await;
    assert_eq!(
        (changed.status, &changed.json()["approvals"]),
        (StatusCode::OK, &json!(2)),
        "{}",
        changed.text()
    );
    let stale = put(&gateway, &etag, 1).await;
    assert_eq!(problem(&stale), "precondition-failed");
    let shown = gateway
        .get_api("ana", &PATH.to_ascii_lowercase().replace("%5c", "%5C"))
        .await;
    assert_eq!(shown.headers["etag"], changed.headers["etag"]);

    let removed = Ask::by("ivy", "DELETE", PATH)
        .header("if-match", &etag)
        .send(&gateway)
        .await;
    assert_eq!(removed.status.as_u16(), 412);
    let removed = Ask::by("ivy", "DELETE", PATH)
        .header("if-match", "*")
        .send(&gateway)
        .await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{}", removed.text());
    assert_eq!(problem(&gateway.get_api("ivy", PATH).await), "not-found");
    let passes = gateway
        .invoke("ana", "Set-TransportRule", json!({"Identity": "x"}))
        .await;
    assert_ne!(passes.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn of_two_who_change_the_same_policy_at_once_one_is_told_to_read_again() {
    let gateway = Gateway::with(with_keepers()).await;
    let body = json!({"task": r"Exchange\Set-TransportRule", "approval": "manual", "approvers": ["mbmanagers"]});
    let made = gateway.post_api("ivy", "/policies", &body).await;
    let etag = made.headers["etag"].to_str().unwrap();
    let answers =
        futures_util::future::join_all((1..=6).map(|it| put(&gateway, etag, it % 2 + 1))).await;
    let won = answers
        .iter()
        .filter(|it| it.status == StatusCode::OK)
        .count();
    let lost = answers
        .iter()
        .filter(|it| it.status == StatusCode::PRECONDITION_FAILED)
        .count();
    assert_eq!((won, lost), (1, 5));
}

#[tokio::test]
async fn what_a_file_defines_only_the_file_changes() {
    let gateway = Gateway::with(with_keepers()).await;
    let path = "/policies/Exchange%5CNew-MoveRequest";
    let shown = gateway.get_api("ana", path).await.json();
    assert_eq!(
        (&shown["source"]["kind"], &shown["etag"]),
        (&json!("file"), &json!(null))
    );
    let body = json!({"task": r"Exchange\New-MoveRequest", "approval": "auto"});
    let changed = Ask::by("ivy", "PUT", path)
        .header("if-match", "*")
        .json(&body)
        .send(&gateway)
        .await;
    assert_eq!(problem(&changed), "conflict");
    let shadow = gateway.post_api("ivy", "/policies", &body).await;
    assert_eq!(problem(&shadow), "conflict");
    let bad = json!({"task": r"Exchange\Set-TransportRule", "approval": "manual", "approvers": ["nobody"]});
    let bad = gateway.post_api("ivy", "/policies", &bad).await;
    assert_eq!(problem(&bad), "invalid", "{}", bad.text());
}

#[tokio::test]
async fn operators_switch_access_control() {
    let gateway = Gateway::with(with_keepers()).await;
    let off = json!({"enabled": false});
    let switched = Ask::by("ivy", "PUT", "/access-control")
        .json(&off)
        .send(&gateway)
        .await;
    assert_eq!(
        (switched.status, &switched.json()["mode"]),
        (StatusCode::OK, &json!("disabled")),
        "{}",
        switched.text()
    );
    let passes = gateway
        .invoke("ana", "New-MoveRequest", json!({"Identity": "x"}))
        .await;
    assert_ne!(passes.status, StatusCode::FORBIDDEN);
    let on = Ask::by("ivy", "PUT", "/access-control").json(&json!({"enabled": true}));
    assert_eq!(on.send(&gateway).await.json()["mode"], "enforce");
    let blocked = gateway
        .invoke("ana", "New-MoveRequest", json!({"Identity": "x"}))
        .await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn members_of_groups_are_shown_to_members_of_groups() {
    let gateway = Gateway::with(with_keepers()).await;
    let groups = gateway.get_api("amy", "/groups").await.json();
    assert_eq!(
        groups["items"][0]["members"],
        json!(["amy@contoso.example", "bo@contoso.example"])
    );
    let groups = gateway.get_api("ana", "/groups").await.json();
    assert_eq!(
        (&groups["items"][0]["name"], &groups["items"][0]["members"]),
        (&json!("mbmanagers"), &json!(null))
    );
}

#[tokio::test]
async fn where_policies_are_written_is_told_to_those_who_keep_or_audit_them() {
    let gateway = Gateway::with(with_keepers()).await;
    let explain = json!({"task": r"Exchange\New-MoveRequest"});
    for (person, is_told) in [("ana", false), ("amy", false), ("bo", true), ("ivy", true)] {
        let listed = gateway.get_api(person, "/policies").await.json();
        let one = gateway
            .get_api(person, "/policies/Exchange%5CNew-MoveRequest")
            .await;
        let explained = gateway
            .post_api(person, "/decisions/explain", &explain)
            .await;
        let shown = gateway
            .invoke(person, "Get-ElevatedAccessApprovalPolicy", json!({}))
            .await;
        for text in [
            listed.to_string(),
            one.text(),
            explained.text(),
            shown.text(),
        ] {
            assert!(text.contains(".toml"), "{person} {text}");
            assert_eq!(text.contains(".toml:"), is_told, "{person} {text}");
            assert_eq!(text.contains("policies/"), is_told, "{person} {text}");
        }
    }
}

#[tokio::test]
async fn policies_are_listed_part_by_part_in_the_order_of_their_scopes() {
    let gateway = Gateway::with(with_keepers()).await;
    let whole = gateway.get_api("ana", "/policies").await.json();
    let scopes = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|it| it["scope"].as_str().unwrap().to_ascii_lowercase())
            .collect()
    };
    let all = scopes(&whole);
    assert!(all.len() > 2 && all.is_sorted(), "{all:?}");
    assert_eq!(whole["next"], serde_json::Value::Null);
    let mut walked = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = gateway
            .get_api("ana", &format!("/policies?limit=2{cursor}"))
            .await
            .json();
        walked.extend(scopes(&page));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        cursor = format!("&cursor={next}");
    }
    assert_eq!(walked, all);
}
