//! A JSON `$batch`: several `InvokeCommand` calls in one request (exchange-rest section 4).
//!
//! One item form is read, the one that clients send. Items that hang together (`dependsOn`, `atomicityGroup`), nest, or are
//! something else than an `InvokeCommand` are refused with the whole batch.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::dialect::{Unreadable, json, shown};
use crate::model::Value;

use super::Reading;
use super::call::{Call, Form};
use super::envelope;
use super::headers::{self, Body, Passed};
use super::path::{self, Target};
use super::query::{self, Query};
use super::route::{Route, route};
use super::version::Version;

/// The most items of one batch. The known clients send 10; the service's own limit is not published.
pub const MAX_BATCH_ITEMS: usize = 20;
/// The longest id of an item, in bytes. Known ones are a digit or a GUID.
const MAX_ID_BYTES: usize = 128;
/// The path that the upstream's own absolute URLs begin with.
pub(super) const UPSTREAM_BASE: &str = "/adminapi";

/// A JSON `$batch`.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What is common to the items.
    pub frame: BatchFrame,
    /// The items, in order; ids are distinct.
    pub items: Vec<BatchItem>,
}

/// What a `$batch` carries besides its items.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchFrame {
    pub(super) version: Version,
    pub(super) tenant: String,
    pub(super) headers: Passed,
}

impl BatchFrame {
    /// The tenant in the URL, as the client spelled it. Each item's is the same.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }
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

/// Reads the batch at `target` with this body; `headers` are those that go on.
pub(super) fn read(
    target: Target,
    headers: Passed,
    body: &[u8],
    reading: &Reading<'_>,
) -> Result<Batch, Unreadable> {
    let mut requests = None;
    for (name, value) in json::table(json::read(body)?, "the body")? {
        match name.as_str() {
            "requests" => requests = Some(value),
            other => return Err(envelope::unknown(other, "the body", "`requests`")),
        }
    }
    let requests = requests.ok_or_else(|| envelope::missing("the body", "requests"))?;
    let requests = json::list(requests, "`requests`")?;
    if requests.is_empty() || requests.len() > MAX_BATCH_ITEMS {
        let text = format!("a batch holds 1 to {MAX_BATCH_ITEMS} requests");
        return Err(Unreadable::bad("batch-size", text));
    }
    let frame = BatchFrame {
        version: target.version,
        tenant: target.tenant,
        headers,
    };
    let mut items: Vec<BatchItem> = Vec::with_capacity(requests.len());
    for value in requests {
        let item = read_item(value, &frame, reading)?;
        if items.iter().any(|it| it.id == item.id) {
            let text = format!("the batch holds the id `{}` twice", shown(&item.id));
            return Err(Unreadable::bad("duplicate-id", text));
        }
        items.push(item);
    }
    Ok(Batch { frame, items })
}

/// The members of an item, before they are understood.
#[derive(Default)]
struct RawItem {
    body: Option<Value>,
    headers: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    url: Option<Value>,
}

fn read_item(
    value: Value,
    frame: &BatchFrame,
    reading: &Reading<'_>,
) -> Result<BatchItem, Unreadable> {
    let item = raw_item(value)?;
    let required =
        |value: Option<_>, name| value.ok_or_else(|| envelope::missing("a batch item", name));
    let id = json::text(required(item.id, "id")?, "an item's `id`")?;
    if id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
        let text =
            format!("an item's `id` must have 1 to {MAX_ID_BYTES} bytes and no control characters");
        return Err(Unreadable::bad("bad-id", text));
    }
    let method = json::text(required(item.method, "method")?, "an item's `method`")?;
    if method != "POST" {
        return Err(Unreadable::bad(
            "batch-method",
            format!(
                "a batch item's method must be `POST`, not `{}`; send reads by themselves",
                shown(&method)
            ),
        ));
    }
    let url = json::text(required(item.url, "url")?, "an item's `url`")?;
    let (target, query) = read_url(&url, reading)?;
    if target.version != frame.version {
        let text = "a batch item is for another version than the batch";
        return Err(Unreadable::bad("batch-version", text));
    }
    if !target.tenant.eq_ignore_ascii_case(&frame.tenant) {
        let text = "a batch item is for another tenant than the batch";
        return Err(Unreadable::bad("batch-tenant", text));
    }
    if route(&target) != Some(Route::Invoke) {
        return Err(Unreadable::bad(
            "batch-form",
            "a batch item must be an `InvokeCommand`; send anything else by itself",
        ));
    }
    let mut query = Query::read(query, query::OF_COMMAND)?;
    let sent = item.headers.map(read_headers).transpose()?;
    let sent = sent.unwrap_or_default();
    let authorization = headers::single(&sent, &header::AUTHORIZATION)?.map(str::to_owned);
    let body = required(item.body, "body")?;
    let command = envelope::read(body, reading.workload)?;
    let call = Call {
        version: target.version,
        tenant: target.tenant,
        form: Form::Invoke(command),
        regional_host: super::take_host(&mut query)?,
        query,
        headers: headers::read(&sent, Body::JsonItem)?,
    };
    Ok(BatchItem {
        id,
        authorization,
        call,
    })
}

fn raw_item(value: Value) -> Result<RawItem, Unreadable> {
    let mut item = RawItem::default();
    for (name, value) in json::table(value, "a batch item")? {
        let place = match name.as_str() {
            "body" => &mut item.body,
            "headers" => &mut item.headers,
            "id" => &mut item.id,
            "method" => &mut item.method,
            "url" => &mut item.url,
            "atomicityGroup" | "dependsOn" => {
                let text =
                    format!("`{name}` is not supported; each item of a batch is decided by itself");
                return Err(Unreadable::bad("batch-dependency", text));
            }
            other => {
                let known = "`id`, `method`, `url`, `headers` and `body`";
                return Err(envelope::unknown(other, "a batch item", known));
            }
        };
        *place = Some(value);
    }
    Ok(item)
}

/// An item's URL: absolute, https, at one of the authorities that are this service.
fn read_url<'a>(
    url: &'a str,
    reading: &Reading<'_>,
) -> Result<(Target, Option<&'a str>), Unreadable> {
    let rest = url.strip_prefix("https://").ok_or_else(|| {
        Unreadable::bad(
            "batch-url",
            "a batch item's `url` must be absolute and begin with `https://`",
        )
    })?;
    let (authority, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let lower = authority.to_ascii_lowercase();
    let known = lower.strip_suffix(":443").unwrap_or(&lower);
    if !reading
        .authorities
        .iter()
        .any(|it| *it == known || *it == lower)
    {
        return Err(Unreadable::bad(
            "batch-host",
            format!("a batch item is for another host: `{}`", shown(authority)),
        ));
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let target = path::read(path, reading.path).or_else(|error| {
        // An item may name the upstream itself, whose base path need not be ours.
        if reading.path.eq_ignore_ascii_case(UPSTREAM_BASE) {
            Err(error)
        } else {
            path::read(path, UPSTREAM_BASE)
        }
    })?;
    Ok((target, query))
}

fn read_headers(value: Value) -> Result<HeaderMap, Unreadable> {
    let mut headers = HeaderMap::new();
    for (name, value) in json::table(value, "an item's `headers`")? {
        let value = json::text(value, "an item's header")?;
        let wrong = || {
            let text = format!("`{}` is not a header that can be read", shown(&name));
            Unreadable::bad("bad-header", text)
        };
        let value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        headers.insert(name, value);
    }
    Ok(headers)
}
