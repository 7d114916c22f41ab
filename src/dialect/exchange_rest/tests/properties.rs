//! What holds for any input: nothing panics, and what is written reads back as what was read.

use proptest::prelude::*;

use super::super::{Batch, write, write_batch};
use super::*;
use crate::model::Value;

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z][A-Za-z0-9_]{0,12}"
}

/// A parameter's value as JSON text, with annotations in the places where clients put them.
fn value() -> impl Strategy<Value = String> {
    let text = any::<String>().prop_map(|it| {
        let mut out = Vec::new();
        Value::Text(it).write_json(&mut out);
        String::from_utf8(out).unwrap()
    });
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|it| it.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
        text,
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[a-z_]{1,6}", inner, 0..4).prop_map(|members| {
                let members = members
                    .iter()
                    .map(|(name, value)| format!(",\"{name}\":{value}"));
                let tag = r##""@odata.type":"#Exchange.GenericHashTable""##;
                format!("{{{tag}{}}}", members.collect::<String>())
            }),
        ]
    })
}

/// An envelope.
fn envelope() -> impl Strategy<Value = String> {
    let parameters = prop::collection::btree_map("[a-z][a-z0-9_]{0,12}", value(), 0..6);
    ("[A-Za-z]{1,8}-[A-Za-z0-9]{1,12}", parameters).prop_map(|(cmdlet, parameters)| {
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| format!("\"{name}\" : {value}"))
            .collect();
        format!(
            r#"{{"CmdletInput":{{"Parameters":{{{}}},"CmdletName":"{cmdlet}"}}}}"#,
            parameters.join(" ,\n")
        )
    })
}

/// A path below the tenant that is a known read.
fn read_path() -> impl Strategy<Value = String> {
    let key = "[^\\x00-\\x1f\\x7f-\\x9f/;\\\\%]{1,20}".prop_map(|text| {
        let doubled = text.replace('\'', "''");
        percent_encoding::utf8_percent_encode(&doubled, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
    });
    (key, 0..6_usize).prop_map(|(key, form)| match form {
        0 => format!("/Mailbox('{key}')"),
        1 => format!("/mailbox('{key}')/MailboxPermission/?$select=a"),
        2 => format!("/Recipient('{key}')?$expand=RecipientPermission"),
        3 => format!(
            "/Recipient?$filter={}&Anr={}",
            key.replace("%27", "%27%27"),
            key
        ),
        4 => format!("/Recipient/Exchange.BySmtpAddress(SmtpAddress='{key}')"),
        _ => format!("/Mailbox('{key}')/MailboxFolder('{key}')/MailboxFolderPermission"),
    })
}

proptest! {
    #[test]
    fn a_command_written_and_read_again_is_the_same(body in envelope(), page in prop::option::of("[A-Za-z0-9+%=._-]{0,3}[A-Za-z0-9]")) {
        let mut sent = invoke(body.as_str());
        if let Some(token) = page {
            sent.path.push_str("?$skiptoken=");
            sent.path.push_str(&token);
            prop_assume!(sent.reason() != "bad-skiptoken");
        }
        let call = sent.call();
        let out = write(&call);
        prop_assert_eq!(Sent::from(out.clone()).call(), call);
        // Besides our own reader, another one sees the same.
        let sent: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let written: serde_json::Value = serde_json::from_slice(&out.body).unwrap_or_default();
        prop_assert_eq!(written, sent);
    }

    #[test]
    fn a_read_written_and_read_again_is_the_same(path in read_path()) {
        let call = get(&path).call();
        let out = Sent::from(write(&call));
        prop_assert_eq!(out.call(), call);
    }

    #[test]
    fn a_batch_written_and_read_again_is_the_same(bodies in prop::collection::vec(envelope(), 1..4), name in name()) {
        let items: Vec<_> = bodies.iter().enumerate().map(|(index, body)| format!(
            r#"{{"url":"https://gate.example/adminapi/beta/{TENANT}/InvokeCommand","body":{body},"method":"POST","headers":{{"X-ClientApplication":"{name}"}},"id":"{index}"}}"#
        )).collect();
        let mut sent = invoke(format!(r#"{{"requests":[{}]}}"#, items.join(",")));
        sent.path = format!("/adminapi/beta/{TENANT}/$batch");
        let Ok(Operation::Batch(batch)) = sent.read() else {
            return Err(TestCaseError::fail("not read"));
        };
        let items: Vec<_> = batch.items.iter().map(|it| (it.id.as_str(), &it.call)).collect();
        let out = Sent::from(write_batch(&batch.frame, &items, "outlook.office365.com", None));
        prop_assert_eq!(out.read(), Ok(Operation::Batch(Batch::clone(&batch))));
    }

    #[test]
    fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..120), is_batch in any::<bool>()) {
        let mut sent = invoke(body);
        if is_batch {
            sent.path = format!("/adminapi/beta/{TENANT}/$batch");
        }
        prop_assert_ne!(sent.reason(), "read");
    }

    #[test]
    fn no_path_makes_it_panic(path in "\\PC{0,60}", below in any::<bool>(), method in prop_oneof![Just(Method::GET), Just(Method::POST)]) {
        let path = if below { format!("/adminapi/beta/{TENANT}/{path}") } else { path };
        let _ = invoke(GET_MAILBOX).path(&path).method(method).read();
    }

    #[test]
    fn no_path_of_path_letters_makes_it_panic(path in "[MailboxRecipntGeS('),=/%27.$?&]{0,40}", method in prop_oneof![Just(Method::GET), Just(Method::POST)]) {
        let path = format!("/adminapi/beta/{TENANT}/{path}");
        let sent = invoke("").path(&path).method(method);
        if let Ok(Operation::Single(call)) = sent.read() {
            prop_assert_eq!(Sent::from(write(&call)).call(), call);
        }
    }

    #[test]
    fn no_header_makes_it_panic(
        name in prop_oneof![Just("content-type"), Just("prefer"), Just("content-encoding"), Just("xparameter-identity"), Just("user-agent")],
        value in prop::collection::vec(prop_oneof![32..127_u8, 128..=255_u8], 0..40),
    ) {
        let mut sent = invoke(GET_MAILBOX);
        sent.headers.append(name, HeaderValue::from_bytes(&value).unwrap());
        let _ = sent.read();
    }
}
