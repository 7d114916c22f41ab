//! What waits and what ends something: on connections of their own, shared by people.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::super::{Pool, Purpose, Upstream, UpstreamError};
use super::{LONG, SHORT, always, call, over_tls, post, server, text};

/// Half of the connections for what waits, where each takes one request.
const HALF: usize = 16;

/// A server that takes one request at a time on each connection, and answers those for `/wait` when they are released.
struct Lab {
    pool: Pool,
    upstream: Upstream,
    counts: server::Counts,
    release: Arc<Semaphore>,
}

type Answer = Result<String, UpstreamError>;

impl Lab {
    async fn start() -> Self {
        let tls = server::TestTls::new();
        let release = Arc::new(Semaphore::new(0));
        let released = Arc::clone(&release);
        let handler = move |request: Request<Incoming>| {
            let released = Arc::clone(&released);
            async move {
                if request.uri().path() == "/wait" {
                    released.acquire().await.unwrap().forget();
                }
                Response::new(Full::<Bytes>::from("ok"))
            }
        };
        let (url, counts) = server::http2(&tls, 1, CancellationToken::new(), handler).await;
        let lab = Self {
            pool: Pool::new(),
            upstream: over_tls(&url, tls.client()),
            counts,
            release,
        };
        // Soon after the first answer the upstream's limit is known.
        call(&lab.pool, &lab.upstream).await.unwrap();
        while lab.upstream.0.streams.load(Ordering::Relaxed) != 1 {
            tokio::task::yield_now().await;
        }
        lab
    }

    async fn ask(&self, purpose: Purpose, whose: &str, path: &str) -> Answer {
        let turn = self.pool.turn(&self.upstream, purpose, whose, LONG).await;
        text(
            self.pool
                .send_in_turn(turn.unwrap(), post(path), &always)
                .await?,
        )
        .await
    }

    /// That many requests of this person, which the server answers when they are released.
    fn waits<'a>(&'a self, whose: &'a str, count: usize) -> Waits<'a> {
        let wait = || -> Pin<Box<dyn Future<Output = Answer> + 'a>> {
            Box::pin(self.ask(Purpose::Wait, whose, "/wait"))
        };
        (0..count).map(|_| wait()).collect()
    }

    /// Lets these go on until so many requests have reached the server.
    async fn until_there(&self, waits: &mut Waits<'_>, requests: usize) {
        tokio::select! {
            biased;
            answer = waits.next() => panic!("{answer:?}"),
            () = async {
                while self.counts.requests() < requests {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        assert_eq!(self.counts.requests(), requests);
    }

    async fn has_turn(&self, purpose: Purpose, whose: &str) -> bool {
        let turn = self.pool.turn(&self.upstream, purpose, whose, SHORT).await;
        turn.is_some()
    }
}

type Waits<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + 'a>>>;

#[tokio::test]
async fn whoever_waits_for_much_keeps_nothing_and_nobody_else_waiting() {
    let lab = Lab::start().await;
    let mut waits = lab.waits("ana", 100);
    lab.until_there(&mut waits, 1 + HALF).await;
    let others = async {
        assert_eq!(call(&lab.pool, &lab.upstream).await.unwrap(), "ok");
        for (purpose, whose) in [
            (Purpose::End, "ana"),
            (Purpose::Enforce, "ana"),
            (Purpose::Wait, "bea"),
            (Purpose::Wait, "eve"),
        ] {
            assert_eq!(lab.ask(purpose, whose, "/").await.unwrap(), "ok");
        }
    };
    tokio::select! {
        biased;
        answer = waits.next() => panic!("{answer:?}"),
        () = others => {}
    }
    // Of ana's other requests none went out meanwhile, since she has her share.
    assert_eq!(lab.counts.requests(), 1 + HALF + 5);
    // All of them are answered in the end, one when another has ended.
    lab.release.add_permits(100);
    while let Some(answer) = waits.next().await {
        assert_eq!(answer.unwrap(), "ok");
    }
    assert_eq!(lab.counts.requests(), 1 + 100 + 5);
}

#[tokio::test]
async fn what_ends_things_is_shared_as_well_and_never_waits_for_the_gateways_own() {
    let lab = Lab::start().await;
    let turn = async |purpose, whose| {
        let turn = lab.pool.turn(&lab.upstream, purpose, whose, LONG).await;
        turn.unwrap()
    };
    let ended = [
        turn(Purpose::End, "ana").await,
        turn(Purpose::End, "ana").await,
    ];
    assert!(!lab.has_turn(Purpose::End, "ana").await);
    assert!(lab.has_turn(Purpose::End, "bea").await);
    assert!(lab.has_turn(Purpose::Enforce, "ana").await);
    drop(ended);
    assert!(lab.has_turn(Purpose::End, "ana").await);
}

#[tokio::test]
async fn who_leaves_gives_the_turn_and_the_wait_for_one_up() {
    let lab = Lab::start().await;
    let mut waits = lab.waits("ana", HALF);
    lab.until_there(&mut waits, 1 + HALF).await;
    // These wait for a turn, and then do not any more.
    let mut in_vain = lab.waits("ana", 3);
    assert!(futures_util::poll!(in_vain.next()).is_pending());
    drop(in_vain);
    assert!(!lab.has_turn(Purpose::Wait, "ana").await);
    drop(waits);
    let mut waits = lab.waits("ana", HALF + 1);
    lab.until_there(&mut waits, 1 + HALF + HALF).await;
}

#[tokio::test]
async fn turn_ends_when_the_answer_was_read() {
    let lab = Lab::start().await;
    let answer = async || {
        let turn = lab
            .pool
            .turn(&lab.upstream, Purpose::End, "ana", LONG)
            .await;
        let answer = lab
            .pool
            .send_in_turn(turn.unwrap(), post("/"), &always)
            .await;
        answer.unwrap()
    };
    let (first, second) = (answer().await, answer().await);
    assert!(!lab.has_turn(Purpose::End, "ana").await);
    assert_eq!(text(first).await.unwrap(), "ok");
    assert!(lab.has_turn(Purpose::End, "ana").await);
    drop(second);
}
