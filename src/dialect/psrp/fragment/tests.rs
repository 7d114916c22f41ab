//! Tests of fragments: what is put together, and what is refused though the real receiver takes it.

use proptest::prelude::*;

use super::*;

fn raw(object: u64, number: u64, flags: u8, blob: &[u8]) -> Vec<u8> {
    let mut out = object.to_be_bytes().to_vec();
    out.extend_from_slice(&number.to_be_bytes());
    out.push(flags);
    out.extend_from_slice(&u32::try_from(blob.len()).unwrap().to_be_bytes());
    out.extend_from_slice(blob);
    out
}

fn outcome(payloads: &[Vec<u8>]) -> String {
    let limits = Limits {
        object_bytes: 10,
        objects: 2,
    };
    let mut reassembler = Reassembler::default();
    let mut out = Vec::new();
    for payload in payloads {
        match reassembler.push(payload, &limits) {
            Ok(objects) => out.extend(
                objects
                    .iter()
                    .map(|it| format!("{}:{}", it.id, String::from_utf8_lossy(&it.bytes))),
            ),
            Err(error) => return format!("! {}", error.reason),
        }
        assert!(reassembler.held() <= limits.object_bytes);
    }
    out.join(" ")
}

#[test]
fn fragments_in_order_become_messages() {
    let payloads = [
        [raw(1, 0, 3, b"ab"), raw(2, 0, 1, b"cd")].concat(),
        raw(2, 1, 0, b"ef"),
        raw(2, 2, 2, b"g"),
    ];
    assert_eq!(outcome(&payloads), "1:ab 2:cdefg");
}

#[test]
fn what_the_real_receiver_forgives_is_refused() {
    let cases: &[(&str, &[Vec<u8>])] = &[
        ("empty-payload", &[vec![]]),
        ("fragment-truncated", &[raw(1, 0, 3, b"ab")[..20].to_vec()]),
        ("fragment-truncated", &[raw(1, 0, 3, b"ab")[..22].to_vec()]),
        (
            "fragment-truncated",
            &[[raw(1, 0, 3, b"ab"), vec![0]].concat()],
        ),
        ("fragment-order", &[raw(1, 0, 1, b"a"), raw(1, 0, 1, b"b")]),
        ("fragment-order", &[raw(1, 0, 1, b"a"), raw(2, 0, 3, b"b")]),
        ("fragment-order", &[raw(1, 0, 1, b"a"), raw(2, 1, 2, b"b")]),
        ("fragment-order", &[raw(1, 0, 1, b"a"), raw(1, 2, 2, b"b")]),
        ("fragment-order", &[raw(1, 1, 3, b"a")]),
        ("fragment-order", &[raw(1, 0, 2, b"a")]),
        ("object-id", &[raw(0, 0, 3, b"a")]),
        ("object-id", &[raw(1 << 63, 0, 3, b"a")]),
        ("fragment-flags", &[raw(1, 0, 7, b"a")]),
        ("fragment-empty", &[raw(1, 0, 3, b"")]),
        (
            "message-too-large",
            &[raw(1, 0, 1, b"aaaaaa"), raw(1, 1, 2, b"bbbbb")],
        ),
        (
            "too-many-objects",
            &[[raw(1, 0, 3, b"a"), raw(2, 0, 3, b"b"), raw(3, 0, 3, b"c")].concat()],
        ),
    ];
    for (reason, payloads) in cases {
        assert_eq!(outcome(payloads), format!("! {reason}"), "{payloads:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        id in 1..=i64::MAX.unsigned_abs(),
        message in proptest::collection::vec(any::<u8>(), 1..600),
        max_blob in 1..200_usize,
    ) {
        let limits = Limits::default();
        let mut reassembler = Reassembler::default();
        let fragments = write(id, &message, max_blob);
        prop_assert!(fragments.iter().all(|it| it.len() <= HEADER + max_blob));
        let (last, others) = fragments.split_last().unwrap();
        for fragment in others {
            prop_assert_eq!(reassembler.push(fragment, &limits).unwrap(), []);
            prop_assert!(reassembler.is_open());
        }
        let object = Object { id, bytes: message };
        prop_assert_eq!(reassembler.push(last, &limits).unwrap(), [object]);
        prop_assert!(!reassembler.is_open());
    }

    #[test]
    fn reading_never_panics(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Reassembler::default().push(&payload, &Limits::default());
    }
}
