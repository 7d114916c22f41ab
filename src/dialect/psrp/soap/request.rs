//! From a client's envelope to a [`Request`].

use uuid::Uuid;

use crate::dialect::psrp::xml::{Element, Limits, XML_NAMESPACE};
use crate::dialect::{Unreadable, shown};

use super::fields::{
    attributes, bad, duration, empty_text, envelope, id, missing, once, parts, payload, plain_text,
    text, unknown,
};
use super::{
    ADDRESSING, ANONYMOUS, ENUMERATION, ENVELOPE, Frame, MICROSOFT, Operation, POWERSHELL, Request,
    SHELL, Signal, Stream, TRANSFER, WSMAN,
};

const LIMITS: Limits = Limits {
    depth: 8,
    elements: 64,
    attributes: 12,
};

/// Options, each with the operation that it may stand at and the values that it may have.
const OPTIONS: &[(&str, &str, &[&str])] = &[
    (
        "Command",
        "WINRS_SKIP_CMD_SHELL",
        &["FALSE", "False", "false"],
    ),
    ("Create", "protocolversion", &["2.0", "2.1", "2.2", "2.3"]),
    (
        "Receive",
        "WSMAN_CMDSHELL_OPTION_KEEPALIVE",
        &["TRUE", "True", "true"],
    ),
];

/// The id of a request that may be wrong in all else, so that the answer to it can say which one it answers.
pub fn message_of(bytes: &[u8]) -> Option<Uuid> {
    let root = envelope(bytes, &LIMITS).ok()?;
    let parts = parts(&root).ok()?;
    let mut ids = parts
        .headers
        .iter()
        .filter(|it| it.is(ADDRESSING, "MessageID"));
    id(text(ids.next()?).ok()?).ok()
}

/// Reads a request for the one configuration (such as `Microsoft.Exchange`) that the endpoint serves.
pub fn read_request(bytes: &[u8], configuration: &str) -> Result<Request, Unreadable> {
    let root = envelope(bytes, &LIMITS)?;
    let parts = parts(&root)?;
    let headers = Headers::read(parts.headers).map_err(|problem| {
        // Clients of other services write other headers, too: what to tell them is that they are wrong here.
        let resource = parts.headers.iter().find(|it| it.is(WSMAN, "ResourceURI"));
        let resource = resource.and_then(|it| text(it).ok());
        let elsewhere = resource.and_then(|it| check_resource(it, configuration).err());
        elsewhere.unwrap_or(problem)
    })?;
    let action = headers.action.ok_or_else(|| missing("Action"))?;
    let name = operation_name(action)?;
    let resource = headers.resource.ok_or_else(|| missing("ResourceURI"))?;
    check_resource(resource, configuration)?;
    let option = option(name, &headers.options)?;
    let operation = match (name, parts.body) {
        ("Delete", []) => Operation::Delete,
        ("Create", [shell]) => {
            if headers.shell.is_some() {
                return Err(bad("soap-selector", "Create must have no selectors"));
            }
            let (id, creation) = create(shell)?;
            return Ok(Request {
                frame: headers.frame()?,
                shell: id,
                operation: Operation::Create {
                    protocol: option.map(str::to_owned),
                    creation,
                },
            });
        }
        ("Command", [line]) => command(line)?,
        ("Receive", [receive]) => Operation::Receive {
            command: receive_command(receive)?,
            keep_alive: option.is_some(),
        },
        ("Send", [send]) => input(send)?,
        ("Signal", [it]) => signal(it)?,
        _ => return Err(bad("soap-body", "the body is not what the action asks for")),
    };
    Ok(Request {
        frame: headers.frame()?,
        shell: headers.shell.ok_or_else(|| missing("Selector ShellId"))?,
        operation,
    })
}

/// Each endpoint serves one configuration.
fn check_resource(resource: &str, configuration: &str) -> Result<(), Unreadable> {
    let wanted = format!("{POWERSHELL}/{configuration}");
    if resource.eq_ignore_ascii_case(&wanted) {
        return Ok(());
    }
    let text = format!(
        "`{}` is not served here; use `-ConfigurationName {configuration}`",
        shown(resource)
    );
    Err(Unreadable::bad("resource-uri", text))
}

