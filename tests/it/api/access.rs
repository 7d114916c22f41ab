//! Who may do what: the table of roles and routes, as the gateway answers.

use std::fmt::Write as _;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::api::{ROUTES, Right};
use serde_json::json;

use super::{Ask, problem, with_keepers};
use crate::client::{Http, connect, request};
use crate::gateway::Gateway;

/// What each kind of person is answered on each route: an id or body that fits nothing shows whether they came past the door.
#[tokio::test]
async fn roles_and_routes_meet_as_the_table_says() {
    let gateway = Gateway::with(with_keepers()).await;
    let mut table = String::new();
    // A person like any other, an approver, an auditor who approves, an operator.
    for person in ["ana", "amy", "bo", "ivy"] {
        for route in ROUTES.iter().filter(|it| it.name != "watch_events") {
            let path = route
                .path
                .replace("{id}", "0190b2c4-7d3e-7a51-9c1b-2f6d8e4a1b77")
                .replace("{scope}", "none");
            let path = if route.name == "who_can" {
                format!(r"{path}?task=Exchange%5CGet-Mailbox")
            } else {
                path
            };
            let mut ask = Ask::by(person, route.method, &path);
            if route.is_write() && route.method != "DELETE" {
                ask = ask.json(&json!({"nothing": true}));
            }
            let answer = ask.send(&gateway).await;
            let is_forbidden = answer.status == StatusCode::FORBIDDEN;
            let needs_more = matches!(route.right, Right::Auditor | Right::Operator);
            assert!(
                needs_more || !is_forbidden || route.name == "list_exemptions",
                "{} {}",
                route.name,
                answer.text()
            );
            if is_forbidden {
                // Each refusal says which right is needed.
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                assert!(
                    ["operators", "auditors"]
                        .iter()
                        .any(|it| detail.contains(it)),
                    "{detail}"
                );
            }
            writeln!(
                table,
                "{person:4} {:6} {:30} {}",
                route.method,
                route.path,
                answer.status.as_u16()
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn a_name_that_is_not_this_hosts_is_refused_and_its_own_is_taken() {
    let mut setup = with_keepers();
    setup.extra.insert(
        "control",
        "public_url = \"https://pam.contoso.example\"".to_owned(),
    );
    let gateway = Gateway::with(setup).await;
    for (host, status) in [
        ("localhost:8444", 200),
        ("127.0.0.1", 200),
        ("[::1]:8444", 200),
        ("PAM.contoso.example", 200),
        ("pam.contoso.example.evil.example", 421),
        ("192.0.2.1", 421),
    ] {
        let answer = Ask::by("ana", "GET", "/me")
            .header("host", host)
            .send(&gateway)
            .await;
        assert_eq!(answer.status.as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn over_plain_http_others_networks_see_health_but_no_credentials() {
    let mut setup = with_keepers();
    setup.environment.push((
        "PORTCULLIS__CONTROL__LISTEN".to_owned(),
        "0.0.0.0:0".to_owned(),
    ));
    let gateway = Gateway::with(setup.clone()).await;
    assert_eq!(gateway.ask_control("/healthz").0, 200);
    let refused = gateway.get_api("ana", "/me").await;
    assert_eq!(
        (refused.status, problem(&refused).as_str()),
        (StatusCode::FORBIDDEN, "plain-http")
    );
    drop(gateway);
    setup
        .extra
        .insert("control", "trusted_plaintext = true".to_owned());
    let trusting = Gateway::with(setup).await;
    assert_eq!(trusting.get_api("ana", "/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_control_listener_speaks_tls_when_it_is_told_to() {
    let mut setup = with_keepers();
    let tls = "tls = { certificate = \"certs/server.pem\", key = \"certs/server-key.pem\" }";
    setup.extra.insert("control", tls.to_owned());
    let gateway = Gateway::with(setup).await;
    for http in [Http::One, Http::Two] {
        let ca = gateway.path("certs/ca.pem");
        let stream = TokioIo::new(connect(gateway.control(), &ca, http).await);
        let mut request = request("ana", Method::GET, "/api/v1/me", "");
        let answer = if http == Http::Two {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                    .await
                    .unwrap();
            tokio::spawn(connection);
            *request.uri_mut() = "https://localhost/api/v1/me".parse().unwrap();
            sender.send_request(request).await.unwrap()
        } else {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let host = http::HeaderValue::from_static("localhost");
            request.headers_mut().insert(http::header::HOST, host);
            sender.send_request(request).await.unwrap()
        };
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let me: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(me["name"], "ana@contoso.example");
    }
}

#[tokio::test]
async fn auditors_search_the_log_part_by_part() {
    let gateway = Gateway::with(with_keepers()).await;
    for number in 0..5 {
        gateway
            .file_by_api("ana", &format!(r"Exchange\Remove-Thing{number}"))
            .await;
    }
    let mut tasks = Vec::new();
    let mut path = "/audit?kind=request.*&limit=2".to_owned();
    loop {
        let page = gateway.get_api("bo", &path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        let page = page.json();
        let items = page["items"].as_array().unwrap();
        tasks.extend(
            items
                .iter()
                .map(|it| it["details"]["task"].as_str().unwrap().to_owned()),
        );
        // What is recorded meanwhile comes in the end, and nothing twice.
        gateway.get_api("bo", "/me").await;
        match page["next"].as_str() {
            Some(next) => path = format!("/audit?kind=request.*&limit=2&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..5)
        .map(|it| format!(r"Exchange\Remove-Thing{it}"))
        .collect();
    assert_eq!(tasks, expected);
    let none = gateway.get_api("ivy", "/audit?principal=nobody").await;
    assert_eq!(none.json()["items"], json!([]));
    let wrong = gateway.get_api("bo", "/audit?cursor=1~now~test").await;
    assert_eq!(problem(&wrong), "malformed");
}
