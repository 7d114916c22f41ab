//! The life of requests and grants over the wire: counted uses, pins, break-glass, blocked calls that ask for themselves,
//! operators' policies, and many approvers at once over a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::client::{Answer, Http, command, invoke_path, request};
use crate::connection::{Connection, Gone};
use crate::gateway::{Gateway, POLICIES, Setup, upn};
use crate::scripted::{self, Deed, Scripted, Speaks};

/// A request of `person`'s with these parameters, approved by Amy.
async fn grant(gateway: &Gateway, person: &str, parameters: Value) -> String {
    let filed = gateway
        .invoke(person, "New-ElevatedAccessRequest", parameters)
        .await;
    assert_eq!(filed.status, StatusCode::OK, "{}", filed.text());
    let id = filed.first("Identity").as_str().unwrap().to_owned();
    let approve = json!({"RequestId": id, "Comment": "ok"});
    let approved = gateway
        .invoke("amy", "Approve-ElevatedAccessRequest", approve)
        .await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text());
    id
}

/// The rules of the decisions on `cmdlet`, in order.
fn rules(gateway: &Gateway, cmdlet: &str) -> Vec<String> {
    let task = format!(r"Exchange\{cmdlet}");
    let records = gateway.records();
    let decisions = records.iter().filter(|it| it["task"] == task.as_str());
    decisions
        .map(|it| it["rule"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_use_is_one_call_whatever_comes_at_the_same_moment_and_after_a_restart() {
    let mut gateway = Gateway::start().await;
    let ask = json!({"Task": r"Exchange\Remove-Mailbox", "Reason": "r", "Uses": 1});
    grant(&gateway, "ana", ask).await;
    let mailbox = json!({"Identity": "eva@contoso.example"});
    let with = |name: &str| {
        let mut parameters = mailbox.clone();
        parameters[name] = json!(true);
        parameters
    };
    // Neither question is a use.
    for name in ["Confirm", "WhatIf"] {
        let answer = gateway.invoke("ana", "Remove-Mailbox", with(name)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let calls = (0..8).map(|_| gateway.invoke("ana", "Remove-Mailbox", mailbox.clone()));
    let mut passed = 0;
    for answer in futures_of(calls).await {
        if answer.status == StatusCode::FORBIDDEN {
            assert!(
                answer.error().contains("no uses left"),
                "{}",
                answer.error()
            );
        } else {
            passed += 1;
        }
    }
    assert_eq!(passed, 1);
    assert_eq!(gateway.ran().len(), 3);
    gateway.kill();
    gateway.restart();
    let late = gateway.invoke("ana", "Remove-Mailbox", mailbox).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN, "{}", late.text());
    let listed = gateway
        .invoke("ana", "Get-ElevatedAccessAuthorization", json!({}))
        .await;
    assert_eq!(listed.first("State"), "UsedUp");
    let rules = rules(&gateway, "Remove-Mailbox");
    assert_eq!(rules.iter().filter(|it| *it == "granted").count(), 3);
    assert_eq!(rules.iter().filter(|it| *it == "used-up").count(), 7);
    gateway.eventually("the last use is on record", |it| {
        let records = it.records();
        let used_up = records.iter().filter(|it| it["kind"] == "grant.used-up");
        // A record that a crash left in doubt comes again, under its id.
        let ids: std::collections::HashSet<_> = used_up.map(|it| it["id"].to_string()).collect();
        (ids.len() == 1).then_some(())
    });
}

/// Runs futures at the same time, without a crate for it.
async fn futures_of<F: Future<Output = Answer>>(calls: impl Iterator<Item = F>) -> Vec<Answer> {
    let mut calls: Vec<_> = calls.map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_ready = true;
        for (call, answer) in &mut calls {
            if answer.is_none() {
                match call.as_mut().poll(context) {
                    std::task::Poll::Ready(ready) => *answer = Some(ready),
                    std::task::Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    calls.into_iter().filter_map(|it| it.1).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_on_with_the_use_of_their_call() {
    let policies = format!(
        "{POLICIES}\n[[policy]]\ntask = 'Exchange\\Get-Mailbox'\napproval = \"manual\"\napprovers = [\"mbmanagers\"]\nmax_uses = 1\n"
    );
    let gateway = Gateway::with(Setup {
        policies,
        ..Setup::default()
    })
    .await;
    let base = format!("https://localhost:{}", gateway.proxy().port());
    grant(
        &gateway,
        "ana",
        json!({"Task": r"Exchange\Get-Mailbox", "Reason": "r"}),
    )
    .await;
    let body = command("Get-Mailbox", json!({"ResultSize": "Unlimited"})).to_string();
    let page = async |path: &str, body: &str| {
        let mut page = request("ana", Method::POST, path, body.to_owned());
        let headers = page.headers_mut();
        headers.insert("prefer", "odata.maxpagesize=5".parse().unwrap());
        headers.insert("client-request-id", "c1".parse().unwrap());
        gateway.send(Http::One, page).await
    };
    let (mut path, mut pages) = (invoke_path(), 0);
    loop {
        let answer = page(&path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        pages += 1;
        match answer.json()["@odata.nextLink"].as_str() {
            Some(link) => path = link.strip_prefix(&base).unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    // Another command in the clothes of a page is none, and the first page again is a second call.
    let other = command("Get-Mailbox", json!({"ResultSize": "1"})).to_string();
    assert_eq!(page(&path, &other).await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        page(&invoke_path(), &body).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(gateway.ran().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_more_than_reads_has_no_pages_for_one_use() {
    let more = r#"
[[cmdlet]]
tasks = ['Exchange\Get-Mailbox']
dangerous = { Anr = "exfiltrate" }
[[cmdlet]]
tasks = ['Exchange\Start-Report']
effect = "read"
[[policy]]
task = 'Exchange\Search-Mailbox'
approval = "manual"
approvers = ["mbmanagers"]
max_uses = 1
[[policy]]
task = 'Exchange\Get-Mailbox'
approval = "manual"
approvers = ["mbmanagers"]
max_uses = 1
[[policy]]
task = 'Exchange\Start-Report'
approval = "manual"
approvers = ["mbmanagers"]
max_uses = 1
[[policy]]
task = 'Exchange\New-Mailbox'
approval = "manual"
approvers = ["mbmanagers"]
max_uses = 1
[[policy]]
task = 'Exchange\Set-User'
approval = "manual"
approvers = ["mbmanagers"]
max_uses = 1
"#;
    let gateway = Gateway::with(Setup {
        policies: format!("{POLICIES}\n{more}"),
        ..Setup::default()
    })
    .await;
    let calls = [
        (
            "Search-Mailbox",
            json!({"Identity": "ana", "DeleteContent": true}),
        ),
        ("Get-Mailbox", json!({"Anr": "a"})),
        // A trial of what reads as the catalogue knows it takes a use as well,
        ("Start-Report", json!({"Confirm": true})),
        // and so does what is none: a text is no switch that is set.
        ("New-Mailbox", json!({"Name": "a", "WhatIf": "True"})),
        ("Set-User", json!({"Identity": "ana", "Confirm": "$true"})),
    ];
    for (cmdlet, parameters) in calls {
        let task = format!(r"Exchange\{cmdlet}");
        grant(&gateway, "ana", json!({"Task": task, "Reason": "r"})).await;
        let parameters_ask = ["Confirm", "WhatIf"]
            .iter()
            .any(|it| parameters.get(it).is_some());
        let body = command(cmdlet, parameters).to_string();
        let ask = async |path: &str| {
            let mut page = request("ana", Method::POST, path, body.clone());
            let headers = page.headers_mut();
            headers.insert("client-request-id", "c1".parse().unwrap());
            gateway.send(Http::One, page).await.status
        };
        ask(&invoke_path()).await;
        let again = if parameters_ask {
            invoke_path()
        } else {
            format!("{}?$skiptoken=1", invoke_path())
        };
        for _ in 0..2 {
            assert_eq!(ask(&again).await, StatusCode::FORBIDDEN, "{cmdlet}");
        }
        let expected = ["granted", "used-up", "used-up"];
        assert_eq!(rules(&gateway, cmdlet), expected, "{cmdlet}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_the_upstream_did_not_take_is_repeated_for_the_same_use() {
    let asked = Arc::new(AtomicUsize::new(0));
    let upstream = Scripted::start(Speaks::TlsHttp1, {
        let asked = Arc::clone(&asked);
        move |_| {
            let mut answer = scripted::json("{\"value\":[]}");
            if asked.fetch_add(1, Ordering::SeqCst) < 2 {
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            Deed::Answer(answer)
        }
    })
    .await;
    let gateway = upstream.gateway(Setup::default()).await;
    let ask = json!({"Task": r"Exchange\New-MoveRequest", "Reason": "r", "Uses": 1});
    grant(&gateway, "ana", ask).await;
    let call = async |id: &str| {
        let body = command("New-MoveRequest", json!({"Identity": "eva"})).to_string();
        let mut call = request("ana", Method::POST, &invoke_path(), body);
        let id = id.parse().unwrap();
        call.headers_mut().insert("client-request-id", id);
        gateway.send(Http::One, call).await.status
    };
    assert_eq!(call("c1").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(call("c2").await, StatusCode::FORBIDDEN, "another call");
    assert_eq!(call("c1").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(call("c1").await, StatusCode::OK);
    assert_eq!(call("c1").await, StatusCode::FORBIDDEN, "it was answered");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_of_a_batch_takes_a_use_of_its_own() {
    let gateway = Gateway::start().await;
    let ask = json!({"Task": r"Exchange\New-MoveRequest", "Reason": "r", "Uses": 2});
    grant(&gateway, "ana", ask).await;
    let item = |id: &str| {
        json!({
            "id": id, "method": "POST",
            "url": format!("https://localhost:{}{}", gateway.proxy().port(), invoke_path()),
            "headers": {"Content-Type": "application/json"},
            "body": command("New-MoveRequest", json!({"Identity": format!("user{id}")})),
        })
    };
    let batch = json!({"requests": [item("1"), item("2"), item("3")]});
    let path = invoke_path().replace("InvokeCommand", "$batch");
    let answer = gateway.post("ana", &path, &batch).await.json();
    let answers = answer["responses"].as_array().unwrap();
    let refused: Vec<_> = answers
        .iter()
        .filter(|it| it["status"] == 403)
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(refused, ["3"], "{answer}");
    assert_eq!(gateway.ran().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_grant_covers_calls_with_its_parameters_alone() {
    let gateway = Gateway::start().await;
    let ask = json!({
        "Task": r"Exchange\New-MoveRequest", "Reason": "r",
        "Parameters": {
            "@odata.type": "#Exchange.GenericHashTable",
            "Identity": {"@odata.type": "#Exchange.GenericHashTable", "pattern": ".*@contoso\\.example"},
            "TargetDatabase": ["DB01", "DB02"],
        },
    });
    grant(&gateway, "ana", ask).await;
    for (parameters, passes) in [
        (
            json!({"Identity": "Ana@contoso.example", "TargetDatabase": "db02"}),
            true,
        ),
        (
            json!({"Identity": "ana@contoso.example", "TargetDatabase": "DB01", "BadItemLimit": 1}),
            true,
        ),
        (
            json!({"Identity": "ana@fabrikam.example", "TargetDatabase": "DB01"}),
            false,
        ),
        (
            json!({"Identity": "ana@contoso.example", "TargetDatabase": "DB03"}),
            false,
        ),
        (json!({"Identity": "ana@contoso.example"}), false),
        (
            json!({"Identity": "ana@contoso.example", "TargetDatabase": "DB01", "Target": "DB03"}),
            false,
        ),
        (json!({}), false),
    ] {
        let answer = gateway
            .invoke("ana", "New-MoveRequest", parameters.clone())
            .await;
        if passes {
            assert_ne!(
                answer.status,
                StatusCode::FORBIDDEN,
                "{parameters}: {}",
                answer.text()
            );
        } else {
            assert_eq!(
                answer.status,
                StatusCode::FORBIDDEN,
                "{parameters}: {}",
                answer.text()
            );
        }
    }
    let rules = rules(&gateway, "New-MoveRequest");
    assert_eq!(rules[..2], ["granted", "granted"]);
    assert!(
        rules[2..].iter().all(|it| it == "pinned-parameters"),
        "{rules:?}"
    );
}

const EMERGENCY: &str = r#"
[[group]]
name = "keepers"
members = ["bo@contoso.example"]

[[group]]
name = "fire"
members = ["ana@contoso.example"]

[[policy]]
task = 'Exchange\New-TransportRule'
approval = "manual"
approvers = ["mbmanagers"]
break_glass = ["fire"]
on_block = "request"

[[policy]]
task = 'Exchange\Get-Recipient'
approval = "manual"
approvers = ["mbmanagers"]
spread = { calls_per_minute = 2, identities_per_grant = 2 }
"#;

async fn with_operators() -> Gateway {
    let operators = "operators = \"keepers\"".to_owned();
    Gateway::with(Setup {
        policies: format!("{POLICIES}\n{EMERGENCY}"),
        extra: BTreeMap::from([("access_control", operators)]),
        ..Setup::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_call_asks_for_itself_and_an_emergency_asks_nobody() {
    let gateway = with_operators().await;
    let rule = json!({"Name": "loop"});
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let blocked = gateway
            .invoke("ana", "New-TransportRule", rule.clone())
            .await;
        assert_eq!(blocked.status, StatusCode::FORBIDDEN, "{}", blocked.text());
        let text = blocked.error();
        let (_, rest) = text
            .split_once("The request ")
            .unwrap_or_else(|| panic!("{text}"));
        ids.insert(rest.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    let waiting = gateway
        .invoke(
            "amy",
            "Get-ElevatedAccessRequest",
            json!({"Status": "Pending"}),
        )
        .await;
    assert_eq!(waiting.first("Identity"), ids.first().unwrap().as_str());
    assert_eq!(waiting.first("Reason"), "blocked call of New-TransportRule");

    let take =
        json!({"Task": r"Exchange\New-TransportRule", "Reason": "mail loops", "BreakGlass": true});
    let refused = gateway
        .invoke("ivy", "New-ElevatedAccessRequest", take.clone())
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    let taken = gateway
        .invoke("ana", "New-ElevatedAccessRequest", take)
        .await;
    assert_eq!(taken.first("RequestStatus"), "Approved", "{}", taken.text());
    assert_eq!(
        taken.first("Identity"),
        ids.first().unwrap().as_str(),
        "the one that waited"
    );
    let ran = gateway.invoke("ana", "New-TransportRule", rule).await;
    assert_ne!(ran.status, StatusCode::FORBIDDEN, "{}", ran.text());
    assert_eq!(
        rules(&gateway, "New-TransportRule").last().unwrap(),
        "break-glass"
    );
    let unreviewed = gateway
        .invoke(
            "amy",
            "Get-ElevatedAccessAuthorization",
            json!({"AwaitsReview": true}),
        )
        .await;
    assert_eq!(unreviewed.first("Requestor"), upn("ana"));
    let review =
        json!({"Identity": unreviewed.first("Identity"), "Review": true, "Comment": "fine"});
    let reviewed = gateway
        .invoke("amy", "Set-ElevatedAccessAuthorization", review)
        .await;
    assert_eq!(
        reviewed.first("ReviewedBy"),
        upn("amy"),
        "{}",
        reviewed.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_read_under_a_grant_than_its_policy_allows() {
    let gateway = with_operators().await;
    grant(
        &gateway,
        "ana",
        json!({"Task": r"Exchange\Get-Recipient", "Reason": "r"}),
    )
    .await;
    let read = async |who: Value| {
        let answer = gateway
            .invoke("ana", "Get-Recipient", json!({"Identity": who}))
            .await;
        (answer.status != StatusCode::FORBIDDEN, answer.error())
    };
    assert!(read(json!("eva")).await.0);
    let (passed, text) = read(json!(["ana", "amy"])).await;
    assert!(!passed && text.contains("different identities"), "{text}");
    assert!(read(json!("ana")).await.0);
    let (passed, text) = read(json!("ana")).await;
    assert!(!passed && text.contains("2 calls"), "{text}");
    let rules = rules(&gateway, "Get-Recipient");
    assert_eq!(
        rules,
        ["granted", "spread-limit", "granted", "spread-limit"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_change_policies_and_the_switch_while_the_gateway_runs_and_it_lasts() {
    let mut gateway = with_operators().await;
    let make = json!({"Task": r"Exchange\Set-OrganizationConfig", "ApprovalType": "Auto"});
    let refused = gateway
        .invoke("amy", "New-ElevatedAccessApprovalPolicy", make.clone())
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    assert!(
        refused.error().contains("a member of the group `keepers`"),
        "{}",
        refused.error()
    );
    let call = json!({"MailTipsAllTipsEnabled": true});
    let before = gateway
        .invoke("ana", "Set-OrganizationConfig", call.clone())
        .await;
    assert_ne!(before.status, StatusCode::FORBIDDEN, "ungoverned");
    let made = gateway
        .invoke("bo", "New-ElevatedAccessApprovalPolicy", make)
        .await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    assert!(
        made.first("Source")
            .as_str()
            .unwrap()
            .starts_with("store, by bo@contoso.example")
    );
    for round in 0..2 {
        let blocked = gateway
            .invoke("ana", "Set-OrganizationConfig", call.clone())
            .await;
        assert_eq!(
            blocked.status,
            StatusCode::FORBIDDEN,
            "round {round}: {}",
            blocked.text()
        );
        if round == 0 {
            gateway.kill();
            gateway.restart();
        }
    }
    // A reload of the files keeps the store's policy, unless a file has it now.
    let shadowed = format!(
        "{POLICIES}\n{EMERGENCY}\n[[policy]]\ntask = 'Exchange\\Set-OrganizationConfig'\napproval = \"never\"\n"
    );
    gateway.write_policies(&shadowed);
    gateway.wait_for_log("Policies are in force");
    let blocked = gateway
        .invoke("ana", "Set-OrganizationConfig", call.clone())
        .await;
    assert!(
        blocked.error().contains("blocked for everyone"),
        "{}",
        blocked.error()
    );
    gateway.write_policies(&format!("{POLICIES}\n{EMERGENCY}"));
    gateway.wait_for_log("Policies are in force");
    let blocked = gateway
        .invoke("ana", "Set-OrganizationConfig", call.clone())
        .await;
    assert!(
        blocked.error().contains("needs approval"),
        "{}",
        blocked.error()
    );

    for (cmdlet, passes) in [
        ("Disable-ElevatedAccessControl", true),
        ("Enable-ElevatedAccessControl", false),
    ] {
        let refused = gateway.invoke("ana", cmdlet, json!({})).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
        let done = gateway.invoke("bo", cmdlet, json!({})).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text());
        gateway.kill();
        gateway.restart();
        let answer = gateway
            .invoke("ana", "Set-OrganizationConfig", call.clone())
            .await;
        assert_eq!(
            answer.status != StatusCode::FORBIDDEN,
            passes,
            "{}",
            answer.text()
        );
    }
    let remove = json!({"Identity": r"Exchange\Set-OrganizationConfig"});
    let removed = gateway
        .invoke("bo", "Remove-ElevatedAccessApprovalPolicy", remove)
        .await;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.text());
    let free = gateway.invoke("ana", "Set-OrganizationConfig", call).await;
    assert_ne!(free.status, StatusCode::FORBIDDEN, "{}", free.text());
    let kinds: Vec<_> = gateway
        .records()
        .iter()
        .filter_map(|it| it["kind"].as_str().map(str::to_owned))
        .filter(|it| it.starts_with("policy.") || it.starts_with("access-control."))
        .collect();
    let expected = [
        "policy.created",
        "access-control.disabled",
        "access-control.enabled",
        "policy.removed",
    ];
    assert_eq!(kinds, expected);
}

/// How many requests and approvers there are in the crowd.
const REQUESTS: usize = 100;
const APPROVERS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_requests_are_approved_by_twenty_at_once_over_crashes_once_each() {
    let approvers: Vec<String> = (0..APPROVERS).map(|it| format!("approver{it}")).collect();
    let members: Vec<String> = approvers
        .iter()
        .map(|it| format!("\"{}\"", upn(it)))
        .collect();
    let policies = format!(
        "[[group]]\nname = \"crowd\"\nmembers = [{}]\n\n[[policy]]\ntask = 'Exchange\\Remove-*'\napproval = \"manual\"\napprovers = [\"crowd\"]\napprovals = 2\n",
        members.join(", ")
    );
    let mut gateway = Gateway::with(Setup {
        policies,
        more_people: approvers.clone(),
        ..Setup::default()
    })
    .await;
    let mut ids = Vec::new();
    for number in 0..REQUESTS {
        let ask = json!({"Task": format!(r"Exchange\Remove-Thing{number}"), "Reason": "r"});
        let filed = gateway
            .invoke("ana", "New-ElevatedAccessRequest", ask)
            .await;
        assert_eq!(filed.status, StatusCode::OK, "{}", filed.text());
        ids.push(filed.first("Identity").as_str().unwrap().to_owned());
    }
    let ids = Arc::new(ids);
    let (place, watched) = watch::channel(Some(gateway.proxy()));
    let (done, mut counted) = watch::channel(0);
    let done = Arc::new(done);
    let ca = gateway.path("certs/ca.pem");
    let crowd: Vec<_> = approvers
        .iter()
        .enumerate()
        .map(|(number, person)| {
            let (ids, done, ca) = (Arc::clone(&ids), Arc::clone(&done), ca.clone());
            let (person, mut place) = (person.clone(), watched.clone());
            tokio::spawn(async move {
                let mut approved = Vec::new();
                // Each begins elsewhere, so that several are at each request at once.
                let mut left: Vec<String> = (0..REQUESTS)
                    .map(|it| ids[(it + number * 5) % REQUESTS].clone())
                    .rev()
                    .collect();
                while !left.is_empty() {
                    let Ok(address) = place.wait_for(Option::is_some).await.map(|it| *it) else {
                        break;
                    };
                    let address = address.unwrap();
                    let round: Result<(), Gone> = async {
                        let mut connection = Connection::open(address, &ca, Http::One).await?;
                        while let Some(id) = left.last().cloned() {
                            let approve =
                                command("Approve-ElevatedAccessRequest", json!({"RequestId": id}));
                            let call =
                                request(&person, Method::POST, &invoke_path(), approve.to_string());
                            let answer = connection.send(call).await?;
                            match answer.status {
                                StatusCode::OK => approved.push(id),
                                StatusCode::BAD_REQUEST => {
                                    // Decided already, or answered in the life before without hearing of it.
                                    let text = answer.error();
                                    assert!(text.contains("already"), "{text}");
                                }
                                StatusCode::SERVICE_UNAVAILABLE => continue,
                                status => panic!("{status}: {}", answer.text()),
                            }
                            left.pop();
                            done.send_modify(|it| *it += 1);
                        }
                        Ok(())
                    }
                    .await;
                    if round.is_err() {
                        // The next life has another address.
                        let _ = place.wait_for(|it| *it != Some(address)).await;
                    }
                }
                approved
            })
        })
        .collect();
    for kill_after in [60, 150, 260] {
        counted.wait_for(|it| *it >= kill_after).await.unwrap();
        gateway.kill();
        place.send_replace(None);
        gateway.restart();
        place.send_replace(Some(gateway.proxy()));
    }
    let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
    for approver in crowd {
        for id in approver.await.unwrap() {
            *acknowledged.entry(id).or_default() += 1;
        }
    }
    assert!(acknowledged.values().all(|it| *it <= 2), "{acknowledged:?}");

    let grants = gateway
        .invoke("ana", "Get-ElevatedAccessAuthorization", json!({}))
        .await
        .json();
    let grants = grants["value"].as_array().unwrap();
    assert_eq!(grants.len(), REQUESTS);
    let of: BTreeSet<_> = grants
        .iter()
        .map(|it| it["RequestId"].as_str().unwrap())
        .collect();
    assert_eq!(of, ids.iter().map(String::as_str).collect());
    for grant in grants {
        let by: BTreeSet<_> = grant["AuthorizedBy"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        assert_eq!(by.len(), 2, "{grant}");
        assert_eq!(grant["State"], "Active");
    }
    assert!(gateway.terminate().success());
    // A record that was delivered again after a crash keeps its id.
    let mut told: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for record in gateway.records() {
        let kind = record["kind"].as_str().unwrap();
        if kind.starts_with("request.") || kind.starts_with("grant.") {
            let key = (
                kind.to_owned(),
                record["request"].as_str().unwrap().to_owned(),
            );
            let id = record["id"].as_str().unwrap().to_owned();
            told.entry(key).or_default().insert(id);
        }
    }
    assert_eq!(told.len(), 4 * REQUESTS);
    assert!(told.values().all(|it| it.len() == 1), "{told:?}");
    let (code, text) = gateway.portcullis(&["audit", "verify", "data/audit"]);
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_hides_is_in_no_block_and_no_request_that_a_block_suggests() {
    let policies = format!(
        r#"{POLICIES}
[[policy]]
effect = "grant-privilege"
approval = "manual"
approvers = ["mbmanagers"]

[[policy]]
task = 'Exchange\Set-Contact'
approval = "auto"
[policy.parameters]
CustomAttribute1 = {{ one_of = ["4711-0815"] }}
"#
    );
    let hidden = "redact = [\"roleAssignmentPolicy\", \"CustomAttribute1\"]";
    let setup = Setup {
        policies,
        extra: BTreeMap::from([("audit", hidden.to_owned())]),
        ..Setup::default()
    };
    let gateway = Gateway::with(setup).await;
    let blocked = async |name: &str| {
        let mut parameters = json!({"Identity": "eva"});
        parameters[name] = json!("x");
        let answer = gateway.invoke("ana", "Enable-Mailbox", parameters).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
        answer.error()
    };
    // The control: what nobody hides, the request names.
    let text = blocked("LinkedMasterAccount").await;
    assert!(
        text.contains("-Parameters @{LinkedMasterAccount='…'}"),
        "{text}"
    );
    let text = blocked("RoleAssignmentPolicy").await;
    assert!(!text.contains("-Parameters"), "{text}");
    assert!(text.contains("-Task 'effect:grant-privilege'"), "{text}");
    // What is suggested can be asked for, and covers the call.
    let ask = json!({"Task": "effect:grant-privilege", "Reason": "r"});
    grant(&gateway, "ana", ask).await;
    let call = json!({"Identity": "eva", "RoleAssignmentPolicy": "x"});
    let answer = gateway.invoke("ana", "Enable-Mailbox", call).await;
    assert_ne!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
    // Nor does a rule tell the values that would do.
    let call = json!({"CustomAttribute1": "x"});
    let answer = gateway.invoke("ana", "Set-Contact", call).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(
        answer.error().contains("be what the policy asks for"),
        "{}",
        answer.text()
    );
    assert!(!answer.text().contains("4711-0815"), "{}", answer.text());
}
