//! Reads of entities by GET, which are what the `Get-EXO*` cmdlets send: each known form is mapped to its cmdlet, with the
//! identity decoded from wherever it sits (exchange-rest section 5.2).
//!
//! The list of forms is closed. The request that goes upstream carries the identity in one place only, so that the service
//! cannot prefer another one to that which was decided on.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::dialect::{Unreadable, shown};
use crate::model::{Command, Number, Parameter, Parameters, Task, Value, Workload};

use super::escape;
use super::headers;
use super::path::{Behind, Literal, Segment};
use super::query::{IS_ENCODED, Query, READ_HEADERS, SKIPTOKEN};
use super::shapes::{Kind, SHAPES, Shape, Step};

/// The longest identity, in bytes.
const MAX_IDENTITY_BYTES: usize = 1024;

/// Base64 with its padding or without, as PowerShell code is careless about it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A read of an entity.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EntityRead {
    /// What is decided on.
    pub(super) command: Command,
    shape: &'static Shape,
    /// What fills the shape's places, in order, in plain text.
    literals: Vec<Literal>,
    carrier: Carrier,
}

/// Where the identity is written.
#[derive(Clone, Debug, PartialEq)]
enum Carrier {
    /// In the path, in base64.
    Encoded,
    /// In the header `XParameter-Identity`, in base64.
    Header(String),
    /// In the path, as it is; or nowhere.
    Path,
}

/// Whether `segments` are a known read, whatever the query.
pub(super) fn is_known(segments: &[Segment]) -> bool {
    SHAPES
        .iter()
        .any(|shape| literals(shape, segments).is_some())
}

impl EntityRead {
    /// Reads a read; the keys that say where the identity is are taken out of `query`.
    pub(super) fn read(
        segments: &[Segment],
        query: &mut Query,
        headers: &HeaderMap,
        workload: &Workload,
    ) -> Result<Self, Unreadable> {
        let expand = query.get("$expand");
        let mut known = SHAPES.iter().filter(|shape| is_expanded(shape, expand));
        let found = known.find_map(|shape| Some((shape, literals(shape, segments)?)));
        let (shape, mut literals) = found.ok_or_else(|| {
            Unreadable::bad(
                "unknown-read",
                "this read is not of a form that is known here",
            )
        })?;
        let in_header = headers::single(headers, &headers::IDENTITY)?;
        let is_encoded = query.take_switch(IS_ENCODED)?;
        let reads_headers = query.take_switch(READ_HEADERS)?;
        let mut carrier = Carrier::Path;
        if is_encoded {
            if !shape.may_be_encoded() {
                let text = "`isEncoded` is not known for this read";
                return Err(Unreadable::bad("bad-identity", text));
            }
            carrier = Carrier::Encoded;
            let keys = literals.iter_mut().zip(shape.kinds());
            for (literal, _) in keys.filter(|(_, kind)| *kind == Kind::Key) {
                // With the header, the path's own identity is a placeholder.
                if in_header.is_none() {
                    literal.text = decoded(&literal.text)?;
                }
            }
        }
        match in_header {
            Some(text) => {
                let identity = header_identity(text, is_encoded || reads_headers)?;
                let first = literals
                    .iter_mut()
                    .zip(shape.kinds())
                    .find(|(_, kind)| *kind == Kind::Key);
                carrier = match first {
                    Some((literal, _)) if shape.may_be_encoded() && shape.keys() == 1 => {
                        literal.text = identity;
                        Carrier::Encoded
                    }
                    None if shape.is_set() => Carrier::Header(identity),
                    Some(_) | None => {
                        let text = "`XParameter-Identity` is not known for this read";
                        return Err(Unreadable::bad("bad-identity", text));
                    }
                };
            }
            None if reads_headers => {
                let text = format!("`{READ_HEADERS}` needs the header `XParameter-Identity`");
                return Err(Unreadable::bad("bad-identity", text));
            }
            None => {}
        }
        for (literal, kind) in literals.iter().zip(shape.kinds()) {
            if kind == Kind::Key {
                check_identity(&literal.text)?;
            }
        }
        if carrier == Carrier::Encoded {
            carrier = carrier_of_keys(shape, &literals)?;
        }
        let command = command(shape, &literals, &carrier, query, workload)?;
        Ok(Self {
            command,
            shape,
            literals,
            carrier,
        })
    }

