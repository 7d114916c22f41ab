//! From CLIXML to [`Item`].

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::dialect::psrp::xml::{self, BLANKS, Declaration, Element};
use crate::dialect::{Unreadable, shown};

use super::escape::{Role, decode};
use super::{Base, Integer, Item, List, Object, Progress, scalar};

/// How much CLIXML is read. The real server stops at 50 objects inside each other.
const LIMITS: xml::Limits = xml::Limits {
    depth: 64,
    elements: 1 << 16,
    attributes: 2,
};
/// How many bytes may come from references to objects.
const MAX_SHARED_BYTES: usize = 1 << 20;
const MAX_TYPES: usize = 32;
const MAX_TYPE_BYTES: usize = 1024;

/// What a text of this length may take in memory besides, once it was read and is kept to be decided on: its characters as
/// values, as what they are decided on, and written again; and a value for each element, as many as there can be.
pub fn parsed_bytes(length: usize) -> usize {
    const COPIES: usize = 3;
    const SHORTEST: usize = "<Nil/>".len();
    const VALUE_BYTES: usize = 128;
    let values = (length / SHORTEST).min(LIMITS.elements);
    length
        .saturating_mul(COPIES)
        .saturating_add(values.saturating_mul(VALUE_BYTES))
}

/// Reads one value: the body of a message.
pub fn read(text: &str) -> Result<Item, Unreadable> {
    let root = xml::read(text.as_bytes(), Declaration::Refused, &LIMITS)?;
    let mut reader = Reader {
        types: HashMap::new(),
        objects: HashMap::new(),
        referenced: HashSet::new(),
        shared: Size::default(),
    };
    reader.find_references(&root)?;
    let (name, item) = reader.item(&root)?;
    match name {
        None => Ok(item),
        Some(_) => Err(bad("clixml-shape", "the outermost value has a name")),
    }
}

struct Reader {
    types: HashMap<u32, Arc<[String]>>,
    objects: HashMap<u32, Known>,
    /// The numbers that a `Ref` names anywhere.
    referenced: HashSet<u32>,
    /// What was copied for references.
    shared: Size,
}

/// An object that has been met.
enum Known {
    /// Complete, and nothing refers to it.
    Complete,
    /// Complete, and something refers to it.
    Kept(Object),
    /// Not complete.
    Open,
}

impl Reader {
    fn find_references(&mut self, element: &Element<'_>) -> Result<(), Unreadable> {
        if element.name == "Ref" {
            self.referenced.insert(reference_id(element)?);
        }
        element
            .children
            .iter()
            .try_for_each(|it| self.find_references(it))
    }

    /// A value, with its name if it has one.
    fn item(&mut self, element: &Element<'_>) -> Result<(Option<String>, Item), Unreadable> {
        let mut name = None;
        let mut id = None;
        if !element.namespace.is_empty() {
            return Err(unknown(element));
        }
        for attribute in &element.attributes {
            match (attribute.namespace, attribute.name, element.name) {
                ("", "N", _) => name = Some(decode(&attribute.value, Role::Name)?.into_owned()),
                ("", "RefId", "Obj" | "Ref") => id = Some(reference(&attribute.value)?),
                _ => return Err(unknown(element)),
            }
        }
        let item = match (element.name, id) {
            ("Obj", Some(id)) => Item::Object(Box::new(self.object(element, id)?)),
            ("Ref", Some(id)) => {
                leaf(element)?;
                Item::Shared(Box::new(self.shared(id)?))
            }
            ("Nil", None) => {
                if !leaf(element)?.is_empty() {
                    return Err(unknown(element));
                }
                Item::Nil
            }
            ("PR", None) => Item::Progress(Box::new(progress(element)?)),
            (tag, None) => {
                let text = decode(leaf(element)?, Role::Value)?;
                scalar::read(tag, &text).ok_or_else(|| unknown(element))??
            }
            (_, Some(_)) => return Err(unknown(element)),
        };
        Ok((name, item))
    }

    /// A value in a list: without a name.
    fn unnamed(&mut self, element: &Element<'_>) -> Result<Item, Unreadable> {
        match self.item(element)? {
            (None, item) => Ok(item),
            (Some(_), _) => Err(bad("clixml-shape", "a value in a list has a name")),
        }
    }

