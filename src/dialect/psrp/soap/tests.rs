//! Tests of envelopes: what is read, what is refused beside a control that is not, and that writing keeps the meaning.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;

const CONFIGURATION: &str = "Microsoft.Exchange";
const SHELL_ID: Uuid = Uuid::from_u128(0x2633_1e05_d177_4dde_9d28_2952_16dd_f03a);
const COMMAND_ID: Uuid = Uuid::from_u128(0xb3cd_5f4e_425f_46bb_a52c_86d1_63fd_f64a);
const MESSAGE: Uuid = Uuid::from_u128(0xd184_f042_899c_4636_a575_f133_684b_3838);

const PEER: Peer<'static> = Peer {
    url: "https://mbx1.corp.example/powershell",
    configuration: CONFIGURATION,
    machine: "gate.corp.example",
    owner: "alice@corp.example",
};

fn command() -> String {
    format!(
        "<s:Envelope xmlns:rsp=\"{SHELL}\" xmlns:s=\"{ENVELOPE}\" xmlns:a=\"{ADDRESSING}\" \
         xmlns:w=\"{WSMAN}\" xmlns:p=\"{MICROSOFT}\"><s:Header>\
         <a:Action s:mustUnderstand=\"true\">{SHELL}/Command</a:Action>\
         <p:DataLocale s:mustUnderstand=\"false\" xml:lang=\"en-US\"/>\
         <w:Locale s:mustUnderstand=\"false\" xml:lang=\"en-US\"/>\
         <w:MaxEnvelopeSize s:mustUnderstand=\"true\">512000</w:MaxEnvelopeSize>\
         <a:MessageID>uuid:D184F042-899C-4636-A575-F133684B3838</a:MessageID>\
         <w:OperationTimeout>PT20S</w:OperationTimeout>\
         <a:ReplyTo><a:Address s:mustUnderstand=\"true\">{ANONYMOUS}</a:Address></a:ReplyTo>\
         <w:ResourceURI s:mustUnderstand=\"true\">{POWERSHELL}/{CONFIGURATION}</w:ResourceURI>\
         <a:To>https://gate/PowerShell/</a:To>\
         <w:OptionSet s:mustUnderstand=\"true\"><w:Option Name=\"WINRS_SKIP_CMD_SHELL\">False</w:Option></w:OptionSet>\
         <w:SelectorSet><w:Selector Name=\"ShellId\">26331E05-D177-4DDE-9D28-295216DDF03A</w:Selector></w:SelectorSet>\
         </s:Header><s:Body><rsp:CommandLine CommandId=\"B3CD5F4E-425F-46BB-A52C-86D163FDF64A\">\
         <rsp:Command/><rsp:Arguments>AAAA</rsp:Arguments></rsp:CommandLine></s:Body></s:Envelope>"
    )
}

/// What comes of the command's envelope when `from` in it is `to`.
fn changed(from: &str, to: &str) -> String {
    let control = command();
    assert!(read_request(control.as_bytes(), CONFIGURATION).is_ok());
    assert!(control.contains(from), "{from}");
    let sent = control.replacen(from, to, 1);
    match read_request(sent.as_bytes(), CONFIGURATION) {
        Ok(request) => format!("{:?}", request.operation),
        Err(error) => error.reason.to_owned(),
    }
}

#[test]
fn a_command_is_read() {
    let request = read_request(command().as_bytes(), CONFIGURATION).unwrap();
    let expected = Request {
        frame: Frame {
            message: MESSAGE,
            session: None,
            timeout: Some(Duration::from_secs(20)),
            max_envelope: Some(512_000),
            locale: Some("en-US".to_owned()),
            data_locale: Some("en-US".to_owned()),
        },
        shell: SHELL_ID,
        operation: Operation::Command {
            command: COMMAND_ID,
            arguments: vec![0, 0, 0],
        },
    };
    assert_eq!(request, expected);
}

