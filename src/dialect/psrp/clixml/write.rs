//! From [`Item`] to CLIXML: one spelling, without white space, objects and types numbered in their order.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::dialect::clixml_text;

use super::{Base, Item, List, Object, Progress, scalar};

/// Writes a value: the body of a message.
pub fn write(item: &Item) -> String {
    let mut writer = Writer::default();
    writer.item(None, item);
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    objects: u32,
    /// The numbers of types that were written, by where they are in memory: types that were shared when they were read
    /// are shared when they are written.
    types: HashMap<usize, usize>,
}

impl Writer {
    fn item(&mut self, name: Option<&str>, item: &Item) {
        if let Some((tag, text)) = scalar::written(item) {
            self.leaf(tag, name, &text);
            return;
        }
        match item {
            Item::Object(object) | Item::Shared(object) => self.object(name, object),
            Item::Progress(progress) => self.progress(name, progress),
            Item::Nil
            | Item::Bool(_)
            | Item::Bytes(_)
            | Item::Char(_)
            | Item::DateTime(_)
            | Item::Decimal(_)
            | Item::Double(_)
            | Item::Duration(_)
            | Item::Guid(_)
            | Item::Integer(..)
            | Item::ScriptBlock(_)
            | Item::Secure(_)
            | Item::Single(_)
            | Item::Text(_)
            | Item::Uri(_)
            | Item::Version(_)
            | Item::Xml(_) => {
                self.out.push_str("<Nil");
                self.name(name);
                self.out.push_str("/>");
            }
        }
    }

    fn object(&mut self, name: Option<&str>, object: &Object) {
        let Object {
            types,
            shown,
            adapted,
            extended,
            base,
        } = object;
        // Writing to a string does not fail.
        let _ = write!(self.out, "<Obj RefId=\"{}\"", self.objects);
        self.objects += 1;
        self.name(name);
        self.out.push('>');
        if !types.is_empty() {
            self.types(types);
        }
        if let Some(shown) = shown {
            self.leaf("ToString", None, shown);
        }
        match base {
            Base::Dictionary(pairs) => {
                self.out.push_str("<DCT>");
                for (key, value) in pairs {
                    self.out.push_str("<En>");
                    self.item(Some("Key"), key);
                    self.item(Some("Value"), value);
                    self.out.push_str("</En>");
                }
                self.out.push_str("</DCT>");
            }
            Base::List(kind, items) => {
                let tag = match kind {
                    List::Enumerable => "IE",
                    List::List => "LST",
                    List::Queue => "QUE",
                    List::Stack => "STK",
                };
                let _ = write!(self.out, "<{tag}>");
                for item in items {
                    self.item(None, item);
                }
                let _ = write!(self.out, "</{tag}>");
            }
            Base::Nothing => {}
            Base::Scalar(item) => self.item(None, item),
        }
        self.properties("Props", adapted);
        self.properties("MS", extended);
        self.out.push_str("</Obj>");
    }

    fn types(&mut self, types: &Arc<[String]>) {
        let next = self.types.len();
        let place = Arc::as_ptr(types).cast::<String>().addr();
        let id = *self.types.entry(place).or_insert(next);
        if id < next {
            let _ = write!(self.out, "<TNRef RefId=\"{id}\"/>");
            return;
        }
        let _ = write!(self.out, "<TN RefId=\"{id}\">");
        for name in types.iter() {
            self.leaf("T", None, name);
        }
        self.out.push_str("</TN>");
    }

    fn properties(&mut self, tag: &str, properties: &[(String, Item)]) {
        if properties.is_empty() {
            return;
        }
        let _ = write!(self.out, "<{tag}>");
        for (name, item) in properties {
            self.item(Some(name), item);
        }
        let _ = write!(self.out, "</{tag}>");
    }

    fn progress(&mut self, name: Option<&str>, progress: &Progress) {
        let Progress {
            activity,
            id,
            operation,
            parent,
            percent,
            kind,
            seconds_left,
            status,
        } = progress;
        self.out.push_str("<PR");
        self.name(name);
        self.out.push('>');
        self.leaf("AV", None, activity);
        self.leaf("AI", None, &id.to_string());
        match operation {
            Some(operation) => self.leaf("S", None, operation),
            None => self.out.push_str("<Nil/>"),
        }
        self.leaf("PI", None, &parent.to_string());
        self.leaf("PC", None, &percent.to_string());
        self.leaf("T", None, kind);
        self.leaf("SR", None, &seconds_left.to_string());
        self.leaf("SD", None, status);
        self.out.push_str("</PR>");
    }

    fn leaf(&mut self, tag: &str, name: Option<&str>, text: &str) {
        let _ = write!(self.out, "<{tag}");
        self.name(name);
        if text.is_empty() {
            self.out.push_str("/>");
            return;
        }
        self.out.push('>');
        clixml_text::write(text, &mut self.out);
        let _ = write!(self.out, "</{tag}>");
    }

    fn name(&mut self, name: Option<&str>) {
        if let Some(name) = name {
            self.out.push_str(" N=\"");
            clixml_text::write(name, &mut self.out);
            self.out.push('"');
        }
    }
}
