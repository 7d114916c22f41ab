//! What must hold of requests and of the links in answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::exchange_rest::{
    Batch, Call, LinkHosts, LinkRewriter, MAX_BATCH_ITEMS, Operation, Outgoing, Reading,
    merge_batch, read as read_request, write, write_batch,
};
use crate::dialect::{Reply, Unreadable};
use crate::model::{Command, MAX_NAME_BYTES};

use super::policies;

const BASE: &str = "/adminapi";
const ROOT: &str = "/adminapi/beta/1b2c3d4e-0000-4000-8000-00000000beef";
const UPSTREAM: &str = "outlook.office365.com";
const REGIONAL: &str = "eur01.outlook.office365.com";
const BODY: &[u8] = br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{}}}"#;

/// A command as a reader sees it that is not ours.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Seen {
    cmdlet_input: SeenInput,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SeenInput {
    cmdlet_name: String,
    #[serde(default)]
    parameters: BTreeMap<String, Box<RawValue>>,
}

pub(super) fn command(body: &[u8]) {
    let path = format!("{ROOT}/InvokeCommand");
    if let Ok(Operation::Single(call)) = read(&Method::POST, &path, &json(), body) {
        let command = call.command().expect("an `InvokeCommand` is a command");
        check_names(command);
        let out = written(&call);
        check_seen(&out.body, command);
        policies::govern(command);
    }
}

pub(super) fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (path, identity) = match text.split_once('\n') {
        Some((path, identity)) => (path, HeaderValue::from_str(identity).ok()),
        None => (text, None),
    };
    let mut headers = HeaderMap::new();
    headers.extend(identity.map(|it| {
        let name = header::HeaderName::from_static("xparameter-identity");
        (name, it)
    }));
    let requests = [
        (Method::GET, headers, [].as_slice()),
        (Method::POST, json(), BODY),
    ];
    for (method, headers, body) in requests {
        if let Ok(Operation::Single(call)) = read(&method, path, &headers, body) {
            let out = written(&call);
            assert_eq!(out.method, method, "a request keeps its method");
            check_path(&out.path_and_query, call.tenant());
            if let Some(command) = call.command() {
                check_names(command);
                policies::govern(command);
            }
        }
    }
}

pub(super) fn batch(body: &[u8]) {
    let path = format!("{ROOT}/$batch");
    let Ok(Operation::Batch(batch)) = read(&Method::POST, &path, &json(), body) else {
        return;
    };
    let ids: BTreeSet<_> = batch.items.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), batch.items.len(), "ids are distinct");
    assert!((1..=MAX_BATCH_ITEMS).contains(&ids.len()));
    for item in &batch.items {
        assert!(
            item.call
                .tenant()
                .eq_ignore_ascii_case(batch.frame.tenant())
        );
        check_names(item.call.command().expect("an item is a command"));
    }
    check_batch_written(&batch);
    check_batch_merged(&batch);
}

/// However an answer is cut, the same comes out; JSON stays JSON, and a second rewriting finds nothing left to do.
pub(super) fn links(answer: &[u8]) {
    let whole = rewritten(answer, usize::MAX);
    for size in [1, 2, 7, 64] {
        assert_eq!(whole, rewritten(answer, size), "in chunks of {size}");
    }
    if serde_json::from_slice::<serde::de::IgnoredAny>(answer).is_ok() {
        serde_json::from_slice::<serde::de::IgnoredAny>(&whole).expect("JSON stays JSON");
    }
}

fn rewritten(answer: &[u8], size: usize) -> Bytes {
    let regional = [REGIONAL.to_owned()];
    let hosts = Arc::new(LinkHosts::new(UPSTREAM, &regional));
    let mut links = LinkRewriter::new("https://gate.example/adminapi", hosts);
    let mut out = BytesMut::new();
    for chunk in answer.chunks(size) {
        out.extend_from_slice(&links.push(Bytes::copy_from_slice(chunk)));
    }
    out.extend_from_slice(&links.finish());
    out.freeze()
}

fn read(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Operation, Unreadable> {
    let workload = "Exchange".parse().expect("it is a name");
    let authorities = ["gate.example", UPSTREAM, REGIONAL];
    let reading = Reading {
        workload: &workload,
        path: BASE,
        authorities: &authorities,
    };
    read_request(method, path, headers, body, &reading)
}

fn json() -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    HeaderMap::from_iter([(header::CONTENT_TYPE, json)])
}

/// What `call` is written as, which must read as `call` again.
fn written(call: &Call) -> Outgoing {
    let out = write(call);
    let again = read(&out.method, &out.path_and_query, &out.headers, &out.body);
    let Ok(Operation::Single(again)) = again else {
        let text = String::from_utf8_lossy(&out.body);
        let path = &out.path_and_query;
        assert!(again.is_err(), "a call is not read as a batch");
        let error = again.err().map(|it| it.text).unwrap_or_default();
        assert!(error.is_empty(), "`{path}` {text}: {error}");
        return out;
    };
    // Which host it goes to is not in what is written.
    if call.regional_host().is_none() {
        assert_eq!(again, *call, "it reads as it was read");
    }
    let third = write(&again);
    assert_eq!(third.path_and_query, out.path_and_query);
    assert_eq!(third.headers, out.headers);
    assert_eq!(third.body, out.body);
    out
}

