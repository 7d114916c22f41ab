//! One request, one answer: what each form of request does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::Utc;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::answer::{self, Failure, Format, Output, json, set, table};
use super::catalogue::{Action, Cmdlet, read_cmdlet, v2_runs};
use super::journal::{Arrived, Effect, Executed, Journal};
use super::lenient;
use super::organisation::{Arguments, Organisation, argument, is_on};
use super::page::Window;
use super::place::Place;
use super::session;
use crate::model::Value;

/// How many items a `$batch` may have. The service's own bound is not known; its clients send at most ten.
const MAX_ITEMS: usize = 20;

/// The endpoint, without the sockets.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Scheme and authority, as links name them.
    origin: String,
    /// The one `Authorization` that is accepted.
    credential: SecretString,
    organisation: Mutex<Organisation>,
    journal: Mutex<Journal>,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    BatchItem,
    Client,
}

impl Endpoint {
    pub(super) fn new(origin: String, credential: SecretString) -> Self {
        Self {
            origin,
            credential,
            organisation: Mutex::new(Organisation::sample()),
            journal: Mutex::new(Journal::default()),
        }
    }

    /// What has arrived and what was executed so far.
    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request.
    pub(super) fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.journal().push_arrived(Arrived::new(request));
        let mut answer = self.dispatch(request, Origin::Client);
        set(&mut answer, "request-id", &Uuid::now_v7().to_string());
        set(
            &mut answer,
            "x-calculatedbetarget",
            "sample.contoso.example",
        );
        answer
    }

    fn dispatch(&self, request: &Request<Bytes>, origin: Origin) -> Response<Bytes> {
        let headers = request.headers();
        if !self.accepts(headers.get(header::AUTHORIZATION)) {
            return answer::unauthorized();
        }
        let Some(place) = Place::of(request.uri()) else {
            return answer::with_status(StatusCode::NOT_FOUND, Bytes::new());
        };
        let body = request.body();
        let result = match (request.method(), place.rest.as_slice()) {
            (&Method::GET, _) => return self.get(&place, headers),
            (&Method::POST, [action]) if is(action, "$batch") && origin == Origin::Client => {
                self.batch(&place, body)
            }
            (&Method::POST, [resource]) if place.version == "v2.0" => {
                self.invoke(&place, headers, body, Some(resource))
            }
            (&Method::POST, [action]) if is(action, "InvokeCommand") => {
                self.invoke(&place, headers, body, None)
            }
            _ => return answer::with_status(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
        };
        result.unwrap_or_else(|failure| failure.answer())
    }

    fn accepts(&self, authorization: Option<&HeaderValue>) -> bool {
        let expected = self.credential.expose_secret().as_bytes();
        authorization.is_some_and(|it| it.as_bytes().ct_eq(expected).into())
    }

    /// `InvokeCommand`, and a resource of v2.0: the cmdlet is in the body.
    fn invoke(
        &self,
        place: &Place,
        headers: &HeaderMap,
        body: &[u8],
        resource: Option<&str>,
    ) -> Result<Response<Bytes>, Failure> {
        let envelope = lenient::read(body);
        let input = envelope
            .as_ref()
            .and_then(|it| lenient::member(it, "CmdletInput"));
        let (input, name) = input
            .and_then(|input| Some((input, lenient::text(input, "CmdletName")?)))
            .ok_or_else(|| Failure::bad_request("The body holds no CmdletInput.".to_owned()))?;
        if let Some(resource) = resource.filter(|it| !v2_runs(it, name)) {
            return Err(Failure::bad_request(format!(
                "The resource '{resource}' does not run '{name}'."
            )));
        }
        let Some(cmdlet) = Cmdlet::named(name) else {
            return Ok(answer::unknown_cmdlet());
        };
        let parameters = match lenient::member(input, "Parameters") {
            Some(Value::Table(members)) => members.clone(),
            None | Some(Value::Null) => Vec::new(),
            Some(_) => {
                let text = "Parameters must be an object.".to_owned();
                return Err(Failure::bad_request(text));
            }
        };
        self.execute(cmdlet, parameters, place, headers)
            .map(|output| {
                let is_silent = output.warnings.is_empty() && output.confirmation.is_none();
                if cmdlet.action == Action::Remove && is_silent {
                    return answer::no_content();
                }
                let format = headers.get("x-responseformat");
                let format = if format.is_some_and(|it| is_header(it, "clixml")) {
                    Format::Clixml
                } else {
                    Format::Json
                };
                output.answer(&place.base(&self.origin), cmdlet, format)
            })
    }

    /// Has a command run and puts it into the journal.
    fn execute(
        &self,
        cmdlet: &'static Cmdlet,
        mut parameters: Vec<(String, Value)>,
        place: &Place,
        headers: &HeaderMap,
    ) -> Result<Output, Failure> {
        parameters.retain(|(name, _)| !name.contains('@'));
        let mut command = cmdlet.name.as_bytes().to_vec();
        Value::Table(parameters.clone()).write_json(&mut command);
        let result = arguments(cmdlet, &parameters)
            .and_then(|arguments| self.run(cmdlet, &arguments, &command, place, headers));
        let executed = Executed {
            cmdlet: cmdlet.name,
            parameters,
            headers: headers.clone(),
            is_page: place.query("$skiptoken").is_some(),
            effect: result
                .as_ref()
                .map_or(Effect::Failed, |(_, effect)| *effect),
        };
        self.journal().push_executed(executed, command.len());
        result.map(|(output, _)| output)
    }

    /// Runs a cmdlet, unless the call only asks for confirmation or for what would happen. `command` is what ties pages together.
    fn run(
        &self,
        cmdlet: &Cmdlet,
        arguments: &Arguments,
        command: &[u8],
        place: &Place,
        headers: &HeaderMap,
    ) -> Result<(Output, Effect), Failure> {
        let now = Utc::now();
        let window = Window::new(headers, command, place.query("$skiptoken"), now)?;
        if cmdlet.action != Action::Get {
            let target = argument(arguments, "Identity").or_else(|| argument(arguments, "Name"));
            let deed = format!("{} \"{}\"", cmdlet.name, target.unwrap_or_default());
            if is_on(arguments, "Confirm") {
                let question = format!("Are you sure you want to perform this action?\n{deed}");
                return Ok((Output::confirmation(question), Effect::Prompted));
            }
            if is_on(arguments, "WhatIf") {
                let output = Output::warning(format!("What if: {deed}."));
                return Ok((output, Effect::Simulated));
            }
        }
        let mut output = self
            .organisation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .run(cmdlet, arguments, now)?;
        window.cut(&mut output, now, |token| place.page(&self.origin, token));
        let names = place.selected();
        let objects = std::mem::take(&mut output.objects).into_iter();
        output.objects = objects.map(|it| it.select(&names)).collect();
        Ok((output, Effect::Done))
    }

    /// A JSON `$batch` (exchange-rest section 4): each item is a request of its own, with its own credential.
    fn batch(&self, place: &Place, body: &[u8]) -> Result<Response<Bytes>, Failure> {
        let batch = lenient::read(body);
        let items = match batch
            .as_ref()
            .and_then(|it| lenient::member(it, "requests"))
        {
            Some(Value::List(items)) if items.len() <= MAX_ITEMS => items,
            _ => {
                return Err(Failure::bad_request(format!(
                    "A batch is an object with at most {MAX_ITEMS} `requests`."
                )));
            }
        };
        let answers = items.iter().map(|item| {
            let answer = match batch_item(item, &place.base("")) {
                Some(request) => self.dispatch(&request, Origin::BatchItem),
                None => Failure::bad_request("The item is not a request.".to_owned()).answer(),
            };
            let headers = table(&[("Content-Type", Value::text("application/json"))]);
            let status = u32::from(answer.status().as_u16());
            table(&[
                (
                    "id",
                    Value::text(lenient::text(item, "id").unwrap_or_default()),
                ),
                ("status", super::organisation::number(status)),
                ("headers", headers),
                ("body", lenient::read(answer.body()).unwrap_or(Value::Null)),
            ])
        });
        let answers = Value::List(answers.collect());
        Ok(json(StatusCode::OK, &table(&[("responses", answers)])))
    }

    /// A session call, or an OData read.
    fn get(&self, place: &Place, headers: &HeaderMap) -> Response<Bytes> {
        let base = place.base(&self.origin);
        if let Some(answer) = session::answer(place, &base) {
            return answer;
        }
        let entity = place.entity(headers);
        let found = entity.and_then(|(set, key, below)| Some((read_cmdlet(set, below)?, key)));
        let Some((cmdlet, key)) = found else {
            return answer::with_status(StatusCode::NOT_FOUND, Bytes::new());
        };
        let identity = key.map(|key| ("Identity".to_owned(), Value::Text(key)));
        match self.execute(cmdlet, identity.into_iter().collect(), place, headers) {
            Ok(output) => output.answer(&base, cmdlet, Format::Json),
            Err(failure) => failure.answer(),
        }
    }
}

