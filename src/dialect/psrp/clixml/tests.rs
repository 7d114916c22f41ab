//! Tests of CLIXML: what is read, what is refused, and that writing keeps the meaning.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn outcome(text: &str) -> String {
    match read(text) {
        Ok(item) => write(&item),
        Err(error) => format!("! {}", error.reason),
    }
}

fn refused(cases: &[(&str, &str)]) {
    for (text, reason) in cases {
        assert_eq!(outcome(text), format!("! {reason}"), "{text}");
    }
}

#[test]
fn each_type_of_value_is_written_as_it_was_read() {
    for text in [
        "<S/>",
        "<S>a_x005F_x000D_&amp;&lt;&gt;&quot;'_x000D__x000A_æ_xD83D__xDE00_</S>",
        "<C>65</C>",
        "<B>true</B>",
        "<DT>2008-04-11T10:42:32.2731993-07:00</DT>",
        "<TS>PT9.0269026S</TS>",
        "<By>254</By>",
        "<SB>-127</SB>",
        "<U16>65535</U16>",
        "<I16>-32768</I16>",
        "<U32>4294967295</U32>",
        "<I32>-2147483648</I32>",
        "<U64>18446744073709551615</U64>",
        "<I64>-9223372036854775808</I64>",
        "<Sg>12.34</Sg>",
        "<Db>1.7976931348623157E+308</Db>",
        "<Db>-INF</Db>",
        "<D>12.340</D>",
        "<BA>AQIDBA==</BA>",
        "<G>792e5b37-4505-47ef-b7d2-8711bb7affa8</G>",
        "<URI>http://www.microsoft.com/</URI>",
        "<Version>6.2.1.3</Version>",
        "<XD>&lt;a b=&quot;c&quot;/&gt;</XD>",
        "<SBK>get-command -type cmdlet</SBK>",
        "<SS>bGs/O2Xf11qnkAUWAyWvwi/mcYuS8aE0AQ7Zi3rRxGk=</SS>",
        "<Nil/>",
        "<PR><AV>Processing</AV><AI>0</AI><Nil/><PI>-1</PI><PC>40</PC><T>Processing</T><SR>-1</SR><SD>Pipeline</SD></PR>",
        "<PR><AV>a</AV><AI>0</AI><S>b</S><PI>-1</PI><PC>40</PC><T>Processing</T><SR>-1</SR><SD/></PR>",
        r#"<Obj RefId="0"><TN RefId="0"><T>System.Object[]</T><T>System.Object</T></TN><LST><S>a</S><Nil/></LST></Obj>"#,
        r#"<Obj RefId="0"><IE><I32>1</I32></IE></Obj>"#,
        r#"<Obj RefId="0"><STK/></Obj>"#.replace("<STK/>", "<STK></STK>").as_str(),
        r#"<Obj RefId="0"><QUE><Obj RefId="1"></Obj></QUE></Obj>"#,
        r#"<Obj RefId="0"><DCT><En><S N="Key">k</S><I32 N="Value">1</I32></En></DCT></Obj>"#,
        r#"<Obj RefId="0"><ToString>x</ToString><I32>7</I32><Props><S N="A">1</S></Props><MS><S N="b c">2</S></MS></Obj>"#,
        r#"<Obj RefId="0"><LST><Obj RefId="1"><TN RefId="0"><T>A</T></TN></Obj><Obj RefId="2"><TNRef RefId="0"/></Obj></LST></Obj>"#,
    ] {
        assert_eq!(outcome(text), text);
    }
}

