//! Grants that are not there, not this caller's, not for this command, or no longer.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use super::catalogue::{Catalogue, Outcome, REMOVE, Raw};
use crate::client::{Http, command, connect, invoke_path, request};
use crate::gateway::{Gateway, POLICIES, Setup};

use Outcome::{ArrivesBy, Blocked};

const GOVERNED: Outcome<'static> = Blocked("needs-approval");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_is_good_for_its_holder_its_task_and_its_policy_alone() {
    let mut catalogue = Catalogue::open(Setup::default()).await;
    let id = catalogue
        .gateway
        .grant("ana", r"Exchange\Remove-Mailbox", "amy")
        .await;
    catalogue.skip_records();
    let granted = ArrivesBy("granted", REMOVE);
    let other = command("Remove-MoveRequest", json!({"Identity": "eva"})).to_string();
    let lower = REMOVE.replace("Remove-Mailbox", "remove-mailbox");
    let remove = Raw::invoke(REMOVE);
    for (trick, request, outcome) in [
        ("control", remove.clone(), granted),
        (
            "control: name in another case",
            Raw::invoke(lower.as_str()),
            ArrivesBy("granted", &lower),
        ),
        ("somebody else's", remove.clone().by("ivy"), GOVERNED),
        ("the approver's", remove.clone().by("amy"), GOVERNED),
        (
            "somebody else's, with the holder as anchor",
            remove
                .clone()
                .by("ivy")
                .line("X-AnchorMailbox: UPN:ana@contoso.example"),
            GOVERNED,
        ),
        (
            "somebody else's, with the request's id",
            remove
                .clone()
                .by("ivy")
                .line(format!("client-request-id: {id}")),
            GOVERNED,
        ),
        (
            "another task of the same policy",
            Raw::invoke(other),
            GOVERNED,
        ),
        (
            "another task whose name begins so",
            Raw::invoke(REMOVE.replace("Remove-Mailbox", "Remove-MailboxPermission")),
            GOVERNED,
        ),
        (
            "what is never allowed",
            Raw::invoke(command("New-JournalRule", json!({"Name": "x"})).to_string()),
            Blocked("never"),
        ),
    ] {
        catalogue.attempt(trick, &request, outcome).await;
    }

    // A policy that governs the task more closely is not bypassed by a grant of the wider one.
    let closer = format!(
        "{POLICIES}\n[[policy]]\ntask = 'Exchange\\Remove-Mailbox'\napproval = \"manual\"\napprovers = [\"mbmanagers\"]\n"
    );
    for (trick, policies, outcome) in [
        ("a closer policy", closer.as_str(), GOVERNED),
        ("control: the old policies again", POLICIES, granted),
    ] {
        catalogue.gateway.write_policies(policies);
        catalogue.gateway.wait_for_log("Policies are in force");
        catalogue.attempt(trick, &remove, outcome).await;
    }
    let never = POLICIES.replace(
        "task = 'Exchange\\Remove-*'\napproval = \"manual\"\napprovers = [\"mbmanagers\"]",
        "task = 'Exchange\\Remove-*'\napproval = \"never\"",
    );
    catalogue.gateway.write_policies(&never);
    catalogue.gateway.wait_for_log("Policies are in force");
    catalogue
        .attempt("a policy that now says never", &remove, Blocked("never"))
        .await;
    catalogue.gateway.write_policies(POLICIES);
    catalogue.gateway.wait_for_log("Policies are in force");

    revoke(&catalogue.gateway, &id).await;
    catalogue.skip_records();
    catalogue.attempt("revoked", &remove, GOVERNED).await;
    catalogue.close(&["Remove-Mailbox"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_grant_ends_under_open_connections() {
    let gateway = Gateway::start().await;
    let ca = gateway.path("certs/ca.pem");
    let stream = TokioIo::new(connect(gateway.proxy(), &ca, Http::One).await);
    let (mut one, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let stream = TokioIo::new(connect(gateway.proxy(), &ca, Http::Two).await);
    let (mut two, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let call = |base: &str| -> Request<Full<Bytes>> {
        let mut call = request(
            "ana",
            Method::POST,
            &format!("{base}{}", invoke_path()),
            REMOVE,
        );
        call.headers_mut()
            .insert("host", "localhost".parse().unwrap());
        call
    };
    for round in 0..3 {
        let id = gateway
            .grant("ana", r"Exchange\Remove-Mailbox", "amy")
            .await;
        let ran = gateway.ran().len();
        for expected in [StatusCode::OK, StatusCode::FORBIDDEN] {
            let answer = one.send_request(call("")).await.unwrap();
            let status = answer.status();
            answer.into_body().collect().await.unwrap();
            // The mailbox is there in the first round alone; the upstream is asked in each.
            assert_eq!(
                status == StatusCode::FORBIDDEN,
                expected == StatusCode::FORBIDDEN,
                "HTTP/1.1, round {round}"
            );
            let status = two
                .send_request(call("https://localhost"))
                .await
                .unwrap()
                .status();
            assert_eq!(
                status == StatusCode::FORBIDDEN,
                expected == StatusCode::FORBIDDEN,
                "HTTP/2, round {round}"
            );
            if expected == StatusCode::OK {
                revoke(&gateway, &id).await;
            }
        }
        assert_eq!(gateway.ran().len(), ran + 2, "round {round}");
    }
}

async fn revoke(gateway: &Gateway, id: &str) {
    let revoked = gateway
        .invoke(
            "bo",
            "Revoke-ElevatedAccessAuthorization",
            json!({"RequestId": id}),
        )
        .await;
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text());
}
