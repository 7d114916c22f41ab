//! The audit log of the running gateway, and what the commands make of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Http, command, invoke_path, request};
use crate::gateway::{Gateway, SERVICE_TOKEN, Setup, basic, read_records};
use crate::scripted::{self, Deed, Scripted, Speaks};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decision_is_on_disk_when_the_call_arrives_upstream() {
    let directory: Arc<OnceLock<PathBuf>> = Arc::default();
    let upstream = Scripted::start(Speaks::TlsHttp2, {
        let directory = Arc::clone(&directory);
        move |request| {
            let id = request.headers()["client-request-id"].to_str().unwrap();
            let records = read_records(directory.get().unwrap());
            let decided = records
                .iter()
                .any(|it| it["client_request_id"] == id && it["verdict"] == "allow");
            Deed::Answer(scripted::json(json!({"value": [decided]}).to_string()))
        }
    })
    .await;
    let gateway = upstream.gateway(Setup::default()).await;
    directory.set(gateway.path("data/audit")).unwrap();
    for index in 0..20 {
        let body = command("Get-Mailbox", json!({})).to_string();
        let mut call = request("ana", Method::POST, &invoke_path(), body);
        call.headers_mut().insert(
            "client-request-id",
            format!("call-{index}").parse().unwrap(),
        );
        let answer = gateway.send(Http::One, call).await;
        assert_eq!(answer.json()["value"][0], true, "{}", answer.text());
    }
    let records = gateway.eventually("all outcomes are on record", |it| {
        let records = it.records();
        (records.iter().filter(|it| it["kind"] == "outcome").count() == 20).then_some(records)
    });
    for outcome in records.iter().filter(|it| it["kind"] == "outcome") {
        let decision = records
            .iter()
            .find(|it| it["kind"] == "decision" && it["decision"] == outcome["decision"]);
        assert!(decision.unwrap()["seq"].as_u64() < outcome["seq"].as_u64());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_any_file_or_log_line() {
    let secret = "correct-horse-battery-staple";
    let mut gateway = Gateway::with(Setup {
        environment: vec![("PORTCULLIS_LOG".to_owned(), "debug".to_owned())],
        ..Setup::default()
    })
    .await;
    for parameters in [
        json!({"Name": "New", "Password": secret}),
        json!({"Name": "New", "password@odata.type": "#String", "password": secret}),
        json!({"Name": "New", "RoomMailboxPassword": {"Value": secret}}),
        json!({"Name": "New", "Credential": [{"UserName": "x", "Password": secret}]}),
    ] {
        let answer = gateway.invoke("ana", "New-Mailbox", parameters).await;
        assert_ne!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
    }
    // In a request for access as well, and in a sign-in that fails.
    let parameters = json!({
        "Task": r"Exchange\New-MoveRequest", "Reason": "because",
        "RequestContext": {"Password": secret},
    });
    let filed = gateway
        .invoke("ana", "New-ElevatedAccessRequest", parameters)
        .await;
    assert_eq!(filed.status, StatusCode::OK, "{}", filed.text());
    let mut wrong = request(
        "ana",
        Method::POST,
        &invoke_path(),
        command("Get-Mailbox", json!({})).to_string(),
    );
    let credential = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("ana@contoso.example:{secret}"),
    );
    wrong.headers_mut().insert(
        "authorization",
        format!("Basic {credential}").parse().unwrap(),
    );
    assert_eq!(
        gateway.send(Http::One, wrong).await.status,
        StatusCode::UNAUTHORIZED
    );
    let mut nonsense = request(
        "ana",
        Method::POST,
        &invoke_path(),
        format!("{{\"Password\":\"{secret}\""),
    );
    nonsense
        .headers_mut()
        .insert("client-request-id", "nonsense".parse().unwrap());
    assert_eq!(
        gateway.send(Http::One, nonsense).await.status,
        StatusCode::BAD_REQUEST
    );

    let sent = gateway
        .sample
        .arrived()
        .iter()
        .filter(|it| String::from_utf8_lossy(&it.body).contains(secret))
        .count();
    assert_eq!(sent, 4, "the upstream does get it");
    let log = gateway.stop_and_read_log().join("\n");
    let ana = basic("ana");
    let secrets = [
        secret,
        SERVICE_TOKEN,
        &credential,
        ana.strip_prefix("Basic ").unwrap(),
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "the log holds {secret}:\n{log}");
    }
    let mut files = 0;
    search(&gateway.path("data"), &mut |path, bytes| {
        files += 1;
        for secret in secrets {
            let found = memchr::memmem::find(bytes, secret.as_bytes());
            assert!(found.is_none(), "{} holds {secret}", path.display());
        }
    });
    assert!(files >= 3, "the audit log, its head, and the store");
    let redacted: Vec<_> = gateway
        .records()
        .into_iter()
        .filter(|it| it["task"] == r"Exchange\New-Mailbox")
        .map(|it| it["redacted"].to_string())
        .collect();
    insta::assert_snapshot!(redacted.join("\n"), @r#"
    ["Password"]
    ["password"]
    ["RoomMailboxPassword"]
    ["Credential"]
    "#);
}

fn search(directory: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, look);
        } else {
            look(&path, &fs::read(&path).unwrap());
        }
    }
}

