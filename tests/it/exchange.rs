//! The Exchange dialect end to end, against the sample endpoint: pages, batches, prompts, reads, sessions, CLIXML.

use http::{Method, StatusCode};
use portcullis::demo::exchange::Effect;
use serde_json::{Value, json};

use crate::client::{Answer, Http, command, invoke_path, request};
use crate::gateway::{Gateway, TENANT, basic};

async fn get(gateway: &Gateway, path: &str) -> Answer {
    let path = format!("/adminapi/beta/{TENANT}/{path}");
    gateway
        .send(Http::Two, request("ana", Method::GET, &path, ""))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pages_of_a_result_come_through_links_to_the_gateway() {
    let gateway = Gateway::start().await;
    let base = format!("https://localhost:{}", gateway.proxy().port());
    let body = command("Get-Mailbox", json!({"ResultSize": "Unlimited"})).to_string();
    let (mut path, mut pages, mut names) = (invoke_path(), 0, Vec::new());
    loop {
        let mut page = request("ana", Method::POST, &path, body.clone());
        let headers = page.headers_mut();
        headers.insert("prefer", "odata.maxpagesize=5".parse().unwrap());
        headers.insert(
            "client-request-id",
            "5f1e7a7e-0000-4000-8000-000000000001".parse().unwrap(),
        );
        let answer = gateway.send(Http::One, page).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let answer = answer.json();
        pages += 1;
        assert!(
            answer["@odata.context"]
                .as_str()
                .unwrap()
                .starts_with(&base),
            "{answer}"
        );
        let objects = answer["value"].as_array().unwrap();
        assert!(objects.len() <= 5);
        names.extend(
            objects
                .iter()
                .map(|it| it["Alias"].as_str().unwrap().to_owned()),
        );
        match answer["@odata.nextLink"].as_str() {
            None => break,
            Some(link) => path = link.strip_prefix(&base).unwrap().to_owned(),
        }
    }
    assert_eq!((pages, names.len()), (3, 14), "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 14);
    let records = gateway.records();
    let tied: Vec<_> = records
        .iter()
        .filter(|it| it["client_request_id"] == "5f1e7a7e-0000-4000-8000-000000000001")
        .map(|it| it["page"].as_bool().unwrap())
        .collect();
    assert_eq!(tied, [false, true, true]);
    let pages: Vec<_> = gateway
        .sample
        .executed()
        .iter()
        .map(|it| it.is_page)
        .collect();
    assert_eq!(pages, [false, true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_batch_is_decided_item_by_item() {
    let gateway = Gateway::start().await;
    let item = |id: &str, cmdlet: &str, parameters: Value| {
        json!({
            "id": id, "method": "POST", "url": format!("https://localhost:{}{}", gateway.proxy().port(), invoke_path()),
            "headers": {"Content-Type": "application/json", "Authorization": basic("ana")},
            "body": command(cmdlet, parameters),
        })
    };
    let batch = json!({"requests": [
        item("1", "Get-Mailbox", json!({"Identity": "eva@contoso.example"})),
        item("2", "New-MoveRequest", json!({"Identity": "eva@contoso.example"})),
        item("3", "Get-ElevatedAccessControl", json!({})),
        item("4", "Get-Mailbox", json!({"Identity": "nobody@contoso.example"})),
    ]});
    let path = format!("/adminapi/beta/{TENANT}/$batch");
    let answer = gateway.post("ana", &path, &batch).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = answer.json();
    let seen: Vec<_> = answer["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["id"].as_str().unwrap(), it["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(seen, [("1", 200), ("2", 403), ("3", 200), ("4", 404)]);
    assert_eq!(gateway.ran(), ["Get-Mailbox", "Get-Mailbox"]);
    let outcomes = gateway.eventually("all outcomes are on record", |it| {
        let records = it.records();
        let outcomes: Vec<_> = records
            .iter()
            .filter(|it| it["kind"] == "outcome")
            .map(|it| format!("{} {}", it["result"].as_str().unwrap(), it["status"]))
            .collect();
        (outcomes.len() == 3).then_some(outcomes)
    });
    assert!(outcomes.contains(&"failed 404".to_owned()), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompted_cmdlet_asks_first_and_runs_once() {
    let gateway = Gateway::start().await;
    let ask = async |confirm: Value| {
        let parameters = json!({"Identity": "eva@contoso.example", "Confirm": confirm});
        gateway.invoke("ana", "Remove-Mailbox", parameters).await
    };
    assert_eq!(
        ask(json!(true)).await.status,
        StatusCode::FORBIDDEN,
        "even a question is governed"
    );
    gateway
        .grant("ana", r"Exchange\Remove-Mailbox", "amy")
        .await;
    let question = ask(json!(true)).await;
    assert_eq!(question.status, StatusCode::OK, "{}", question.text());
    assert!(
        question.json()["@adminapi.confirmationmessage"]
            .as_str()
            .unwrap()
            .contains("Are you sure")
    );
    let simulated = json!({"Identity": "eva@contoso.example", "WhatIf": true});
    let simulated = gateway.invoke("ana", "Remove-Mailbox", simulated).await;
    assert!(simulated.text().contains("What if"), "{}", simulated.text());
    assert_eq!(ask(json!(false)).await.status, StatusCode::NO_CONTENT);
    let effects: Vec<_> = gateway
        .sample
        .executed()
        .iter()
        .map(|it| it.effect)
        .collect();
    assert_eq!(effects, [Effect::Prompted, Effect::Simulated, Effect::Done]);
    let trials: Vec<_> = gateway
        .records()
        .iter()
        .filter(|it| it["rule"] == "granted")
        .map(|it| it["trial"].as_bool().unwrap())
        .collect();
    assert_eq!(trials, [true, true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_entities_are_decided_as_the_cmdlets_that_they_are() {
    let gateway = Gateway::start().await;
    for path in [
        "Mailbox('eva@contoso.example')?PropertySet=Minimum",
        "Mailbox('ZXZhQGNvbnRvc28uZXhhbXBsZQ==')?isEncoded=true",
        "Mailbox('info@contoso.example')/MailboxPermission",
    ] {
        let answer = get(&gateway, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    }
    let tasks: Vec<_> = gateway
        .records()
        .iter()
        .filter(|it| it["kind"] == "decision")
        .map(|it| {
            format!(
                "{} {}",
                it["task"].as_str().unwrap(),
                it["parameters"]["Identity"].as_str().unwrap_or("-")
            )
        })
        .collect();
    insta::assert_snapshot!(tasks.join("\n"), @r"
    Exchange\Get-EXOMailbox eva@contoso.example
    Exchange\Get-EXOMailbox eva@contoso.example
    Exchange\Get-EXOMailboxPermission info@contoso.example
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_set_up_through_the_gateway() {
    let gateway = Gateway::start().await;
    for path in [
        "EXOBanner('AutogenSession')?Version=3.7.2",
        "EXOModuleFile?Version=3.7.2",
        "basicinfo('AdminApiState')",
        "$metadata",
    ] {
        let answer = get(&gateway, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        assert!(
            !answer
                .text()
                .contains(&gateway.sample.address().to_string()),
            "{path}: {}",
            answer.text()
        );
    }
    assert_eq!(
        get(&gateway, "SomethingElse").await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(gateway.sample.arrived().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clixml_is_answered_by_both_the_upstream_and_the_gateway() {
    let gateway = Gateway::start().await;
    for (cmdlet, word) in [
        ("Get-Mailbox", "eva"),
        ("Get-ElevatedAccessControl", "Enforce"),
    ] {
        let parameters = match cmdlet {
            "Get-Mailbox" => json!({"Identity": "eva@contoso.example"}),
            _ => json!({}),
        };
        let mut call = request(
            "ana",
            Method::POST,
            &invoke_path(),
            command(cmdlet, parameters).to_string(),
        );
        call.headers_mut()
            .insert("x-responseformat", "clixml".parse().unwrap());
        let answer = gateway.send(Http::One, call).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let document = answer.first("_clixml");
        let document = document.as_str().unwrap();
        assert!(
            document.starts_with("<Objs") && document.contains(word),
            "{document}"
        );
    }
}
