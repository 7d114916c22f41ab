//! HTTP/2: connections shared, multiplied and replaced.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, poll};
use http::header::HOST;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use super::super::{Delivery, Handover, Pool, Upstream};
use super::{always, call, over_tls, post, server, text};

/// Sends that many requests at once.
async fn together(pool: &Pool, upstream: &Upstream, count: usize) {
    let mut calls: FuturesUnordered<_> = (0..count).map(|_| call(pool, upstream)).collect();
    while let Some(outcome) = calls.next().await {
        assert_eq!(outcome.unwrap(), "ok");
    }
}

type Answering = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

/// Answers requests for `/` once that many are there at the same time, others at once.
fn when_all_are_there(count: usize) -> impl Fn(Request<Incoming>) -> Answering + Clone + Send {
    let all = Arc::new(Barrier::new(count));
    move |request| {
        let all = Arc::clone(&all);
        Box::pin(async move {
            if request.uri().path() == "/" {
                all.wait().await;
            }
            Response::new(Full::from("ok"))
        })
    }
}

#[tokio::test]
async fn concurrent_requests_share_one_connection() {
    let tls = server::TestTls::new();
    let away = CancellationToken::new();
    let (url, counts) = server::http2(&tls, 100, away, when_all_are_there(20)).await;
    let (pool, upstream) = (Pool::new(), over_tls(&url, tls.client()));
    // Even the very first ones, which do not know yet what the upstream speaks.
    together(&pool, &upstream, 20).await;
    together(&pool, &upstream, 20).await;
    assert_eq!((counts.connections(), counts.requests()), (1, 40));
}

#[tokio::test]
async fn full_connection_is_joined_by_another() {
    let tls = server::TestTls::new();
    let away = CancellationToken::new();
    let (url, counts) = server::http2(&tls, 2, away, when_all_are_there(6)).await;
    let (pool, upstream) = (Pool::new(), over_tls(&url, tls.client()));
    // Soon after the first answer the upstream's limit is known.
    let first = Request::get("/first").body(Full::default()).unwrap();
    text(pool.send(&upstream, first, &always).await.unwrap())
        .await
        .unwrap();
    while upstream.0.streams.load(Ordering::Relaxed) != 2 {
        tokio::task::yield_now().await;
    }
    together(&pool, &upstream, 6).await;
    assert!((3..=6).contains(&counts.connections()), "{counts:?}");
    assert_eq!(counts.requests(), 7);
}

#[tokio::test]
async fn connection_that_goes_away_is_replaced_without_an_error() {
    let tls = server::TestTls::new();
    let away = CancellationToken::new();
    let (url, counts) = server::http2(&tls, 100, away.clone(), when_all_are_there(1)).await;
    let (pool, upstream) = (Pool::new(), over_tls(&url, tls.client()));
    call(&pool, &upstream).await.unwrap();
    away.cancel();
    while pool.shared(&upstream) > 0 {
        tokio::task::yield_now().await;
    }
    call(&pool, &upstream).await.unwrap();
    assert_eq!((counts.connections(), counts.requests()), (2, 2));
}

#[tokio::test]
async fn request_names_its_upstream_and_nothing_else() {
    let tls = server::TestTls::new();
    let (url, _) = server::http2(
        &tls,
        100,
        CancellationToken::new(),
        |request: Request<Incoming>| async move {
            assert_eq!(request.version(), Version::HTTP_2);
            assert!(request.headers().get(HOST).is_none());
            Response::new(Full::from(request.uri().to_string()))
        },
    )
    .await;
    let (pool, upstream) = (Pool::new(), over_tls(&url, tls.client()));
    let request = Request::post("http://elsewhere.example/path?query")
        .header(HOST, "elsewhere.example")
        .body(Full::default())
        .unwrap();
    let seen = text(pool.send(&upstream, request, &always).await.unwrap())
        .await
        .unwrap();
    assert_eq!(seen, format!("https://{}/path?query", upstream.authority()));
}

#[tokio::test]
async fn what_waits_for_room_is_asked_whether_it_may_go_when_there_is_some() {
    let tls = server::TestTls::new();
    let released = CancellationToken::new();
    let held = released.clone();
    let handler = move |request: Request<Incoming>| {
        let held = held.clone();
        async move {
            if request.uri().path() == "/held" {
                held.cancelled().await;
            }
            Response::new(Full::from("ok"))
        }
    };
    let (url, counts) = server::http2(&tls, 1, CancellationToken::new(), handler).await;
    let (pool, upstream) = (Pool::new(), over_tls(&url, tls.client()));
    call(&pool, &upstream).await.unwrap();
    while upstream.0.streams.load(Ordering::Relaxed) != 1 {
        tokio::task::yield_now().await;
    }
    let occupy = async || text(pool.send(&upstream, post("/held"), &always).await?).await;
    let mut holding: FuturesUnordered<_> = (0..8).map(|_| occupy()).collect();
    while counts.requests() < 9 {
        assert!(poll!(holding.next()).is_pending());
        tokio::task::yield_now().await;
    }
    let asked = Mutex::new(Vec::new());
    let never = |handover| {
        asked.lock().unwrap().push(handover);
        false
    };
    let mut withdrawn = Box::pin(pool.send(&upstream, post("/"), &never));
    let mut behind = Box::pin(call(&pool, &upstream));
    for _ in 0..100 {
        assert!(poll!(&mut withdrawn).is_pending());
        assert!(poll!(&mut behind).is_pending());
        tokio::task::yield_now().await;
    }
    // Nothing is behind others on a connection, from where it could not be taken back.
    assert_eq!((counts.requests(), asked.lock().unwrap().len()), (9, 0));
    released.cancel();
    let (withdrawn, behind, _) = tokio::join!(withdrawn, behind, holding.collect::<Vec<_>>());
    let error = withdrawn.unwrap_err();
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(*asked.lock().unwrap(), [Handover::AfterWaiting]);
    assert_eq!(behind.unwrap(), "ok");
    assert_eq!(counts.requests(), 10);
}
