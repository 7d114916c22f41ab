//! Answers to the gateway's own cmdlets, as the service would give them (exchange-rest section 2): objects as JSON with
//! OData's and Exchange's type annotations, or, if the call asks for it, each object as CLIXML inside JSON.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::dialect::Reply;
use crate::model::{Object, Property, Value};

use super::call::Call;
use super::clixml;
use super::headers::RESPONSE_FORMAT;
use super::refuse::JSON_TYPE;

/// The answer to a gateway cmdlet, in the format that the call asked for (JSON, or CLIXML inside JSON). `gateway_base` is
/// such as `https://gate.example/adminapi`.
pub fn answer(call: &Call, objects: &[Object], gateway_base: &str) -> Reply {
    let wants_clixml = call
        .headers
        .get(&RESPONSE_FORMAT)
        .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"clixml"));
    let context = format!(
        "{}/{}/{}/$metadata#Collection(Exchange.GenericHashTable)",
        gateway_base.trim_end_matches('/'),
        call.version.as_str(),
        call.tenant
    );
    let items = objects.iter().map(|object| {
        if wants_clixml {
            Value::Table(vec![(
                "_clixml".to_owned(),
                Value::Text(clixml::write(object)),
            )])
        } else {
            Value::Table(members(object))
        }
    });
    let body = Value::Table(vec![
        ("@odata.context".to_owned(), Value::Text(context)),
        (
            "adminapi.warnings@odata.type".to_owned(),
            Value::text("#Collection(String)"),
        ),
        ("@adminapi.warnings".to_owned(), Value::List(Vec::new())),
        ("value".to_owned(), Value::List(items.collect())),
    ]);
    let mut bytes = Vec::with_capacity(1024);
    body.write_json(&mut bytes);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, JSON_TYPE);
    headers.insert(
        HeaderName::from_static("odata-version"),
        HeaderValue::from_static("4.0"),
    );
    Reply {
        status: StatusCode::OK,
        headers,
        body: Bytes::from(bytes),
    }
}

/// A time as .NET writes it: seven decimals, UTC.
pub(super) fn dotnet_time(time: &DateTime<Utc>) -> String {
    const TICK_NANOS: u32 = 100;
    // In a leap second chrono counts on past the second's end.
    let ticks = (time.timestamp_subsec_nanos() / TICK_NANOS).min(9_999_999);
    format!("{}.{ticks:07}Z", time.format("%Y-%m-%dT%H:%M:%S"))
}

fn members(object: &Object) -> Vec<(String, Value)> {
    let mut members = Vec::with_capacity(object.properties.len() * 2);
    for (name, property) in &object.properties {
        let (odata, dotnet, value) = typed(property);
        if let Some(odata) = odata {
            members.push((format!("{name}@odata.type"), Value::text(odata)));
        }
        if let Some(dotnet) = dotnet {
            members.push((format!("{name}@data.type"), Value::text(dotnet)));
        }
        members.push(((*name).to_owned(), value));
    }
    members
}

/// The property's OData type and .NET type, where the service names them, and its value.
fn typed(property: &Property) -> (Option<&'static str>, Option<&'static str>, Value) {
    match property {
        Property::DateTime(time) => (
            None,
            Some("System.DateTime"),
            Value::Text(dotnet_time(time)),
        ),
        Property::Guid(id) => (
            Some("#Guid"),
            Some("System.Guid"),
            Value::Text(id.to_string()),
        ),
        Property::Plain(value) => {
            let (odata, dotnet) = match value {
                Value::List(items) if items.iter().all(|it| matches!(it, Value::Text(_))) => {
                    (Some("#Collection(String)"), None)
                }
                Value::Number(number) => match number.as_str().parse::<i64>() {
                    Ok(it) if i32::try_from(it).is_ok() => (None, Some("System.Int32")),
                    Ok(_) => (Some("#Int64"), Some("System.Int64")),
                    Err(_) => (None, None),
                },
                Value::Bool(_)
                | Value::List(_)
                | Value::Null
                | Value::Table(_)
                | Value::Text(_) => (None, None),
            };
            (odata, dotnet, value.clone())
        }
    }
}