/// Names are of their closed alphabets, and none is there twice.
fn check_names(command: &Command) {
    let name = command.task.cmdlet.as_str();
    assert!(name.len() <= MAX_NAME_BYTES);
    assert!(
        name.bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'-')
    );
    assert_eq!(name.matches('-').count(), 1, "{name}");
    let mut seen = BTreeSet::new();
    for parameter in &command.parameters {
        let name = parameter.name.as_str();
        let is_plain = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
        assert!(
            name.len() <= MAX_NAME_BYTES && name.bytes().all(is_plain),
            "{name}"
        );
        assert!(
            seen.insert(name.to_ascii_lowercase()),
            "`{name}` is there twice"
        );
    }
}

/// Another JSON parser finds the same cmdlet and the same parameters in what is sent.
fn check_seen(body: &[u8], command: &Command) {
    let seen: Seen = serde_json::from_slice(body).expect("what is written is an envelope");
    let input = seen.cmdlet_input;
    assert_eq!(input.cmdlet_name, command.task.cmdlet.as_str());
    let is_value = |it: &&String| !it.contains('@');
    assert_eq!(
        input.parameters.keys().filter(is_value).count(),
        command.parameters.len()
    );
    for parameter in &command.parameters {
        assert!(input.parameters.contains_key(parameter.name.as_str()));
    }
}

/// Nothing in a written path could be read in two ways.
fn check_path(path_and_query: &str, tenant: &str) {
    let path = path_and_query.split('?').next().unwrap_or_default();
    let mut segments = path.split('/');
    assert_eq!(segments.next(), Some(""));
    assert_eq!(segments.next(), Some("adminapi"));
    assert!(
        segments
            .next()
            .is_some_and(|it| it == "beta" || it == "v0.5" || it == "v1.0" || it == "v2.0")
    );
    assert_eq!(segments.next(), Some(tenant));
    assert!(segments.all(|it| !matches!(it, "." | "..")), "{path}");
    assert!(
        path_and_query.bytes().all(|it| it.is_ascii_graphic()),
        "{path_and_query}"
    );
    let folded = path.to_ascii_lowercase();
    for odd in ["//", ";", "\\", "%5c", "%00", "%2e", "#"] {
        assert!(!folded.contains(odd), "`{odd}` in `{path}`");
    }
}

fn check_batch_written(batch: &Batch) {
    let items: Vec<_> = batch
        .items
        .iter()
        .map(|it| (it.id.as_str(), &it.call))
        .collect();
    let write = |frame, items: &[(&str, &Call)]| {
        let out = write_batch(frame, items, UPSTREAM, Some("Bearer injected"));
        assert_eq!(out.path_and_query, format!("{ROOT}/$batch"));
        out
    };
    let out = write(&batch.frame, &items);
    let again = read(&out.method, &out.path_and_query, &out.headers, &out.body);
    let Ok(Operation::Batch(again)) = again else {
        let text = String::from_utf8_lossy(&out.body);
        assert!(again.is_err(), "a batch is not read as a call");
        let error = again.err().map(|it| it.text).unwrap_or_default();
        assert!(error.is_empty(), "{text}: {error}");
        return;
    };
    assert_eq!(again.items.len(), batch.items.len());
    for (sent, item) in again.items.iter().zip(&batch.items) {
        assert_eq!(sent.id, item.id);
        assert_eq!(
            sent.authorization.as_deref(),
            Some("Bearer injected"),
            "not the client's"
        );
        assert_eq!(sent.call.command(), item.call.command());
        if item.call.regional_host().is_none() {
            assert_eq!(sent.call, item.call);
        }
    }
    let items: Vec<_> = again
        .items
        .iter()
        .map(|it| (it.id.as_str(), &it.call))
        .collect();
    assert_eq!(write(&again.frame, &items).body, out.body);
}

/// Each second item is answered by the gateway, the others by the upstream in reverse: answers come in the batch's order.
fn check_batch_merged(batch: &Batch) {
    #[derive(Deserialize)]
    struct Merged {
        responses: Vec<Response>,
    }
    #[derive(Deserialize)]
    struct Response {
        id: String,
        status: u16,
    }
    let order: Vec<String> = batch.items.iter().map(|it| it.id.clone()).collect();
    let reply = Reply {
        status: StatusCode::FORBIDDEN,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
    };
    let own: Vec<_> = order
        .iter()
        .step_by(2)
        .map(|id| (id.clone(), reply.clone()))
        .collect();
    let theirs: Vec<_> = order
        .iter()
        .skip(1)
        .step_by(2)
        .rev()
        .map(|id| serde_json::json!({"id": id, "status": 200, "body": {}}))
        .collect();
    let upstream = serde_json::json!({ "responses": theirs }).to_string();
    let merged = merge_batch(Some(upstream.as_bytes()), &own, &order).expect("it is an answer");
    let merged: Merged =
        serde_json::from_slice(&merged.reply.body).expect("an answer to a batch is JSON");
    let expected = (0..order.len()).map(|index| if index % 2 == 0 { 403 } else { 200 });
    assert!(merged.responses.iter().map(|it| &it.id).eq(&order));
    assert!(merged.responses.iter().map(|it| it.status).eq(expected));
}
