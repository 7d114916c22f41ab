//! What clients get from the gateway itself.

use chrono::{TimeZone as _, Utc};
use http::StatusCode;
use uuid::Uuid;

use super::super::{answer, refuse};
use super::*;
use crate::dialect::Problem;
use crate::model::{Number, Object, Property, Value};

const REFERENCE: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

/// The body, a line for each member.
fn pretty(body: &[u8]) -> String {
    assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok());
    std::str::from_utf8(body).unwrap().replace(",\"", ",\n\"")
}

fn objects() -> Vec<Object> {
    vec![Object {
        type_name: "ElevatedAccessRequest",
        properties: vec![
            ("Identity", REFERENCE.into()),
            ("RequestStatus", "Pending".into()),
            ("Reason", "<\"tom\" & 'jerry'>\n_x0041_ \u{1f600}".into()),
            ("Approved", false.into()),
            ("DurationHours", 4.into()),
            ("Bytes", 5_000_000_000_i64.into()),
            (
                "Share",
                Property::Plain(Value::Number(Number::new("0.5").unwrap())),
            ),
            (
                "StartTimeUtc",
                Utc.with_ymd_and_hms(2026, 10, 1, 9, 12, 44).unwrap().into(),
            ),
            ("ApprovedBy", Property::from(None::<String>)),
            ("Approvers", vec!["amy".to_owned(), "bo".to_owned()].into()),
            ("Nobody", Property::from(Vec::<String>::new())),
            (
                "Context",
                Property::Plain(Value::Table(vec![(
                    "k\u{1}".into(),
                    Value::List(vec![Value::Bool(true)]),
                )])),
            ),
        ],
    }]
}

#[test]
fn a_block_is_written_as_clients_read_it() {
    let problem = Problem {
        status: StatusCode::FORBIDDEN,
        target: "New-MoveRequest".to_owned(),
        text: r"New-MoveRequest needs approval. Request it with: New-ElevatedAccessRequest -Task 'Exchange\New-MoveRequest' -Reason 'a|b' -DurationHours 4".to_owned(),
    };
    let reply = refuse(&problem, REFERENCE);
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.headers["x-exceptiontype"], "AccessDeniedException");
    assert_eq!(reply.headers["request-id"], REFERENCE.to_string().as_str());
    assert_eq!(
        reply.headers["content-type"],
        "application/json;odata.metadata=minimal;charset=utf-8"
    );
    insta::assert_snapshot!(pretty(&reply.body));
}

#[test]
fn the_reason_stands_wherever_a_client_looks_for_it() {
    for status in [400, 401, 403, 405, 413, 415, 500, 502, 503, 504] {
        let problem = Problem {
            status: StatusCode::from_u16(status).unwrap(),
            target: String::new(),
            text: "a \"b\" | c".to_owned(),
        };
        let body: serde_json::Value =
            serde_json::from_slice(&refuse(&problem, REFERENCE).body).unwrap();
        let error = &body["error"];
        let text = format!(
            "a \"b\" | c ({} {REFERENCE})",
            if status == 403 { "decision" } else { "request" }
        );
        assert_eq!(error["message"], text);
        assert_eq!(error["innererror"]["internalexception"]["message"], text);
        let detail = error["details"][0]["message"].as_str().unwrap();
        let parts: Vec<_> = detail.split('|').collect();
        assert_eq!(parts.len(), 3, "{detail}");
        assert_eq!(parts[2], text.replace('|', "/"));
    }
}

#[test]
fn objects_are_written_with_their_types() {
    let reply = answer(
        &invoke(GET_MAILBOX).call(),
        &objects(),
        "https://gate.example/adminapi",
    );
    assert_eq!(reply.status, StatusCode::OK);
    insta::assert_snapshot!(pretty(&reply.body));
}

#[test]
fn objects_are_written_as_clixml_when_the_call_asks_for_it() {
    let call = invoke(GET_MAILBOX)
        .header("x-responseformat", "CliXml")
        .call();
    let reply = answer(&call, &objects(), "https://gate.example/adminapi");
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["value"].as_array().unwrap().len(), 1);
    let xml = body["value"][0]["_clixml"].as_str().unwrap();
    insta::assert_snapshot!(xml.replace("><", ">\n<"));
}

#[test]
fn times_have_seven_decimals() {
    let time = Utc.timestamp_opt(0, 123_456_789).unwrap();
    assert_eq!(answer::dotnet_time(&time), "1970-01-01T00:00:00.1234567Z");
    let time = Utc.timestamp_opt(0, 0).unwrap();
    assert_eq!(answer::dotnet_time(&time), "1970-01-01T00:00:00.0000000Z");
}
