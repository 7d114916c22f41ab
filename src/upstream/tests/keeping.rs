//! HTTP/1.1 connections: kept, used again, given up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Barrier, mpsc};

use super::super::http1::Connection;
use super::super::pool::Failure;
use super::super::{Keep, Pool};
use super::{LONG, PATIENT, always, call, post, server, text, upstream, upstream_with};

async fn ok(_request: Request<Incoming>) -> Response<Full<Bytes>> {
    Response::new(Full::from("ok"))
}

#[tokio::test]
async fn connection_is_used_again() {
    let (url, counts) = server::http1(ok).await;
    let (pool, upstream) = (Pool::new(), upstream(&url));
    for _ in 0..5 {
        assert_eq!(call(&pool, &upstream).await.unwrap(), "ok");
        // At once: a connection that had to be waited for would cost a task for each request.
        assert_eq!(pool.at_rest(&upstream), 1);
    }
    assert_eq!((counts.connections(), counts.requests()), (1, 5));
}

#[tokio::test]
async fn pools_and_upstreams_do_not_share_connections() {
    let (url, counts) = server::http1(ok).await;
    let (one, other) = (upstream(&url), upstream(&url));
    let pool = Pool::new();
    call(&pool, &other).await.unwrap();
    call(&pool, &one).await.unwrap();
    call(&Pool::new(), &one).await.unwrap();
    assert_eq!(counts.connections(), 3);
}

#[tokio::test]
async fn connection_that_rested_too_long_is_not_used() {
    let (url, counts) = server::http1(ok).await;
    let keep = Keep {
        age: Duration::ZERO,
        ..Keep::default()
    };
    let (pool, upstream) = (Pool::new(), upstream_with(&url, PATIENT, keep));
    call(&pool, &upstream).await.unwrap();
    call(&pool, &upstream).await.unwrap();
    assert_eq!(counts.connections(), 2);
}

#[tokio::test]
async fn no_more_connections_rest_than_may() {
    let together = Arc::new(Barrier::new(3));
    let (url, counts) = server::http1(move |_| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            Response::new(Full::from("ok"))
        }
    })
    .await;
    let keep = Keep {
        connections: 2,
        ..Keep::default()
    };
    let (pool, upstream) = (Pool::new(), upstream_with(&url, PATIENT, keep));
    let (one, two, three) = tokio::join!(
        call(&pool, &upstream),
        call(&pool, &upstream),
        call(&pool, &upstream)
    );
    for answer in [one, two, three] {
        assert_eq!(answer.unwrap(), "ok");
    }
    assert_eq!(counts.connections(), 3);
    assert_eq!(pool.at_rest(&upstream), 2);
}

#[tokio::test]
async fn connection_comes_back_only_at_the_end_of_the_answer() {
    let (go_on, mut may_go_on) = mpsc::channel::<()>(1);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        server::read_head(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
            .await
            .unwrap();
        may_go_on.recv().await.unwrap();
        stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let (pool, upstream) = (Pool::new(), upstream(&url.parse().unwrap()));
    let mut body = pool
        .send(&upstream, post("/"), &always)
        .await
        .unwrap()
        .into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "one");
    assert_eq!(pool.at_rest(&upstream), 0);
    go_on.send(()).await.unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "two");
    pool.until_at_rest(&upstream, 1).await;
}

#[tokio::test]
async fn answer_without_body_needs_no_reading() {
    let (url, counts) = server::http1(|_| async {
        Response::builder()
            .status(204)
            .body(Full::default())
            .unwrap()
    })
    .await;
    let (pool, upstream) = (Pool::new(), upstream(&url));
    for _ in 0..3 {
        drop(pool.send(&upstream, post("/"), &always).await.unwrap());
        pool.until_at_rest(&upstream, 1).await;
    }
    assert_eq!(counts.connections(), 1);
}

