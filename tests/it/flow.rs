//! The main job, end to end: a read passes, a governed cmdlet is blocked, asked for, approved, runs, is revoked, is blocked.

use http::StatusCode;
use serde_json::json;

use crate::gateway::{Gateway, Setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_governed_cmdlet_runs_between_approval_and_revocation_and_at_no_other_time() {
    let gateway = Gateway::start().await;
    let mailbox = json!({"Identity": "ana@contoso.example"});

    let read = gateway.invoke("ana", "Get-Mailbox", mailbox.clone()).await;
    assert_eq!(read.status, StatusCode::OK, "{}", read.text());

    let blocked = gateway
        .invoke("ana", "New-MoveRequest", mailbox.clone())
        .await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);
    let text = blocked.error();
    assert!(
        text.contains(r"New-ElevatedAccessRequest -Task 'Exchange\New-MoveRequest'"),
        "{text}"
    );
    assert!(text.contains("(decision 0"), "{text}");
    assert_eq!(gateway.ran(), ["Get-Mailbox"]);

    let id = gateway
        .grant("ana", r"Exchange\New-MoveRequest", "amy")
        .await;
    let allowed = gateway
        .invoke("ana", "New-MoveRequest", mailbox.clone())
        .await;
    assert_eq!(allowed.status, StatusCode::OK, "{}", allowed.text());
    assert_eq!(gateway.ran(), ["Get-Mailbox", "New-MoveRequest"]);

    let others = gateway
        .invoke("ivy", "New-MoveRequest", mailbox.clone())
        .await;
    assert_eq!(
        others.status,
        StatusCode::FORBIDDEN,
        "a grant is its holder's alone"
    );

    let revoked = gateway
        .invoke(
            "bo",
            "Revoke-ElevatedAccessAuthorization",
            json!({"RequestId": id}),
        )
        .await;
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text());
    let blocked = gateway
        .invoke("ana", "New-MoveRequest", mailbox.clone())
        .await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);

    let system = gateway
        .invoke(
            "sys1",
            "New-MoveRequest",
            json!({"Identity": "amy@contoso.example"}),
        )
        .await;
    assert_eq!(system.status, StatusCode::OK, "{}", system.text());

    let decisions: Vec<_> = gateway
        .records()
        .into_iter()
        .filter(|it| it["kind"] == "decision")
        .map(|it| {
            format!("{} {} {}", it["principal"]["name"], it["task"], it["rule"])
                .replace('"', "")
                .replace(r"\\", r"\")
        })
        .collect();
    insta::assert_snapshot!(decisions.join("\n"), @r"
    ana@contoso.example Exchange\Get-Mailbox ungoverned-allowed
    ana@contoso.example Exchange\New-MoveRequest needs-approval
    ana@contoso.example Exchange\New-ElevatedAccessRequest gateway-cmdlet
    amy@contoso.example Exchange\Approve-ElevatedAccessRequest gateway-cmdlet
    ana@contoso.example Exchange\New-MoveRequest granted
    ivy@contoso.example Exchange\New-MoveRequest needs-approval
    bo@contoso.example Exchange\Revoke-ElevatedAccessAuthorization gateway-cmdlet
    ana@contoso.example Exchange\New-MoveRequest needs-approval
    sys1@contoso.example Exchange\New-MoveRequest exempt
    ");
    let (code, text) = gateway.portcullis(&["audit", "verify", "data/audit"]);
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_is_tried_out_is_on_record_beside_the_one_that_decides() {
    let policies = r#"
[[group]]
name = "mbmanagers"
members = ["amy@contoso.example"]
[[policy]]
effect = "change"
approval = "manual"
approvers = ["mbmanagers"]
[[policy]]
task = 'Exchange\Set-*'
approval = "never"
report_only = true
"#;
    let gateway = Gateway::with(Setup {
        policies: policies.to_owned(),
        ..Setup::default()
    })
    .await;
    let call = json!({"Identity": "ana@contoso.example", "DisplayName": "x"});
    let blocked = gateway.invoke("ana", "Set-Mailbox", call.clone()).await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN, "{}", blocked.text());
    gateway.grant("ana", r"Exchange\Set-Mailbox", "amy").await;
    let allowed = gateway.invoke("ana", "Set-Mailbox", call).await;
    assert_eq!(allowed.status, StatusCode::OK, "{}", allowed.text());
    let records = gateway.records();
    let decisions = records
        .iter()
        .filter(|it| it["task"] == r"Exchange\Set-Mailbox" && it["kind"] == "decision");
    let decided: Vec<_> = decisions
        .map(|it| {
            (
                it["verdict"].clone(),
                it["rule"].clone(),
                it["policy"].clone(),
            )
        })
        .collect();
    let expected = [("block", "needs-approval"), ("allow", "granted")];
    let expected =
        expected.map(|(verdict, rule)| (json!(verdict), json!(rule), json!("effect:change")));
    assert_eq!(decided, expected);
    let never = json!({"policy": r"exchange\set-*", "verdict": "report-only", "rule": "never"});
    let reported = records.iter().filter(|it| it["reporting"] == never);
    assert_eq!(reported.count(), 2);
}
