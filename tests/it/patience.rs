//! How long the gateway waits for clients that take nothing of their answers, and for upstreams that pause in one.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::client::{Http, basic_head, command, connect, invoke_path, is_established, request};
use crate::connection::Connection;
use crate::gateway::{Gateway, Setup};
use crate::scripted::{self, Deed, Piece, Scripted, Speaks};

/// More than lies in the buffers between two processes.
const LONG: usize = 32 * 1024 * 1024;

/// Far more than the gateway waits for in these tests.
const LONG_AGO: Duration = crate::gateway::PATIENCE;

fn impatient() -> Setup {
    let mut setup = Setup::default();
    let lines = "timeouts = { idle = \"200ms\" }".to_owned();
    setup.extra.insert("proxy", lines);
    setup
}

fn read() -> String {
    command("Get-Mailbox", json!({"Identity": "eva"})).to_string()
}

/// An upstream with a long answer in two pieces, the second of which comes when it may.
async fn in_two_pieces(go: &CancellationToken) -> Scripted {
    let go = go.clone();
    Scripted::start(Speaks::TlsHttp1, move |_| {
        let long = format!("{{\"value\":[\"{}\"", "x".repeat(LONG));
        Deed::Answer(scripted::pieces([
            Piece::Data(Bytes::from(long)),
            Piece::Until(go.clone()),
            Piece::Data(Bytes::from_static(b"]}")),
        ]))
    })
    .await
}

/// Waits until the gateway has left two idle connections, one after the other.
async fn while_idle_ones_are_left(gateway: &Gateway) {
    for _ in 0..2 {
        let ca = gateway.path("certs/ca.pem");
        let mut stream = connect(gateway.proxy(), &ca, Http::One).await;
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_of_an_answer_loses_the_connection() {
    let go = CancellationToken::new();
    go.cancel();
    let upstream = in_two_pieces(&go).await;
    let gateway = upstream.gateway(impatient()).await;
    let ca = gateway.path("certs/ca.pem");

    let mut stream = connect(gateway.proxy(), &ca, Http::One).await;
    let body = read();
    let asks = format!(
        "POST {} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n{body}",
        invoke_path(),
        basic_head(),
        body.len()
    );
    stream.write_all(asks.as_bytes()).await.unwrap();
    let near = stream.get_ref().0.local_addr().unwrap();
    gateway.eventually("the connection is left", |gateway| {
        (!is_established(gateway.proxy(), near)).then_some(())
    });
    drop(stream);

    let stream = TokioIo::new(connect(gateway.proxy(), &ca, Http::Two).await);
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1)
        .handshake::<_, Full<Bytes>>(stream)
        .await
        .unwrap();
    let ends = tokio::spawn(connection);
    let mut asks = request("ana", Method::POST, &invoke_path(), read());
    *asks.uri_mut() = format!("https://localhost{}", invoke_path())
        .parse()
        .unwrap();
    let answer = sender.send_request(asks).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    // However it ends.
    let _ = timeout(LONG_AGO, ends).await.unwrap();
    drop(answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_of_the_upstream_is_not_the_clients_fault() {
    for http in [Http::One, Http::Two] {
        let go = CancellationToken::new();
        let upstream = in_two_pieces(&go).await;
        let gateway = upstream.gateway(impatient()).await;
        let ca = gateway.path("certs/ca.pem");
        let mut connection = Connection::open(gateway.proxy(), &ca, http).await.unwrap();
        let asks: Request<Full<Bytes>> = request("ana", Method::POST, &invoke_path(), read());
        let mut answer = connection.begin(asks).await.unwrap();
        let mut taken = 0;
        while taken < LONG {
            let piece = answer.body_mut().frame().await.unwrap().unwrap();
            taken += piece.into_data().unwrap().len();
        }
        while_idle_ones_are_left(&gateway).await;
        go.cancel();
        let rest = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(rest.ends_with(b"]}"), "{http:?}");
    }
}
