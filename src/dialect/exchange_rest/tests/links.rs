//! Links in answers, rewritten.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::{LinkHosts, LinkRewriter};
use super::*;

fn rewriter() -> LinkRewriter {
    let regional = ["eur01.outlook.office365.com", "nam.example:446"].map(str::to_owned);
    let hosts = LinkHosts::new("outlook.office365.com", &regional);
    LinkRewriter::new("https://gate.example/adminapi", Arc::new(hosts))
}

fn rewritten(text: &str) -> String {
    in_chunks(text.as_bytes(), &[])
}

/// The answer, given in chunks that end at `cuts`.
fn in_chunks(text: &[u8], cuts: &[usize]) -> String {
    let mut rewriter = rewriter();
    let mut out = Vec::new();
    let mut at = 0;
    let mut cuts: Vec<_> = cuts.iter().map(|it| (*it).min(text.len())).collect();
    cuts.sort_unstable();
    for cut in cuts {
        out.extend_from_slice(&rewriter.push(Bytes::copy_from_slice(&text[at..cut])));
        at = cut;
    }
    out.extend_from_slice(&rewriter.push(Bytes::copy_from_slice(&text[at..])));
    out.extend_from_slice(&rewriter.finish());
    String::from_utf8(out).unwrap()
}

const ANSWER: &str = r##"{"@odata.context":"https://outlook.office365.com/adminapi/beta/t/$metadata#Collection(Exchange.GenericHashTable)","adminapi.warnings@odata.type":"#Collection(String)","@adminapi.warnings":[],"value":[{"Note":"x\"@odata.nextLink\":\"https://outlook.office365.com/adminapi/y\""}],"@odata.nextLink" : "https:\/\/outlook.office365.com:443\/adminapi\/beta\/t\/InvokeCommand?$skiptoken=a%2B\u0026$select=x"}"##;

