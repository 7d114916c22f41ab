//! A strict reader of the XML that SOAP envelopes and CLIXML are made of ([XML 1.0], [Namespaces]).
//!
//! It reads a small part of XML: UTF-8, elements, attributes, text, the five named entities and numeric ones. Declarations
//! (but for `<?xml …?>` at the head of an envelope), document types, comments, processing instructions and CDATA are
//! refused, since each is a way to show one reader what another does not see. Names are ASCII; a prefix that is bound once
//! is not bound to something else further in; an element holds elements or text, never both.
//!
//! INVARIANT: what is returned has no more elements, and none deeper, than [`Limits`] says.
//!
//! [XML 1.0]: https://www.w3.org/TR/xml/
//! [Namespaces]: https://www.w3.org/TR/xml-names/

mod characters;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::dialect::{Unreadable, shown};

use characters::decode;
pub(super) use characters::escape;

/// The namespace that `xml:` always stands for.
pub(super) const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// What XML takes for white space.
pub(super) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// How much of a document is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many elements may be inside each other.
    pub depth: usize,
    /// How many elements there may be.
    pub elements: usize,
    /// How many attributes, declarations of namespaces among them, an element may have.
    pub attributes: usize,
}

/// Whether `<?xml version="1.0" encoding="utf-8"?>` may stand at the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declaration {
    Optional,
    Refused,
}

/// An element with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// The namespace that its prefix, or the default, stands for; empty for none.
    pub namespace: &'a str,
    /// Its name without prefix.
    pub name: &'a str,
    /// Its attributes without declarations of namespaces, distinct.
    pub attributes: Vec<Attribute<'a>>,
    /// The elements in it.
    pub children: Vec<Self>,
    /// The text in it, if there are no elements in it.
    pub text: Cow<'a, str>,
}

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    /// The namespace that its prefix stands for; empty for none.
    pub namespace: &'a str,
    /// Its name without prefix.
    pub name: &'a str,
    /// Its value.
    pub value: Cow<'a, str>,
}

/// Reads a document, whose root is returned.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    declaration: Declaration,
    limits: &Limits,
) -> Result<Element<'a>, Unreadable> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| {
        bad(
            "not-utf-8",
            "the XML is not UTF-8, the one encoding that is read",
        )
    })?;
    let mut reader = Reader {
        rest: text,
        limits,
        elements: 0,
        bindings: Vec::new(),
    };
    if declaration == Declaration::Optional {
        reader.declaration()?;
    }
    reader.blanks();
    let root = reader.document()?;
    reader.blanks();
    if reader.rest.is_empty() {
        Ok(root)
    } else {
        Err(reader.odd("after the end of the XML"))
    }
}

struct Reader<'a, 'l> {
    rest: &'a str,
    limits: &'l Limits,
    elements: usize,
    /// Prefixes in force (the empty one for the default) with what they stand for; the innermost last.
    bindings: Vec<(&'a str, &'a str)>,
}

/// An element that is not closed yet.
struct Open<'a> {
    element: Element<'a>,
    /// Its name as it was written, which its end must repeat.
    written: &'a str,
    /// How many bindings there were before it.
    bindings: usize,
}

