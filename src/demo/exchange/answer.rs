//! The shapes of answers (exchange-rest sections 2 and 3).

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::catalogue::Cmdlet;
use super::record::Record;
use crate::model::Value;

const JSON: &str = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

/// What a cmdlet returns.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) objects: Vec<Record>,
    pub(super) warnings: Vec<String>,
    /// The question of a validation call.
    pub(super) confirmation: Option<String>,
    /// Where the next page is.
    pub(super) next_link: Option<String>,
}

impl Output {
    pub(super) fn objects(objects: Vec<Record>) -> Self {
        Self {
            objects,
            ..Self::default()
        }
    }

    pub(super) fn confirmation(question: String) -> Self {
        Self {
            confirmation: Some(question),
            ..Self::default()
        }
    }

    pub(super) fn warning(text: String) -> Self {
        Self {
            warnings: vec![text],
            ..Self::default()
        }
    }

    /// The answer; objects as CLIXML documents where the client asks for them.
    pub(super) fn answer(self, base: &str, cmdlet: &Cmdlet, format: Format) -> Response<Bytes> {
        let mut members = vec![(
            "@odata.context".to_owned(),
            Value::Text(format!(
                "{base}/$metadata#Collection(Exchange.GenericHashTable)"
            )),
        )];
        members.extend(warnings(self.warnings));
        if let Some(text) = self.confirmation {
            let name = "@adminapi.confirmationmessage".to_owned();
            members.push((name, Value::Text(text)));
        }
        let objects = self.objects.iter().map(|record| match format {
            Format::Clixml => {
                let document = record.to_clixml(&cmdlet.kind.type_name());
                Value::Table(vec![("_clixml".to_owned(), Value::Text(document))])
            }
            Format::Json => record.to_json(),
        });
        members.push(("value".to_owned(), Value::List(objects.collect())));
        if let Some(link) = self.next_link {
            members.push(("@odata.nextLink".to_owned(), Value::Text(link)));
        }
        json(StatusCode::OK, &Value::Table(members))
    }
}

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Clixml,
    Json,
}

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    number: &'static str,
    exception: &'static str,
    text: String,
}

impl Failure {
    pub(super) fn bad_request(text: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "BadRequest",
            number: "Ex4D51C1",
            exception: "Microsoft.Exchange.Admin.OData.Core.ODataServiceException",
            text,
        }
    }

    pub(super) fn exists(kind: &str, name: &str) -> Self {
        Self {
            exception: "Microsoft.Exchange.Data.Directory.ADObjectAlreadyExistsException",
            number: "Ex9F8FB2",
            ..Self::bad_request(format!("The {kind} \"{name}\" already exists."))
        }
    }

    pub(super) fn missing_parameter(name: &str) -> Self {
        Self::binding(format!(
            "Cannot process command because of one or more missing mandatory parameters: {name}."
        ))
    }

    pub(super) fn not_found(name: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "NotFound",
            number: "Ex6F9304",
            exception: "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException",
            text: format!(
                "The operation couldn't be performed because object '{name}' couldn't be found on 'sample.contoso.example'."
            ),
        }
    }

    pub(super) fn unknown_parameter(name: &str) -> Self {
        Self::binding(format!(
            "A parameter cannot be found that matches parameter name '{name}'."
        ))
    }

    fn binding(text: String) -> Self {
        Self {
            exception: "System.Management.Automation.ParameterBindingException",
            number: "Ex2B1C40",
            ..Self::bad_request(text)
        }
    }

    pub(super) fn answer(&self) -> Response<Bytes> {
        let text = |text: &str| Value::text(text);
        let detail = format!("{}|{}|{}", self.number, self.exception, self.text);
        let inner = table(&[
            ("message", text(&self.text)),
            ("type", text(self.exception)),
            ("stacktrace", text("")),
        ]);
        let error = table(&[
            ("code", text(self.code)),
            ("message", text("Error executing cmdlet")),
            (
                "details",
                Value::List(vec![table(&[
                    ("code", text("Client")),
                    ("target", text("")),
                    ("message", Value::Text(detail)),
                ])]),
            ),
            (
                "innererror",
                table(&[
                    ("message", text("Error executing cmdlet")),
                    (
                        "type",
                        text("Microsoft.Exchange.Admin.OData.Core.ODataServiceException"),
                    ),
                    ("stacktrace", text("")),
                    ("internalexception", inner),
                ]),
            ),
        ]);
        let mut members = vec![("error".to_owned(), error)];
        members.extend(warnings(Vec::new()));
        let short = self.exception.rsplit('.').next().unwrap_or_default();
        let mut answer = json(self.status, &Value::Table(members));
        set(&mut answer, "x-exceptiontype", short);
        answer
    }
}

/// 204: a write that has nothing to say.
pub(super) fn no_content() -> Response<Bytes> {
    with_status(StatusCode::NO_CONTENT, Bytes::new())
}

/// 401: the credential is not the service's.
pub(super) fn unauthorized() -> Response<Bytes> {
    let mut answer = with_status(StatusCode::UNAUTHORIZED, Bytes::new());
    set(&mut answer, "www-authenticate", "Bearer");
    let reason = "2000003;reason=\"The token is invalid.\";error_category=\"invalid_token\"";
    set(&mut answer, "x-ms-diagnostics", reason);
    answer
}

/// 403 as the service gives it for a cmdlet that it does not know or allow: a body of NULs that is declared gzip and is not,
/// and the reason in a header (exchange-rest section 3.5).
pub(super) fn unknown_cmdlet() -> Response<Bytes> {
    let mut answer = with_status(StatusCode::FORBIDDEN, Bytes::from_static(&[0; 64]));
    set(&mut answer, header::CONTENT_TYPE.as_str(), JSON);
    set(&mut answer, header::CONTENT_ENCODING.as_str(), "gzip");
    let reason = "2000010;reason=\"The cmdlet is not known, or the caller's roles do not hold it.\";error_category=\"cmdlet_not_allowed\"";
    set(&mut answer, "x-ms-diagnostics", reason);
    answer
}

/// Any JSON.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut body = Vec::new();
    value.write_json(&mut body);
    let mut answer = with_status(status, Bytes::from(body));
    set(&mut answer, header::CONTENT_TYPE.as_str(), JSON);
    set(&mut answer, "odata-version", "4.0");
    answer
}

/// A table with these members.
pub(super) fn table(members: &[(&str, Value)]) -> Value {
    let members = members
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    Value::Table(members.collect())
}

/// An answer without headers.
pub(super) fn with_status(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

/// Sets a header; a value that is no header value is left out.
pub(super) fn set(answer: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        let name = HeaderName::from_static(name);
        answer.headers_mut().insert(name, value);
    }
}

fn warnings(texts: Vec<String>) -> [(String, Value); 2] {
    let texts = texts.into_iter().map(Value::Text).collect();
    [
        (
            "adminapi.warnings@odata.type".to_owned(),
            Value::text("#Collection(String)"),
        ),
        ("@adminapi.warnings".to_owned(), Value::List(texts)),
    ]
}
