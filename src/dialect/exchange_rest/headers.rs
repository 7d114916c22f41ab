//! A request's headers: what is refused, what goes on, and what the body is declared to be.
//!
//! What goes on is a closed list by name (exchange-rest sections 1.3 and 5.1). `X-CmdletName` is not on it: it is
//! written from the body. Neither is `Cookie`: a session cookie could carry another identity than the one decided on.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::dialect::{Unreadable, shown};

/// The longest value of one header, in bytes.
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// The identity of an OData read, in base64, in place of one in the path.
pub(super) const IDENTITY: HeaderName = HeaderName::from_static("xparameter-identity");
/// The name of the cmdlet in the body.
pub(super) const CMDLET_NAME: HeaderName = HeaderName::from_static("x-cmdletname");
/// Names of the cmdlets whose help or module a session's set-up asks for. Beside a cmdlet's call it could only name another
/// cmdlet than was decided on, so it does not go on there.
const COMMAND_NAMES: HeaderName = HeaderName::from_static("commandname");
/// `clixml` or `json`.
pub(super) const RESPONSE_FORMAT: HeaderName = HeaderName::from_static("x-responseformat");

/// Headers that would turn a request into another one than its request line says.
const OVERRIDES: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method",
    "x-method-override",
];

/// Whether a body belongs to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// None: a read.
    Absent,
    /// JSON.
    Json,
    /// JSON inside a `$batch`, where its type need not be said.
    JsonItem,
}

/// The headers that go on, each of them once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Passed(Vec<(HeaderName, HeaderValue)>);

impl Passed {
    /// The value of the header `name`.
    pub(super) fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.0
            .iter()
            .find(|(it, _)| it == name)
            .map(|(_, value)| value)
    }

    /// All of them, as they are sent.
    pub(super) fn to_map(&self) -> HeaderMap {
        // Two more: what is written from the body.
        let mut map = HeaderMap::with_capacity(self.0.len() + 2);
        map.extend(self.0.iter().cloned());
        map
    }
}

/// The headers that go on, of those that were sent.
pub(super) fn read(headers: &HeaderMap, body: Body) -> Result<Passed, Unreadable> {
    let mut passed: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        refuse_meddling(name, body)?;
        if known(name.as_str()).is_none() || (*name == COMMAND_NAMES && body != Body::Absent) {
            continue;
        }
        if let Some((_, before)) = passed.iter_mut().find(|(it, _)| it == name) {
            *before = joined(name, before, value)?;
        } else {
            plain(name, value)?;
            passed.push((name.clone(), value.clone()));
        }
    }
    match body {
        Body::Absent => {}
        Body::Json | Body::JsonItem => {
            let media_type = match single(headers, &header::CONTENT_TYPE)? {
                None if body == Body::JsonItem => HeaderValue::from_static("application/json"),
                declared => json_type(declared.unwrap_or_default())?,
            };
            refuse_coding(headers)?;
            passed.push((header::CONTENT_TYPE, media_type));
        }
    }
    Ok(Passed(passed))
}

/// The header `name`, if it is there; refused if it is there twice, or is not plain text.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Unreadable> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(repeated(name));
    }
    plain(name, value).map(Some)
}

/// As clients spell the header inside a `$batch`.
pub(super) fn spelled(name: &HeaderName) -> &str {
    match name.as_str() {
        "authorization" => "Authorization",
        "content-type" => "Content-Type",
        "x-cmdletname" => "X-CmdletName",
        other => known(other).unwrap_or(other),
    }
}

/// The list of headers that go on, each as it is looked up and as clients spell it inside a `$batch`.
fn known(name: &str) -> Option<&'static str> {
    Some(match name {
        "accept" => "Accept",
        "accept-charset" => "Accept-Charset",
        "accept-language" => "Accept-Language",
        "client-process-id" => "client-process-id",
        "client-request-id" => "client-request-id",
        "commandname" => "CommandName",
        "connection-id" => "connection-id",
        "disable-wam" => "Disable-WAM",
        "erroraction" => "ErrorAction",
        "exomodule-version" => "exomodule-version",
        "is-cloud-shell-environment" => "is-cloud-shell-environment",
        "os-version" => "os-version",
        "parameter-based-routing" => "parameter-based-routing",
        "prefer" => "Prefer",
        "ps-version" => "ps-version",
        "skiploadingformatdata" => "SkipLoadingFormatData",
        "user-agent" => "User-Agent",
        "warningaction" => "WarningAction",
        "x-anchormailbox" => "X-AnchorMailbox",
        "x-clientapplication" => "X-ClientApplication",
        "x-clientmoduleversion" => "X-ClientModuleVersion",
        "x-initializeconnectioncontextobjectiddynamic" => {
            "X-InitializeConnectionContextObjectIdDynamic"
        }
        "x-loadlocalmodule" => "X-LoadLocalModule",
        "x-prefer" => "X-prefer",
        "x-responseformat" => "X-ResponseFormat",
        "x-serializationlevel" => "X-SerializationLevel",
        _ => return None,
    })
}

