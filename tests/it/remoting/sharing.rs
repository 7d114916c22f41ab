//! In front of a server that speaks HTTP/2: who waits for output keeps nobody else waiting.

use std::time::Duration;

use portcullis::dialect::psrp::soap::{Operation, Response, Signal, Subcode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use super::client::{Call, Input, Session, read, receive};
use super::server::{Server, Weakness};
use super::{Lab, OWN};
use crate::client::{Answer, Http, send};
use crate::gateway::PATIENCE;

/// How many requests of one person wait at the server: half of the 32 connections of the gateway's one worker, each with one request.
const SHARE: usize = 16;

const SILENCE: [Call<'static>; 1] = [("Test-Silence", &[])];
const GOVERNED: [Call<'static>; 1] = [("Remove-Silence", &[])];

async fn lab() -> Lab {
    Lab::in_front_of(Server::http2(1).await, OWN, "workers = 1", "").await
}

/// How many requests the server lets wait.
fn silent(lab: &Lab) -> usize {
    let journal = lab.server.journal();
    journal.iter().filter(|it| *it == "silence").count()
}

async fn until_silent(lab: &Lab, count: usize) {
    let there = async {
        while silent(lab) < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, there).await.unwrap();
}

async fn start(lab: &Lab, session: &Session, calls: &[Call<'_>]) -> Uuid {
    let id = Uuid::now_v7();
    let started = session.start(&lab.gateway, id, calls, Input::None).await;
    assert_eq!(started, Response::Started { command: id });
    id
}

/// So many requests at once, of a client that waits longer than the test lasts.
pub(super) fn ask_often(
    lab: &Lab,
    session: &Session,
    count: usize,
    operation: &Operation,
    into: &mut JoinSet<Answer>,
) {
    for _ in 0..count {
        let mut request = session.request(operation.clone());
        request.frame.timeout = Some(Duration::from_mins(10));
        let http = session.http(&request);
        let (proxy, ca) = (lab.gateway.proxy(), lab.gateway.path("certs/ca.pem"));
        into.spawn(async move { send(proxy, &ca, Http::One, http).await });
    }
}

/// Waits for output that take all that their person may have.
async fn fill(lab: &Lab, session: &Session, into: &mut JoinSet<Answer>) -> Uuid {
    let silent = start(lab, session, &SILENCE).await;
    ask_often(lab, session, 3 * SHARE, &receive(silent), into);
    until_silent(lab, SHARE).await;
    silent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_do_and_what_ends_things_does_not_wait_for_one_persons_waits() {
    let lab = lab().await;
    let (session, mut waits) = (lab.open("ana").await, JoinSet::new());
    fill(&lab, &session, &mut waits).await;
    // Another person works, waits for output included, and so does ana where nothing waits.
    let other = lab.open("bo").await;
    let ended = other.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await;
    assert_eq!(ended.state, 4);
    lab.close(&other).await;
    // A signal and the end of the session come through.
    let id = start(&lab, &session, &SILENCE).await;
    let signalled = session.signal(&lab.gateway, id, Signal::Terminate).await;
    assert_eq!(signalled, Response::Signalled);
    assert_eq!(silent(&lab), SHARE);
    lab.close(&session).await;
    assert_eq!(lab.server.shells(), 0);
    assert!(lab.server.connections() < 2 * SHARE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_ends_the_pipeline_of_one_who_waits_for_all_that_may_wait() {
    let lab = lab().await;
    let task = "Exchange\\Remove-Silence";
    let request = lab.gateway.grant("ana", task, "amy").await;
    let (session, mut waits) = (lab.open("ana").await, JoinSet::new());
    let id = start(&lab, &session, &GOVERNED).await;
    let revoke = async {
        until_silent(&lab, 1).await;
        fill(&lab, &lab.open("ana").await, &mut waits).await;
        let parameters = json!({"RequestId": request});
        let revoked = lab
            .gateway
            .invoke("amy", "Revoke-ElevatedAccessAuthorization", parameters)
            .await;
        assert!(revoked.status.is_success(), "{}", revoked.text());
    };
    let (ended, ()) = tokio::join!(session.end(&lab.gateway, id), revoke);
    assert_eq!(ended.state, 5);
    let journal = lab.server.journal();
    assert!(
        journal.ends_with(&["stop".to_owned(), "terminate".to_owned()]),
        "{journal:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_does_not_wait_for_what_its_person_ends_without_being_answered() {
    let lab = lab().await;
    let task = "Exchange\\Remove-Silence";
    let request = lab.gateway.grant("ana", task, "amy").await;
    let (session, mut signals) = (lab.open("ana").await, JoinSet::new());
    let id = start(&lab, &session, &GOVERNED).await;
    let revoke = async {
        until_silent(&lab, 1).await;
        let ending = start(&lab, &session, &SILENCE).await;
        lab.server.weaken(Weakness::IgnoresSignals);
        let signal = Operation::Signal {
            command: ending,
            signal: Signal::Terminate,
        };
        ask_often(&lab, &session, 20, &signal, &mut signals);
        until_silent(&lab, 3).await;
        lab.server.weaken(Weakness::None);
        let parameters = json!({"RequestId": request});
        let revoked = lab
            .gateway
            .invoke("amy", "Revoke-ElevatedAccessAuthorization", parameters)
            .await;
        assert!(revoked.status.is_success(), "{}", revoked.text());
    };
    let (ended, ()) = tokio::join!(session.end(&lab.gateway, id), revoke);
    assert_eq!(ended.state, 5);
    let journal = lab.server.journal();
    assert!(
        journal.ends_with(&["stop".to_owned(), "terminate".to_owned()]),
        "{journal:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_has_no_turn_in_time_is_told_that_there_is_no_output_yet() {
    let lab = lab().await;
    let (session, mut waits) = (lab.open("ana").await, JoinSet::new());
    let silent_one = fill(&lab, &session, &mut waits).await;
    let mut request = session.request(receive(silent_one));
    request.frame.timeout = Some(Duration::from_millis(200));
    let answer = lab.gateway.send(Http::One, session.http(&request)).await;
    let Response::Fault(fault) = read(&answer, request.frame.message) else {
        panic!("{}", answer.text());
    };
    assert_eq!(fault.subcode, Subcode::TimedOut);
    assert_eq!(silent(&lab), SHARE);
    // When its clients have gone away, it has its turn again.
    waits.abort_all();
    while waits.join_next().await.is_some() {}
    let finished = start(&lab, &session, &[("Get-Mailbox", &[])]).await;
    assert_eq!(session.end(&lab.gateway, finished).await.state, 4);
}
