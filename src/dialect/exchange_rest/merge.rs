//! One `$batch` answer out of the upstream's and the gateway's own item answers.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::{Problem, Reply, Unreadable, shown};
use crate::model::Value;

use super::headers;
use super::refuse::{JSON_TYPE, refuse_unrecorded};

/// One answer to a batch, and what the upstream said of its items.
#[derive(Clone, Debug)]
pub struct MergedBatch {
    /// The answer for the client.
    pub reply: Reply,
    /// Ids of the items that the upstream answered, with its status for each; 0 where it gave none that can be read.
    pub statuses: Vec<(String, u16)>,
}

/// Puts the upstream's `$batch` answer and the gateway's own item answers into one answer, in the order of `order` (item ids).
/// The upstream's items keep their bytes. An item that nobody answered is answered 502.
///
/// An error (502) means that the upstream's answer is not a batch answer, names an item twice, or one that it was not asked.
pub fn merge_batch(
    upstream: Option<&[u8]>,
    own: &[(String, Reply)],
    order: &[String],
) -> Result<MergedBatch, Unreadable> {
    let theirs = upstream.map(responses).transpose()?.unwrap_or_default();
    for (index, id) in theirs.iter().map(|it| &it.id).enumerate() {
        let is_asked = order.contains(id) && !own.iter().any(|(it, _)| it == id);
        if !is_asked || theirs.iter().take(index).any(|it| it.id == *id) {
            return Err(wrong(&format!(
                "it answers the item `{}`, which it should not",
                shown(id)
            )));
        }
    }
    let mut body = b"{\"responses\":[".to_vec();
    for (index, id) in order.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        let ours = own.iter().find(|(it, _)| it == id).map(|(_, reply)| reply);
        let theirs = theirs.iter().find(|it| it.id == *id);
        match (ours, theirs) {
            (Some(reply), _) => write_item(id, reply, &mut body),
            (None, Some(item)) => body.extend_from_slice(item.raw.get().as_bytes()),
            (None, None) => write_item(id, &unanswered(), &mut body),
        }
    }
    body.extend_from_slice(b"]}");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, JSON_TYPE);
    Ok(MergedBatch {
        reply: Reply {
            status: StatusCode::OK,
            headers,
            body: Bytes::from(body),
        },
        statuses: theirs.into_iter().map(|it| (it.id, it.status)).collect(),
    })
}

/// An item of the upstream's answer, in its own bytes.
struct Answered<'a> {
    id: String,
    status: u16,
    raw: &'a RawValue,
}

/// The upstream's answer. Its other members say nothing about items, and are dropped.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    responses: Vec<&'a RawValue>,
}

/// What an item's answer is known by.
#[derive(Deserialize)]
struct Identified {
    id: String,
    #[serde(default)]
    status: u16,
}

/// The items of the upstream's answer, by id.
fn responses(body: &[u8]) -> Result<Vec<Answered<'_>>, Unreadable> {
    let unreadable = |error: serde_json::Error| wrong(&error.to_string());
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(unreadable)?;
    let items = answer.responses.into_iter().map(|raw| {
        let item: Identified = serde_json::from_str(raw.get()).map_err(unreadable)?;
        Ok(Answered {
            id: item.id,
            status: item.status,
            raw,
        })
    });
    items.collect()
}

fn wrong(text: &str) -> Unreadable {
    Unreadable::with(
        StatusCode::BAD_GATEWAY,
        "upstream-batch",
        format!("the upstream's answer to the batch is not usable: {text}"),
    )
}

fn unanswered() -> Reply {
    let problem = Problem {
        status: StatusCode::BAD_GATEWAY,
        target: String::new(),
        text: "the upstream did not answer this item of the batch; whether it ran is not known"
            .to_owned(),
    };
    refuse_unrecorded(&problem)
}

fn write_item(id: &str, reply: &Reply, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    Value::text(id).write_json(out);
    out.extend_from_slice(format!(",\"status\":{},\"headers\":", reply.status.as_u16()).as_bytes());
    let headers = reply.headers.iter().map(|(name, value)| {
        let value = value.to_str().unwrap_or_default();
        (headers::spelled(name).to_owned(), Value::text(value))
    });
    Value::Table(headers.collect()).write_json(out);
    out.extend_from_slice(b",\"body\":");
    if reply.body.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        out.extend_from_slice(&reply.body);
    }
    out.push(b'}');
}