#[test]
fn tricks_with_the_envelope_are_refused() {
    let arguments = "<rsp:Arguments>AAAA</rsp:Arguments>";
    let action = format!("<a:Action s:mustUnderstand=\"true\">{SHELL}/Command</a:Action>");
    let cases: &[(&str, &str, &str)] = &[
        // Two of what there is one of.
        ("</s:Header>", "</s:Header><s:Header/>", "soap-envelope"),
        ("</s:Body>", "</s:Body><s:Body/>", "soap-envelope"),
        (
            "</rsp:CommandLine>",
            "</rsp:CommandLine><rsp:CommandLine/>",
            "soap-body",
        ),
        (arguments, &arguments.repeat(2), "soap-duplicate"),
        (
            "<rsp:Command/>",
            "<rsp:Command/><rsp:Command/>",
            "soap-duplicate",
        ),
        (&action, &action.repeat(2), "soap-duplicate"),
        (
            "</w:Selector>",
            "</w:Selector><w:Selector Name=\"ShellId\">x</w:Selector>",
            "soap-selector",
        ),
        (
            "</w:Option>",
            "</w:Option><w:Option Name=\"WINRS_SKIP_CMD_SHELL\">False</w:Option>",
            "soap-option",
        ),
        ("<a:To>", "<a:to>x</a:to><a:To>", "soap-header"),
        // Decoys: the same names in other namespaces, other names in the same.
        (arguments, "<a:Arguments>AAAA</a:Arguments>", "soap-element"),
        ("<s:Body>", "<s:Body x=\"1\">", "soap-envelope"),
        ("<a:To>", "<w:To>x</w:To><a:To>", "soap-header"),
        ("<a:To>", "<a:FaultTo>x</a:FaultTo><a:To>", "soap-header"),
        (
            "<a:To>",
            "<rsp:CompressionType s:mustUnderstand=\"true\">xpress</rsp:CompressionType><a:To>",
            "compression",
        ),
        (
            "<rsp:CommandLine ",
            "<rsp:CommandLine Name=\"x\" ",
            "soap-attribute",
        ),
        ("role/anonymous", "role/other", "soap-reply-to"),
        // What is not served.
        (
            "windows/shell/Command<",
            "windows/shell/Connect<",
            "session-kept",
        ),
        (
            "windows/shell/Command<",
            "windows/shell/Disconnect<",
            "session-kept",
        ),
        (
            "windows/shell/Command<",
            "windows/shell/Reconnect<",
            "session-kept",
        ),
        (
            "windows/shell/Command<",
            "windows/shell/Invoke<",
            "soap-action",
        ),
        (
            "windows/shell/Command<",
            "windows/shell/Receive<",
            "soap-option",
        ),
        (
            "powershell/Microsoft.Exchange",
            "powershell/Microsoft.PowerShell",
            "resource-uri",
        ),
        (
            "schemas.microsoft.com/powershell/Microsoft.Exchange",
            "schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd",
            "resource-uri",
        ),
        ("WINRS_SKIP_CMD_SHELL", "WINRS_NOPROFILE", "soap-option"),
        (">False<", ">True<", "soap-option"),
        ("Name=\"ShellId\"", "Name=\"Other\"", "soap-selector"),
        // Forms.
        ("uuid:D184F042", "uuid:{D184F042", "soap-id"),
        (
            "CommandId=\"B3CD5F4E-425F-46BB-A52C-86D163FDF64A\"",
            "",
            "soap-missing",
        ),
        (
            "B3CD5F4E-425F-46BB-A52C-86D163FDF64A",
            "00000000-0000-0000-0000-000000000000",
            "soap-id",
        ),
        ("AAAA<", "AAA<", "soap-base64"),
        ("AAAA<", "AA=A<", "soap-base64"),
        ("AAAA<", "A\u{a0}AA<", "soap-base64"),
        ("PT20S", "P1D", "soap-duration"),
        ("PT20S", "PT-20S", "soap-duration"),
        ("512000", "+512000", "soap-number"),
        // XML.
        (
            "<s:Envelope",
            "<!DOCTYPE s:Envelope><s:Envelope",
            "xml-markup",
        ),
        ("AAAA<", "AA<!-- -->AA<", "xml-markup"),
        ("AAAA<", "<![CDATA[AAAA]]><", "xml-markup"),
        ("AAAA<", "&x;<", "bad-entity"),
        (
            "<s:Envelope",
            "<?xml version=\"1.0\" encoding=\"utf-16\"?><s:Envelope",
            "xml-declaration",
        ),
    ];
    for (from, to, reason) in cases {
        assert_eq!(changed(from, to), *reason, "{from} -> {to}");
    }
}

#[test]
fn other_spellings_that_mean_the_same_are_read() {
    let read = "Command { command: b3cd5f4e-425f-46bb-a52c-86d163fdf64a, arguments: [0, 0, 0] }";
    for (from, to) in [
        (
            "<s:Envelope",
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<s:Envelope",
        ),
        (
            "<rsp:Command/>",
            "<rsp:Command>Remove-Mailbox</rsp:Command>",
        ),
        ("AAAA<", "AA\r\nAA<"),
        ("AAAA<", "&#65;AAA<"),
        ("PT20S", "PT3M0.500S"),
        ("Microsoft.Exchange<", "microsoft.exchange<"),
    ] {
        assert_eq!(changed(from, to), read, "{to}");
    }
}