impl<'a> Reader<'a, '_> {
    fn document(&mut self) -> Result<Element<'a>, Unreadable> {
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            let text = self.text()?;
            if let Some(parent) = open.last_mut() {
                parent.add_text(text)?;
            } else if !text.is_empty() {
                return Err(bad(
                    "text-outside",
                    "there is text before the first element",
                ));
            }
            let finished = if let Some(rest) = self.rest.strip_prefix("</") {
                self.rest = rest;
                let Some(closed) = open.pop() else {
                    return Err(bad("unbalanced", "an element ends that did not begin"));
                };
                let written = self.qualified_name()?;
                self.blanks();
                if written != closed.written || !self.take(">") {
                    let text = format!("`{}` is not ended by its own name", shown(closed.written));
                    return Err(bad("unbalanced", text));
                }
                self.bindings.truncate(closed.bindings);
                Some(closed.element)
            } else {
                let (opened, is_empty) = self.tag()?;
                if open.len() >= self.limits.depth {
                    return Err(bad("too-deep", "the XML is nested too deeply"));
                }
                if is_empty {
                    self.bindings.truncate(opened.bindings);
                    Some(opened.element)
                } else {
                    open.push(opened);
                    None
                }
            };
            let Some(element) = finished else { continue };
            match open.last_mut() {
                Some(parent) => parent.add_child(element)?,
                None => return Ok(element),
            }
        }
    }

    /// `<?xml version="1.0" encoding="utf-8"?>`, if it is there.
    fn declaration(&mut self) -> Result<(), Unreadable> {
        let Some(rest) = self.rest.strip_prefix("<?xml ") else {
            return Ok(());
        };
        let odd = || {
            bad(
                "xml-declaration",
                "the XML declaration must be `<?xml version=\"1.0\" encoding=\"utf-8\"?>`",
            )
        };
        let (inside, rest) = rest.split_once("?>").ok_or_else(odd)?;
        let inside = inside.replace('\'', "\"");
        let mut words = inside.split_ascii_whitespace();
        let version = words.next() == Some("version=\"1.0\"");
        let encoding = words
            .next()
            .is_none_or(|it| it.eq_ignore_ascii_case("encoding=\"utf-8\""));
        if !version || !encoding || words.next().is_some() {
            return Err(odd());
        }
        self.rest = rest;
        Ok(())
    }

    /// A start tag, and whether it is an empty element's.
    fn tag(&mut self) -> Result<(Open<'a>, bool), Unreadable> {
        if self.rest.starts_with("<!") || self.rest.starts_with("<?") {
            return Err(bad(
                "xml-markup",
                "document types, comments, CDATA and processing instructions are not read; write plain elements",
            ));
        }
        if !self.take("<") {
            return Err(self.odd("where an element should begin"));
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(bad("too-many-elements", "the XML has too many elements"));
        }
        let bindings = self.bindings.len();
        let written = self.qualified_name()?;
        let mut attributes: Vec<(&'a str, Cow<'a, str>)> = Vec::new();
        let mut count = 0;
        let is_empty = loop {
            let before = self.rest.len();
            self.blanks();
            if self.take("/>") {
                break true;
            }
            if self.take(">") {
                break false;
            }
            count += 1;
            if self.rest.len() == before || count > self.limits.attributes {
                return Err(self.odd("in a start tag"));
            }
            let name = self.qualified_name()?;
            self.blanks();
            if !self.take("=") {
                return Err(self.odd("after an attribute's name"));
            }
            self.blanks();
            let value = self.quoted()?;
            if name == "xmlns" {
                self.bind("", as_written(&value), bindings)?;
            } else if let Some(prefix) = name.strip_prefix("xmlns:") {
                self.bind(prefix, as_written(&value), bindings)?;
            } else {
                attributes.push((name, value));
            }
        };
        let (namespace, name) = match written.split_once(':') {
            Some((prefix, name)) => (self.namespace(prefix)?, name),
            None => (self.namespace_or_none(""), written),
        };
        let mut resolved: Vec<Attribute<'a>> = Vec::with_capacity(attributes.len());
        for (written, value) in attributes {
            let (namespace, name) = match written.split_once(':') {
                Some((prefix, name)) => (self.namespace(prefix)?, name),
                None => ("", written),
            };
            if resolved
                .iter()
                .any(|it| it.namespace == namespace && it.name.eq_ignore_ascii_case(name))
            {
                let text = format!("attribute `{}` is there twice", shown(name));
                return Err(bad("duplicate-attribute", text));
            }
            resolved.push(Attribute {
                namespace,
                name,
                value,
            });
        }
        let element = Element {
            namespace,
            name,
            attributes: resolved,
            children: Vec::new(),
            text: Cow::Borrowed(""),
        };
        let opened = Open {
            element,
            written,
            bindings,
        };
        Ok((opened, is_empty))
    }

    fn bind(
        &mut self,
        prefix: &'a str,
        uri: Option<&'a str>,
        outside: usize,
    ) -> Result<(), Unreadable> {
        let odd = || {
            let text = format!("`xmlns` of `{}` is not what is read here", shown(prefix));
            Err(bad("bad-namespace", text))
        };
        let Some(uri) = uri else {
            return odd();
        };
        let is_reserved =
            prefix.eq_ignore_ascii_case("xml") || prefix.eq_ignore_ascii_case("xmlns");
        if uri.is_empty() || is_reserved || uri == XML_NAMESPACE {
            return odd();
        }
        for (index, (bound, to)) in self.bindings.iter().enumerate() {
            if *bound == prefix && (index >= outside || *to != uri) {
                return odd();
            }
        }
        self.bindings.push((prefix, uri));
        Ok(())
    }

    fn namespace(&self, prefix: &str) -> Result<&'a str, Unreadable> {
        if prefix == "xml" {
            return Ok(XML_NAMESPACE);
        }
        match self.namespace_or_none(prefix) {
            "" => {
                let text = format!("prefix `{}` stands for nothing", shown(prefix));
                Err(bad("unbound-prefix", text))
            }
            uri => Ok(uri),
        }
    }

    fn namespace_or_none(&self, prefix: &str) -> &'a str {
        self.bindings
            .iter()
            .rev()
            .find(|it| it.0 == prefix)
            .map_or("", |it| it.1)
    }

    /// A name with at most one prefix.
    fn qualified_name(&mut self) -> Result<&'a str, Unreadable> {
        const MAX_BYTES: usize = 128;
        let is_name =
            |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b'.' | b':');
        let end = self.rest.bytes().position(|it| !is_name(it));
        let (name, rest) = self
            .rest
            .split_at_checked(end.unwrap_or(self.rest.len()))
            .unwrap_or_default();
        let is_part =
            |part: &str| part.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
        let mut parts = name.split(':');
        let well_formed = name.len() <= MAX_BYTES
            && parts.next().is_some_and(is_part)
            && parts.next().is_none_or(is_part)
            && parts.next().is_none();
        if !well_formed {
            return Err(self.odd("where a name should be"));
        }
        self.rest = rest;
        Ok(name)
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, Unreadable> {
        let quote = if self.take("\"") {
            '"'
        } else if self.take("'") {
            '\''
        } else {
            return Err(self.odd("where an attribute's value should be"));
        };
        let Some((raw, rest)) = self.rest.split_once(quote) else {
            return Err(bad("truncated", "an attribute's value does not end"));
        };
        if raw.contains(['<', '\t', '\r', '\n']) {
            return Err(bad(
                "bad-attribute",
                "an attribute's value has `<` or a line break in it",
            ));
        }
        self.rest = rest;
        decode(raw)
    }

    /// The text up to the next `<`, decoded.
    fn text(&mut self) -> Result<Cow<'a, str>, Unreadable> {
        let Some(end) = self.rest.find('<') else {
            return Err(bad("truncated", "the XML does not end"));
        };
        let (raw, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        if raw.contains("]]>") {
            return Err(bad("bad-text", "a text has `]]>` in it"));
        }
        self.rest = rest;
        decode(raw)
    }

    fn take(&mut self, wanted: &str) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    fn odd(&self, place: &str) -> Unreadable {
        let start: String = self.rest.chars().take(16).collect();
        bad("bad-xml", format!("`{}` is not XML {place}", shown(&start)))
    }
}

