//! The gateway as a proxy: every pair of HTTP versions, streaming, headers, and upstreams that fail.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::client::{Http, command, invoke_path, request};
use crate::connection::Connection;
use crate::gateway::{Gateway, Setup};
use crate::scripted::{self, Deed, Piece, Scripted, Speaks};

fn read() -> Request<Full<Bytes>> {
    let body = command("Get-Mailbox", json!({"Identity": "ana"})).to_string();
    request("ana", Method::POST, &invoke_path(), body)
}

async fn open(gateway: &Gateway, http: Http) -> Connection {
    Connection::open(gateway.proxy(), &gateway.path("certs/ca.pem"), http)
        .await
        .unwrap()
}

/// The results of all outcomes, once there are `count`.
fn results(gateway: &Gateway, count: usize) -> Vec<String> {
    gateway.eventually("the outcomes are on record", |it| {
        let records = it.records();
        let outcomes = records.iter().filter(|it| it["kind"] == "outcome");
        let results: Vec<_> = outcomes
            .map(|it| {
                format!(
                    "{} {} {}",
                    it["result"].as_str().unwrap(),
                    it["status"],
                    it["upstream_status"]
                )
            })
            .collect();
        (results.len() >= count).then_some(results)
    })
}

fn short_timeouts() -> Setup {
    let mut setup = Setup::default();
    let timeouts =
        "timeouts = { upstream = \"300ms\", upstream_idle = \"300ms\", connect = \"2s\" }";
    setup.extra.insert("proxy", timeouts.to_owned());
    setup
}

