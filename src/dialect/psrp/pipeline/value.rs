//! Values: what may be an argument or piped in, made plain.
//!
//! A value of a wrapped type becomes the bare value, lists and dictionaries become those of .NET itself, a switch becomes a
//! flag, an Exchange object becomes the text that names it: nothing is left that a server would make an object of its own
//! types from. Program text and all other objects are refused.
//!
//! What can be spelled in several ways is judged, and goes on, in one ([`canonical`]); a URI and a character go on as the text
//! that they are judged as, since the server would make others of them (`%40` is `@` to it, and the character `9` can be 57).

use crate::dialect::psrp::clixml::{Base, Item, Object};
use crate::dialect::{psrp::binary, shown};
use crate::model::{Number, REDACTED, Value};

use super::{PipelineError, Plain, canonical};

const EXCHANGE: &str = "Deserialized.Microsoft.Exchange.";
const CREDENTIAL: &str = "System.Management.Automation.PSCredential";
const SWITCH: &str = "System.Management.Automation.SwitchParameter";

pub(super) fn plain(item: &Item) -> Result<Plain, PipelineError> {
    let value = match item {
        Item::Bool(set) => Value::Bool(*set),
        // No server shows bytes like that: they are not taken for the text that they could be written as.
        Item::Bytes(bytes) => Value::Text(format!("bytes:{}", binary::encode(bytes))),
        Item::Char(unit) => {
            let one = char::from_u32(u32::from(*unit)).ok_or_else(|| odd("half a character"))?;
            // To a server the character `9` is the number 57, too: it goes on as the text that it is judged as.
            return Ok(same(Item::Text, one.to_string()));
        }
        Item::DateTime(text) => {
            let text = canonical::date_time(text).ok_or_else(|| {
                odd("a date that is not written as `2026-11-21T22:04:34.5Z`, or is none,")
            })?;
            return Ok(same(Item::DateTime, text));
        }
        Item::Decimal(digits) => return number(Item::Decimal, canonical::decimal(digits)),
        Item::Double(digits) => return number(Item::Double, canonical::double(digits)),
        Item::Duration(text) => {
            let time = canonical::duration(text).ok_or_else(|| {
                odd("a time span that is not written as `P1DT2H3M4.5S`, or is too long,")
            })?;
            return Ok(Plain {
                item: Item::Duration(time.written),
                value: Value::Text(time.shown),
            });
        }
        Item::Single(digits) => return number(Item::Single, canonical::single(digits)),
        Item::Integer(_, number) => {
            Number::new(&number.to_string()).map_or(Value::Null, Value::Number)
        }
        Item::Uri(text) => return Ok(same(Item::Text, text.clone())),
        Item::Version(text) => {
            let text = canonical::version(text)
                .ok_or_else(|| odd("a version that is not two to four numbers"))?;
            return Ok(same(Item::Version, text));
        }
        Item::Text(text) => Value::text(text.as_str()),
        Item::Guid(id) => Value::Text(id.to_string()),
        Item::Nil => Value::Null,
        // What it says cannot be read here.
        Item::Secure(_) => Value::text(REDACTED),
        Item::Object(object) | Item::Shared(object) => return plain_object(object),
        Item::ScriptBlock(_) => {
            return Err(PipelineError::refused(
                "script-block",
                "script blocks are not let through; give plain values",
            ));
        }
        Item::Progress(_) | Item::Xml(_) => return Err(odd("XML or a progress record")),
    };
    Ok(Plain {
        item: item.clone(),
        value,
    })
}

/// What is judged as it is written.
fn same(item: fn(String) -> Item, text: String) -> Plain {
    Plain {
        item: item(text.clone()),
        value: Value::Text(text),
    }
}

/// A number in its one spelling.
fn number(item: fn(String) -> Item, digits: Option<String>) -> Result<Plain, PipelineError> {
    let read = digits.and_then(|it| Some((Number::new(&it)?, it)));
    let (number, digits) = read
        .ok_or_else(|| odd("a number that the server would round, or that is infinite or none,"))?;
    Ok(Plain {
        item: item(digits),
        value: Value::Number(number),
    })
}

