//! CLIXML: PowerShell's serialisation of objects ([MS-PSRP] section 2.2.5), as far as gateway cmdlets return them.
//!
//! An object is written as a `PSCustomObject` with note properties, so that `PSSerializer.Deserialize` gives an object whose
//! properties can be selected and compared, ids as `Guid` and times as `DateTime`.

use std::fmt::Write as _;

use crate::dialect::clixml_text;
use crate::model::{Object, Property, Value};

use super::answer::dotnet_time;

const HEAD: &str =
    r#"<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">"#;

/// `object` as one CLIXML document.
pub(super) fn write(object: &Object) -> String {
    let mut writer = Writer {
        out: HEAD.to_owned(),
        next_id: 0,
    };
    let class = format!("Portcullis.{}", object.type_name);
    writer.open(
        None,
        &[&class, "System.Management.Automation.PSCustomObject"],
    );
    writer.out.push_str("<MS>");
    for (name, property) in &object.properties {
        writer.property(name, property);
    }
    writer.out.push_str("</MS></Obj></Objs>");
    writer.out
}

struct Writer {
    out: String,
    next_id: u32,
}

impl Writer {
    fn property(&mut self, name: &str, property: &Property) {
        match property {
            Property::DateTime(time) => self.scalar("DT", Some(name), &dotnet_time(time)),
            Property::Guid(id) => self.scalar("G", Some(name), &id.to_string()),
            Property::Plain(value) => self.value(Some(name), value),
        }
    }

    fn value(&mut self, name: Option<&str>, value: &Value) {
        match value {
            Value::Bool(set) => self.scalar("B", name, if *set { "true" } else { "false" }),
            Value::List(items) => {
                self.open(name, &["System.Collections.ArrayList"]);
                self.out.push_str("<LST>");
                for item in items {
                    self.value(None, item);
                }
                self.out.push_str("</LST></Obj>");
            }
            Value::Null => {
                self.out.push_str("<Nil");
                self.name(name);
                self.out.push_str(" />");
            }
            Value::Number(number) => {
                let digits = number.as_str();
                let tag = if digits.parse::<i32>().is_ok() {
                    "I32"
                } else if digits.parse::<i64>().is_ok() {
                    "I64"
                } else {
                    "Db"
                };
                self.scalar(tag, name, digits);
            }
            Value::Table(members) => {
                self.open(name, &["System.Collections.Hashtable"]);
                self.out.push_str("<DCT>");
                for (key, value) in members {
                    self.out.push_str("<En>");
                    self.scalar("S", Some("Key"), key);
                    self.value(Some("Value"), value);
                    self.out.push_str("</En>");
                }
                self.out.push_str("</DCT></Obj>");
            }
            Value::Text(text) => self.scalar("S", name, text),
        }
    }

    /// Opens an object of these types; `System.Object` comes last by itself.
    fn open(&mut self, name: Option<&str>, types: &[&str]) {
        let id = self.next_id;
        self.next_id += 1;
        self.out.push_str("<Obj");
        self.name(name);
        // Writing to a string does not fail.
        let _ = write!(self.out, " RefId=\"{id}\"><TN RefId=\"{id}\">");
        for class in types.iter().chain(&["System.Object"]) {
            self.out.push_str("<T>");
            clixml_text::write(class, &mut self.out);
            self.out.push_str("</T>");
        }
        self.out.push_str("</TN>");
    }

    fn name(&mut self, name: Option<&str>) {
        if let Some(name) = name {
            self.out.push_str(" N=\"");
            clixml_text::write(name, &mut self.out);
            self.out.push('"');
        }
    }

    fn scalar(&mut self, tag: &str, name: Option<&str>, text: &str) {
        self.out.push('<');
        self.out.push_str(tag);
        self.name(name);
        self.out.push('>');
        clixml_text::write(text, &mut self.out);
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
    }
}
