//! What is bounded, what is refused, and how sessions end.

use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use portcullis::dialect::psrp::clixml::Item;
use portcullis::dialect::psrp::fragment;
use portcullis::dialect::psrp::soap::{Operation, Response, Signal, Subcode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::Lab;
use super::client::{Call, Input, Session, receive};
use super::on_its_way::until;
use super::server::Weakness;
use crate::client::{Http, connect, try_connect};
use crate::gateway::basic;

const GET: [Call<'static>; 1] = [("Get-Mailbox", &[])];
const WAIT: [Call<'static>; 1] = [("Wait-Release", &[])];
const SILENCE: [Call<'static>; 1] = [("Test-Silence", &[])];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_pipelines_and_what_they_hold_are_bounded() {
    let lab = Lab::with(
        "remoting = { shells_per_principal = 2, shells = 3, pipelines_per_shell = 2, reassembly = \"64 KiB\" }",
    )
    .await;
    let first = lab.open("ana").await;
    let second = lab.open("ana").await;
    let third = Session::closed("ana");
    let Response::Fault(fault) = third.create(&lab.gateway).await else {
        panic!("there are too many");
    };
    assert_eq!(fault.subcode, Subcode::QuotaLimit);
    assert!(
        fault.text.contains("you have 2 sessions open"),
        "{}",
        fault.text
    );
    lab.close(&second).await;
    let again = lab.open("ana").await;
    lab.open("amy").await;
    let Response::Fault(fault) = Session::closed("bo").create(&lab.gateway).await else {
        panic!("there are too many");
    };
    assert!(fault.text.contains("remoting.shells"), "{}", fault.text);
    // An id that is taken is taken, whoever has it.
    let Response::Fault(fault) = again.create(&lab.gateway).await else {
        panic!("it is there");
    };
    assert!(fault.text.contains("another"), "{}", fault.text);

    let ids = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    for id in &ids[..2] {
        first.start(&lab.gateway, *id, &GET, Input::Follows).await;
    }
    let fault = first
        .fault(&lab.gateway, first.command(ids[2], &GET, Input::None))
        .await;
    assert!(fault.text.contains("too many commands"), "{}", fault.text);
    let large = fragment::write(7, &vec![0; 100_000], 70_000)[0].clone();
    let Response::Fault(fault) = first.send(&lab.gateway, ids[0], large).await else {
        panic!("it is too much");
    };
    assert!(fault.text.contains("more bytes"), "{}", fault.text);
    first.end_input(&lab.gateway, ids[1]).await;
    assert_eq!(first.end(&lab.gateway, ids[1]).await.state, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_with_several_accounts_has_no_more_sessions_than_another() {
    let lab = Lab::with("remoting = { shells_per_principal = 1 }").await;
    lab.open("ana").await;
    lab.open("bo").await;
    let Response::Fault(fault) = Session::closed("sys1").create(&lab.gateway).await else {
        panic!("bo has one, under another account");
    };
    assert!(fault.text.contains("you have 1 sessions"), "{}", fault.text);
    // The control: another person.
    lab.open("amy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_nobody_uses_is_closed_here_and_upstream() {
    let lab = Lab::with("remoting = { idle = \"10s\" }").await;
    let session = lab.open("ana").await;
    let id = Uuid::now_v7();
    session.start(&lab.gateway, id, &GET, Input::Follows).await;
    assert!(metric(&lab, "portcullis_shells").ends_with(" 1"));
    assert!(metric(&lab, "portcullis_pipelines").ends_with(" 1"));
    let ended = lab.gateway.eventually("the session's end", |gateway| {
        let mut records = gateway.records().into_iter();
        records.find(|it| it["kind"] == "session.ended")
    });
    assert_eq!(
        (&ended["details"]["why"], &ended["principal"]["name"]),
        (&json!("idle"), &json!("ana@contoso.example"))
    );
    assert_eq!(
        lab.outcome(&lab.decisions("Get-Mailbox")[0])["result"],
        "client-gone"
    );
    lab.gateway.eventually("the end upstream", |_| {
        (lab.server.journal().last()? == "delete").then_some(())
    });
    let fault = session.fault(&lab.gateway, receive(id)).await;
    assert!(fault.text.contains("open a new session"), "{}", fault.text);
    let requests = |status: &str| {
        let (_, page) = lab.gateway.ask_control("/metrics");
        let series =
            format!("portcullis_requests_total{{endpoint=\"/powershell\",status=\"{status}\"}}");
        let line = page.lines().find(|it| it.starts_with(&series));
        line.unwrap_or_else(|| panic!("{page}")).to_owned()
    };
    assert!(requests("4xx").ends_with(" 1") && requests("5xx").ends_with(" 0"));
    assert!(metric(&lab, "portcullis_shells").ends_with(" 0"));
    assert!(metric(&lab, "portcullis_pipelines").ends_with(" 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_the_server_has_lost_a_session_is_on_record() {
    let lab = Lab::start().await;
    let (closed, lost) = (lab.open("ana").await, lab.open("ana").await);
    lab.close(&closed).await;
    lab.server.forget();
    let wait = Operation::Receive {
        command: None,
        keep_alive: false,
    };
    lost.fault(&lab.gateway, wait).await;
    let ended = || {
        let records = lab.gateway.records().into_iter();
        let ended = records.filter(|it| it["kind"] == "session.ended");
        ended.map(|it| it["details"].clone()).collect::<Vec<_>>()
    };
    lab.gateway
        .eventually("the session's end", |_| (!ended().is_empty()).then_some(()));
    let details = &ended()[0];
    assert_eq!(
        (&details["why"], &details["shell"]),
        (&json!("lost-by-server"), &json!(lost.shell.to_string()))
    );
    // The control: what its client closed is a call of the client's.
    assert_eq!(ended().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_client_closes_is_not_lost_by_the_server_whoever_hears_of_it_first() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    lab.server.weaken(Weakness::ClosesSlowly);
    let wait = Operation::Receive {
        command: None,
        keep_alive: false,
    };
    let told = |what: &str| lab.server.journal().last().is_some_and(|it| it == what);
    let heard = async {
        session.fault(&lab.gateway, wait).await;
        lab.server.release();
    };
    let closed = async {
        until(|| told("wait")).await;
        lab.close(&session).await;
    };
    tokio::join!(heard, closed);
    // Records are in their order: what comes with the next call is behind what there was to tell.
    lab.server.weaken(Weakness::None);
    lab.close(&lab.open("ana").await).await;
    let mut records = lab.gateway.records().into_iter();
    assert!(!records.any(|it| it["kind"] == "session.ended"));
    // The control: it is gone, and there is room for another.
    assert!(metric(&lab, "portcullis_shells").ends_with(" 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_a_server_fails_to_close_is_closed_there_later() {
    let lab = Lab::with("remoting = { idle = \"10s\" }").await;
    let idle = lab.open("ana").await;
    let id = Uuid::now_v7();
    idle.start(&lab.gateway, id, &WAIT, Input::None).await;
    lab.server.weaken(Weakness::FailsToClose);
    // It is asked again and again, and nobody opens another session under the id meanwhile, which that would close.
    lab.gateway.eventually("two tries", |_| {
        let journal = lab.server.journal();
        let tries = journal.iter().filter(|it| *it == "no close");
        (tries.count() >= 2).then_some(())
    });
    assert_eq!(lab.server.shells(), 1);
    let answer = reopened(&lab, &idle).await;
    assert!(matches!(answer, Response::Fault(_)), "{answer:?}");
    lab.server.weaken(Weakness::None);
    lab.gateway.eventually("the end upstream", |_| {
        (lab.server.shells() == 0).then_some(())
    });
    assert_eq!(lab.server.journal().last().unwrap(), "delete");
    let answer = reopened(&lab, &idle).await;
    assert_eq!(answer, Response::Created { shell: idle.shell });
}

fn metric(lab: &Lab, name: &str) -> String {
    let (_, page) = lab.gateway.ask_control("/metrics");
    let found = page
        .lines()
        .find(|it| it.starts_with(name) && it.contains("/powershell"));
    found.unwrap_or_else(|| panic!("{page}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_a_session_is_not_there_and_a_new_one_is_welcome() {
    let mut lab = Lab::start().await;
    let session = lab.open("ana").await;
    lab.gateway.kill();
    lab.gateway.restart();
    let fault = session.fault(&lab.gateway, receive(Uuid::now_v7())).await;
    assert_eq!(fault.subcode, Subcode::InvalidSelectors);
    assert!(fault.text.contains("open a new session"), "{}", fault.text);
    let session = lab.open("ana").await;
    assert_eq!(
        session.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await.state,
        4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_tells_those_who_wait_and_closes_sessions_upstream() {
    let mut lab = Lab::start().await;
    let session = lab.open("ana").await;
    let id = Uuid::now_v7();
    session.start(&lab.gateway, id, &SILENCE, Input::None).await;
    let waiting = session.fault(&lab.gateway, receive(id));
    let stop = async {
        wait_for(&lab, "silence").await;
        lab.gateway.signal("TERM");
    };
    let (fault, ()) = tokio::join!(waiting, stop);
    assert_eq!(fault.subcode, Subcode::OperationAborted);
    assert!(
        fault.text.contains("the gateway is stopping"),
        "{}",
        fault.text
    );
    assert!(lab.gateway.wait().success());
    assert_eq!(lab.server.journal().last().unwrap(), "delete");
    assert_eq!(lab.server.shells(), 0);
    assert_eq!(
        lab.outcome(&lab.decisions("Test-Silence")[0])["result"],
        "client-gone"
    );
    let last = lab.gateway.records().pop().unwrap();
    assert_eq!(last["kind"], "gateway.stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_does_not_keep_the_gateway_from_stopping() {
    let mut lab = Lab::with_proxy("timeouts = { drain = \"1s\" }", "").await;
    lab.open("ana").await;
    lab.server.weaken(Weakness::Hangs);
    let began = Instant::now();
    lab.gateway.signal("TERM");
    assert!(lab.gateway.wait().success());
    // One session alone is waited for ten seconds otherwise.
    assert!(began.elapsed() < Duration::from_secs(8));
    assert_eq!(lab.server.journal().last().unwrap(), "silence");
    let records = lab.gateway.records();
    let kinds: Vec<_> = records.iter().map(|it| it["kind"].as_str()).collect();
    assert!(
        kinds.ends_with(&[Some("session.ended"), Some("gateway.stopped")]),
        "{kinds:?}"
    );
}

/// A connection's beginning, after which nothing more comes: no TLS, nothing in it, half of a head, or nothing after the preface.
async fn silent(lab: &Lab) -> Vec<Box<dyn std::any::Any>> {
    let ca = lab.gateway.path("certs/ca.pem");
    let proxy = lab.gateway.proxy();
    let bare = TcpStream::connect(proxy).await.unwrap();
    let empty = connect(proxy, &ca, Http::One).await;
    let mut half = connect(proxy, &ca, Http::One).await;
    half.write_all(b"POST /PowerShell/ HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let mut preface = connect(proxy, &ca, Http::Two).await;
    preface
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    // The gateway's own settings show that it has read them.
    preface.read_u8().await.unwrap();
    vec![
        Box::new(bare),
        Box::new(empty),
        Box::new(half),
        Box::new(preface),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_does_not_keep_a_stop_from_closing_sessions() {
    let mut lab = Lab::with_proxy("timeouts = { drain = \"120s\" }", "").await;
    lab.open("ana").await;
    let kept = silent(&lab).await;
    let began = Instant::now();
    lab.gateway.signal("TERM");
    assert!(lab.gateway.wait().success());
    assert!(began.elapsed() < Duration::from_mins(1));
    assert_eq!(lab.server.shells(), 0);
    drop(kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_lasts_to_the_end_of_the_drain_leaves_time_to_close_sessions() {
    let mut lab = Lab::with_proxy("timeouts = { drain = \"4s\" }", "").await;
    let session = lab.open("ana").await;
    lab.server.weaken(Weakness::HoldsInput);
    let id = Uuid::now_v7();
    let slow: [Call<'_>; 1] = [("Test-Slow", &[])];
    let stop = async {
        wait_for(&lab, "input one").await;
        lab.gateway.signal("TERM");
    };
    session.start(&lab.gateway, id, &slow, Input::Follows).await;
    tokio::select! {
        sent = session.input(&lab.gateway, id, &["one"]) => panic!("{sent:?}"),
        () = stop => {}
    }
    assert!(lab.gateway.wait().success());
    assert_eq!(lab.server.journal().last().unwrap(), "delete");
    assert_eq!(lab.server.shells(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_opening_is_lost_is_closed_upstream() {
    let lab = Lab::with("remoting = { shells_per_principal = 1 }").await;
    lab.server.weaken(Weakness::LosesCreation);
    let Response::Fault(fault) = Session::closed("ana").create(&lab.gateway).await else {
        panic!("the server has not said so");
    };
    assert_eq!(fault.subcode, Subcode::InternalError);
    assert_eq!(lab.server.journal(), ["create", "delete"]);
    assert_eq!(lab.server.shells(), 0);
    lab.server.weaken(Weakness::None);
    lab.open("ana").await;
}

/// What a client reads that opens a session under the id of one that has ended.
async fn reopened(lab: &Lab, session: &Session) -> Response {
    let answer = session.create(&lab.gateway).await;
    if let Response::Fault(fault) = &answer {
        assert!(
            fault.text.contains("open one with another id"),
            "{}",
            fault.text
        );
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_of_a_session_that_left_something_unanswered_is_not_opened_again_by_anybody() {
    let lab = Lab::start().await;
    let calls: [Call<'_>; 1] = [("Test-Death", &[])];
    let session = lab.open("ana").await;
    // A start that the server did not answer may reach it after the session's end.
    let fault = session.fault(
        &lab.gateway,
        session.command(Uuid::now_v7(), &calls, Input::None),
    );
    assert_eq!(fault.await.subcode, Subcode::InternalError);
    lab.close(&session).await;
    let before = lab.server.journal();
    for person in ["ana", "amy"] {
        let again = Session {
            person,
            ..session.clone()
        };
        let answer = reopened(&lab, &again).await;
        assert!(matches!(answer, Response::Fault(_)), "{answer:?}");
    }
    // So may an opening.
    lab.server.weaken(Weakness::LosesCreation);
    let lost = Session::closed("ana");
    lost.create(&lab.gateway).await;
    lab.server.weaken(Weakness::None);
    let answer = reopened(&lab, &lost).await;
    assert!(matches!(answer, Response::Fault(_)), "{answer:?}");
    assert_eq!(lab.server.journal()[before.len()..], ["create", "delete"]);
    // The controls: another id, and that of a session of which all was answered.
    let other = lab.open("ana").await;
    assert_eq!(
        other.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await.state,
        4
    );
    lab.close(&other).await;
    let answer = reopened(&lab, &other).await;
    assert_eq!(answer, Response::Created { shell: other.shell });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_person_so_many_sessions_that_left_something_unanswered_are_remembered() {
    let lab = Lab::with("remoting = { shells_per_principal = 1 }").await;
    lab.server.weaken(Weakness::LosesCreation);
    let text = async |person| {
        let Response::Fault(fault) = Session::closed(person).create(&lab.gateway).await else {
            panic!("the server has not said so");
        };
        fault.text
    };
    for tries in 1..=17 {
        let is_too_many = text("ana")
            .await
            .contains("too many of your sessions ended");
        assert_eq!(is_too_many, tries == 17, "{tries}");
    }
    assert_eq!(lab.server.journal().len(), 2 * 16);
    // The control: others go on.
    assert!(!text("amy").await.contains("too many"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nothing_can_be_on_its_way_any_more_an_id_is_as_good_as_another() {
    let lab = Lab::with_proxy(
        "timeouts = { upstream = \"1s\" }",
        "remoting = { idle = \"10s\" }",
    )
    .await;
    lab.server.weaken(Weakness::LosesCreation);
    let session = Session::closed("ana");
    session.create(&lab.gateway).await;
    lab.server.weaken(Weakness::None);
    let answer = reopened(&lab, &session).await;
    assert!(matches!(answer, Response::Fault(_)), "{answer:?}");
    // Another that nobody uses ends after the same time, and was opened later.
    lab.open("ana").await;
    lab.gateway
        .eventually("the other session's end", |gateway| {
            let mut records = gateway.records().into_iter();
            records.find(|it| it["kind"] == "session.ended")
        });
    let shell = session.shell;
    let answer = reopened(&lab, &session).await;
    assert_eq!(answer, Response::Created { shell });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_runs_though_it_did_not_say_so_is_ended_when_it_is_there() {
    let lab = Lab::with("remoting = { idle = \"20s\" }").await;
    let session = lab.open("ana").await;
    // The start comes later, or so the server says twice.
    lab.server.weaken(Weakness::KnowsNothing);
    let id = Uuid::now_v7();
    let calls: [Call<'_>; 1] = [("Test-Doubt", &[])];
    let Response::Fault(fault) = session.start(&lab.gateway, id, &calls, Input::None).await else {
        panic!("it does not say that it is started");
    };
    assert_eq!(fault.subcode, Subcode::TimedOut);
    assert_eq!(
        lab.server.journal()[1..3],
        ["run Test-Doubt", "knows nothing"]
    );
    assert!(metric(&lab, "portcullis_pipelines").ends_with(" 0"));
    let outcome = lab.outcome(&lab.decisions("Test-Doubt")[0]);
    assert_eq!(outcome["result"], "upstream-broken");
    // Nobody asks for its output.
    lab.server.weaken(Weakness::None);
    let ended = ["stop".to_owned(), "terminate".to_owned()];
    lab.gateway.eventually("it is ended", |_| {
        lab.server.journal().ends_with(&ended).then_some(())
    });
    assert_eq!(lab.server.shells(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_server_says_it_does_not_know_is_closed_there() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    lab.server.weaken(Weakness::KnowsNothing);
    let of_pool = Operation::Receive {
        command: None,
        keep_alive: false,
    };
    let fault = session.fault(&lab.gateway, of_pool).await;
    assert_eq!(fault.subcode, Subcode::InvalidSelectors);
    assert_eq!(lab.server.shells(), 0);
    assert_eq!(lab.server.journal(), ["create", "delete"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_whose_rest_the_server_refuses_is_over_there_and_here() {
    let lab = Lab::with("remoting = { pipelines_per_shell = 1 }").await;
    let session = lab.open("ana").await;
    lab.server.weaken(Weakness::TakesBeginnings);
    let large = [(Some("Identity"), Item::text("x".repeat(200_000)))];
    let calls: [Call<'_>; 1] = [("Get-Mailbox", &large)];
    let id = Uuid::now_v7();
    let Response::Fault(fault) = session.start(&lab.gateway, id, &calls, Input::None).await else {
        panic!("the server has refused it");
    };
    assert!(fault.text.contains("too much"), "{}", fault.text);
    assert_eq!(lab.server.journal(), ["create", "terminate"]);
    let outcome = lab.outcome(&lab.decisions("Get-Mailbox")[0]);
    assert_eq!(
        (&outcome["result"], &outcome["upstream_status"]),
        (&json!("failed"), &json!(500))
    );
    assert!(metric(&lab, "portcullis_pipelines").ends_with(" 0"));
    assert_eq!(
        session.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await.state,
        4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_of_which_input_was_lost_gets_no_more_of_it_and_ends() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let id = Uuid::now_v7();
    session.start(&lab.gateway, id, &GET, Input::Follows).await;
    lab.server.weaken(Weakness::LosesInput);
    let Response::Fault(_) = session.input(&lab.gateway, id, &["one"]).await else {
        panic!("the server has not said that it takes it");
    };
    lab.server.weaken(Weakness::None);
    let late = session.input(&lab.gateway, id, &["two"]).await;
    assert_eq!(late, Response::Sent, "it goes nowhere");
    let ended = session.end(&lab.gateway, id).await;
    assert_eq!(ended.state, 5);
    assert!(ended.error_text().contains("was piped in"), "{ended:?}");
    let journal = lab.server.journal();
    assert_eq!(
        journal[..4],
        ["create", "run Get-Mailbox", "input one", "terminate"]
    );
    assert!(!journal.contains(&"input two".to_owned()));
    let outcome = lab.outcome(&lab.decisions("Get-Mailbox")[0]);
    assert_eq!(outcome["result"], "upstream-broken");
    // The session is as it was.
    let again = session.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await;
    assert_eq!(again.state, 4);
}

/// Waits until the server was told this.
async fn wait_for(lab: &Lab, what: &str) {
    while lab.server.journal().last().is_none_or(|it| it != what) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_while_it_waits_can_come_back() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let id = Uuid::now_v7();
    session.start(&lab.gateway, id, &SILENCE, Input::None).await;
    let waiting = session.fault(&lab.gateway, receive(id));
    tokio::select! {
        fault = waiting => panic!("{fault:?}"),
        () = wait_for(&lab, "silence") => {}
    }
    assert_eq!(
        session.signal(&lab.gateway, id, Signal::Stop).await,
        Response::Signalled
    );
    assert_eq!(session.end(&lab.gateway, id).await.state, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_server_did_not_close_is_still_there_when_its_client_has_left() {
    let lab = Lab::start().await;
    let session = lab.open("sys1").await;
    let id = Uuid::now_v7();
    session.start(&lab.gateway, id, &WAIT, Input::None).await;
    lab.server.weaken(Weakness::Hangs);
    tokio::select! {
        answer = session.ask(&lab.gateway, Operation::Delete) => panic!("{answer:?}"),
        () = wait_for(&lab, "silence") => {}
    }
    lab.server.weaken(Weakness::None);
    // Its pipeline runs at the server, and so it does here.
    assert!(metric(&lab, "portcullis_pipelines").ends_with(" 1"));
    assert_eq!(
        session.signal(&lab.gateway, id, Signal::Stop).await,
        Response::Signalled
    );
    assert_eq!(session.end(&lab.gateway, id).await.state, 3);
    assert_eq!(
        lab.outcome(&lab.decisions("Wait-Release")[0])["result"],
        "stopped"
    );
    lab.close(&session).await;
    assert_eq!(lab.server.shells(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_pipeline_that_the_server_does_not_end_is_ended_again_and_on_record_when_it_has()
{
    let lab = Lab::with_proxy("timeouts = { upstream = \"1s\" }", "").await;
    let session = lab.open("ana").await;
    let task = "Exchange\\Remove-Waiting";
    let request = lab.gateway.grant("ana", task, "amy").await;
    let id = Uuid::now_v7();
    let calls: [Call<'_>; 1] = [("Remove-Waiting", &[])];
    session
        .start(&lab.gateway, id, &calls, Input::Follows)
        .await;
    lab.server.weaken(Weakness::IgnoresSignals);
    let revoked = lab
        .gateway
        .invoke(
            "amy",
            "Revoke-ElevatedAccessAuthorization",
            json!({"RequestId": request}),
        )
        .await;
    assert!(revoked.status.is_success(), "{}", revoked.text());
    let ended = session.end(&lab.gateway, id).await;
    assert!(ended.error_text().contains("needs approval"), "{ended:?}");
    let told = lab.server.journal();
    assert_eq!(told[1], "run Remove-Waiting");
    assert!(told[2..].iter().all(|it| it == "silence") && told.len() > 3);
    // It may run, so it counts, and has no outcome.
    assert!(metric(&lab, "portcullis_pipelines").ends_with(" 1"));
    let decisions = lab.decisions("Remove-Waiting");
    let outcomes = |lab: &Lab| {
        let mut records = lab.gateway.records();
        records.retain(|it| it["kind"] == "outcome" && it["decision"] == decisions[0]["decision"]);
        records.len()
    };
    assert_eq!(outcomes(&lab), 0);
    lab.server.weaken(Weakness::None);
    let fault = session.fault(&lab.gateway, receive(id)).await;
    assert_eq!(fault.subcode, Subcode::InvalidSelectors);
    let told = lab.server.journal();
    let ends: Vec<_> = told.iter().filter(|it| *it == "terminate").collect();
    assert!(!ends.is_empty(), "{told:?}");
    assert_eq!(lab.outcome(&decisions[0])["result"], "not-fetched");
    assert_eq!(outcomes(&lab), 1);
    assert!(metric(&lab, "portcullis_pipelines").ends_with(" 0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_is_told_and_recorded_and_the_session_goes_on() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let id = Uuid::now_v7();
    let calls: [(&str, &[_]); 1] = [("Test-Death", &[])];
    let Response::Fault(fault) = session.start(&lab.gateway, id, &calls, Input::None).await else {
        panic!("it has died");
    };
    assert_eq!(fault.subcode, Subcode::InternalError);
    let outcome = lab.outcome(&lab.decisions("Test-Death")[0]);
    assert_eq!(
        (&outcome["result"], &outcome["upstream_status"]),
        (&json!("upstream-broken"), &json!(null))
    );
    assert_eq!(
        session.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await.state,
        4
    );
    // One that has forgotten its sessions is believed.
    lab.server.forget();
    let next = Uuid::now_v7();
    let Response::Fault(fault) = session.start(&lab.gateway, next, &GET, Input::None).await else {
        panic!("the server does not know it");
    };
    assert_eq!(fault.subcode, Subcode::InvalidSelectors);
    assert_eq!(
        lab.outcome(lab.decisions("Get-Mailbox").last().unwrap())["result"],
        "failed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_served_is_refused_with_a_text_that_says_what_to_change() {
    const SOAP: &str = "application/soap+xml;charset=UTF-8";
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let request = session.request(Operation::Delete);
    let body = || {
        let (_, body) = session.http(&request).into_parts();
        body
    };
    let refused = async |method: Method, path: &str, kind: &str, text: &str| {
        let mut request = http::Request::new(body());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, basic("ana").parse().unwrap());
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let answer = lab.gateway.send(Http::One, request).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            answer.headers[CONTENT_TYPE],
            "application/soap+xml;charset=UTF-8"
        );
        assert!(answer.text().contains(text), "{}", answer.text());
        assert!(answer.text().contains("(request "), "{}", answer.text());
    };
    refused(Method::GET, "/powershell", SOAP, "takes `POST` only").await;
    refused(
        Method::POST,
        "/powershell/x",
        SOAP,
        "not the path of this endpoint",
    )
    .await;
    refused(
        Method::POST,
        "/powershell?x=1",
        SOAP,
        "not a query that is read",
    )
    .await;
    refused(
        Method::POST,
        "/powershell",
        "application/soap+xml;charset=UTF-16",
        "leave `-UseUTF16` out",
    )
    .await;
    let encrypted = "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\"";
    refused(
        Method::POST,
        "/powershell",
        encrypted,
        "-Authentication Basic",
    )
    .await;

    let mut stranger = session.http(&request);
    stranger.headers_mut().remove(AUTHORIZATION);
    let answer = lab.gateway.send(Http::One, stranger).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(
        answer.headers[WWW_AUTHENTICATE]
            .to_str()
            .unwrap()
            .starts_with("Basic ")
    );
    // None of them has closed the session; the control does.
    assert_eq!(lab.server.journal(), ["create"]);
    let answer = lab.gateway.send(Http::One, session.http(&request)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(lab.server.journal(), ["create", "delete"]);
    assert!(
        try_connect(
            lab.gateway.proxy(),
            &lab.gateway.path("certs/ca.pem"),
            Http::One
        )
        .await
        .is_ok()
    );
}