    fn object(&mut self, element: &Element<'_>, id: u32) -> Result<Object, Unreadable> {
        if self.objects.insert(id, Known::Open).is_some() {
            return Err(bad("clixml-reference", "two objects have the same number"));
        }
        let mut types = None;
        let mut text = None;
        let mut adapted = None;
        let mut extended = None;
        let mut base = None;
        for part in &element.children {
            let is_new = match (part.namespace, part.name) {
                ("", "TN") => types.replace(self.new_types(part)?).is_none(),
                ("", "TNRef") => types.replace(self.known_types(part)?).is_none(),
                ("", "ToString") => {
                    plain(part)?;
                    let decoded = decode(leaf(part)?, Role::Value)?.into_owned();
                    text.replace(decoded).is_none()
                }
                ("", "Props") => adapted.replace(self.properties(part)?).is_none(),
                ("", "MS") => extended.replace(self.properties(part)?).is_none(),
                _ => base.replace(self.base(part)?).is_none(),
            };
            if !is_new {
                let problem = format!("`{}` is there twice in one object", shown(part.name));
                return Err(bad("clixml-shape", &problem));
            }
        }
        if element.children.is_empty() && !element.text.is_empty() {
            return Err(bad("clixml-shape", "an object has text in it"));
        }
        let object = Object {
            types: types.unwrap_or_else(|| Arc::from([])),
            shown: text,
            adapted: adapted.unwrap_or_default(),
            extended: extended.unwrap_or_default(),
            base: base.unwrap_or(Base::Nothing),
        };
        distinct(
            object
                .adapted
                .iter()
                .chain(&object.extended)
                .map(|it| it.0.as_str()),
        )?;
        let known = if self.referenced.contains(&id) {
            self.spend(&object)?;
            Known::Kept(object.clone())
        } else {
            Known::Complete
        };
        self.objects.insert(id, known);
        Ok(object)
    }

    fn shared(&mut self, id: u32) -> Result<Object, Unreadable> {
        let odd = || {
            bad(
                "clixml-reference",
                "a reference to an object that is not complete before it",
            )
        };
        let object = match self.objects.get(&id) {
            Some(Known::Kept(object)) => object.clone(),
            Some(Known::Complete | Known::Open) | None => return Err(odd()),
        };
        self.spend(&object)?;
        Ok(object)
    }

    /// Counts a copy of `object`.
    fn spend(&mut self, object: &Object) -> Result<(), Unreadable> {
        self.shared.add_object(object);
        if self.shared.bytes > MAX_SHARED_BYTES || self.shared.items > LIMITS.elements {
            return Err(bad("clixml-reference", "references stand for too much"));
        }
        Ok(())
    }

    fn new_types(&mut self, element: &Element<'_>) -> Result<Arc<[String]>, Unreadable> {
        let id = reference_of(element)?;
        let mut types = Vec::with_capacity(element.children.len());
        for child in &element.children {
            if !child.is("", "T") {
                return Err(unknown(child));
            }
            plain(child)?;
            let name = decode(leaf(child)?, Role::Value)?.into_owned();
            if name.is_empty() || name.len() > MAX_TYPE_BYTES || types.len() >= MAX_TYPES {
                return Err(bad(
                    "clixml-types",
                    "an object's types are not a list of names",
                ));
            }
            types.push(name);
        }
        let types: Arc<[String]> = types.into();
        if types.is_empty() || self.types.insert(id, Arc::clone(&types)).is_some() {
            return Err(bad(
                "clixml-types",
                "an object's types are empty, or numbered like others",
            ));
        }
        Ok(types)
    }

    fn known_types(&self, element: &Element<'_>) -> Result<Arc<[String]>, Unreadable> {
        leaf(element)?;
        let id = reference_of(element)?;
        self.types.get(&id).map(Arc::clone).ok_or_else(|| {
            bad(
                "clixml-types",
                "a reference to types that are not there before it",
            )
        })
    }

    fn properties(&mut self, element: &Element<'_>) -> Result<Vec<(String, Item)>, Unreadable> {
        plain(element)?;
        no_text(element)?;
        let mut properties = Vec::with_capacity(element.children.len());
        for child in &element.children {
            match self.item(child)? {
                (Some(name), item) => properties.push((name, item)),
                (None, _) => return Err(bad("clixml-shape", "a property has no name")),
            }
        }
        Ok(properties)
    }

    fn base(&mut self, element: &Element<'_>) -> Result<Base, Unreadable> {
        let list = match (element.namespace, element.name) {
            ("", "DCT") => return self.dictionary(element),
            ("", "IE") => List::Enumerable,
            ("", "LST") => List::List,
            ("", "QUE") => List::Queue,
            ("", "STK") => List::Stack,
            ("", "Obj" | "Ref") => return Err(unknown(element)),
            _ => return Ok(Base::Scalar(self.unnamed(element)?)),
        };
        plain(element)?;
        no_text(element)?;
        let items: Result<_, _> = element.children.iter().map(|it| self.unnamed(it)).collect();
        Ok(Base::List(list, items?))
    }

    fn dictionary(&mut self, element: &Element<'_>) -> Result<Base, Unreadable> {
        plain(element)?;
        no_text(element)?;
        let mut pairs: Vec<(Item, Item)> = Vec::with_capacity(element.children.len());
        for entry in &element.children {
            let ([key, value], "En", "") = (entry.children.as_slice(), entry.name, entry.namespace)
            else {
                return Err(unknown(entry));
            };
            plain(entry)?;
            let (key, value) = (self.item(key)?, self.item(value)?);
            match (key, value) {
                ((Some(k), key), (Some(v), value)) if k == "Key" && v == "Value" => {
                    pairs.push((key, value));
                }
                _ => return Err(bad("clixml-shape", "an entry is a `Key` and a `Value`")),
            }
        }
        distinct(pairs.iter().filter_map(|it| it.0.as_text()))?;
        Ok(Base::Dictionary(pairs))
    }
}

