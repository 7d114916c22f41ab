//! Tests of the dialect as a whole. Each says what was sent, and what came of it.

mod answers;
mod batches;
mod links;
mod properties;
mod reads;
mod shapes;
mod tricks;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::dialect::Unreadable;
use crate::model::Workload;

use super::{Call, Operation, Outgoing, Reading, read};

const TENANT: &str = "1b2c3d4e-0000-4000-8000-00000000beef";
const GET_MAILBOX: &str = r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{}}}"#;

/// A request, a plain `InvokeCommand` unless something is changed about it.
#[derive(Clone, Debug)]
struct Sent {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn invoke(body: impl Into<Vec<u8>>) -> Sent {
    Sent {
        method: Method::POST,
        path: format!("/adminapi/beta/{TENANT}/InvokeCommand"),
        headers: headers(&[("content-type", "application/json")]),
        body: body.into(),
    }
}

fn get(below_tenant: &str) -> Sent {
    Sent {
        method: Method::GET,
        path: format!("/adminapi/beta/{TENANT}{below_tenant}"),
        headers: HeaderMap::new(),
        body: Vec::new(),
    }
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

impl From<Outgoing> for Sent {
    fn from(outgoing: Outgoing) -> Self {
        Self {
            method: outgoing.method,
            path: outgoing.path_and_query,
            headers: outgoing.headers,
            body: outgoing.body.to_vec(),
        }
    }
}

impl Sent {
    fn path(mut self, path: &str) -> Self {
        self.path = path.replace("{t}", TENANT);
        self
    }

    fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.headers.append(name, value);
        self
    }

    fn content_type(mut self, value: &str) -> Self {
        self.headers.remove("content-type");
        self.header("content-type", value)
    }

    fn read(&self) -> Result<Operation, Unreadable> {
        let workload: Workload = "Exchange".parse().unwrap();
        let authorities = [
            "gate.example",
            "outlook.office365.com",
            "eur01.outlook.office365.com",
            "127.0.0.1:8443",
        ];
        let reading = Reading {
            workload: &workload,
            path: "/adminapi",
            authorities: &authorities,
        };
        read(
            &self.method,
            &self.path,
            &self.headers,
            &self.body,
            &reading,
        )
    }

    fn call(&self) -> Call {
        match self.read() {
            Ok(Operation::Single(call)) => call,
            other => panic!("{self:?} was read as {other:?}"),
        }
    }

    /// The reason of the refusal; `read` if there is none.
    fn reason(&self) -> &'static str {
        self.read().map_or_else(|error| error.reason, |_| "read")
    }

    fn status(&self) -> u16 {
        self.read()
            .map_or_else(|error| error.status.as_u16(), |_| 200)
    }
}

/// The command as PowerShell would show it.
fn line(call: &Call) -> String {
    let command = call.command().expect("a command");
    let parameters = command.parameters.iter();
    let parameters = parameters.map(|it| format!(" -{} {}", it.name, it.value.display()));
    format!("{}{}", command.task, parameters.collect::<String>())
}
