//! JSON that two readers could understand in two ways.

use super::catalogue::{Catalogue, Outcome, READ, REMOVE, Raw};
use crate::gateway::Setup;

use Outcome::{Arrives, Blocked, Refused};

const TWICE: Outcome<'static> = Refused(400, "duplicate-member");
const UNKNOWN: Outcome<'static> = Refused(400, "unknown-member");
const INVALID: Outcome<'static> = Refused(400, "invalid-json");
const KIND: Outcome<'static> = Refused(400, "wrong-kind");
const NOT_UTF8: Outcome<'static> = Refused(400, "not-utf-8");
const GOVERNED: Outcome<'static> = Blocked("needs-approval");

/// Envelopes: which members there are, and how they are spelled.
const ENVELOPES: &[(&str, &str, Outcome<'_>)] = &[
    ("control", READ, Arrives(READ)),
    (
        "control: no parameters",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"}}"#,
        Arrives(READ),
    ),
    (
        "control: null parameters",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":null}}"#,
        Arrives(READ),
    ),
    (
        "control: another order",
        r#"{"CmdletInput":{"Parameters":{},"CmdletName":"Get-Mailbox"}}"#,
        Arrives(READ),
    ),
    (
        "control: blanks between",
        "\r\n{ \"CmdletInput\"\t:\n{\"CmdletName\" : \"Get-Mailbox\" ,\"Parameters\":{ } } }\n",
        Arrives(READ),
    ),
    (
        "control: names in escapes are those names",
        r#"{"\u0043mdletInput":{"\u0043mdletName":"Get-Mailbox","Parameters":{}}}"#,
        Arrives(READ),
    ),
    ("as it is", REMOVE, GOVERNED),
    (
        "name in escapes",
        r#"{"CmdletInput":{"\u0043\u006ddletName":"Remove-Mailbox","Parameters":{"Identity":"eva"}}}"#,
        GOVERNED,
    ),
    (
        "two names, the last counts upstream",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","CmdletName":"Remove-Mailbox","Parameters":{"Identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "two names, the first counts upstream",
        r#"{"CmdletInput":{"CmdletName":"Remove-Mailbox","CmdletName":"Get-Mailbox","Parameters":{"Identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "two names, one in escapes",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","\u0043mdletName":"Remove-Mailbox","Parameters":{"Identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "two names, one in lower case",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","cmdletname":"Remove-Mailbox","Parameters":{"Identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "two names, one with a long s",
        "{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\",\"Parameter\u{17f}\":{},\"Parameters\":{}}}",
        TWICE,
    ),
    (
        "two inputs",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"},"CmdletInput":{"CmdletName":"Remove-Mailbox","Parameters":{"Identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "two inputs, one in camel case",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"},"cmdletInput":{"CmdletName":"Remove-Mailbox","Parameters":{"Identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "two tables of parameters",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{},"Parameters":{"Identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "two tables of parameters, another case",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{},"PARAMETERS":{"Identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "one parameter twice",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Identity":"ana","Identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "one parameter twice, another case",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Identity":"ana","identity":"eva"}}}"#,
        TWICE,
    ),
    (
        "one parameter twice, in escapes",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Identity":"ana","\u0049dentity":"eva"}}}"#,
        TWICE,
    ),
    (
        "one member twice in a table",
        r#"{"CmdletInput":{"CmdletName":"Set-X","Parameters":{"E":{"Add":"a","add":"b"}}}}"#,
        TWICE,
    ),
    (
        "one member twice in a table in a list",
        r#"{"CmdletInput":{"CmdletName":"Set-X","Parameters":{"E":[{"F":{"a":1,"A":2}}]}}}"#,
        TWICE,
    ),
    (
        "two annotations",
        r##"{"CmdletInput":{"CmdletName":"Set-X","Parameters":{"E@odata.type":"#String","E@odata.type":"#Guid","E":"a"}}}"##,
        TWICE,
    ),
    (
        "input in camel case",
        r#"{"cmdletInput":{"CmdletName":"Remove-Mailbox"}}"#,
        UNKNOWN,
    ),
    (
        "input in lower case",
        r#"{"cmdletinput":{"CmdletName":"Remove-Mailbox"}}"#,
        UNKNOWN,
    ),
    (
        "name in camel case",
        r#"{"CmdletInput":{"cmdletName":"Remove-Mailbox"}}"#,
        UNKNOWN,
    ),
    (
        "parameters in lower case",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","parameters":{"Identity":"eva"}}}"#,
        UNKNOWN,
    ),
    (
        "blank behind a member's name",
        r#"{"CmdletInput":{"CmdletName ":"Remove-Mailbox"}}"#,
        UNKNOWN,
    ),
    (
        "NUL behind a member's name",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","CmdletName\u0000":"Remove-Mailbox"}}"#,
        UNKNOWN,
    ),
    (
        "zero-width space in a member's name",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Cmdlet\u200bName":"Remove-Mailbox"}}"#,
        UNKNOWN,
    ),
    (
        "another member beside the input",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"},"QueryTable":{}}"#,
        UNKNOWN,
    ),
    (
        "a name beside the input",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"},"CmdletName":"Remove-Mailbox"}"#,
        UNKNOWN,
    ),
    (
        "a batch beside the input",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox"},"requests":[]}"#,
        UNKNOWN,
    ),
    (
        "another member of the input",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","ChangedProperties":["CmdletName"]}}"#,
        UNKNOWN,
    ),
    (
        "a type of the body",
        r##"{"@odata.type":"#Exchange.Other","CmdletInput":{"CmdletName":"Get-Mailbox"}}"##,
        UNKNOWN,
    ),
    (
        "a type of the input",
        r##"{"CmdletInput":{"@odata.type":"#Exchange.Other","CmdletName":"Get-Mailbox"}}"##,
        UNKNOWN,
    ),
    (
        "a short type of the input",
        r##"{"CmdletInput":{"@type":"#Exchange.Other","CmdletName":"Get-Mailbox"}}"##,
        UNKNOWN,
    ),
    (
        "a Newtonsoft type of the input",
        r#"{"CmdletInput":{"$type":"System.Object, mscorlib","CmdletName":"Get-Mailbox"}}"#,
        UNKNOWN,
    ),
    (
        "a Newtonsoft reference",
        r#"{"CmdletInput":{"$ref":"1"}}"#,
        UNKNOWN,
    ),
    (
        "a type beside the input",
        r##"{"CmdletInput@odata.type":"#Exchange.Other","CmdletInput":{"CmdletName":"Get-Mailbox"}}"##,
        UNKNOWN,
    ),
    (
        "a type of the name",
        r##"{"CmdletInput":{"CmdletName@odata.type":"#String","CmdletName":"Get-Mailbox"}}"##,
        UNKNOWN,
    ),
    (
        "a type of the parameters",
        r##"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters@odata.type":"#X","Parameters":{}}}"##,
        UNKNOWN,
    ),
    (
        "a bound link",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","CmdletName@odata.bind":"x"}}"#,
        UNKNOWN,
    ),
    ("no input", "{}", Refused(400, "missing-member")),
    (
        "no name",
        r#"{"CmdletInput":{"Parameters":{"Identity":"eva"}}}"#,
        Refused(400, "missing-member"),
    ),
    ("input is null", r#"{"CmdletInput":null}"#, KIND),
    (
        "input is a text",
        r#"{"CmdletInput":"{\"CmdletName\":\"Remove-Mailbox\"}"}"#,
        KIND,
    ),
    (
        "input is a list",
        r#"{"CmdletInput":[{"CmdletName":"Remove-Mailbox"}]}"#,
        KIND,
    ),
    (
        "name is null",
        r#"{"CmdletInput":{"CmdletName":null,"Parameters":{}}}"#,
        KIND,
    ),
    (
        "parameters are a list",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":[]}}"#,
        KIND,
    ),
    (
        "parameters are a text",
        r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":"Identity=eva"}}"#,
        KIND,
    ),
    (
        "a list of bodies",
        r#"[{"CmdletInput":{"CmdletName":"Get-Mailbox"}},{"CmdletInput":{"CmdletName":"Remove-Mailbox"}}]"#,
        KIND,
    ),
    ("a text as body", r#""Remove-Mailbox""#, KIND),
    ("null as body", "null", KIND),
];

/// Texts that only lenient readers take for JSON, and encodings that only some readers know.
const TEXTS: &[(&str, &[u8], Outcome<'_>)] = &[
    ("control", READ.as_bytes(), Arrives(READ)),
    ("no body", b"", INVALID),
    ("blanks alone", b"  \r\n", INVALID),
    ("a second value behind", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox"}}{"CmdletInput":{"CmdletName":"Remove-Mailbox"}}"#, INVALID),
    ("a second value on a line of its own", b"{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\"}}\n{\"CmdletInput\":{\"CmdletName\":\"Remove-Mailbox\"}}", INVALID),
    ("NUL behind", b"{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\"}}\0", INVALID),
    ("letters behind", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox"}}x"#, INVALID),
    ("a security prefix", b")]}',\n{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\"}}", INVALID),
    ("record separator", b"\x1e{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\"}}", INVALID),
    ("block comment", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox"/*,"CmdletName":"Remove-Mailbox"*/}}"#, INVALID),
    ("line comment", b"{\"CmdletInput\":{//\n\"CmdletName\":\"Get-Mailbox\"}}", INVALID),
    ("hash comment", b"{\"CmdletInput\":{#\n\"CmdletName\":\"Get-Mailbox\"}}", INVALID),
    ("trailing comma", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox",}}"#, INVALID),
    ("leading comma", br#"{"CmdletInput":{,"CmdletName":"Get-Mailbox"}}"#, INVALID),
    ("missing comma", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox""Parameters":{}}}"#, INVALID),
    ("single quotes", b"{'CmdletInput':{'CmdletName':'Remove-Mailbox'}}", INVALID),
    ("names without quotes", br#"{CmdletInput:{CmdletName:"Remove-Mailbox"}}"#, INVALID),
    ("equals sign", br#"{"CmdletInput"={"CmdletName":"Remove-Mailbox"}}"#, INVALID),
    ("not closed", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox"}"#, INVALID),
    ("closed with another bracket", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox"]}"#, INVALID),
    ("line feed in a text", b"{\"CmdletInput\":{\"CmdletName\":\"Get-Mail\nbox\"}}", INVALID),
    ("NUL in a text", b"{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\0\"}}", INVALID),
    ("unknown escape", br#"{"CmdletInput":{"CmdletName":"Get\-Mailbox"}}"#, INVALID),
    ("hexadecimal escape", br#"{"CmdletInput":{"CmdletName":"\x52emove-Mailbox"}}"#, INVALID),
    ("escape of three digits", br#"{"CmdletInput":{"CmdletName":"\u052"}}"#, INVALID),
    ("NaN", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"ResultSize":NaN}}}"#, INVALID),
    ("Infinity", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"ResultSize":-Infinity}}}"#, INVALID),
    ("undefined", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"ResultSize":undefined}}}"#, INVALID),
    ("capital True", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Archive":True}}}"#, INVALID),
    ("octal number", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"ResultSize":010}}}"#, INVALID),
    ("hexadecimal number", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"ResultSize":0x10}}}"#, INVALID),
    ("number with a plus sign", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"ResultSize":+1}}}"#, INVALID),
    ("number without a leading digit", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"ResultSize":.5}}}"#, INVALID),
    ("number without digits behind the point", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"ResultSize":1.}}}"#, INVALID),
    ("lone high surrogate", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Anr":"\ud800"}}}"#, INVALID),
    ("lone low surrogate", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Anr":"\udc00x"}}}"#, INVALID),
    ("surrogates in the wrong order", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Anr":"\udc00\ud800"}}}"#, INVALID),
    ("lone surrogate in a member's name", br#"{"CmdletInput":{"CmdletName":"Get-Mailbox","CmdletName\ud800":"x"}}"#, INVALID),
    ("byte order mark", b"\xef\xbb\xbf{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\"}}", Refused(400, "byte-order-mark")),
    ("byte order mark, UTF-16", b"\xff\xfe{\0}\0", NOT_UTF8),
    ("byte order mark, UTF-16 the other way", b"\xfe\xff\0{\0}", NOT_UTF8),
    ("UTF-16 without a mark", b"{\0\"\0C\0\"\0:\x001\0}\0", INVALID),
    ("UTF-7", b"+AHsAIg-CmdletInput+ACIAOgB7AH0AfQ-", INVALID),
    ("overlong hyphen", b"{\"CmdletInput\":{\"CmdletName\":\"Remove\xc0\xadMailbox\"}}", NOT_UTF8),
    ("overlong quote", b"{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\xc0\xa2,\"Parameters\":{}}}", NOT_UTF8),
    ("surrogate as UTF-8", b"{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\",\"Parameters\":{\"Anr\":\"\xed\xa0\x80\"}}}", NOT_UTF8),
    ("beyond Unicode", b"{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\",\"Parameters\":{\"Anr\":\"\xf4\x90\x80\x80\"}}}", NOT_UTF8),
    ("Latin-1", b"{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\",\"Parameters\":{\"Anr\":\"\xe4\"}}}", NOT_UTF8),
    ("cut in a character", b"{\"CmdletInput\":{\"CmdletName\":\"Get-Mailbox\",\"Parameters\":{\"Anr\":\"\xe2\x82\"}}}", NOT_UTF8),
];

/// Parameters that must arrive as they were sent: what is decided on is what runs.
const EXACT: &[(&str, &str)] = &[
    (
        "big number",
        r#"{"ResultSize":123456789012345678901234567890}"#,
    ),
    ("number beyond a double", r#"{"ResultSize":1e400}"#),
    (
        "digits beyond a double",
        r#"{"ResultSize":0.1000000000000000055511151231257827}"#,
    ),
    (
        "trailing zeros and a signed exponent",
        r#"{"ResultSize":1.50E+002}"#,
    ),
    ("minus zero", r#"{"ResultSize":-0}"#),
    ("null", r#"{"Identity":null}"#),
    (
        "empty text, list and table",
        r#"{"Identity":"","Anr":[],"Archive":{}}"#,
    ),
    ("letters beyond ASCII", r#"{"Anr":"Zoë 😀 你好"}"#),
    (
        "annotated value",
        r##"{"Anr@odata.type":"#String","Anr":"x"}"##,
    ),
    (
        "annotated table",
        r##"{"Anr":{"@odata.type":"#Exchange.GenericHashTable","add":["a","b"]}}"##,
    ),
    (
        "order and case of names",
        r#"{"zzz":1,"AAA":2,"identity":"ana"}"#,
    ),
    (
        "text that looks like an end",
        r#"{"Anr":"\"}}, \\\" {\"CmdletInput\":{\"CmdletName\":\"Remove-Mailbox\"}}"}"#,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_json_means_one_thing_here_and_another_upstream() {
    let mut catalogue = Catalogue::open(Setup::default()).await;
    for (trick, body, outcome) in ENVELOPES {
        catalogue
            .attempt(trick, &Raw::invoke(*body), *outcome)
            .await;
    }
    for (trick, body, outcome) in TEXTS {
        catalogue
            .attempt(trick, &Raw::invoke(*body), *outcome)
            .await;
    }
    for (name, parameters) in EXACT {
        let body = format!(
            r#"{{"CmdletInput":{{"CmdletName":"Get-Mailbox","Parameters":{parameters}}}}}"#
        );
        catalogue
            .attempt(name, &Raw::invoke(body.as_str()), Arrives(&body))
            .await;
    }
    let escaped = r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Anr":"\ud83d\ude00\/\u0041"}}}"#;
    let plain = r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{"Anr":"😀/A"}}}"#;
    catalogue
        .attempt(
            "escapes are written plain",
            &Raw::invoke(escaped),
            Arrives(plain),
        )
        .await;

    let utf16: Vec<u8> = REMOVE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    catalogue
        .attempt("UTF-16, whole", &Raw::invoke(utf16), INVALID)
        .await;
    let with = |parameters: String| {
        Raw::invoke(format!(
            r#"{{"CmdletInput":{{"CmdletName":"Get-Mailbox","Parameters":{{{parameters}}}}}}}"#
        ))
    };
    let nested = |depth: usize| {
        with(format!(
            "\"Anr\":{}1{}",
            "[".repeat(depth),
            "]".repeat(depth)
        ))
    };
    catalogue
        .attempt(
            "nested beyond all clients",
            &nested(40),
            Refused(400, "too-deep"),
        )
        .await;
    catalogue
        .attempt(
            "nested beyond any stack",
            &nested(500_000),
            Refused(400, "too-deep"),
        )
        .await;
    let many = (0..513)
        .map(|it| format!("\"A{it}\":1"))
        .collect::<Vec<_>>()
        .join(",");
    catalogue
        .attempt(
            "too many members",
            &with(many),
            Refused(400, "too-many-members"),
        )
        .await;
    let long = format!("\"{}\":1", "A".repeat(300));
    catalogue
        .attempt(
            "too long a member's name",
            &with(long),
            Refused(400, "long-name"),
        )
        .await;
    catalogue.close(&["Get-Mailbox"]).await;
}