/// Two values of one header as one, if it is a list.
fn joined(
    name: &HeaderName,
    before: &HeaderValue,
    value: &HeaderValue,
) -> Result<HeaderValue, Unreadable> {
    let is_list = matches!(
        name.as_str(),
        "accept" | "accept-charset" | "accept-language" | "prefer"
    );
    if !is_list {
        return Err(repeated(name));
    }
    let joined = format!("{}, {}", plain(name, before)?, plain(name, value)?);
    HeaderValue::try_from(joined)
        .ok()
        .filter(|it| it.len() <= MAX_VALUE_BYTES)
        .ok_or_else(|| too_long(name))
}

fn plain<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, Unreadable> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(too_long(name));
    }
    value.to_str().map_err(|_| {
        let text = format!("the header `{name}` holds something else than printable ASCII");
        Unreadable::bad("header-character", text)
    })
}

fn repeated(name: &HeaderName) -> Unreadable {
    let text = format!("the header `{name}` is given twice");
    Unreadable::bad("duplicate-header", text)
}

fn too_long(name: &HeaderName) -> Unreadable {
    let text = format!("the header `{name}` is longer than {MAX_VALUE_BYTES} bytes");
    Unreadable::bad("long-header", text)
}

/// Refuses method overrides, rather than dropping them: whoever sends one means another request than we would decide on.
/// The same goes for parameters in headers, of which only the identity of a read is understood (by its own reader).
fn refuse_meddling(name: &HeaderName, body: Body) -> Result<(), Unreadable> {
    if !name.as_str().starts_with('x') {
        return Ok(());
    }
    if OVERRIDES.contains(&name.as_str()) {
        return Err(Unreadable::bad(
            "method-override",
            format!(
                "the header `{name}` would change the request's method; send the request with its own method"
            ),
        ));
    }
    if name.as_str().starts_with("xparameter-") && (name != IDENTITY || body != Body::Absent) {
        return Err(Unreadable::bad(
            "header-parameter",
            format!("the header `{name}` would carry a parameter; parameters go in the body"),
        ));
    }
    Ok(())
}

/// The media type `application/json` with the parameters that this service knows, written one way.
fn json_type(declared: &str) -> Result<HeaderValue, Unreadable> {
    let unsupported = |text: String| {
        Unreadable::with(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            text,
        )
    };
    let mut parts = declared.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(unsupported(format!(
            "the body must be declared as `Content-Type: application/json`, not `{}`",
            shown(media_type)
        )));
    }
    let mut given: Vec<&str> = Vec::new();
    let mut written = "application/json".to_owned();
    for part in parts.filter(|it| !it.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value
            .strip_prefix('"')
            .and_then(|it| it.strip_suffix('"'))
            .unwrap_or(value);
        let (name, choices): (&str, &[&str]) = match name.to_ascii_lowercase().as_str() {
            "charset" => ("charset", &["utf-8"]),
            "ieee754compatible" => ("IEEE754Compatible", &["false", "true"]),
            "odata.metadata" => ("odata.metadata", &["full", "minimal", "none"]),
            "odata.streaming" => ("odata.streaming", &["false", "true"]),
            _ => {
                let text = format!("the media type's parameter `{}` is not known", shown(part));
                return Err(unsupported(text));
            }
        };
        let value = choices.iter().find(|it| it.eq_ignore_ascii_case(value));
        let Some(value) = value.filter(|_| !given.contains(&name)) else {
            let choices = choices.join("`, `");
            let text = format!("the media type's `{name}` must be given once, as `{choices}`");
            return Err(unsupported(text));
        };
        given.push(name);
        if name != "charset" {
            written.push(';');
            written.push_str(name);
            written.push('=');
            written.push_str(value);
        }
    }
    HeaderValue::try_from(written).map_err(|_| unsupported("the media type is not text".to_owned()))
}

/// Refuses a compressed body. `utf-8` is no coding, yet a known client sends it, and the service takes no notice.
fn refuse_coding(headers: &HeaderMap) -> Result<(), Unreadable> {
    let coding = single(headers, &header::CONTENT_ENCODING)?.unwrap_or("identity");
    if coding.eq_ignore_ascii_case("identity") || coding.eq_ignore_ascii_case("utf-8") {
        return Ok(());
    }
    Err(Unreadable::with(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "content-coding",
        format!(
            "a body in the coding `{}` is not read; send it plain",
            shown(coding)
        ),
    ))
}