/// The operation's short name, if it is one that is served.
fn operation_name(action: &str) -> Result<&'static str, Unreadable> {
    const SERVED: &[(&str, &str)] = &[
        (SHELL, "Command"),
        (SHELL, "Receive"),
        (SHELL, "Send"),
        (SHELL, "Signal"),
        (TRANSFER, "Create"),
        (TRANSFER, "Delete"),
    ];
    const REFUSED: &[(&str, &str)] = &[
        (ENUMERATION, "Enumerate"),
        (ENUMERATION, "Pull"),
        (SHELL, "Connect"),
        (SHELL, "Disconnect"),
        (SHELL, "Reconnect"),
        (TRANSFER, "Get"),
    ];
    let named = |list: &[(&'static str, &'static str)]| {
        list.iter()
            .find(|(namespace, name)| {
                action
                    .strip_prefix(namespace)
                    .and_then(|it| it.strip_prefix('/'))
                    == Some(name)
            })
            .map(|it| it.1)
    };
    if let Some(name) = named(SERVED) {
        return Ok(name);
    }
    Err(match named(REFUSED) {
        Some(name) => Unreadable::bad(
            "session-kept",
            format!(
                "`{name}` is not served here: sessions cannot be left and taken up again; open a new one with `New-PSSession`"
            ),
        ),
        None => Unreadable::bad(
            "soap-action",
            format!("action `{}` is not served here", shown(action)),
        ),
    })
}

#[derive(Default)]
struct Headers<'e> {
    action: Option<&'e str>,
    resource: Option<&'e str>,
    shell: Option<Uuid>,
    message: Option<Uuid>,
    session: Option<Uuid>,
    timeout: Option<std::time::Duration>,
    max_envelope: Option<u32>,
    locale: Option<String>,
    data_locale: Option<String>,
    options: Vec<(&'e str, &'e str)>,
    seen: Vec<(&'e str, &'e str)>,
}

impl<'e> Headers<'e> {
    fn read<'a>(elements: &'e [Element<'a>]) -> Result<Self, Unreadable> {
        let mut headers = Headers::default();
        for element in elements {
            headers.add(element)?;
        }
        Ok(headers)
    }

    fn add(&mut self, element: &'e Element<'_>) -> Result<(), Unreadable> {
        let key = (element.namespace, element.name);
        if self
            .seen
            .iter()
            .any(|it| it.0 == key.0 && it.1.eq_ignore_ascii_case(key.1))
        {
            let text = format!("header `{}` is there twice", shown(element.name));
            return Err(Unreadable::bad("soap-duplicate", text));
        }
        self.seen.push(key);
        let language = header_attributes(element)?;
        match key {
            (ADDRESSING, "Action") => self.action = Some(text(element)?),
            (ADDRESSING, "MessageID") => self.message = Some(id(text(element)?)?),
            (ADDRESSING, "ReplyTo") => reply_to(element)?,
            (ADDRESSING, "To") => {
                text(element)?;
            }
            (MICROSOFT, "DataLocale") => self.data_locale = language,
            (MICROSOFT, "OperationID") => {
                id(text(element)?)?;
            }
            (MICROSOFT, "SequenceId") => number(element).map(|_| ())?,
            (MICROSOFT, "SessionId") => self.session = Some(id(text(element)?)?),
            (SHELL, "CompressionType") => {
                return Err(bad(
                    "compression",
                    "compression is not served here; add `-SessionOption (New-PSSessionOption -NoCompression)` to `New-PSSession`",
                ));
            }
            (WSMAN, "Locale") => self.locale = language,
            (WSMAN, "MaxEnvelopeSize") => self.max_envelope = Some(number(element)?),
            (WSMAN, "OperationTimeout") => self.timeout = Some(duration(text(element)?)?),
            (WSMAN, "OptionSet") => self.options = options(element)?,
            (WSMAN, "ResourceURI") => self.resource = Some(text(element)?),
            (WSMAN, "SelectorSet") => self.shell = Some(selector(element)?),
            _ => {
                let text = format!("header `{}` is not known here", shown(element.name));
                return Err(Unreadable::bad("soap-header", text));
            }
        }
        Ok(())
    }

    fn frame(&self) -> Result<Frame, Unreadable> {
        Ok(Frame {
            message: self.message.ok_or_else(|| missing("MessageID"))?,
            session: self.session,
            timeout: self.timeout,
            max_envelope: self.max_envelope,
            locale: self.locale.clone(),
            data_locale: self.data_locale.clone(),
        })
    }
}

