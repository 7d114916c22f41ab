//! CLIXML: PowerShell's serialisation of objects ([MS-PSRP] 2.2.5), as a tree of typed values.
//!
//! [`read`] accepts the closed list of value types and shapes that is written down in [`Item`] and [`Object`], in one
//! spelling each; [`write()`] writes the same meaning again in a spelling of our own. Numbers, times and texts keep their exact
//! digits and characters. Prefixes, namespaces, unknown elements and attributes, repeated properties (in any case), two base
//! values, references to what is not complete, and escapes that readers decode differently are refused.
//!
//! INVARIANT: `read(write(item))` is `item`, but for [`Item::Shared`], which is written out as an [`Item::Object`].

mod escape;
mod read;
mod scalar;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use uuid::Uuid;

pub use self::read::{parsed_bytes, read};
pub use self::write::write;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `B`.
    Bool(bool),
    /// `BA`.
    Bytes(Vec<u8>),
    /// `C`: a UTF-16 unit.
    Char(u16),
    /// `DT`, as it was written.
    DateTime(String),
    /// `D`, in its own digits.
    Decimal(String),
    /// `Db`, in its own digits.
    Double(String),
    /// `TS`, as it was written.
    Duration(String),
    /// `G`.
    Guid(Uuid),
    /// `By`, `SB`, `U16`, `I16`, `U32`, `I32`, `U64` or `I64`.
    Integer(Integer, i128),
    /// `Nil`.
    Nil,
    /// `Obj`.
    Object(Box<Object>),
    /// `PR`.
    Progress(Box<Progress>),
    /// `SBK`: program text. It is read so that it can be named in a refusal.
    ScriptBlock(String),
    /// `SS`: a secure string in base64, encrypted with a key that the gateway does not have.
    Secure(String),
    /// `Ref`: the same as an object that is complete before it.
    Shared(Box<Object>),
    /// `Sg`, in its own digits.
    Single(String),
    /// `S`.
    Text(String),
    /// `URI`.
    Uri(String),
    /// `Version`.
    Version(String),
    /// `XD`: XML as text.
    Xml(String),
}

/// What kind of integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integer {
    /// `I16`.
    I16,
    /// `I32`.
    I32,
    /// `I64`.
    I64,
    /// `SB`.
    I8,
    /// `U16`.
    U16,
    /// `U32`.
    U32,
    /// `U64`.
    U64,
    /// `By`.
    U8,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its type's names, the most derived first; empty if none are given.
    pub types: Arc<[String]>,
    /// What its `ToString()` gave.
    pub shown: Option<String>,
    /// `Props`: names and values; distinct from one another and from `extended` without case.
    pub adapted: Vec<(String, Item)>,
    /// `MS`: names and values.
    pub extended: Vec<(String, Item)>,
    /// What it wraps.
    pub base: Base,
}

/// What an object wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// `DCT`: keys and values.
    Dictionary(Vec<(Item, Item)>),
    /// Values in order.
    List(List, Vec<Item>),
    /// Nothing: it is its properties.
    Nothing,
    /// A value that is not an object.
    Scalar(Item),
}

/// What kind of list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `IE`.
    Enumerable,
    /// `LST`.
    List,
    /// `QUE`.
    Queue,
    /// `STK`.
    Stack,
}

/// A progress record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `AV`: what goes on.
    pub activity: String,
    /// `AI`.
    pub id: i32,
    /// `S`, or `Nil`.
    pub operation: Option<String>,
    /// `PI`.
    pub parent: i32,
    /// `PC`.
    pub percent: i32,
    /// `T`.
    pub kind: String,
    /// `SR`.
    pub seconds_left: i32,
    /// `SD`.
    pub status: String,
}

impl Object {
    /// An object that is its extended properties.
    pub fn of_properties(extended: Vec<(String, Item)>) -> Self {
        Self {
            types: Arc::from([]),
            shown: None,
            adapted: Vec::new(),
            extended,
            base: Base::Nothing,
        }
    }

    /// A property of either bag, by its exact name.
    pub fn property(&self, name: &str) -> Option<&Item> {
        let mut all = self.extended.iter().chain(&self.adapted);
        all.find(|it| it.0 == name).map(|it| &it.1)
    }
}

