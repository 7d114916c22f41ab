//! HTTP/2 in frames written by hand: heads that no client library would send.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::catalogue::{Catalogue, READ, REMOVE};
use crate::client::{Http, connect};
use crate::gateway::{Setup, TENANT, basic};

/// A field of a head.
pub(crate) type Field = (&'static str, String);

/// The head of an honest `InvokeCommand` by `ana`.
fn head() -> Vec<Field> {
    vec![
        (":method", "POST".to_owned()),
        (":scheme", "https".to_owned()),
        (":authority", "localhost".to_owned()),
        (":path", format!("/adminapi/beta/{TENANT}/InvokeCommand")),
        ("authorization", basic("ana")),
        ("content-type", "application/json".to_owned()),
    ]
}

/// The head with these fields at its end.
fn and(fields: &[(&'static str, &str)]) -> Vec<Field> {
    let more = fields
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    head().into_iter().chain(more).collect()
}

/// The head with another value of a field; without it, where there is none.
fn but(name: &'static str, value: Option<&str>) -> Vec<Field> {
    let mut head = head();
    head.retain_mut(|field| {
        if field.0 == name {
            value.unwrap_or_default().clone_into(&mut field.1);
        }
        field.0 != name || value.is_some()
    });
    head
}

/// A frame (RFC 9113 section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A head without compression: literals that are not indexed (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value.as_bytes()] {
            if text.len() < 127 {
                block.push(u8::try_from(text.len()).unwrap());
            } else {
                block.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                block.push(u8::try_from(rest).unwrap());
            }
            block.extend_from_slice(text);
        }
    }
    block
}

const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
pub(crate) const GO_AWAY: u8 = 7;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

fn post(fields: &[Field], body: &str) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(fields));
    bytes.extend_from_slice(&frame(DATA, END_STREAM, 1, body.as_bytes()));
    bytes
}

