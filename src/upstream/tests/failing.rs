//! What goes wrong, and how it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use super::super::{Delivery, Keep, Phase, Pool, Settings, Timeouts, Upstream, UpstreamError};
use super::{
    LONG, PATIENT, SHORT, always, call, chain, over_tls, post, server, upstream, upstream_with,
};

/// Keeps a connection open and silent until the other side is gone.
async fn stay_silent(stream: TcpStream) {
    let mut buffer = [0; 1024];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[tokio::test]
async fn refused_connection_names_the_upstream_and_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let upstream = upstream(&url.parse().unwrap());
    let error = call(&Pool::new(), &upstream).await.unwrap_err();
    let text = chain(&error);
    assert!(
        text.starts_with(&format!("cannot connect to `{}`", upstream.authority())),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(error.status(), 502);
    assert!(!error.client_text().contains("127.0.0.1"));
}

#[tokio::test]
async fn name_without_address_is_told_as_such() {
    // A label has 63 bytes at most (RFC 1035, section 2.3.4), so that the resolver refuses without asking anybody.
    let url = format!("http://{}.invalid", "a".repeat(64));
    let upstream = upstream(&url.parse().unwrap());
    let error = call(&Pool::new(), &upstream).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Dns { .. }), "{error:?}");
    assert_eq!(error.delivery(), Delivery::NotSent);
}

#[tokio::test]
async fn request_is_not_sent_again_once_it_was_sent() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let url = server::scripted(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            // The first is answered, so that the second goes out on a connection that was kept.
            seen.fetch_add(server::answer(&mut stream, 1).await, Ordering::SeqCst);
            if server::read_head(&mut stream).await.is_some() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let (pool, upstream) = (Pool::new(), upstream(&url));
    call(&pool, &upstream).await.unwrap();
    let error = call(&pool, &upstream).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Closed { .. }), "{error:?}");
    assert_eq!(error.delivery(), Delivery::MayHaveArrived);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn answer_that_does_not_begin_in_time_is_a_timeout() {
    let url = server::scripted(stay_silent).await;
    let timeouts = Timeouts {
        head: SHORT,
        ..PATIENT
    };
    let upstream = upstream_with(&url, timeouts, Keep::default());
    let error = call(&Pool::new(), &upstream).await.unwrap_err();
    assert_eq!(phase(&error), Phase::Head);
    assert_eq!(error.delivery(), Delivery::MayHaveArrived);
    assert_eq!(error.status(), 504);
    assert!(
        error
            .to_string()
            .contains("did not begin to answer within 50ms")
    );
}

#[tokio::test]
async fn answer_that_does_not_go_on_is_a_timeout() {
    let url = server::scripted(|mut stream| async move {
        server::read_head(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsome")
            .await
            .unwrap();
        stay_silent(stream).await;
    })
    .await;
    let timeouts = Timeouts {
        idle: SHORT,
        ..PATIENT
    };
    let (pool, upstream) = (Pool::new(), upstream_with(&url, timeouts, Keep::default()));
    let mut body = pool
        .send(&upstream, post("/"), &always)
        .await
        .unwrap()
        .into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "some"
    );
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(phase(&error), Phase::Body);
    assert!(body.frame().await.is_none());
    assert_eq!(pool.at_rest(&upstream), 0);
}

#[tokio::test]
async fn handshake_that_does_not_end_in_time_is_a_connect_timeout() {
    let url = server::scripted(stay_silent).await;
    let url = format!("https://{}", url.authority());
    let upstream = Upstream::new(Settings {
        url: &url.parse().unwrap(),
        tls: Some(server::TestTls::new().client()),
        timeouts: Timeouts {
            connect: SHORT,
            head: LONG,
            idle: LONG,
        },
        keep: Keep::default(),
    })
    .unwrap();
    let pool = Pool::new();
    // The second waits for the first one's turn, and no longer than the timeout either.
    let (one, two) = tokio::join!(call(&pool, &upstream), call(&pool, &upstream));
    for error in [one.unwrap_err(), two.unwrap_err()] {
        assert_eq!(phase(&error), Phase::Connect);
        assert_eq!(error.delivery(), Delivery::NotSent);
    }
}

#[tokio::test]
async fn answer_cut_short_is_an_error_and_not_an_end() {
    let url = server::scripted(|mut stream| async move {
        server::read_head(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsome")
            .await
            .unwrap();
    })
    .await;
    let error = call(&Pool::new(), &upstream(&url)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Closed { .. }), "{error:?}");
    assert_eq!(error.delivery(), Delivery::MayHaveArrived);
}

#[tokio::test]
async fn answer_that_is_not_http_is_a_protocol_error() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ] {
        let url = server::scripted(move |mut stream| async move {
            server::read_head(&mut stream).await.unwrap();
            stream.write_all(answer).await.unwrap();
            stay_silent(stream).await;
        })
        .await;
        let error = call(&Pool::new(), &upstream(&url)).await.unwrap_err();
        let answer = String::from_utf8_lossy(answer);
        assert!(
            matches!(error, UpstreamError::Protocol { .. }),
            "{answer}: {error:?}"
        );
    }
}

#[tokio::test]
async fn certificate_of_another_ca_is_refused_with_the_remedy() {
    let (theirs, ours) = (server::TestTls::new(), server::TestTls::new());
    let acceptor = theirs.acceptor(&[b"http/1.1"]);
    let url = server::scripted(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let _refused = acceptor.accept(stream).await;
        }
    })
    .await;
    let upstream = over_tls(&url, ours.client());
    let error = call(&Pool::new(), &upstream).await.unwrap_err();
    let text = chain(&error);
    assert!(
        text.contains("not from a CA that the gateway trusts"),
        "{text}"
    );
    assert!(text.contains("`upstream_ca`"), "{text}");
    assert_eq!(error.delivery(), Delivery::NotSent);
}

#[tokio::test]
async fn certificate_for_another_name_is_refused_with_the_remedy() {
    let tls = server::TestTls::new();
    let acceptor = tls.acceptor(&[b"http/1.1"]);
    let url = server::scripted(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let _refused = acceptor.accept(stream).await;
        }
    })
    .await;
    let url = format!("https://{}", url.authority());
    let upstream = Upstream::new(Settings {
        url: &url.parse().unwrap(),
        tls: Some(tls.client()),
        timeouts: PATIENT,
        keep: Keep::default(),
    })
    .unwrap();
    let error = call(&Pool::new(), &upstream).await.unwrap_err();
    assert!(
        chain(&error).contains("its certificate is for another name"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn port_that_does_not_speak_tls_is_told_as_such() {
    let url = server::scripted(|mut stream| async move {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        stay_silent(stream).await;
    })
    .await;
    let upstream = over_tls(&url, server::TestTls::new().client());
    let error = call(&Pool::new(), &upstream).await.unwrap_err();
    assert!(
        chain(&error).contains("should `upstream` be http?"),
        "{}",
        chain(&error)
    );
}

fn phase(error: &UpstreamError) -> Phase {
    match error {
        UpstreamError::Timeout { phase, .. } => *phase,
        _ => panic!("{error:?}"),
    }
}
