//! Each way to be wrong has its shape, and hostile requests get no further.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use http::StatusCode;
use serde_json::json;

use super::{Ask, problem, with_keepers};
use crate::gateway::{Gateway, basic};

#[tokio::test]
async fn each_error_has_its_kind_and_status() {
    let gateway = Gateway::with(with_keepers()).await;
    let large = json!({"task": "a", "reason": "r".repeat(70_000)}).to_string();
    let id = "0190b2c4-7d3e-7a51-9c1b-2f6d8e4a1b77";
    let by = |method: &str, path: &str| Ask::by("ana", method, path);
    let post = |body: &str| by("POST", "/requests").bytes(body.as_bytes());
    for (ask, status, kind) in [
        (Ask::new("GET", "/me"), 401, "unauthenticated"),
        (
            Ask::new("GET", "/me").header("authorization", "Basic !"),
            401,
            "unauthenticated",
        ),
        (
            Ask::new("GET", "/me").header("authorization", "Bearer ptk_x"),
            401,
            "unauthenticated",
        ),
        (by("GET", "/nothing"), 404, "not-found"),
        (by("GET", ""), 404, "not-found"),
        (by("PATCH", "/requests"), 405, "method-not-allowed"),
        (by("GET", &format!("/requests/{id}")), 404, "not-found"),
        (by("GET", "/requests/7"), 404, "not-found"),
        (by("GET", "/grants/%00"), 404, "not-found"),
        (by("GET", "/policies/nothing"), 404, "not-found"),
        (by("GET", "/requests?color=red"), 400, "malformed"),
        (by("GET", "/requests?limit=0"), 400, "malformed"),
        (by("GET", "/requests?limit=1&limit=2"), 400, "malformed"),
        (by("GET", "/requests?status=open"), 400, "malformed"),
        (by("GET", "/requests?cursor=x"), 400, "malformed"),
        (by("GET", "/me?x=1"), 400, "malformed"),
        (post(""), 400, "malformed"),
        (post("{"), 400, "malformed"),
        (post("[]"), 400, "malformed"),
        (post("null"), 400, "malformed"),
        (post(r#"{"task":"a","task":"b"}"#), 400, "malformed"),
        (post(r#"{"task":"a","TASK":"b"}"#), 400, "malformed"),
        (
            post(r#"{"task":"Exchange\\New-MoveRequest","reason":"a\u0000b"}"#),
            400,
            "malformed",
        ),
        (post(r#"{"task":"no task","reason":"x"}"#), 400, "malformed"),
        (
            post(
                r#"{"task":"Exchange\\New-MoveRequest","policy":"a","extends":"0190b2c4-7d3e-7a51-9c1b-2f6d8e4a1b77"}"#,
            ),
            400,
            "malformed",
        ),
        (
            post(&format!(
                "{{\"context\":{}1{}}}",
                "[".repeat(200),
                "]".repeat(200)
            )),
            400,
            "malformed",
        ),
        (post("{\"uses\":1e400}"), 400, "malformed"),
        (post("\u{feff}{}"), 400, "malformed"),
        (post(&large), 413, "too-large"),
        (
            post(r#"{"task":"Exchange\\Get-Mailbox","reason":"x"}"#),
            422,
            "invalid",
        ),
        (
            post(r#"{"task":"Exchange\\New-JournalRule","reason":"x"}"#),
            403,
            "forbidden",
        ),
        (
            by("POST", "/requests").header("idempotency-key", ""),
            400,
            "malformed",
        ),
        (
            by("PUT", "/access-control").json(&json!({"enabled": false})),
            403,
            "forbidden",
        ),
        (by("GET", "/audit"), 403, "forbidden"),
        (by("GET", "/exemptions"), 403, "forbidden"),
        (by("GET", "/tokens?all=true"), 403, "forbidden"),
        (by("DELETE", &format!("/tokens/{id}")), 404, "not-found"),
        (
            by("GET", "/me").header("host", "evil.example"),
            421,
            "wrong-host",
        ),
        (
            by("POST", "/requests").header("origin", "https://evil.example"),
            403,
            "cross-site",
        ),
        (
            by("POST", "/requests").header("sec-fetch-site", "cross-site"),
            403,
            "cross-site",
        ),
    ] {
        let answer = ask.send(&gateway).await;
        assert_eq!(
            (answer.status.as_u16(), problem(&answer).as_str()),
            (status, kind),
            "{}",
            answer.text()
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let plain = by("POST", "/requests")
        .bytes(b"{}")
        .header("content-type", "text/plain");
    let refused = plain.send(&gateway).await;
    assert!(
        [StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::BAD_REQUEST].contains(&refused.status)
    );
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let gateway = Gateway::with(with_keepers()).await;
    let body = json!({"duration_seconds": 0, "uses": "many", "starts": "soon", "color": "red"});
    let refused = gateway.post_api("ana", "/requests", &body).await;
    let refused = refused.json();
    let pointers: Vec<_> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers.len(), 4, "{refused}");
    for pointer in ["/color", "/duration_seconds", "/starts", "/uses"] {
        assert!(pointers.contains(&pointer), "{refused}");
    }
}

#[tokio::test]
async fn who_is_not_signed_in_is_told_how_and_goes_on_record() {
    let gateway = Gateway::with(with_keepers()).await;
    let refused = Ask::new("GET", "/me").send(&gateway).await;
    assert!(
        refused.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .contains("Basic")
    );
    let wrong = Ask::new("GET", "/me").header("authorization", "Bearer ptk_wrong");
    assert_eq!(wrong.send(&gateway).await.status, StatusCode::UNAUTHORIZED);
    let record = gateway.eventually("the refusal's record", |it| {
        it.records()
            .into_iter()
            .find(|it| it["kind"] == "sign-in.failed")
    });
    assert_eq!(
        (&record["details"]["reason"], &record["details"]["via"]),
        (&json!("unknown-token"), &json!("api"))
    );
    let login = Ask::new("GET", "/login").send(&gateway).await.json();
    assert_eq!(
        login,
        json!({"identities": [{"name": "people", "kind": "basic"}]})
    );
    let described = Ask::new("GET", "/openapi.json").send(&gateway).await.json();
    assert_eq!(described["openapi"], "3.1.0");
}

#[tokio::test]
async fn broken_http_ends_and_disturbs_nobody() {
    let gateway = Gateway::with(with_keepers()).await;
    let head = |rest: &str| {
        format!(
            "POST /api/v1/requests HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n{rest}\r\n\r\n",
            basic("ana")
        )
    };
    for bytes in [
        "GARBAGE\r\n\r\n".to_owned(),
        head("Content-Length: 5\r\nContent-Length: 6"),
        head(&format!("X: {}", "x".repeat(200_000))),
        head("Content-Length: -1"),
        format!(
            "GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
            basic("ana")
        ),
    ] {
        let mut stream = TcpStream::connect(gateway.control()).unwrap();
        // The gateway may close before all is written.
        let _ = stream.write_all(bytes.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(gateway.get_api("ana", "/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_ends_early_changes_nothing() {
    let gateway = Gateway::with(with_keepers()).await;
    let mut stream = TcpStream::connect(gateway.control()).unwrap();
    let body = r#"{"task":"Exchange\\New-MoveRequest","reason":"x"}"#;
    write!(
        stream,
        "POST /api/v1/requests HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        basic("ana"),
        body.len() + 1
    )
    .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    let requests = gateway.get_api("ana", "/requests").await.json();
    assert_eq!(requests["items"], json!([]));
}
