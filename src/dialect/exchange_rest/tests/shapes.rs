//! Every request shape that known clients send (exchange-rest section 11) is read, and written with the same meaning.

use super::super::{answer, write};
use super::*;

/// Values of `CmdletInput`, one a line.
const SHAPES: &str = include_str!("shapes.jsonl");

/// JSON in one spelling: escapes undone, members in order.
fn normal(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).unwrap()
}

#[test]
fn every_known_shape_is_read_and_written_back_with_the_same_meaning() {
    let mut count = 0;
    for input in SHAPES.lines() {
        let body = format!("{{\"CmdletInput\":{input}}}");
        let sent = invoke(body.as_str());
        let call = sent.call();
        let out = write(&call);
        assert_eq!(normal(&out.body), normal(body.as_bytes()), "{input}");
        assert_eq!(Sent::from(out.clone()).call(), call, "{input}");
        // None of them needs escapes, so even the bytes are the same.
        assert_eq!(String::from_utf8(out.body.to_vec()).unwrap(), body);
        count += 1;
    }
    assert_eq!(count, 89);
}

#[test]
fn every_known_shape_passes_in_a_batch() {
    for (index, input) in SHAPES.lines().enumerate() {
        let body = format!(
            r#"{{"requests":[{{"id":"{index}","method":"POST","url":"https://outlook.office365.com/adminapi/beta/{TENANT}/InvokeCommand","headers":{{}},"body":{{"CmdletInput":{input}}}}}]}}"#
        );
        let mut sent = invoke(body);
        sent.path = format!("/adminapi/beta/{TENANT}/$batch");
        assert_eq!(sent.reason(), "read", "{input}");
    }
}

#[test]
fn the_path_is_read_as_clients_spell_it_and_built_anew() {
    for path in [
        "/adminapi/beta/{t}/InvokeCommand",
        "/AdminApi/beta/{t}/InvokeCommand",
        "/adminApi/Beta/{t}/InvokeCommand?",
    ] {
        let out = write(&invoke(GET_MAILBOX).path(path).call());
        assert_eq!(
            out.path_and_query,
            format!("/adminapi/beta/{TENANT}/InvokeCommand")
        );
        assert_eq!(out.method, Method::POST);
    }
    for version in ["v0.5", "v1.0"] {
        let call = invoke(GET_MAILBOX)
            .path(&format!(
                "/AdminApi/{version}/contoso.onmicrosoft.com/InvokeCommand"
            ))
            .call();
        assert_eq!(call.tenant(), "contoso.onmicrosoft.com");
        assert_eq!(
            write(&call).path_and_query,
            format!("/adminapi/{version}/contoso.onmicrosoft.com/InvokeCommand")
        );
    }
}

#[test]
fn a_selection_may_be_percent_encoded_once() {
    for query in [
        "$select=Name,Alias",
        "%24select=Name%2CAlias",
        "$SELECT=Name,Alias",
    ] {
        let call = invoke(GET_MAILBOX)
            .path(&format!("/adminapi/beta/{{t}}/InvokeCommand?{query}"))
            .call();
        assert!(
            write(&call)
                .path_and_query
                .ends_with("/InvokeCommand?$select=Name,Alias")
        );
        assert!(!call.is_page());
    }
}

#[test]
fn a_page_carries_the_command_and_its_token_unchanged() {
    let call = invoke(GET_MAILBOX)
        .path("/adminapi/beta/{t}/InvokeCommand?%24skiptoken=a%2Bb+c%3d%3D&$select=Name")
        .call();
    assert!(call.is_page());
    assert_eq!(call.regional_host(), None);
    assert_eq!(line(&call), r"Exchange\Get-Mailbox");
    assert!(
        write(&call)
            .path_and_query
            .ends_with("/InvokeCommand?$skiptoken=a%2Bb+c%3d%3D&$select=Name")
    );
}

