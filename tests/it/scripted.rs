//! An upstream that does what a test tells it: answers in pieces, falls silent, or dies.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::gateway::{Gateway, Setup, upstream_tls};

/// How many requests at a time an upstream usually allows on an HTTP/2 connection.
const STREAMS: u32 = 200;

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Plain,
    TlsHttp1,
    TlsHttp2,
}

impl Speaks {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::TlsHttp1, Self::TlsHttp2];

    pub(crate) fn version(self) -> Version {
        match self {
            Self::Plain | Self::TlsHttp1 => Version::HTTP_11,
            Self::TlsHttp2 => Version::HTTP_2,
        }
    }
}

/// What becomes of a request.
pub(crate) enum Deed {
    Answer(Response<Pieces>),
    /// The connection ends without an answer.
    Die,
    /// No answer, ever.
    Silence,
}

/// A piece of an answer's body.
pub(crate) enum Piece {
    Data(Bytes),
    /// Goes on when it is notified.
    After(Arc<Notify>),
    /// Goes on when the token is cancelled.
    Until(CancellationToken),
    /// The connection ends here.
    Die,
    /// Nothing more comes, and no end.
    Silence,
}

/// A body in pieces. Its length is declared if it is one piece of data or none.
#[derive(Default)]
pub(crate) struct Pieces {
    left: VecDeque<Piece>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Pieces {
    pub(crate) fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self {
            left: pieces.into_iter().collect(),
            waiting: None,
        }
    }
}

/// An answer with this JSON body, whole.
pub(crate) fn json(body: impl Into<Bytes>) -> Response<Pieces> {
    pieces([Piece::Data(body.into())])
}

/// A JSON answer in pieces.
pub(crate) fn pieces(pieces: impl IntoIterator<Item = Piece>) -> Response<Pieces> {
    Response::builder()
        .header("content-type", "application/json;charset=utf-8")
        .body(Pieces::new(pieces))
        .unwrap()
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                match waiting.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.waiting = None,
                }
            }
            match self.left.pop_front() {
                None => return Poll::Ready(None),
                Some(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Piece::Die) => return Poll::Ready(Some(Err(io::Error::other("scripted")))),
                Some(Piece::After(event)) => self.waiting = Some(Box::pin(event.notified_owned())),
                Some(Piece::Until(token)) => self.waiting = Some(Box::pin(token.cancelled_owned())),
                Some(Piece::Silence) => self.waiting = Some(Box::pin(std::future::pending())),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.waiting.is_none()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self.left.iter().collect::<Vec<_>>().as_slice() {
            [] => hyper::body::SizeHint::with_exact(0),
            [Piece::Data(data)] => hyper::body::SizeHint::with_exact(data.len() as u64),
            _ => hyper::body::SizeHint::default(),
        }
    }
}

type Script = dyn Fn(&Request<Bytes>) -> Deed + Send + Sync;

/// The upstream, running until it is dropped.
pub(crate) struct Scripted {
    origin: String,
    ca: Option<PathBuf>,
    seen: Arc<Seen>,
    _stop: tokio_util::sync::DropGuard,
    _certificates: Option<TempDir>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Request<Bytes>>>,
}

impl Scripted {
    /// One with certificates of its own.
    pub(crate) async fn start(
        speaks: Speaks,
        script: impl Fn(&Request<Bytes>) -> Deed + Send + Sync + 'static,
    ) -> Self {
        portcullis::tls::install_provider();
        let own = TempDir::new().unwrap();
        portcullis::tls::write_development_certificates(own.path(), &[]).unwrap();
        let certificates = own.path().to_owned();
        let started = Self::start_with(&certificates, speaks, script).await;
        Self {
            _certificates: Some(own),
            ..started
        }
    }

    /// One with the certificate in this directory.
    pub(crate) async fn start_with(
        certificates: &Path,
        speaks: Speaks,
        script: impl Fn(&Request<Bytes>) -> Deed + Send + Sync + 'static,
    ) -> Self {
        Self::start_allowing(STREAMS, certificates, speaks, script).await
    }

    /// One that speaks HTTP/2 and allows this many requests at a time on a connection.
    pub(crate) async fn http2(
        streams: u32,
        script: impl Fn(&Request<Bytes>) -> Deed + Send + Sync + 'static,
    ) -> Self {
        portcullis::tls::install_provider();
        let own = TempDir::new().unwrap();
        portcullis::tls::write_development_certificates(own.path(), &[]).unwrap();
        let certificates = own.path().to_owned();
        let started = Self::start_allowing(streams, &certificates, Speaks::TlsHttp2, script).await;
        Self {
            _certificates: Some(own),
            ..started
        }
    }

    async fn start_allowing(
        streams: u32,
        certificates: &Path,
        speaks: Speaks,
        script: impl Fn(&Request<Bytes>) -> Deed + Send + Sync + 'static,
    ) -> Self {
        let tls = (speaks != Speaks::Plain).then(|| {
            let mut config = Arc::unwrap_or_clone(upstream_tls(certificates));
            config.alpn_protocols = vec![match speaks {
                Speaks::Plain | Speaks::TlsHttp1 => b"http/1.1".to_vec(),
                Speaks::TlsHttp2 => b"h2".to_vec(),
            }];
            TlsAcceptor::from(Arc::new(config))
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        let stop = CancellationToken::new();
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn({
            let (seen, stop) = (Arc::clone(&seen), stop.clone());
            stop.clone().run_until_cancelled_owned(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    stream.set_nodelay(true).unwrap();
                    let (tls, seen, script) = (tls.clone(), Arc::clone(&seen), Arc::clone(&script));
                    tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
                        match tls {
                            None => speak(stream, speaks, streams, seen, script).await,
                            Some(tls) => {
                                // A client that does not like us goes away.
                                if let Ok(stream) = tls.accept(stream).await {
                                    speak(stream, speaks, streams, seen, script).await;
                                }
                            }
                        }
                    }));
                }
            })
        });
        Self {
            origin,
            ca: (speaks != Speaks::Plain).then(|| certificates.join("ca.pem")),
            seen,
            _stop: stop.drop_guard(),
            _certificates: None,
        }
    }

    /// A gateway in front of it.
    pub(crate) async fn gateway(&self, setup: Setup) -> Gateway {
        let upstream = Some((self.origin.clone(), self.ca.clone()));
        Gateway::with(Setup { upstream, ..setup }).await
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Host and port, as a configuration names them.
    pub(crate) fn authority(&self) -> String {
        let port = self.origin.rsplit(':').next().unwrap();
        format!("localhost:{port}")
    }

    /// The file of the authority to trust, if it speaks TLS.
    pub(crate) fn authority_file(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Request<Bytes>> {
        self.seen.requests.lock().unwrap().clone()
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    speaks: Speaks,
    streams: u32,
    seen: Arc<Seen>,
    script: Arc<Script>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let request = Request::from_parts(parts, body);
            seen.requests.lock().unwrap().push(request.clone());
            match script(&request) {
                Deed::Answer(answer) => Ok(answer),
                Deed::Die => Err(io::Error::other("scripted")),
                Deed::Silence => std::future::pending().await,
            }
        }
    });
    let stream = TokioIo::new(stream);
    // How it ends is the script's business.
    match speaks {
        Speaks::Plain | Speaks::TlsHttp1 => {
            let _ = http1::Builder::new()
                .serve_connection(stream, service)
                .await;
        }
        Speaks::TlsHttp2 => {
            let _ = http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(streams)
                .serve_connection(stream, service)
                .await;
        }
    }
}
