//! The life of requests and grants through the API, beside that through cmdlets.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Ask, problem, with_keepers};
use crate::gateway::Gateway;

const MOVE: &str = r"Exchange\New-MoveRequest";

#[tokio::test]
async fn the_whole_life_goes_through_the_api() {
    let gateway = Gateway::with(with_keepers()).await;
    let blocked = gateway
        .invoke("ana", "New-MoveRequest", json!({"Identity": "x"}))
        .await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);

    let id = gateway.file_by_api("ana", MOVE).await;
    let waiting = gateway
        .get_api("amy", "/requests?whose=to-decide")
        .await
        .json();
    assert_eq!(waiting["items"][0]["id"], id.as_str());
    assert_eq!(
        waiting["items"][0]["missing_approvals"],
        "1 approval of `mbmanagers`"
    );

    let body = json!({"comment": "fine", "duration_seconds": 600, "parameters": [{"name": "Identity", "one_of": ["x"]}]});
    let approved = gateway
        .post_api("amy", &format!("/requests/{id}/approve"), &body)
        .await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text());
    let approved = approved.json();
    assert_eq!(approved["status"], "approved");
    assert_eq!(approved["votes"][0]["approver"], "amy@contoso.example");
    assert_eq!(approved["votes"][0]["duration_seconds"], 600);
    let grant = approved["grant"]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        approved["grant"]["parameters"],
        json!([{"name": "Identity", "one_of": ["x"]}])
    );

    let ran = gateway
        .invoke("ana", "New-MoveRequest", json!({"Identity": "x"}))
        .await;
    // It came to the upstream, which has no such mailbox.
    assert_eq!(ran.status, StatusCode::NOT_FOUND, "{}", ran.text());
    let other = gateway
        .invoke("ana", "New-MoveRequest", json!({"Identity": "y"}))
        .await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);

    let extension = gateway
        .post_api(
            "ana",
            &format!("/grants/{grant}/extend"),
            &json!({"reason": "more", "duration_seconds": 60}),
        )
        .await;
    assert_eq!(
        extension.status,
        StatusCode::CREATED,
        "{}",
        extension.text()
    );
    assert_eq!(extension.json()["extends"], grant.as_str());
    let request = extension.json()["id"].as_str().unwrap().to_owned();
    let withdrawn = gateway
        .post_api("ana", &format!("/requests/{request}/withdraw"), &json!({}))
        .await;
    assert_eq!(withdrawn.json()["status"], "withdrawn");

    let revoked = gateway
        .post_api(
            "bo",
            &format!("/grants/{grant}/revoke"),
            &json!({"comment": "enough"}),
        )
        .await;
    assert_eq!(revoked.json()["status"], "revoked", "{}", revoked.text());
    assert_eq!(revoked.json()["closed_comment"], "enough");
    let blocked = gateway
        .invoke("ana", "New-MoveRequest", json!({"Identity": "x"}))
        .await;
    assert_eq!(blocked.status, StatusCode::FORBIDDEN);

    let records = gateway.records();
    for kind in [
        "request.filed",
        "request.approved",
        "grant.created",
        "request.withdrawn",
        "grant.revoked",
    ] {
        let record = records.iter().find(|it| it["kind"] == kind).unwrap();
        let details = &record["details"];
        assert_eq!(
            (&details["via"], &details["identity"]),
            (&json!("api"), &json!("people")),
            "{record}"
        );
        assert_eq!(record["source"], "127.0.0.1", "{record}");
    }
}

#[tokio::test]
async fn cmdlets_and_the_api_are_one_workflow() {
    let gateway = Gateway::with(with_keepers()).await;
    let parameters = json!({"Task": MOVE, "Reason": "by cmdlet"});
    let filed = gateway
        .invoke("ana", "New-ElevatedAccessRequest", parameters)
        .await;
    let id = filed.first("Identity").as_str().unwrap().to_owned();
    // The equal request through the API is the pending one.
    let same = gateway
        .post_api(
            "ana",
            "/requests",
            &json!({"task": MOVE, "reason": "by api"}),
        )
        .await;
    assert_eq!(same.status, StatusCode::OK, "{}", same.text());
    assert_eq!(same.json()["id"], id.as_str());
    let denied = gateway
        .post_api(
            "bo",
            &format!("/requests/{id}/deny"),
            &json!({"comment": "no"}),
        )
        .await;
    assert_eq!(denied.json()["status"], "denied", "{}", denied.text());
    let shown = gateway
        .invoke("ana", "Get-ElevatedAccessRequest", json!({"RequestId": id}))
        .await;
    assert_eq!(shown.first("RequestStatus"), "Denied");
    let late = gateway
        .post_api("amy", &format!("/requests/{id}/approve"), &json!({}))
        .await;
    assert_eq!(
        (late.status, problem(&late).as_str()),
        (StatusCode::CONFLICT, "conflict")
    );
    assert!(
        late.json()["detail"]
            .as_str()
            .unwrap()
            .contains("bo@contoso.example"),
        "{}",
        late.text()
    );
}

