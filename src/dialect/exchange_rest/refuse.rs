//! Refusals in the error shape that the known clients read (exchange-rest sections 3.1 and 3.4): the reason stands in each
//! of the three places where one or the other of them looks for it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use uuid::Uuid;

use crate::dialect::{Problem, Reply};
use crate::model::Value;

/// What the gateway's own JSON is declared as.
pub(super) const JSON_TYPE: HeaderValue =
    HeaderValue::from_static("application/json;odata.metadata=minimal;charset=utf-8");
/// The id under which the call is on record.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The exception's short name, which PowerShell shows in `CategoryInfo`.
const EXCEPTION_TYPE: HeaderName = HeaderName::from_static("x-exceptiontype");

/// A refusal, in the shape of exchange-rest section 3.4. `reference` is the decision's or the request's id.
pub fn refuse(problem: &Problem, reference: Uuid) -> Reply {
    let kind = Kind::of(problem.status);
    let text = format!("{} ({} {reference})", problem.text, kind.reference);
    let mut reply = reply(problem, &kind, text);
    if let Ok(reference) = HeaderValue::try_from(reference.to_string()) {
        reply.headers.insert(REQUEST_ID, reference);
    }
    reply
}

/// A refusal of something that is not on record by itself.
pub(super) fn refuse_unrecorded(problem: &Problem) -> Reply {
    reply(problem, &Kind::of(problem.status), problem.text.clone())
}

fn reply(problem: &Problem, kind: &Kind, text: String) -> Reply {
    let class = format!("Portcullis.{}", kind.exception);
    // Clients split this one at the bars.
    let detail = format!("GW0001|{class}|{}", text.replace('|', "/"));
    let text = Value::Text(text);
    let object = Value::Table(vec![
        (
            "error".to_owned(),
            Value::Table(vec![
                ("code".to_owned(), Value::text(kind.code)),
                ("message".to_owned(), text.clone()),
                (
                    "details".to_owned(),
                    Value::List(vec![Value::Table(vec![
                        ("code".to_owned(), Value::text(kind.category)),
                        ("target".to_owned(), Value::text(problem.target.as_str())),
                        ("message".to_owned(), Value::Text(detail)),
                    ])]),
                ),
                (
                    "innererror".to_owned(),
                    Value::Table(vec![
                        ("message".to_owned(), text.clone()),
                        ("type".to_owned(), Value::text(class.as_str())),
                        ("stacktrace".to_owned(), Value::text("")),
                        (
                            "internalexception".to_owned(),
                            Value::Table(vec![
                                ("message".to_owned(), text),
                                ("type".to_owned(), Value::Text(class)),
                                ("stacktrace".to_owned(), Value::text("")),
                            ]),
                        ),
                    ]),
                ),
            ]),
        ),
        (
            "adminapi.warnings@odata.type".to_owned(),
            Value::text("#Collection(String)"),
        ),
        ("@adminapi.warnings".to_owned(), Value::List(Vec::new())),
    ]);
    let mut body = Vec::with_capacity(1024);
    object.write_json(&mut body);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, JSON_TYPE);
    headers.insert(EXCEPTION_TYPE, HeaderValue::from_static(kind.exception));
    Reply {
        status: problem.status,
        headers,
        body: Bytes::from(body),
    }
}

/// What an error of a status is called.
struct Kind {
    /// OData's code.
    code: &'static str,
    /// PowerShell's `ErrorCategory`, by a name that it defines.
    category: &'static str,
    /// The exception's short name.
    exception: &'static str,
    /// What the reference is of.
    reference: &'static str,
}

impl Kind {
    fn of(status: StatusCode) -> Self {
        let (code, category, exception) = match status {
            StatusCode::UNAUTHORIZED => (
                "Unauthorized",
                "AuthenticationError",
                "AuthenticationException",
            ),
            StatusCode::FORBIDDEN => ("Forbidden", "PermissionDenied", "AccessDeniedException"),
            StatusCode::NOT_FOUND => ("NotFound", "ObjectNotFound", "NotFoundException"),
            StatusCode::METHOD_NOT_ALLOWED => (
                "MethodNotAllowed",
                "InvalidOperation",
                "InvalidRequestException",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => (
                "RequestEntityTooLarge",
                "LimitsExceeded",
                "InvalidRequestException",
            ),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                "UnsupportedMediaType",
                "InvalidData",
                "InvalidRequestException",
            ),
            StatusCode::TOO_MANY_REQUESTS => {
                ("TooManyRequests", "LimitsExceeded", "OverloadedException")
            }
            StatusCode::BAD_GATEWAY => ("BadGateway", "ConnectionError", "UpstreamException"),
            StatusCode::SERVICE_UNAVAILABLE => (
                "ServiceUnavailable",
                "ResourceUnavailable",
                "UnavailableException",
            ),
            StatusCode::GATEWAY_TIMEOUT => {
                ("GatewayTimeout", "OperationTimeout", "UpstreamException")
            }
            other if other.is_server_error() => {
                ("InternalServerError", "NotSpecified", "InternalException")
            }
            _ => ("BadRequest", "InvalidArgument", "InvalidRequestException"),
        };
        Self {
            code,
            category,
            exception,
            reference: if status == StatusCode::FORBIDDEN {
                "decision"
            } else {
                "request"
            },
        }
    }
}