/// A header may be marked as one that must be understood; the two of languages name theirs, which is returned.
fn header_attributes(element: &Element<'_>) -> Result<Option<String>, Unreadable> {
    const LONGEST: usize = 32;
    let takes_language = matches!(element.name, "Locale" | "DataLocale");
    let mut language = None;
    for attribute in &element.attributes {
        let value = &*attribute.value;
        let is_known = match (attribute.namespace, attribute.name) {
            (ENVELOPE, "mustUnderstand") => matches!(value, "true" | "false" | "1" | "0"),
            (XML_NAMESPACE, "lang") if takes_language => {
                language = Some(value.to_owned());
                (1..=LONGEST).contains(&value.len())
                    && value
                        .bytes()
                        .all(|it| it.is_ascii_alphanumeric() || it == b'-')
            }
            _ => false,
        };
        if !is_known {
            let text = format!(
                "header `{}` has an attribute that is not known",
                shown(element.name)
            );
            return Err(Unreadable::bad("soap-attribute", text));
        }
    }
    if takes_language {
        text(element)?;
        empty_text(element)?;
    }
    Ok(language)
}

fn reply_to(element: &Element<'_>) -> Result<(), Unreadable> {
    match element.children.as_slice() {
        [address] if address.is(ADDRESSING, "Address") => {
            header_attributes(address)?;
            if text(address)? == ANONYMOUS {
                return Ok(());
            }
            Err(bad(
                "soap-reply-to",
                "answers go back on the same connection only",
            ))
        }
        _ => Err(unknown(element)),
    }
}

fn number(element: &Element<'_>) -> Result<u32, Unreadable> {
    let digits = text(element)?;
    let is_plain = digits.bytes().all(|it| it.is_ascii_digit());
    is_plain
        .then(|| digits.parse().ok())
        .flatten()
        .ok_or_else(|| {
            let text = format!(
                "`{}` is not a number that is read here",
                shown(element.name)
            );
            Unreadable::bad("soap-number", text)
        })
}

fn options<'e>(element: &'e Element<'_>) -> Result<Vec<(&'e str, &'e str)>, Unreadable> {
    let mut options = Vec::new();
    for option in &element.children {
        if !option.is(WSMAN, "Option") {
            return Err(unknown(option));
        }
        let [name, must_comply] = attributes(option, ["Name", "MustComply"])?;
        let name = name.ok_or_else(|| missing("Option Name"))?;
        if !must_comply.is_none_or(|it| matches!(it, "true" | "false")) {
            return Err(bad("soap-attribute", "`MustComply` is `true` or `false`"));
        }
        options.push((name, text(option)?));
    }
    empty_text(element)?;
    Ok(options)
}

/// The value of the one option that an operation may have.
fn option<'e>(
    operation: &str,
    given: &[(&'e str, &'e str)],
) -> Result<Option<&'e str>, Unreadable> {
    let mut found = None;
    for (name, value) in given {
        let is_known = OPTIONS
            .iter()
            .any(|it| it.0 == operation && it.1 == *name && it.2.contains(value));
        if !is_known || found.is_some() {
            let text = format!("option `{}` is not known here", shown(name));
            return Err(Unreadable::bad("soap-option", text));
        }
        found = Some(*value);
    }
    Ok(found)
}

fn selector(element: &Element<'_>) -> Result<Uuid, Unreadable> {
    match element.children.as_slice() {
        [selector] if selector.is(WSMAN, "Selector") => {
            let [name] = attributes(selector, ["Name"])?;
            if name.is_some_and(|it| it.eq_ignore_ascii_case("ShellId")) {
                return id(text(selector)?);
            }
            Err(bad("soap-selector", "the one selector is `ShellId`"))
        }
        _ => Err(bad("soap-selector", "the one selector is `ShellId`")),
    }
}

