//! `$batch`, read and written, and the answers put together (exchange-rest section 4).

use bytes::Bytes;
use http::StatusCode;
use uuid::Uuid;

use super::super::{Batch, MAX_BATCH_ITEMS, merge_batch, refuse, write_batch};
use super::*;
use crate::dialect::{Problem, Reply};

fn batch(requests: &str) -> Sent {
    let mut sent = invoke(format!(r#"{{"requests":[{requests}]}}"#));
    sent.path = format!("/adminapi/beta/{TENANT}/$batch");
    sent
}

fn item(id: &str, url: &str, headers: &str) -> String {
    let url = url.replace("{t}", TENANT);
    format!(
        r#"{{"id":"{id}","method":"POST","url":"{url}","headers":{headers},"body":{{"CmdletInput":{{"CmdletName":"Set-Mailbox","Parameters":{{"Identity":"{id}"}}}}}}}}"#
    )
}

const URL: &str = "https://outlook.office365.com/adminapi/beta/{t}/InvokeCommand";

fn read_batch(sent: &Sent) -> Batch {
    match sent.read() {
        Ok(Operation::Batch(batch)) => batch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_as_clients_send_it_is_read_and_written() {
    let headers = r#"{"Authorization":"Bearer inner","X-CmdletName":"Get-Mailbox","X-AnchorMailbox":"UPN:a@c.example","Content-Type":"application/json","Prefer":"odata.maxpagesize = 1000;odata.continue-on-error","Cookie":"x"}"#;
    let sent = batch(&[
        item("0", URL, headers),
        item("9fe1", "https://OUTLOOK.office365.com:443/AdminApi/beta/{t}/InvokeCommand?", "{}"),
        item("page", "https://gate.example/adminapi/beta/{t}/InvokeCommand?$skiptoken=t%3D&portcullis-host=eur01.outlook.office365.com", "{}"),
    ]
    .join(","))
    .header("x-cmdletname", "Get-Nothing")
    .header("prefer", "odata.continue-on-error");
    let read = read_batch(&sent);
    assert_eq!(read.frame.tenant(), TENANT);
    let ids: Vec<_> = read.items.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["0", "9fe1", "page"]);
    assert_eq!(read.items[0].authorization.as_deref(), Some("Bearer inner"));
    assert_eq!(read.items[1].authorization, None);
    assert_eq!(
        read.items[2].call.regional_host(),
        Some("eur01.outlook.office365.com")
    );
    assert!(read.items[2].call.is_page());
    assert_eq!(
        line(&read.items[0].call),
        r"Exchange\Set-Mailbox -Identity 0"
    );

    let permitted: Vec<_> = read
        .items
        .iter()
        .map(|it| (it.id.as_str(), &it.call))
        .take(2)
        .collect();
    let out = write_batch(
        &read.frame,
        &permitted,
        "outlook.office365.com",
        Some("Bearer outer"),
    );
    assert_eq!(
        out.path_and_query,
        format!("/adminapi/beta/{TENANT}/$batch")
    );
    assert_eq!(out.headers.get("x-cmdletname").unwrap(), "Set-Mailbox");
    assert_eq!(
        out.headers.get("prefer").unwrap(),
        "odata.continue-on-error"
    );
    insta::assert_snapshot!(String::from_utf8(out.body.to_vec()).unwrap());

    let again = read_batch(&out.into());
    assert_eq!(again.frame, read.frame);
    for (again, first) in again.items.iter().zip(&read.items) {
        assert_eq!(again.authorization.as_deref(), Some("Bearer outer"));
        assert_eq!(again.call, first.call);
    }
    assert_eq!(again.items.len(), 2);
}

#[test]
fn items_of_any_other_form_are_refused() {
    let plain = item("0", URL, "{}");
    assert_eq!(batch(&plain).reason(), "read");
    let with = |from: &str, to: &str| {
        assert!(plain.contains(from));
        plain.replace(from, to)
    };
    let nested = r#""body":{"requests":[]}"#;
    let body =
        r#""body":{"CmdletInput":{"CmdletName":"Set-Mailbox","Parameters":{"Identity":"0"}}}"#;
    for (item, reason) in [
        (String::new(), "batch-size"),
        (with("\"POST\"", "\"post\""), "batch-method"),
        (with("\"POST\"", "\"GET\""), "batch-method"),
        (with("\"POST\"", "\"PATCH\""), "batch-method"),
        (with("https://outlook.office365.com/", "/"), "batch-url"),
        (
            with(
                "https://outlook.office365.com/",
                "http://outlook.office365.com/",
            ),
            "batch-url",
        ),
        (
            with(
                &format!("https://outlook.office365.com/adminapi/beta/{TENANT}/"),
                "",
            ),
            "batch-url",
        ),
        (with("outlook.office365.com", "evil.example"), "batch-host"),
        (
            with(
                "outlook.office365.com",
                "outlook.office365.com@evil.example",
            ),
            "batch-host",
        ),
        (
            with("outlook.office365.com", "outlook.office365.com:8443"),
            "batch-host",
        ),
        (with(TENANT, "other.example"), "batch-tenant"),
        (with("/beta/", "/v1.0/"), "batch-version"),
        (with("/InvokeCommand", "/$batch"), "batch-form"),
        (with("/InvokeCommand", "/Mailbox('a')"), "batch-form"),
        (
            with(
                "/InvokeCommand",
                "/Mailbox('a')/Exchange.UpdateMailboxArchive()",
            ),
            "batch-form",
        ),
        (with("/InvokeCommand", "/InvokeCommand#x"), "path-character"),
        (
            with("/InvokeCommand", "/InvokeCommand?x=1"),
            "unknown-query-key",
        ),
        (with("\"id\":\"0\"", "\"id\":0"), "wrong-kind"),
        (with("\"id\":\"0\"", "\"id\":\"\""), "bad-id"),
        (with("\"id\":\"0\",", ""), "missing-member"),
        (
            with("\"id\":\"0\",", "\"id\":\"0\",\"ID\":\"1\","),
            "duplicate-member",
        ),
        (
            with("\"id\":\"0\",", "\"id\":\"0\",\"dependsOn\":[\"1\"],"),
            "batch-dependency",
        ),
        (
            with("\"id\":\"0\",", "\"id\":\"0\",\"atomicityGroup\":\"g\","),
            "batch-dependency",
        ),
        (
            with("\"id\":\"0\",", "\"id\":\"0\",\"id\":\"1\","),
            "duplicate-member",
        ),
        (with(body, nested), "unknown-member"),
        (with(body, "\"body\":\"eyJ9\""), "wrong-kind"),
        (with(&format!(",{body}"), ""), "missing-member"),
        (with("\"headers\":{}", "\"headers\":[]"), "wrong-kind"),
        (
            with("\"headers\":{}", "\"headers\":{\"X-HTTP-Method\":\"GET\"}"),
            "method-override",
        ),
        (
            with(
                "\"headers\":{}",
                "\"headers\":{\"Content-Type\":\"application/xml\"}",
            ),
            "unsupported-media-type",
        ),
        (
            with(
                "\"headers\":{}",
                "\"headers\":{\"Content-Encoding\":\"gzip\"}",
            ),
            "content-coding",
        ),
        (
            with(
                "\"headers\":{}",
                "\"headers\":{\"Authorization\":\"a\",\"authorization\":\"b\"}",
            ),
            "duplicate-member",
        ),
        (
            with("\"headers\":{}", "\"headers\":{\"A b\":\"c\"}"),
            "bad-header",
        ),
        (
            with("\"headers\":{}", "\"headers\":{\"A\":\"c\\r\\nB: d\"}"),
            "bad-header",
        ),
        (
            with("\"headers\":{}", "\"headers\":{\"A\":1}"),
            "wrong-kind",
        ),
        (format!("{plain},{plain}"), "duplicate-id"),
        ("1".to_owned(), "wrong-kind"),
    ] {
        assert_eq!(batch(&item).reason(), reason, "{item}");
    }
}

#[test]
fn the_frame_is_a_closed_list_too() {
    for body in [
        r#"{"requests":{}}"#,
        "{}",
        r#"{"Requests":[]}"#,
        r#"{"requests":[],"x":1}"#,
        "[]",
    ] {
        let mut sent = batch("");
        sent.body = body.into();
        assert_eq!(sent.status(), 400, "{body}");
    }
    let multipart = batch(&item("0", URL, "{}")).content_type("multipart/mixed; boundary=b");
    assert_eq!(multipart.status(), 415);
    let mut with_query = batch(&item("0", URL, "{}"));
    with_query.path.push_str("?$select=x");
    assert_eq!(with_query.reason(), "unknown-query-key");
    with_query.path = format!("/adminapi/beta/{TENANT}/%24batch?");
    assert_eq!(with_query.reason(), "read");
}

#[test]
fn a_batch_has_a_bounded_number_of_items() {
    let items = |count: usize| {
        let items: Vec<_> = (0..count)
            .map(|it| item(&it.to_string(), URL, "{}"))
            .collect();
        batch(&items.join(","))
    };
    assert_eq!(items(MAX_BATCH_ITEMS).reason(), "read");
    assert_eq!(items(MAX_BATCH_ITEMS + 1).reason(), "batch-size");
}

fn denial(id: &str) -> (String, Reply) {
    let problem = Problem {
        status: StatusCode::FORBIDDEN,
        target: "Set-Mailbox".to_owned(),
        text: "no".to_owned(),
    };
    (id.to_owned(), refuse(&problem, Uuid::nil()))
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|it| (*it).to_owned()).collect()
}

#[test]
fn answers_are_put_together_in_order_and_the_upstreams_bytes_kept() {
    let theirs = br#"{ "responses": [ {"id":"c","status":200,"body":{"value":[1.0e0, "\/\ud800"]}} , {"id":"a", "status":204}], "x":1 }"#;
    let merged = merge_batch(Some(theirs), &[denial("b")], &ids(&["a", "b", "c", "d"])).unwrap();
    assert_eq!(merged.reply.status, StatusCode::OK);
    let text = String::from_utf8(merged.reply.body.to_vec()).unwrap();
    assert!(text.starts_with(r#"{"responses":[{"id":"a", "status":204},{"id":"b","status":403,"headers":{"Content-Type":"#), "{text}");
    assert!(text.contains(r#"{"id":"c","status":200,"body":{"value":[1.0e0, "\/\ud800"]}},{"id":"d","status":502,"#), "{text}");
}

#[test]
fn a_batch_of_denials_needs_no_upstream() {
    let empty = Reply {
        status: StatusCode::NO_CONTENT,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    let merged = merge_batch(
        None,
        &[denial("0"), ("1".to_owned(), empty)],
        &ids(&["0", "1"]),
    )
    .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&merged.reply.body).unwrap();
    assert_eq!(body["responses"][0]["body"]["error"]["code"], "Forbidden");
    assert_eq!(body["responses"][0]["status"], 403);
    assert_eq!(body["responses"][1]["body"], serde_json::Value::Null);
}

#[test]
fn an_upstream_that_answers_something_else_is_not_believed() {
    for theirs in [
        "",
        "[]",
        "{}",
        r#"{"error":{}}"#,
        r#"{"responses":[{"status":200}]}"#,
        r#"{"responses":[{"id":1,"status":200}]}"#,
        r#"{"responses":[{"id":"a"},{"id":"a"}]}"#,
        r#"{"responses":[{"id":"b"}]}"#,
        r#"{"responses":[{"id":"z"}]}"#,
        r#"{"responses":[{"id":"a","id":"a"}]}"#,
    ] {
        let error =
            merge_batch(Some(theirs.as_bytes()), &[denial("b")], &ids(&["a", "b"])).unwrap_err();
        assert_eq!(error.status, StatusCode::BAD_GATEWAY, "{theirs}");
    }
}
