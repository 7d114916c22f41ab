//! A command: one invocation of a task with its parameters, as a dialect parsed it.

use super::{ParameterName, Task, Value};

/// Parameters of every cmdlet ([about_CommonParameters]), which clients may send with any: they change what is shown and asked, not what is done.
///
/// [about_CommonParameters]: https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_commonparameters
pub const COMMON_PARAMETERS: &[&str] = &[
    "Confirm",
    "Debug",
    "ErrorAction",
    "ErrorVariable",
    "InformationAction",
    "InformationVariable",
    "OutBuffer",
    "OutVariable",
    "PipelineVariable",
    "ProgressAction",
    "Verbose",
    "WarningAction",
    "WarningVariable",
    "WhatIf",
];

/// A parameter with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name as the caller spelled it.
    pub name: ParameterName,
    /// The value.
    pub value: Value,
    /// The value's type as the wire names it beside the value (OData's `Name@odata.type`), if it did.
    pub type_annotation: Option<String>,
}

/// A parameter was named twice, in whatever case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter `{0}` is given twice")]
pub struct RepeatedParameter(pub ParameterName);

/// Whether the names of a command's parameters are all known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Each value is under the name that the server binds it to.
    #[default]
    Known,
    /// Values come from elsewhere while the command runs: only the server knows what they are for, and nobody how many they
    /// are. Such a command passes no rule on parameters, and nothing that is counted.
    Piped,
    /// Some values are under a name of the gateway's, or could be read in two ways: only the server knows what they are for.
    /// Such a command passes no rule on parameters.
    Unknown,
}

/// What a parameter's name is known to be where it is not among [`Parameters::unresolved`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// What the caller wrote: a server may complete it.
    #[default]
    AsWritten,
    /// A parameter's own name, whole.
    Whole,
}

/// Whether a command's name is known to be a cmdlet's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CmdletIs {
    /// It is.
    #[default]
    Known,
    /// Nobody here knows: for the server it could be an alias of another cmdlet.
    PerhapsAlias,
}

/// The parameters of a command, in the caller's order, and what its dialect could not tell of names.
///
/// INVARIANT: no two have the same name, compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    items: Vec<Parameter>,
    names: Names,
    unresolved: Vec<ParameterName>,
    spelling: Spelling,
    cmdlet: CmdletIs,
}

impl Parameters {
    /// Adds a parameter at the end.
    pub fn push(&mut self, parameter: Parameter) -> Result<(), RepeatedParameter> {
        if self.items.iter().any(|it| it.name == parameter.name) {
            return Err(RepeatedParameter(parameter.name));
        }
        self.items.push(parameter);
        Ok(())
    }

    /// Says whether the names are all known.
    pub fn set_names(&mut self, names: Names) {
        self.names = names;
    }

    /// Whether the names are all known.
    pub fn names(&self) -> Names {
        self.names
    }

    /// Says whether the cmdlet's name, which they are for, is known to be its own.
    pub fn set_cmdlet(&mut self, cmdlet: CmdletIs) {
        self.cmdlet = cmdlet;
    }

    /// Whether the cmdlet's name, which they are for, is known to be its own.
    pub fn cmdlet(&self) -> CmdletIs {
        self.cmdlet
    }

    /// Says which of the names nobody here knows to be a parameter's own.
    pub fn set_unresolved(&mut self, names: Vec<ParameterName>) {
        self.unresolved = names;
    }

    /// Names as the caller wrote them, of which only the server knows whether they are whole: each may be a parameter's own
    /// name, an alias of another's, or the beginning of either. A parameter that is also given by its own name is none of
    /// them, since no server binds one twice.
    pub fn unresolved(&self) -> &[ParameterName] {
        &self.unresolved
    }

    /// Says what the names are that are not left unresolved.
    pub fn set_spelling(&mut self, spelling: Spelling) {
        self.spelling = spelling;
    }

    /// What the name of one of them is known to be.
    pub fn spelling(&self, name: &ParameterName) -> Spelling {
        if self.unresolved.contains(name) {
            Spelling::AsWritten
        } else {
            self.spelling
        }
    }

    /// The value of the parameter of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.items
            .iter()
            .find(|it| it.name.is(name))
            .map(|it| &it.value)
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Parameter> {
        self.items.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<'a> IntoIterator for &'a Parameters {
    type Item = &'a Parameter;
    type IntoIter = std::slice::Iter<'a, Parameter>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One invocation: what is to run, with which parameters. Who asks is beside it, in the facts of the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What is to run.
    pub task: Task,
    /// With what.
    pub parameters: Parameters,
}

impl Command {
    /// Whether the call asks only whether the command would run: `WhatIf`, or Exchange's validation call with
    /// `Confirm` true (exchange-rest section 1.4). It is decided like any other call.
    ///
    /// Only the boolean asks. What a server makes of a text there nobody here knows, and if it runs the command, that is a use.
    pub fn is_trial(&self) -> bool {
        let is_set = |name: &&str| self.parameters.get(name) == Some(&Value::Bool(true));
        ["Confirm", "WhatIf"].iter().any(is_set)
    }
}

impl Command {
    /// Whether it asks what it would do, by `WhatIf` as the switch that it is. In a session that is the only trial: `Confirm`
    /// there has the server ask its client, and then the command runs.
    pub fn is_what_if(&self) -> bool {
        self.parameters.get("WhatIf") == Some(&Value::Bool(true))
    }
}

impl Command {
    /// Whether the command only reads, as its verb says.
    pub fn reads(&self) -> bool {
        const READING: [&str; 8] = [
            "compare", "find", "get", "measure", "read", "search", "show", "test",
        ];
        let verb = self.task.cmdlet.verb();
        READING.iter().any(|it| verb.eq_ignore_ascii_case(it))
    }
}

impl AsRef<Command> for Command {
    fn as_ref(&self) -> &Command {
        self
    }
}