/// Sends these frames on a connection of their own, and waits for the first answer, or the end of the stream or connection.
async fn send(catalogue: &Catalogue, frames: &[u8]) {
    let gateway = &catalogue.gateway;
    let mut stream = connect(gateway.proxy(), &gateway.path("certs/ca.pem"), Http::Two).await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&frame(SETTINGS, 0, 0, &[]));
    bytes.extend_from_slice(frames);
    stream.write_all(&bytes).await.unwrap();
    loop {
        let mut start = [0; 9];
        if stream.read_exact(&mut start).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([0, start[0], start[1], start[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        let is_answer = start[3] == HEADERS && start[4] & END_HEADERS != 0;
        if is_answer || matches!(start[3], RESET | GO_AWAY) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frames_mean_another_request() {
    const PASSES: &str = "ungoverned-allowed";
    /// Reset before there is a request.
    const RESET: &str = "";
    const BROKEN: &str = "body-broken";
    let mut catalogue = Catalogue::open(Setup::default()).await;
    let right = READ.len().to_string();
    let swapped = head().into_iter().rev().collect::<Vec<_>>();
    let absolute = format!("https://localhost/adminapi/beta/{TENANT}/InvokeCommand");
    for (trick, fields, word) in [
        ("control", head(), PASSES),
        (
            "control: length",
            and(&[("content-length", &right)]),
            PASSES,
        ),
        (
            "control: the same host twice",
            and(&[("host", "localhost")]),
            PASSES,
        ),
        (
            "lying name of the cmdlet",
            and(&[("x-cmdletname", "Remove-Mailbox")]),
            PASSES,
        ),
        (
            "another host",
            and(&[("host", "evil.example")]),
            "two-hosts",
        ),
        (
            "two hosts",
            and(&[("host", "localhost"), ("host", "evil.example")]),
            "two-hosts",
        ),
        (
            "host alone",
            but(":authority", None)
                .into_iter()
                .chain([("host", "localhost".to_owned())])
                .collect(),
            PASSES,
        ),
        ("no host", but(":authority", None), "no-host"),
        (
            "two authorities",
            and(&[(":authority", "evil.example")]),
            RESET,
        ),
        (
            "authority with user information",
            but(":authority", Some("a@localhost")),
            "host",
        ),
        (
            "authority with a path",
            but(":authority", Some("localhost/x")),
            RESET,
        ),
        ("empty authority", but(":authority", Some("")), RESET),
        ("pseudo-headers behind others", swapped, RESET),
        ("two methods", and(&[(":method", "GET")]), RESET),
        ("two paths", and(&[(":path", "/x")]), RESET),
        (
            "unknown pseudo-header",
            and(&[(":cmdlet", "Remove-Mailbox")]),
            RESET,
        ),
        (
            "pseudo-header of an answer",
            and(&[(":status", "200")]),
            RESET,
        ),
        ("protocol", and(&[(":protocol", "websocket")]), RESET),
        ("no method", but(":method", None), RESET),
        ("no path", but(":path", None), RESET),
        ("no scheme", but(":scheme", None), RESET),
        ("empty path", but(":path", Some("")), RESET),
        ("path that is a URL", but(":path", Some(&absolute)), RESET),
        (
            "path without its slash",
            but(":path", Some("adminapi/beta/x/InvokeCommand")),
            RESET,
        ),
        (
            "path with a line end",
            but(":path", Some("/adminapi HTTP/1.1\r\nX: y")),
            RESET,
        ),
        (
            "path with a fragment",
            but(
                ":path",
                Some(&format!("/adminapi/beta/{TENANT}/InvokeCommand#x")),
            ),
            PASSES,
        ),
        ("asterisk", but(":path", Some("*")), "no-endpoint"),
        (
            "method with a blank",
            but(":method", Some("POST /x HTTP/1.1")),
            RESET,
        ),
        (
            "method in lower case",
            but(":method", Some("post")),
            "method",
        ),
        ("tunnel", but(":method", Some("CONNECT")), RESET),
        ("upper case", and(&[("X-CmdletName", "x")]), RESET),
        (
            "upper case credential",
            and(&[("Authorization", "Basic x")]),
            RESET,
        ),
        ("blank in a name", and(&[("x y", "z")]), RESET),
        ("colon in a name", and(&[("x:y", "z")]), RESET),
        ("empty name", and(&[("", "z")]), RESET),
        (
            "line end in a value",
            and(&[("x-anchormailbox", "a\r\nx-cmdletname: b")]),
            RESET,
        ),
        ("NUL in a value", and(&[("x-anchormailbox", "a\0b")]), RESET),
        (
            "connection",
            and(&[("connection", "x-anchormailbox")]),
            RESET,
        ),
        ("keep-alive", and(&[("keep-alive", "timeout=5")]), RESET),
        (
            "proxy connection",
            and(&[("proxy-connection", "keep-alive")]),
            RESET,
        ),
        ("upgrade", and(&[("upgrade", "h2c")]), RESET),
        (
            "transfer coding",
            and(&[("transfer-encoding", "chunked")]),
            RESET,
        ),
        (
            "transfer of something else than trailers",
            and(&[("te", "gzip")]),
            RESET,
        ),
        (
            "length that is too long",
            and(&[("content-length", "999")]),
            BROKEN,
        ),
        (
            "length that is too short",
            and(&[("content-length", "5")]),
            BROKEN,
        ),
        (
            "two lengths",
            and(&[("content-length", &right), ("content-length", "5")]),
            RESET,
        ),
        (
            "length that is none",
            and(&[("content-length", "x")]),
            RESET,
        ),
        (
            "two credentials",
            and(&[("authorization", &basic("sys1"))]),
            "malformed",
        ),
        (
            "method override",
            and(&[("x-http-method-override", "DELETE")]),
            "method-override",
        ),
    ] {
        let before = catalogue.arrived().len();
        send(&catalogue, &post(&fields, READ)).await;
        let arrived = catalogue.arrived().split_off(before);
        let fits = arrived.len() == usize::from(word == PASSES)
            && arrived
                .iter()
                .all(|it| it.body == READ && it.headers["x-cmdletname"] == "Get-Mailbox");
        catalogue.check(fits, &format!("{trick}: {arrived:?}"));
        catalogue.expect_record(trick, word);
    }
    sequences(&mut catalogue).await;
    catalogue.close(&["Get-Mailbox"]).await;
}

/// Frames in an order that could put the body of one request into another.
async fn sequences(catalogue: &mut Catalogue) {
    let head = block(&head());
    let (start, rest) = head.split_at(20);
    let trailers = block(&[
        ("authorization", basic("sys1")),
        ("x-cmdletname", "x".to_owned()),
    ]);
    let bad_trailers = block(&[(":path", "/x".to_owned())]);
    for (trick, frames, word) in [
        (
            "control: head in two frames",
            [
                frame(HEADERS, 0, 1, start),
                frame(9, END_HEADERS, 1, rest),
                frame(DATA, END_STREAM, 1, READ.as_bytes()),
            ]
            .concat(),
            "ungoverned-allowed",
        ),
        (
            "body in two frames",
            [
                frame(HEADERS, END_HEADERS, 1, &head),
                frame(DATA, 0, 1, &READ.as_bytes()[..9]),
                frame(DATA, END_STREAM, 1, &READ.as_bytes()[9..]),
            ]
            .concat(),
            "ungoverned-allowed",
        ),
        (
            "governed in two frames",
            [
                frame(HEADERS, END_HEADERS, 1, &head),
                frame(DATA, 0, 1, &REMOVE.as_bytes()[..9]),
                frame(DATA, END_STREAM, 1, &REMOVE.as_bytes()[9..]),
            ]
            .concat(),
            "needs-approval",
        ),
        (
            "trailers with a credential",
            [
                frame(HEADERS, END_HEADERS, 1, &head),
                frame(DATA, 0, 1, READ.as_bytes()),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers),
            ]
            .concat(),
            "ungoverned-allowed",
        ),
        (
            "trailers with a path",
            [
                frame(HEADERS, END_HEADERS, 1, &head),
                frame(DATA, 0, 1, READ.as_bytes()),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &bad_trailers),
            ]
            .concat(),
            // Trailers are dropped unread.
            "ungoverned-allowed",
        ),
        (
            "a second head that ends nothing",
            [
                frame(HEADERS, END_HEADERS, 1, &head),
                frame(HEADERS, END_HEADERS, 1, &head),
            ]
            .concat(),
            "body-broken",
        ),
        (
            "another frame within a head",
            [
                frame(HEADERS, 0, 1, start),
                frame(DATA, END_STREAM, 1, READ.as_bytes()),
            ]
            .concat(),
            "",
        ),
        (
            "even stream",
            [
                frame(HEADERS, END_HEADERS, 2, &head),
                frame(DATA, END_STREAM, 2, READ.as_bytes()),
            ]
            .concat(),
            "",
        ),
        (
            "stream zero",
            frame(HEADERS, END_HEADERS | END_STREAM, 0, &head),
            "",
        ),
        (
            "body before its head",
            frame(DATA, END_STREAM, 1, READ.as_bytes()),
            "",
        ),
        (
            "promise by a client",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&[0, 0, 0, 2], head.as_slice()].concat(),
            ),
            "",
        ),
    ] {
        let before = catalogue.arrived().len();
        send(catalogue, &frames).await;
        let arrived = catalogue.arrived().len() - before;
        catalogue.check(
            arrived == usize::from(word == "ungoverned-allowed"),
            &format!("{trick}: {arrived} arrived"),
        );
        catalogue.expect_record(trick, word);
    }
}
