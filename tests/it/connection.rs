//! A client that keeps its connection, and bears the gateway's end.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::client::{Answer, Http, try_connect};

/// An open connection, over TLS.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    authority: String,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// The gateway went away, or does not speak to us; what it said, if it said anything.
pub(crate) type Gone = Box<dyn std::error::Error + Send + Sync>;

impl Connection {
    pub(crate) async fn open(address: SocketAddr, ca: &Path, http: Http) -> Result<Self, Gone> {
        let stream = TokioIo::new(try_connect(address, ca, http).await?);
        let sender = match http {
            Http::One => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Sender::One(sender)
            }
            Http::Two => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Sender::Two(sender)
            }
        };
        let authority = format!("localhost:{}", address.port());
        Ok(Self { sender, authority })
    }

    /// Sends a request; the answer as soon as its head is there.
    pub(crate) async fn begin(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Gone> {
        Ok(match &mut self.sender {
            Sender::One(sender) => {
                let host = self.authority.parse()?;
                request.headers_mut().insert(HOST, host);
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Two(sender) => {
                let uri = format!("https://{}{}", self.authority, request.uri());
                *request.uri_mut() = uri.parse()?;
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Gone> {
        let (parts, body) = self.begin(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }
}