    /// Writes what follows the tenant in the path, with the query.
    pub(super) fn write(&self, query: &Query, out: &mut String) {
        let mut literals = self.literals.iter();
        for step in self.shape.steps {
            out.push('/');
            out.push_str(step.name());
            match step {
                Step::Function(_, arguments) => {
                    out.push('(');
                    for (index, (name, ..)) in arguments.iter().enumerate() {
                        if index > 0 {
                            out.push(',');
                        }
                        out.push_str(name);
                        out.push('=');
                        if let Some(literal) = literals.next() {
                            literal.write(out);
                        }
                    }
                    out.push(')');
                }
                Step::Key(..) => {
                    out.push('(');
                    match literals.next() {
                        Some(literal) if self.carrier == Carrier::Encoded => {
                            Literal::quoted(BASE64.encode(&literal.text)).write(out);
                        }
                        Some(literal) => literal.write(out),
                        None => {}
                    }
                    out.push(')');
                }
                Step::Name(_) => {}
            }
        }
        let more: &[(&str, &str)] = match self.carrier {
            Carrier::Encoded => &[(IS_ENCODED, "true")],
            Carrier::Header(_) => &[(READ_HEADERS, "True")],
            Carrier::Path => &[],
        };
        query.write(more, out);
    }

    /// The value of `XParameter-Identity`, if the identity goes there.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        match &self.carrier {
            Carrier::Header(identity) => HeaderValue::try_from(BASE64.encode(identity)).ok(),
            Carrier::Encoded | Carrier::Path => None,
        }
    }
}

/// How the keys can be written so that no segment of the path holds a slash: base64 has one among its digits, and a text may.
fn carrier_of_keys(shape: &Shape, literals: &[Literal]) -> Result<Carrier, Unreadable> {
    let keys = || {
        let keys = literals.iter().zip(shape.kinds());
        keys.filter(|it| it.1 == Kind::Key).map(|it| &it.0.text)
    };
    if !keys().any(|it| BASE64.encode(it).contains('/')) {
        return Ok(Carrier::Encoded);
    }
    if keys().all(|it| !it.contains(['/', '\\', ';']) && !escape::has_escape(it)) {
        return Ok(Carrier::Path);
    }
    Err(Unreadable::bad(
        "bad-identity",
        "the path can hold this identity neither as text nor in base64; name the object by its GUID or address",
    ))
}

