//! Tests of the XML reader: what is read, and what is refused since others would read it differently.

use std::fmt::Write as _;

use super::*;

const LIMITS: Limits = Limits {
    depth: 4,
    elements: 8,
    attributes: 4,
};

fn outcome(text: &str) -> String {
    match read(text.as_bytes(), Declaration::Optional, &LIMITS) {
        Ok(root) => shape(&root),
        Err(error) => format!("! {}", error.reason),
    }
}

fn shape(element: &Element<'_>) -> String {
    let mut out = format!("{{{}}}{}", element.namespace, element.name);
    for it in &element.attributes {
        write!(out, " {{{}}}{}={}", it.namespace, it.name, it.value).unwrap();
    }
    let children: Vec<_> = element.children.iter().map(shape).collect();
    format!("{out}[{}{:?}]", children.join(" "), element.text)
}

#[test]
fn plain_elements_are_read() {
    assert_eq!(outcome("<a/>"), r#"{}a[""]"#);
    assert_eq!(outcome("\u{feff}<a >x</a >"), r#"{}a["x"]"#);
    assert_eq!(
        outcome("<?xml version=\"1.0\" encoding='UTF-8'?>\r\n<a> <b/> </a>\n"),
        r#"{}a[{}b[""]""]"#
    );
    assert_eq!(
        outcome("<p:a xmlns:p='u' p:k=\"v&gt;\" k='w'/>"),
        r#"{u}a {u}k=v> {}k=w[""]"#
    );
    assert_eq!(
        outcome("<a><b xmlns='u'/><c/></a>"),
        r#"{}a[{u}b[""] {}c[""]""]"#
    );
}

#[test]
fn text_is_what_every_reader_sees() {
    assert_eq!(
        outcome("<a>&lt;&#45;&#x41;&amp;&#13;</a>"),
        r#"{}a["<-A&\r"]"#
    );
    assert_eq!(outcome("<a>x\r\ny\rz</a>"), r#"{}a["x\ny\nz"]"#);
}

#[test]
fn what_readers_see_differently_is_refused() {
    for (text, reason) in [
        ("<!DOCTYPE a><a/>", "xml-markup"),
        ("<a>Remove-<!-- -->Mailbox</a>", "xml-markup"),
        ("<a><![CDATA[x]]></a>", "xml-markup"),
        ("<a><?pi?></a>", "xml-markup"),
        ("<a>&nbsp;</a>", "bad-entity"),
        ("<a>&#0;</a>", "bad-entity"),
        ("<a>&#xD800;</a>", "bad-entity"),
        ("<a>&#-5;</a>", "bad-entity"),
        ("<a>x<b/></a>", "mixed-content"),
        ("<a><b/>x</a>", "mixed-content"),
        ("<a k='1' k='2'/>", "duplicate-attribute"),
        ("<a k='1' K='2'/>", "duplicate-attribute"),
        (
            "<a xmlns:p='u' xmlns:q='u' p:k='1' q:k='2'/>",
            "duplicate-attribute",
        ),
        ("<a xmlns='u' xmlns='u'/>", "bad-namespace"),
        ("<p:a xmlns:p='u'><p:b xmlns:p='v'/></p:a>", "bad-namespace"),
        ("<a xmlns='u'><b xmlns=''/></a>", "bad-namespace"),
        ("<p:a/>", "unbound-prefix"),
        ("<a></b>", "unbalanced"),
        ("</a>", "unbalanced"),
        ("<a>", "truncated"),
        ("", "truncated"),
        ("x<a/>", "text-outside"),
        ("<a/><b/>", "bad-xml"),
        ("<a k=1/>", "bad-xml"),
        ("<a k='1'l='2'/>", "bad-xml"),
        ("<a k='\n'/>", "bad-attribute"),
        ("<a>]]></a>", "bad-text"),
        ("<a>\u{1}</a>", "bad-character"),
        ("<\u{430}/>", "bad-xml"),
        (
            "<?xml version=\"1.0\" encoding=\"utf-16\"?><a/>",
            "xml-declaration",
        ),
        ("<a><a><a><a><a/></a></a></a></a>", "too-deep"),
        (
            "<a><b/><b/><b/><b/><b/><b/><b/><b/></a>",
            "too-many-elements",
        ),
        ("<a a='' b='' c='' d='' e=''/>", "bad-xml"),
    ] {
        assert_eq!(outcome(text), format!("! {reason}"), "{text}");
    }
    let utf16: Vec<u8> = "<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(read(&utf16, Declaration::Optional, &LIMITS).is_err());
    assert!(read(b"<a>\xff</a>", Declaration::Optional, &LIMITS).is_err());
    let declared = b"<?xml version=\"1.0\"?><a/>";
    assert!(read(declared, Declaration::Optional, &LIMITS).is_ok());
    assert!(read(declared, Declaration::Refused, &LIMITS).is_err());
}
