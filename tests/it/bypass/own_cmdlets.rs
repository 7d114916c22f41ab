//! The gateway's own cmdlets: nobody decides for himself, and the upstream never hears of them.

use http::StatusCode;
use serde_json::json;

use super::catalogue::{Catalogue, Outcome, REMOVE, Raw};
use crate::client::{Answer, command};
use crate::gateway::{Gateway, POLICIES, Setup};

use Outcome::{Blocked, Refused};

/// Names that the gateway answers itself, whether it knows them or not.
const NAMES: &[&str] = &[
    "Enable-ElevatedAccessControl",
    "Disable-ElevatedAccessControl",
    "disable-elevatedaccesscontrol",
    "Set-ElevatedAccessControl",
    "New-ElevatedAccessApprovalPolicy",
    "Set-ElevatedAccessApprovalPolicy",
    "REMOVE-ELEVATEDACCESSAPPROVALPOLICY",
    "Set-ElevatedAccessRequest",
    "Approve-ElevatedAccessRequest",
    "New-ElevatedAccessAuthorization",
    "Get-ElevatedAccessEverything",
    "Invoke-ElevatedAccess",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_decides_for_himself() {
    let policies = POLICIES.replace(
        r#"members = ["amy@"#,
        r#"members = ["ANA@contoso.example", "amy@"#,
    );
    let mut catalogue = Catalogue::open(Setup {
        policies,
        ..Setup::default()
    })
    .await;
    let gateway = &catalogue.gateway;
    let filed = file(gateway, "ana", r"Exchange\Remove-Mailbox").await;
    let id = filed.first("Identity").as_str().unwrap().to_owned();
    for (trick, person, parameters) in [
        (
            "own request, by a member of the group in another case",
            "ana",
            json!({"RequestId": id}),
        ),
        (
            "own request, id in upper case",
            "ana",
            json!({"RequestId": id.to_uppercase()}),
        ),
        (
            "own request, by the other name of the parameter",
            "ana",
            json!({"Identity": id}),
        ),
        (
            "own request, with somebody else's name",
            "ana",
            json!({"RequestId": id, "RequestContext": {"Approver": "amy@contoso.example"}}),
        ),
        (
            "by somebody outside the group",
            "ivy",
            json!({"RequestId": id}),
        ),
        ("by an exempt account", "sys1", json!({"RequestId": id})),
    ] {
        let answer = gateway
            .invoke(person, "Approve-ElevatedAccessRequest", parameters)
            .await;
        assert!(is_refused(&answer), "{trick}: {}", answer.text());
    }
    for (trick, parameters) in [
        ("no request", json!({})),
        (
            "request that is not there",
            json!({"RequestId": "01890a5d-ac96-774b-bcce-b302099a8057"}),
        ),
        (
            "two requests",
            json!({"RequestId": id, "Identity": "01890a5d-ac96-774b-bcce-b302099a8057"}),
        ),
        ("list of requests", json!({"RequestId": [id]})),
        ("wildcard", json!({"RequestId": "*"})),
        (
            "another approver",
            json!({"RequestId": id, "Approver": "amy@contoso.example"}),
        ),
        ("name cut short", json!({"Request": id})),
    ] {
        let answer = gateway
            .invoke("amy", "Approve-ElevatedAccessRequest", parameters)
            .await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{trick}: {}",
            answer.text()
        );
    }
    for (trick, task) in [
        ("everything", r"Exchange\*"),
        ("everything, of everything", "*"),
        ("another workload", r"Azure\Remove-Mailbox"),
        ("no workload", "Remove-Mailbox"),
        ("what no policy governs", r"Exchange\Get-Mailbox"),
        ("what is never allowed", r"Exchange\New-JournalRule"),
        (
            "two tasks",
            r"Exchange\Remove-Mailbox,Exchange\New-MoveRequest",
        ),
        ("task with a NUL", "Exchange\\Remove-Mailbox\0"),
        (
            "the gateway's own",
            r"Exchange\Approve-ElevatedAccessRequest",
        ),
    ] {
        let answer = file(gateway, "ana", task).await;
        assert!(is_refused(&answer), "{trick}: {}", answer.text());
    }
    for parameters in [
        json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "x", "DurationHours": -1}),
        json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "x", "DurationHours": 0}),
        json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "x", "DurationHours": 1e99}),
        json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "x", "DurationHours": "4;8"}),
        json!({"Task": r"Exchange\Remove-Mailbox", "Reason": " "}),
        json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "x", "Requestor": "amy@contoso.example"}),
        json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "x", "Status": "Approved"}),
    ] {
        let answer = gateway
            .invoke("ana", "New-ElevatedAccessRequest", parameters.clone())
            .await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{parameters}: {}",
            answer.text()
        );
    }
    let trial = gateway
        .invoke(
            "amy",
            "Approve-ElevatedAccessRequest",
            json!({"RequestId": id, "WhatIf": true}),
        )
        .await;
    assert_eq!(trial.status, StatusCode::OK);
    catalogue.skip_records();
    catalogue
        .attempt(
            "after all this",
            &Raw::invoke(REMOVE),
            Blocked("needs-approval"),
        )
        .await;
    catalogue
        .attempt(
            "a page of an own cmdlet elsewhere",
            &Raw::invoke(
                command("Approve-ElevatedAccessRequest", json!({"RequestId": id})).to_string(),
            )
            .to("/adminapi/beta/{t}/InvokeCommand?portcullis-host=evil.example"),
            Refused(403, "unlisted-host"),
        )
        .await;

    let control = catalogue
        .gateway
        .invoke(
            "amy",
            "Approve-ElevatedAccessRequest",
            json!({"RequestId": id}),
        )
        .await;
    assert_eq!(control.status, StatusCode::OK, "{}", control.text());
    catalogue.skip_records();
    catalogue
        .attempt(
            "control: approved by another",
            &Raw::invoke(REMOVE),
            Outcome::ArrivesBy("granted", REMOVE),
        )
        .await;
    let revoked = catalogue
        .gateway
        .invoke(
            "ivy",
            "Revoke-ElevatedAccessAuthorization",
            json!({"RequestId": id}),
        )
        .await;
    assert!(is_refused(&revoked), "a stranger revokes nothing");
    catalogue.skip_records();
    catalogue.close(&["Remove-Mailbox"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_never_hears_of_the_gateways_own_cmdlets_in_any_mode() {
    for mode in ["enforce", "report-only", "disabled"] {
        let setup = Setup {
            mode,
            ..Setup::default()
        };
        let mut catalogue = Catalogue::open(setup).await;
        for name in NAMES {
            let body = command(name, json!({})).to_string();
            for person in ["ana", "sys1"] {
                let before = catalogue.arrived().len();
                let request = Raw::invoke(body.as_str())
                    .by(person)
                    .line("X-CmdletName: Get-Mailbox");
                let answer = catalogue.gateway.raw(&request.bytes(), |_| false).await;
                catalogue.check(
                    [400, 403].contains(&super::catalogue::status(&answer)),
                    &format!("{mode}: {name}"),
                );
                catalogue.check(
                    catalogue.arrived().len() == before,
                    &format!("{mode}: {name} arrived"),
                );
                catalogue.expect_record(name, "gateway-cmdlet");
            }
        }
        let rule = if mode == "disabled" {
            "access-control-disabled"
        } else {
            "ungoverned-allowed"
        };
        catalogue.close_under(rule, &[]).await;
    }
}

async fn file(gateway: &Gateway, person: &str, task: &str) -> Answer {
    let parameters = json!({"Task": task, "Reason": "because", "DurationHours": 1});
    gateway
        .invoke(person, "New-ElevatedAccessRequest", parameters)
        .await
}

/// Refused for what it is, or because the caller may not even know of it.
fn is_refused(answer: &Answer) -> bool {
    matches!(
        answer.status,
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN
    )
}
