//! A command's parameters, and the type annotations of OData among them (exchange-rest section 1.4).
//!
//! `Name@odata.type` stands beside the value that it is about, `@odata.type` inside a table. Only the types that clients
//! send are known, and a value must be of the kind that its annotation says: an annotation cannot make the service read
//! something else than was decided on.

use crate::dialect::json::{self, Members};
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
pub(super) fn read(members: Members) -> Result<Parameters, Unreadable> {
    let mut parameters = Parameters::default();
    for_each_annotated(members, |name, annotation, value| {
        let name: ParameterName = name.parse().map_err(|error: InvalidName| {
            Unreadable::bad("bad-parameter-name", error.to_string())
        })?;
        let value = tidied(value)?;
        let type_annotation = annotation.map(|it| checked(it, &value)).transpose()?;
        let parameter = Parameter {
            name,
            value,
            type_annotation,
        };
        parameters
            .push(parameter)
            .map_err(|error| Unreadable::bad("duplicate-parameter", error.to_string()))
    })?;
    Ok(parameters)
}

/// Writes the table of parameters, each annotation directly before its value, where OData's readers look for it.
pub(super) fn write(parameters: &Parameters, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, parameter) in parameters.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Neither names of parameters nor those of the known types need escapes.
        let name = parameter.name.as_str().as_bytes();
        if let Some(annotation) = &parameter.type_annotation {
            for part in [
                b"\"",
                name,
                TYPE.as_bytes(),
                b"\":\"",
                annotation.as_bytes(),
                b"\",",
            ] {
                out.extend_from_slice(part);
            }
        }
        for part in [b"\"", name, b"\":"] {
            out.extend_from_slice(part);
        }
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

fn tidied_members(members: Members) -> Result<Members, Unreadable> {
    let mut tidy = Members::with_capacity(members.len());
    let mut own_type = None;
    for_each_annotated(members, |name, annotation, value| {
        if name == TYPE {
            own_type = Some(json::text(value, "an `@odata.type`")?);
            return Ok(());
        }
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
        if let Some(annotation) = annotation {
            let annotation = checked(annotation, &value)?;
            tidy.push((format!("{name}{TYPE}"), Value::Text(annotation)));
        }
        tidy.push((name, value));
        Ok(())
    })?;
    let Some(own) = own_type else {
        return Ok(tidy);
    };
    let is_bytes = matches!(tidy.as_slice(), [(name, Value::List(_) | Value::Null | Value::Text(_))] if name == "Data");
    match own.strip_prefix('#') {
        Some(TABLE) => {}
        Some(BYTES) if is_bytes => {}
        Some(_) | None => return Err(unknown_type(&own)),
    }
    tidy.insert(0, (TYPE.to_owned(), Value::Text(own)));
    Ok(tidy)
}

/// Calls `each` with each member and the annotation directly beside it, whichever of the two comes first.
fn for_each_annotated(
    members: Members,
    mut each: impl FnMut(String, Option<Value>, Value) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let mut members = members.into_iter().peekable();
    while let Some((name, value)) = members.next() {
        if let Some(owner) = annotated(&name) {
            let (owner, about) = members
                .next_if(|(next, _)| next == owner)
                .ok_or_else(|| astray(&name))?;
            each(owner, Some(value), about)?;
        } else {
            let behind = members.next_if(|(next, _)| annotated(next).is_some_and(|it| it == name));
            each(name, behind.map(|(_, annotation)| annotation), value)?;
        }
    }
    Ok(())
}

/// The annotation, if it is known, and `value` of the kind it says.
fn checked(annotation: Value, value: &Value) -> Result<String, Unreadable> {
    let annotation = json::text(annotation, "an `@odata.type`")?;
    check(&annotation, value)?;
    Ok(annotation)
}

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