fn gzip(data: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pair_of_http_versions_keeps_connections_and_streams_large_answers() {
    for speaks in Speaks::ALL {
        let go = CancellationToken::new();
        let first = Bytes::from(format!("{{\"value\":[\"{}\",", "a".repeat(100 * 1024)));
        let second = Bytes::from(format!("\"{}\"]}}", "b".repeat(100 * 1024)));
        let whole = [first.clone(), second.clone()].concat();
        let upstream = Scripted::start(speaks, {
            let go = go.clone();
            move |request| {
                let body: Value = serde_json::from_slice(&request.body().clone()).unwrap();
                Deed::Answer(match body["CmdletInput"]["CmdletName"].as_str() {
                    Some("Get-Large") => scripted::pieces([
                        Piece::Data(first.clone()),
                        Piece::Until(go.clone()),
                        Piece::Data(second.clone()),
                    ]),
                    _ => scripted::json("{\"value\":[]}"),
                })
            }
        })
        .await;
        let gateway = upstream.gateway(Setup::default()).await;
        for http in [Http::One, Http::Two] {
            let mut client = open(&gateway, http).await;
            let before = upstream.connections();
            for _ in 0..5 {
                let answer = client.send(read()).await.unwrap();
                assert_eq!(
                    answer.status,
                    StatusCode::OK,
                    "{speaks:?} {http:?}: {}",
                    answer.text()
                );
            }
            assert!(
                upstream.connections() <= before + 1,
                "{speaks:?} {http:?}: connections are not kept"
            );
        }
        for request in upstream.requests() {
            assert_eq!(request.version(), speaks.version());
        }
        let mut clients = [
            open(&gateway, Http::One).await,
            open(&gateway, Http::Two).await,
        ];
        let mut bodies = Vec::new();
        for client in &mut clients {
            let body = command("Get-Large", json!({})).to_string();
            let answer = client
                .begin(request("ana", Method::POST, &invoke_path(), body))
                .await
                .unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let mut body = answer.into_body();
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            bodies.push((piece, body));
        }
        // The first pieces came while the upstream was still waiting.
        go.cancel();
        for (piece, body) in bodies {
            let rest = body.collect().await.unwrap().to_bytes();
            assert_eq!([piece, rest].concat(), whole, "{speaks:?}");
        }
        let expected = vec!["ok 200 200"; 12];
        assert_eq!(results(&gateway, 12), expected, "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_are_all_answered_and_all_on_record() {
    let mut gateway = Gateway::start().await;
    let ca = gateway.path("certs/ca.pem");
    let address = gateway.proxy();
    let clients: Vec<_> = (0..24)
        .map(|index| {
            let ca = ca.clone();
            tokio::spawn(async move {
                let http = if index % 2 == 0 { Http::One } else { Http::Two };
                let mut client = Connection::open(address, &ca, http).await.unwrap();
                for _ in 0..10 {
                    assert_eq!(client.send(read()).await.unwrap().status, StatusCode::OK);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(gateway.ran().len(), 240);
    assert!(gateway.terminate().success());
    let count = |kind: &str| {
        gateway
            .records()
            .iter()
            .filter(|it| it["kind"] == kind)
            .count()
    };
    assert_eq!((count("decision"), count("outcome")), (240, 240));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_one_hop_do_not_travel_either_way() {
    let upstream = Scripted::start(Speaks::TlsHttp1, |_| {
        let mut answer = scripted::json("{\"value\":[]}");
        let headers = answer.headers_mut();
        for (name, value) in [
            ("connection", "x-internal, close"),
            ("x-internal", "secret"),
            ("keep-alive", "timeout=5"),
            ("alt-svc", "h2=\"elsewhere.example:443\""),
            ("proxy-authenticate", "Basic"),
            ("x-ms-diagnostics", "2000010"),
            ("x-exceptiontype", "Some"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        Deed::Answer(answer)
    })
    .await;
    let gateway = upstream.gateway(Setup::default()).await;
    let mut sent = read();
    for (name, value) in [
        ("connection", "keep-alive, Prefer"),
        ("prefer", "odata.maxpagesize=5"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-anchormailbox", "UPN:ana@contoso.example"),
    ] {
        sent.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = open(&gateway, Http::One).await.send(sent).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    for name in [
        "x-internal",
        "keep-alive",
        "alt-svc",
        "proxy-authenticate",
        "connection",
    ] {
        assert!(!answer.headers.contains_key(name), "`{name}` travelled");
    }
    assert_eq!(answer.headers["x-ms-diagnostics"], "2000010");
    assert_eq!(answer.headers["x-exceptiontype"], "Some");
    let arrived = upstream.requests();
    let arrived = arrived[0].headers();
    for name in [
        "connection",
        "prefer",
        "keep-alive",
        "proxy-connection",
        "te",
        "x-forwarded-for",
    ] {
        assert!(!arrived.contains_key(name), "`{name}` travelled");
    }
    assert_eq!(arrived["x-anchormailbox"], "UPN:ana@contoso.example");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_links_inside_compressed_answers_lead_to_the_gateway() {
    for size in [10, 400 * 1024] {
        // The script learns its own address from the request, as servers do.
        let upstream = Scripted::start(Speaks::TlsHttp1, move |request| {
            let host = request.headers()["host"].to_str().unwrap();
            let filler: String = (0..size).map(|it| char::from(b'a' + u8::try_from(it * it % 26).unwrap())).collect();
            let body = json!({
                "value": [filler],
                "@odata.nextLink": format!("https://{host}/adminapi/beta/t/InvokeCommand?$skiptoken=abc"),
            });
            let body = gzip(body.to_string().as_bytes());
            let mut answer = scripted::json(body);
            answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
            Deed::Answer(answer)
        })
        .await;
        let gateway = upstream.gateway(Setup::default()).await;
        let answer = open(&gateway, Http::Two).await.send(read()).await.unwrap();
        assert!(!answer.headers.contains_key("content-encoding"));
        let body = answer.json();
        assert_eq!(body["value"][0].as_str().unwrap().len(), size);
        let expected = format!(
            "https://localhost:{}/adminapi/beta/t/InvokeCommand?$skiptoken=abc",
            gateway.proxy().port()
        );
        assert_eq!(body["@odata.nextLink"], expected);
        assert!(!upstream.origin().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_what_they_say_are_handed_on_byte_for_byte() {
    let packed = gzip(b"{\"error\":{\"code\":\"BadRequest\"}}");
    let upstream = Scripted::start(Speaks::TlsHttp2, {
        let packed = packed.clone();
        move |request| {
            let body: Value = serde_json::from_slice(&request.body().clone()).unwrap();
            let (status, body) = match body["CmdletInput"]["CmdletName"].as_str() {
                Some("Get-Padded") => (StatusCode::FORBIDDEN, Bytes::from_static(&[0; 64])),
                Some("Get-Packed") => (StatusCode::BAD_REQUEST, packed.clone()),
                _ => (StatusCode::NO_CONTENT, Bytes::new()),
            };
            let mut answer = scripted::json(body);
            *answer.status_mut() = status;
            if status != StatusCode::NO_CONTENT {
                answer
                    .headers_mut()
                    .insert("content-encoding", "gzip".parse().unwrap());
            }
            Deed::Answer(answer)
        }
    })
    .await;
    let gateway = upstream.gateway(Setup::default()).await;
    for http in [Http::One, Http::Two] {
        let mut client = open(&gateway, http).await;
        let mut ask = async |cmdlet: &str| {
            let body = command(cmdlet, json!({})).to_string();
            client
                .send(request("ana", Method::POST, &invoke_path(), body))
                .await
                .unwrap()
        };
        let padded = ask("Get-Padded").await;
        assert_eq!(padded.status, StatusCode::FORBIDDEN);
        assert_eq!(padded.headers["content-encoding"], "gzip");
        assert_eq!(padded.body, Bytes::from_static(&[0; 64]));
        let error = ask("Get-Packed").await;
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
        // Packed or not, it says the same.
        let mut text = Vec::new();
        match error.headers.get("content-encoding") {
            Some(_) => drop(GzDecoder::new(&*error.body).read_to_end(&mut text).unwrap()),
            None => text.extend_from_slice(&error.body),
        }
        assert_eq!(text, b"{\"error\":{\"code\":\"BadRequest\"}}");
        let empty = ask("Remove-Nothing").await;
        assert_eq!(empty.status, StatusCode::FORBIDDEN, "governed");
        let empty = ask("Get-Nothing").await;
        assert_eq!(
            (empty.status, empty.body.len()),
            (StatusCode::NO_CONTENT, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_fails_is_a_502_or_504_and_on_record() {
    for speaks in Speaks::ALL {
        let seen = Arc::new(Notify::new());
        let begun = Arc::clone(&seen);
        let upstream = Scripted::start(speaks, move |request| {
            let body: Value = serde_json::from_slice(&request.body().clone()).unwrap();
            let start = Piece::Data(Bytes::from("{\"value\":["));
            match body["CmdletInput"]["CmdletName"].as_str() {
                Some("Get-Death") => Deed::Die,
                Some("Get-Silence") => Deed::Silence,
                Some("Get-HalfDeath") => Deed::Answer(scripted::pieces([
                    start,
                    Piece::After(Arc::clone(&begun)),
                    Piece::Die,
                ])),
                Some("Get-HalfSilence") => Deed::Answer(scripted::pieces([start, Piece::Silence])),
                _ => Deed::Answer(scripted::json("{\"value\":[]}")),
            }
        })
        .await;
        let gateway = upstream.gateway(short_timeouts()).await;
        for http in [Http::One, Http::Two] {
            let ask = async |cmdlet: &str| {
                let mut client = open(&gateway, http).await;
                let body = command(cmdlet, json!({})).to_string();
                client
                    .send(request("ana", Method::POST, &invoke_path(), body))
                    .await
            };
            let dead = ask("Get-Death").await.unwrap();
            assert_eq!(
                dead.status,
                StatusCode::BAD_GATEWAY,
                "{speaks:?}: {}",
                dead.text()
            );
            let silent = ask("Get-Silence").await.unwrap();
            assert_eq!(
                silent.status,
                StatusCode::GATEWAY_TIMEOUT,
                "{speaks:?}: {}",
                silent.text()
            );
            assert!(!silent.error().is_empty());
            // What broke off must not look whole.
            let body = command("Get-HalfDeath", json!({})).to_string();
            let mut client = open(&gateway, http).await;
            let call = request("ana", Method::POST, &invoke_path(), body);
            let mut body = client.begin(call).await.unwrap().into_body();
            assert!(body.frame().await.unwrap().is_ok());
            seen.notify_one();
            assert!(body.collect().await.is_err(), "{speaks:?} {http:?}");
            assert!(ask("Get-HalfSilence").await.is_err(), "{speaks:?} {http:?}");
            assert_eq!(ask("Get-Health").await.unwrap().status, StatusCode::OK);
        }
        let mut seen = results(&gateway, 10);
        seen.sort();
        seen.dedup();
        let expected = [
            "ok 200 200",
            "upstream-broken 200 200",
            "upstream-broken 502 null",
            "upstream-timeout 200 200",
            "upstream-timeout 504 null",
        ];
        assert_eq!(seen, expected, "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_refuses_connections_is_a_502_and_comes_back() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let gateway = Gateway::with(Setup {
        upstream: Some((format!("http://{address}"), None)),
        ..short_timeouts()
    })
    .await;
    let refused = gateway.send(Http::One, read()).await;
    assert_eq!(
        refused.status,
        StatusCode::BAD_GATEWAY,
        "{}",
        refused.text()
    );
    assert!(
        !refused.text().contains(&address.to_string()),
        "clients need not know where it is"
    );
    assert_eq!(results(&gateway, 1), ["upstream-unreachable 502 null"]);
    assert_eq!(
        gateway.ask_control("/readyz").0,
        200,
        "the gateway itself is well"
    );
}
