//! Messages about the pool of runspaces, each read in its exact shape and written again.

use crate::dialect::Unreadable;
use crate::dialect::psrp::answer;
use crate::dialect::psrp::clixml::{self, Base, Integer, Item};
use crate::dialect::psrp::console;
use crate::dialect::psrp::message::Kind;
use crate::dialect::psrp::pipeline::{fields, host, list};

/// The most runspaces that a client may ask for.
const MAX_RUNSPACES: i32 = 16;

/// The body of a client's message about the pool, or of an answer to a question of the server, as it goes upstream.
pub(super) fn rewritten(kind: Kind, data: &str) -> Result<String, Unreadable> {
    if kind == Kind::EndOfPipelineInput {
        return Ok(String::new());
    }
    let item = clixml::read(data)?;
    if item.holds_script() {
        return Err(odd("program text"));
    }
    let written = match kind {
        Kind::GetAvailableRunspaces | Kind::ResetRunspaceState => {
            let [upper, lower] = fields(&item, ["CI", "ci"])?;
            Item::of_properties([("ci", call(upper, lower)?)])
        }
        Kind::InitRunspacePool => init(&item)?,
        Kind::PipelineHostResponse | Kind::RunspacePoolHostResponse => host_response(&item)?,
        Kind::PublicKey => {
            let [key] = fields(&item, ["PublicKey"])?;
            let key = key
                .and_then(Item::as_text)
                .ok_or_else(|| odd("`PublicKey`"))?;
            let is_base64 = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/' | b'=');
            if !key.bytes().all(is_base64) {
                return Err(odd("`PublicKey`"));
            }
            Item::of_properties([("PublicKey", Item::text(key))])
        }
        Kind::SessionCapability => capability(&item)?,
        Kind::SetMaxRunspaces => limit(&item, "MaxRunspaces")?,
        Kind::SetMinRunspaces => limit(&item, "MinRunspaces")?,
        Kind::ApplicationPrivateData
        | Kind::ConnectRunspacePool
        | Kind::CreatePipeline
        | Kind::DebugRecord
        | Kind::EncryptedSessionKey
        | Kind::EndOfPipelineInput
        | Kind::ErrorRecord
        | Kind::GetCommandMetadata
        | Kind::InformationRecord
        | Kind::PipelineHostCall
        | Kind::PipelineInput
        | Kind::PipelineOutput
        | Kind::PipelineState
        | Kind::ProgressRecord
        | Kind::PublicKeyRequest
        | Kind::RunspaceAvailability
        | Kind::RunspacePoolHostCall
        | Kind::RunspacePoolInitData
        | Kind::RunspacePoolState
        | Kind::UserEvent
        | Kind::VerboseRecord
        | Kind::WarningRecord => return Err(odd("a message of this type")),
    };
    Ok(clixml::write(&written))
}

/// The body of a `GET_COMMAND_METADATA` message as it goes upstream, and the patterns of the names that it asks for.
pub(super) fn metadata(data: &str) -> Result<(String, Vec<String>), Unreadable> {
    const MAX_NAMES: usize = 1024;
    const MAX_NAME_BYTES: usize = 256;
    let item = clixml::read(data)?;
    let [names, kind, namespaces, arguments] =
        fields(&item, ["Name", "CommandType", "Namespace", "ArgumentList"])?;
    let texts = |item: Option<&Item>| match item {
        None | Some(Item::Nil) => Ok(None),
        Some(item) => {
            let texts = list(item, MAX_NAMES)?.iter();
            let texts: Option<Vec<String>> = texts
                .map(|it| it.as_text().filter(|it| it.len() <= MAX_NAME_BYTES))
                .map(|it| it.map(str::to_owned))
                .collect();
            texts.map(Some).ok_or_else(|| odd("a list of names"))
        }
    };
    let (names, namespaces) = (texts(names)?, texts(namespaces)?);
    if !matches!(arguments, None | Some(Item::Nil))
        && !texts(arguments)?.is_none_or(|it| it.is_empty())
    {
        return Err(odd("`ArgumentList`"));
    }
    let kind = kind
        .and_then(Item::as_enum)
        .ok_or_else(|| odd("`CommandType`"))?;
    let listed = |texts: &Option<Vec<String>>| match texts {
        None => Item::Nil,
        Some(texts) => Item::list(texts.iter().map(|it| Item::text(it.as_str())).collect()),
    };
    let written = Item::of_properties([
        ("Name", listed(&names)),
        (
            "CommandType",
            Item::enumeration(
                "System.Management.Automation.CommandTypes",
                &kind.to_string(),
                kind,
            ),
        ),
        ("Namespace", listed(&namespaces)),
        ("ArgumentList", Item::Nil),
    ]);
    Ok((clixml::write(&written), names.unwrap_or_default()))
}

