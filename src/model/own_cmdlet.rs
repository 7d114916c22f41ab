//! Cmdlets that the gateway answers itself, as a client that lists commands is shown them.

use super::{CmdletName, ParameterName};

/// A cmdlet that the gateway answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCmdlet {
    /// Its name.
    pub name: CmdletName,
    /// Its parameters.
    pub parameters: Vec<OwnParameter>,
}

/// A parameter of a cmdlet that the gateway answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnParameter {
    /// Its name.
    pub name: ParameterName,
    /// What it takes.
    pub kind: OwnParameterKind,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnParameterKind {
    /// Nothing: it is there or not.
    Switch,
    /// A value.
    Value,
}