impl<'a> Open<'a> {
    fn add_text(&mut self, text: Cow<'a, str>) -> Result<(), Unreadable> {
        if self.element.children.is_empty() {
            if !text.is_empty() {
                self.element.text = text;
            }
            return Ok(());
        }
        if text.chars().all(is_blank) {
            Ok(())
        } else {
            Err(self.mixed())
        }
    }

    fn add_child(&mut self, child: Element<'a>) -> Result<(), Unreadable> {
        if self.element.children.is_empty() {
            if !self.element.text.chars().all(is_blank) {
                return Err(self.mixed());
            }
            self.element.text = Cow::Borrowed("");
        }
        self.element.children.push(child);
        Ok(())
    }

    fn mixed(&self) -> Unreadable {
        let text = format!("`{}` holds both text and elements", shown(self.written));
        bad("mixed-content", text)
    }
}

impl Element<'_> {
    /// Whether this is the element `name` of `namespace`.
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }
}

/// A value in which nothing had to be decoded.
fn as_written<'a>(value: &Cow<'a, str>) -> Option<&'a str> {
    if let Cow::Borrowed(text) = value {
        Some(text)
    } else {
        None
    }
}

fn is_blank(it: char) -> bool {
    BLANKS.contains(&it)
}

fn bad(reason: &'static str, text: impl Into<String>) -> Unreadable {
    Unreadable::bad(reason, text)
}