#[tokio::test]
async fn of_two_approvers_at_once_one_decides_and_the_other_is_told() {
    let gateway = Gateway::with(with_keepers()).await;
    let id = gateway.file_by_api("ana", MOVE).await;
    let (approve, deny) = (
        format!("/requests/{id}/approve"),
        format!("/requests/{id}/deny"),
    );
    let body = json!({});
    let (one, two) = tokio::join!(
        gateway.post_api("amy", &approve, &body),
        gateway.post_api("bo", &deny, &body)
    );
    let statuses = BTreeSet::from([one.status.as_u16(), two.status.as_u16()]);
    assert_eq!(
        statuses,
        BTreeSet::from([200, 409]),
        "{} {}",
        one.text(),
        two.text()
    );
    let is_approved = one.status == StatusCode::OK;
    let shown = gateway
        .get_api("ana", &format!("/requests/{id}"))
        .await
        .json();
    assert_eq!(
        shown["status"],
        if is_approved { "approved" } else { "denied" }
    );
    assert_eq!(shown["grant"].is_null(), !is_approved);
}

#[tokio::test]
async fn break_glass_is_taken_at_once_and_reviewed_by_another() {
    let gateway = Gateway::with(with_keepers()).await;
    let body =
        json!({"task": r"Exchange\New-TransportRule", "reason": "outage", "break_glass": true});
    let not_ana = gateway.post_api("ana", "/requests", &body).await;
    assert_eq!(problem(&not_ana), "forbidden");
    let taken = gateway.post_api("ivy", "/requests", &body).await;
    assert_eq!(taken.status, StatusCode::CREATED, "{}", taken.text());
    let grant = taken.json()["grant"].clone();
    assert_eq!(
        (&grant["break_glass"], &grant["awaits_review"]),
        (&json!(true), &json!(true))
    );
    let waiting = gateway
        .get_api("amy", "/grants?awaiting_review=true")
        .await
        .json();
    assert_eq!(waiting["items"][0]["id"], grant["id"]);
    let review = format!("/grants/{}/review", grant["id"].as_str().unwrap());
    let own = gateway.post_api("ivy", &review, &json!({})).await;
    assert_eq!(problem(&own), "forbidden");
    let reviewed = gateway
        .post_api("amy", &review, &json!({"comment": "seen"}))
        .await;
    assert_eq!(
        reviewed.json()["reviewed_by"],
        "amy@contoso.example",
        "{}",
        reviewed.text()
    );
    let ended = gateway
        .post_api("ivy", &review.replace("review", "end"), &json!({}))
        .await;
    assert_eq!(ended.json()["status"], "ended");
}

