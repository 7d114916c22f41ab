//! Pipelines: what a `CREATE_PIPELINE` message runs ([MS-PSRP] 2.2.2.10), as commands to decide on, and written again.
//!
//! [`Pipeline::read`] takes the message apart in its exact shape, makes names of commands and parameters canonical, turns
//! simple scripts into commands, and replaces values by plain ones. What is left over that only the server could resolve
//! (a value without a name, output of one command that the next one takes) is part of the command under a name of the
//! gateway's, and marked ([`Names`]); a name that could be an alias is as well ([`Parameters::unresolved`]). [`Pipeline::write`] writes the message from that, so what runs is what was decided.
//!
//! Absent by intent: nested pipelines, script blocks, cmdlets that run program text or change what names mean.

mod canonical;
mod catalogue;
mod refused;
mod resolve;
mod script;
mod shape;
mod value;
mod write;

#[cfg(test)]
mod tests;

use crate::dialect::Unreadable;
use crate::model::{
    CmdletIs, Command, Names, Parameter, ParameterName, Parameters, Spelling, Task, Value, Workload,
};

use super::clixml::Item;

pub use self::catalogue::{Catalogue, Coverage};
pub(super) use self::shape::{fields, host, list};
pub(super) use self::value::credential;

/// What stands for input of a command that is not in the message: values piped in, or the output of the command before it.
pub const PIPELINE_INPUT: &str = "PipelineInput";
/// What values without a name are called, with a number behind it.
pub const UNNAMED_ARGUMENT: &str = "UnnamedArgument";

/// What a value is called that stands behind a name, and is that parameter's only if it is no switch.
pub const POSSIBLE_VALUE: &str = "PossibleValue";

/// A pipeline, understood.
///
/// INVARIANT: it has at least one statement, and each has at least one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    statements: Vec<Vec<Invocation>>,
    input: Input,
    settings: Settings,
}

/// Whether values are piped in from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// There are none.
    Absent,
    /// They follow, each as a message of its own.
    Expected,
}

/// One command of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Invocation {
    task: Task,
    cmdlet_is: CmdletIs,
    arguments: Vec<Argument>,
    /// Names that are not known to be a parameter's own.
    unresolved: Vec<ParameterName>,
    scope: Option<bool>,
    /// How streams are merged, in the order of `shape::MERGES`.
    merges: Vec<(&'static str, i32)>,
}

/// One argument, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Argument {
    /// A name with its value.
    Named(ParameterName, Plain),
    /// A name that is a switch, or whose value is the next argument; only the server knows.
    NameOnly(ParameterName),
    /// A value whose parameter only the server knows.
    Unnamed(Plain),
}

/// A value that holds no program text and no object of the server's types.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    /// As it is written.
    item: Item,
    /// As it is decided on.
    value: Value,
}

/// What does not change what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    apartment: i32,
    streams: i32,
    add_to_history: bool,
    redirect_errors: bool,
    host: Item,
}

/// Why a pipeline does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// It is not what the protocol says: the request fails.
    #[error("{0}")]
    Malformed(Unreadable),
    /// It is, but in a form that is not let through: the pipeline fails, with a text that says how to send it instead.
    #[error("{0}")]
    Refused(Unreadable),
}

impl From<Unreadable> for PipelineError {
    fn from(problem: Unreadable) -> Self {
        Self::Malformed(problem)
    }
}

impl PipelineError {
    fn refused(reason: &'static str, text: impl Into<String>) -> Self {
        Self::Refused(Unreadable::bad(reason, text))
    }
}

impl Pipeline {
    /// Reads the body of a `CREATE_PIPELINE` message for `workload`, with what is known of the server's commands.
    pub fn read(
        item: &Item,
        workload: &Workload,
        catalogue: &Catalogue,
    ) -> Result<Self, PipelineError> {
        let shape = shape::read(item)?;
        let mut statements = Vec::new();
        for commands in shape.statements {
            match commands.as_slice() {
                [script] if script.is_script => {
                    for commands in script::read(script)? {
                        statements.push(commands);
                    }
                }
                _ => statements.push(commands),
            }
        }
        if statements.len() > shape::MAX_COMMANDS {
            return Err(PipelineError::refused(
                "too-many-commands",
                "a pipeline has too many statements",
            ));
        }
        let resolve = |commands: &Vec<shape::Command>| {
            let commands = commands.iter();
            commands
                .map(|it| resolve::command(it, workload, catalogue))
                .collect()
        };
        let statements: Vec<Vec<Invocation>> = statements
            .iter()
            .map(resolve)
            .collect::<Result<_, PipelineError>>()?;
        let is_own = |it: &Invocation| it.task.cmdlet.is_gateway_cmdlet();
        let count: usize = statements.iter().map(Vec::len).sum();
        if count > 1 && statements.iter().flatten().any(is_own) {
            return Err(PipelineError::refused(
                "gateway-cmdlet-in-pipe",
                "a cmdlet of the gateway must be the only command of its pipeline; run it by itself",
            ));
        }
        Ok(Self {
            statements,
            input: shape.input,
            settings: shape.settings,
        })
    }

