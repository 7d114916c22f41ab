//! The `exchange-rest` dialect: Exchange's admin API, cmdlets as JSON over HTTPS.
//!
//! [`read`] understands a request or refuses it: the list of forms is closed, at the path, the query, the headers and each
//! level of the body. [`write()`] and [`write_batch`] write what goes upstream from what was understood, and from nothing
//! else. [`refuse`], [`answer`] and [`merge_batch`] write what clients get from the gateway itself, in the shapes that they
//! read; [`LinkRewriter`] keeps them at the gateway's address.
//!
//! INVARIANT: `read(write(call))` is `call`, for every call that [`read`] can return (but for the regional host that it was
//! asked of, which is the caller's to connect to).

mod answer;
mod batch;
mod call;
mod clixml;
mod envelope;
mod escape;
mod headers;
mod links;
mod merge;
mod odata;
mod parameters;
mod path;
mod query;
mod refuse;
mod route;
mod shapes;
mod version;
mod write;

#[cfg(test)]
mod tests;

use http::{HeaderMap, Method, StatusCode};

use crate::dialect::{Unreadable, json, shown};

use self::call::Form;
use self::headers::Body;
use self::odata::EntityRead;
use self::query::Query;
use self::route::Route;

pub use self::answer::answer;
pub use self::batch::{Batch, BatchFrame, BatchItem, MAX_BATCH_ITEMS};
pub use self::call::Call;
pub use self::links::{LinkHosts, LinkRewriter};
pub use self::merge::{MergedBatch, merge_batch};
pub use self::refuse::refuse;
pub use self::write::{Outgoing, write, write_batch};

/// What the reader must know besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The workload that the endpoint stands for: the first half of each task's name.
    pub workload: &'a crate::model::Workload,
    /// The endpoint's path at the gateway, such as `/adminapi`; compared without case, no trailing slash.
    pub path: &'a str,
    /// Hosts (with port where it is not 443) that absolute URLs inside a `$batch` may name: the gateway's own public
    /// authorities, and the upstream's with its regional ones. Lower case.
    pub authorities: &'a [&'a str],
}

/// A request, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Several calls in one request.
    Batch(Batch),
    /// One call.
    Single(Call),
}

impl Operation {
    /// The tenant in the URL, as the client spelled it.
    pub fn tenant(&self) -> &str {
        match self {
            Self::Batch(batch) => batch.frame.tenant(),
            Self::Single(call) => call.tenant(),
        }
    }
}

/// Reads a request. `path_and_query` is as it came (not decoded), `body` is whole.
pub fn read(
    method: &Method,
    path_and_query: &str,
    headers: &HeaderMap,
    body: &[u8],
    reading: &Reading<'_>,
) -> Result<Operation, Unreadable> {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let target = path::read(path, reading.path)?;
    let route = route::route(&target).ok_or_else(|| unknown_path(path))?;
    let wanted = match route {
        Route::Batch | Route::Invoke | Route::Resource(_) => Method::POST,
        Route::Read | Route::Session(_) => Method::GET,
    };
    if *method != wanted {
        return Err(Unreadable::with(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            format!(
                "this path takes `{wanted}` only, not `{}`",
                shown(method.as_str())
            ),
        ));
    }
    let kind = if wanted == Method::POST {
        Body::Json
    } else {
        Body::Absent
    };
    let passed = headers::read(headers, kind)?;
    if kind == Body::Absent && !body.is_empty() {
        return Err(Unreadable::bad(
            "unexpected-body",
            "a `GET` must have no body",
        ));
    }
    if let Route::Batch = route {
        Query::read(query, &[])?;
        return batch::read(target, passed, body, reading).map(Operation::Batch);
    }
    let known = match route {
        Route::Batch | Route::Invoke | Route::Resource(_) => query::OF_COMMAND,
        Route::Read => query::OF_READ,
        Route::Session(_) => query::OF_SESSION,
    };
    let mut query = Query::read(query, known)?;
    let regional_host = take_host(&mut query)?;
    let envelope = || envelope::read(json::read(body)?, reading.workload);
    let form = match route {
        Route::Batch | Route::Invoke => Form::Invoke(envelope()?),
        Route::Read => {
            let segments = &target.segments;
            Form::Read(EntityRead::read(
                segments,
                &mut query,
                headers,
                reading.workload,
            )?)
        }
        Route::Resource(resource) => {
            let command = envelope()?;
            if !resource.takes(&command.task.cmdlet) {
                let text = format!(
                    "`{}` does not take `{}`",
                    resource.name, command.task.cmdlet
                );
                return Err(Unreadable::bad("resource-mismatch", text));
            }
            Form::Resource(resource, command)
        }
        Route::Session(session) => Form::Session(session),
    };
    Ok(Operation::Single(Call {
        version: target.version,
        tenant: target.tenant,
        form,
        query,
        headers: passed,
        regional_host,
    }))
}

/// Takes the regional host out of `query`. Whether it is one of the configured ones is the caller's to check.
fn take_host(query: &mut Query) -> Result<Option<String>, Unreadable> {
    /// The longest authority: a domain name (RFC 1035 section 2.3.4), a colon and a port.
    const MAX_BYTES: usize = 253 + 6;
    let Some(host) = query.take(query::HOST) else {
        return Ok(None);
    };
    let is_authority = !host.is_empty()
        && host.len() <= MAX_BYTES
        && host
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b':'));
    if !is_authority {
        let text = format!("`{}` is not a host", shown(&host));
        return Err(Unreadable::bad("bad-host", text));
    }
    Ok(Some(host.to_ascii_lowercase()))
}

fn unknown_path(path: &str) -> Unreadable {
    Unreadable::bad(
        "unknown-path",
        format!(
            "`{}` is not a call that is understood here; `InvokeCommand`, `$batch`, the resources of v2.0, the reads of Get-EXO* and session set-up are",
            shown(path)
        ),
    )
}
