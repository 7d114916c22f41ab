//! Callers of the API who ask too much, send too slowly, or never read: they are cut off, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use super::{Ask, problem, with_keepers};
use crate::bypass::http2::{
    END_HEADERS, END_STREAM, Field, GO_AWAY, HEADERS, RESET, SETTINGS, block, frame,
};
use crate::client::{Http, connect, request};
use crate::connection::Connection;
use crate::gateway::{Gateway, Setup, basic};

/// `CANCEL` (RFC 9113 section 7).
const CANCEL: [u8; 4] = [0, 0, 0, 8];

fn with_tls() -> Setup {
    let mut setup = with_keepers();
    let tls = "tls = { certificate = \"certs/server.pem\", key = \"certs/server-key.pem\" }";
    setup.extra.insert("control", tls.to_owned());
    setup
}

/// The head of a request by `ana`.
fn head(line: &str, rest: &str) -> String {
    let credential = basic("ana");
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {credential}\r\n{rest}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_without_end_waits_and_others_do_not() {
    const AT_ONCE: usize = 200;
    let gateway = Gateway::with(with_keepers()).await;
    let mut stream = TcpStream::connect(gateway.control()).unwrap();
    let many = head("GET /api/v1/me", "").repeat(AT_ONCE);
    let mut refused = String::new();
    // A caller may send 1,000 at once, and then one each 5 ms.
    for _ in 0..100 {
        stream.write_all(many.as_bytes()).unwrap();
        let mut seen = String::new();
        let mut buffer = vec![0; 64 * 1024];
        while seen.matches("HTTP/1.1 ").count() < AT_ONCE || !seen.ends_with('}') {
            let length = stream.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "the connection stays");
            seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        if let Some(at) = seen.find("HTTP/1.1 429") {
            refused = seen[at..].to_owned();
            break;
        }
    }
    assert!(refused.contains("retry-after: 1"), "{refused:.500}");
    assert!(refused.contains("urn:portcullis:problem:too-many-requests"));
    assert_eq!(gateway.get_api("amy", "/me").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_searches_of_a_long_log_few_run_at_once() {
    let gateway = Gateway::with(with_keepers()).await;
    gateway
        .file_by_api("ana", r"Exchange\New-MoveRequest")
        .await;
    // Another node's log, long enough that a search of it takes a while.
    let log = gateway.path("data/audit");
    let own = std::fs::read_dir(&log).unwrap().find_map(|it| {
        let path = it.unwrap().path();
        (path.extension()? == "jsonl").then_some(path)
    });
    let own = own.unwrap();
    let line = std::fs::read_to_string(&own).unwrap();
    let line = line.lines().last().unwrap();
    let name = own.file_name().unwrap().to_str().unwrap();
    let other = log.join(name.replacen("test", "another", 1));
    std::fs::write(other, format!("{line}\n").repeat(60_000)).unwrap();

    let searches = (0..12).map(|_| gateway.get_api("bo", "/audit?principal=nobody"));
    let answers = futures_util::future::join_all(searches).await;
    let refused: Vec<_> = answers
        .iter()
        .filter(|it| it.status == StatusCode::TOO_MANY_REQUESTS)
        .collect();
    assert!(!refused.is_empty());
    assert_eq!(problem(refused[0]), "too-many-requests");
    assert!(refused[0].headers.contains_key("retry-after"));
    let found = answers.iter().filter(|it| it.status == StatusCode::OK);
    assert_eq!(found.count() + refused.len(), answers.len());
    let later = gateway.get_api("bo", "/audit?kind=request.filed").await;
    assert_eq!(later.status, StatusCode::OK, "{}", later.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_too_slowly_or_without_end_is_cut_off() {
    let gateway = Gateway::with(with_keepers()).await;
    let json = "Content-Type: application/json\r\n";
    let slow = tokio::task::spawn_blocking({
        let address = gateway.control();
        let head = head(
            "POST /api/v1/requests",
            &format!("{json}Content-Length: 100\r\n"),
        );
        move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(format!("{head}{{").as_bytes()).unwrap();
            let mut answer = String::new();
            // It answers, and closes, since the rest could come at any time.
            let _ = stream.read_to_string(&mut answer);
            answer
        }
    });
    let mut endless = head(
        "POST /api/v1/requests",
        &format!("{json}Transfer-Encoding: chunked\r\n"),
    );
    for _ in 0..17 {
        endless.push_str("1000\r\n");
        endless.push_str(&" ".repeat(0x1000));
        endless.push_str("\r\n");
    }
    let mut stream = TcpStream::connect(gateway.control()).unwrap();
    let _ = stream.write_all(endless.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer = slow.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("urn:portcullis:problem:too-slow"));
    let requests = gateway.get_api("ana", "/requests").await.json();
    assert_eq!(requests["items"], json!([]));
}

#[tokio::test]
async fn no_other_sites_page_writes_whatever_the_browser_says() {
    let gateway = Gateway::with(with_keepers()).await;
    let form = "application/x-www-form-urlencoded";
    let write = || {
        Ask::by("ivy", "PUT", "/access-control")
            .bytes(br#"{"enabled":true}"#)
            .header("host", "localhost:8444")
    };
    let cross = |name, value| write().header(name, value);
    for (ask, status) in [
        (write(), 200),
        (cross("origin", "http://localhost:8444"), 200),
        (cross("sec-fetch-site", "same-origin"), 200),
        (cross("sec-fetch-site", "none"), 200),
        (cross("origin", "http://localhost:9999"), 403),
        (cross("origin", "http://evil.example"), 403),
        (cross("origin", "null"), 403),
        (cross("origin", "localhost:8444"), 403),
        (cross("sec-fetch-site", "same-site"), 403),
        (cross("sec-fetch-site", "cross-site"), 403),
        (cross("sec-fetch-site", ""), 403),
        // One good header does not make up for another.
        (
            cross("origin", "http://localhost:8444").header("sec-fetch-site", "cross-site"),
            403,
        ),
    ] {
        let answer = ask.send(&gateway).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        if status == 403 {
            assert_eq!(problem(&answer), "cross-site");
        }
    }
    // What a form can send, a browser sends without asking first; so none of its types is read, not even without a field.
    for kind in [form, "text/plain", "multipart/form-data; boundary=x"] {
        for body in ["", "enabled=true"] {
            let mut ask = Ask::by("ivy", "PUT", "/access-control").header("content-type", kind);
            ask.body = body.as_bytes().to_vec();
            let answer = ask.send(&gateway).await;
            assert_eq!(problem(&answer), "unsupported-media-type", "{kind} {body}");
        }
    }
    let twice = write().header("content-type", "text/plain");
    assert_eq!(
        problem(&twice.send(&gateway).await),
        "unsupported-media-type"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_who_never_read_lose_their_places() {
    let gateway = Gateway::with(with_tls()).await;
    let ca = gateway.path("certs/ca.pem");
    let stream = TokioIo::new(connect(gateway.control(), &ca, Http::Two).await);
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1)
        .handshake::<_, Full<Bytes>>(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut never_read = Vec::new();
    for _ in 0..8 {
        let mut watch = request("ana", Method::GET, "/api/v1/events", "");
        *watch.uri_mut() = "https://localhost/api/v1/events".parse().unwrap();
        let answer = sender.send_request(watch).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        never_read.push(answer);
    }
    let watch = async || {
        let mut connection = Connection::open(gateway.control(), &ca, Http::One)
            .await
            .unwrap();
        let watch: Request<Full<Bytes>> = request("ana", Method::GET, "/api/v1/events", "");
        connection.begin(watch).await.unwrap().status()
    };
    assert_eq!(watch().await, StatusCode::TOO_MANY_REQUESTS);
    while watch().await != StatusCode::OK {
        tokio::task::yield_now().await;
    }
    // They still hold on to their connection; it is their places that are gone.
    drop(never_read);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_an_answer_holds_no_connection() {
    let gateway = Gateway::with(with_keepers()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(gateway.control()).await.unwrap();
    // The gateway's end of the connection, by its ports, as the kernel lists it: established, or not.
    let (near, far) = (
        gateway.control().port(),
        stream.local_addr().unwrap().port(),
    );
    let is_open = || {
        let listed = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let ends = (format!(":{near:04X}"), format!(":{far:04X}"));
        listed.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let mut ends_with = |end: &str| fields.next().is_some_and(|it| it.ends_with(end));
            let is_it = ends_with(&ends.0) && ends_with(&ends.1);
            is_it && fields.next() == Some("01")
        })
    };
    // Far more than lies in the buffers between the two.
    let many = "GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    stream.write_all(many.as_bytes()).await.unwrap();
    assert!(is_open());
    gateway.eventually("the connection is left", |_| (!is_open()).then_some(()));
    drop(stream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_streams_ends_its_connection_alone() {
    let gateway = Gateway::with(with_tls()).await;
    let ca = gateway.path("certs/ca.pem");
    let fields: Vec<Field> = vec![
        (":method", "GET".to_owned()),
        (":scheme", "https".to_owned()),
        (":authority", "localhost".to_owned()),
        (":path", "/api/v1/me".to_owned()),
        ("authorization", basic("ana")),
    ];
    let block = block(&fields);
    for with_resets in [true, false] {
        let mut stream = connect(gateway.control(), &ca, Http::Two).await;
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&frame(SETTINGS, 0, 0, &[]));
        for stream in (1..8_000).step_by(2) {
            // Streams whose end does not come stay open; those that are reset are to cost work again and again.
            let flags = END_HEADERS | if with_resets { END_STREAM } else { 0 };
            let kind = HEADERS;
            bytes.extend_from_slice(&frame(kind, flags, stream, &block));
            if with_resets {
                bytes.extend_from_slice(&frame(RESET, 0, stream, &CANCEL));
            }
        }
        // It may be closed before all is written.
        let _ = stream.write_all(&bytes).await;
        let (mut refused, mut gone) = (0, false);
        let mut start = [0; 9];
        while !gone && refused < 1_000 && stream.read_exact(&mut start).await.is_ok() {
            let length = u32::from_be_bytes([0, start[0], start[1], start[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            gone = start[3] == GO_AWAY;
            refused += usize::from(start[3] == RESET);
        }
        assert!(
            gone || refused > 0,
            "refused streams, or told to go: {with_resets}"
        );
        let mut other = Connection::open(gateway.control(), &ca, Http::Two)
            .await
            .unwrap();
        let me: Request<Full<Bytes>> = request("amy", Method::GET, "/api/v1/me", "");
        assert_eq!(other.send(me).await.unwrap().status, StatusCode::OK);
    }
}