fn create(element: &Element<'_>) -> Result<(Uuid, Vec<u8>), Unreadable> {
    let [shell, _name] = attributes(element, ["ShellId", "Name"])?;
    let mut input = None;
    let mut output = None;
    let mut creation = None;
    if !element.is(SHELL, "Shell") {
        return Err(unknown(element));
    }
    for child in &element.children {
        match (child.namespace, child.name) {
            (POWERSHELL, "creationXml") => {
                plain_text(child)?;
                once(&mut creation, payload(child)?, child)?;
            }
            (SHELL, "InputStreams") => once(&mut input, plain_text(child)?, child)?,
            (SHELL, "OutputStreams") => once(&mut output, plain_text(child)?, child)?,
            _ => return Err(unknown(child)),
        }
    }
    if input != Some("stdin pr") || output != Some("stdout") {
        return Err(bad(
            "soap-streams",
            "a shell has the streams `stdin pr` and `stdout`",
        ));
    }
    let shell = id(shell.ok_or_else(|| missing("ShellId"))?)?;
    Ok((shell, creation.ok_or_else(|| missing("creationXml"))?))
}

fn command(element: &Element<'_>) -> Result<Operation, Unreadable> {
    let [command] = attributes(element, ["CommandId"])?;
    let mut decoration = None;
    let mut arguments = None;
    if !element.is(SHELL, "CommandLine") {
        return Err(unknown(element));
    }
    for child in &element.children {
        match (child.namespace, child.name) {
            // What stands here is what the client shows, not what runs: it goes nowhere.
            (SHELL, "Command") => once(&mut decoration, plain_text(child)?, child)?,
            (SHELL, "Arguments") => {
                plain_text(child)?;
                once(&mut arguments, payload(child)?, child)?;
            }
            _ => return Err(unknown(child)),
        }
    }
    Ok(Operation::Command {
        command: id(command.ok_or_else(|| missing("CommandId"))?)?,
        arguments: arguments.ok_or_else(|| missing("Arguments"))?,
    })
}

fn receive_command(element: &Element<'_>) -> Result<Option<Uuid>, Unreadable> {
    let [sequence] = attributes(element, ["SequenceId"])?;
    let is_number =
        sequence.is_none_or(|it| it.len() <= 20 && it.bytes().all(|it| it.is_ascii_digit()));
    match element.children.as_slice() {
        [desired]
            if element.is(SHELL, "Receive") && desired.is(SHELL, "DesiredStream") && is_number =>
        {
            let [command] = attributes(desired, ["CommandId"])?;
            if text(desired)? != "stdout" {
                return Err(bad("soap-streams", "the one stream of output is `stdout`"));
            }
            command.map(id).transpose()
        }
        _ => Err(unknown(element)),
    }
}

fn input(element: &Element<'_>) -> Result<Operation, Unreadable> {
    attributes(element, [])?;
    match element.children.as_slice() {
        [stream] if element.is(SHELL, "Send") && stream.is(SHELL, "Stream") => {
            let [name, command] = attributes(stream, ["Name", "CommandId"])?;
            let kind = match name {
                Some("pr") => Stream::Pr,
                Some("stdin") => Stream::Stdin,
                Some(_) | None => {
                    return Err(bad(
                        "soap-streams",
                        "the streams of input are `stdin` and `pr`",
                    ));
                }
            };
            Ok(Operation::Send {
                command: command.map(id).transpose()?,
                stream: kind,
                data: payload(stream)?,
            })
        }
        _ => Err(unknown(element)),
    }
}

fn signal(element: &Element<'_>) -> Result<Operation, Unreadable> {
    let [command] = attributes(element, ["CommandId"])?;
    let code = match element.children.as_slice() {
        [code] if element.is(SHELL, "Signal") && code.is(SHELL, "Code") => plain_text(code)?,
        _ => return Err(unknown(element)),
    };
    let shell_signal = code
        .strip_prefix(SHELL)
        .and_then(|it| it.strip_prefix("/signal/"));
    let signal = match (shell_signal, code) {
        (Some("terminate" | "Terminate"), _) => Signal::Terminate,
        // Windows misspells it; others do not.
        (Some("ctrl_c"), _) | (None, "powershell/signal/crtl_c" | "powershell/signal/ctrl_c") => {
            Signal::Stop
        }
        _ => {
            let text = format!("signal `{}` is not known here", shown(code));
            return Err(Unreadable::bad("soap-signal", text));
        }
    };
    Ok(Operation::Signal {
        command: id(command.ok_or_else(|| missing("CommandId"))?)?,
        signal,
    })
}
