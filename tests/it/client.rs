//! A client of the gateway, over real TLS: HTTP/1.1, HTTP/2, or bytes as the test writes them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::gateway::{Gateway, TENANT, basic};

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// Headers that an answer of the gateway may carry. A header outside this list is a leak until someone says otherwise.
const ANSWER_HEADERS: &[&str] = &[
    "allow",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "date",
    "location",
    "odata-version",
    "preference-applied",
    "request-id",
    "retry-after",
    "transfer-encoding",
    "www-authenticate",
    "x-ms-diagnostics",
    "x-exceptiontype",
    "x-calculatedbetarget",
    "x-clientconfigurations",
    "cmdlet-name",
];

/// An answer, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The sentence that the module and CIPP show for an error.
    pub(crate) fn error(&self) -> String {
        self.json()["error"]["details"][0]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A property of the first object in `value`.
    pub(crate) fn first(&self, property: &str) -> Value {
        self.json()["value"][0][property].clone()
    }
}

/// The body of an `InvokeCommand`.
pub(crate) fn command(cmdlet: &str, parameters: Value) -> Value {
    json!({"CmdletInput": {"CmdletName": cmdlet, "Parameters": parameters}})
}

/// The usual path of `InvokeCommand`.
pub(crate) fn invoke_path() -> String {
    format!("/adminapi/beta/{TENANT}/InvokeCommand")
}

/// The usual headers of a request that is written by hand, as Ana sends them.
pub(crate) fn basic_head() -> String {
    format!(
        "Host: localhost\r\nAuthorization: {}\r\nContent-Type: application/json\r\n",
        basic("ana")
    )
}

/// A request by `person`, with the usual headers.
pub(crate) fn request(
    person: &str,
    method: Method,
    path: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(AUTHORIZATION, basic(person))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

impl Gateway {
    /// Sends one request over a connection of its own.
    pub(crate) async fn send(&self, http: Http, request: Request<Full<Bytes>>) -> Answer {
        send(self.proxy(), &self.path("certs/ca.pem"), http, request).await
    }

    /// Invokes a cmdlet as `person`.
    pub(crate) async fn invoke(&self, person: &str, cmdlet: &str, parameters: Value) -> Answer {
        self.post(person, &invoke_path(), &command(cmdlet, parameters))
            .await
    }

    /// Posts JSON as `person`.
    pub(crate) async fn post(&self, person: &str, path: &str, body: &Value) -> Answer {
        self.send(
            Http::One,
            request(person, Method::POST, path, body.to_string()),
        )
        .await
    }

    /// Sends bytes over TLS and reads until the gateway closes or `enough` holds for what came.
    pub(crate) async fn raw(&self, bytes: &[u8], enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut stream = connect(self.proxy(), &self.path("certs/ca.pem"), Http::One).await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let mut chunk = vec![0; 16 * 1024];
        while !enough(&answer) {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(length) => answer.extend_from_slice(&chunk[..length]),
            }
        }
        answer
    }

    /// Files a request as `person` and has `approver` approve it; the request's id.
    pub(crate) async fn grant(&self, person: &str, task: &str, approver: &str) -> String {
        let parameters = json!({"Task": task, "Reason": "because", "DurationHours": 1});
        let filed = self
            .invoke(person, "New-ElevatedAccessRequest", parameters)
            .await;
        assert_eq!(filed.status, StatusCode::OK, "{}", filed.text());
        let id = filed.first("Identity").as_str().unwrap().to_owned();
        let approved = self
            .invoke(
                approver,
                "Approve-ElevatedAccessRequest",
                json!({"RequestId": id}),
            )
            .await;
        assert_eq!(approved.status, StatusCode::OK, "{}", approved.text());
        id
    }
}

/// Opens a TLS connection that offers this HTTP only.
pub(crate) async fn connect(address: SocketAddr, ca: &Path, http: Http) -> TlsStream<TcpStream> {
    try_connect(address, ca, http).await.unwrap()
}

/// As [`connect`], to a gateway that may be gone.
pub(crate) async fn try_connect(
    address: SocketAddr,
    ca: &Path,
    http: Http,
) -> io::Result<TlsStream<TcpStream>> {
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(trust(ca))
        .with_no_client_auth();
    config.alpn_protocols = vec![match http {
        Http::One => b"http/1.1".to_vec(),
        Http::Two => b"h2".to_vec(),
    }];
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// The certificate authority in a PEM file, trusted.
pub(crate) fn trust(ca: &Path) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    roots
}

/// Sends one request over a connection of its own.
pub(crate) async fn send(
    address: SocketAddr,
    ca: &Path,
    http: Http,
    mut request: Request<Full<Bytes>>,
) -> Answer {
    let stream = TokioIo::new(connect(address, ca, http).await);
    let response = match http {
        Http::One => {
            let host = format!("localhost:{}", address.port());
            request
                .headers_mut()
                .entry(HOST)
                .or_insert(host.parse().unwrap());
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        }
        Http::Two => {
            let uri = format!("https://localhost:{}{}", address.port(), request.uri());
            *request.uri_mut() = uri.parse().unwrap();
            let executor = TokioExecutor::new();
            let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream)
                .await
                .unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        }
    };
    let (parts, body) = response.into_parts();
    for name in parts.headers.keys() {
        assert!(
            ANSWER_HEADERS.contains(&name.as_str()),
            "the answer has an unexpected header `{name}`"
        );
    }
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// Whether the gateway's end of a connection is open still, as the kernel lists it by the ports of the gateway and the client.
pub(crate) fn is_established(gateway: SocketAddr, client: SocketAddr) -> bool {
    let listed = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ends = [gateway, client].map(|it| format!(":{:04X}", it.port()));
    listed.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let mut ends_with = |end: &str| fields.next().is_some_and(|it| it.ends_with(end));
        let is_it = ends_with(&ends[0]) && ends_with(&ends[1]);
        is_it && fields.next() == Some("01")
    })
}
