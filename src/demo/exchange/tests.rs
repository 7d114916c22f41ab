//! The sample endpoint over real sockets.

mod forms;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::{Effect, Running, SampleExchange};

const CREDENTIAL: &str = "Bearer service";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What a client shows of an error: the first detail.
    fn error(&self) -> String {
        let message = &self.json()["error"]["details"][0]["message"];
        format!("{} {}", self.status.as_u16(), message.as_str().unwrap())
    }

    fn names(&self) -> Vec<String> {
        let json = self.json();
        let values = json["value"].as_array().unwrap().iter();
        values
            .map(|it| it["Identity"].as_str().unwrap().to_owned())
            .collect()
    }
}

struct Sample {
    running: Running,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Sample {
    fn start() -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        Self {
            running: SampleExchange::start(listen, None, CREDENTIAL.into()).unwrap(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let target = if target.contains("://") {
            target.to_owned()
        } else {
            format!("{}{target}", self.running.origin())
        };
        let mut request = Request::builder().method(method).uri(target);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header(header::AUTHORIZATION, CREDENTIAL);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn run_with(&self, cmdlet: &str, parameters: Value, headers: &[(&str, &str)]) -> Answer {
        let body = envelope(cmdlet, &parameters).to_string();
        self.send("POST", "/adminapi/beta/t/InvokeCommand", headers, &body)
            .await
    }

    async fn run(&self, cmdlet: &str, parameters: Value) -> Answer {
        self.run_with(cmdlet, parameters, &[]).await
    }

    fn effects(&self) -> Vec<(&'static str, Effect)> {
        let executed = self.running.executed();
        executed.iter().map(|it| (it.cmdlet, it.effect)).collect()
    }
}

fn envelope(cmdlet: &str, parameters: &Value) -> Value {
    json!({"CmdletInput": {"CmdletName": cmdlet, "Parameters": parameters}})
}

#[tokio::test]
async fn a_read_has_the_services_annotations() {
    let sample = Sample::start();
    let answer = sample
        .run("get-mailbox", json!({"identity": "BEN@contoso.example"}))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["odata-version"], "4.0");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT");
    settings.bind(|| insta::assert_snapshot!(String::from_utf8_lossy(&answer.body)));
}

#[tokio::test]
async fn pages_lead_back_to_the_endpoint_and_repeat_the_body() {
    let sample = Sample::start();
    let prefer = [("prefer", "odata.maxpagesize = 5;odata.continue-on-error")];
    let mut answer = sample.run_with("Get-Mailbox", json!({}), &prefer).await;
    let mut names = answer.names();
    let mut pages = 1;
    while let Some(link) = answer.json()["@odata.nextLink"].as_str() {
        assert!(link.starts_with(sample.running.origin()), "{link}");
        let other = envelope("Get-Recipient", &json!({})).to_string();
        let other = sample.send("POST", link, &prefer, &other).await.error();
        assert!(
            other.contains("Expired or Invalid pagination request"),
            "{other}"
        );
        let body = envelope("Get-Mailbox", &json!({})).to_string();
        answer = sample.send("POST", link, &prefer, &body).await;
        names.extend(answer.names());
        pages += 1;
    }
    assert_eq!((pages, names.len()), (3, 14));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 14);
    assert!(sample.running.executed().last().unwrap().is_page);
}

#[tokio::test]
async fn a_write_that_is_only_tried_changes_nothing() {
    let sample = Sample::start();
    let ben = |extra: &str| json!({"Identity": "ben", extra: true});
    let asked = sample.run("Remove-Mailbox", ben("Confirm")).await.json();
    let question = asked["@adminapi.confirmationmessage"].as_str().unwrap();
    assert!(question.starts_with("Are you sure"), "{question}");
    let simulated = sample.run("Remove-Mailbox", ben("WhatIf")).await.json();
    assert_eq!(
        simulated["@adminapi.warnings"][0],
        "What if: Remove-Mailbox \"ben\"."
    );
    assert_eq!(
        sample
            .run("Get-Mailbox", json!({"Identity": "ben"}))
            .await
            .names(),
        ["ben"]
    );

    let removed = sample
        .run(
            "Remove-Mailbox",
            json!({"Identity": "ben", "Confirm": false}),
        )
        .await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    let gone = sample.run("Get-Mailbox", json!({"Identity": "ben"})).await;
    assert!(gone.error().starts_with(
        "404 Ex6F9304|Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException|"
    ));
    assert_eq!(
        sample.effects(),
        [
            ("Remove-Mailbox", Effect::Prompted),
            ("Remove-Mailbox", Effect::Simulated),
            ("Get-Mailbox", Effect::Done),
            ("Remove-Mailbox", Effect::Done),
            ("Get-Mailbox", Effect::Failed),
        ]
    );
}

#[tokio::test]
async fn writes_change_what_reads_show() {
    let sample = Sample::start();
    let edit =
        json!({"@odata.type": "#Exchange.GenericHashTable", "Add": ["smtp:b@contoso.example"]});
    let set = sample
        .run(
            "Set-Mailbox",
            json!({"Identity": "ben", "Type": "Shared", "EmailAddresses": edit}),
        )
        .await;
    assert_eq!(set.json()["value"], json!([]));
    let again = sample
        .run("Set-Mailbox", json!({"Identity": "ben", "Type": "Shared"}))
        .await
        .json();
    assert!(
        again["@adminapi.warnings"][0]
            .as_str()
            .unwrap()
            .contains("no settings")
    );
    let shared = sample
        .run(
            "Get-Mailbox",
            json!({"RecipientTypeDetails": "SharedMailbox"}),
        )
        .await;
    assert_eq!(shared.names(), ["ben", "info"]);
    let addresses = &shared.json()["value"][0]["EmailAddresses"];
    assert_eq!(
        *addresses,
        json!(["SMTP:ben@contoso.example", "smtp:b@contoso.example"])
    );

    let new = json!({"Name": "J1", "JournalEmailAddress": "j@ext.example"});
    assert_eq!(
        sample.run("New-JournalRule", new.clone()).await.names(),
        ["J1"]
    );
    assert!(
        sample
            .run("New-JournalRule", new)
            .await
            .error()
            .contains("already exists")
    );
    assert_eq!(
        sample.run("Get-JournalRule", json!({})).await.names(),
        ["J1"]
    );

    let right = json!({"Identity": "ben", "User": "eva", "AccessRights": ["FullAccess"]});
    assert_eq!(
        sample
            .run("Add-MailboxPermission", right.clone())
            .await
            .names(),
        ["ben"]
    );
    let rights = sample
        .run(
            "Get-MailboxPermission",
            json!({"Identity": "ben@contoso.example"}),
        )
        .await;
    assert_eq!(rights.json()["value"][0]["User"], "eva");
    let removed = sample.run("Remove-MailboxPermission", right.clone()).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert!(
        sample
            .run("Remove-MailboxPermission", right)
            .await
            .error()
            .starts_with("404")
    );

    for _ in 0..2 {
        let moved = sample
            .run("New-MoveRequest", json!({"Identity": "ben"}))
            .await;
        assert_eq!(moved.json()["value"][0]["Status"], "Queued");
    }
    assert_eq!(
        sample.run("Get-MoveRequest", json!({})).await.names(),
        ["ben"]
    );
    let days = json!({"StartDate": "2026-01-01", "EndDate": "2026-01-02", "Operations": "New-MoveRequest"});
    let log = sample.run("Search-UnifiedAuditLog", days).await.json();
    assert_eq!(log["value"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn errors_have_the_services_shapes() {
    let sample = Sample::start();
    let unknown = sample.run("Get-Secret", json!({})).await;
    assert_eq!(unknown.status, StatusCode::FORBIDDEN);
    assert_eq!(unknown.headers[header::CONTENT_ENCODING], "gzip");
    assert!(
        unknown.headers["x-ms-diagnostics"]
            .to_str()
            .unwrap()
            .contains("cmdlet_not_allowed")
    );
    assert!(!unknown.body.is_empty() && unknown.body.iter().all(|byte| *byte == 0));

    let cases = [
        (
            "Get-Mailbox",
            json!({"Size": 1}),
            "A parameter cannot be found that matches parameter name 'Size'.",
        ),
        (
            "Remove-Mailbox",
            json!({}),
            "missing mandatory parameters: Identity.",
        ),
        (
            "New-InboxRule",
            json!({"Mailbox": "zed", "Name": "x"}),
            "object 'zed' couldn't be found",
        ),
    ];
    for (cmdlet, parameters, expected) in cases {
        let error = sample.run(cmdlet, parameters).await.error();
        assert!(error.contains(expected), "{error}");
    }
    let broken = sample
        .send("POST", "/adminapi/beta/t/InvokeCommand", &[], "{")
        .await;
    assert!(broken.error().starts_with("400"));
}

#[tokio::test]
async fn only_the_service_credential_is_accepted() {
    let sample = Sample::start();
    for wrong in ["", "Bearer servicE", "Bearer service2", "Basic YW5hOng="] {
        let answer = sample
            .run_with("Get-Mailbox", json!({}), &[("authorization", wrong)])
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{wrong}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    assert!(sample.running.executed().is_empty());
    assert_eq!(sample.running.arrived().len(), 4);
}

#[tokio::test]
async fn objects_can_be_clixml_and_long_answers_gzip() {
    let sample = Sample::start();
    let clixml = [("x-responseformat", "clixml")];
    let answer = sample
        .run_with("Get-AcceptedDomain", json!({}), &clixml)
        .await
        .json();
    insta::assert_snapshot!(answer["value"][0]["_clixml"].as_str().unwrap());
    let gzip = [("accept-encoding", "gzip, br")];
    let answer = sample.run_with("Get-Mailbox", json!({}), &gzip).await;
    assert_eq!(answer.headers[header::CONTENT_ENCODING], "gzip");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*answer.body), &mut text)
        .unwrap();
    assert!(text.contains("ben@contoso.example"));
}

#[tokio::test]
async fn a_command_is_in_the_journal_as_it_was_sent() {
    let sample = Sample::start();
    let body = r#"{"CmdletInput":{"CmdletName":"Set-Mailbox","Parameters":{"Identity":"ana","Identity":"ben","MaxSendSize":1.50e400}},"x":1}"#;
    sample
        .send(
            "POST",
            "/adminapi/beta/t/InvokeCommand",
            &[("x-anchormailbox", "UPN:a")],
            body,
        )
        .await;
    let executed = sample.running.executed();
    let shown: Vec<String> = executed[0]
        .parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", value.display()))
        .collect();
    assert_eq!(shown, ["Identity=ben", "MaxSendSize=1.50e400"]);
    assert_eq!(executed[0].headers["x-anchormailbox"], "UPN:a");
    assert!(!format!("{:?}", executed[0].headers).contains("service"));
    assert_eq!(sample.running.arrived()[0].body, body);
}