#[test]
fn the_regional_host_of_a_page_is_taken_off() {
    let call = invoke(GET_MAILBOX)
        .path("/adminapi/beta/{t}/InvokeCommand?$skiptoken=t&portcullis-host=EUR01.outlook.office365.com:444")
        .call();
    assert_eq!(
        call.regional_host(),
        Some("eur01.outlook.office365.com:444")
    );
    assert!(
        write(&call)
            .path_and_query
            .ends_with("/InvokeCommand?$skiptoken=t")
    );
}

#[test]
fn the_official_api_takes_the_cmdlets_of_each_resource() {
    let at = |resource: &str, cmdlet: &str| {
        let body = format!(r#"{{"CmdletInput":{{"CmdletName":"{cmdlet}"}}}}"#);
        invoke(body).path(&format!("/adminapi/v2.0/{{t}}/{resource}"))
    };
    for (resource, cmdlet) in [
        ("AcceptedDomain", "Get-AcceptedDomain"),
        ("DistributionGroupMember", "Get-DistributionGroupMember"),
        (
            "DynamicDistributionGroupMember",
            "Get-DynamicDistributionGroupMember",
        ),
        ("Mailbox", "get-mailbox"),
        ("Mailbox", "Set-Mailbox"),
        ("MailboxFolderPermission", "Remove-MailboxFolderPermission"),
        ("OrganizationConfig", "Get-OrganizationConfig"),
    ] {
        let call = at(resource, cmdlet).call();
        assert_eq!(line(&call), format!(r"Exchange\{cmdlet}"));
        assert_eq!(
            write(&call).path_and_query,
            format!("/adminapi/v2.0/{TENANT}/{resource}")
        );
    }
    assert_eq!(
        at("Mailbox", "Remove-Mailbox").reason(),
        "resource-mismatch"
    );
    assert_eq!(
        at("AcceptedDomain", "Get-Mailbox").reason(),
        "resource-mismatch"
    );
    assert_eq!(at("InvokeCommand", "Get-Mailbox").reason(), "unknown-path");
    assert_eq!(at("$batch", "Get-Mailbox").reason(), "unknown-path");
}

#[test]
fn session_calls_are_known_by_name_and_carry_no_command() {
    for (path, name, written) in [
        (
            "/EXOBanner('AutogenSession')?Version=3.9.0",
            "EXOBanner",
            "/EXOBanner('AutogenSession')?Version=3.9.0",
        ),
        (
            "/EXOModuleFile?Version=3.9.0",
            "EXOModuleFile",
            "/EXOModuleFile?Version=3.9.0",
        ),
        ("/EXOHelpFile", "EXOHelpFile", "/EXOHelpFile"),
        (
            "/basicinfo('AdminApiState')",
            "basicinfo",
            "/basicinfo('AdminApiState')",
        ),
        ("/$metadata", "$metadata", "/$metadata"),
        ("/%24metadata", "$metadata", "/$metadata"),
        ("", "ServiceRoot", ""),
        ("/", "ServiceRoot", ""),
    ] {
        let call = get(path)
            .header(
                "CommandName".to_ascii_lowercase().leak(),
                "Get-Mailbox,Set-Mailbox",
            )
            .call();
        assert!(call.command().is_none());
        let crate::policy::Subject::Session(session) = call.subject() else {
            panic!("{path} is a session call");
        };
        assert_eq!(session.name, name);
        let out = write(&call);
        assert_eq!(
            out.path_and_query,
            format!("/adminapi/beta/{TENANT}{written}")
        );
        assert_eq!(
            out.headers.get("commandname").unwrap(),
            "Get-Mailbox,Set-Mailbox"
        );
    }
    assert_eq!(get("/EXOBanner").reason(), "unknown-path");
    assert_eq!(get("/EXOBanner('a''b')").reason(), "unknown-path");
    assert_eq!(get("/EXOModuleFile('x')").reason(), "unknown-path");
    assert_eq!(get("/EXOModuleFile?x=1").reason(), "unknown-query-key");
}

#[test]
fn no_header_names_another_cmdlet_than_was_decided_on() {
    let call = invoke(r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"}}"#)
        .header("commandname", "Remove-Mailbox")
        .header("x-cmdletname", "Remove-Mailbox")
        .call();
    let out = write(&call);
    assert_eq!(out.headers.get("commandname"), None);
    assert_eq!(out.headers.get("x-cmdletname").unwrap(), "Get-Mailbox");
}

#[test]
fn headers_of_the_contract_go_on_and_others_do_not() {
    let call = invoke(GET_MAILBOX)
        .header("authorization", "Bearer x")
        .header("cookie", "X-BackEndCookie=1")
        .header("x-cmdletname", "Remove-Mailbox")
        .header("x-anchormailbox", "UPN:a@c.example")
        .header("prefer", "odata.maxpagesize=1000")
        .header("prefer", "odata.continue-on-error")
        .header("warningaction", "")
        .header("accept-encoding", "gzip")
        .header("content-encoding", "utf-8")
        .header("transferencoding", "gzip")
        .header("x-forwarded-for", "192.0.2.1")
        .content_type(
            "application/json;odata.metadata=minimal; charset=UTF-8;odata.streaming=true;",
        )
        .call();
    let mut out: Vec<_> = write(&call)
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    out.sort();
    assert_eq!(
        out,
        [
            "content-type: application/json;odata.metadata=minimal;odata.streaming=true",
            "prefer: odata.maxpagesize=1000, odata.continue-on-error",
            "warningaction: ",
            "x-anchormailbox: UPN:a@c.example",
            "x-cmdletname: Get-Mailbox",
        ]
    );
}

#[test]
fn parameters_may_be_absent_or_null() {
    for body in [
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"}}"#,
        r#"{"CmdletInput":{"Parameters":null,"CmdletName":"Get-Mailbox"}}"#,
    ] {
        assert_eq!(write(&invoke(body).call()).body, GET_MAILBOX);
    }
}

#[test]
fn annotations_stay_with_their_values() {
    let body = |parameters: &str| {
        format!(r#"{{"CmdletInput":{{"CmdletName":"Set-X","Parameters":{parameters}}}}}"#)
    };
    for (given, written) in [
        (
            r##"{"A@odata.type":"#Collection(Exchange.GenericHashTable)","A":[{"@odata.type":"#Exchange.GenericHashTable","_key":"k","_value":1}],"B":1}"##,
            None,
        ),
        (
            r##"{"A":"x","A@odata.type":"#String"}"##,
            Some(r##"{"A@odata.type":"#String","A":"x"}"##),
        ),
        (
            r##"{"A":{"add":[1],"add@odata.type":"#Collection(Int32)","@odata.type":"#Exchange.GenericHashTable"}}"##,
            Some(
                r##"{"A":{"@odata.type":"#Exchange.GenericHashTable","add@odata.type":"#Collection(Int32)","add":[1]}}"##,
            ),
        ),
        (
            r##"{"A":{"@odata.type":"#Exchange.ByteArrayType","Data":"AAEC"}}"##,
            None,
        ),
        (
            r##"{"A@odata.type":"#Collection(Exchange.ByteArrayType)","A":[{"Data":[0,1]}]}"##,
            None,
        ),
        (
            r##"{"A@odata.type":"#Edm.Int64","A":9223372036854775807}"##,
            None,
        ),
    ] {
        let call = invoke(body(given)).call();
        let out = String::from_utf8(write(&call).body.to_vec()).unwrap();
        assert_eq!(out, body(written.unwrap_or(given)));
        assert_eq!(invoke(out).call(), call);
    }
}

#[test]
fn an_answer_can_be_given_to_every_form_of_call() {
    for sent in [
        invoke(GET_MAILBOX),
        get("/Mailbox('a@c.example')"),
        get("/$metadata"),
    ] {
        assert_eq!(
            answer(&sent.call(), &[], "https://gate.example/adminapi").status,
            200
        );
    }
}
