mod failing;
mod http_two;
mod keeping;
mod server;
mod turns;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use rustls::ClientConfig;
use url::Url;

use super::{Handover, Keep, Pool, Settings, Timeouts, Upstream, UpstreamBody, UpstreamError};

/// Long enough that only what never happens takes longer.
const LONG: Duration = Duration::from_secs(30);

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(50);

const PATIENT: Timeouts = Timeouts {
    connect: LONG,
    head: LONG,
    idle: LONG,
};

fn upstream(url: &Url) -> Upstream {
    upstream_with(url, PATIENT, Keep::default())
}

fn upstream_with(url: &Url, timeouts: Timeouts, keep: Keep) -> Upstream {
    Upstream::new(Settings {
        url,
        tls: None,
        timeouts,
        keep,
    })
    .unwrap()
}

/// The same server, by the name `localhost` and over TLS.
fn over_tls(url: &Url, trust: Arc<ClientConfig>) -> Upstream {
    let url = format!("https://localhost:{}", url.port().unwrap());
    Upstream::new(Settings {
        url: &url.parse().unwrap(),
        tls: Some(trust),
        timeouts: PATIENT,
        keep: Keep::default(),
    })
    .unwrap()
}

fn post(path: &str) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::from("{}")).unwrap()
}

/// Nobody takes it back.
fn always(_: Handover) -> bool {
    true
}

async fn text(response: Response<UpstreamBody>) -> Result<String, UpstreamError> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// The answer to `POST /`, read to its end.
async fn call(pool: &Pool, upstream: &Upstream) -> Result<String, UpstreamError> {
    text(pool.send(upstream, post("/"), &always).await?).await
}

/// What an operator reads of an error: the whole chain.
fn chain(error: &UpstreamError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

impl Pool {
    /// Lets the runtime go on until that many connections are at rest.
    async fn until_at_rest(&self, upstream: &Upstream, count: usize) {
        while self.at_rest(upstream) != count {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn url_without_host_or_with_another_scheme_is_no_upstream() {
    for (url, why) in [
        ("ftp://example.com", "neither http nor https"),
        ("mailto:amy@example.com", "neither http nor https"),
        ("https://example.com", "whom to trust"),
    ] {
        let error = Upstream::new(Settings {
            url: &url.parse().unwrap(),
            tls: None,
            timeouts: PATIENT,
            keep: Keep::default(),
        })
        .unwrap_err();
        assert!(error.to_string().contains(why), "{url}: {error}");
    }
}

#[test]
fn authority_names_the_port_only_where_it_is_not_the_schemes_own() {
    let authority = |url: &str| upstream(&url.parse().unwrap()).authority().to_string();
    assert_eq!(authority("http://example.com:80/x?y"), "example.com");
    assert_eq!(authority("http://Example.com:8080"), "example.com:8080");
    assert_eq!(authority("http://[::1]:81"), "[::1]:81");
}

#[test]
fn sending_can_be_spawned() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    fn is_shared<T: Send + Sync>() {}
    let pool = Pool::new();
    let upstream = upstream(&"http://127.0.0.1:1".parse().unwrap());
    drop(is_send(pool.send(&upstream, post("/"), &always)));
    is_shared::<Pool>();
    is_shared::<Upstream>();
}
