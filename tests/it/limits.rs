//! What is too large, too much, too slow, too old or too late is refused or cut off, and nothing else suffers.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::client::{Http, basic_head, command, connect, invoke_path, request, trust, try_connect};
use crate::connection::Connection;
use crate::gateway::{Gateway, Setup};
use crate::scripted::{self, Deed, Piece, Scripted, Speaks};

fn read() -> Request<Full<Bytes>> {
    let body = command("Get-Mailbox", json!({"Identity": "eva"})).to_string();
    request("ana", Method::POST, &invoke_path(), body)
}

async fn open(gateway: &Gateway, http: Http) -> Connection {
    Connection::open(gateway.proxy(), &gateway.path("certs/ca.pem"), http)
        .await
        .unwrap()
}

fn proxy(lines: &str) -> Setup {
    let mut setup = Setup::default();
    setup.extra.insert("proxy", lines.to_owned());
    setup
}

/// What the gateway says until it closes.
async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_bodies_beyond_the_limits_are_refused() {
    let gateway = Gateway::with(proxy(
        "limits = { head_bytes = \"8 KiB\", head_fields = 20, body_bytes = \"16 KiB\" }",
    ))
    .await;
    for http in [Http::One, Http::Two] {
        let mut long = read();
        long.headers_mut()
            .insert("x-filler", "x".repeat(9 * 1024).parse().unwrap());
        // The end of the connection may overtake the answer, for there is more that nobody reads.
        if let Ok(answer) = open(&gateway, http).await.send(long).await {
            assert_eq!(
                answer.status,
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "{http:?}"
            );
        }
        let mut large = read();
        *large.body_mut() = Full::new(Bytes::from(vec![b' '; 16 * 1024 + 1]));
        let refused = open(&gateway, http).await.send(large).await.unwrap();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{http:?}");
        assert!(
            refused.error().contains("16384 bytes"),
            "{}",
            refused.error()
        );
    }
    let mut stream = connect(gateway.proxy(), &gateway.path("certs/ca.pem"), Http::One).await;
    stream
        .write_all(format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(30)).as_bytes())
        .await
        .unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:?}");
    // A body of unknown length is cut off at the limit.
    let mut chunked = format!(
        "POST {} HTTP/1.1\r\n{}Transfer-Encoding: chunked\r\n\r\n",
        invoke_path(),
        basic_head()
    );
    for _ in 0..5 {
        chunked.push_str("1000\r\n");
        chunked.push_str(&" ".repeat(0x1000));
        chunked.push_str("\r\n");
    }
    let answer = gateway
        .raw(chunked.as_bytes(), |seen| seen.ends_with(b"}"))
        .await;
    assert!(
        answer.starts_with(b"HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert!(gateway.sample.arrived().is_empty());
    // The largest that may be is taken.
    let mut body = command("Get-Mailbox", json!({"Identity": "eva"}))
        .to_string()
        .into_bytes();
    body.resize(16 * 1024, b' ');
    let taken = request("ana", Method::POST, &invoke_path(), body);
    assert_eq!(gateway.send(Http::One, taken).await.status, StatusCode::OK);
    assert!(gateway.metric("portcullis_refused_total{reason=\"limit\"}") > 2.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_are_closed_until_others_end() {
    let gateway = Gateway::with(proxy("limits = { connections = 2 }")).await;
    let ca = gateway.path("certs/ca.pem");
    let mut first = open(&gateway, Http::One).await;
    let mut second = open(&gateway, Http::Two).await;
    assert!(try_connect(gateway.proxy(), &ca, Http::One).await.is_err());
    for client in [&mut first, &mut second] {
        assert_eq!(
            client.send(read()).await.unwrap().status,
            StatusCode::OK,
            "the others go on"
        );
    }
    drop(first);
    let began = Instant::now();
    while try_connect(gateway.proxy(), &ca, Http::One).await.is_err() {
        assert!(
            began.elapsed() < crate::gateway::PATIENCE,
            "the place is not given back"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_too_slow_is_cut_off_and_whoever_is_idle_is_not() {
    let gateway = Gateway::with(proxy(
        "timeouts = { handshake = \"200ms\", head = \"200ms\", body = \"200ms\", idle = \"300s\" }",
    ))
    .await;
    let ca = gateway.path("certs/ca.pem");
    let mut idle = open(&gateway, Http::One).await;
    assert_eq!(idle.send(read()).await.unwrap().status, StatusCode::OK);

    let mut silent = TcpStream::connect(gateway.proxy()).await.unwrap();
    assert_eq!(until_closed(&mut silent).await, "", "no handshake");

    let mut stream = connect(gateway.proxy(), &ca, Http::One).await;
    stream
        .write_all(b"POST /adminapi HTTP/1.1\r\nHost: ")
        .await
        .unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );

    let mut stream = connect(gateway.proxy(), &ca, Http::One).await;
    let head = format!(
        "POST {} HTTP/1.1\r\n{}Content-Length: 100\r\n\r\n{{",
        invoke_path(),
        basic_head()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("took too long to arrive"), "{answer}");

    // All that took longer than a head may, and an idle connection is none that sends its head slowly.
    assert_eq!(idle.send(read()).await.unwrap().status, StatusCode::OK);
    assert_eq!(gateway.sample.arrived().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_end_after_their_time() {
    let gateway = Gateway::with(proxy("timeouts = { idle = \"200ms\" }")).await;
    let ca = gateway.path("certs/ca.pem");
    for start in [
        format!(
            "POST {} HTTP/1.1\r\n{}Content-Length: 0\r\n\r\n",
            invoke_path(),
            basic_head()
        ),
        String::new(),
    ] {
        let mut stream = connect(gateway.proxy(), &ca, Http::One).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let began = Instant::now();
        until_closed(&mut stream).await;
        // Far below the 30 s that a head may take.
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{start:?}: {:?}",
            began.elapsed()
        );
    }
    let stream = TokioIo::new(connect(gateway.proxy(), &ca, Http::Two).await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (sender, connection): (SendRequest<Full<Bytes>>, _) = handshake.await.unwrap();
    let began = Instant::now();
    // It is told to end, or ends.
    let _ = connection.await;
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert!(sender.is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let gateway = Gateway::start().await;
    let roots = trust(&gateway.path("certs/ca.pem"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = rustls::ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(gateway.proxy()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
    // A ClientHello of TLS 1.1 (RFC 4346 section 7.4.1.2): two cipher suites, no extensions.
    let mut hello = vec![0x03, 0x02];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend_from_slice(&hello);
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    // A fatal alert: protocol_version (70), or handshake_failure (40).
    assert_eq!(answer.first(), Some(&21), "{answer:?}");
    assert!(
        matches!(answer.as_slice(), [21, _, _, 0, 2, 2, 70 | 40]),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_what_is_in_flight_and_takes_nothing_new() {
    let go = CancellationToken::new();
    let upstream = Scripted::start(Speaks::TlsHttp2, {
        let go = go.clone();
        move |_| {
            Deed::Answer(scripted::pieces([
                Piece::Data(Bytes::from_static(b"{\"value\":[")),
                Piece::Until(go.clone()),
                Piece::Data(Bytes::from_static(b"]}")),
            ]))
        }
    })
    .await;
    let mut gateway = upstream.gateway(Setup::default()).await;
    let mut bodies = Vec::new();
    let mut clients = [
        open(&gateway, Http::One).await,
        open(&gateway, Http::Two).await,
    ];
    let idle = open(&gateway, Http::One).await;
    for client in &mut clients {
        bodies.push(client.begin(read()).await.unwrap().into_body());
    }
    gateway.signal("TERM");
    gateway.wait_for_log("Draining");
    let refused = TcpStream::connect(gateway.proxy()).await.map(drop);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let (status, text) = gateway.ask_control("/readyz");
    assert_eq!((status, text.as_str()), (503, "draining\n"));
    go.cancel();
    for body in bodies {
        assert_eq!(body.collect().await.unwrap().to_bytes(), "{\"value\":[]}");
    }
    assert!(gateway.wait().success());
    drop(idle);
    let records = gateway.records();
    let ok = records.iter().filter(|it| it["result"] == "ok").count();
    assert_eq!(ok, 2);
    assert_eq!(records.last().unwrap()["kind"], "gateway.stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlasts_the_drain_is_cut_off_and_on_record() {
    let upstream = Scripted::start(Speaks::TlsHttp1, |_| Deed::Silence).await;
    let mut gateway = upstream
        .gateway(proxy("timeouts = { drain = \"200ms\" }"))
        .await;
    let mut client = open(&gateway, Http::Two).await;
    let call = tokio::spawn(async move { client.send(read()).await.is_err() });
    gateway.eventually("the call is upstream", |_| {
        (!upstream.requests().is_empty()).then_some(())
    });
    assert!(gateway.terminate().success());
    assert!(call.await.unwrap(), "it got no answer");
    let records = gateway.records();
    let outcomes: Vec<_> = records
        .iter()
        .filter(|it| it["kind"] == "outcome")
        .collect();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0]["result"], "client-gone");
    let (code, text) = gateway.portcullis(&["audit", "verify", "data/audit"]);
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_leaves_an_outcome() {
    let upstream = Scripted::start(Speaks::TlsHttp1, |_| Deed::Silence).await;
    let gateway = upstream.gateway(Setup::default()).await;
    for (index, http) in [Http::One, Http::Two].into_iter().enumerate() {
        let mut client = open(&gateway, http).await;
        let call = tokio::spawn(async move { client.send(read()).await.is_err() });
        gateway.eventually("the call is upstream", |_| {
            (upstream.requests().len() > index).then_some(())
        });
        call.abort();
        gateway.eventually("its outcome is on record", |it| {
            let records = it.records();
            (records
                .iter()
                .filter(|it| it["result"] == "client-gone")
                .count()
                > index)
                .then_some(())
        });
    }
}

/// Reads until the head of an answer is there; the head, in lower case.
async fn answer_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    while !answer.windows(4).any(|it| it == b"\r\n\r\n") {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        assert_ne!(
            read,
            0,
            "it ended after {:?}",
            String::from_utf8_lossy(&answer)
        );
        answer.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8_lossy(&answer).to_ascii_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_whose_body_comes_late_keeps_the_connection_or_is_told_that_it_ends() {
    let gateway = Gateway::start().await;
    let body = command("Get-Mailbox", json!({})).to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        invoke_path(),
        body.len()
    );
    let mut stream = connect(gateway.proxy(), &gateway.path("certs/ca.pem"), Http::One).await;
    for _ in 0..20 {
        stream
            .write_all(format!("{head}\r\n").as_bytes())
            .await
            .unwrap();
        stream.flush().await.unwrap();
        // A record of its own, which the gateway may not have when it knows that nobody is signed in.
        tokio::task::yield_now().await;
        stream.write_all(body.as_bytes()).await.unwrap();
        let answered = answer_head(&mut stream).await;
        assert!(answered.starts_with("http/1.1 401"), "{answered}");
        assert!(!answered.contains("connection: close"), "{answered}");
    }
    // No body at all, or one that waits to be asked for.
    for more in ["", "Expect: 100-continue\r\n"] {
        let mut stream = connect(gateway.proxy(), &gateway.path("certs/ca.pem"), Http::One).await;
        stream
            .write_all(format!("{head}{more}\r\n").as_bytes())
            .await
            .unwrap();
        let answered = answer_head(&mut stream).await;
        assert!(answered.starts_with("http/1.1 401"), "{answered}");
        assert!(answered.contains("connection: close"), "{answered}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_takes_as_many_files_as_it_may() {
    let gateway = Gateway::with(Setup {
        before: "ulimit -Sn 300; ulimit -Hn 4000".to_owned(),
        ..Setup::default()
    })
    .await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.process_id())).unwrap();
    let files = limits
        .lines()
        .find(|it| it.starts_with("Max open files"))
        .unwrap();
    let soft_and_hard: Vec<_> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(soft_and_hard, ["4000", "4000"]);
}
