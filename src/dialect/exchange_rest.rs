//! The `exchange-rest` dialect: Exchange's admin API. Stub; the author of the dialect fills it in behind these names.

use bytes::Bytes;
use http::{HeaderMap, Method};
use uuid::Uuid;

use crate::dialect::{Problem, Reply, Unreadable};
use crate::model::{Command, Object};
use crate::policy::Subject;

/// What the reader must know besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The workload that the endpoint stands for: the first half of each task's name.
    pub workload: &'a crate::model::Workload,
    /// The endpoint's path at the gateway, such as `/adminapi`; compared without case, no trailing slash.
    pub path: &'a str,
    /// Hosts (with port where it is not 443) that absolute URLs inside a `$batch` may name: the gateway's own public
    /// authorities, and the upstream's with its regional ones. Lower case.
    pub authorities: &'a [String],
}

/// One call: a command, or a session set-up call, with what is needed to write it upstream.
/// (private fields: form, version, tenant, query, allow-listed headers, command)
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    _private: (),
}

impl Call {
    /// What is decided on.
    pub fn subject(&self) -> Subject<'_> {
        todo!()
    }

    /// The command, unless it is a session call.
    pub fn command(&self) -> Option<&Command> {
        todo!()
    }

    /// The tenant in the URL: a GUID or a domain, as the client spelled it.
    pub fn tenant(&self) -> &str {
        todo!()
    }

    /// Whether it asks for a further page of an earlier call.
    pub fn is_page(&self) -> bool {
        todo!()
    }

    /// The upstream authority that a nextLink rewritten by the gateway names, if it is not the endpoint's own: one of the
    /// regional hosts of the configuration (the caller checks that it is listed).
    pub fn regional_host(&self) -> Option<&str> {
        todo!()
    }
}

/// A request, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Several calls in one request.
    Batch(Batch),
    /// One call.
    Single(Call),
}

/// A JSON `$batch`.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What is common to the items (private details inside).
    pub frame: BatchFrame,
    /// The items, in order; ids are distinct.
    pub items: Vec<BatchItem>,
}

/// What a `$batch` carries besides its items.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchFrame {
    _private: (),
}

/// One item of a `$batch`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchItem {
    /// Its id, as the client chose it.
    pub id: String,
    /// The item's own `Authorization` value, if it has one; the caller of this reader must check it against the outer one.
    pub authorization: Option<String>,
    /// The call.
    pub call: Call,
}

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

/// Reads a request. `path_and_query` is as it came (not decoded), `body` is whole.
pub fn read(
    method: &Method,
    path_and_query: &str,
    headers: &HeaderMap,
    body: &[u8],
    reading: &Reading<'_>,
) -> Result<Operation, Unreadable> {
    let _ = (method, path_and_query, headers, body, reading);
    todo!()
}

/// Writes one call for the upstream.
pub fn write(call: &Call) -> Outgoing {
    let _ = call;
    todo!()
}

/// Writes a `$batch` of the items that may go on. Item URLs name `authority` (the upstream's); `authorization`, if given,
/// becomes each item's own header, as the service expects it there.
pub fn write_batch(
    frame: &BatchFrame,
    items: &[(&str, &Call)],
    authority: &str,
    authorization: Option<&str>,
) -> Outgoing {
    let _ = (frame, items, authority, authorization);
    todo!()
}

/// Puts the upstream's `$batch` answer and the gateway's own item answers into one answer, in the order of `order` (item ids).
/// The upstream's items keep their bytes.
pub fn merge_batch(
    upstream: Option<&[u8]>,
    own: &[(String, Reply)],
    order: &[String],
) -> Result<Reply, Unreadable> {
    let _ = (upstream, own, order);
    todo!()
}

/// The answer to a gateway cmdlet, in the format that the call asked for (JSON, or CLIXML inside JSON).
pub fn answer(call: &Call, objects: &[Object], gateway_base: &str) -> Reply {
    let _ = (call, objects, gateway_base);
    todo!()
}

/// A refusal, in the shape of exchange-rest section 3.4. `reference` is the decision's or the request's id.
pub fn refuse(problem: &Problem, reference: Uuid) -> Reply {
    let _ = (problem, reference);
    todo!()
}

/// Rewrites `…@odata.nextLink` and `@odata.context` in a JSON answer to the gateway's own address, whatever the chunks.
#[derive(Debug)]
pub struct LinkRewriter {
    _private: (),
}

impl LinkRewriter {
    /// `gateway_base` is such as `https://gate.example/adminapi`; `upstream` the authority that was asked; `regional` those
    /// that may be named besides it (a link to one of them is rewritten so that [`Call::regional_host`] finds it again).
    pub fn new(gateway_base: &str, upstream: &str, regional: &[String]) -> Self {
        let _ = (gateway_base, upstream, regional);
        todo!()
    }

    /// Takes the next bytes of the answer and returns what can be passed on.
    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        chunk
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> Bytes {
        Bytes::new()
    }
}