#[tokio::test]
async fn body_abandoned_halfway_closes_the_connection() {
    let (closed, mut was_closed) = mpsc::channel(1);
    let url = server::scripted(move |mut stream| {
        let closed = closed.clone();
        async move {
            server::read_head(&mut stream).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nsome of it")
                .await
                .unwrap();
            // The end, or a reset since there was more for the client to read.
            while stream.read_u8().await.is_ok() {}
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let (pool, upstream) = (Pool::new(), upstream(&url));
    let mut body = pool
        .send(&upstream, post("/"), &always)
        .await
        .unwrap()
        .into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    was_closed.recv().await.unwrap();
    assert_eq!(pool.at_rest(&upstream), 0);
}

#[tokio::test]
async fn abandoned_request_closes_the_connection() {
    let (arrived, mut has_arrived) = mpsc::channel(1);
    let (closed, mut was_closed) = mpsc::channel(1);
    let url = server::scripted(move |mut stream| {
        let (arrived, closed) = (arrived.clone(), closed.clone());
        async move {
            server::read_head(&mut stream).await.unwrap();
            arrived.send(()).await.unwrap();
            while stream.read_u8().await.is_ok() {}
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let (pool, upstream) = (Pool::new(), upstream(&url));
    tokio::select! {
        _ = pool.send(&upstream, post("/"), &always) => panic!("nobody answers"),
        _ = has_arrived.recv() => {}
    }
    was_closed.recv().await.unwrap();
}

#[tokio::test]
async fn connection_that_the_server_closed_is_replaced_without_an_error() {
    let (url, counts) = {
        let counts = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let seen = Arc::clone(&counts);
        let url = server::scripted(move |mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                // One answer each, then the connection is closed without a word.
                let answered = server::answer(&mut stream, 1).await;
                seen.fetch_add(answered, std::sync::atomic::Ordering::SeqCst);
            }
        })
        .await;
        (url, counts)
    };
    let (pool, upstream) = (Pool::new(), upstream(&url));
    for _ in 0..3 {
        assert_eq!(call(&pool, &upstream).await.unwrap(), "ok");
        // Until it is noticed that the server closed.
        pool.until_at_rest(&upstream, 0).await;
    }
    assert_eq!(counts.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[tokio::test]
async fn request_that_was_not_sent_comes_back_whole() {
    let (ours, _theirs) = tokio::io::duplex(1024);
    let (sender, driver) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(ours))
            .await
            .unwrap();
    drop(driver);
    let mut connection = Connection {
        sender,
        timer: Box::pin(tokio::time::sleep(LONG)),
    };
    let upstream = upstream(&"http://127.0.0.1:1".parse().unwrap());
    let failure = connection
        .send(&upstream.0, post("/again"))
        .await
        .unwrap_err();
    let Failure::Unsent(unsent) = failure else {
        panic!("{failure:?}");
    };
    let request = unsent.into_request();
    assert_eq!(request.uri(), "/again");
    assert_eq!(
        request.into_body().collect().await.unwrap().to_bytes(),
        "{}"
    );
}

#[tokio::test]
async fn answer_that_comes_before_the_request_is_read_does_not_lose_the_connection() {
    let url = server::scripted(|mut stream| async move {
        let head = server::read_head(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        assert!(head.contains("content-length: 8388608"), "{head}");
        let mut body = stream.take(8_388_608);
        tokio::io::copy(&mut body, &mut tokio::io::sink())
            .await
            .unwrap();
        server::answer(&mut body.into_inner(), 1).await;
    })
    .await;
    let (pool, upstream) = (Pool::new(), upstream(&url));
    let request = Request::post("/")
        .body(Full::from(vec![b' '; 8_388_608]))
        .unwrap();
    let response = pool.send(&upstream, request, &always).await.unwrap();
    assert_eq!(text(response).await.unwrap(), "ok");
    pool.until_at_rest(&upstream, 1).await;
    assert_eq!(
        text(pool.send(&upstream, get("/"), &always).await.unwrap())
            .await
            .unwrap(),
        "ok"
    );
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

#[tokio::test]
async fn request_goes_to_its_upstream_whatever_authority_it_names() {
    let (url, _) = server::http1(|request: Request<Incoming>| async move {
        let hosts: Vec<_> = request.headers().get_all(HOST).iter().collect();
        Response::new(Full::from(format!("{} {hosts:?}", request.uri())))
    })
    .await;
    let (pool, upstream) = (Pool::new(), upstream(&url));
    let request = Request::post("https://elsewhere.example/path?query")
        .header(HOST, "elsewhere.example")
        .body(Full::default())
        .unwrap();
    let seen = text(pool.send(&upstream, request, &always).await.unwrap())
        .await
        .unwrap();
    assert_eq!(seen, format!("/path?query [\"{}\"]", upstream.authority()));
}