#[test]
fn other_spellings_of_the_same_become_ours() {
    let same = [
        ("<S></S>", "<S/>"),
        ("<S>a\r\nb</S>", "<S>a_x000A_b</S>"),
        ("<S>&#45;_x002D_</S>", "<S>--</S>"),
        ("<BA> AQID\n BA== </BA>", "<BA>AQIDBA==</BA>"),
        (
            "<G>792E5B37-4505-47EF-B7D2-8711BB7AFFA8</G>",
            "<G>792e5b37-4505-47ef-b7d2-8711bb7affa8</G>",
        ),
        (r#"<Obj N="" RefId="7"/>"#, "! clixml-shape"),
        (
            r#"<Obj RefId="7"><I32>0</I32><TN RefId="9"><T>A</T></TN><ToString>x</ToString></Obj>"#,
            r#"<Obj RefId="0"><TN RefId="0"><T>A</T></TN><ToString>x</ToString><I32>0</I32></Obj>"#,
        ),
        (
            r#"<Obj RefId="0"><MS><Obj RefId="9" N="A"><I32>0</I32></Obj><Ref RefId="9" N="B" /></MS></Obj>"#,
            r#"<Obj RefId="0"><MS><Obj RefId="1" N="A"><I32>0</I32></Obj><Obj RefId="2" N="B"><I32>0</I32></Obj></MS></Obj>"#,
        ),
    ];
    for (sent, written) in same {
        assert_eq!(outcome(sent), written, "{sent}");
    }
}

#[test]
fn what_is_unknown_or_doubled_is_refused() {
    refused(&[
        ("<Foo/>", "clixml-element"),
        ("<s/>", "clixml-element"),
        ("<Objs/>", "clixml-element"),
        ("<S X='1'/>", "clixml-element"),
        ("<S RefId='1'/>", "clixml-element"),
        ("<S xmlns='u'/>", "clixml-element"),
        ("<p:S xmlns:p='u'/>", "clixml-element"),
        ("<S><S/></S>", "clixml-element"),
        ("<Nil>x</Nil>", "clixml-element"),
        ("<Obj/>", "clixml-element"),
        (r#"<Obj RefId="0">x</Obj>"#, "clixml-shape"),
        (r#"<Obj RefId="0"><Foo/></Obj>"#, "clixml-element"),
        (r#"<Obj RefId="0"><Obj RefId="1"/></Obj>"#, "clixml-element"),
        (
            r#"<Obj RefId="0"><I32>1</I32><I32>2</I32></Obj>"#,
            "clixml-shape",
        ),
        (r#"<Obj RefId="0"><LST/><DCT/></Obj>"#, "clixml-shape"),
        (r#"<Obj RefId="0"><MS/><MS/></Obj>"#, "clixml-shape"),
        (
            r#"<Obj RefId="0"><ToString/><ToString/></Obj>"#,
            "clixml-shape",
        ),
        (r#"<Obj RefId="0"><MS><S/></MS></Obj>"#, "clixml-shape"),
        (
            r#"<Obj RefId="0"><MS><S N="A"/><S N="a"/></MS></Obj>"#,
            "clixml-duplicate",
        ),
        (
            r#"<Obj RefId="0"><MS><S N="A"/></MS><Props><S N="a"/></Props></Obj>"#,
            "clixml-duplicate",
        ),
        (
            r#"<Obj RefId="0"><LST><S N="A"/></LST></Obj>"#,
            "clixml-shape",
        ),
        (
            r#"<Obj RefId="0"><LST><Obj RefId="0"/></LST></Obj>"#,
            "clixml-reference",
        ),
        (
            r#"<Obj RefId="0"><LST><Ref RefId="0"/></LST></Obj>"#,
            "clixml-reference",
        ),
        (
            r#"<Obj RefId="0"><LST><Ref RefId="1"/><Obj RefId="1"/></LST></Obj>"#,
            "clixml-reference",
        ),
        (r#"<Obj RefId="01"/>"#, "clixml-reference"),
        (r#"<Obj RefId="0"><TNRef RefId="0"/></Obj>"#, "clixml-types"),
        (
            r#"<Obj RefId="0"><TN RefId="0"></TN></Obj>"#,
            "clixml-types",
        ),
        (
            r#"<Obj RefId="0"><DCT><En><S N="Key">k</S></En></DCT></Obj>"#,
            "clixml-element",
        ),
        (
            r#"<Obj RefId="0"><DCT><En><S N="Value">k</S><S N="Key"/></En></DCT></Obj>"#,
            "clixml-shape",
        ),
        (
            r#"<Obj RefId="0"><DCT><En><S N="Key">k</S><Nil N="Value"/></En><En><S N="Key">K</S><Nil N="Value"/></En></DCT></Obj>"#,
            "clixml-duplicate",
        ),
    ]);
}

#[test]
fn values_that_readers_see_differently_are_refused() {
    refused(&[
        ("<B>1</B>", "clixml-value"),
        ("<B>True</B>", "clixml-value"),
        ("<I32>+1</I32>", "clixml-value"),
        ("<I32>01</I32>", "clixml-value"),
        ("<I32> 1</I32>", "clixml-value"),
        ("<I32>2147483648</I32>", "clixml-value"),
        ("<By>-1</By>", "clixml-value"),
        ("<C>65536</C>", "clixml-value"),
        ("<Db>1,5</Db>", "clixml-value"),
        ("<Db>0x1</Db>", "clixml-value"),
        ("<DT>today</DT>", "clixml-value"),
        ("<G>792e5b37450547efb7d28711bb7affa8</G>", "clixml-value"),
        ("<BA>AQIDBA=</BA>", "clixml-value"),
        ("<BA>AQIDBB==</BA>", "clixml-value"),
        ("<Version>1</Version>", "clixml-value"),
        ("<S>_xD83D_</S>", "clixml-escape"),
        ("<S>_xDE00__xD83D_</S>", "clixml-escape"),
        ("<S>_X0041_</S>", "clixml-escape"),
        ("<S>_x00000041_</S>", "clixml-escape"),
        (
            r#"<Obj RefId="0"><MS><S N="_x0043_md"/></MS></Obj>"#,
            "clixml-escape",
        ),
    ]);
    assert_eq!(
        outcome("<S>_xZZZZ_ _x41_ _</S>"),
        "<S>_x005F_xZZZZ_ _x005F_x41_ _</S>"
    );
}

#[test]
fn references_cannot_stand_for_more_than_is_read() {
    let mut text =
        String::from(r#"<Obj RefId="0"><LST><Obj RefId="1"><LST><S>xxxxxxxxxx</S></LST></Obj>"#);
    for level in 2..30 {
        let below = level - 1;
        write!(
            text,
            r#"<Obj RefId="{level}"><LST><Ref RefId="{below}"/><Ref RefId="{below}"/></LST></Obj>"#
        )
        .unwrap();
    }
    text.push_str("</LST></Obj>");
    refused(&[(&text, "clixml-reference")]);
}

#[test]
fn script_blocks_are_found_wherever_they_are() {
    for text in [
        "<SBK>x</SBK>",
        r#"<Obj RefId="0"><LST><SBK/></LST></Obj>"#,
        r#"<Obj RefId="0"><DCT><En><S N="Key">k</S><SBK N="Value"/></En></DCT></Obj>"#,
        r#"<Obj RefId="0"><MS><SBK N="a"/></MS></Obj>"#,
        r#"<Obj RefId="0"><Props><SBK N="a"/></Props></Obj>"#,
        r#"<Obj RefId="0"><SBK/></Obj>"#,
    ] {
        assert!(read(text).unwrap().holds_script(), "{text}");
    }
    assert!(!read("<S>SBK</S>").unwrap().holds_script());
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "(_|x|X|0041|D83D|\\PC){0,8}",
        any::<String>()
    ]
}

fn any_integer() -> impl Strategy<Value = Item> {
    let kinds = prop::sample::select(vec![
        Integer::I16,
        Integer::I32,
        Integer::I64,
        Integer::I8,
        Integer::U16,
        Integer::U32,
        Integer::U64,
        Integer::U8,
    ]);
    kinds.prop_flat_map(|kind| {
        let (least, greatest) = kind.bounds();
        (least..=greatest).prop_map(move |number| Item::Integer(kind, number))
    })
}

fn any_scalar() -> impl Strategy<Value = Item> {
    prop_oneof![
        any::<bool>().prop_map(Item::Bool),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Item::Bytes),
        any::<u16>().prop_map(Item::Char),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z".prop_map(Item::DateTime),
        "-?[0-9]{1,20}(\\.[0-9]{1,9})?".prop_map(Item::Decimal),
        "-?[0-9](\\.[0-9]{1,16})?(E[+-][0-9]{1,3})?|NaN|INF|-INF".prop_map(Item::Double),
        "-?[0-9]{1,8}(\\.[0-9]{1,9})?".prop_map(Item::Single),
        "P[0-9]D|PT[0-9]{1,3}\\.[0-9]S".prop_map(Item::Duration),
        any::<u128>().prop_map(|it| Item::Guid(Uuid::from_u128(it))),
        any_integer(),
        Just(Item::Nil),
        any_text().prop_map(Item::ScriptBlock),
        "([A-Za-z0-9]{4}){0,5}".prop_map(Item::Secure),
        any_text().prop_map(Item::Text),
        any_text().prop_map(Item::Uri),
        "[0-9]{1,3}(\\.[0-9]{1,3}){1,3}".prop_map(Item::Version),
        any_text().prop_map(Item::Xml),
        (
            any_text(),
            any::<i32>(),
            prop::option::of(any_text()),
            any::<i32>()
        )
            .prop_map(|(text, number, operation, other)| {
                Item::Progress(Box::new(Progress {
                    activity: text.clone(),
                    id: number,
                    operation,
                    parent: other,
                    percent: number,
                    kind: text.clone(),
                    seconds_left: other,
                    status: text,
                }))
            }),
    ]
}

fn any_item() -> impl Strategy<Value = Item> {
    any_scalar().prop_recursive(4, 40, 5, |inner| {
        let lists =
            prop::sample::select(vec![List::Enumerable, List::List, List::Queue, List::Stack]);
        let base = prop_oneof![
            Just(Base::Nothing),
            any_scalar().prop_map(Base::Scalar),
            (lists, prop::collection::vec(inner.clone(), 0..5))
                .prop_map(|(kind, items)| Base::List(kind, items)),
            prop::collection::btree_map("[a-z]{1,6}", inner.clone(), 0..5).prop_map(|map| {
                Base::Dictionary(map.into_iter().map(|(k, v)| (Item::Text(k), v)).collect())
            }),
        ];
        let properties = || prop::collection::btree_map("[a-z_ é]{1,6}", inner.clone(), 0..4);
        let types = prop::collection::vec("[A-Za-z.`\\[\\]]{1,12}", 0..4);
        (
            base,
            properties(),
            properties(),
            types,
            prop::option::of(any_text()),
        )
            .prop_map(|(base, adapted, extended, types, shown)| {
                let adapted: Vec<_> = adapted.into_iter().collect();
                let extended = extended
                    .into_iter()
                    .filter(|it| adapted.iter().all(|other| other.0 != it.0))
                    .collect();
                Item::Object(Box::new(Object {
                    types: types.into(),
                    shown,
                    adapted,
                    extended,
                    base,
                }))
            })
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(item in any_item()) {
        let text = write(&item);
        prop_assert_eq!(read(&text).map_err(|it| it.text), Ok(item), "{}", text);
    }

    #[test]
    fn reading_never_panics(text in "(<(Obj RefId=\"[0-3]\"|S|LST|MS|DCT|En|TN RefId=\"0\"|T|I32|Ref RefId=\"1\"/|/Obj|/LST|/MS|/S)>|[a-z0-9_]){0,20}") {
        if let Ok(item) = read(&text) {
            let again = write(&item);
            prop_assert_eq!(write(&read(&again).unwrap()), again);
        }
    }
}
