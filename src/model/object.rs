//! What a gateway cmdlet returns: objects with named properties, which each dialect writes in its own way.

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::{Number, Value};

/// A property's value: a plain [`Value`], or one of the types that dialects have a notation of their own for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// A point in time, UTC.
    DateTime(DateTime<Utc>),
    /// An id.
    Guid(Uuid),
    /// Anything else.
    Plain(Value),
}

/// An object: its type's short name and its properties, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Such as `ElevatedAccessRequest`.
    pub type_name: &'static str,
    /// Names and values, in the order people read them.
    pub properties: Vec<(&'static str, Property)>,
}

impl Property {
    /// The value without its special notation: an RFC 3339 text for a time, the usual text for an id.
    pub fn to_value(&self) -> Value {
        match self {
            Self::DateTime(time) => Value::Text(time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Self::Guid(id) => Value::Text(id.to_string()),
            Self::Plain(value) => value.clone(),
        }
    }
}

impl From<DateTime<Utc>> for Property {
    fn from(time: DateTime<Utc>) -> Self {
        Self::DateTime(time)
    }
}

impl From<Uuid> for Property {
    fn from(id: Uuid) -> Self {
        Self::Guid(id)
    }
}

impl From<&str> for Property {
    fn from(text: &str) -> Self {
        Self::Plain(Value::text(text))
    }
}

impl From<String> for Property {
    fn from(text: String) -> Self {
        Self::Plain(Value::Text(text))
    }
}

impl From<bool> for Property {
    fn from(set: bool) -> Self {
        Self::Plain(Value::Bool(set))
    }
}

impl From<i64> for Property {
    fn from(number: i64) -> Self {
        Self::Plain(Number::new(&number.to_string()).map_or(Value::Null, Value::Number))
    }
}

impl From<Vec<String>> for Property {
    fn from(texts: Vec<String>) -> Self {
        Self::Plain(Value::List(texts.into_iter().map(Value::Text).collect()))
    }
}

impl<T: Into<Self>> From<Option<T>> for Property {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Plain(Value::Null), Into::into)
    }
}
