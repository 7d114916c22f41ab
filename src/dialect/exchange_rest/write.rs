//! What goes upstream, written from what was understood alone.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::model::{Command, Value};

use super::batch::{BatchFrame, UPSTREAM_BASE};
use super::call::{Call, Form};
use super::envelope;
use super::headers;
use super::version::Version;

/// What goes upstream, written from the parsed form alone.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Path and query, beginning with the upstream's own base path (`/adminapi`).
    pub path_and_query: String,
    /// Allow-listed headers. No `Host`, no framing, no `Authorization`, no `Accept-Encoding`: the proxy sets those.
    pub headers: HeaderMap,
    /// The body; empty for a GET.
    pub body: Bytes,
}

/// Writes one call for the upstream.
pub fn write(call: &Call) -> Outgoing {
    let mut headers = call.headers.to_map();
    let (method, body) = match &call.form {
        Form::Invoke(command) | Form::Resource(_, command) => {
            name_cmdlet(command, &mut headers);
            let mut body = Vec::with_capacity(512);
            envelope::write(command, &mut body);
            (Method::POST, Bytes::from(body))
        }
        Form::Read(read) => {
            name_cmdlet(&read.command, &mut headers);
            if let Some(identity) = read.header() {
                headers.insert(headers::IDENTITY, identity);
            }
            (Method::GET, Bytes::new())
        }
        Form::Session(_) => (Method::GET, Bytes::new()),
    };
    Outgoing {
        method,
        path_and_query: path_and_query(call),
        headers,
        body,
    }
}

/// Writes a `$batch` of the items that may go on. Item URLs name `authority` (the upstream's); `authorization`, if given,
/// becomes each item's own header, as the service expects it there.
pub fn write_batch(
    frame: &BatchFrame,
    items: &[(&str, &Call)],
    authority: &str,
    authorization: Option<&str>,
) -> Outgoing {
    let mut headers = frame.headers.to_map();
    let mut body = Vec::with_capacity(1024);
    body.extend_from_slice(b"{\"requests\":[");
    for (index, (id, call)) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        let item = write(call);
        body.extend_from_slice(b"{\"id\":");
        Value::text(*id).write_json(&mut body);
        body.extend_from_slice(b",\"method\":\"POST\",\"url\":");
        Value::Text(format!("https://{authority}{}", item.path_and_query)).write_json(&mut body);
        body.extend_from_slice(b",\"headers\":");
        item_headers(&item.headers, authorization).write_json(&mut body);
        body.extend_from_slice(b",\"body\":");
        body.extend_from_slice(&item.body);
        body.push(b'}');
        if let Some(command) = call.command() {
            // The last item's stays, as in the clients' own batches.
            name_cmdlet(command, &mut headers);
        }
    }
    body.extend_from_slice(b"]}");
    Outgoing {
        method: Method::POST,
        path_and_query: format!("{}/$batch", root(frame.version, &frame.tenant)),
        headers,
        body: Bytes::from(body),
    }
}

fn root(version: Version, tenant: &str) -> String {
    format!("{UPSTREAM_BASE}/{}/{tenant}", version.as_str())
}

fn path_and_query(call: &Call) -> String {
    let mut out = root(call.version, &call.tenant);
    match &call.form {
        Form::Invoke(_) => out.push_str("/InvokeCommand"),
        Form::Read(read) => {
            read.write(&call.query, &mut out);
            return out;
        }
        Form::Resource(resource, _) => {
            out.push('/');
            out.push_str(resource.name);
        }
        Form::Session(session) => out.push_str(&session.path),
    }
    call.query.write(&[], &mut out);
    out
}

fn name_cmdlet(command: &Command, headers: &mut HeaderMap) {
    // A cmdlet's name is letters, digits and a hyphen.
    if let Ok(name) = HeaderValue::from_str(command.task.cmdlet.as_str()) {
        headers.insert(headers::CMDLET_NAME, name);
    }
}

fn item_headers(headers: &HeaderMap, authorization: Option<&str>) -> Value {
    let mut members: Vec<(String, Value)> = Vec::with_capacity(headers.len() + 1);
    if let Some(authorization) = authorization {
        members.push((
            headers::spelled(&header::AUTHORIZATION).to_owned(),
            Value::text(authorization),
        ));
    }
    for (name, value) in headers {
        // The reader passes on printable ASCII only.
        let value = value.to_str().unwrap_or_default();
        members.push((headers::spelled(name).to_owned(), Value::text(value)));
    }
    Value::Table(members)
}
