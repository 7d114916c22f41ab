//! Tokens of the API.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Ask, problem, with_keepers};
use crate::gateway::Gateway;

async fn make(gateway: &Gateway, person: &str, scopes: &[&str]) -> (String, String) {
    let body = json!({"name": "for tests", "scopes": scopes});
    let made = gateway.post_api(person, "/tokens", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made = made.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["token"]["id"]), text(&made["secret"]))
}

fn by(secret: &str, method: &str, path: &str) -> Ask {
    Ask::new(method, path).header("authorization", &format!("Bearer {secret}"))
}

#[tokio::test]
async fn a_token_does_what_its_owner_may_within_its_scopes() {
    let mut gateway = Gateway::with(with_keepers()).await;
    let (id, secret) = make(&gateway, "amy", &["read", "approve"]).await;
    assert!(secret.starts_with("ptk_") && secret.len() == 47, "{secret}");
    gateway.terminate();
    gateway.restart();
    let me = by(&secret, "GET", "/me").send(&gateway).await.json();
    assert_eq!(
        (&me["name"], &me["token"]["id"]),
        (&json!("amy@contoso.example"), &json!(id))
    );
    let request = gateway
        .file_by_api("ana", r"Exchange\New-MoveRequest")
        .await;
    let approved = by(&secret, "POST", &format!("/requests/{request}/approve"))
        .send(&gateway)
        .await;
    assert_eq!(approved.json()["status"], "approved", "{}", approved.text());
    let record = gateway
        .records()
        .into_iter()
        .find(|it| it["kind"] == "request.approved")
        .unwrap();
    assert_eq!(
        (&record["details"]["token"], &record["principal"]["name"]),
        (&json!(id), &json!("amy@contoso.example"))
    );
    for (method, path, body) in [
        (
            "POST",
            "/requests",
            json!({"task": r"Exchange\New-MoveRequest", "reason": "x"}),
        ),
        ("PUT", "/access-control", json!({"enabled": false})),
        (
            "POST",
            "/tokens",
            json!({"name": "more", "scopes": ["operate"]}),
        ),
    ] {
        let refused = by(&secret, method, path).json(&body).send(&gateway).await;
        assert_eq!(problem(&refused), "forbidden", "{path}");
    }
    // Neither does a token do on the proxy what it may do here.
    let text = std::fs::read(gateway.path("data/portcullis.db")).unwrap();
    assert!(!text.windows(secret.len()).any(|it| it == secret.as_bytes()));
}

#[tokio::test]
async fn a_revoked_token_is_worth_nothing() {
    let gateway = Gateway::with(with_keepers()).await;
    let (id, secret) = make(&gateway, "ana", &["read"]).await;
    let path = format!("/tokens/{id}");
    let not_hers = Ask::by("amy", "DELETE", &path).send(&gateway).await;
    assert_eq!(problem(&not_hers), "not-found");
    let all = gateway.get_api("ivy", "/tokens?all=true").await.json();
    assert_eq!(all["items"][0]["owner"], "ana@contoso.example");
    let revoked = Ask::by("ivy", "DELETE", &path).send(&gateway).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT, "{}", revoked.text());
    let refused = by(&secret, "GET", "/me").send(&gateway).await;
    assert_eq!(problem(&refused), "unauthenticated");
    let own = gateway.get_api("ana", "/tokens").await.json();
    assert_eq!(own["items"], json!([]));
    let kinds: Vec<_> = gateway
        .records()
        .iter()
        .map(|it| it["kind"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        kinds.contains(&"token.created".to_owned()) && kinds.contains(&"token.revoked".to_owned())
    );
}

#[tokio::test]
async fn the_secret_is_said_once_and_tokens_are_few() {
    let gateway = Gateway::with(with_keepers()).await;
    let body = json!({"name": "t", "scopes": ["read"]});
    let send = || {
        Ask::by("ana", "POST", "/tokens")
            .header("idempotency-key", "k")
            .json(&body)
            .send(&gateway)
    };
    let first = send().await.json();
    assert!(first["secret"].is_string());
    let again = send().await.json();
    assert_eq!(
        (&again["secret"], &again["token"]),
        (&json!(null), &first["token"])
    );
    let mut last = StatusCode::CREATED;
    for _ in 0..20 {
        last = gateway.post_api("ana", "/tokens", &body).await.status;
    }
    assert_eq!(last, StatusCode::CONFLICT);
    assert_eq!(
        gateway.get_api("ana", "/tokens").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
}
