//! What goes into a session goes on in its order, and waits for what came before it.

use portcullis::dialect::psrp::soap::Response;
use uuid::Uuid;

use super::client::{Call, Input, Session};
use super::server::Weakness;
use super::{Lab, MORE};
use crate::gateway::POLICIES;

const SLOW: [Call<'static>; 1] = [("Test-Slow", &[])];
const READ: [Call<'static>; 1] = [("Get-Mailbox", &[])];
const FORBIDDEN: &str = "[[policy]]\ntask = 'Exchange\\Get-Mailbox'\napproval = \"never\"\n";

/// A pipeline of a lane that all these share.
fn of_one_lane() -> Uuid {
    Uuid::from_u128(Uuid::now_v7().as_u128() & !0xf)
}

/// A pipeline that takes input, of which the server holds the answer.
async fn with_input_under_way(lab: &Lab, session: &Session) -> Uuid {
    let id = of_one_lane();
    let started = session.start(&lab.gateway, id, &SLOW, Input::Follows).await;
    assert_eq!(started, Response::Started { command: id });
    lab.server.weaken(Weakness::HoldsInput);
    id
}

async fn server_was_told(lab: &Lab, what: &str) {
    while lab.server.journal().last().is_none_or(|it| it != what) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_its_turn_is_decided_by_the_policies_of_that_moment() {
    let lab = Lab::start().await;
    let (session, other) = (lab.open("ana").await, lab.open("ana").await);
    let slow = with_input_under_way(&lab, &session).await;
    let late = of_one_lane();
    let change = async {
        lab.gateway
            .write_policies(&format!("{POLICIES}{MORE}{FORBIDDEN}"));
        lab.gateway.signal("HUP");
        while other.run(&lab.gateway, &READ).await.state == 4 {}
        lab.server.release();
    };
    let after_it = async {
        server_was_told(&lab, "input one").await;
        tokio::join!(
            session.start(&lab.gateway, late, &READ, Input::None),
            change
        )
    };
    let (sent, (_, ())) = tokio::join!(session.input(&lab.gateway, slow, &["one"]), after_it);
    assert_eq!(sent, Response::Sent);
    assert_eq!(session.end(&lab.gateway, late).await.state, 5);
    let records = lab.decisions("Get-Mailbox");
    let late = late.to_string();
    let its: Vec<_> = records
        .iter()
        .filter(|it| it["client_request_id"] == late.as_str())
        .collect();
    let last = records.iter().find(|it| it["verdict"] == "block").unwrap();
    assert_eq!(its.len(), 1);
    assert_eq!(its[0]["verdict"], "block");
    assert_eq!(its[0]["policy_set"], last["policy_set"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_begins_for_a_client_that_left_before_its_turn() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let slow = with_input_under_way(&lab, &session).await;
    let held = session.input(&lab.gateway, slow, &["one"]);
    let leaves = async {
        server_was_told(&lab, "input one").await;
        let left = of_one_lane();
        let other = Uuid::from_u128(of_one_lane().as_u128() | 1);
        tokio::select! {
            answer = session.start(&lab.gateway, left, &READ, Input::None) => panic!("{answer:?}"),
            // Another lane is free. When this has run, that before it is known to wait.
            _ = session.start(&lab.gateway, other, &[("Get-User", &[])], Input::None) => {}
        }
        lab.server.release();
    };
    let (sent, ()) = tokio::join!(held, leaves);
    assert_eq!(sent, Response::Sent);
    // The lane is free again, and what left it was never decided on.
    let next = of_one_lane();
    session.start(&lab.gateway, next, &READ, Input::None).await;
    assert_eq!(session.end(&lab.gateway, next).await.state, 4);
    assert_eq!(lab.decisions("Get-Mailbox").len(), 1);
}
