//! Attacks at the seams: hostile upstreams, strangers in number, and requests that mean two things to two modules.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::client::{Http, command, invoke_path, request};
use crate::gateway::{Gateway, Setup, TENANT, basic};

/// An upstream that answers from a script, whatever it is asked.
struct Scripted {
    address: SocketAddr,
    answers: Arc<Mutex<VecDeque<Response<Full<Bytes>>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let scripted = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::default(),
            asked: Arc::default(),
        };
        let (answers, asked) = (Arc::clone(&scripted.answers), Arc::clone(&scripted.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
                    async move {
                        let target = request.uri().to_string();
                        request.into_body().collect().await.unwrap();
                        asked.lock().unwrap().push(target);
                        let answer = answers.lock().unwrap().pop_front();
                        Ok::<_, Infallible>(
                            answer.unwrap_or_else(|| json_answer(json!({"value": []}))),
                        )
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        scripted
    }

    fn answer(&self, answer: Response<Full<Bytes>>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// A gateway in front of this upstream.
    async fn behind(&self, regional: &[&Self]) -> Gateway {
        let hosts: Vec<String> = regional.iter().map(|it| it.address.to_string()).collect();
        let mut setup = Setup {
            upstream_tls: false,
            ..Setup::default()
        };
        setup
            .extra
            .insert("endpoint", format!("regional_hosts = {hosts:?}"));
        let mut gateway = Gateway::with(setup).await;
        gateway.terminate();
        let file = gateway.configuration_file();
        let text = std::fs::read_to_string(&file).unwrap();
        let upstream = format!("http://{}", self.address);
        std::fs::write(&file, text.replace(gateway.sample.origin(), &upstream)).unwrap();
        gateway.restart();
        gateway
    }
}

fn json_answer(body: Value) -> Response<Full<Bytes>> {
    Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body.to_string().into()))
        .unwrap()
}

fn status_answer(status: StatusCode, location: Option<&str>) -> Response<Full<Bytes>> {
    let mut answer = Response::builder().status(status);
    if let Some(location) = location {
        answer = answer.header(LOCATION, location);
    }
    answer.body(Full::default()).unwrap()
}

/// The path that a link of an answer leads to, with its query.
fn path_of(link: &Value) -> String {
    let link = link.as_str().unwrap().strip_prefix("https://").unwrap();
    link[link.find('/').unwrap()..].to_owned()
}

fn batch(gateway: &Gateway, items: &[(&str, &str, Value)]) -> Value {
    let items: Vec<Value> = items
        .iter()
        .map(|(id, query, headers)| {
            json!({
                "id": id,
                "method": "POST",
                "url": format!("https://localhost:{}{}{query}", gateway.proxy().port(), invoke_path()),
                "headers": headers,
                "body": command("Get-Mailbox", json!({})),
            })
        })
        .collect();
    json!({ "requests": items })
}

fn batch_path() -> String {
    format!("/adminapi/beta/{TENANT}/$batch")
}

