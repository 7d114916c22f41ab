//! The floor under every proxy that is built on hyper: reads a request whole, sends it on one of its own connections, reads
//! the answer whole, hands it back. It looks at nothing, checks nothing and records nothing, on one thread.
//!
//! `bare-hyper PORT UPSTREAM_PORT`, for `benches/proxy/run`; never part of the gateway.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

type Failure = Box<dyn Error + Send + Sync>;
type Pool = Rc<RefCell<Vec<SendRequest<Full<Bytes>>>>>;

fn main() -> Result<(), Failure> {
    let ports: Vec<u16> = std::env::args()
        .skip(1)
        .map(|it| it.parse())
        .collect::<Result<_, _>>()?;
    let [port, upstream] = ports[..] else {
        return Err("usage: bare-hyper PORT UPSTREAM_PORT".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, serve(port, upstream))
}

async fn serve(port: u16, upstream: u16) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let pool = Pool::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = Rc::clone(&pool);
        let service = service_fn(move |request| pass(Rc::clone(&pool), upstream, request));
        // A connection that fails is its client's affair.
        spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn pass(
    pool: Pool,
    upstream: u16,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Failure> {
    let (parts, body) = request.into_parts();
    let body = Full::new(body.collect().await?.to_bytes());
    let resting = pool.borrow_mut().pop();
    let mut sender = match resting {
        Some(sender) if sender.is_ready() => sender,
        _ => connect(upstream).await?,
    };
    let answer = sender
        .send_request(Request::from_parts(parts, body))
        .await?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    pool.borrow_mut().push(sender);
    Ok(Response::from_parts(parts, Full::new(body)))
}

async fn connect(upstream: u16) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(("127.0.0.1", upstream)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    spawn_local(connection);
    Ok(sender)
}