fn progress(element: &Element<'_>) -> Result<Progress, Unreadable> {
    let [
        activity,
        id,
        operation,
        parent,
        percent,
        kind,
        seconds_left,
        status,
    ] = element.children.as_slice()
    else {
        return Err(unknown(element));
    };
    let text = |element: &Element<'_>, name| {
        if !element.is("", name) {
            return Err(unknown(element));
        }
        plain(element)?;
        Ok(decode(leaf(element)?, Role::Value)?.into_owned())
    };
    let number = |element: &Element<'_>, name| {
        let digits = text(element, name)?;
        scalar::integer(Integer::I32, &digits)
            .and_then(|it| i32::try_from(it).ok())
            .ok_or_else(|| bad("clixml-value", "a progress record has an odd number"))
    };
    Ok(Progress {
        activity: text(activity, "AV")?,
        id: number(id, "AI")?,
        operation: if operation.name == "Nil" {
            text(operation, "Nil")?;
            None
        } else {
            Some(text(operation, "S")?)
        },
        parent: number(parent, "PI")?,
        percent: number(percent, "PC")?,
        kind: text(kind, "T")?,
        seconds_left: number(seconds_left, "SR")?,
        status: text(status, "SD")?,
    })
}

/// How much an object is.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    items: usize,
    bytes: usize,
}

impl Size {
    fn add_object(&mut self, object: &Object) {
        self.bytes += object.shown.as_ref().map_or(0, String::len);
        for (name, item) in object.adapted.iter().chain(&object.extended) {
            self.bytes += name.len();
            self.add(item);
        }
        match &object.base {
            Base::Dictionary(pairs) => pairs.iter().for_each(|(key, value)| {
                self.add(key);
                self.add(value);
            }),
            Base::List(_, items) => items.iter().for_each(|it| self.add(it)),
            Base::Nothing => {}
            Base::Scalar(item) => self.add(item),
        }
    }

    fn add(&mut self, item: &Item) {
        self.items += 1;
        match item {
            Item::Object(object) | Item::Shared(object) => self.add_object(object),
            Item::Bytes(bytes) => self.bytes += bytes.len(),
            Item::Progress(progress) => {
                self.bytes += progress.activity.len() + progress.status.len();
            }
            Item::DateTime(text)
            | Item::Decimal(text)
            | Item::Double(text)
            | Item::Duration(text)
            | Item::ScriptBlock(text)
            | Item::Secure(text)
            | Item::Single(text)
            | Item::Text(text)
            | Item::Uri(text)
            | Item::Version(text)
            | Item::Xml(text) => self.bytes += text.len(),
            Item::Bool(_) | Item::Char(_) | Item::Guid(_) | Item::Integer(..) | Item::Nil => {}
        }
    }
}

/// No two names are the same without case: PowerShell finds properties and keys in any case.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Unreadable> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.to_lowercase()) {
            let text = format!("`{}` is there twice in one object", shown(name));
            return Err(bad("clixml-duplicate", &text));
        }
    }
    Ok(())
}

fn reference_of(element: &Element<'_>) -> Result<u32, Unreadable> {
    match element.attributes.as_slice() {
        [it] if it.namespace.is_empty() && it.name == "RefId" => reference(&it.value),
        _ => Err(unknown(element)),
    }
}

/// The `RefId` of a `Ref`, whatever else is at it.
fn reference_id(element: &Element<'_>) -> Result<u32, Unreadable> {
    let id = element.attributes.iter().find(|it| it.name == "RefId");
    id.map_or_else(|| Err(unknown(element)), |it| reference(&it.value))
}

fn reference(text: &str) -> Result<u32, Unreadable> {
    scalar::integer(Integer::U32, text)
        .and_then(|it| u32::try_from(it).ok())
        .ok_or_else(|| bad("clixml-reference", "a `RefId` is not a number"))
}

/// The text of an element that has no elements in it.
fn leaf<'e, 'a>(element: &'e Element<'a>) -> Result<&'e Cow<'a, str>, Unreadable> {
    if element.children.is_empty() {
        Ok(&element.text)
    } else {
        Err(unknown(element))
    }
}

fn plain(element: &Element<'_>) -> Result<(), Unreadable> {
    if element.attributes.is_empty() && element.namespace.is_empty() {
        Ok(())
    } else {
        Err(unknown(element))
    }
}

fn no_text(element: &Element<'_>) -> Result<(), Unreadable> {
    if element.text.trim_matches(BLANKS).is_empty() {
        Ok(())
    } else {
        Err(unknown(element))
    }
}

fn unknown(element: &Element<'_>) -> Unreadable {
    let text = format!(
        "`{}` is not a value, or not one in this form",
        shown(element.name)
    );
    Unreadable::bad("clixml-element", text)
}

fn bad(reason: &'static str, text: &str) -> Unreadable {
    Unreadable::bad(reason, text)
}
