//! The fuzz targets on stable Rust: over the committed corpus, and over generated inputs that look right at first sight.

use std::fmt::Write as _;
use std::path::Path;

use portcullis::fuzzing;
use proptest::prelude::*;

const TENANT: &str = "1b2c3d4e-0000-4000-8000-00000000beef";

type Check = fn(&[u8]);

/// Every target with its corpus.
const TARGETS: [(&str, Check); 10] = [
    ("audit_record", fuzzing::audit_record),
    ("batch", fuzzing::batch),
    ("envelope", fuzzing::envelope),
    ("path", fuzzing::path),
    ("policy_file", fuzzing::policy_file),
    ("psrp_clixml", fuzzing::psrp_clixml),
    ("psrp_fragment", fuzzing::psrp_fragment),
    ("psrp_message", fuzzing::psrp_message),
    ("psrp_session", fuzzing::psrp_session),
    ("psrp_soap", fuzzing::psrp_soap),
];

#[test]
fn what_must_hold_holds_for_the_committed_corpus() {
    for (target, check) in TARGETS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(&corpus).unwrap() {
            check(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 5, "{target} has {count} inputs only");
    }
}

#[test]
fn each_target_has_its_corpus_and_each_corpus_its_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for folder in ["corpus", "fuzz_targets"] {
        let mut found: Vec<_> = std::fs::read_dir(fuzz.join(folder))
            .unwrap()
            .map(|it| {
                let path = it.unwrap().path();
                path.file_stem().unwrap().to_str().unwrap().to_owned()
            })
            .collect();
        found.sort();
        assert_eq!(found, TARGETS.map(|it| it.0), "{folder}");
    }
}

/// A JSON text out of the pieces that matter, not always a valid one.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "null|true|-?[0-9]{1,25}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        "\"[a-zA-Z0-9@.#$\\\\'-]{0,12}\"",
        "\"(https://(outlook|eur01.outlook).office365.com(:443)?/adminapi/[a-z?$=&#]{0,9})\"",
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        let name = prop_oneof![
            "[A-Za-z_]{1,6}",
            "(Identity|value)?@odata\\.(type|nextLink|context)",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((name, inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\" :{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn envelope() -> impl Strategy<Value = String> {
    let cmdlet = prop_oneof![
        "[A-Za-z]{1,6}-[A-Za-z0-9]{1,6}",
        "(New|get)-[eE]levatedAccess[A-Z]{0,3}",
        "[A-Za-z. \\\\-]{0,9}",
    ];
    (cmdlet, json()).prop_map(|(cmdlet, parameters)| {
        format!(r#"{{"CmdletInput":{{"CmdletName":"{cmdlet}","Parameters":{parameters}}}}}"#)
    })
}

proptest! {
    #[test]
    fn what_must_hold_of_envelopes_and_answers_holds(text in prop_oneof![envelope(), json()]) {
        fuzzing::envelope(text.as_bytes());
    }

    #[test]
    fn what_must_hold_of_batches_holds(
        bodies in prop::collection::vec((envelope(), "[0-9a-z]{1,2}", "[?$&=a-z0-9%.-]{0,20}"), 0..12),
        host in "(gate.example|outlook.office365.com:443|eur01.outlook.office365.com|elsewhere.example)",
    ) {
        let items: Vec<_> = bodies.iter().map(|(body, id, rest)| format!(
            r#"{{"id":"{id}","method":"POST","url":"https://{host}/adminapi/beta/{TENANT}/InvokeCommand{rest}","headers":{{"Authorization":"x"}},"body":{body}}}"#
        )).collect();
        fuzzing::batch(format!(r#"{{"requests":[{}]}}"#, items.join(",")).as_bytes());
    }

    #[test]
    fn what_must_hold_of_paths_holds(
        version in "(beta|v0\\.5|V1\\.0|v2\\.0)",
        rest in "(/(Mailbox|recipient|MailboxFolder|InvokeCommand|casmailbox)(\\('[ -~]{0,9}'\\))?){1,3}/?",
        query in "(\\?[ -~]{0,20}(&isEncoded=true)?)?",
        identity in prop::option::of("[A-Za-z0-9+/=]{0,16}"),
    ) {
        let mut text = format!("/adminapi/{version}/{TENANT}{rest}{query}");
        if let Some(identity) = identity {
            text.push('\n');
            text.push_str(&identity);
        }
        fuzzing::path(text.as_bytes());
    }

    #[test]
    fn what_must_hold_of_policy_files_holds(
        scopes in prop::collection::vec(("Exchange\\\\[A-Z*][a-z*]{0,3}-[A-Z*][a-z*]{0,3}", "(manual|auto|never)", any::<bool>()), 0..6),
        more in "[ -~\\n]{0,40}",
    ) {
        let mut text = "[[group]]\nname = \"g\"\nmembers = [\"a\"]\n".to_owned();
        for (scope, approval, report_only) in scopes {
            writeln!(text, "[[policy]]\ntask = '{scope}'\napproval = \"{approval}\"\nreport_only = {report_only}").unwrap();
            if approval == "manual" {
                text.push_str("approvers = [\"g\"]\n");
            }
        }
        fuzzing::policy_file(text.as_bytes());
        text.push_str(&more);
        fuzzing::policy_file(text.as_bytes());
    }

    #[test]
    fn what_must_hold_of_records_holds(
        seq in 0..1_000_u64, kind in "[a-z-]{0,9}", members in "(,\"[a-z]{1,9}\":(null|[0-9]{1,4}|\"[ -~é]{0,9}\")){0,4}", prev in "[0-9a-f]{64}",
    ) {
        let line = format!(
            "{{\"seq\":{seq},\"time\":\"2026-11-21T09:08:03.123456Z\",\"node\":\"gw1\",\"kind\":\"{kind}\"{members},\"prev\":\"{prev}\",\"hash\":\"{prev}\"}}"
        );
        fuzzing::audit_record(line.as_bytes());
    }

    #[test]
    fn what_must_hold_holds_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, check) in TARGETS {
            check(&bytes);
        }
    }
}