    /// The commands to decide on: the pipeline may run if each of them may.
    pub fn commands(&self) -> Result<Vec<Command>, PipelineError> {
        self.judged(None)
    }

    /// The commands to decide on when these values, at least one, are piped in, and the values to pass on for them.
    ///
    /// They are decided on together: a record for each would let small requests fill the log.
    pub fn commands_with_input(
        &self,
        items: &[Item],
    ) -> Result<(Vec<Command>, Vec<Item>), PipelineError> {
        if self.statements.len() > 1 {
            return Err(PipelineError::refused(
                "input-for-statements",
                "values cannot be piped into several statements; pipe them into one",
            ));
        }
        let plain = items.iter().map(value::plain);
        let plain: Vec<Plain> = plain.collect::<Result<_, _>>()?;
        let (items, mut values): (Vec<_>, Vec<_>) =
            plain.into_iter().map(|it| (it.item, it.value)).unzip();
        let value = match values.len() {
            1 => values.swap_remove(0),
            _ => Value::List(values),
        };
        Ok((self.judged(Some(&value))?, items))
    }

    /// Whether values are piped in.
    pub fn input(&self) -> Input {
        self.input
    }

    /// The one command, if the gateway answers it itself.
    pub fn own_task(&self) -> Option<&Task> {
        let mut tasks = self.statements.iter().flatten().map(|it| &it.task);
        tasks.find(|it| it.cmdlet.is_gateway_cmdlet())
    }

    /// The body of the message that runs it.
    pub fn write(&self) -> Item {
        write::pipeline(self)
    }

    fn judged(&self, input: Option<&Value>) -> Result<Vec<Command>, PipelineError> {
        let mut judged = Vec::new();
        for commands in &self.statements {
            for (index, invocation) in commands.iter().enumerate() {
                let piped = match (index, input) {
                    (0, None) => None,
                    (0, Some(value)) => Some(value.clone()),
                    // The output of the command before it never comes by here.
                    (_, _) => Some(Value::Null),
                };
                judged.push(invocation.judged(piped)?);
            }
        }
        Ok(judged)
    }
}

impl Invocation {
    fn judged(&self, piped: Option<Value>) -> Result<Command, PipelineError> {
        let mut parameters = Parameters::default();
        let mut names = Names::Known;
        let mut unnamed = 0;
        let mut waiting: Option<&ParameterName> = None;
        for argument in &self.arguments {
            // A name that may or may not take the value behind it.
            if let Some(name) = waiting.take() {
                names = Names::Unknown;
                let value = match argument {
                    // Not as the parameter's own: for a switch it is another's.
                    Argument::Unnamed(plain) => Some(Value::Table(vec![(
                        POSSIBLE_VALUE.into(),
                        plain.value.clone(),
                    )])),
                    Argument::Named(..) | Argument::NameOnly(_) => None,
                };
                add(
                    &mut parameters,
                    name.clone(),
                    value.clone().unwrap_or(Value::Bool(true)),
                )?;
                if value.is_some() {
                    continue;
                }
            }
            match argument {
                Argument::Named(name, plain) => {
                    add(&mut parameters, name.clone(), plain.value.clone())?;
                }
                Argument::NameOnly(name) => waiting = Some(name),
                Argument::Unnamed(plain) => {
                    unnamed += 1;
                    names = Names::Unknown;
                    let name = format!("{UNNAMED_ARGUMENT}{unnamed}");
                    add(&mut parameters, own_name(&name)?, plain.value.clone())?;
                }
            }
        }
        if let Some(name) = waiting {
            add(&mut parameters, name.clone(), Value::Bool(true))?;
        }
        if let Some(value) = piped {
            names = Names::Piped;
            add(&mut parameters, own_name(PIPELINE_INPUT)?, value)?;
        }
        parameters.set_names(names);
        parameters.set_cmdlet(self.cmdlet_is);
        parameters.set_unresolved(self.unresolved.clone());
        parameters.set_spelling(Spelling::Whole);
        Ok(Command {
            task: self.task.clone(),
            parameters,
        })
    }
}

fn own_name(name: &str) -> Result<ParameterName, PipelineError> {
    name.parse()
        .map_err(|error| PipelineError::refused("parameter-name", format!("{error}")))
}

fn add(
    parameters: &mut Parameters,
    name: ParameterName,
    value: Value,
) -> Result<(), PipelineError> {
    let parameter = Parameter {
        name,
        value,
        type_annotation: None,
    };
    parameters
        .push(parameter)
        .map_err(|error| PipelineError::refused("parameter-twice", format!("{error}")))
}
