//! Server-sent events.

use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;

use super::{Ask, problem, with_keepers};
use crate::gateway::{Gateway, PATIENCE};

struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    async fn open(gateway: &Gateway, ask: Ask) -> Self {
        let response = ask.open(gateway).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self {
            body: response.into_body(),
            text: String::new(),
        };
        stream.until("none is replayed").await;
        stream
    }

    /// Reads until `text` has come; `false` if the stream ends first.
    async fn until(&mut self, text: &str) -> bool {
        while !self.text.contains(text) {
            let frame = tokio::time::timeout(PATIENCE, self.body.frame())
                .await
                .unwrap();
            let Some(Ok(frame)) = frame else { return false };
            let data = frame.into_data().unwrap_or_default();
            self.text.push_str(&String::from_utf8_lossy(&data));
        }
        true
    }
}

#[tokio::test]
async fn watchers_are_told_what_they_may_know() {
    let gateway = Gateway::with(with_keepers()).await;
    let mut approver = Stream::open(&gateway, Ask::by("amy", "GET", "/events")).await;
    let mut stranger = Stream::open(&gateway, Ask::by("sys1", "GET", "/events")).await;
    let id = gateway
        .file_by_api("ana", r"Exchange\New-MoveRequest")
        .await;
    gateway
        .post_api("bo", &format!("/requests/{id}/approve"), &json!({}))
        .await;
    assert!(approver.until("event: grant.created").await);
    let data = approver
        .text
        .lines()
        .find_map(|it| it.strip_prefix("data: "))
        .unwrap();
    let event: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        (&event["kind"], &event["request"]),
        (&json!("request.filed"), &json!(id))
    );
    assert!(
        approver
            .text
            .contains(&format!("id: {}", event["id"].as_str().unwrap()))
    );
    // The switch is everybody's to know of, and comes after what the stranger was not told.
    let off = Ask::by("ivy", "PUT", "/access-control").json(&json!({"enabled": false}));
    off.send(&gateway).await;
    assert!(stranger.until("access-control.disabled").await);
    assert!(!stranger.text.contains(&id), "{}", stranger.text);
}

#[tokio::test]
async fn who_comes_back_is_told_that_nothing_was_kept() {
    let gateway = Gateway::with(with_keepers()).await;
    let ask = Ask::by("amy", "GET", "/events")
        .header("last-event-id", "0190b2c4-7d3e-7a51-9c1b-2f6d8e4a1b77");
    let mut stream = Stream::open(&gateway, ask).await;
    assert!(stream.until("event: lost\ndata: {\"reason\"").await);
}

#[tokio::test]
async fn streams_are_few_and_end_with_their_token() {
    let gateway = Gateway::with(with_keepers()).await;
    let made = gateway
        .post_api("ana", "/tokens", &json!({"name": "t", "scopes": ["read"]}))
        .await
        .json();
    let bearer = format!("Bearer {}", made["secret"].as_str().unwrap());
    let ask = Ask::new("GET", "/events").header("authorization", &bearer);
    let mut watched = Stream::open(&gateway, ask).await;
    let mut streams = Vec::new();
    for _ in 0..7 {
        streams.push(Stream::open(&gateway, Ask::by("ana", "GET", "/events")).await);
    }
    let refused = Ask::by("ana", "GET", "/events").send(&gateway).await;
    assert_eq!(problem(&refused), "too-many-requests");
    let path = format!("/tokens/{}", made["token"]["id"].as_str().unwrap());
    assert_eq!(
        Ask::by("ana", "DELETE", &path).send(&gateway).await.status,
        StatusCode::NO_CONTENT
    );
    gateway
        .file_by_api("ana", r"Exchange\New-MoveRequest")
        .await;
    assert!(streams[0].until("request.filed").await);
    assert!(!watched.until("request.filed").await, "{}", watched.text);
}
