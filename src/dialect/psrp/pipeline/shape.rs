//! The shape of a `CREATE_PIPELINE` message: each property where it must be, in its exact spelling, nothing else.

use crate::dialect::psrp::clixml::{Base, Item, List, Object};
use crate::dialect::psrp::console;
use crate::dialect::{Unreadable, shown};

use super::{Input, PipelineError, Settings};

/// How many commands, statements and arguments there may be.
pub(super) const MAX_COMMANDS: usize = 64;
const MAX_ARGUMENTS: usize = 256;

/// How a command's streams are merged; each is an enumeration.
pub(super) const MERGES: [&str; 8] = [
    "MergeMyResult",
    "MergeToResult",
    "MergePreviousResults",
    "MergeError",
    "MergeWarning",
    "MergeVerbose",
    "MergeDebug",
    "MergeInformation",
];

pub(super) struct Shape {
    pub(super) statements: Vec<Vec<Command>>,
    pub(super) input: Input,
    pub(super) settings: Settings,
}

/// A command as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) text: String,
    pub(super) is_script: bool,
    pub(super) scope: Option<bool>,
    pub(super) merges: Vec<(&'static str, i32)>,
    pub(super) arguments: Vec<(Option<String>, Item)>,
}

pub(super) fn read(item: &Item) -> Result<Shape, PipelineError> {
    let [
        no_input,
        apartment,
        streams,
        add_to_history,
        host,
        power_shell,
        is_nested,
    ] = fields(
        item,
        [
            "NoInput",
            "ApartmentState",
            "RemoteStreamOptions",
            "AddToHistory",
            "HostInfo",
            "PowerShell",
            "IsNested",
        ],
    )?;
    let power_shell = power_shell.ok_or_else(|| missing("PowerShell"))?;
    // What History says is for showing, and goes nowhere.
    let [commands, extra, also_nested, _history, redirect] = fields(
        power_shell,
        [
            "Cmds",
            "ExtraCmds",
            "IsNested",
            "History",
            "RedirectShellErrorOutputPipe",
        ],
    )?;
    for nested in [is_nested, also_nested] {
        if flag(nested, "IsNested")? {
            return Err(PipelineError::refused(
                "nested-pipeline",
                "a pipeline inside of a running one is not let through; run it by itself",
            ));
        }
    }
    let first = statement(commands.ok_or_else(|| missing("Cmds"))?)?;
    let statements = match extra {
        None | Some(Item::Nil) => vec![first],
        Some(extra) => {
            let mut statements = Vec::new();
            for item in list(extra, MAX_COMMANDS)? {
                let [commands] = fields(item, ["Cmds"])?;
                statements.push(statement(commands.ok_or_else(|| missing("Cmds"))?)?);
            }
            if statements.first() != Some(&first) {
                return Err(odd("`Cmds` is not the first of `ExtraCmds`").into());
            }
            statements
        }
    };
    let host = self::host(host)?;
    Ok(Shape {
        statements,
        input: if flag(no_input, "NoInput")? {
            Input::Absent
        } else {
            Input::Expected
        },
        settings: Settings {
            apartment: number(apartment, "ApartmentState", 0..=2)?,
            streams: number(streams, "RemoteStreamOptions", 0..=15)?,
            add_to_history: flag(add_to_history, "AddToHistory")?,
            redirect_errors: flag(redirect, "RedirectShellErrorOutputPipe")?,
            host,
        },
    })
}

fn statement(item: &Item) -> Result<Vec<Command>, Unreadable> {
    let commands: Vec<_> = list(item, MAX_COMMANDS)?
        .iter()
        .map(command)
        .collect::<Result<_, _>>()?;
    if commands.is_empty() {
        return Err(odd("a statement has no commands"));
    }
    Ok(commands)
}

fn command(item: &Item) -> Result<Command, Unreadable> {
    const FIELDS: [&str; 12] = {
        let [a, b, c, d, e, f, g, h] = MERGES;
        [
            "Cmd",
            "IsScript",
            "UseLocalScope",
            "Args",
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
        ]
    };
    let [text, is_script, scope, arguments, merges @ ..] = fields(item, FIELDS)?;
    let text = text.and_then(Item::as_text).ok_or_else(|| missing("Cmd"))?;
    let is_script = is_script
        .and_then(Item::as_bool)
        .ok_or_else(|| missing("IsScript"))?;
    let scope = match scope {
        None | Some(Item::Nil) => None,
        Some(scope) => Some(scope.as_bool().ok_or_else(|| missing("UseLocalScope"))?),
    };
    let mut kept = Vec::new();
    for (name, merge) in MERGES.into_iter().zip(merges) {
        if merge.is_some() {
            kept.push((name, number(merge, name, 0..=8)?));
        }
    }
    let mut read = Vec::new();
    for argument in list(arguments.ok_or_else(|| missing("Args"))?, MAX_ARGUMENTS)? {
        let [name, value] = fields(argument, ["N", "V"])?;
        let name = match name {
            None | Some(Item::Nil) => None,
            Some(Item::Text(name)) => Some(name.clone()),
            Some(_) => return Err(odd("an argument's name is not a text")),
        };
        read.push((name, value.ok_or_else(|| missing("V"))?.clone()));
    }
    Ok(Command {
        text: text.to_owned(),
        is_script,
        scope,
        merges: kept,
        arguments: read,
    })
}