#[tokio::test]
async fn a_listing_is_stable_while_requests_come() {
    let gateway = Gateway::with(with_keepers()).await;
    let mut filed = Vec::new();
    for number in 0..7 {
        let task = format!(r"Exchange\Remove-Thing{number}");
        filed.push(gateway.file_by_api("ana", &task).await);
    }
    let mut seen: Vec<String> = Vec::new();
    let mut path = "/requests?whose=mine&limit=2".to_owned();
    loop {
        let page = gateway.get_api("ana", &path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        let page = page.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        // New ones come before the first part, and are in none of the next.
        gateway
            .file_by_api("ana", &format!(r"Exchange\Remove-Late{}", seen.len()))
            .await;
        match &page["next"] {
            Value::String(next) => path = format!("/requests?whose=mine&limit=2&cursor={next}"),
            _ => break,
        }
    }
    filed.reverse();
    assert_eq!(seen, filed);
}

#[tokio::test]
async fn listings_are_filtered_and_show_only_what_one_may_know() {
    let gateway = Gateway::with(with_keepers()).await;
    let first = gateway.file_by_api("ana", MOVE).await;
    let second = gateway.file_by_api("ivy", r"Exchange\Remove-Mailbox").await;
    gateway
        .post_api("amy", &format!("/requests/{first}/deny"), &json!({}))
        .await;
    let ids = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for (person, query, expected) in [
        ("ana", "", vec![&first]),
        ("amy", "", vec![&second, &first]),
        ("amy", "?status=denied", vec![&first]),
        ("amy", "?principal=IVY@contoso.example", vec![&second]),
        ("amy", "?task=exchange%5Cnew-moverequest", vec![&first]),
        ("amy", "?policy=Exchange%5CRemove-*", vec![&second]),
        ("amy", "?since=2999-01-01T00:00:00Z", vec![]),
        ("amy", "?whose=mine", vec![]),
        ("amy", "?whose=to-decide", vec![&second]),
        ("sys1", "", vec![]),
    ] {
        let page = gateway.get_api(person, &format!("/requests{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}: {}", page.text());
        assert_eq!(
            ids(&page.json()).iter().collect::<Vec<_>>(),
            expected,
            "{person} {query}"
        );
    }
    let hidden = gateway.get_api("sys1", &format!("/requests/{first}")).await;
    assert_eq!(problem(&hidden), "not-found");
}

#[tokio::test]
async fn a_write_that_is_sent_again_is_done_once() {
    let gateway = Gateway::with(with_keepers()).await;
    let send = |body: Value| {
        let ask = Ask::by("ana", "POST", "/requests").header("idempotency-key", "a-key");
        ask.json(&body).send(&gateway)
    };
    let body = json!({"task": MOVE, "reason": "because"});
    let first = send(body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text());
    let id = first.json()["id"].as_str().unwrap().to_owned();
    gateway
        .post_api("ana", &format!("/requests/{id}/withdraw"), &json!({}))
        .await;
    let again = send(body.clone()).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.headers["location"], first.headers["location"]);
    let other = send(json!({"task": MOVE, "reason": "other"})).await;
    assert_eq!(
        (other.status, problem(&other).as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused")
    );
    // Another person's key of the same text is another key.
    let hers = Ask::by("ivy", "POST", "/requests")
        .header("idempotency-key", "a-key")
        .json(&body);
    assert_eq!(hers.send(&gateway).await.status, StatusCode::CREATED);
    // What was refused is refused again, without being looked at.
    let wrong = json!({"task": r"Exchange\Get-Mailbox", "reason": "x"});
    for _ in 0..2 {
        let refused = Ask::by("ana", "POST", "/requests")
            .header("idempotency-key", "second")
            .json(&wrong);
        assert_eq!(problem(&refused.send(&gateway).await), "invalid");
    }
    let filed = gateway
        .records()
        .iter()
        .filter(|it| it["kind"] == "request.filed")
        .count();
    assert_eq!(filed, 2);
}

#[tokio::test]
async fn the_same_write_sent_many_times_at_once_is_done_once_also_over_a_crash() {
    let mut gateway = Gateway::with(with_keepers()).await;
    let body = json!({"policy": r"Exchange\Remove-*", "reason": "because"});
    let send = || {
        Ask::by("ana", "POST", "/requests")
            .header("idempotency-key", "k")
            .json(&body)
            .send(&gateway)
    };
    let answers = futures_util::future::join_all((0..8).map(|_| send())).await;
    for answer in &answers {
        let is_fit = answer.status == StatusCode::CREATED || problem(answer) == "unknown-outcome";
        assert!(is_fit, "{}", answer.text());
    }
    let made: BTreeSet<String> = answers
        .iter()
        .filter(|it| it.status == StatusCode::CREATED)
        .map(|it| it.json()["id"].to_string())
        .collect();
    assert_eq!(made.len(), 1);
    gateway.kill();
    gateway.restart();
    let again = Ask::by("ana", "POST", "/requests")
        .header("idempotency-key", "k")
        .json(&body);
    let again = again.send(&gateway).await;
    assert_eq!(
        (again.status, again.json()["id"].to_string()),
        (StatusCode::CREATED, made.first().unwrap().clone())
    );
}

#[tokio::test]
async fn explain_and_who_can_tell_what_would_happen() {
    let gateway = Gateway::with(with_keepers()).await;
    let gateway = &gateway;
    let explain =
        |body: Value| async move { gateway.post_api("ana", "/decisions/explain", &body).await };
    let needs = explain(json!({"task": MOVE, "parameters": {"Identity": "x"}})).await;
    let needs = needs.json();
    assert_eq!(
        (&needs["verdict"], &needs["rule"]),
        (&json!("block"), &json!("needs-approval")),
        "{needs}"
    );
    let explanation = needs["explanation"].as_str().unwrap();
    assert!(explanation.contains("New-ElevatedAccessRequest"), "{needs}");
    assert_eq!(
        needs["steps"].as_array().unwrap().last().unwrap()["decides"],
        true
    );
    gateway.grant("ana", MOVE, "amy").await;
    let granted = explain(json!({"task": MOVE})).await.json();
    assert_eq!(granted["rule"], "granted");
    let others = explain(json!({"task": MOVE, "principal": "ivy@contoso.example"})).await;
    assert_eq!(problem(&others), "forbidden");
    let body = json!({"task": MOVE, "principal": "ana@contoso.example"});
    let by_operator = gateway.post_api("ivy", "/decisions/explain", &body).await;
    assert_eq!(
        by_operator.json()["rule"],
        "granted",
        "{}",
        by_operator.text()
    );
    let unserved = explain(json!({"task": r"Teams\Get-Team"})).await;
    assert_eq!(problem(&unserved), "invalid");

    let who = gateway
        .get_api("amy", r"/who-can?task=Exchange%5CNew-MoveRequest")
        .await
        .json();
    assert_eq!(
        who["policies"][0]["approvers"],
        json!(["mbmanagers"]),
        "{who}"
    );
    assert_eq!(who["grants"][0]["holder"], "ana@contoso.example");
    assert_eq!(who["exemptions"][0]["account"], "sys1@contoso.example");
    // A stranger to it sees neither the grant nor the exemption.
    let less = gateway
        .get_api("sys1", r"/who-can?task=Exchange%5CNew-MoveRequest")
        .await
        .json();
    assert_eq!(
        (&less["grants"], &less["exemptions"]),
        (&json!([]), &json!([]))
    );
}