fn plain_object(object: &Object) -> Result<Plain, PipelineError> {
    let class = object.types.first().map_or("", String::as_str);
    let class = class
        .strip_prefix("Deserialized.")
        .filter(|it| it.starts_with("System."))
        .unwrap_or(class);
    let has_properties = !object.adapted.is_empty() || !object.extended.is_empty();
    match (&object.base, class) {
        (Base::Nothing, SWITCH) => match object.property("IsPresent").and_then(Item::as_bool) {
            Some(set) => plain(&Item::Bool(set)),
            None => Err(odd("a switch without a value")),
        },
        (Base::Nothing, CREDENTIAL) => named_credential(object),
        (_, class) if class.starts_with(EXCHANGE) && has_properties => identity(object, class),
        (Base::Scalar(item), _) if !has_properties => plain(item),
        (Base::List(kind, items), _) if !has_properties => {
            let items: Vec<Plain> = items.iter().map(plain).collect::<Result<_, _>>()?;
            let (items, values): (Vec<_>, Vec<_>) =
                items.into_iter().map(|it| (it.item, it.value)).unzip();
            let mut item = Item::list(items);
            if let Item::Object(list) = &mut item
                && let Base::List(written, _) = &mut list.base
            {
                *written = *kind;
            }
            Ok(Plain {
                item,
                value: Value::List(values),
            })
        }
        (Base::Dictionary(pairs), _) if !has_properties => {
            let mut items = Vec::with_capacity(pairs.len());
            let mut members = Vec::with_capacity(pairs.len());
            for (key, value) in pairs {
                let key = key.as_text().filter(|it| !it.contains('@'));
                let key = key.ok_or_else(|| odd("a dictionary whose keys are not plain texts"))?;
                let Plain { item, value } = plain(value)?;
                items.push((key.to_owned(), item));
                members.push((key.to_owned(), value));
            }
            Ok(Plain {
                item: Item::table(items),
                value: Value::Table(members),
            })
        }
        (Base::Dictionary(_) | Base::List(..) | Base::Nothing | Base::Scalar(_), class) => {
            Err(odd(&format!("an object of type `{}`", shown(class))))
        }
    }
}

/// A credential, written again; `None` if it is not one.
pub(in crate::dialect::psrp) fn credential(object: &Object) -> Option<Item> {
    let class = object.types.first().map_or("", String::as_str);
    if class.strip_prefix("Deserialized.").unwrap_or(class) != CREDENTIAL {
        return None;
    }
    named_credential(object).ok().map(|it| it.item)
}

fn named_credential(object: &Object) -> Result<Plain, PipelineError> {
    let name = object.property("UserName").and_then(Item::as_text);
    let password = object.property("Password");
    let (Some(name), Some(Item::Secure(_)), 2) =
        (name, password, object.adapted.len() + object.extended.len())
    else {
        return Err(odd("a credential that is not a name and a secure string"));
    };
    let written = Object {
        types: [CREDENTIAL, "System.Object"].map(str::to_owned).into(),
        shown: None,
        adapted: vec![
            ("UserName".to_owned(), Item::text(name)),
            (
                "Password".to_owned(),
                password.cloned().unwrap_or(Item::Nil),
            ),
        ],
        extended: Vec::new(),
        base: Base::Nothing,
    };
    Ok(Plain {
        item: Item::Object(Box::new(written)),
        value: Value::Table(vec![
            ("UserName".to_owned(), Value::text(name)),
            ("Password".to_owned(), Value::text(REDACTED)),
        ]),
    })
}

/// What names an Exchange object: the first of the properties that identify one, as a text.
fn identity(object: &Object, class: &str) -> Result<Plain, PipelineError> {
    let texts = ["Identity", "DistinguishedName", "PrimarySmtpAddress"];
    let text = texts
        .iter()
        .find_map(|name| object.property(name)?.as_text());
    let id = || match object.property("Guid") {
        Some(Item::Guid(id)) => Some(id.to_string()),
        Some(_) | None => None,
    };
    let text = text
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .or_else(id);
    text.map_or_else(
        || {
            Err(odd(&format!(
                "an object of type `{}` without identity",
                shown(class)
            )))
        },
        |text| plain(&Item::Text(text)),
    )
}

fn odd(what: &str) -> PipelineError {
    PipelineError::refused(
        "value",
        format!(
            "{what} is not let through as a value; give texts, numbers, lists or tables of them"
        ),
    )
}
