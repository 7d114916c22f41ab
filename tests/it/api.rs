//! The management API over the real binary.

mod access;
mod events;
mod hostile;
mod life;
mod policies;
mod shapes;
mod tokens;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::client::Answer;
use crate::gateway::{Gateway, POLICIES, Setup, basic};

/// The usual policies, with those who keep the gateway and those who read its log.
pub(crate) fn with_keepers() -> Setup {
    let mut setup = Setup {
        policies: format!(
            r#"{POLICIES}
[[group]]
name = "keepers"
members = ["ivy@contoso.example"]

[[group]]
name = "auditors"
members = ["bo@contoso.example"]

[[policy]]
task = 'Exchange\New-TransportRule'
approval = "manual"
approvers = ["mbmanagers"]
break_glass = ["keepers"]
"#
        ),
        ..Setup::default()
    };
    let groups = "operators = \"keepers\"\nauditors = \"auditors\"".to_owned();
    setup.extra.insert("access_control", groups);
    setup
}

/// A request to the API, to be changed before it is sent.
pub(crate) struct Ask {
    builder: http::request::Builder,
    body: Vec<u8>,
}

impl Ask {
    /// By nobody.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            builder: Request::builder()
                .method(method.parse::<Method>().unwrap())
                .uri(format!("/api/v1{path}")),
            body: Vec::new(),
        }
    }

    /// By one of the usual people.
    pub(crate) fn by(person: &str, method: &str, path: &str) -> Self {
        Self::new(method, path).header(AUTHORIZATION.as_str(), &basic(person))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string().as_bytes())
    }

    /// A body that says that it is JSON.
    pub(crate) fn bytes(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header(CONTENT_TYPE.as_str(), "application/json")
    }

    /// The answer, without its body, and the connection's end of it.
    pub(crate) async fn open(self, gateway: &Gateway) -> http::Response<hyper::body::Incoming> {
        let stream = TcpStream::connect(gateway.control()).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut builder = self.builder;
        if !builder.headers_ref().unwrap().contains_key(HOST) {
            builder = builder.header(HOST, "localhost");
        }
        let request = builder
            .body(Full::new(bytes::Bytes::from(self.body)))
            .unwrap();
        sender.send_request(request).await.unwrap()
    }

    pub(crate) async fn send(self, gateway: &Gateway) -> Answer {
        let (parts, body) = self.open(gateway).await.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

impl Gateway {
    /// Reads from the API as one of the usual people.
    pub(crate) async fn get_api(&self, person: &str, path: &str) -> Answer {
        Ask::by(person, "GET", path).send(self).await
    }

    /// Posts to the API as one of the usual people.
    pub(crate) async fn post_api(&self, person: &str, path: &str, body: &Value) -> Answer {
        Ask::by(person, "POST", path).json(body).send(self).await
    }

    /// Files a request through the API; its id.
    pub(crate) async fn file_by_api(&self, person: &str, task: &str) -> String {
        let body = json!({"task": task, "reason": "because", "duration_seconds": 3600});
        let filed = self.post_api(person, "/requests", &body).await;
        assert_eq!(filed.status, StatusCode::CREATED, "{}", filed.text());
        filed.json()["id"].as_str().unwrap().to_owned()
    }
}

/// The word of a problem, its status being that of the answer.
pub(crate) fn problem(answer: &Answer) -> String {
    let problem = answer.json();
    assert_eq!(
        problem["status"],
        answer.status.as_u16(),
        "{}",
        answer.text()
    );
    assert_eq!(answer.headers[CONTENT_TYPE], "application/problem+json");
    let kind = problem["type"].as_str().unwrap();
    kind.strip_prefix("urn:portcullis:problem:")
        .unwrap()
        .to_owned()
}
