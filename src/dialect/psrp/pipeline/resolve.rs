//! Names: what a client wrote becomes the server's own name, or is refused.

use crate::dialect::psrp::clixml::Item;
use crate::dialect::shown;
use crate::model::{CmdletIs, CmdletName, ParameterName, Task, Value, Workload};

use super::catalogue::{Catalogue, Coverage, Found, Meaning};
use super::{Argument, Invocation, PipelineError, Plain, refused, shape, value};

/// Modules that a name may be qualified with.
const MODULES: &[&str] = &[
    "Microsoft.Exchange",
    "Microsoft.Exchange.Management.PowerShell.E2010",
    "Microsoft.PowerShell.Core",
    "Microsoft.PowerShell.Utility",
];

/// Cmdlets of PowerShell's own that every session has, so that nobody gives another one of these names as an alias.
const ENGINE: &[&str] = &[
    "ConvertTo-Csv",
    "ConvertTo-Html",
    "ConvertTo-Json",
    "ConvertTo-Xml",
    "Exit-PSSession",
    "Format-Custom",
    "Format-List",
    "Format-Table",
    "Format-Wide",
    "Get-Command",
    "Get-Date",
    "Get-FormatData",
    "Get-Help",
    "Get-Member",
    "Get-Unique",
    "Group-Object",
    "Measure-Object",
    "Out-Default",
    "Out-Null",
    "Out-String",
    "Select-Object",
    "Select-String",
    "Sort-Object",
    "Start-Sleep",
    "Write-Output",
];

pub(super) fn command(
    command: &shape::Command,
    workload: &Workload,
    catalogue: &Catalogue,
) -> Result<Invocation, PipelineError> {
    if command.is_script {
        return Err(PipelineError::refused(
            "script-in-pipe",
            "a script among other commands is not let through; send each command by its name",
        ));
    }
    let (cmdlet, cmdlet_is) = cmdlet(&command.text, catalogue)?;
    let mut unresolved = Vec::new();
    let arguments = arguments(&cmdlet, &command.arguments, catalogue, &mut unresolved)?;
    for argument in &arguments {
        refused::variable(argument, &unresolved)?;
    }
    Ok(Invocation {
        task: Task {
            workload: workload.clone(),
            cmdlet,
        },
        cmdlet_is,
        arguments,
        unresolved,
        scope: command.scope,
        merges: command.merges.clone(),
    })
}

fn cmdlet(text: &str, catalogue: &Catalogue) -> Result<(CmdletName, CmdletIs), PipelineError> {
    let name = match text.split_once('\\') {
        Some((module, name)) if MODULES.iter().any(|it| it.eq_ignore_ascii_case(module)) => name,
        Some((module, _)) => {
            let text = format!("module `{}` is not known here; leave it out", shown(module));
            return Err(PipelineError::refused("unknown-module", text));
        }
        None => text,
    };
    refused::cmdlet(name)?;
    let mut meaning = catalogue.command(name);
    if meaning == Meaning::Unknown && !name.contains('-') {
        // PowerShell tries a name without hyphen once more with `Get-` before it.
        meaning = catalogue.command(&format!("Get-{name}"));
    }
    let (found, cmdlet_is) = match meaning {
        Meaning::Contradicted => {
            let text = format!(
                "the server's lists of commands contradict each other on what `{}` is; send the cmdlet by its own name",
                shown(name)
            );
            return Err(PipelineError::refused("command-contradicted", text));
        }
        Meaning::One(known) if catalogue.lists(known) => (known.clone(), CmdletIs::Known),
        Meaning::One(target) => unlisted(target.as_str(), catalogue)?,
        Meaning::Unknown if name.contains('-') => unlisted(name, catalogue)?,
        Meaning::Unknown => {
            let text = format!(
                "`{}` is not a cmdlet's whole name, such as `Get-Mailbox`",
                shown(name)
            );
            return Err(PipelineError::refused("unknown-command", text));
        }
    };
    refused::cmdlet(found.as_str())?;
    Ok((found, cmdlet_is))
}

/// A name that no list of the server's has.
fn unlisted(name: &str, catalogue: &Catalogue) -> Result<(CmdletName, CmdletIs), PipelineError> {
    let cmdlet: CmdletName = name
        .parse()
        .map_err(|error| PipelineError::refused("unknown-command", format!("{error}")))?;
    if cmdlet.is_gateway_cmdlet() || ENGINE.iter().any(|it| it.eq_ignore_ascii_case(name)) {
        return Ok((cmdlet, CmdletIs::Known));
    }
    if catalogue.coverage() == Coverage::All {
        let text = format!("the server has no command `{cmdlet}`");
        return Err(PipelineError::refused("unknown-command", text));
    }
    Ok((cmdlet, CmdletIs::PerhapsAlias))
}

