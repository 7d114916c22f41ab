//! A command's parameters, and the type annotations of OData among them (exchange-rest section 1.4).
//!
//! `Name@odata.type` stands beside the value that it is about, `@odata.type` inside a table. Only the types that clients
//! send are known, and a value must be of the kind that its annotation says: an annotation cannot make the service read
//! something else than was decided on.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::dialect::json::{self, Budget};
use crate::dialect::{Unreadable, shown};
use crate::model::{InvalidName, Parameter, ParameterName, Parameters, Value};

const TYPE: &str = "@odata.type";
const TABLE: &str = "Exchange.GenericHashTable";
const BYTES: &str = "Exchange.ByteArrayType";
/// OData's primitive types, without their `Edm.`.
const PRIMITIVES: &[&str] = &[
    "Binary",
    "Boolean",
    "Byte",
    "Date",
    "DateTime",
    "DateTimeOffset",
    "Decimal",
    "Double",
    "Duration",
    "Guid",
    "Int16",
    "Int32",
    "Int64",
    "SByte",
    "Single",
    "String",
    "TimeOfDay",
];

/// Reads the table of parameters.
pub(super) fn read(raw: &RawValue, budget: &mut Budget) -> Result<Parameters, Unreadable> {
    let members = json::object(raw, "`Parameters`", budget)?;
    let mut parameters = Parameters::default();
    let mut members = members.into_iter().peekable();
    while let Some((name, raw)) = members.next() {
        let (name, value, annotation) = if let Some(owner) = annotated(&name) {
            // The annotation of the next member.
            let (_, value) = members
                .next_if(|(next, _)| *next == owner)
                .ok_or_else(|| astray(&name))?;
            (Cow::Owned(owner.to_owned()), value, Some(raw))
        } else {
            let behind = members.next_if(|(next, _)| annotated(next).is_some_and(|it| it == name));
            (name, raw, behind.map(|(_, raw)| raw))
        };
        let name: ParameterName = name.parse().map_err(|error: InvalidName| {
            Unreadable::bad("bad-parameter-name", error.to_string())
        })?;
        let value = tidied(json::value(value, budget)?)?;
        let type_annotation = match annotation {
            None => None,
            Some(raw) => {
                let annotation = json::text(raw, "an `@odata.type`")?;
                check(&annotation, &value)?;
                Some(annotation.into_owned())
            }
        };
        parameters
            .push(Parameter {
                name,
                value,
                type_annotation,
            })
            .map_err(|error| Unreadable::bad("duplicate-parameter", error.to_string()))?;
    }
    Ok(parameters)
}

/// Writes the table of parameters, each annotation directly before its value, where OData's readers look for it.
pub(super) fn write(parameters: &Parameters, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, parameter) in parameters.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let name = parameter.name.as_str();
        if let Some(annotation) = &parameter.type_annotation {
            Value::text(format!("{name}{TYPE}")).write_json(out);
            out.push(b':');
            Value::text(annotation.as_str()).write_json(out);
            out.push(b',');
        }
        Value::text(name).write_json(out);
        out.push(b':');
        parameter.value.write_json(out);
    }
    out.push(b'}');
}

/// The member that `name` annotates, if it is an annotation of a type.
fn annotated(name: &str) -> Option<&str> {
    name.strip_suffix(TYPE).filter(|it| !it.is_empty())
}

/// `value` with each annotation inside checked, and put directly before what it is about.
fn tidied(value: Value) -> Result<Value, Unreadable> {
    Ok(match value {
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Text(_) => value,
        Value::List(items) => Value::List(items.into_iter().map(tidied).collect::<Result<_, _>>()?),
        Value::Table(members) => Value::Table(tidied_members(members)?),
    })
}

