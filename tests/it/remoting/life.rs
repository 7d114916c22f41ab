//! What passes, what is blocked, what the gateway answers itself, and what is on record of it.

use http::StatusCode;
use portcullis::dialect::psrp::clixml::Item;
use portcullis::dialect::psrp::message::Kind;
use portcullis::dialect::psrp::soap::{Operation, Response, Subcode};
use serde_json::json;
use uuid::Uuid;

use super::Lab;
use super::client::{Input, Session};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cmdlet_passes_and_its_record_has_the_shape_of_the_other_dialects() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let ended = session
        .cmdlet(&lab.gateway, "get-mailbox", &[("ResultSize", "Unlimited")])
        .await;
    assert_eq!(
        (ended.state, ended.texts),
        (4, vec!["get-mailbox".to_owned()])
    );
    lab.close(&session).await;
    assert_eq!(
        lab.server.journal(),
        ["create", "run get-mailbox", "delete"]
    );
    let over_rest = lab
        .gateway
        .invoke("ana", "get-mailbox", json!({"ResultSize": "Unlimited"}))
        .await;
    assert_eq!(over_rest.status, StatusCode::OK);
    let records = lab.decisions("get-mailbox");
    let [remoting, rest] = records.as_slice() else {
        panic!("{records:?}");
    };
    let names = |record: &serde_json::Value| {
        let members = record.as_object().unwrap().keys();
        members.cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(remoting), names(rest));
    for same in [
        "verdict",
        "rule",
        "principal",
        "source",
        "parameters",
        "policy_set",
    ] {
        assert_eq!(remoting[same], rest[same], "{same}");
    }
    assert_eq!(remoting["endpoint"], "/powershell");
    let outcomes = [lab.outcome(remoting), lab.outcome(rest)];
    assert_eq!(names(&outcomes[0]), names(&outcomes[1]));
    for outcome in &outcomes {
        assert_eq!(
            (
                &outcome["result"],
                &outcome["status"],
                &outcome["upstream_status"]
            ),
            (&json!("ok"), &json!(200), &json!(200))
        );
    }
    let sessions: Vec<_> = lab
        .gateway
        .records()
        .iter()
        .filter_map(|it| it["session"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(sessions, ["CreateShell", "DeleteShell"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_reads_well_and_the_session_goes_on() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let ended = session
        .cmdlet(&lab.gateway, "Remove-Mailbox", &[("Identity", "anna")])
        .await;
    let decision = lab.decisions("Remove-Mailbox")[0]["decision"].clone();
    assert_eq!(ended.state, 5);
    assert_eq!(
        ended.error,
        Some((
            "PortcullisBlocked".to_owned(),
            format!(
                "Remove-Mailbox needs approval. Request it with: New-ElevatedAccessRequest -Task 'Exchange\\Remove-Mailbox' -Reason '…' -DurationHours 4 (decision {})",
                decision.as_str().unwrap()
            ),
            18
        ))
    );
    assert_eq!(
        session.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await.state,
        4
    );
    assert_eq!(lab.server.ran(), ["Get-Mailbox"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_of_either_dialect_opens_the_pipeline() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    lab.gateway
        .grant("ana", "Exchange\\Remove-Mailbox", "amy")
        .await;
    let ended = session.cmdlet(&lab.gateway, "Remove-Mailbox", &[]).await;
    assert_eq!(ended.state, 4);
    // In the session, to be used over REST.
    let asked = session
        .cmdlet(
            &lab.gateway,
            "New-ElevatedAccessRequest",
            &[("Task", "Exchange\\Set-Mailbox"), ("Reason", "because")],
        )
        .await;
    assert_eq!(
        (asked.state, asked.property("RequestStatus").as_str()),
        (4, "Approved")
    );
    let over_rest = lab
        .gateway
        .invoke("ana", "Set-Mailbox", json!({"Identity": "anna"}))
        .await;
    assert_ne!(
        over_rest.status,
        StatusCode::FORBIDDEN,
        "{}",
        over_rest.text()
    );
    assert_eq!(lab.server.ran(), ["Remove-Mailbox"]);
    let filed = &lab.decisions("New-ElevatedAccessRequest")[1];
    assert_eq!(lab.outcome(filed)["result"], "answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_call_of_a_gateway_cmdlet_is_an_error_record() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let ended = session
        .cmdlet(&lab.gateway, "New-ElevatedAccessRequest", &[("Tsk", "x")])
        .await;
    let (id, text, category) = ended.error.clone().unwrap();
    assert_eq!((id.as_str(), category), ("PortcullisInvalid", 5));
    assert!(
        text.contains("does not know -Tsk; it takes -Task"),
        "{text}"
    );
    let missing = session
        .cmdlet(
            &lab.gateway,
            "Get-ElevatedAccessRequest",
            &[("RequestId", "01890a5d-ac96-774b-bcce-b302099a8057")],
        )
        .await;
    assert_eq!(
        missing.error.clone().unwrap().0,
        "PortcullisNotFound",
        "{missing:?}"
    );
    // Beside other commands it is refused, and nothing runs.
    let mixed = session
        .run(
            &lab.gateway,
            &[("Get-Mailbox", &[]), ("Get-ElevatedAccessRequest", &[])],
        )
        .await;
    assert_eq!(mixed.error.clone().unwrap().0, "PortcullisUnsupported");
    assert!(lab.server.ran().is_empty());
    assert_eq!(
        session.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await.state,
        4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_has_the_gateways_cmdlets_and_teaches_it_the_servers() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    // What follows a name is its value, unless the name is a switch.
    let unclear: [(Option<&str>, Item); 2] =
        [(Some("-Identity"), Item::Nil), (None, Item::text("anna"))];
    session
        .run(&lab.gateway, &[("Get-Mailbox", &unclear)])
        .await;
    let id = Uuid::now_v7();
    let kind = Item::enumeration("System.Management.Automation.CommandTypes", "Cmdlet", 8);
    let ask = Item::of_properties([
        ("Name", Item::list(vec![Item::text("*")])),
        ("CommandType", kind),
        ("Namespace", Item::Nil),
        ("ArgumentList", Item::Nil),
    ]);
    let command = Operation::Command {
        command: id,
        arguments: session.whole(3, Kind::GetCommandMetadata, id, &ask),
    };
    let started = session.ask(&lab.gateway, command).await;
    assert_eq!(started, Response::Started { command: id });
    let listed = session.end(&lab.gateway, id).await;
    // Those of the gateway, the server's one, and their number before them.
    assert_eq!(listed.output.len(), 17);
    assert!(
        listed.output[0].contains("<I32 N=\"Count\">16</I32>"),
        "{}",
        listed.output[0]
    );
    let all = listed.output.concat();
    assert!(all.contains("Approve-ElevatedAccessRequest") && all.contains("Get-Mailbox"));
    session
        .run(&lab.gateway, &[("get-mailbox", &unclear)])
        .await;
    let calls = lab.decisions("Get-Mailbox");
    assert_eq!(
        calls[0]["parameters"],
        json!({"Identity": {"PossibleValue": "anna"}})
    );
    assert_eq!(calls[1]["parameters"], json!({"Identity": "anna"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_pipeline_all_commands_pass_or_none_runs() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let ended = session
        .run(
            &lab.gateway,
            &[("Get-Mailbox", &[]), ("Remove-Mailbox", &[])],
        )
        .await;
    assert_eq!(ended.error.clone().unwrap().0, "PortcullisBlocked");
    assert!(lab.server.ran().is_empty());
    let innocent = &lab.decisions("Get-Mailbox")[0];
    assert_eq!(innocent["verdict"], "allow");
    let outcome = lab.outcome(innocent);
    assert_eq!(
        (&outcome["result"], &outcome["upstream_status"]),
        (&json!("not-run"), &json!(null))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_policy_looks_at_parameters_each_must_be_under_its_name() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let asked = session
        .cmdlet(
            &lab.gateway,
            "New-ElevatedAccessRequest",
            &[("Task", "Exchange\\Set-User"), ("Reason", "because")],
        )
        .await;
    assert_eq!(asked.state, 4);
    let named = [("Identity", "guest-1")];
    assert_eq!(
        session.cmdlet(&lab.gateway, "Set-User", &named).await.state,
        4
    );
    let other = session
        .cmdlet(&lab.gateway, "Set-User", &[("Identity", "boss")])
        .await;
    assert_eq!(other.state, 5);
    // The named one is right, and what the other is for only the server knows.
    let both: [(Option<&str>, Item); 2] = [
        (Some("Identity"), Item::text("guest-1")),
        (None, Item::text("boss")),
    ];
    let unnamed = session.run(&lab.gateway, &[("Set-User", &both)]).await;
    assert!(
        unnamed.error_text().contains("write each as `-Name value`"),
        "{unnamed:?}"
    );
    let id = Uuid::now_v7();
    let arguments: [(Option<&str>, Item); 1] = [(Some("Identity"), Item::text("guest-1"))];
    let calls: [(&str, &[_]); 1] = [("Set-User", &arguments)];
    let started = session
        .start(&lab.gateway, id, &calls, Input::Follows)
        .await;
    assert_eq!(started, Response::Started { command: id });
    session.input(&lab.gateway, id, &["boss"]).await;
    assert_eq!(session.end(&lab.gateway, id).await.state, 5);
    assert_eq!(lab.server.journal()[1..3], ["run Set-User", "run Set-User"]);
    assert!(
        !lab.server
            .journal()
            .iter()
            .any(|it| it.starts_with("input"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_piped_in_is_on_record_before_it_goes_on() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let id = Uuid::now_v7();
    let calls: [(&str, &[_]); 1] = [("Get-Mailbox", &[])];
    session
        .start(&lab.gateway, id, &calls, Input::Follows)
        .await;
    assert_eq!(
        session.input(&lab.gateway, id, &["anna", "bo"]).await,
        Response::Sent
    );
    session.end_input(&lab.gateway, id).await;
    let ended = session.end(&lab.gateway, id).await;
    assert_eq!(ended.texts, ["Get-Mailbox", "anna", "bo"]);
    let piped: Vec<_> = lab
        .decisions("Get-Mailbox")
        .iter()
        .map(|it| it["parameters"].clone())
        .collect();
    assert_eq!(
        piped,
        [json!({}), json!({"PipelineInput": ["anna", "bo"]}),]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_stops_a_running_pipeline_whatever_its_client_does_next() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let asked = session
        .cmdlet(
            &lab.gateway,
            "New-ElevatedAccessRequest",
            &[("Task", "Exchange\\Wait-Release"), ("Reason", "because")],
        )
        .await;
    let grant = asked.property("Identity");
    for step in ["receive", "send"] {
        let id = Uuid::now_v7();
        let calls: [(&str, &[_]); 1] = [("Wait-Release", &[])];
        let input = if step == "send" {
            Input::Follows
        } else {
            Input::None
        };
        if step == "send" {
            session
                .cmdlet(
                    &lab.gateway,
                    "New-ElevatedAccessRequest",
                    &[("Task", "Exchange\\Wait-Release"), ("Reason", "again")],
                )
                .await;
        }
        session.start(&lab.gateway, id, &calls, input).await;
        let Response::Fault(fault) = session.ask(&lab.gateway, super::client::receive(id)).await
        else {
            panic!("it does not run");
        };
        assert_eq!(fault.subcode, Subcode::TimedOut);
        let listed = session
            .cmdlet(
                &lab.gateway,
                "Get-ElevatedAccessAuthorization",
                &[("State", "Active")],
            )
            .await;
        let ended = session
            .run(
                &lab.gateway,
                &[(
                    "Set-ElevatedAccessAuthorization",
                    &[
                        (Some("Identity"), Item::text(listed.property("Identity"))),
                        (Some("End"), Item::Bool(true)),
                    ],
                )],
            )
            .await;
        assert_eq!(ended.state, 4, "{grant} {ended:?}");
        if step == "send" {
            assert_eq!(
                session.input(&lab.gateway, id, &["late"]).await,
                Response::Sent
            );
        }
        let stopped = session.end(&lab.gateway, id).await;
        assert_eq!(stopped.state, 5);
        assert!(
            stopped.error_text().contains("needs approval"),
            "{stopped:?}"
        );
    }
    // The gateway ends it by itself, and its client's request may do so, too, before the server has said that it has.
    let mut told = lab.server.journal();
    let is_end = |it: &str| it == "stop" || it == "terminate";
    told.dedup_by(|later, before| is_end(later) && is_end(before));
    assert_eq!(
        told,
        [
            "create",
            "run Wait-Release",
            "stop",
            "run Wait-Release",
            "stop"
        ]
    );
    let verdicts = |it: &serde_json::Value| it["verdict"].as_str().unwrap().to_owned();
    let records = lab.decisions("Wait-Release");
    let seen: Vec<_> = records.iter().map(verdicts).collect();
    assert_eq!(seen, ["allow", "block", "allow", "block"]);
    assert_eq!(lab.outcome(&records[0])["result"], "not-fetched");
    assert_eq!(
        session.cmdlet(&lab.gateway, "Get-Mailbox", &[]).await.state,
        4
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_does_not_go_on_by_another_grant() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let task = (Some("Task"), Item::text("Exchange\\Wait-Release"));
    let reason = (Some("Reason"), Item::text("because"));
    let ask = async |more: &[(Option<&str>, Item)]| {
        let parameters = [&[task.clone(), reason.clone()], more].concat();
        let calls: [(&str, &[_]); 1] = [("New-ElevatedAccessRequest", &parameters)];
        let asked = session.run(&lab.gateway, &calls).await;
        asked.property("Identity")
    };
    let plain = ask(&[]).await;
    ask(&[(Some("Uses"), Item::i32(1))]).await;
    let calls: [(&str, &[_]); 1] = [("Wait-Release", &[])];
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    session
        .start(&lab.gateway, first, &calls, Input::None)
        .await;
    let running = session
        .fault(&lab.gateway, super::client::receive(first))
        .await;
    assert_eq!(running.subcode, Subcode::TimedOut);
    let end = [
        (Some("Identity"), Item::text(plain)),
        (Some("End"), Item::Bool(true)),
    ];
    let calls_end: [(&str, &[_]); 1] = [("Set-ElevatedAccessAuthorization", &end)];
    let ended = session.run(&lab.gateway, &calls_end).await;
    assert_eq!(ended.state, 4, "{ended:?}");
    let stopped = session.end(&lab.gateway, first).await;
    assert_eq!(stopped.state, 5);
    assert!(
        stopped.error_text().ends_with("run it again"),
        "{stopped:?}"
    );
    // The other grant has its use yet, and a pipeline that begins by it goes on by it.
    session
        .start(&lab.gateway, second, &calls, Input::None)
        .await;
    let running = session
        .fault(&lab.gateway, super::client::receive(second))
        .await;
    assert_eq!(running.subcode, Subcode::TimedOut);
    let records = lab.decisions("Wait-Release");
    let rules: Vec<_> = records.iter().map(|it| it["rule"].clone()).collect();
    assert_eq!(rules, ["granted", "needs-approval", "granted"]);
    assert_ne!(records[0]["grant"], records[2]["grant"]);
    assert_eq!(lab.outcome(&records[0])["result"], "not-fetched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cmdlet_of_the_gateway_that_should_ask_first_says_that_it_does_not() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let ask = [("Task", "Exchange\\Wait-Release"), ("Reason", "because")];
    let asked = session
        .cmdlet(&lab.gateway, "New-ElevatedAccessRequest", &ask)
        .await;
    let end = |confirm| {
        [
            (Some("Identity"), Item::text(asked.property("Identity"))),
            (Some("End"), Item::Bool(true)),
            (Some("Confirm"), Item::Bool(confirm)),
        ]
    };
    for (confirm, state) in [(true, 5), (false, 4)] {
        let parameters = end(confirm);
        let calls: [(&str, &[_]); 1] = [("Set-ElevatedAccessAuthorization", &parameters)];
        let ended = session.run(&lab.gateway, &calls).await;
        assert_eq!(ended.state, state, "{ended:?}");
        assert_eq!(
            ended.error_text().contains("run it without -Confirm"),
            confirm
        );
    }
    let records = lab.decisions("Set-ElevatedAccessAuthorization");
    let results: Vec<_> = records
        .iter()
        .map(|it| lab.outcome(it)["result"].clone())
        .collect();
    assert_eq!(results, ["failed", "answered"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_takes_its_use_of_a_grant_once_and_nothing_uncounted_is_piped_into_it() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let task = "Exchange\\Set-Contact";
    lab.gateway.grant("ana", task, "amy").await;
    let id = Uuid::now_v7();
    let calls: [(&str, &[_]); 1] = [("Set-Contact", &[])];
    session
        .start(&lab.gateway, id, &calls, Input::Follows)
        .await;
    let Response::Fault(fault) = session.ask(&lab.gateway, super::client::receive(id)).await else {
        panic!("it waits for its input");
    };
    assert_eq!(fault.subcode, Subcode::TimedOut, "its one use is its own");
    session.end_input(&lab.gateway, id).await;
    assert_eq!(session.end(&lab.gateway, id).await.state, 4);
    let second = session.cmdlet(&lab.gateway, "Set-Contact", &[]).await;
    assert!(second.error_text().contains("no uses left"), "{second:?}");
    // Many objects under one use.
    lab.gateway.grant("ana", task, "amy").await;
    let many = Uuid::now_v7();
    session
        .start(&lab.gateway, many, &calls, Input::Follows)
        .await;
    session.input(&lab.gateway, many, &["a", "b"]).await;
    let ended = session.end(&lab.gateway, many).await;
    assert!(
        ended
            .error_text()
            .contains("values that are piped in are not"),
        "{ended:?}"
    );
    assert!(
        !lab.server
            .journal()
            .iter()
            .any(|it| it.starts_with("input"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_ends_the_wait_for_output_that_has_begun() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let task = "Exchange\\Remove-Silence";
    let request = lab.gateway.grant("ana", task, "amy").await;
    let id = Uuid::now_v7();
    let calls: [(&str, &[_]); 1] = [("Remove-Silence", &[])];
    session.start(&lab.gateway, id, &calls, Input::None).await;
    let revoke = async {
        while lab.server.journal().last().is_none_or(|it| it != "silence") {
            tokio::task::yield_now().await;
        }
        let revoked = lab
            .gateway
            .invoke(
                "amy",
                "Revoke-ElevatedAccessAuthorization",
                json!({"RequestId": request}),
            )
            .await;
        assert!(revoked.status.is_success(), "{}", revoked.text());
    };
    // The server never answers: without the revoke this would not end.
    let (ended, ()) = tokio::join!(session.end(&lab.gateway, id), revoke);
    assert_eq!(ended.state, 5);
    assert_eq!(
        lab.server.journal()[1..],
        ["run Remove-Silence", "silence", "stop", "terminate"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_and_a_stop_are_on_record_as_what_they_are() {
    let lab = Lab::start().await;
    let session = lab.open("sys1").await;
    assert_eq!(
        session
            .cmdlet(&lab.gateway, "Test-Failure", &[])
            .await
            .state,
        5
    );
    assert_eq!(
        lab.outcome(&lab.decisions("Test-Failure")[0])["result"],
        "failed"
    );
    let id = Uuid::now_v7();
    let calls: [(&str, &[_]); 1] = [("Wait-Release", &[])];
    session.start(&lab.gateway, id, &calls, Input::None).await;
    let stop = portcullis::dialect::psrp::soap::Signal::Stop;
    assert_eq!(
        session.signal(&lab.gateway, id, stop).await,
        Response::Signalled
    );
    assert_eq!(session.end(&lab.gateway, id).await.state, 3);
    assert_eq!(
        lab.outcome(&lab.decisions("Wait-Release")[0])["result"],
        "stopped"
    );
    // The control runs to its end.
    lab.server.release();
    assert_eq!(
        session
            .cmdlet(&lab.gateway, "Wait-Release", &[])
            .await
            .state,
        4
    );
    assert_eq!(
        lab.outcome(&lab.decisions("Wait-Release")[1])["result"],
        "ok"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_others_a_session_is_not_there() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    let id = Uuid::now_v7();
    let calls: [(&str, &[_]); 1] = [("Get-Mailbox", &[])];
    session
        .start(&lab.gateway, id, &calls, Input::Follows)
        .await;
    let foreign = Session {
        person: "amy",
        ..session.clone()
    };
    let unknown = Session::closed("amy");
    let before = lab.server.journal();
    for operation in [
        super::client::receive(id),
        session.command(Uuid::now_v7(), &calls, Input::None),
        Operation::Delete,
    ] {
        let fault = foreign.fault(&lab.gateway, operation.clone()).await;
        assert_eq!(fault, unknown.fault(&lab.gateway, operation).await);
        assert_eq!(fault.subcode, Subcode::InvalidSelectors);
    }
    assert_eq!(lab.server.journal(), before);
    // The owner's goes on.
    session.end_input(&lab.gateway, id).await;
    assert_eq!(session.end(&lab.gateway, id).await.state, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_needs_more_uses_than_there_are_takes_none() {
    let lab = Lab::start().await;
    let session = lab.open("ana").await;
    lab.gateway
        .grant("ana", "Exchange\\Set-Contact", "amy")
        .await;
    let calls: [(&str, &[_]); 1] = [("Set-Contact -Identity eva; Set-Contact -Identity bo", &[])];
    let both = session.run(&lab.gateway, &calls).await;
    assert_eq!(both.state, 5);
    assert!(both.error_text().contains("no uses left"), "{both:?}");
    let records = lab.decisions("Set-Contact");
    let rules: Vec<_> = records.iter().map(|it| it["rule"].as_str()).collect();
    assert_eq!(rules, [Some("granted"), Some("used-up")]);
    assert_eq!(lab.outcome(&records[0])["result"], "not-run");
    assert!(lab.server.ran().is_empty());
    let one = session.cmdlet(&lab.gateway, "Set-Contact", &[]).await;
    assert_eq!(one.state, 4, "its use is still there: {one:?}");
    // Of several grants as many pass as all of them have.
    for _ in 0..2 {
        lab.gateway
            .grant("ana", "Exchange\\Set-Contact", "amy")
            .await;
    }
    assert_eq!(session.run(&lab.gateway, &calls).await.state, 4);
}
