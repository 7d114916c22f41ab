//! The disk fails while the gateway serves: nothing runs without a record, and all goes on when the disk does.

use std::fs;
use std::path::Path;
use std::process::Command;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Http, command, invoke_path, request};
use crate::gateway::{Gateway, Setup, read_records};
use crate::small_disk::SmallDisk;

/// A call that can be told from others in the log and upstream.
async fn call(gateway: &Gateway, id: &str, cmdlet: &str, parameters: Value) -> Answer {
    let body = command(cmdlet, parameters).to_string();
    let mut request = request("ana", Method::POST, &invoke_path(), body);
    request
        .headers_mut()
        .insert("client-request-id", id.parse().unwrap());
    gateway.send(Http::One, request).await
}

/// While the log cannot be written: every sort of call is refused, says why, and nothing arrives upstream.
async fn refuses_everything(gateway: &Gateway, reason: &str) {
    let before = gateway.sample.arrived().len();
    for (cmdlet, parameters) in [
        ("Get-Mailbox", json!({})),
        ("New-JournalRule", json!({})),
        (
            "New-ElevatedAccessRequest",
            json!({"Task": r"Exchange\New-MoveRequest", "Reason": "because"}),
        ),
    ] {
        let refused = call(gateway, "refused", cmdlet, parameters).await;
        assert_eq!(
            refused.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{cmdlet}: {}",
            refused.text()
        );
        assert!(
            refused.error().contains("nothing runs without a record"),
            "{}",
            refused.text()
        );
        assert!(refused.error().contains(reason), "{}", refused.text());
        assert!(refused.headers.contains_key("retry-after"));
    }
    assert_eq!(gateway.sample.arrived().len(), before);
    let (status, text) = gateway.ask_control("/readyz");
    assert_eq!(status, 503);
    assert!(text.contains(reason), "{text}");
    assert_eq!(gateway.ask_control("/healthz").0, 200, "it lives");
    assert!((gateway.metric("portcullis_audit_failing") - 1.0).abs() < 0.5);
}

/// After the log can be written again: calls pass, and the record tells of the interruption and of nothing that was refused.
async fn goes_on(gateway: &mut Gateway, log: &Path) {
    gateway.wait_for_log("Audit log is written again");
    let again = call(gateway, "afterwards", "Get-Mailbox", json!({})).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text());
    assert_eq!(gateway.ask_control("/readyz").0, 200);
    assert!(gateway.metric("portcullis_audit_failing") < 0.5);
    assert!(gateway.terminate().success());
    let records = read_records(log);
    let of = |kind: &str| {
        records
            .iter()
            .filter(|it| it["kind"] == kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("audit.interrupted").len(), 1);
    let resumed = of("audit.resumed");
    assert_eq!(resumed.len(), 1);
    assert!(
        resumed[0]["details"]["refused"].as_u64().unwrap() >= 3,
        "{}",
        resumed[0]
    );
    assert_eq!(resumed[0]["details"]["lost"], 0);
    let calls: Vec<_> = records
        .iter()
        .filter_map(|it| it["client_request_id"].as_str())
        .collect();
    assert!(
        !calls.contains(&"refused"),
        "a refused call is on record as decided"
    );
    assert_eq!(calls.last(), Some(&"afterwards"));
    for decision in of("decision").iter().filter(|it| it["verdict"] != "block") {
        let outcomes = of("outcome")
            .iter()
            .filter(|it| it["decision"] == decision["decision"])
            .count();
        assert_eq!(outcomes, 1, "outcomes of {decision}");
    }
    let (code, text) = gateway.portcullis(&["audit", "verify", &log.display().to_string()]);
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_calls_until_there_is_room() {
    // A file that may not grow is the disk that is full; unlike a small file system it needs no privileges.
    let mut gateway = Gateway::with(Setup {
        before: "trap '' XFSZ".to_owned(),
        ..Setup::default()
    })
    .await;
    let large = "x".repeat(60_000);
    for _ in 0..5 {
        let passed = call(&gateway, "filling", "Get-Mailbox", json!({"Filter": large})).await;
        assert_eq!(passed.status, StatusCode::OK, "{}", passed.text());
    }
    let id = gateway.process_id().to_string();
    let limit = |bytes: &str| {
        let fsize = format!("--fsize={bytes}:");
        let set = Command::new("prlimit")
            .args(["--pid", &id, &fsize])
            .status();
        assert!(set.unwrap().success());
    };
    // The log is longer than this already, so not one byte more fits; all other files are shorter.
    limit("200000");
    let arrived = gateway.sample.arrived().len();
    let refused = call(&gateway, "refused", "Get-Mailbox", json!({})).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(gateway.sample.arrived().len(), arrived);
    gateway.wait_for_log("Audit log cannot be written");
    refuses_everything(&gateway, "File too large").await;
    limit("unlimited");
    let log = gateway.path("data/audit");
    goes_on(&mut gateway, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_disk_that_is_full_stops_calls_until_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let log = disk.path().join("audit");
    let mut gateway = Gateway::with(Setup {
        environment: vec![(
            "PORTCULLIS__AUDIT__DIRECTORY".to_owned(),
            log.display().to_string(),
        )],
        ..Setup::default()
    })
    .await;
    disk.fill();
    // What has room in the last block passes, and is on record.
    let mut passed = Vec::new();
    let refused = loop {
        let id = format!("passed-{}", passed.len());
        let answer = call(&gateway, &id, "Get-Mailbox", json!({})).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        passed.push(id);
        assert!(passed.len() < 100, "a full disk takes no end of records");
    };
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    gateway.wait_for_log("Audit log cannot be written");
    refuses_everything(&gateway, "No space left on device").await;
    disk.free();
    goes_on(&mut gateway, &log).await;
    let records = read_records(&log);
    for id in passed {
        assert!(
            records
                .iter()
                .any(|it| it["kind"] == "decision" && it["client_request_id"] == id.as_str()),
            "{id} was answered and is not on record"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_directory_that_is_gone_stops_calls_until_it_is_back() {
    let mut gateway = Gateway::start().await;
    let before = call(&gateway, "before", "Get-Mailbox", json!({})).await;
    assert_eq!(before.status, StatusCode::OK);
    let (directory, elsewhere) = (gateway.path("data/audit"), gateway.path("data/elsewhere"));
    fs::rename(&directory, &elsewhere).unwrap();
    // As after a failed mount: something else is in its place.
    fs::write(&directory, "not a directory").unwrap();
    refuses_everything(&gateway, "").await;
    fs::remove_file(&directory).unwrap();
    fs::rename(&elsewhere, &directory).unwrap();
    let log = gateway.path("data/audit");
    goes_on(&mut gateway, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_cannot_record_does_not_start() {
    let mut gateway = Gateway::start().await;
    gateway.kill();
    fs::remove_dir_all(gateway.path("data/audit")).unwrap();
    fs::write(gateway.path("data/audit"), "not a directory").unwrap();
    let (code, text) = gateway.refused_start();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("audit directory"), "{text}");
    assert!(text.contains("data/audit"), "{text}");
}