#[test]
fn signals_have_the_spellings_of_their_clients() {
    let of = |code: &str| {
        let body = format!(
            "<rsp:Signal CommandId=\"{COMMAND_ID}\"><rsp:Code>{code}</rsp:Code></rsp:Signal>"
        );
        let sent = command();
        let (before, rest) = sent.split_once("<rsp:CommandLine").unwrap();
        let (_, after) = rest.split_once("</s:Body>").unwrap();
        let sent = format!("{before}{body}</s:Body>{after}")
            .replace("shell/Command<", "shell/Signal<")
            .replace(
                "<w:Option Name=\"WINRS_SKIP_CMD_SHELL\">False</w:Option>",
                "",
            );
        match read_request(sent.as_bytes(), CONFIGURATION).map(|it| it.operation) {
            Ok(Operation::Signal { signal, .. }) => Ok(signal),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.reason),
        }
    };
    assert_eq!(
        of(&format!("{SHELL}/signal/terminate")),
        Ok(Signal::Terminate)
    );
    assert_eq!(
        of(&format!("{SHELL}/signal/Terminate")),
        Ok(Signal::Terminate)
    );
    assert_eq!(of(&format!("{SHELL}/signal/ctrl_c")), Ok(Signal::Stop));
    assert_eq!(of("powershell/signal/crtl_c"), Ok(Signal::Stop));
    assert_eq!(of("powershell/signal/ctrl_c"), Ok(Signal::Stop));
    assert_eq!(of("powershell/signal/resume"), Err("soap-signal"));
}

fn head(method: &Method, path: &str, headers: &[(&str, &str)]) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    match read_head(method, path, &map, "/powershell") {
        Ok(target) => target.path_and_query("/powershell"),
        Err(error) => format!("! {}", error.reason),
    }
}

#[test]
fn one_path_one_type_and_a_closed_query() {
    let soap = [("content-type", "application/soap+xml;charset=UTF-8")];
    let to = |path| head(&Method::POST, path, &soap);
    assert_eq!(to("/PowerShell/"), "/powershell");
    assert_eq!(
        to("/powershell?PSVersion=5.1.20348.1"),
        "/powershell?PSVersion=5.1.20348.1"
    );
    assert_eq!(
        to("/PowerShell/?serializationLevel=Full;ExchClientVer=15.2.1118.7;PSVersion=5.1"),
        "/powershell?serializationLevel=Full;ExchClientVer=15.2.1118.7;PSVersion=5.1"
    );
    for (path, reason) in [
        ("/wsman", "unknown-path"),
        ("/powershell/../ecp", "unknown-path"),
        ("/powershell//", "unknown-path"),
        ("/power%73hell", "unknown-path"),
        ("https://x/powershell", "unknown-path"),
        ("/powershell?X-Rps-CAT=x", "bad-query"),
        ("/powershell?TargetServer=x", "bad-query"),
        ("/powershell?PSVersion=5.1&psversion=5.2", "bad-query"),
        ("/powershell?PSVersion=5%2e1", "bad-query"),
    ] {
        assert_eq!(to(path), format!("! {reason}"), "{path}");
    }
    let typed = |headers: &[(&str, &str)]| head(&Method::POST, "/powershell", headers);
    assert_eq!(typed(&[]), "! bad-header");
    assert_eq!(typed(&[soap[0], soap[0]]), "! bad-header");
    assert_eq!(
        typed(&[soap[0], ("content-encoding", "gzip")]),
        "! content-encoding"
    );
    for (kind, reason) in [
        ("application/soap+xml", "content-type"),
        ("application/soap+xml;charset=UTF-16", "utf-16"),
        ("text/xml;charset=UTF-8", "content-type"),
        (
            "application/soap+xml;charset=UTF-8;charset=UTF-16",
            "content-type",
        ),
        (
            "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\"",
            "message-encryption",
        ),
    ] {
        assert_eq!(
            typed(&[("content-type", kind)]),
            format!("! {reason}"),
            "{kind}"
        );
    }
    assert_eq!(head(&Method::GET, "/powershell", &soap), "! method");
}

