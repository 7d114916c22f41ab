//! Pipelines that wait for approval.

use std::time::{Duration, Instant};

use portcullis::dialect::psrp::clixml::Item;
use portcullis::dialect::psrp::soap::{Response, Signal, Subcode};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::Lab;
use super::client::{Call, Ended, Input, Session, read, receive};
use crate::client::Http;
use crate::gateway::upn;

const CALLS: [Call<'static>; 1] = [("New-Mailbox", &[])];
const REFUSED: [Call<'static>; 1] = [("New-Refusal", &[])];

/// A pipeline that waits, and the request that it waits for.
async fn waiting(lab: &Lab, session: &Session) -> (Uuid, String) {
    waiting_with(lab, session, &CALLS).await
}

async fn waiting_with(lab: &Lab, session: &Session, calls: &[Call<'_>]) -> (Uuid, String) {
    let id = Uuid::now_v7();
    let started = session.start(&lab.gateway, id, calls, Input::None).await;
    assert_eq!(started, Response::Started { command: id });
    let fault = session.fault(&lab.gateway, receive(id)).await;
    assert_eq!(fault.subcode, Subcode::TimedOut, "the client asks again");
    let listed = session
        .cmdlet(&lab.gateway, "Get-ElevatedAccessRequest", &[])
        .await;
    assert_eq!(listed.property("RequestStatus"), "Pending");
    assert!(lab.server.ran().is_empty());
    (id, listed.property("Identity"))
}

async fn decide(lab: &Lab, cmdlet: &str, request: &str) {
    let answer = lab
        .gateway
        .invoke(
            "amy",
            cmdlet,
            json!({"RequestId": request, "Comment": "decided"}),
        )
        .await;
    assert!(answer.status.is_success(), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_under_the_same_id_once_it_is_approved() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let (id, request) = waiting(&lab, &session).await;
    // The client waits for output while the approver decides.
    let (ended, ()) = tokio::join!(
        session.end(&lab.gateway, id),
        decide(&lab, "Approve-ElevatedAccessRequest", &request)
    );
    assert_eq!(
        (ended.state, ended.texts),
        (4, vec!["New-Mailbox".to_owned()])
    );
    assert_eq!(lab.server.ran(), ["New-Mailbox"]);
    let records = lab.decisions("New-Mailbox");
    let seen: Vec<_> = records
        .iter()
        .map(|it| {
            (
                it["verdict"].as_str().unwrap(),
                it["client_request_id"].as_str().unwrap(),
            )
        })
        .collect();
    let id = id.to_string();
    assert_eq!(seen, [("block", id.as_str()), ("allow", id.as_str())]);
    assert_eq!(lab.outcome(&records[1])["result"], "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_too_where_the_server_would_ask_for_confirmation() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let confirm = [(Some("Confirm"), Item::Bool(true))];
    let (id, request) = waiting_with(&lab, &session, &[("New-Mailbox", &confirm)]).await;
    decide(&lab, "Approve-ElevatedAccessRequest", &request).await;
    assert_eq!(session.end(&lab.gateway, id).await.state, 4);
    assert_eq!(lab.server.ran(), ["New-Mailbox"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_fails_once_it_is_denied() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let (id, request) = waiting(&lab, &session).await;
    decide(&lab, "Deny-ElevatedAccessRequest", &request).await;
    let ended = session.end(&lab.gateway, id).await;
    assert_eq!(ended.state, 5);
    let told = format!("New-Mailbox did not run: its request {request} was denied");
    assert!(ended.error_text().starts_with(&told), "{ended:?}");
    assert!(lab.server.ran().is_empty());
    assert_eq!(
        session.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await.state,
        4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_fails_when_nobody_decides_in_time() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let ended = session.cmdlet(&lab.gateway, "New-MailContact", &[]).await;
    assert_eq!(ended.state, 5);
    assert!(
        ended.error_text().contains("nobody decided its request"),
        "{ended:?}"
    );
    assert!(lab.server.ran().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_counted_while_it_waits_and_given_up_in_time_without_its_client() {
    let lab = Lab::with("remoting = { reassembly = \"64 KiB\" }").await;
    let session = lab.open("ana").await;
    let large = [(Some("Name"), Item::text("x".repeat(40_000)))];
    let calls: [Call<'_>; 1] = [("New-MailContact", &large)];
    let start = async |id: Uuid| session.start(&lab.gateway, id, &calls, Input::None).await;
    let first = Uuid::now_v7();
    assert_eq!(start(first).await, Response::Started { command: first });
    let Response::Fault(fault) = start(Uuid::now_v7()).await else {
        panic!("there is no room for two");
    };
    assert!(fault.text.contains("more bytes"), "{}", fault.text);
    // Nobody asks for the first one's output; the session is in use all the time.
    let deadline = Instant::now() + Duration::from_secs(30);
    while matches!(start(Uuid::now_v7()).await, Response::Fault(_)) {
        assert!(Instant::now() < deadline, "it is not given up");
    }
    let ended = session.end(&lab.gateway, first).await;
    assert_eq!(ended.state, 5);
    assert!(
        ended.error_text().contains("nobody decided its request"),
        "{ended:?}"
    );
    assert!(lab.server.ran().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_it_and_an_approval_later_starts_nothing() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let (id, request) = waiting(&lab, &session).await;
    assert_eq!(
        session.signal(&lab.gateway, id, Signal::Stop).await,
        Response::Signalled
    );
    decide(&lab, "Approve-ElevatedAccessRequest", &request).await;
    assert_eq!(session.end(&lab.gateway, id).await.state, 3);
    assert!(lab.server.ran().is_empty());
    // The control: the grant is there for the next one.
    assert_eq!(
        session.cmdlet(&lab.gateway, "New-Mailbox", &[]).await.state,
        4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_admin_api_the_call_is_blocked_at_once() {
    let lab = Lab::start().await;
    let answer = lab.gateway.invoke("ana", "New-Mailbox", json!({})).await;
    assert_eq!(answer.status, http::StatusCode::FORBIDDEN);
    assert!(
        answer.error().contains("was filed for it: run it again"),
        "{}",
        answer.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_the_server_reaches_the_client_that_waits() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let (id, request) = waiting_with(&lab, &session, &REFUSED).await;
    decide(&lab, "Approve-ElevatedAccessRequest", &request).await;
    let fault = session.fault(&lab.gateway, receive(id)).await;
    assert_eq!(fault.subcode, Subcode::OperationAborted);
    assert!(fault.text.contains("no pipelines today"), "{fault:?}");
    let fault = session.fault(&lab.gateway, receive(id)).await;
    assert!(fault.text.contains("such command"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_for_what_could_not_run_anyway() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let identity = [(Some("Identity"), Item::text("eva"))];
    let calls: [Call<'_>; 2] = [("New-Mailbox", &[]), ("Set-User", &identity)];
    let ended = session.run(&lab.gateway, &calls).await;
    assert_eq!(ended.state, 5);
    for part in ["New-Mailbox needs approval", "Set-User is blocked"] {
        assert!(ended.error_text().contains(part), "{ended:?}");
    }
    let filed = || {
        lab.gateway
            .records()
            .into_iter()
            .filter(|it| it["kind"] == "request.filed")
    };
    assert_eq!(filed().count(), 0);
    // The control: alone it is asked for, and waits.
    waiting(&lab, &session).await;
    assert_eq!(filed().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_denial_or_a_revocation_the_next_block_says_so() {
    for (cmdlets, told) in [
        (&["Deny-ElevatedAccessRequest"][..], "was denied; Get-"),
        (
            &[
                "Approve-ElevatedAccessRequest",
                "Revoke-ElevatedAccessAuthorization",
            ],
            "was approved, and that was revoked; Get-",
        ),
    ] {
        let lab = Lab::start().await;
        let session = lab.open("ana").await;
        let (id, request) = waiting(&lab, &session).await;
        session.signal(&lab.gateway, id, Signal::Stop).await;
        for cmdlet in cmdlets {
            decide(&lab, cmdlet, &request).await;
        }
        let told = format!("its request {request} {told}");
        let ended = session.cmdlet(&lab.gateway, "New-Mailbox", &[]).await;
        assert!(ended.error_text().contains(&told), "{ended:?}");
        let answer = lab.gateway.invoke("ana", "New-Mailbox", json!({})).await;
        assert!(answer.error().contains(&told), "{}", answer.text());
    }
}

/// A request for output that waits for long, and is with the gateway: what it will be answered.
async fn waiting_long<'a>(
    lab: &'a Lab,
    session: &Session,
    id: Uuid,
) -> impl Future<Output = Ended> + use<'a> {
    let mut request = session.request(receive(id));
    request.frame.timeout = Some(Duration::from_mins(1));
    let ask = || Box::pin(lab.gateway.send(Http::One, session.http(&request)));
    // A request is taken once. So when one of two is refused for that, the other waits.
    let (mut first, mut second) = (ask(), ask());
    let (refused, waits) = tokio::select! {
        it = &mut first => (it, second),
        it = &mut second => (it, first),
    };
    let message = request.frame.message;
    let Response::Fault(fault) = read(&refused, message) else {
        panic!("{}", refused.text());
    };
    assert!(fault.text.contains("was here before"), "{fault:?}");
    async move {
        let Response::Received(received) = read(&waits.await, message) else {
            panic!("it has ended");
        };
        Ended::of(&received)
    }
}

/// Has the gateway read its users again, with this instead of the file's text.
pub(super) fn with_users(lab: &Lab, change: impl Fn(&str) -> String) {
    let file = lab.gateway.path("users.toml");
    let users = std::fs::read_to_string(&file).unwrap();
    let changed = change(&users);
    assert_ne!(users, changed);
    std::fs::write(&file, changed).unwrap();
    lab.gateway.signal("HUP");
    lab.gateway.wait_for_log("Reload is done");
}

/// The users without this one.
pub(super) fn without(users: &str, person: &str) -> String {
    let is_of = |it: &&str| it.contains(&upn(person));
    let users = users.split_inclusive("\n\n").filter(|it| !is_of(it));
    users.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_runs_nothing_for_who_may_not_sign_in_any_more() {
    let hash = portcullis::identity::hash_password(&SecretString::from("another")).unwrap();
    let with_another_password = |users: &str| {
        let rest = without(users, "ana");
        let name = upn("ana");
        format!("{rest}[[user]]\nname = \"{name}\"\npassword_hash = \"{hash}\"\n\n")
    };
    let without_ana = |users: &str| without(users, "ana");
    for reason in ["user-gone", "credential-changed"] {
        let lab = Lab::start().await;
        let session = lab.open("ana").await;
        let (id, request) = waiting(&lab, &session).await;
        let waits = waiting_long(&lab, &session, id).await;
        if reason == "user-gone" {
            with_users(&lab, without_ana);
        } else {
            with_users(&lab, with_another_password);
        }
        decide(&lab, "Approve-ElevatedAccessRequest", &request).await;
        let ended = waits.await;
        assert_eq!(ended.state, 5, "{reason}");
        for part in ["did not run, though it was approved", "Sign in again"] {
            assert!(ended.error_text().contains(part), "{ended:?}");
        }
        assert!(lab.server.ran().is_empty(), "{reason}");
        let decisions = lab.decisions("New-Mailbox");
        assert_eq!(decisions.len(), 1, "no use is taken, and nothing allowed");
        let told = lab.gateway.eventually("the record of it", |gateway| {
            let mut records = gateway.records().into_iter();
            records.find(|it| it["kind"] == "sign-in.failed")
        });
        assert_eq!(
            (&told["details"]["reason"], &told["details"]["pipeline"]),
            (&json!(reason), &json!(id.to_string()))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_runs_what_waits_though_other_users_have_changed() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let (id, request) = waiting(&lab, &session).await;
    let waits = waiting_long(&lab, &session, id).await;
    with_users(&lab, |users| without(users, "sys1"));
    decide(&lab, "Approve-ElevatedAccessRequest", &request).await;
    assert_eq!(waits.await.state, 4);
    assert_eq!(lab.server.ran(), ["New-Mailbox"]);
}
