//! Small servers on loopback that count what reaches them.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use url::Url;

/// What has reached a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Counts {
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// An HTTP/1.1 server that answers with what `handler` returns.
pub(super) async fn http1<F>(
    handler: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> (Url, Counts)
where
    F: Future<Output = Response<Full<Bytes>>> + Send,
{
    let counts = Counts::default();
    let seen = counts.clone();
    let url = scripted(move |stream| {
        let handler = handler.clone();
        let seen = seen.clone();
        async move {
            seen.connections.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(move |request| {
                seen.requests.fetch_add(1, Ordering::SeqCst);
                let answer = handler(request);
                async { Ok::<_, Infallible>(answer.await) }
            });
            // The client closes when the test is over.
            let _closed = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await;
    (url, counts)
}

/// An HTTP/2 server over TLS, with at most `streams` at a time on a connection, that sends GOAWAY when `away` is cancelled.
pub(super) async fn http2<F>(
    tls: &TestTls,
    streams: u32,
    away: CancellationToken,
    handler: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> (Url, Counts)
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let counts = Counts::default();
    let seen = counts.clone();
    let acceptor = tls.acceptor(&[b"h2"]);
    let url = scripted(move |stream| {
        let (handler, seen, acceptor) = (handler.clone(), seen.clone(), acceptor.clone());
        let away = away.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            seen.connections.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(move |request| {
                seen.requests.fetch_add(1, Ordering::SeqCst);
                let answer = handler(request);
                async { Ok::<_, Infallible>(answer.await) }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(streams)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            tokio::select! {
                _ = &mut connection => {}
                () = away.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _closed = connection.await;
                }
            }
        }
    })
    .await;
    (url, counts)
}

/// A server that does with each connection what `script` says; its URL is `http://127.0.0.1:…`.
pub(super) async fn scripted<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> Url
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    url.parse().unwrap()
}

/// Reads a request head; `None` if the connection ends first.
pub(super) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Answers each of up to `answers` requests on the connection with `ok`, counting them in `requests`.
pub(super) async fn answer(stream: &mut TcpStream, answers: usize) -> usize {
    let mut answered = 0;
    while answered < answers && read_head(stream).await.is_some() {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        answered += 1;
    }
    answered
}

/// A self-signed certificate for `localhost`.
pub(super) struct TestTls {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl TestTls {
    pub(super) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            key: PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        }
    }

    pub(super) fn acceptor(&self, alpn: &[&[u8]]) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client that trusts this certificate alone.
    pub(super) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
