//! Where a request ends: whatever a server before or behind the gateway might see otherwise.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::catalogue::{Catalogue, Outcome, READ, REMOVE, Raw, statuses};
use crate::client::{Http, connect};
use crate::gateway::Setup;

use Outcome::{Arrives, CutOff, Dropped, Refused};

const PASSES: Outcome<'static> = Arrives(READ);
const TWO: Outcome<'static> = Refused(400, "two-framings");
const CODING: Outcome<'static> = Refused(400, "transfer-encoding");
const BROKEN: Outcome<'static> = CutOff("body-broken");
const CHUNKED: &str = "Transfer-Encoding: chunked";

/// `body` as one chunk.
fn chunk(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_framing_hides_a_second_request() {
    let mut catalogue = Catalogue::open(Setup::default()).await;
    let length = format!("Content-Length: {}", READ.len());
    let hidden = format!(
        "0\r\n\r\n{}",
        String::from_utf8(Raw::invoke(REMOVE).bytes()).unwrap()
    );
    let with = |body: &str, lines: &[&str]| lines.iter().fold(Raw::invoke(body), Raw::line);
    let cut = |at: usize| {
        format!(
            "{at:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            &READ[..at],
            READ.len() - at,
            &READ[at..]
        )
    };
    for (trick, request, outcome) in [
        ("control: a length", with(READ, &[&length]), PASSES),
        ("control: chunked", with(&chunk(READ), &[CHUNKED]), PASSES),
        (
            "control: chunked, upper case",
            with(&chunk(READ), &["TRANSFER-ENCODING: CHUNKED"]),
            PASSES,
        ),
        ("control: two chunks", with(&cut(20), &[CHUNKED]), PASSES),
        (
            "length, then chunked",
            with(&chunk(READ), &["Content-Length: 4", CHUNKED]),
            TWO,
        ),
        (
            "chunked, then length",
            with(&chunk(READ), &[CHUNKED, "Content-Length: 4"]),
            TWO,
        ),
        (
            "chunked, then the right length",
            with(&chunk(READ), &[CHUNKED, &length]),
            TWO,
        ),
        (
            "chunked with a blank, then length",
            with(
                &chunk(READ),
                &["Transfer-Encoding:\tchunked ", "content-length: 4"],
            ),
            TWO,
        ),
        (
            "a request behind the last chunk, both framings",
            with(&hidden, &["Content-Length: 4", CHUNKED]),
            CutOff("two-framings"),
        ),
        (
            "chunked twice",
            with(&chunk(READ), &[CHUNKED, CHUNKED]),
            CODING,
        ),
        (
            "chunked and something",
            with(&chunk(READ), &["Transfer-Encoding: gzip, chunked"]),
            CODING,
        ),
        (
            "something and chunked",
            with(&chunk(READ), &["Transfer-Encoding: identity", CHUNKED]),
            CODING,
        ),
        (
            "chunked, not last",
            with(&chunk(READ), &["Transfer-Encoding: chunked, identity"]),
            Dropped,
        ),
        (
            "chunked in one line twice",
            with(&chunk(READ), &["Transfer-Encoding: chunked, chunked"]),
            CODING,
        ),
        ("gzip", with(READ, &["Transfer-Encoding: gzip"]), Dropped),
        (
            "identity",
            with(READ, &["Transfer-Encoding: identity"]),
            Dropped,
        ),
        (
            "identity and a length",
            with(READ, &["Transfer-Encoding: identity", &length]),
            Dropped,
        ),
        (
            "a misspelled coding",
            with(&chunk(READ), &["Transfer-Encoding: xchunked"]),
            Dropped,
        ),
        (
            "a coding with a tail",
            with(&chunk(READ), &["Transfer-Encoding: chunked;q=1"]),
            Dropped,
        ),
        (
            "a coding in quotes",
            with(&chunk(READ), &["Transfer-Encoding: \"chunked\""]),
            Dropped,
        ),
        (
            "a coding behind a vertical tab",
            with(&chunk(READ), &["Transfer-Encoding: \x0bchunked"]),
            Dropped,
        ),
        (
            "an empty coding",
            with(&chunk(READ), &["Transfer-Encoding:"]),
            Dropped,
        ),
        (
            "blank before the colon of the coding",
            with(&chunk(READ), &["Transfer-Encoding : chunked"]),
            Dropped,
        ),
        (
            "coding folded",
            with(&chunk(READ), &["Transfer-Encoding:\r\n chunked"]),
            Dropped,
        ),
        (
            "header folded",
            with(READ, &["Accept: a\r\n b", &length]),
            Dropped,
        ),
        (
            "head that begins folded",
            with(READ, &[" X: y", &length]),
            Dropped,
        ),
        (
            "two lengths",
            with(READ, &[&length, "Content-Length: 4"]),
            Dropped,
        ),
        (
            "two lengths, the other first",
            with(READ, &["Content-Length: 4", &length]),
            Dropped,
        ),
        (
            "two lengths in one line",
            with(READ, &["Content-Length: 4, 4"]),
            Dropped,
        ),
        (
            "length with a sign",
            with(READ, &["Content-Length: +4"]),
            Dropped,
        ),
        (
            "negative length",
            with(READ, &["Content-Length: -1"]),
            Dropped,
        ),
        (
            "hexadecimal length",
            with(READ, &["Content-Length: 0x3e"]),
            Dropped,
        ),
        (
            "length with a fraction",
            with(READ, &["Content-Length: 4.0"]),
            Dropped,
        ),
        (
            "length beyond all numbers",
            with(READ, &["Content-Length: 18446744073709551617"]),
            Dropped,
        ),
        (
            "length beyond the limit",
            with(READ, &["Content-Length: 9999999999"]),
            Refused(413, "body-too-large"),
        ),
        ("empty length", with(READ, &["Content-Length:"]), Dropped),
        (
            "blank before the colon of the length",
            with(READ, &["Content-Length : 4", &length]),
            Dropped,
        ),
        (
            "length that ends the body early",
            with(READ, &["Content-Length: 20"]),
            CutOff("invalid-json"),
        ),
        (
            "chunk with an extension",
            with(&chunk(READ).replacen("\r\n", ";x=y\r\n", 1), &[CHUNKED]),
            PASSES,
        ),
        (
            "chunk with a size that is none",
            with("zz\r\n{}\r\n0\r\n\r\n", &[CHUNKED]),
            BROKEN,
        ),
        (
            "chunk with a signed size",
            with("+2\r\n{}\r\n0\r\n\r\n", &[CHUNKED]),
            BROKEN,
        ),
        (
            "chunk with a prefixed size",
            with("0x2\r\n{}\r\n0\r\n\r\n", &[CHUNKED]),
            BROKEN,
        ),
        (
            "chunk with a size beyond all numbers",
            with("ffffffffffffffff2\r\n{}\r\n0\r\n\r\n", &[CHUNKED]),
            BROKEN,
        ),
        (
            "chunk that is longer than it says",
            with("2\r\n{}{}\r\n0\r\n\r\n", &[CHUNKED]),
            BROKEN,
        ),
        (
            "chunk ends in line feeds",
            with("2\n{}\n0\n\n", &[CHUNKED]),
            BROKEN,
        ),
        (
            "trailer with a credential",
            with(
                &format!(
                    "{:x}\r\n{READ}\r\n0\r\nAuthorization: Basic x\r\nX-CmdletName: Remove-Mailbox\r\n\r\n",
                    READ.len()
                ),
                &[CHUNKED],
            ),
            PASSES,
        ),
        (
            "no host",
            with(READ, &[]).without("Host"),
            Refused(400, "no-host"),
        ),
        (
            "host that is none",
            with(READ, &[]).without("Host").line("Host: localhost/x"),
            Refused(400, "host"),
        ),
        (
            "host with user information",
            with(READ, &[]).without("Host").line("Host: a@localhost"),
            Refused(400, "host"),
        ),
        (
            "empty host",
            with(READ, &[]).without("Host").line("Host:"),
            Refused(400, "host"),
        ),
        (
            "control: HTTP/1.0",
            with(READ, &[]).version("HTTP/1.0"),
            PASSES,
        ),
        (
            "HTTP/1.0, chunked",
            with(&chunk(READ), &[CHUNKED]).version("HTTP/1.0"),
            Dropped,
        ),
        ("HTTP/0.9", with(READ, &[]).version(""), Dropped),
        ("HTTP/1.2", with(READ, &[]).version("HTTP/1.2"), Dropped),
        (
            "HTTP/2 in name",
            with(READ, &[]).version("HTTP/2.0"),
            Dropped,
        ),
        (
            "version in lower case",
            with(READ, &[]).version("http/1.1"),
            Dropped,
        ),
    ] {
        for arrived in catalogue.attempt(trick, &request, outcome).await {
            let is_framed_anew = arrived.headers["content-length"]
                == READ.len().to_string().as_str()
                && !arrived.headers.contains_key("transfer-encoding");
            catalogue.check(is_framed_anew, trick);
        }
    }
    behind_one_another(&mut catalogue).await;
    catalogue.close(&["Get-Mailbox"]).await;
}

/// Two requests in one piece: each is decided, and nothing of the second belongs to the first.
async fn behind_one_another(catalogue: &mut Catalogue) {
    let read = |body: &str| Raw::invoke(body).without("Connection");
    let chunked = |body: &str| read(&chunk(body)).line(CHUNKED);
    let last = Raw::invoke(REMOVE).bytes();
    let both = Raw::invoke(chunk(REMOVE))
        .line(CHUNKED)
        .line("Content-Length: 4")
        .bytes();
    let bare = String::from_utf8(last.clone())
        .unwrap()
        .replace("\r\n", "\n")
        .into_bytes();
    let forged = "x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (trick, first, second, expected, words, arrive) in [
        (
            "control: read behind read",
            read(READ),
            Raw::invoke(READ).bytes(),
            vec![200, 200],
            "ungoverned-allowed ungoverned-allowed",
            2,
        ),
        (
            "governed behind a read",
            read(READ),
            last.clone(),
            vec![200, 403],
            "ungoverned-allowed needs-approval",
            1,
        ),
        (
            "governed behind a chunked read",
            chunked(READ),
            last.clone(),
            vec![200, 403],
            "ungoverned-allowed needs-approval",
            1,
        ),
        (
            "governed with bare line feeds",
            read(READ),
            bare,
            vec![200, 403],
            "ungoverned-allowed needs-approval",
            1,
        ),
        (
            "governed behind a body that is not taken",
            Raw::get("/adminapi/beta/{t}/EXOModuleFile")
                .without("Connection")
                .line("Content-Length: 0"),
            last.clone(),
            vec![200, 403],
            "session-call needs-approval",
            1,
        ),
        (
            "two framings behind a read",
            read(READ),
            both.clone(),
            vec![200, 400],
            "ungoverned-allowed two-framings",
            1,
        ),
        (
            "two framings behind a body that looks like a head",
            read(forged),
            both.clone(),
            vec![400, 400],
            "invalid-json two-framings",
            0,
        ),
    ] {
        let before = catalogue.arrived().len();
        let bytes = [first.bytes(), second].concat();
        let answer = catalogue.gateway.raw(&bytes, |_| false).await;
        let found = statuses(&answer);
        let arrived = catalogue.arrived().len() - before;
        // The answer to a request whose connection is cut off may be lost.
        let is_lost = found.is_empty() && expected == [400];
        if (found != expected && !is_lost) || arrived != arrive {
            catalogue.note(format!("{trick}: {found:?}, and {arrived} arrived"));
        }
        catalogue.expect_record(trick, words);
    }
    // The first head is read before its body comes, so that the body is what a careless reader takes for the next head.
    let mut stream = connect(
        catalogue.gateway.proxy(),
        &catalogue.gateway.path("certs/ca.pem"),
        Http::One,
    )
    .await;
    let first = read(forged).line("Expect: 100-continue").bytes();
    let (head, body) = first.split_at(first.len() - forged.len());
    stream.write_all(head).await.unwrap();
    let mut answer = vec![0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut answer).await.unwrap();
    stream.write_all(&[body, &both].concat()).await.unwrap();
    let mut answers = Vec::new();
    // The connection may be cut off while the rest of the second body is on its way.
    let _end = stream.read_to_end(&mut answers).await;
    catalogue.check(
        statuses(&answers).first() == Some(&400),
        "the forged head was taken for one",
    );
    catalogue.expect_record(
        "two framings behind a body that looks like a head, later",
        "invalid-json two-framings",
    );
}