/// A short story, told to the end: the gateway is stopped.
async fn story() -> (Gateway, String) {
    let mut gateway = Gateway::start().await;
    let mailbox = json!({"Identity": "eva@contoso.example"});
    let calls = async |gateway: &Gateway, person: &str, cmdlet: &str| {
        gateway.invoke(person, cmdlet, mailbox.clone()).await
    };
    // Each step waits until its outcome is on record: the golden tables are in one order.
    let settled = |gateway: &Gateway, outcomes: usize| {
        gateway.eventually("the outcome is on record", |it| {
            (it.records()
                .iter()
                .filter(|it| it["kind"] == "outcome")
                .count()
                == outcomes)
                .then_some(())
        });
    };
    calls(&gateway, "ana", "Get-Mailbox").await;
    settled(&gateway, 1);
    calls(&gateway, "ana", "New-MoveRequest").await;
    let parameters = json!({"Task": r"Exchange\New-MoveRequest", "Reason": "because"});
    let filed = gateway
        .invoke("ana", "New-ElevatedAccessRequest", parameters)
        .await;
    settled(&gateway, 2);
    let id = filed.first("Identity").as_str().unwrap().to_owned();
    gateway
        .invoke(
            "amy",
            "Approve-ElevatedAccessRequest",
            json!({"RequestId": id}),
        )
        .await;
    settled(&gateway, 3);
    calls(&gateway, "ana", "New-MoveRequest").await;
    settled(&gateway, 4);
    gateway
        .invoke(
            "bo",
            "Revoke-ElevatedAccessAuthorization",
            json!({"RequestId": id}),
        )
        .await;
    settled(&gateway, 5);
    calls(&gateway, "ana", "New-MoveRequest").await;
    calls(&gateway, "nobody", "Get-Mailbox").await;
    calls(&gateway, "sys1", "New-MoveRequest").await;
    assert!(gateway.terminate().success());
    (gateway, id)
}

/// Times, ids and what depends on the machine, taken out; columns as wide as their words.
fn golden(text: &str) -> String {
    let rules = [
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+Z)?", "TIME"),
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
            "ID",
        ),
        (r"[0-9a-f]{64}", "HASH"),
        (r"duration_us \d+", "duration_us N"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r" {2,}", "  "),
    ];
    rules
        .iter()
        .fold(text.trim_end().to_owned(), |text, (pattern, shown)| {
            regex::Regex::new(pattern)
                .unwrap()
                .replace_all(&text, *shown)
                .into_owned()
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_search_and_show_print_what_happened() {
    let (gateway, id) = story().await;
    let run = |arguments: &[&str]| {
        let arguments = [&["audit"], arguments, &["--directory", "data/audit"]].concat();
        let (code, text) = gateway.portcullis(&arguments);
        assert_eq!(code, 0, "{arguments:?}: {text}");
        golden(&text)
    };
    insta::assert_snapshot!("tail", run(&["tail", "-n", "50"]));
    insta::assert_snapshot!(
        "search_principal",
        run(&["search", "--principal", "bo@contoso.example"])
    );
    insta::assert_snapshot!(
        "search_verdict",
        run(&["search", "--verdict", "block", "--task", r"Exchange\New-*"])
    );
    insta::assert_snapshot!("search_request", run(&["search", "--request", &id]));
    insta::assert_snapshot!("show_request", run(&["show", &id]));
    // As JSON, the very lines of the log.
    let (_, lines) = gateway.portcullis(&[
        "audit",
        "search",
        "--kind",
        "grant.*",
        "-o",
        "json",
        "--directory",
        "data/audit",
    ]);
    let found: Vec<Value> = lines
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let stored: Vec<_> = gateway
        .records()
        .into_iter()
        .filter(|it| it["kind"].as_str().unwrap().starts_with("grant."))
        .collect();
    assert_eq!(found, stored);
    assert_eq!(found.len(), 2);
    let grant = found[0]["grant"].as_str().unwrap();
    insta::assert_snapshot!("search_grant", run(&["search", "--grant", grant]));
    let (code, text) = gateway.portcullis(&[
        "audit",
        "search",
        "--since",
        "2999-01-01",
        "--directory",
        "data/audit",
    ]);
    assert_eq!(code, 1, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_names_the_record_that_was_changed() {
    let (gateway, _) = story().await;
    let verify = || gateway.portcullis(&["audit", "verify", "data/audit"]);
    let (code, text) = verify();
    assert_eq!(code, 0, "{text}");
    let segment = fs::read_dir(gateway.path("data/audit"))
        .unwrap()
        .map(|it| it.unwrap().path())
        .find(|it| it.extension().is_some_and(|it| it == "jsonl"))
        .unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap().to_owned();
    let good = fs::read_to_string(&segment).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let blocked = lines
        .iter()
        .position(|it| it.contains("\"verdict\":\"block\""))
        .unwrap();
    let place = format!("record {}, {name}:{}", blocked + 1, blocked + 1);

    let mut changed = lines.clone();
    let pretty = changed[blocked].replace("\"verdict\":\"block\"", "\"verdict\":\"allow\"");
    changed[blocked] = &pretty;
    fs::write(&segment, changed.join("\n") + "\n").unwrap();
    let (code, text) = verify();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&place), "{place}: {text}");

    let mut removed = lines.clone();
    removed.remove(blocked);
    fs::write(&segment, removed.join("\n") + "\n").unwrap();
    let (code, text) = verify();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("{name}:{}", blocked + 1)), "{text}");

    fs::write(&segment, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    let (code, text) = verify();
    assert_eq!(code, 1, "the end is missing: {text}");

    fs::write(&segment, &good).unwrap();
    assert_eq!(verify().0, 0);
}