fn tidied_members(members: Vec<(String, Value)>) -> Result<Vec<(String, Value)>, Unreadable> {
    let mut tidy: Vec<(String, Value)> = Vec::with_capacity(members.len());
    let mut own_type = None;
    let mut members = members.into_iter().peekable();
    while let Some((name, value)) = members.next() {
        if name == TYPE {
            own_type = Some(type_text(value)?);
        } else if let Some(owner) = annotated(&name) {
            let next = members.next_if(|(next, _)| next == owner);
            let (owner, about) = next.ok_or_else(|| astray(&name))?;
            push_member(&mut tidy, owner, Some((name, value)), about)?;
        } else {
            let behind = members.next_if(|(next, _)| annotated(next).is_some_and(|it| it == name));
            push_member(&mut tidy, name, behind, value)?;
        }
    }
    match own_type.as_deref() {
        None => Ok(tidy),
        Some(own) => {
            let is_table = own.strip_prefix('#') == Some(TABLE);
            let is_bytes = own.strip_prefix('#') == Some(BYTES)
                && matches!(tidy.as_slice(), [(name, Value::List(_) | Value::Null | Value::Text(_))] if name == "Data");
            if !is_table && !is_bytes {
                return Err(unknown_type(own));
            }
            tidy.insert(0, (TYPE.to_owned(), Value::text(own)));
            Ok(tidy)
        }
    }
}

fn push_member(
    tidy: &mut Vec<(String, Value)>,
    name: String,
    annotation: Option<(String, Value)>,
    value: Value,
) -> Result<(), Unreadable> {
    if name.is_empty() || name.contains('@') || name.chars().any(char::is_control) {
        return Err(Unreadable::bad(
            "bad-member-name",
            format!(
                "`{}` is not a member's name; with `@`, only `@odata.type` annotations are read",
                shown(&name)
            ),
        ));
    }
    let value = tidied(value)?;
    if let Some((about, annotation)) = annotation {
        let annotation = type_text(annotation)?;
        check(&annotation, &value)?;
        tidy.push((about, Value::Text(annotation)));
    }
    tidy.push((name, value));
    Ok(())
}

fn type_text(value: Value) -> Result<String, Unreadable> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Bool(_) | Value::List(_) | Value::Null | Value::Number(_) | Value::Table(_) => Err(
            Unreadable::bad("bad-annotation", "an `@odata.type` must be a text"),
        ),
    }
}

/// Whether the annotation is known, and `value` is of the kind it says.
fn check(annotation: &str, value: &Value) -> Result<(), Unreadable> {
    let name = annotation
        .strip_prefix('#')
        .ok_or_else(|| unknown_type(annotation))?;
    let item = name
        .strip_prefix("Collection(")
        .and_then(|it| it.strip_suffix(')'));
    let is_table = matches!(item.unwrap_or(name), TABLE | BYTES);
    let primitive = item.unwrap_or(name);
    let primitive = primitive.strip_prefix("Edm.").unwrap_or(primitive);
    if !is_table && !PRIMITIVES.contains(&primitive) {
        return Err(unknown_type(annotation));
    }
    let fits_one = |value: &Value| match value {
        Value::Table(_) => is_table,
        Value::Bool(_) | Value::Number(_) | Value::Text(_) => !is_table,
        Value::Null => true,
        Value::List(_) => false,
    };
    let fits = match (item, value) {
        (Some(_), Value::List(items)) => items.iter().all(fits_one),
        (Some(_), Value::Null) => true,
        (Some(_), Value::Bool(_) | Value::Number(_) | Value::Table(_) | Value::Text(_)) => false,
        (None, value) => fits_one(value),
    };
    if fits {
        return Ok(());
    }
    let text = format!(
        "a value is not what its type annotation `{}` says",
        shown(annotation)
    );
    Err(Unreadable::bad("wrong-annotation", text))
}

fn astray(name: &str) -> Unreadable {
    let text = format!(
        "the annotation `{}` must stand directly beside its parameter",
        shown(name)
    );
    Unreadable::bad("stray-annotation", text)
}

fn unknown_type(annotation: &str) -> Unreadable {
    let text = format!(
        "the type annotation `{}` is not known here",
        shown(annotation)
    );
    Unreadable::bad("unknown-annotation", text)
}