#[test]
fn a_fault_has_the_fields_that_clients_read() {
    let fault = Fault::denied("Remove-Mailbox <needs> approval");
    let text = write_response(
        &Response::Fault(fault.clone()),
        SHELL_ID,
        Some(MESSAGE),
        &PEER,
    );
    let text = String::from_utf8(text).unwrap();
    for part in [
        "<a:Action>http://schemas.dmtf.org/wbem/wsman/1/wsman/fault</a:Action>",
        "<a:RelatesTo>uuid:D184F042-899C-4636-A575-F133684B3838</a:RelatesTo>",
        "<s:Value>s:Sender</s:Value><s:Subcode><s:Value>w:AccessDenied</s:Value>",
        "Code=\"2147942405\" Machine=\"gate.corp.example\"",
        "<f:Message>Remove-Mailbox &lt;needs&gt; approval</f:Message>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let read = read_response(text.as_bytes(), MESSAGE).unwrap();
    assert_eq!(read, Response::Fault(fault));
    assert_eq!(Fault::timed_out().code, 2_150_858_793);
    assert_eq!(Fault::unknown("shell").code, 2_150_858_843);
}

#[test]
fn answers_to_other_requests_are_refused() {
    let text = write_response(&Response::Sent, SHELL_ID, Some(MESSAGE), &PEER);
    assert_eq!(read_response(&text, MESSAGE), Ok(Response::Sent));
    assert_eq!(
        read_response(&text, COMMAND_ID).unwrap_err().reason,
        "soap-relates-to"
    );
}

fn any_id() -> impl Strategy<Value = Uuid> {
    (1..u128::MAX).prop_map(Uuid::from_u128)
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..60)
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let streams = prop::sample::select(vec![Stream::Pr, Stream::Stdin]);
    let signals = prop::sample::select(vec![Signal::Stop, Signal::Terminate]);
    prop_oneof![
        (any_id(), any_bytes())
            .prop_map(|(command, arguments)| Operation::Command { command, arguments }),
        (prop::option::of(Just("2.3".to_owned())), any_bytes())
            .prop_map(|(protocol, creation)| Operation::Create { protocol, creation }),
        Just(Operation::Delete),
        (prop::option::of(any_id()), any::<bool>()).prop_map(|(command, keep_alive)| {
            Operation::Receive {
                command,
                keep_alive,
            }
        }),
        (prop::option::of(any_id()), streams, any_bytes()).prop_map(|(command, stream, data)| {
            Operation::Send {
                command,
                stream,
                data,
            }
        }),
        (any_id(), signals).prop_map(|(command, signal)| Operation::Signal { command, signal }),
    ]
}

fn any_response() -> impl Strategy<Value = Response> {
    let states = prop::sample::select(vec![CommandState::Done, CommandState::Running]);
    let output = prop::collection::vec((prop::option::of(any_id()), any_bytes()), 0..4);
    prop_oneof![
        any_id().prop_map(|shell| Response::Created { shell }),
        Just(Response::Deleted),
        (
            any::<u32>(),
            prop::sample::select(Subcode::ALL),
            "[!-~ é]{0,19}[!-~]"
        )
            .prop_map(|(code, subcode, text)| Response::Fault(Fault {
                code,
                subcode,
                text
            })),
        (output, prop::option::of((any_id(), states)))
            .prop_map(|(output, state)| Response::Received(Received { output, state })),
        Just(Response::Sent),
        Just(Response::Signalled),
        any_id().prop_map(|command| Response::Started { command }),
    ]
}

proptest! {
    #[test]
    fn a_request_that_is_written_is_read(
        operation in any_operation(),
        shell in any_id(),
        message in any_id(),
        session in prop::option::of(any_id()),
        millis in prop::option::of(0..3_600_000_u64),
        max_envelope in prop::option::of(any::<u32>()),
        locale in prop::option::of("[a-z]{2}-[A-Z]{2}"),
    ) {
        let request = Request {
            frame: Frame {
                message,
                session,
                timeout: millis.map(Duration::from_millis),
                max_envelope,
                locale: locale.clone(),
                data_locale: locale,
            },
            shell,
            operation,
        };
        let read = read_request(&write_request(&request, &PEER), CONFIGURATION).unwrap();
        // What the client leaves open is said to the server.
        let frame = Frame { max_envelope: max_envelope.or(Some(512_000)), ..request.frame.clone() };
        prop_assert_eq!(read, Request { frame, ..request });
    }

    #[test]
    fn an_answer_that_is_written_is_read(response in any_response(), message in any_id()) {
        let text = write_response(&response, SHELL_ID, Some(message), &PEER);
        prop_assert_eq!(read_response(&text, message).unwrap(), response);
    }

    #[test]
    fn reading_never_panics(at in 0..2000_usize, with in prop::collection::vec(any::<u8>(), 0..6)) {
        let mut sent = command().into_bytes();
        let at = at.min(sent.len());
        sent.splice(at..at, with);
        let _ = read_request(&sent, CONFIGURATION);
        let _ = read_response(&sent, MESSAGE);
    }
}