fn is_expanded(shape: &Shape, expand: Option<&str>) -> bool {
    match (shape.expand, expand) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// What fills the places of `shape`, if `segments` are of it.
fn literals(shape: &Shape, segments: &[Segment]) -> Option<Vec<Literal>> {
    if shape.steps.len() != segments.len() {
        return None;
    }
    let mut literals = Vec::new();
    for (step, segment) in shape.steps.iter().zip(segments) {
        if !step.name().eq_ignore_ascii_case(&segment.name) {
            return None;
        }
        match (step, &segment.behind) {
            (Step::Name(_), Behind::Nothing) => {}
            (Step::Key(..), Behind::Key(literal)) if Kind::Key.admits(literal) => {
                literals.push(literal.clone());
            }
            (Step::Function(_, wanted), Behind::Arguments(given))
                if wanted.len() == given.len() =>
            {
                for ((name, _, kind), (given, literal)) in wanted.iter().zip(given) {
                    if !name.eq_ignore_ascii_case(given) || !kind.admits(literal) {
                        return None;
                    }
                    literals.push(literal.clone());
                }
            }
            (
                Step::Name(_) | Step::Key(..) | Step::Function(..),
                Behind::Nothing | Behind::Key(_) | Behind::Arguments(_),
            ) => return None,
        }
    }
    Some(literals)
}

/// The command that the read stands for: places of the path and query options, by the names that the cmdlet has for them.
fn command(
    shape: &Shape,
    literals: &[Literal],
    carrier: &Carrier,
    query: &Query,
    workload: &Workload,
) -> Result<Command, Unreadable> {
    let mut parameters = Parameters::default();
    let mut push = |name: &str, value: Value| -> Result<(), Unreadable> {
        let name = name.parse().map_err(|error: crate::model::InvalidName| {
            Unreadable::bad("bad-parameter-name", error.to_string())
        })?;
        parameters
            .push(Parameter {
                name,
                value,
                type_annotation: None,
            })
            .map_err(|error| Unreadable::bad("duplicate-parameter", error.to_string()))
    };
    for (name, literal) in shape.parameters().zip(literals) {
        push(name, literal_value(literal))?;
    }
    if let Carrier::Header(identity) = carrier {
        push("Identity", Value::text(identity.as_str()))?;
    }
    for (key, text) in query.iter() {
        let (name, value) = match key {
            "$filter" => ("Filter", Value::text(text)),
            "$select" => ("Properties", Value::text(text)),
            "$top" => ("ResultSize", number(key, text)?),
            "Anr" => ("Anr", Value::text(text)),
            "GroupMailbox" => ("GroupMailbox", switch(key, text)?),
            "IsUsingMailboxFolderId" => ("IsUsingMailboxFolderId", switch(key, text)?),
            "OrganizationalUnit" => ("OrganizationalUnit", Value::text(text)),
            "PropertySet" => ("PropertySets", Value::text(text)),
            "SoftDeletedMailbox" => ("SoftDeletedMailbox", switch(key, text)?),
            // What remains says which read it is, or which page of it.
            "$expand" | SKIPTOKEN => continue,
            _ => {
                let text = format!("the query key `{key}` is not known for a read");
                return Err(Unreadable::bad("unknown-query-key", text));
            }
        };
        push(name, value)?;
    }
    let cmdlet = shape
        .cmdlet
        .parse()
        .map_err(|error: crate::model::InvalidName| {
            Unreadable::bad("bad-cmdlet-name", error.to_string())
        })?;
    let workload = workload.clone();
    let task = Task { workload, cmdlet };
    Ok(Command { task, parameters })
}

fn literal_value(literal: &Literal) -> Value {
    if !literal.quoted && literal.text == "null" {
        return Value::Null;
    }
    Value::text(literal.text.as_str())
}

fn switch(key: &str, text: &str) -> Result<Value, Unreadable> {
    match text.to_ascii_lowercase().as_str() {
        "false" => Ok(Value::Bool(false)),
        "true" => Ok(Value::Bool(true)),
        _ => {
            let text = format!("`{key}` must be `true` or `false`");
            Err(Unreadable::bad("bad-query", text))
        }
    }
}

fn number(key: &str, text: &str) -> Result<Value, Unreadable> {
    let is_digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    Number::new(text)
        .filter(|_| is_digits)
        .map(Value::Number)
        .ok_or_else(|| Unreadable::bad("bad-query", format!("`{key}` must be a number")))
}

/// The identity in the header. Without a key in the query that says so, a value that could be base64 could be read both
/// ways, and is refused.
fn header_identity(text: &str, is_encoded: bool) -> Result<String, Unreadable> {
    let text = text.trim();
    let identity = if is_encoded {
        decoded(text)?
    } else if text
        .bytes()
        .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/' | b'='))
    {
        return Err(Unreadable::bad(
            "bad-identity",
            format!(
                "`XParameter-Identity` may be text or base64; send it in base64, with `{READ_HEADERS}=True`"
            ),
        ));
    } else {
        text.to_owned()
    };
    check_identity(&identity)?;
    Ok(identity)
}

fn decoded(text: &str) -> Result<String, Unreadable> {
    let bytes = BASE64.decode(text).ok();
    bytes
        .and_then(|it| String::from_utf8(it).ok())
        .ok_or_else(|| {
            let text = format!("`{}` is not base64 of a text in UTF-8", shown(text));
            Unreadable::bad("bad-identity", text)
        })
}

fn check_identity(text: &str) -> Result<(), Unreadable> {
    if text.is_empty() || text.len() > MAX_IDENTITY_BYTES || text.chars().any(char::is_control) {
        return Err(Unreadable::bad(
            "bad-identity",
            format!(
                "an identity must have 1 to {MAX_IDENTITY_BYTES} bytes and no control characters"
            ),
        ));
    }
    Ok(())
}

impl Kind {
    /// Whether a literal of this form may fill the place.
    fn admits(self, literal: &Literal) -> bool {
        let is_null = !literal.quoted && literal.text == "null";
        let is_plain = literal.quoted && literal.prefix.is_none();
        match self {
            Self::Choice => {
                literal.quoted
                    && literal.text.bytes().all(|it| it.is_ascii_alphanumeric())
                    && !literal.text.is_empty()
            }
            Self::Guid => !literal.quoted && Uuid::try_parse(&literal.text).is_ok(),
            Self::Key => is_plain,
            Self::Text => is_plain || is_null,
        }
    }
}
