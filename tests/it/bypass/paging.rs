//! Further pages of a long answer: each is a call of its own, and none leads around the gateway.

use http::StatusCode;
use serde_json::json;

use super::catalogue::{Catalogue, Outcome, READ, REMOVE, Raw};
use crate::client::{Http, request};
use crate::gateway::{POLICIES, Setup};

use Outcome::{Arrives, ArrivesBy, Blocked, Dropped, Refused};

const RECIPIENTS: &str = r#"{"CmdletInput":{"CmdletName":"Get-Recipient","Parameters":{}}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_page_is_decided_and_none_leads_around_the_gateway() {
    let policies = format!(
        "{POLICIES}\n[[policy]]\ntask = 'Exchange\\Get-Recipient'\napproval = \"manual\"\napprovers = [\"mbmanagers\"]\n"
    );
    let mut catalogue = Catalogue::open(Setup {
        policies,
        ..Setup::default()
    })
    .await;
    let id = catalogue
        .gateway
        .grant("ana", r"Exchange\Get-Recipient", "amy")
        .await;
    let reads = next_page(&catalogue, READ).await;
    let recipients = next_page(&catalogue, RECIPIENTS).await;
    catalogue.skip_records();
    let page = |body: &str, target: &str| Raw::invoke(body).to(target);
    let host = |host: &str| Raw::invoke(READ).to(format!("{reads}&portcullis-host={host}"));
    let unlisted = Refused(403, "unlisted-host");
    let bad_host = Refused(400, "bad-host");
    for (trick, request, outcome) in [
        ("control", page(READ, &reads), Arrives(READ)),
        (
            "control: governed",
            page(RECIPIENTS, &recipients),
            ArrivesBy("granted", RECIPIENTS),
        ),
        (
            "governed, under the token of a read",
            page(REMOVE, &reads),
            Blocked("needs-approval"),
        ),
        (
            "governed, in lower case",
            page(
                &REMOVE
                    .to_lowercase()
                    .replace("cmdletinput", "CmdletInput")
                    .replace("cmdletname", "CmdletName")
                    .replace("parameters", "Parameters"),
                &reads,
            ),
            Blocked("needs-approval"),
        ),
        (
            "somebody else's page",
            page(RECIPIENTS, &recipients).by("ivy"),
            Blocked("needs-approval"),
        ),
        ("no body", page("", &reads), Refused(400, "invalid-json")),
        ("by GET", Raw::get(&reads), Refused(405, "method")),
        (
            "by GET, with the body",
            page(REMOVE, &reads).method("GET"),
            Refused(405, "method"),
        ),
        (
            "two tokens",
            Raw::invoke(READ).to(format!("{reads}&$skiptoken=x")),
            Refused(400, "duplicate-query-key"),
        ),
        (
            "two tokens, one in escapes",
            Raw::invoke(READ).to(format!("{reads}&%24SkipToken=x")),
            Refused(400, "duplicate-query-key"),
        ),
        (
            "token with a quote",
            Raw::invoke(READ).to(format!("{reads}\"x")),
            Dropped,
        ),
        ("unlisted host", host("evil.example"), unlisted),
        (
            "the upstream itself by its address",
            host("127.0.0.1"),
            unlisted,
        ),
        ("metadata service", host("169.254.169.254"), unlisted),
        (
            "unlisted host in upper case",
            host("EVIL.EXAMPLE"),
            unlisted,
        ),
        ("host with a path", host("evil.example/x"), bad_host),
        (
            "host with user information",
            host("a@evil.example"),
            bad_host,
        ),
        ("host with a blank", host("evil.example+x"), bad_host),
        (
            "host with a line end",
            host("evil.example%0d%0a"),
            Refused(400, "control-character"),
        ),
        ("no host", host(""), bad_host),
        (
            "two hosts",
            host("a.example&portcullis-host=b.example"),
            Refused(400, "duplicate-query-key"),
        ),
        (
            "host without a page",
            Raw::invoke(READ).to("/adminapi/beta/{t}/InvokeCommand?portcullis-host=evil.example"),
            unlisted,
        ),
        (
            "host at a set-up call",
            Raw::get("/adminapi/beta/{t}/EXOModuleFile?portcullis-host=evil.example"),
            Refused(400, "unknown-query-key"),
        ),
        (
            "host at a read",
            Raw::get("/adminapi/beta/{t}/Mailbox?portcullis-host=evil.example"),
            unlisted,
        ),
    ] {
        for arrived in catalogue.attempt(trick, &request, outcome).await {
            let query = arrived.target.query().unwrap_or_default();
            catalogue.check(
                query.starts_with("$skiptoken=") && !query.contains("portcullis"),
                trick,
            );
        }
    }
    let revoked = catalogue
        .gateway
        .invoke(
            "bo",
            "Revoke-ElevatedAccessAuthorization",
            json!({"RequestId": id}),
        )
        .await;
    assert_eq!(revoked.status, StatusCode::OK);
    catalogue.skip_records();
    catalogue
        .attempt(
            "page after a revocation",
            &page(RECIPIENTS, &recipients),
            Blocked("needs-approval"),
        )
        .await;
    catalogue
        .attempt(
            "control: page of another call",
            &page(READ, &reads),
            Arrives(READ),
        )
        .await;
    catalogue.close(&["Get-Mailbox", "Get-Recipient"]).await;
}

/// Where the second page of this call is, as the client is told: at the gateway, and nowhere else.
async fn next_page(catalogue: &Catalogue, body: &'static str) -> String {
    let gateway = &catalogue.gateway;
    let mut first = request(
        "ana",
        http::Method::POST,
        &crate::client::invoke_path(),
        body,
    );
    first
        .headers_mut()
        .insert("prefer", "odata.maxpagesize=5".parse().unwrap());
    let answer = gateway.send(Http::One, first).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let upstream = gateway.sample.address().to_string();
    assert!(
        !answer.text().contains(&upstream),
        "the client learns the upstream's address: {}",
        answer.text()
    );
    let link = answer.json()["@odata.nextLink"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = link.strip_prefix(&format!("https://localhost:{}", gateway.proxy().port()));
    path.unwrap_or_else(|| panic!("{link} leads elsewhere"))
        .to_owned()
}
