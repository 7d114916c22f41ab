//! Values: each is judged as the server will show it, and goes on as it was judged.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// How `value` is judged, or why it is not.
fn of(value: Item) -> String {
    let item = message(vec![command("Set-Mailbox", &[(Some("Identity"), value)])]);
    outcome(&item).replacen("Set-Mailbox Identity=", "", 1)
}

/// What goes upstream in its place.
fn written(value: Item) -> String {
    let item = message(vec![command("Set-Mailbox", &[(Some("Identity"), value)])]);
    let written = clixml::write(&read(&item, &catalogue()).unwrap().write());
    let (_, rest) = written.split_once(r#"<S N="N">Identity</S>"#).unwrap();
    let (value, _) = rest.split_once("</MS>").unwrap();
    value.to_owned()
}

#[test]
fn values_are_judged_as_the_server_shows_them_and_sent_like_that() {
    let owned = str::to_owned;
    for (value, judged, sent) in [
        (
            Item::Version(owned("010.0")),
            "10.0",
            r#"<Version N="V">10.0</Version>"#,
        ),
        (
            Item::Uri(owned("https://a/%40")),
            "https://a/%40",
            r#"<S N="V">https://a/%40</S>"#,
        ),
        (
            Item::Double(owned("0010E1")),
            "100",
            r#"<Db N="V">100</Db>"#,
        ),
        (Item::Single(owned("2.50")), "2.5", r#"<Sg N="V">2.5</Sg>"#),
        (
            Item::Decimal(owned("002.50")),
            "2.50",
            r#"<D N="V">2.50</D>"#,
        ),
        (
            Item::DateTime(owned("2026-11-21T22:04:34.500Z")),
            "2026-11-21T22:04:34.5Z",
            r#"<DT N="V">2026-11-21T22:04:34.5Z</DT>"#,
        ),
        (
            Item::Duration(owned("PT90M")),
            "01:30:00",
            r#"<TS N="V">PT1H30M</TS>"#,
        ),
        (Item::Char(64), "@", r#"<S N="V">@</S>"#),
        (Item::Char(57), "9", r#"<S N="V">9</S>"#),
        (
            Item::Bytes(vec![0x0c, 0x1d, 0x35]),
            "bytes:DB01",
            r#"<BA N="V">DB01</BA>"#,
        ),
    ] {
        assert_eq!(of(value.clone()), judged, "{value:?}");
        assert_eq!(written(value), sent);
    }
}

#[test]
fn values_that_the_server_would_make_others_of_are_refused() {
    let owned = str::to_owned;
    for value in [
        Item::Double(owned("INF")),
        Item::Double(owned("NaN")),
        Item::Single(owned("-INF")),
        Item::Double(owned("0.30000000000000004")),
        Item::Decimal(owned("1E5")),
        Item::Version(owned("1.9999999999")),
        Item::DateTime(owned("2026-11-21")),
        Item::DateTime(owned("22:04:34")),
        Item::Duration(owned("P1Y")),
        Item::Char(0xd800),
    ] {
        assert_eq!(of(value.clone()), "- value", "{value:?}");
        assert_eq!(of(Item::list(vec![value])), "- value");
    }
    // A GUID in braces, and a truth in another case, are none at all.
    for text in [
        "<G>{01a1ff8a-0000-4000-8000-000000000001}</G>",
        "<B>True</B>",
        "<B>1</B>",
        "<I32>007</I32>",
        "<I32>+7</I32>",
        "<C>0064</C>",
    ] {
        assert!(clixml::read(text).is_err(), "{text}");
    }
    let upper = clixml::read("<G>01A1FF8A-0000-4000-8000-000000000001</G>").unwrap();
    assert_eq!(of(upper), "01a1ff8a-0000-4000-8000-000000000001");
}

fn any_value() -> impl Strategy<Value = Item> {
    let one = prop_oneof![
        any::<bool>().prop_map(Item::Bool),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Item::Bytes),
        any::<u16>().prop_map(Item::Char),
        "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,7})?(Z|[+-][01][0-9]:[0-5][0-9])?"
            .prop_map(Item::DateTime),
        "-?[0-9]{1,20}(\\.[0-9]{1,9})?".prop_map(Item::Decimal),
        "-?[0-9]{1,4}(\\.[0-9]{1,12})?(E[+-]?[0-9]{1,3})?".prop_map(Item::Double),
        "-?[0-9]{1,4}(\\.[0-9]{1,4})?(E[+-]?[0-9]{1,2})?".prop_map(Item::Single),
        "-?P[0-9]{1,4}DT[0-9]{1,3}H[0-9]{1,3}M[0-9]{1,4}(\\.[0-9]{1,7})?S".prop_map(Item::Duration),
        any::<u128>().prop_map(|it| Item::Guid(Uuid::from_u128(it))),
        any::<i32>().prop_map(Item::i32),
        "[0-9]{1,3}(\\.[0-9]{1,3}){1,3}".prop_map(Item::Version),
        "[ -~é_x\\u{0}-\\u{7}]{0,12}".prop_map(Item::Text),
        "[ -~é]{0,12}".prop_map(Item::Uri),
    ];
    one.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Item::list),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3)
                .prop_map(|it| Item::table(it.into_iter().collect())),
        ]
    })
}

proptest! {
    /// The server, which reads what is sent, sees what was judged.
    #[test]
    fn what_is_sent_is_judged_as_what_was_read(value in any_value()) {
        if let Ok(once) = value::plain(&value) {
            let sent = clixml::read(&clixml::write(&once.item)).unwrap();
            prop_assert_eq!(value::plain(&sent), Ok(once));
        }
    }
}
