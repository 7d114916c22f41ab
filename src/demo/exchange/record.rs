//! An object of the sample organisation: named properties in order, and its two notations on the wire.

use uuid::Uuid;

use crate::model::Value;

/// Properties by which an object may be named.
const NAMES: [&str; 7] = [
    "Identity",
    "Name",
    "Alias",
    "PrimarySmtpAddress",
    "UserPrincipalName",
    "DisplayName",
    "Guid",
];

/// An object. Property names are compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record(Vec<(String, Value)>);

impl Record {
    pub(super) fn with(mut self, name: &str, value: impl Into<Property>) -> Self {
        self.set(name, value.into().0);
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let named = self.0.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Sets a property. Whether that changed anything.
    pub(super) fn set(&mut self, name: &str, value: Value) -> bool {
        let named = self
            .0
            .iter_mut()
            .find(|(it, _)| it.eq_ignore_ascii_case(name));
        match named {
            Some((_, old)) if *old == value => false,
            Some((_, old)) => {
                *old = value;
                true
            }
            None => {
                self.0.push((name.to_owned(), value));
                true
            }
        }
    }

    /// Whether `identity` names the object, without case.
    pub(super) fn is_known_as(&self, identity: &str) -> bool {
        NAMES
            .iter()
            .filter_map(|name| self.text(name))
            .any(|name| name.eq_ignore_ascii_case(identity))
    }

    /// Only the properties in `names`; all of them if that is empty.
    pub(super) fn select(mut self, names: &[String]) -> Self {
        self.0.retain(|(name, _)| {
            names.is_empty() || names.iter().any(|it| it.eq_ignore_ascii_case(name))
        });
        self
    }

    /// The object as JSON with the service's annotations before each property that has some.
    pub(super) fn to_json(&self) -> Value {
        let mut members = Vec::with_capacity(self.0.len());
        for (name, value) in &self.0 {
            let (odata, data) = annotations(name, value);
            if let Some(odata) = odata {
                members.push((format!("{name}@odata.type"), Value::text(odata)));
            }
            if let Some(data) = data {
                members.push((format!("{name}@data.type"), Value::text(data)));
            }
            members.push((name.clone(), value.clone()));
        }
        Value::Table(members)
    }

    /// The object as a CLIXML document (MS-PSRP 2.2.5), lists as `ArrayList`s of texts, tables as texts.
    pub(super) fn to_clixml(&self, type_name: &str) -> String {
        let properties: String = self
            .0
            .iter()
            .map(|(name, value)| clixml(name, value))
            .collect();
        format!(
            "<Objs Version=\"1.1.0.1\" xmlns=\"http://schemas.microsoft.com/powershell/2004/04\"><Obj RefId=\"0\">\
             <TN RefId=\"0\"><T>Deserialized.{type_name}</T></TN><Props>{properties}</Props></Obj></Objs>"
        )
    }
}

/// A value to give a property.
pub(super) struct Property(Value);

impl From<&str> for Property {
    fn from(text: &str) -> Self {
        Self(Value::text(text))
    }
}

impl From<String> for Property {
    fn from(text: String) -> Self {
        Self(Value::Text(text))
    }
}

impl From<bool> for Property {
    fn from(flag: bool) -> Self {
        Self(Value::Bool(flag))
    }
}

impl From<Value> for Property {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl From<Vec<String>> for Property {
    fn from(texts: Vec<String>) -> Self {
        Self(Value::List(texts.into_iter().map(Value::Text).collect()))
    }
}

/// `@odata.type` and `@data.type` of a property, as the service writes them beside ids, times and lists.
fn annotations(name: &str, value: &Value) -> (Option<&'static str>, Option<&'static str>) {
    match value {
        Value::List(_) => (Some("#Collection(String)"), None),
        Value::Text(text) if is_guid(text) => (Some("#Guid"), Some("System.Guid")),
        Value::Text(_) if is_time(name) => (Some("#DateTimeOffset"), Some("System.DateTime")),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Table(_) | Value::Text(_) => {
            (None, None)
        }
    }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

fn is_time(name: &str) -> bool {
    name.starts_with("When") || name.ends_with("Time") || name.ends_with("Date")
}

fn clixml(name: &str, value: &Value) -> String {
    let name = escape(name);
    let scalar = |tag: &str, text: &str| format!("<{tag} N=\"{name}\">{}</{tag}>", escape(text));
    match value {
        Value::Bool(set) => scalar("B", if *set { "true" } else { "false" }),
        Value::List(items) => {
            let items = items
                .iter()
                .map(|item| format!("<S>{}</S>", escape(&item.display())));
            let items = items.collect::<Vec<_>>().concat();
            format!("<Obj N=\"{name}\"><LST>{items}</LST></Obj>")
        }
        Value::Null => format!("<Nil N=\"{name}\"/>"),
        Value::Number(number) if number.as_str().contains(['.', 'e', 'E']) => {
            scalar("Db", number.as_str())
        }
        Value::Number(number) => scalar("I64", number.as_str()),
        Value::Table(_) => scalar("S", &value.display()),
        Value::Text(text) if is_guid(text) => scalar("G", text),
        Value::Text(text) => scalar("S", text),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