fn capability(item: &Item) -> Result<Item, Unreadable> {
    // The time zone is an object in .NET's own binary form, which no server should read: it is left out.
    let [protocol, power_shell, serialization, _time_zone] = fields(
        item,
        [
            "protocolversion",
            "PSVersion",
            "SerializationVersion",
            "TimeZone",
        ],
    )?;
    let version = |item: Option<&Item>| match item {
        Some(Item::Version(version)) => Ok(Item::Version(version.clone())),
        Some(_) | None => Err(odd("a version")),
    };
    Ok(Item::of_properties([
        ("protocolversion", version(protocol)?),
        ("PSVersion", version(power_shell)?),
        ("SerializationVersion", version(serialization)?),
    ]))
}

fn init(item: &Item) -> Result<Item, Unreadable> {
    let [least, most, threads, apartment, console, arguments] = fields(
        item,
        [
            "MinRunspaces",
            "MaxRunspaces",
            "PSThreadOptions",
            "ApartmentState",
            "HostInfo",
            "ApplicationArguments",
        ],
    )?;
    let enumeration = |item: Option<&Item>, class: &str| -> Result<Item, Unreadable> {
        let number = item.and_then(Item::as_enum).ok_or_else(|| odd(class))?;
        let class = format!("System.Management.Automation.Runspaces.{class}");
        Ok(Item::enumeration(&class, &number.to_string(), number))
    };
    let arguments = match arguments {
        None => Some(Item::Nil),
        Some(item) => is_data(item).then(|| console::untyped(item)).flatten(),
    };
    Ok(Item::of_properties([
        ("MinRunspaces", runspaces(least)?),
        ("MaxRunspaces", runspaces(most)?),
        ("PSThreadOptions", enumeration(threads, "PSThreadOptions")?),
        ("ApartmentState", enumeration(apartment, "ApartmentState")?),
        ("HostInfo", host(console)?),
        (
            "ApplicationArguments",
            arguments.ok_or_else(|| odd("`ApplicationArguments`"))?,
        ),
    ]))
}

/// Whether it is a scalar, or lists and dictionaries with such in them.
fn is_data(item: &Item) -> bool {
    let Some(object) = item.as_object() else {
        return !matches!(
            item,
            Item::ScriptBlock(_) | Item::Progress(_) | Item::Xml(_)
        );
    };
    object.adapted.is_empty()
        && object.extended.is_empty()
        && match &object.base {
            Base::Dictionary(pairs) => pairs.iter().all(|it| is_data(&it.0) && is_data(&it.1)),
            Base::List(_, items) => items.iter().all(is_data),
            Base::Nothing => false,
            Base::Scalar(item) => is_data(item),
        }
}

fn limit(item: &Item, name: &'static str) -> Result<Item, Unreadable> {
    let [number, upper, lower] = fields(item, [name, "CI", "ci"])?;
    Ok(Item::of_properties([
        (name, runspaces(number)?),
        ("ci", call(upper, lower)?),
    ]))
}

fn runspaces(item: Option<&Item>) -> Result<Item, Unreadable> {
    match item.and_then(Item::as_i32) {
        Some(number) if (1..=MAX_RUNSPACES).contains(&number) => Ok(Item::i32(number)),
        Some(_) | None => Err(Unreadable::bad(
            "pool-size",
            format!("a session has from 1 to {MAX_RUNSPACES} runspaces"),
        )),
    }
}

/// A call's number, which one client writes under another name.
fn call(upper: Option<&Item>, lower: Option<&Item>) -> Result<Item, Unreadable> {
    match (upper, lower) {
        (Some(item), None) | (None, Some(item)) => {
            let number = item.as_i64().ok_or_else(|| odd("`ci`"))?;
            Ok(Item::Integer(Integer::I64, number.into()))
        }
        (Some(_), Some(_)) | (None, None) => Err(odd("`ci`")),
    }
}

fn host_response(item: &Item) -> Result<Item, Unreadable> {
    let [number, method, result, error] = fields(item, ["ci", "mi", "mr", "me"])?;
    let method = method.and_then(Item::as_enum).ok_or_else(|| odd("`mi`"))?;
    let mut properties = vec![
        ("ci".to_owned(), call(None, number)?),
        (
            "mi".to_owned(),
            Item::enumeration(
                "System.Management.Automation.Remoting.RemoteHostMethodId",
                &method.to_string(),
                method,
            ),
        ),
    ];
    if let Some(result) = result {
        let result = console::untyped(result).ok_or_else(|| odd("an answer"))?;
        // A server that asks for a mandatory parameter binds every entry of the answer, asked for or not, and nobody
        // would have decided on them.
        if console::has_table(&result) {
            return Err(Unreadable::bad(
                "answer-with-parameters",
                "parameters are not taken from an answer to a question: give each with its command, as `-Name value`"
                    .to_owned(),
            ));
        }
        properties.push(("mr".to_owned(), result));
    }
    // An error of the client's is an object of many types: the server hears its text.
    if let Some(error) = error.filter(|it| **it != Item::Nil) {
        let text = error.as_object().and_then(|it| it.shown.as_deref());
        let text = text.unwrap_or("the client could not answer");
        properties.push(("me".to_owned(), answer::client_error(text)));
    }
    Ok(Item::Object(Box::new(clixml::Object::of_properties(
        properties,
    ))))
}

fn odd(what: &str) -> Unreadable {
    Unreadable::bad(
        "pool-message",
        format!("{what} is not what it should be in a session"),
    )
}
