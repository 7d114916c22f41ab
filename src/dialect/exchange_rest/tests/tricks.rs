//! Ways to slip a cmdlet past a gateway (exchange-rest section 10), as far as they show in one request. Each table has its
//! control: the plain request beside it, which is read.

use super::*;

/// Bodies, and why each is refused.
#[test]
fn envelopes_that_could_be_read_in_two_ways_are_refused() {
    assert_eq!(invoke(GET_MAILBOX).reason(), "read");
    for (body, reason) in [
        // Two of something.
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","CmdletName":"Remove-Mailbox","Parameters":{}}}"#,
            "duplicate-member",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"},"CmdletInput":{"CmdletName":"Remove-Mailbox"}}"#,
            "duplicate-member",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Cmdlet\u004eame":"Remove-Mailbox"}}"#,
            "duplicate-member",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Identity":"a","Identity":"b"}}}"#,
            "duplicate-member",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Identity":"a","identity":"b"}}}"#,
            "duplicate-member",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"E":{"Add":1,"add":2}}}}"#,
            "duplicate-member",
        ),
        // Another spelling of the envelope.
        (
            r#"{"cmdletInput":{"CmdletName":"Get-Mailbox"}}"#,
            "unknown-member",
        ),
        (
            r#"{"CmdletInput":{"cmdletName":"Get-Mailbox"}}"#,
            "unknown-member",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","cmdletname":"Remove-Mailbox"}}"#,
            "duplicate-member",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","parameters":{}}}"#,
            "unknown-member",
        ),
        // More than the envelope.
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","ChangedProperties":["x"]}}"#,
            "unknown-member",
        ),
        (
            r##"{"CmdletInput":{"@odata.type":"#Exchange.Other","CmdletName":"Get-Mailbox"}}"##,
            "unknown-member",
        ),
        (
            r##"{"CmdletInput":{"CmdletName@odata.type":"#String","CmdletName":"Get-Mailbox"}}"##,
            "unknown-member",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"},"QueryTable":{}}"#,
            "unknown-member",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"},"@odata.context":"x"}"#,
            "unknown-member",
        ),
        // Less than the envelope.
        ("{}", "missing-member"),
        (r#"{"CmdletInput":{}}"#, "missing-member"),
        (r#"{"CmdletInput":null}"#, "wrong-kind"),
        (r#"{"CmdletInput":{"CmdletName":null}}"#, "wrong-kind"),
        (
            r#"{"CmdletInput":{"CmdletName":["Get-Mailbox"]}}"#,
            "wrong-kind",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":[]}}"#,
            "wrong-kind",
        ),
        (
            r#"[{"CmdletInput":{"CmdletName":"Get-Mailbox"}}]"#,
            "wrong-kind",
        ),
        // JSON for lenient readers.
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"}} {}"#,
            "invalid-json",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox",}}"#,
            "invalid-json",
        ),
        (
            r#"{"CmdletInput":{'CmdletName':'Get-Mailbox'}}"#,
            "invalid-json",
        ),
        (
            r#"{"CmdletInput":/**/{"CmdletName":"Get-Mailbox"}}"#,
            "invalid-json",
        ),
        (
            r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"ResultSize":NaN}}}"#,
            "invalid-json",
        ),
        ("\u{feff}{}", "byte-order-mark"),
    ] {
        assert_eq!(invoke(body).reason(), reason, "{body}");
        assert_eq!(invoke(body).status(), 400);
    }
    assert_eq!(
        invoke(b"{\"CmdletInput\":{\"CmdletName\":\"Get-\xc0\xadMailbox\"}}".to_vec()).reason(),
        "not-utf-8"
    );
    assert_eq!(
        invoke(
            GET_MAILBOX
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>()
        )
        .reason(),
        "invalid-json"
    );
    let deep = format!(
        r#"{{"CmdletInput":{{"CmdletName":"Get-Mailbox","Parameters":{{"A":{}1{}}}}}}}"#,
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(invoke(deep).reason(), "too-deep");
}