/// Parameters by their usual names; an unknown or a missing one is a failure.
fn arguments(cmdlet: &Cmdlet, parameters: &[(String, Value)]) -> Result<Arguments, Failure> {
    let mut arguments = Arguments::new();
    for (name, value) in parameters {
        let name = cmdlet
            .parameter(name)
            .ok_or_else(|| Failure::unknown_parameter(name))?;
        arguments.push((name, without_annotations(value)));
    }
    match cmdlet
        .needs()
        .find(|name| argument(&arguments, name).is_none())
    {
        Some(name) => Err(Failure::missing_parameter(name)),
        None => Ok(arguments),
    }
}

fn without_annotations(value: &Value) -> Value {
    match value {
        Value::Table(members) => Value::Table(
            members
                .iter()
                .filter(|(name, _)| !name.contains('@'))
                .cloned()
                .collect(),
        ),
        value => value.clone(),
    }
}

/// The request that a batch item is; a relative address is below `base`.
fn batch_item(item: &Value, base: &str) -> Option<Request<Bytes>> {
    let address = lenient::text(item, "url")?;
    let is_absolute = address.contains("://") || address.starts_with('/');
    let uri: Uri = if is_absolute {
        address.parse().ok()?
    } else {
        format!("{base}/{address}").parse().ok()?
    };
    let method = lenient::text(item, "method")?.to_uppercase();
    let mut body = Vec::new();
    if let Some(value) = lenient::member(item, "body") {
        value.write_json(&mut body);
    }
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = uri;
    if let Some(Value::Table(headers)) = lenient::member(item, "headers") {
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = HeaderValue::from_str(&value.display()).ok()?;
            request.headers_mut().insert(name, value);
        }
    }
    Some(request)
}

/// Whether a path segment calls `action`: in any case, and in the longer spellings that OData allows.
fn is(segment: &str, action: &str) -> bool {
    let segment = segment.strip_suffix("()").unwrap_or(segment);
    let segment = segment.strip_prefix("Exchange.").unwrap_or(segment);
    segment.eq_ignore_ascii_case(action)
}

fn is_header(value: &HeaderValue, expected: &str) -> bool {
    value
        .to_str()
        .is_ok_and(|it| it.eq_ignore_ascii_case(expected))
}