#[test]
fn contexts_and_next_links_lead_to_the_gateway_and_nothing_else_changes() {
    insta::assert_snapshot!(rewritten(ANSWER), @r##"{"@odata.context":"https://gate.example/adminapi/beta/t/$metadata#Collection(Exchange.GenericHashTable)","adminapi.warnings@odata.type":"#Collection(String)","@adminapi.warnings":[],"value":[{"Note":"x\"@odata.nextLink\":\"https://outlook.office365.com/adminapi/y\""}],"@odata.nextLink" : "https://gate.example/adminapi/beta/t/InvokeCommand?$skiptoken=a%2B&$select=x"}"##);
}

#[test]
fn a_link_to_a_regional_host_names_it_and_is_read_back() {
    for (link, expected) in [
        (
            "https://EUR01.outlook.office365.com/AdminApi/beta/t/InvokeCommand?$skiptoken=x",
            "https://gate.example/adminapi/beta/t/InvokeCommand?$skiptoken=x&portcullis-host=eur01.outlook.office365.com",
        ),
        (
            "https://nam.example:446/adminapi/beta/t/InvokeCommand#f",
            "https://gate.example/adminapi/beta/t/InvokeCommand?portcullis-host=nam.example:446#f",
        ),
        // Not configured: it leads to the endpoint's own host.
        (
            "https://evil.example/adminapi/beta/t/InvokeCommand?$skiptoken=x",
            "https://gate.example/adminapi/beta/t/InvokeCommand?$skiptoken=x",
        ),
        (
            "http://outlook.office365.com",
            "https://gate.example/adminapi",
        ),
        (
            "https://outlook.office365.com/owa",
            "https://gate.example/adminapi/owa",
        ),
        (
            "https://outlook.office365.com/adminapix/y",
            "https://gate.example/adminapi/adminapix/y",
        ),
    ] {
        assert_eq!(
            rewriter().rewrite(link).as_deref(),
            Some(expected),
            "{link}"
        );
        let answer = format!("{{\"@odata.nextLink\":\"{link}\"}}");
        assert_eq!(
            rewritten(&answer),
            format!("{{\"@odata.nextLink\":\"{expected}\"}}")
        );
    }
    let page = "/adminapi/beta/{t}/InvokeCommand?$skiptoken=x&portcullis-host=nam.example:446";
    assert_eq!(
        invoke(GET_MAILBOX).path(page).call().regional_host(),
        Some("nam.example:446")
    );
}

#[test]
fn what_is_no_link_passes_byte_for_byte() {
    for text in [
        "",
        "@odata.",
        "@odata.nextLink\"",
        r#"{"@odata.nextLink":null}"#,
        r#"{"@odata.nextLink":"InvokeCommand?$skiptoken=x"}"#,
        r#"{"@odata.context":"$metadata#x"}"#,
        r#"["@odata.nextLink","https://outlook.office365.com/adminapi/x"]"#,
        r#"{"@odata.nextLinks":"https://outlook.office365.com/adminapi/x"}"#,
        r#"{"@odata.nextLink":"https://outlook.office365.com/adminapi/\ud800"}"#,
        r#"{"@odata.nextLink":"https://outlook.office365.com/admin"#,
        r#"{"@odata.nextLink":"ftp://outlook.office365.com/adminapi"}"#,
    ] {
        assert_eq!(rewritten(text), text);
    }
}

#[test]
fn a_chunk_without_links_is_handed_on_itself() {
    let chunk = Bytes::from_static(br##"{"value":[{"a@odata.type":"#Guid"}]}"##);
    let out = rewriter().push(chunk.clone());
    assert_eq!(out.as_ptr(), chunk.as_ptr());
    assert_eq!(out, chunk);
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut rewriter = rewriter();
    let mut passed = rewriter
        .push(Bytes::from_static(b"{\"@odata.nextLink\":\"https://"))
        .len();
    let mut sent = passed + 28;
    for _ in 0..100 {
        sent += 1000;
        passed += rewriter.push(Bytes::from(vec![b'x'; 1000])).len();
        assert!(sent - passed <= 34 * 1024, "{}", sent - passed);
    }
    assert!(passed > 60_000);
}

#[test]
fn links_at_the_limit_do_not_depend_on_chunks() {
    for length in [32 * 1024 - 60, 32 * 1024 - 40, 32 * 1024 - 20, 32 * 1024] {
        let answer = format!(
            "{{\"@odata.nextLink\":\"https://outlook.office365.com/adminapi/{}\"}}",
            "x".repeat(length)
        );
        let whole = in_chunks(answer.as_bytes(), &[]);
        let cuts: Vec<_> = (0..answer.len()).step_by(997).collect();
        assert_eq!(in_chunks(answer.as_bytes(), &cuts), whole);
    }
}

proptest! {
    #[test]
    fn how_an_answer_is_cut_changes_nothing(cuts in prop::collection::vec(0..ANSWER.len(), 0..20)) {
        prop_assert_eq!(in_chunks(ANSWER.as_bytes(), &cuts), rewritten(ANSWER));
    }

    #[test]
    fn any_text_of_pieces_is_rewritten_alike_whatever_the_chunks(
        pieces in prop::collection::vec(prop_oneof![
            Just("@odata."), Just("nextLink"), Just("context"), Just("\""), Just(":"), Just(" "), Just("\\"),
            Just("https://outlook.office365.com/adminapi"), Just("/x?y"), Just("@"), Just("é"),
        ], 0..30),
        cuts in prop::collection::vec(0..300_usize, 0..20),
    ) {
        let text = pieces.concat();
        let mut rewriter = rewriter();
        let mut out = rewriter.push(Bytes::from(text.clone())).to_vec();
        out.extend_from_slice(&rewriter.finish());
        prop_assert_eq!(in_chunks(text.as_bytes(), &cuts), String::from_utf8(out).unwrap());
    }
}