/// The results of outcomes, once there are as many.
fn results(gateway: &Gateway, number: usize) -> Vec<Value> {
    gateway.eventually("outcomes", |it| {
        let outcomes = it
            .records()
            .into_iter()
            .filter(|it| it["kind"] == "outcome");
        let results: Vec<Value> = outcomes.map(|it| it["result"].clone()).collect();
        (results.len() == number).then_some(results)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_page_of_a_regional_host_is_asked_of_that_host() {
    let (upstream, regional) = (Scripted::start().await, Scripted::start().await);
    let gateway = upstream.behind(&[&regional]).await;
    let link = |token: &str| {
        let host = regional.address;
        json!({"@odata.nextLink": format!("http://{host}/adminapi/beta/{TENANT}/InvokeCommand?$skiptoken={token}"), "value": []})
    };
    upstream.answer(json_answer(link("two")));
    regional.answer(json_answer(link("three")));
    let first = gateway.invoke("ana", "Get-Mailbox", json!({})).await;
    let get_mailbox = command("Get-Mailbox", json!({}));
    let second = path_of(&first.json()["@odata.nextLink"]);
    let second = gateway.post("ana", &second, &get_mailbox).await;
    let third = path_of(&second.json()["@odata.nextLink"]);
    gateway.post("ana", &third, &get_mailbox).await;
    assert_eq!(upstream.asked().len(), 1);
    let path = invoke_path();
    assert_eq!(
        regional.asked(),
        [
            format!("{path}?$skiptoken=two"),
            format!("{path}?$skiptoken=three")
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_item_for_a_regional_host_is_not_sent_to_another() {
    let (upstream, regional) = (Scripted::start().await, Scripted::start().await);
    let gateway = upstream.behind(&[&regional]).await;
    let query = format!("?portcullis-host={}", regional.address);
    let body = batch(&gateway, &[("1", &query, json!({}))]);
    let answer = gateway.post("ana", &batch_path(), &body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    assert!(upstream.asked().is_empty() && regional.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirect_leads_a_client_to_a_strangers_host() {
    let upstream = Scripted::start().await;
    let gateway = upstream.behind(&[]).await;
    for location in [
        "@evil.example/",
        ".evil.example/",
        ":1@evil.example",
        "evil",
    ] {
        upstream.answer(status_answer(StatusCode::FOUND, Some(location)));
        let answer = gateway.invoke("ana", "Get-Mailbox", json!({})).await;
        assert_eq!(answer.status, StatusCode::FOUND);
        assert_eq!(answer.headers.get(LOCATION), None, "{location}");
    }
    for location in ["https://evil.example/x", "//evil.example/x", "/x"] {
        upstream.answer(status_answer(StatusCode::FOUND, Some(location)));
        let answer = gateway.invoke("ana", "Get-Mailbox", json!({})).await;
        let own = format!("https://localhost:{}/", gateway.proxy().port());
        if let Some(location) = answer.headers.get(LOCATION) {
            assert!(location.to_str().unwrap().starts_with(&own), "{location:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_that_the_gateway_has_upstream_stays_with_it() {
    let upstream = Scripted::start().await;
    let gateway = upstream.behind(&[]).await;
    let mut answer = json_answer(json!({"value": []}));
    let cookie = "session=of-the-service-account".parse().unwrap();
    answer.headers_mut().insert(SET_COOKIE, cookie);
    upstream.answer(answer);
    let answer = gateway.invoke("ana", "Get-Mailbox", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers.get(SET_COOKIE), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_not_told_that_its_sign_in_is_wrong_when_the_gateways_is() {
    let upstream = Scripted::start().await;
    let gateway = upstream.behind(&[]).await;
    upstream.answer(status_answer(StatusCode::UNAUTHORIZED, None));
    let answer = gateway.invoke("ana", "Get-Mailbox", json!({})).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.error().contains("an operator of the gateway"));
    gateway.wait_for_log("`upstream_auth`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_the_upstream_did_not_answer_is_not_recorded_as_done() {
    let upstream = Scripted::start().await;
    let gateway = upstream.behind(&[]).await;
    upstream.answer(json_answer(json!({"responses": [
        {"id": "1", "status": 200, "headers": {}, "body": {"value": []}},
        {"id": "3", "headers": {}, "body": {"value": []}},
    ]})));
    let items = ["1", "2", "3"].map(|it| (it, "", json!({})));
    let answer = gateway
        .post("ana", &batch_path(), &batch(&gateway, &items))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["responses"][1]["status"], 502);
    let results = results(&gateway, 3);
    assert_eq!(results, ["ok", "upstream-broken", "upstream-broken"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_answer_without_sense_is_recorded_as_broken_and_not_as_a_client_that_went_away() {
    let upstream = Scripted::start().await;
    let gateway = upstream.behind(&[]).await;
    upstream.answer(json_answer(
        json!({"responses": [{"id": "7", "status": 200}]}),
    ));
    let body = batch(&gateway, &[("1", "", json!({}))]);
    let answer = gateway.post("ana", &batch_path(), &body).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(results(&gateway, 1), ["upstream-broken"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cannot_fill_the_disk_with_failed_sign_ins() {
    const ATTEMPTS: usize = 300;
    let mut gateway = Gateway::start().await;
    let stranger = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", invoke_path());
    let end = b"\"stacktrace\"";
    let answers = gateway
        .raw(stranger.repeat(ATTEMPTS).as_bytes(), |answer| {
            memchr::memmem::find_iter(answer, end).count() >= 2 * ATTEMPTS
        })
        .await;
    let refused = memchr::memmem::find_iter(&answers, b"HTTP/1.1 401 ").count();
    assert_eq!(refused, ATTEMPTS);
    gateway.terminate();
    let records = gateway.records();
    let of_kind =
        |kind: &str| -> Vec<&Value> { records.iter().filter(|it| it["kind"] == kind).collect() };
    let recorded = of_kind("sign-in.failed").len();
    assert!((1..=40).contains(&recorded), "{recorded}");
    let counted: u64 = of_kind("sign-in.flooded")
        .iter()
        .map(|it| it["details"]["refusals"].as_u64().unwrap())
        .sum();
    assert_eq!(usize::try_from(counted).unwrap() + recorded, ATTEMPTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_tried_inside_a_batch_is_a_failed_sign_in_on_record() {
    let gateway = Gateway::start().await;
    let guess = basic("amy").replace("Basic ", "Basic eA");
    let body = batch(&gateway, &[("1", "", json!({"Authorization": guess}))]);
    let answer = gateway.post("ana", &batch_path(), &body).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
    let failed = gateway.eventually("the record", |it| {
        it.records()
            .into_iter()
            .find(|it| it["kind"] == "sign-in.failed")
    });
    assert_eq!(failed["principal"]["name"], "ana@contoso.example");
    assert!(gateway.ran().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_looks_like_a_head_does_not_hide_two_framings() {
    let gateway = Gateway::start().await;
    let line = format!("POST {} HTTP/1.1\r\n", invoke_path());
    let fake = format!("{line}Transfer-Encoding: chunked\r\n\r\n");
    let sign_in = format!(
        "Host: localhost\r\n{AUTHORIZATION}: {}\r\nContent-Type: application/json\r\n",
        basic("ana")
    );
    let body = command("Get-Mailbox", json!({})).to_string();
    let first = format!(
        "{line}{sign_in}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        fake.len()
    );
    let second = format!(
        "{line}{sign_in}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let mut stream =
        crate::client::connect(gateway.proxy(), &gateway.path("certs/ca.pem"), Http::One).await;
    stream.write_all(first.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    // The body is asked for, so the first head was read and judged.
    while !answers.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut answers).await.unwrap(), 0);
    }
    stream
        .write_all(format!("{fake}{second}").as_bytes())
        .await
        .unwrap();
    while matches!(stream.read_buf(&mut answers).await, Ok(length) if length > 0) {}
    let answers = String::from_utf8_lossy(&answers).into_owned();
    assert!(!answers.contains("HTTP/1.1 200"), "{answers}");
    assert!(gateway.ran().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_request_after_another_on_one_connection_is_served() {
    let gateway = Gateway::start().await;
    let body = command("Get-Mailbox", json!({})).to_string();
    let one = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\n{AUTHORIZATION}: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        invoke_path(),
        basic("ana"),
        body.len()
    );
    let mut stream =
        crate::client::connect(gateway.proxy(), &gateway.path("certs/ca.pem"), Http::One).await;
    for turn in 1..=2 {
        stream.write_all(one.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let length = stream.read_buf(&mut answer).await.unwrap();
            assert_ne!(length, 0, "{}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{turn}");
    }
    assert_eq!(gateway.ran(), ["Get-Mailbox", "Get-Mailbox"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refusal_of_a_stranger_tells_what_lies_behind() {
    let gateway = Gateway::start().await;
    let wrong = [
        ("/", None),
        ("/adminapi", None),
        ("/adminapi/beta/x/InvokeCommand", Some("Basic eDp5")),
        ("/adminapi/beta/x/InvokeCommand", Some("Bearer a.b.c")),
    ];
    for (path, authorization) in wrong {
        let mut request = request("ana", Method::POST, path, "{}");
        request.headers_mut().remove(AUTHORIZATION);
        if let Some(value) = authorization {
            let value = value.parse().unwrap();
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = gateway.send(Http::One, request).await;
        assert!(answer.status.is_client_error());
        let text = answer.text();
        for secret in [
            "people",
            "contoso",
            "policies",
            "/tmp",
            "127.0.0.1",
            "users.toml",
        ] {
            assert!(!text.contains(secret), "{path}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_a_tenant_names_only_the_endpoints_own() {
    let mut setup = Setup::default();
    let tenants = format!("tenants = {{ \"contoso.example\" = \"{TENANT}\" }}");
    setup.extra.insert("endpoint", tenants);
    let gateway = Gateway::with(setup).await;
    let read = command("Get-Mailbox", json!({"Identity": "ana@contoso.example"}));
    for own in [TENANT, "contoso.example"] {
        let path = format!("/adminapi/beta/{own}/InvokeCommand");
        let answer = gateway.post("ana", &path, &read).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let ran = gateway.ran();
    for foreign in ["fabrikam.example", "1b2c3d4e-0000-4000-8000-000000000002"] {
        let path = format!("/adminapi/beta/{foreign}/InvokeCommand");
        let answer = gateway.post("ana", &path, &read).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
    }
    assert_eq!(gateway.ran(), ran);
}
