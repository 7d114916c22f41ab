use proptest::prelude::*;

use super::*;

fn reason(bytes: &[u8]) -> &'static str {
    read(bytes).map_or_else(|error| error.reason(), |_| "read")
}

fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

fn table_of(members: usize) -> String {
    let members: Vec<_> = (0..members).map(|it| format!("\"m{it}\":{it}")).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn values_are_read_exactly() {
    let text = r#"{"b":[true,false,null],"n":[0,-0,1.50,1e400,123456789012345678901234567890],"t":"ä\u00e4\ud83d\ude00\n","e":{}}"#;
    let mut out = Vec::new();
    read(text.as_bytes()).unwrap().write_json(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"b\":[true,false,null],\"n\":[0,-0,1.50,1e400,123456789012345678901234567890],\"t\":\"ää😀\\n\",\"e\":{}}"
    );
}

#[test]
fn what_is_not_strict_json_is_refused_with_its_reason() {
    let deep = nested(MAX_DEPTH + 1);
    let wide = table_of(MAX_MEMBERS + 1);
    let long = format!("{{\"{}\":1}}", "n".repeat(MAX_MEMBER_NAME_BYTES + 1));
    for (bytes, expected) in [
        (&b""[..], "invalid-json"),
        (b"{", "invalid-json"),
        (b"{\"a\":1}{\"a\":1}", "invalid-json"),
        (b"{\"a\":1} x", "invalid-json"),
        (b"{'a':1}", "invalid-json"),
        (b"{a:1}", "invalid-json"),
        (b"{\"a\":1,}", "invalid-json"),
        (b"[1,]", "invalid-json"),
        (b"/* c */ 1", "invalid-json"),
        (b"[NaN]", "invalid-json"),
        (b"[01]", "invalid-json"),
        (b"[+1]", "invalid-json"),
        (b"[.5]", "invalid-json"),
        (b"[0x1]", "invalid-json"),
        (b"[TRUE]", "invalid-json"),
        (b"\"\x01\"", "invalid-json"),
        (b"\"\\x41\"", "invalid-json"),
        (b"\"\\ud800\"", "invalid-json"),
        (b"\"\\udc00\"", "invalid-json"),
        (b"\"\\ud800\\ud800\"", "invalid-json"),
        (b"{\"\\ud800\":1}", "invalid-json"),
        (b"\xef\xbb\xbf{}", "byte-order-mark"),
        (b"\xff\xfe{\0}\0", "not-utf-8"),
        (b"\"\xc0\xaf\"", "not-utf-8"),
        (b"\"\xed\xa0\x80\"", "not-utf-8"),
        (b"{\"a\":1,\"a\":2}", "duplicate-member"),
        (b"{\"a\":1,\"\\u0061\":2}", "duplicate-member"),
        (b"{\"Add\":1,\"add\":2}", "duplicate-member"),
        ("{\"\u{e4}\":1,\"\u{c4}\":2}".as_bytes(), "duplicate-member"),
        ("{\"k\":1,\"\u{212a}\":2}".as_bytes(), "duplicate-member"),
        ("{\"s\":1,\"\u{17f}\":2}".as_bytes(), "duplicate-member"),
        (b"[{\"a\":{\"b\":1,\"c\":2,\"b\":3}}]", "duplicate-member"),
        (deep.as_bytes(), "too-deep"),
        (wide.as_bytes(), "too-many-members"),
        (long.as_bytes(), "long-name"),
    ] {
        assert_eq!(
            reason(bytes),
            expected,
            "{}",
            shown(&String::from_utf8_lossy(bytes))
        );
    }
}

#[test]
fn what_is_just_within_bounds_is_read() {
    assert_eq!(reason(nested(MAX_DEPTH).as_bytes()), "read");
    assert_eq!(reason(table_of(MAX_MEMBERS).as_bytes()), "read");
    assert_eq!(reason(b" \t\r\n{\"a\":1,\"b\":{\"a\":1}}\n"), "read");
}

#[test]
fn repeated_names_are_found_among_many() {
    let mut text = table_of(100);
    text.truncate(text.len() - 1);
    text.push_str(",\"M99\":0}");
    assert_eq!(reason(text.as_bytes()), "duplicate-member");
}

#[test]
fn a_document_holds_a_bounded_number_of_values() {
    let zeros = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
    assert_eq!(reason(zeros(MAX_VALUES - 1).as_bytes()), "read");
    assert_eq!(reason(zeros(MAX_VALUES).as_bytes()), "too-many-values");
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let message = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        message(r#"{"a":1,}"#),
        "the body is not valid JSON: at byte 7, a member's name in double quotes was expected"
    );
    assert_eq!(
        message("[1 2]"),
        "the body is not valid JSON: at byte 3, `,` or `]` was expected"
    );
    assert_eq!(
        message("{} {}"),
        "the body is not valid JSON: at byte 3, the end was expected"
    );
}

#[test]
fn kinds_are_told_apart() {
    assert!(table(Value::Null, "it").is_err());
    assert!(list(Value::Table(Vec::new()), "it").is_err());
    assert!(text(Value::Bool(true), "it").is_err());
    assert_eq!(text(read(br#""a\/b""#).unwrap(), "it").unwrap(), "a/b");
}

/// Any value, with texts and names of any characters.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?"
            .prop_map(|it| Value::Number(Number::new(&it).unwrap())),
        any::<String>().prop_map(Value::Text),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|members| {
                let mut seen = HashSet::new();
                let distinct = members
                    .into_iter()
                    .filter(|(name, _)| seen.insert(folded(name)));
                Value::Table(distinct.collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn reading_what_was_written_gives_the_same_value(value in any_value()) {
        let mut out = Vec::new();
        value.write_json(&mut out);
        prop_assert_eq!(read(&out), Ok(value));
    }

    #[test]
    fn what_is_read_is_what_another_reader_reads(value in any_value(), blanks in "[ \t\r\n]{0,3}") {
        let mut out = Vec::new();
        value.write_json(&mut out);
        // The other reader has its own spelling and spacing.
        if let Ok(theirs) = serde_json::from_slice::<serde_json::Value>(&out) {
            let text = format!("{blanks}{theirs:#}{blanks}");
            let mut ours = Vec::new();
            read(text.as_bytes()).unwrap().write_json(&mut ours);
            let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&ours).unwrap(), theirs);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = reason(&bytes);
    }

    #[test]
    fn what_another_reader_refuses_is_refused(text in "[\\[\\]{}\",:\\\\ud8c0-3eE+. truefalsn\\-\u{7f}\u{1}é]{0,40}") {
        if reason(text.as_bytes()) == "read" {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            prop_assert!(theirs.is_ok() || text.contains(['e', 'E']), "{}", text);
        }
    }

    #[test]
    fn a_letter_changed_in_json_is_read_alike_or_refused(value in any_value(), at in any::<prop::sample::Index>(), letter in "[\\[\\]{}\",:\\\\u0-9a-f \u{1}]") {
        let mut out = Vec::new();
        value.write_json(&mut out);
        let mut text: Vec<char> = String::from_utf8(out).unwrap().chars().collect();
        let at = at.index(text.len());
        text[at] = letter.chars().next().unwrap();
        let text: String = text.into_iter().collect();
        match (read(text.as_bytes()), serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(ours), Ok(theirs)) => {
                let mut out = Vec::new();
                ours.write_json(&mut out);
                prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap(), theirs);
            }
            // Only a number too big for the other reader is read here alone.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{error}"),
            (Err(JsonError::Repeated(_)), _) | (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => prop_assert!(false, "{text} {error}"),
        }
    }
}
