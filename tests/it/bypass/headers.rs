//! Headers that could change who calls, what runs, or how the body is read.

use super::catalogue::{Catalogue, Outcome, READ, REMOVE, Raw};
use crate::gateway::{Setup, TENANT, basic};

use Outcome::{Arrives, Blocked, Dropped, Refused};

const OVERRIDE: Outcome<'static> = Refused(400, "method-override");
const PARAMETER: Outcome<'static> = Refused(400, "header-parameter");
const MEDIA_TYPE: Outcome<'static> = Refused(415, "unsupported-media-type");
const CODING: Outcome<'static> = Refused(415, "content-coding");
const TWICE: Outcome<'static> = Refused(400, "duplicate-header");
const PASSES: Outcome<'static> = Arrives(READ);

/// Lines added to the head of an honest read. What arrives upstream of those that pass is checked for every one of them:
/// no header but those of the closed list, the gateway's credential and no other.
const ADDED: &[(&str, &str, Outcome<'_>)] = &[
    (
        "control",
        "X-ClientApplication: ExoManagementModule",
        PASSES,
    ),
    (
        "method override",
        "X-HTTP-Method-Override: DELETE",
        OVERRIDE,
    ),
    ("method override, short", "X-HTTP-Method: PATCH", OVERRIDE),
    (
        "method override, the other way",
        "X-Method-Override: MERGE",
        OVERRIDE,
    ),
    ("method override, shortest", "x-method: GET", OVERRIDE),
    ("parameter", "XParameter-Force: true", PARAMETER),
    ("identity of a read", "XParameter-Identity: ZXZh", PARAMETER),
    ("gzip that is none", "Content-Encoding: gzip", CODING),
    ("deflate", "Content-Encoding: deflate", CODING),
    ("brotli", "Content-Encoding: br", CODING),
    (
        "two codings in one",
        "Content-Encoding: identity, gzip",
        CODING,
    ),
    ("coding in upper case", "CONTENT-ENCODING: GZIP", CODING),
    (
        "control: a coding that clients send and nobody reads",
        "Content-Encoding: utf-8",
        PASSES,
    ),
    ("two types", "Content-Type: application/xml", TWICE),
    (
        "the same type twice",
        "Content-Type: application/json",
        TWICE,
    ),
    (
        "cookie of another session",
        "Cookie: OpenIdConnect.token=x",
        PASSES,
    ),
    (
        "rewritten URL",
        "X-Original-URL: /adminapi/beta/t/ResolveTenant",
        PASSES,
    ),
    (
        "rewritten URL, the other name",
        "X-Rewrite-URL: /adminapi/beta/t/ResolveTenant",
        PASSES,
    ),
    ("original host", "X-Original-Host: evil.example", PASSES),
    ("forwarded host", "X-Forwarded-Host: evil.example", PASSES),
    ("forwarded scheme", "X-Forwarded-Proto: http", PASSES),
    ("forwarded prefix", "X-Forwarded-Prefix: /x", PASSES),
    ("forwarded address", "X-Forwarded-For: 10.0.0.1", PASSES),
    (
        "forwarded, the standard",
        "Forwarded: for=10.0.0.1;host=evil.example;proto=http",
        PASSES,
    ),
    ("real address", "X-Real-IP: 10.0.0.1", PASSES),
    (
        "identity of a front end",
        "X-Forwarded-User: amy@contoso.example",
        PASSES,
    ),
    (
        "impersonation",
        "X-Impersonate: amy@contoso.example",
        PASSES,
    ),
    (
        "certificate of a front end",
        "X-ARR-ClientCert: MIIB",
        PASSES,
    ),
    (
        "routing",
        "X-AnchorMailbox: UPN:sys1@contoso.example",
        PASSES,
    ),
    (
        "proxy credential",
        "Proxy-Authorization: Basic eDp5",
        PASSES,
    ),
    ("other credential", "X-Authorization: Bearer stolen", PASSES),
    (
        "credential of a token service",
        "X-MS-TOKEN-AAD-ACCESS-TOKEN: stolen",
        PASSES,
    ),
    (
        "two anchors",
        "X-AnchorMailbox: UPN:a@x\r\nX-AnchorMailbox: UPN:b@x",
        TWICE,
    ),
    ("expectation", "Expect: 100-continue", PASSES),
    ("unknown expectation", "Expect: 200-maybe", PASSES),
    (
        "upgrade to WebSocket",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13",
        PASSES,
    ),
    (
        "upgrade to HTTP/2",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        PASSES,
    ),
    ("range", "Range: bytes=0-1", PASSES),
    ("condition", "If-None-Match: *", PASSES),
    (
        "depth",
        "Depth: infinity\r\nDestination: https://evil.example/",
        PASSES,
    ),
    (
        "destination of a SOAP call",
        "SOAPAction: urn:Remove-Mailbox",
        PASSES,
    ),
    ("trailers announced", "Trailer: X-CmdletName", PASSES),
    ("transfer of trailers", "TE: trailers", PASSES),
    ("hop counter", "Max-Forwards: 0", PASSES),
    (
        "blank before the colon",
        "X-AnchorMailbox : UPN:a@x",
        Dropped,
    ),
    ("blank in a name", "X Anchor: a", Dropped),
    ("no colon", "X-AnchorMailbox", Dropped),
    ("NUL in a value", "X-AnchorMailbox: a\0b", Dropped),
    (
        "return in a value",
        "X-AnchorMailbox: a\rX-CmdletName: b",
        Dropped,
    ),
    (
        "letters beyond ASCII",
        "X-AnchorMailbox: UPN:\u{e4}@x",
        Refused(400, "header-character"),
    ),
    ("letters beyond ASCII in a name", "X-\u{e4}: x", Dropped),
    (
        "second host",
        "Host: evil.example",
        Refused(400, "two-hosts"),
    ),
    // Connection nominates what is for this hop only.
    (
        "nominated anchor",
        "X-AnchorMailbox: UPN:a@x\r\nConnection: X-AnchorMailbox",
        PASSES,
    ),
    (
        "nominated name of the cmdlet",
        "X-CmdletName: Get-Mailbox\r\nConnection: x-cmdletname",
        PASSES,
    ),
    ("nominated length", "Connection: Content-Length", PASSES),
    ("nominated host", "Connection: Host", PASSES),
    (
        "nominated credential",
        "Connection: keep-alive, Authorization",
        Refused(401, "missing"),
    ),
];

/// Types of the body.
const TYPES: &[(&str, Outcome<'_>)] = &[
    ("application/json", PASSES),
    ("application/json; charset=utf-8", PASSES),
    (
        "application/json;odata.metadata=minimal;odata.streaming=true;",
        PASSES,
    ),
    ("application/json; charset=utf-16", MEDIA_TYPE),
    ("application/json; charset=utf-16le", MEDIA_TYPE),
    ("application/json; charset=utf-7", MEDIA_TYPE),
    ("application/json; charset=iso-8859-1", MEDIA_TYPE),
    (
        "application/json; charset=utf-8; charset=utf-16",
        MEDIA_TYPE,
    ),
    ("application/json; charset=\"utf-16\"", MEDIA_TYPE),
    ("application/json; boundary=x", MEDIA_TYPE),
    ("application/json, application/xml", MEDIA_TYPE),
    ("application/problem+json", MEDIA_TYPE),
    ("application/jsonp", MEDIA_TYPE),
    ("text/json", MEDIA_TYPE),
    ("text/plain", MEDIA_TYPE),
    ("application/xml", MEDIA_TYPE),
    ("application/atom+xml", MEDIA_TYPE),
    ("application/x-www-form-urlencoded", MEDIA_TYPE),
    ("multipart/mixed; boundary=x", MEDIA_TYPE),
    ("multipart/form-data; boundary=x", MEDIA_TYPE),
    ("application/soap+xml;charset=UTF-8", MEDIA_TYPE),
    ("*/*", MEDIA_TYPE),
    ("", MEDIA_TYPE),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_changes_who_calls_or_what_runs() {
    let mut catalogue = Catalogue::open(Setup::default()).await;
    for (trick, line, outcome) in ADDED {
        let request = Raw::invoke(READ).line(line);
        for arrived in catalogue.attempt(trick, &request, *outcome).await {
            let is_nominated = trick.starts_with("nominated anchor");
            catalogue.check(
                !(is_nominated && arrived.headers.contains_key("x-anchormailbox")),
                trick,
            );
        }
    }
    for (content_type, outcome) in TYPES {
        let request = Raw::invoke(READ)
            .without("Content-Type")
            .line(format!("Content-Type: {content_type}"));
        for arrived in catalogue.attempt(content_type, &request, *outcome).await {
            let written = arrived.headers["content-type"].to_str().unwrap().to_owned();
            catalogue.check(
                written.starts_with("application/json") && !written.contains("charset"),
                &written,
            );
        }
    }
    catalogue
        .attempt(
            "no type",
            &Raw::invoke(READ).without("Content-Type"),
            MEDIA_TYPE,
        )
        .await;

    // The cmdlet's name in the header says nothing, and is written from the body.
    for (trick, header) in [
        ("lying header", "X-CmdletName: Get-Mailbox"),
        (
            "two headers, one of which lies",
            "X-CmdletName: Remove-Mailbox\r\nX-CmdletName: Get-Mailbox",
        ),
        (
            "header of the gateway's own cmdlet",
            "X-CmdletName: Get-ElevatedAccessRequest",
        ),
        ("empty header", "X-CmdletName:"),
    ] {
        catalogue
            .attempt(
                trick,
                &Raw::invoke(REMOVE).line(header),
                Blocked("needs-approval"),
            )
            .await;
    }
    for (trick, header) in [
        (
            "header of a governed cmdlet",
            "X-CmdletName: Remove-Mailbox",
        ),
        ("no header", "Accept: application/json"),
        (
            "two headers",
            "X-CmdletName: Get-Mailbox\r\nX-CmdletName: Remove-Mailbox",
        ),
    ] {
        for arrived in catalogue
            .attempt(trick, &Raw::invoke(READ).line(header), PASSES)
            .await
        {
            let names: Vec<_> = arrived.headers.get_all("x-cmdletname").iter().collect();
            catalogue.check(names == ["Get-Mailbox"], trick);
        }
    }
    credentials(&mut catalogue).await;

    // Identities in headers that only route.
    let anchor = Raw::invoke(REMOVE).line("X-AnchorMailbox: UPN:sys1@contoso.example");
    catalogue
        .attempt(
            "the system account as anchor",
            &anchor,
            Blocked("needs-approval"),
        )
        .await;
    let decided = catalogue
        .gateway
        .records()
        .into_iter()
        .rfind(|it| it["kind"] == "decision")
        .unwrap();
    catalogue.check(
        decided["principal"]["name"] == "ana@contoso.example",
        "the anchor became the caller",
    );

    // A read's identity in its header is what the record shows, and goes on in one place.
    let read = Raw::get("/adminapi/beta/{t}/Mailbox?ReadIdsAndParamsFromHeaders=True");
    for arrived in catalogue
        .attempt(
            "control: read by header",
            &read.clone().line("XParameter-Identity: ZXZh"),
            Arrives(""),
        )
        .await
    {
        catalogue.check(
            arrived.headers["xparameter-identity"] == "ZXZh",
            "the identity of a read",
        );
        catalogue.check(
            arrived.headers["x-cmdletname"] == "Get-EXOMailbox",
            "the name of a read",
        );
    }
    let bad = Refused(400, "bad-identity");
    catalogue
        .attempt("read by a header that is not there", &read, bad)
        .await;
    catalogue
        .attempt(
            "read by a header that is not base64",
            &read.clone().line("XParameter-Identity: eva!"),
            bad,
        )
        .await;
    let two = read
        .clone()
        .line("XParameter-Identity: ZXZh")
        .line("XParameter-Identity: YW5h");
    catalogue.attempt("read by two headers", &two, TWICE).await;
    let unclear = Raw::get("/adminapi/beta/{t}/Mailbox").line("XParameter-Identity: eva");
    catalogue
        .attempt("read by a header that is text or base64", &unclear, bad)
        .await;
    let both = Raw::get("/adminapi/beta/{t}/Mailbox('ana')?isEncoded=true")
        .line("XParameter-Identity: ZXZh");
    for arrived in catalogue
        .attempt("control: read with a placeholder", &both, Arrives(""))
        .await
    {
        let target = format!("/adminapi/beta/{TENANT}/Mailbox('ZXZh')?isEncoded=true");
        catalogue.check(
            arrived.target.path_and_query().unwrap() == target.as_str(),
            &arrived.target.to_string(),
        );
        catalogue.check(
            !arrived.headers.contains_key("xparameter-identity"),
            "two identities",
        );
    }
    catalogue.close(&["Get-Mailbox"]).await;
}

/// Credentials of two people, or in the wrong place.
async fn credentials(catalogue: &mut Catalogue) {
    let missing = Refused(401, "missing");
    let nobody = Raw::invoke(READ).without("Authorization");
    catalogue.attempt("no credential", &nobody, missing).await;
    for name in [
        "Proxy-Authorization",
        "X-Authorization",
        "X-Forwarded-Authorization",
        "Authentication",
        "Cookie",
    ] {
        let request = nobody.clone().line(format!("{name}: {}", basic("sys1")));
        catalogue.attempt(name, &request, missing).await;
    }
    let in_query = nobody
        .clone()
        .to("/adminapi/beta/{t}/InvokeCommand?access_token=x");
    catalogue
        .attempt("credential in the query", &in_query, missing)
        .await;
    for (trick, first, second, outcome) in [
        (
            "two people, the mighty one last",
            "ana",
            "sys1",
            Refused(401, "malformed"),
        ),
        (
            "two people, the mighty one first",
            "sys1",
            "ana",
            Refused(401, "malformed"),
        ),
        ("one person twice", "ana", "ana", Refused(401, "malformed")),
    ] {
        let request = nobody
            .clone()
            .line(format!("Authorization: {}", basic(first)))
            .line(format!("Authorization: {}", basic(second)));
        catalogue.attempt(trick, &request, outcome).await;
    }
    for (trick, value, outcome) in [
        (
            "two people in one header",
            format!("{}, {}", basic("ana"), basic("sys1")),
            Refused(401, "malformed"),
        ),
        (
            "unknown scheme",
            "Negotiate YII=".to_owned(),
            Refused(401, "wrong-scheme"),
        ),
        (
            "the upstream's own token",
            "Bearer service-token-of-the-tests".to_owned(),
            Refused(401, "wrong-scheme"),
        ),
        ("empty", String::new(), Refused(401, "malformed")),
        (
            "password of another",
            "Basic YW5hQGNvbnRvc28uZXhhbXBsZTphbXk=".to_owned(),
            Refused(401, "bad-password"),
        ),
    ] {
        catalogue
            .attempt(
                trick,
                &nobody.clone().line(format!("Authorization: {value}")),
                outcome,
            )
            .await;
    }
}
