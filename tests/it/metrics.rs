//! The metrics count what happened.

use std::fs;
use std::path::Path;

use http::StatusCode;
use serde_json::json;

use crate::client::invoke_path;
use crate::gateway::Gateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_tell_what_happened() {
    let gateway = Gateway::start().await;
    let mailbox = json!({"Identity": "eva@contoso.example"});
    for _ in 0..3 {
        assert_eq!(
            gateway
                .invoke("ana", "Get-Mailbox", mailbox.clone())
                .await
                .status,
            StatusCode::OK
        );
    }
    let blocked = gateway
        .invoke("ana", "New-MoveRequest", mailbox.clone())
        .await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);
    gateway
        .grant("ana", r"Exchange\New-MoveRequest", "amy")
        .await;
    assert_eq!(
        gateway
            .invoke("ana", "New-MoveRequest", mailbox)
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        gateway
            .invoke("nobody", "Get-Mailbox", json!({}))
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        gateway.post("ana", &invoke_path(), &json!({})).await.status,
        StatusCode::BAD_REQUEST
    );

    let counted = |series: &str, expected: u32| {
        let seen = gateway.metric(series);
        assert!(
            (seen - f64::from(expected)).abs() < 0.5,
            "{series}: {seen}\n{}",
            gateway.ask_control("/metrics").1
        );
    };
    let decided = |verdict: &str, rule: &str| {
        format!(
            "portcullis_decisions_total{{endpoint=\"/adminapi\",verdict=\"{verdict}\",rule=\"{rule}\"}}"
        )
    };
    counted(&decided("allow", "ungoverned-allowed"), 3);
    counted(&decided("block", "needs-approval"), 1);
    counted(&decided("allow", "gateway-cmdlet"), 2);
    counted(&decided("allow", "granted"), 1);
    counted("portcullis_refused_total{reason=\"sign-in\"}", 1);
    counted("portcullis_refused_total{reason=\"unreadable\"}", 1);
    counted("portcullis_grants", 1);
    counted("portcullis_audit_failing", 0);
    counted(
        "portcullis_request_seconds_count{endpoint=\"/adminapi\"}",
        9,
    );
    counted(
        "portcullis_upstream_seconds_count{endpoint=\"/adminapi\"}",
        4,
    );
    let records = gateway.eventually("all records are on disk", |it| {
        let records = it.records();
        let outcomes = records.iter().filter(|it| it["kind"] == "outcome").count();
        (outcomes == 6).then_some(records)
    });
    counted(
        "portcullis_audit_records_total",
        u32::try_from(records.len()).unwrap(),
    );

    let (_, text) = gateway.ask_control("/metrics");
    assert!(text.ends_with('\n'));
    assert!(!text.contains("ana"), "no label that a client chooses");
    // `scripts/test` has `promtool` look at it.
    fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics.txt"),
        text,
    )
    .unwrap();
}
