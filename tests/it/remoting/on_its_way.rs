//! What was decided and waits: for a place on a connection, for what goes up before it, or for the answer to a start.

use portcullis::dialect::psrp::soap::{Operation, Response, Subcode};
use serde_json::Value;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;
use uuid::Uuid;

use super::client::{Call, Input};
use super::server::{Server, Weakness};
use super::sharing::ask_often;
use super::unasked::revoke;
use super::{Lab, OWN};
use crate::client::Answer;
use crate::gateway::PATIENCE;

const REMOVE: [Call<'static>; 1] = [("Remove-Waiting", &[])];
const GET: [Call<'static>; 1] = [("Get-Mailbox", &[])];
const TASK: &str = "Exchange\\Remove-Waiting";

/// The connections of the gateway's one worker for ordinary calls, each with one request.
const PLACES: u128 = 8;

async fn narrow_lab() -> Lab {
    Lab::in_front_of(Server::http2(1).await, OWN, "workers = 1", "").await
}

pub(super) async fn until(is_so: impl Fn() -> bool) {
    let there = async {
        while !is_so() {
            yield_now().await;
        }
    };
    timeout(PATIENCE, there).await.unwrap();
}

fn inputs(lab: &Lab) -> usize {
    let journal = lab.server.journal();
    journal.iter().filter(|it| it.starts_with("input")).count()
}

/// Input of another person takes all places, until the server is released.
async fn fill(lab: &Lab, waits: &mut JoinSet<Answer>) {
    let session = lab.open("bo").await;
    let mut pipelines = Vec::new();
    for number in 0..PLACES {
        // Each has a lane of its own.
        let id = Uuid::from_u128((Uuid::now_v7().as_u128() & !15) + number);
        session.start(&lab.gateway, id, &GET, Input::Follows).await;
        pipelines.push(id);
    }
    lab.server.weaken(Weakness::HoldsInput);
    for id in &pipelines {
        ask_often(lab, &session, 1, &session.values(*id, &["x"]), waits);
    }
    until(|| inputs(lab) == pipelines.len()).await;
}

fn outcome(lab: &Lab, decision: &Value) -> String {
    lab.outcome(decision)["result"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_place_does_not_begin_when_its_grant_is_revoked() {
    let (lab, mut waits) = (narrow_lab().await, JoinSet::new());
    let session = lab.open("ana").await;
    let request = lab.gateway.grant("ana", TASK, "amy").await;
    fill(&lab, &mut waits).await;
    let id = Uuid::now_v7();
    let revoked = async {
        until(|| !lab.decisions("Remove-Waiting").is_empty()).await;
        revoke(&lab, &request).await;
    };
    let (started, ()) = tokio::join!(
        session.start(&lab.gateway, id, &REMOVE, Input::None),
        revoked
    );
    assert_eq!(started, Response::Started { command: id });
    let ended = session.end(&lab.gateway, id).await;
    assert!(ended.error_text().contains("needs approval"), "{ended:?}");
    let records = lab.decisions("Remove-Waiting");
    let verdicts: Vec<_> = records.iter().map(|it| &it["verdict"]).collect();
    assert_eq!(verdicts, ["allow", "block"]);
    assert_eq!(outcome(&lab, &records[0]), "not-run");
    lab.server.release();
    // What comes after it does run, when there is room.
    let ended = session.cmdlet(&lab.gateway, "Get-User", &[]).await;
    assert_eq!(ended.state, 4);
    let ran = lab.server.ran();
    assert!(!ran.contains(&"Remove-Waiting".to_owned()), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_waits_for_a_place_goes_nowhere_when_its_session_is_closed() {
    let (lab, mut waits) = (narrow_lab().await, JoinSet::new());
    let session = lab.open("ana").await;
    let id = Uuid::now_v7();
    session.start(&lab.gateway, id, &GET, Input::Follows).await;
    fill(&lab, &mut waits).await;
    let before = lab.decisions("Get-Mailbox").len();
    let closed = async {
        until(|| lab.decisions("Get-Mailbox").len() > before).await;
        lab.close(&session).await;
    };
    let (sent, ()) = tokio::join!(session.input(&lab.gateway, id, &["mine"]), closed);
    let Response::Fault(fault) = sent else {
        panic!("{sent:?}");
    };
    assert_eq!(fault.subcode, Subcode::InvalidSelectors);
    let records = lab.decisions("Get-Mailbox");
    assert_eq!(outcome(&lab, &records[before]), "not-run");
    // Nothing of the old session is on its way, so its id may be had again.
    lab.server.release();
    let opened = session.create(&lab.gateway).await;
    assert!(matches!(opened, Response::Created { .. }), "{opened:?}");
    session.start(&lab.gateway, id, &GET, Input::Follows).await;
    session.end_input(&lab.gateway, id).await;
    let ended = session.end(&lab.gateway, id).await;
    assert_eq!(ended.texts, ["Get-Mailbox"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_stops_input_between_its_payloads() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let request = lab.gateway.grant("ana", TASK, "amy").await;
    let id = Uuid::now_v7();
    session
        .start(&lab.gateway, id, &REMOVE, Input::Follows)
        .await;
    lab.server.weaken(Weakness::HoldsInput);
    // Each of these takes a payload of its own.
    let values = ["a", "b", "c"].map(|it| it.repeat(60_000));
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let revoked = async {
        until(|| inputs(&lab) > 0).await;
        revoke(&lab, &request).await;
        lab.server.release();
    };
    let (_, ()) = tokio::join!(session.input(&lab.gateway, id, &values), revoked);
    let ended = session.end(&lab.gateway, id).await;
    assert!(ended.error_text().contains("needs approval"), "{ended:?}");
    assert_eq!(inputs(&lab), 1);
    let records = lab.decisions("Remove-Waiting");
    let verdicts: Vec<_> = records.iter().map(|it| &it["verdict"]).collect();
    assert_eq!(verdicts[0], "allow");
    let blocks = verdicts.iter().filter(|it| **it == "block");
    assert_eq!(blocks.count(), 1);
    let told = lab.server.journal();
    assert!(told.contains(&"terminate".to_owned()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_ends_what_runs_before_the_server_says_that_it_does() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let request = lab.gateway.grant("ana", TASK, "amy").await;
    lab.server.weaken(Weakness::HoldsStarts);
    let id = Uuid::now_v7();
    let revoked = async {
        until(|| !lab.server.ran().is_empty()).await;
        revoke(&lab, &request).await;
        until(|| {
            let told = lab.server.journal();
            told.contains(&"terminate".to_owned())
        })
        .await;
        lab.server.release();
    };
    let (started, ()) = tokio::join!(
        session.start(&lab.gateway, id, &REMOVE, Input::None),
        revoked
    );
    assert_eq!(started, Response::Started { command: id });
    let ended = session.end(&lab.gateway, id).await;
    assert!(ended.error_text().contains("needs approval"), "{ended:?}");
    let records = lab.decisions("Remove-Waiting");
    let verdicts: Vec<_> = records.iter().map(|it| &it["verdict"]).collect();
    assert_eq!(verdicts, ["allow", "block"]);
    assert_eq!(outcome(&lab, &records[0]), "not-fetched");
    lab.close(&session).await;
    let operation = Operation::Delete;
    let fault = session.fault(&lab.gateway, operation).await;
    assert_eq!(fault.subcode, Subcode::InvalidSelectors);
}