/// What the client's console is like, as it is sent with pools and pipelines and goes upstream: four flags and, if there is a
/// console, its sizes and colours.
pub(in crate::dialect::psrp) fn host(item: Option<&Item>) -> Result<Item, Unreadable> {
    let item = item.ok_or_else(|| missing("HostInfo"))?;
    let [no_host, no_interface, no_raw_interface, pool_host, _data] = fields(
        item,
        [
            "_isHostNull",
            "_isHostUINull",
            "_isHostRawUINull",
            "_useRunspaceHost",
            "_hostDefaultData",
        ],
    )?;
    for it in [no_host, no_interface, no_raw_interface, pool_host] {
        it.and_then(Item::as_bool)
            .ok_or_else(|| missing("HostInfo"))?;
    }
    let odd = || odd("`HostInfo` holds more than a console's sizes and colours");
    if !names_console_types(item) {
        return Err(odd());
    }
    console::untyped(item).ok_or_else(odd)
}

/// Whether each `T`, which the server makes a type of, names one of a console's.
fn names_console_types(item: &Item) -> bool {
    const TYPES: &[&str] = &[
        "System.ConsoleColor",
        "System.Int32",
        "System.Management.Automation.Host.Coordinates",
        "System.Management.Automation.Host.Size",
        "System.String",
    ];
    let Some(object) = item.as_object() else {
        return true;
    };
    let is_known = |(name, value): &(String, Item)| {
        let is_type = name.eq_ignore_ascii_case("T");
        (!is_type || value.as_text().is_some_and(|it| TYPES.contains(&it)))
            && names_console_types(value)
    };
    object.adapted.iter().chain(&object.extended).all(is_known)
        && match &object.base {
            Base::Dictionary(pairs) => pairs
                .iter()
                .all(|it| names_console_types(&it.0) && names_console_types(&it.1)),
            Base::List(_, items) => items.iter().all(names_console_types),
            Base::Nothing | Base::Scalar(_) => true,
        }
}

/// The properties of an object that is its extended properties and nothing else; unknown ones are refused.
pub(in crate::dialect::psrp) fn fields<'i, const N: usize>(
    item: &'i Item,
    known: [&str; N],
) -> Result<[Option<&'i Item>; N], Unreadable> {
    let Item::Object(object) = item else {
        return Err(odd("something that should be an object is not"));
    };
    let Object {
        types: _,
        shown: _,
        adapted,
        extended,
        base,
    } = &**object;
    if !adapted.is_empty() || *base != Base::Nothing {
        return Err(odd("an object is more than its properties"));
    }
    let mut values = [None; N];
    for (name, value) in extended {
        let slot = known.iter().zip(&mut values).find(|it| it.0 == name);
        let Some((_, slot)) = slot else {
            return Err(odd(&format!(
                "property `{}` is not known here",
                shown(name)
            )));
        };
        *slot = Some(value);
    }
    Ok(values)
}

/// The items of an object that is a list and nothing else.
pub(in crate::dialect::psrp) fn list(item: &Item, longest: usize) -> Result<&[Item], Unreadable> {
    let Item::Object(object) = item else {
        return Err(odd("something that should be a list is not"));
    };
    match &object.base {
        Base::List(List::List, items)
            if object.adapted.is_empty()
                && object.extended.is_empty()
                && items.len() <= longest =>
        {
            Ok(items)
        }
        Base::Dictionary(_) | Base::List(..) | Base::Nothing | Base::Scalar(_) => Err(odd(
            "something that should be a list is not, or is too long",
        )),
    }
}

fn flag(item: Option<&Item>, name: &str) -> Result<bool, Unreadable> {
    match item {
        None => Ok(false),
        Some(item) => item.as_bool().ok_or_else(|| missing(name)),
    }
}

/// An enumeration's value; 0 if it is not there.
fn number(
    item: Option<&Item>,
    name: &str,
    among: std::ops::RangeInclusive<i32>,
) -> Result<i32, Unreadable> {
    match item {
        None => Ok(0),
        Some(item) => item
            .as_enum()
            .filter(|it| among.contains(it))
            .ok_or_else(|| missing(name)),
    }
}

fn missing(name: &str) -> Unreadable {
    odd(&format!("`{name}` is not there, or not what it should be"))
}

fn odd(text: &str) -> Unreadable {
    Unreadable::bad("pipeline-shape", text)
}
