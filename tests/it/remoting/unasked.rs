//! Pipelines that run on while their clients ask for nothing.

use portcullis::dialect::psrp::soap::Subcode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Call, Input, Session, receive};
use super::waiting::{with_users, without};
use super::{Lab, MORE};
use crate::gateway::POLICIES;

const REMOVE: [Call<'static>; 1] = [("Remove-Waiting", &[])];
const GET: [Call<'static>; 1] = [("Get-Mailbox", &[])];
const WAIT: [Call<'static>; 1] = [("Wait-Release", &[])];

pub(super) async fn revoke(lab: &Lab, request: &str) {
    let revoked = lab
        .gateway
        .invoke(
            "amy",
            "Revoke-ElevatedAccessAuthorization",
            json!({"RequestId": request}),
        )
        .await;
    assert!(revoked.status.is_success(), "{}", revoked.text());
}

/// Starts a pipeline that waits for input.
async fn begin(lab: &Lab, session: &Session, calls: &[Call<'_>]) -> Uuid {
    let id = Uuid::now_v7();
    session.start(&lab.gateway, id, calls, Input::Follows).await;
    id
}

/// Waits until the server has ended a pipeline.
fn ended_at_the_server(lab: &Lab) {
    lab.gateway.eventually("the server ends it", |_| {
        lab.server.journal().iter().find(|it| *it == "terminate")?;
        Some(())
    });
}

fn verdicts(records: &[Value]) -> Vec<&str> {
    let verdicts = records.iter().map(|it| it["verdict"].as_str().unwrap());
    verdicts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_stops_it_at_the_server_and_its_client_hears_of_it_later() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let task = "Exchange\\Remove-Waiting";
    let request = lab.gateway.grant("ana", task, "amy").await;
    let id = begin(&lab, &session, &REMOVE).await;
    // The control: nothing speaks against this one.
    let control = begin(&lab, &session, &GET).await;
    revoke(&lab, &request).await;
    ended_at_the_server(&lab);
    let records = lab.decisions("Remove-Waiting");
    assert_eq!(verdicts(&records), ["allow", "block"]);
    assert_eq!(records[1]["rule"], "needs-approval");
    for same in ["principal", "source", "endpoint", "client_request_id"] {
        assert_eq!(records[0][same], records[1][same], "{same}");
    }
    assert_ne!(records[0]["request_id"], records[1]["request_id"]);
    assert_eq!(lab.outcome(&records[0])["result"], "not-fetched");
    let told = lab.server.journal();
    assert_eq!(told[3..], ["stop", "terminate"]);
    let ended = session.end(&lab.gateway, id).await;
    let (error, text, _) = ended.error.unwrap();
    assert_eq!(error, "PortcullisBlocked");
    assert!(text.contains("Remove-Waiting needs approval"), "{text}");
    session.end_input(&lab.gateway, control).await;
    assert_eq!(session.end(&lab.gateway, control).await.state, 4);
    // It was told once, and each record is there once.
    assert_eq!(lab.server.journal()[3..5], ["stop", "terminate"]);
    assert_eq!(lab.decisions("Remove-Waiting").len(), 2);
    let decision = &records[0]["decision"];
    let all = lab.gateway.records();
    let outcomes = all
        .iter()
        .filter(|it| it["kind"] == "outcome" && it["decision"] == *decision);
    assert_eq!(outcomes.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_changed_stops_it_and_takes_no_use_again() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let ask = [("Task", "Exchange\\Wait-Release"), ("Reason", "because")];
    session
        .cmdlet(&lab.gateway, "New-ElevatedAccessRequest", &ask)
        .await;
    lab.gateway
        .grant("ana", "Exchange\\Set-Contact", "amy")
        .await;
    // The control stands on a grant whose only use it took: it goes on through each look.
    let control = begin(&lab, &session, &[("Set-Contact", &[])]).await;
    let id = begin(&lab, &session, &WAIT).await;
    let policies = format!("{POLICIES}{MORE}");
    let auto = "task = 'Exchange\\Wait-Release'\napproval = \"auto\"";
    assert!(policies.contains(auto));
    lab.gateway
        .write_policies(&policies.replace(auto, &auto.replace("auto", "never")));
    ended_at_the_server(&lab);
    let records = lab.decisions("Wait-Release");
    assert_eq!(verdicts(&records), ["allow", "block"]);
    assert_eq!(records[1]["rule"], "never");
    session.end_input(&lab.gateway, control).await;
    assert_eq!(session.end(&lab.gateway, control).await.state, 4);
    assert_eq!(verdicts(&lab.decisions("Set-Contact")), ["allow"]);
    assert_eq!(session.end(&lab.gateway, id).await.state, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_credential_of_its_own_the_gateway_leaves_it_to_the_next_request() {
    let lab = Lab::passing_through().await;
    let session = lab.open("ana").await;
    let task = "Exchange\\Remove-Waiting";
    let request = lab.gateway.grant("ana", task, "amy").await;
    let id = begin(&lab, &session, &REMOVE).await;
    let fault = session.fault(&lab.gateway, receive(id)).await;
    assert_eq!(fault.subcode, Subcode::TimedOut);
    revoke(&lab, &request).await;
    let ended = session.end(&lab.gateway, id).await;
    assert!(ended.error_text().contains("needs approval"), "{ended:?}");
    assert_eq!(
        lab.server.journal()[1..],
        ["run Remove-Waiting", "stop", "terminate"]
    );
    assert_eq!(
        verdicts(&lab.decisions("Remove-Waiting")),
        ["allow", "block"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_taken_out_of_the_user_file_runs_nothing_any_more() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let id = begin(&lab, &session, &GET).await;
    let others = lab.open("amy").await;
    let control = begin(&lab, &others, &GET).await;
    with_users(&lab, |users| without(users, "ana"));
    ended_at_the_server(&lab);
    let told = lab.gateway.eventually("the record of it", |gateway| {
        let mut records = gateway.records().into_iter();
        records.find(|it| it["kind"] == "sign-in.failed")
    });
    assert_eq!(
        (&told["details"]["reason"], &told["details"]["pipeline"]),
        (&json!("user-gone"), &json!(id.to_string()))
    );
    let decisions = lab.decisions("Get-Mailbox");
    assert_eq!(verdicts(&decisions), ["allow", "allow"]);
    assert_eq!(lab.outcome(&decisions[0])["result"], "not-fetched");
    others.end_input(&lab.gateway, control).await;
    assert_eq!(others.end(&lab.gateway, control).await.state, 4);
}