#[test]
fn cmdlet_names_are_plain_names() {
    let named = |name: &str| {
        let name = serde_json::to_string(name).unwrap();
        invoke(format!(r#"{{"CmdletInput":{{"CmdletName":{name}}}}}"#))
    };
    assert_eq!(named("get-mailbox").reason(), "read");
    for name in [
        r"Exchange\Get-Mailbox",
        r"ExchangeOnlineManagement\Get-Mailbox",
        " Get-Mailbox",
        "Get-Mailbox ",
        "Get-Mailbox\0",
        "Get-Mail\u{200b}box",
        "Get\u{2013}Mailbox",
        "\u{ff27}et-Mailbox",
        "Get-Mailbox;Remove-Mailbox",
        "Get-Mailbox|Remove-Mailbox",
        "gm",
        "$(Remove-Mailbox)",
        "",
    ] {
        assert_eq!(named(name).reason(), "bad-cmdlet-name", "{name:?}");
    }
}

#[test]
fn parameter_names_and_annotations_are_known_ones() {
    let with = |parameters: &str| {
        invoke(format!(
            r#"{{"CmdletInput":{{"CmdletName":"Set-X","Parameters":{parameters}}}}}"#
        ))
    };
    assert_eq!(
        with(r##"{"A@odata.type":"#String","A":"x"}"##).reason(),
        "read"
    );
    for (parameters, reason) in [
        (r#"{"Identity ":"a"}"#, "bad-parameter-name"),
        (r#"{"-Identity":"a"}"#, "bad-parameter-name"),
        (r#"{"Ident\u0131ty":"a"}"#, "bad-parameter-name"),
        (r#"{"":"a"}"#, "bad-parameter-name"),
        (
            r##"{"@odata.type":"#Exchange.Other"}"##,
            "bad-parameter-name",
        ),
        (
            r#"{"A@data.type":"System.String","A":"x"}"#,
            "bad-parameter-name",
        ),
        (
            r##"{"A@Odata.type":"#String","A":"x"}"##,
            "bad-parameter-name",
        ),
        (
            r##"{"A@odata.type":"#Exchange.Script","A":{}}"##,
            "unknown-annotation",
        ),
        (r#"{"A@odata.type":"String","A":"x"}"#, "unknown-annotation"),
        (
            r##"{"A@odata.type":"#string","A":"x"}"##,
            "unknown-annotation",
        ),
        (r#"{"A@odata.type":1,"A":"x"}"#, "wrong-kind"),
        (r##"{"A@odata.type":"#String"}"##, "stray-annotation"),
        (
            r##"{"A@odata.type":"#String","B":1,"A":"x"}"##,
            "stray-annotation",
        ),
        (
            r##"{"a@odata.type":"#String","A":"x"}"##,
            "stray-annotation",
        ),
        (
            r##"{"A@odata.type":"#String","A":{"x":1}}"##,
            "wrong-annotation",
        ),
        (
            r##"{"A@odata.type":"#Exchange.GenericHashTable","A":"x"}"##,
            "wrong-annotation",
        ),
        (
            r##"{"A@odata.type":"#Collection(Exchange.GenericHashTable)","A":{}}"##,
            "wrong-annotation",
        ),
        (
            r##"{"A@odata.type":"#Collection(String)","A":[{}]}"##,
            "wrong-annotation",
        ),
        (
            r##"{"A":{"@odata.type":"#Exchange.Other","x":1}}"##,
            "unknown-annotation",
        ),
        (
            r##"{"A":{"@odata.type":"#Exchange.ByteArrayType","Data":"","x":1}}"##,
            "unknown-annotation",
        ),
        (
            r#"{"A":[{"B":{"@odata.type":"Exchange.GenericHashTable"}}]}"#,
            "unknown-annotation",
        ),
        (r#"{"A":{"@odata.type":{}}}"#, "wrong-kind"),
        (r#"{"A":{"@odata.id":"x"}}"#, "bad-member-name"),
        (r##"{"A":{"b@odata.type":"#String"}}"##, "stray-annotation"),
        (
            r##"{"A":{"a@b@odata.type":"#String","a@b":"x"}}"##,
            "bad-member-name",
        ),
    ] {
        assert_eq!(with(parameters).reason(), reason, "{parameters}");
    }
}

#[test]
fn paths_that_servers_read_differently_are_refused() {
    for (path, reason) in [
        ("/adminapi/beta/{t}/InvokeCommand", "read"),
        ("/adminapi//beta/{t}/InvokeCommand", "empty-segment"),
        ("//adminapi/beta/{t}/InvokeCommand", "unknown-path"),
        ("/adminapi/beta/{t}//InvokeCommand", "empty-segment"),
        ("/adminapi/beta/{t}/InvokeCommand//", "empty-segment"),
        ("/adminapi/beta/{t}/./InvokeCommand", "dot-segment"),
        ("/adminapi/beta/{t}/x/../InvokeCommand", "dot-segment"),
        ("/adminapi/beta/{t}/%2e%2e/InvokeCommand", "dot-segment"),
        ("/adminapi/beta/../beta/{t}/InvokeCommand", "dot-segment"),
        ("/adminapi/beta/{t};a=b/InvokeCommand", "path-character"),
        ("/adminapi/beta/{t}/InvokeCommand;a=b", "path-character"),
        ("/adminapi/beta/{t}/InvokeCommand%3Ba=b", "path-character"),
        ("/adminapi/beta/{t}\\InvokeCommand", "path-character"),
        ("/adminapi/beta/{t}%5CInvokeCommand", "path-character"),
        ("/adminapi/beta/{t}%2FInvokeCommand", "path-character"),
        ("/adminapi/beta/{t}/Invoke%00Command", "control-character"),
        (
            "/adminapi/beta/{t}/InvokeCommand%0d%0a",
            "control-character",
        ),
        ("/adminapi/beta/{t}/%2549nvokeCommand", "double-encoding"),
        ("/adminapi/beta/{t}/InvokeCommand%", "broken-escape"),
        ("/adminapi/beta/{t}/InvokeCommand%zz", "broken-escape"),
        ("/adminapi/beta/{t}/InvokeCommand%ff", "not-utf-8"),
        ("/adminapi/beta/{t}/Inv\u{f6}keCommand", "path-character"),
        ("/adminapi/beta/{t}/InvokeCommand ", "path-character"),
        ("/adminapi/beta/{t}/InvokeCommand()", "unknown-path"),
        ("/adminapi/beta/{t}/InvokeCommand/", "unknown-path"),
        ("/adminapi/beta/{t}/Exchange.InvokeCommand", "unknown-path"),
        ("/adminapi/beta/{t}/invokecommand", "unknown-path"),
        ("/adminapi/beta/{t}/ResolveTenant", "unknown-path"),
        ("/adminapi/beta/{t}/RbacQuery", "unknown-path"),
        ("/adminapi/beta/{t}/SearchMessageTrace", "unknown-path"),
        (
            "/adminapi/beta/{t}/contoso.example/InvokeCommand",
            "unknown-path",
        ),
        ("/adminapi/beta/{t}/{t}/InvokeCommand", "bad-segment"),
        ("/adminapi/beta/InvokeCommand", "method"),
        ("/adminapi/beta/a b/InvokeCommand", "path-character"),
        ("/adminapi/beta/a..b/InvokeCommand", "bad-tenant"),
        ("/adminapi/beta/a_b/InvokeCommand", "bad-tenant"),
        ("/adminapi/beta/", "bad-tenant"),
        ("/adminapi/", "empty-segment"),
        ("/adminapi", "unknown-path"),
        ("/adminapi/v3.0/{t}/InvokeCommand", "unknown-version"),
        ("/adminapis/beta/{t}/InvokeCommand", "unknown-path"),
        ("/PowerShell-LiveId", "unknown-path"),
        (
            "https://gate.example/adminapi/beta/{t}/InvokeCommand",
            "unknown-path",
        ),
        ("", "unknown-path"),
    ] {
        let sent = invoke(GET_MAILBOX).path(path);
        assert_eq!(sent.reason(), reason, "{path}");
        assert_ne!(sent.status(), 404, "clients take 404 for success");
    }
}

#[test]
fn query_keys_are_known_ones_and_given_once() {
    for (query, reason) in [
        ("", "read"),
        ("$select=Name", "read"),
        ("$select=Name&$select=Alias", "duplicate-query-key"),
        ("$select=Name&%24SELECT=Alias", "duplicate-query-key"),
        ("%2524select=Name", "double-encoding"),
        ("select=Name", "unknown-query-key"),
        ("$filter=x", "unknown-query-key"),
        ("isEncoded=true", "unknown-query-key"),
        ("ReadIdsAndParamsFromHeaders=True", "unknown-query-key"),
        ("$format=xml", "unknown-query-key"),
        ("cmdlet=Remove-Mailbox", "unknown-query-key"),
        ("$select", "bad-query"),
        ("&", "bad-query"),
        ("$select=a%00b", "control-character"),
        ("$select=a\"b", "read"),
        ("$select=a#b", "query-character"),
        ("$select=\u{e4}", "query-character"),
        ("$skiptoken=", "bad-skiptoken"),
        ("$skiptoken=a\"b", "bad-skiptoken"),
        ("$skiptoken=a%zz", "bad-skiptoken"),
        ("portcullis-host=evil.example/x", "bad-host"),
        ("portcullis-host=a@evil.example", "bad-host"),
        ("portcullis-host=", "bad-host"),
    ] {
        let sent = invoke(GET_MAILBOX).path(&format!("/adminapi/beta/{{t}}/InvokeCommand?{query}"));
        assert_eq!(sent.reason(), reason, "{query}");
    }
}

#[test]
fn a_known_path_with_another_method_is_refused_with_405() {
    for method in [
        "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "MERGE", "post",
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let sent = invoke(GET_MAILBOX).method(method);
        assert_eq!((sent.status(), sent.reason()), (405, "method"));
    }
    let page = invoke("")
        .method(Method::GET)
        .path("/adminapi/beta/{t}/InvokeCommand?$skiptoken=x");
    assert_eq!(page.status(), 405);
    for path in [
        "/$batch",
        "/Mailbox('a@c.example')",
        "/EXOModuleFile",
        "/$metadata",
        "",
    ] {
        for method in [Method::PATCH, Method::DELETE, Method::PUT] {
            assert_eq!(get(path).method(method).status(), 405, "{path}");
        }
    }
    assert_eq!(get("/Mailbox").method(Method::POST).status(), 405);
}

#[test]
fn only_plain_json_in_utf_8_is_read() {
    for (content_type, status) in [
        ("application/json", 200),
        ("Application/JSON; Charset=\"utf-8\"", 200),
        (
            "application/json;odata.metadata=minimal;odata.streaming=true;",
            200,
        ),
        ("application/json;IEEE754Compatible=true", 200),
        ("application/json;charset=utf-16", 415),
        ("application/json;charset=utf-7", 415),
        ("application/json;charset=iso-8859-1", 415),
        ("application/json;charset=utf-8;charset=utf-16", 415),
        ("application/json;x=y", 415),
        ("application/json;odata.metadata", 415),
        ("application/xml", 415),
        ("text/json", 415),
        ("multipart/mixed;boundary=x", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json, application/xml", 415),
        ("", 415),
    ] {
        assert_eq!(
            invoke(GET_MAILBOX).content_type(content_type).status(),
            status,
            "{content_type}"
        );
    }
    let mut without = invoke(GET_MAILBOX);
    without.headers.clear();
    assert_eq!(without.status(), 415);
    for (coding, status) in [
        ("identity", 200),
        ("utf-8", 200),
        ("gzip", 415),
        ("deflate", 415),
        ("br", 415),
        ("identity, gzip", 415),
    ] {
        assert_eq!(
            invoke(GET_MAILBOX)
                .header("content-encoding", coding)
                .status(),
            status,
            "{coding}"
        );
    }
}

#[test]
fn headers_that_would_change_the_request_are_refused() {
    for (name, value, reason) in [
        ("x-http-method-override", "DELETE", "method-override"),
        ("x-http-method", "MERGE", "method-override"),
        ("x-method-override", "GET", "method-override"),
        (
            "xparameter-identity",
            "YUBjLmV4YW1wbGU=",
            "header-parameter",
        ),
        ("xparameter-force", "true", "header-parameter"),
        ("content-type", "application/json", "duplicate-header"),
        (
            "x-anchormailbox",
            "UPN:\u{e4}@c.example",
            "header-character",
        ),
        ("x-method-of-payment", "none", "read"),
    ] {
        assert_eq!(
            invoke(GET_MAILBOX).header(name, value).reason(),
            reason,
            "{name}"
        );
    }
    let twice = invoke(GET_MAILBOX)
        .header("x-anchormailbox", "UPN:a@c.example")
        .header("x-anchormailbox", "UPN:b@c.example");
    assert_eq!(twice.reason(), "duplicate-header");
    let long = invoke(GET_MAILBOX).header("user-agent", &"x".repeat(9000));
    assert_eq!(long.reason(), "long-header");
    let get_with_parameter = get("/Mailbox").header("xparameter-force", "true");
    assert_eq!(get_with_parameter.reason(), "header-parameter");
}