impl Item {
    /// The text of an `S`.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The value of a `B`.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(set) = self {
            Some(*set)
        } else {
            None
        }
    }

    /// The value of an `I32`, bare or wrapped in an enumeration's object.
    pub fn as_enum(&self) -> Option<i32> {
        match self.as_object() {
            Some(object) if object.adapted.is_empty() && object.extended.is_empty() => {
                match &object.base {
                    Base::Scalar(Self::Integer(Integer::I32, number)) => {
                        i32::try_from(*number).ok()
                    }
                    Base::Dictionary(_) | Base::List(..) | Base::Nothing | Base::Scalar(_) => None,
                }
            }
            Some(_) => None,
            None => self.as_i32(),
        }
    }

    /// The value of an `I32`.
    pub fn as_i32(&self) -> Option<i32> {
        if let Self::Integer(Integer::I32, number) = self {
            i32::try_from(*number).ok()
        } else {
            None
        }
    }

    /// The value of an `I64`.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Integer(Integer::I64, number) = self {
            i64::try_from(*number).ok()
        } else {
            None
        }
    }

    /// The object of an `Obj` or a `Ref` to one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) | Self::Shared(object) = self {
            Some(object)
        } else {
            None
        }
    }

    /// Whether something in it is program text.
    pub fn holds_script(&self) -> bool {
        match self {
            Self::ScriptBlock(_) => true,
            Self::Object(object) | Self::Shared(object) => {
                let properties = object.adapted.iter().chain(&object.extended);
                properties.into_iter().any(|it| it.1.holds_script())
                    || match &object.base {
                        Base::Dictionary(pairs) => pairs
                            .iter()
                            .any(|it| it.0.holds_script() || it.1.holds_script()),
                        Base::List(_, items) => items.iter().any(Self::holds_script),
                        Base::Nothing => false,
                        Base::Scalar(item) => item.holds_script(),
                    }
            }
            Self::Bool(_)
            | Self::Bytes(_)
            | Self::Char(_)
            | Self::DateTime(_)
            | Self::Decimal(_)
            | Self::Double(_)
            | Self::Duration(_)
            | Self::Guid(_)
            | Self::Integer(..)
            | Self::Nil
            | Self::Progress(_)
            | Self::Secure(_)
            | Self::Single(_)
            | Self::Text(_)
            | Self::Uri(_)
            | Self::Version(_)
            | Self::Xml(_) => false,
        }
    }

    /// An `I32`.
    pub fn i32(number: i32) -> Self {
        Self::Integer(Integer::I32, number.into())
    }

    /// An `S`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An `Obj` that is its extended properties.
    pub fn of_properties<const N: usize>(properties: [(&str, Self); N]) -> Self {
        let named = properties.map(|(name, value)| (name.to_owned(), value));
        Self::Object(Box::new(Object::of_properties(named.into())))
    }

    /// A value of an enumeration.
    pub fn enumeration(class: &str, shown: &str, number: i32) -> Self {
        let types = [class, "System.Enum", "System.ValueType", "System.Object"];
        Self::Object(Box::new(Object {
            types: types.map(str::to_owned).into(),
            shown: Some(shown.to_owned()),
            adapted: Vec::new(),
            extended: Vec::new(),
            base: Base::Scalar(Self::i32(number)),
        }))
    }

    /// A list, as an `ArrayList`.
    pub fn list(items: Vec<Self>) -> Self {
        Self::Object(Box::new(Object {
            types: ["System.Collections.ArrayList", "System.Object"]
                .map(str::to_owned)
                .into(),
            shown: None,
            adapted: Vec::new(),
            extended: Vec::new(),
            base: Base::List(List::List, items),
        }))
    }

    /// A dictionary with texts as keys, as a `Hashtable`.
    pub fn table(members: Vec<(String, Self)>) -> Self {
        let pairs = members
            .into_iter()
            .map(|(key, value)| (Self::Text(key), value));
        Self::Object(Box::new(Object {
            types: ["System.Collections.Hashtable", "System.Object"]
                .map(str::to_owned)
                .into(),
            shown: None,
            adapted: Vec::new(),
            extended: Vec::new(),
            base: Base::Dictionary(pairs.collect()),
        }))
    }
}