fn arguments(
    cmdlet: &CmdletName,
    given: &[(Option<String>, Item)],
    catalogue: &Catalogue,
    unresolved: &mut Vec<ParameterName>,
) -> Result<Vec<Argument>, PipelineError> {
    let mut arguments = Vec::with_capacity(given.len());
    let mut rest = given.iter().peekable();
    while let Some((name, item)) = rest.next() {
        let Some(written) = name else {
            arguments.push(Argument::Unnamed(value::plain(item)?));
            continue;
        };
        let name = Name::read(written)?;
        let (parameter, is_switch) = match catalogue.parameter(cmdlet, &name.parameter) {
            Found::Ambiguous => {
                let text = format!(
                    "`{}` could be more than one parameter of {cmdlet}; write its name in full",
                    name.parameter
                );
                return Err(PipelineError::refused("parameter-ambiguous", text));
            }
            Found::One(parameter, is_switch) => (parameter, is_switch),
            Found::Unknown => {
                unresolved.push(name.parameter.clone());
                (name.parameter, None)
            }
        };
        let argument = match (*item == Item::Nil, is_switch, name.form) {
            (true, Some(true), _) => Argument::Named(
                parameter,
                Plain {
                    item: Item::Bool(true),
                    value: Value::Bool(true),
                },
            ),
            (true, Some(false), Form::Dashed) => {
                let Some((None, item)) = rest.next_if(|it| it.0.is_none()) else {
                    let text = format!("`-{parameter}` of {cmdlet} has no value");
                    return Err(PipelineError::refused("parameter-without-value", text));
                };
                Argument::Named(parameter, value::plain(item)?)
            }
            (true, None, Form::Dashed) => Argument::NameOnly(parameter),
            (true, Some(false) | None, Form::Whole) | (false, _, _) => {
                Argument::Named(parameter, value::plain(item)?)
            }
        };
        arguments.push(argument);
    }
    Ok(placed(cmdlet, arguments, catalogue))
}

/// Gives values without a name the names of the parameters that take them, as PowerShell does after it has bound the others.
fn placed(cmdlet: &CmdletName, arguments: Vec<Argument>, catalogue: &Catalogue) -> Vec<Argument> {
    let is_taken = |name: &ParameterName| {
        arguments.iter().any(|it| match it {
            Argument::Named(other, _) | Argument::NameOnly(other) => other == name,
            Argument::Unnamed(_) => false,
        })
    };
    let is_open = arguments
        .iter()
        .any(|it| matches!(it, Argument::NameOnly(_)));
    let free: Vec<ParameterName> = catalogue
        .positions(cmdlet)
        .into_iter()
        .filter(|it| !is_taken(it))
        .cloned()
        .collect();
    let count = arguments
        .iter()
        .filter(|it| matches!(it, Argument::Unnamed(_)))
        .count();
    // Which value belongs to which name is not clear.
    if is_open || count > free.len() {
        return arguments;
    }
    let mut free = free.into_iter();
    let place = |argument| match argument {
        Argument::Unnamed(plain) => match free.next() {
            Some(name) => Argument::Named(name, plain),
            None => Argument::Unnamed(plain),
        },
        Argument::Named(..) | Argument::NameOnly(_) => argument,
    };
    arguments.into_iter().map(place).collect()
}

struct Name {
    parameter: ParameterName,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `-Name`: what follows may be its value.
    Dashed,
    /// `Name` or `-Name:`: its value is beside it.
    Whole,
}

impl Name {
    /// Reads `Name`, `-Name`, `-Name:` or `-Name: `.
    fn read(written: &str) -> Result<Self, PipelineError> {
        let (name, form) = match written.strip_prefix('-') {
            None => (written, Form::Whole),
            Some(name) => {
                let name = name.trim_end_matches(' ');
                match name.strip_suffix(':') {
                    Some(name) => (name, Form::Whole),
                    None => (name, Form::Dashed),
                }
            }
        };
        let parameter = name.parse().map_err(|_| {
            let text = format!(
                "`{}` is not a parameter's name; write `-Name` with a plain hyphen",
                shown(written)
            );
            PipelineError::refused("parameter-name", text)
        })?;
        Ok(Self { parameter, form })
    }
}
