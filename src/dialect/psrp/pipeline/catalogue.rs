//! What is known of the server's commands, from its own answers to `GET_COMMAND_METADATA`.
//!
//! Answers are put together and nothing is taken back: a server shows each caller the parameters that their roles let them
//! have, but what a name or an alias means is the command's own, and the same for all. Where two answers contradict each
//! other nevertheless, the name is not known any more. What an answer says never makes something pass by itself: a command is
//! judged, and sent, under the names that are found here.

use std::collections::HashMap;

use crate::dialect::Unreadable;
use crate::dialect::psrp::clixml::{Base, Item};
use crate::model::{CmdletName, OwnCmdlet, OwnParameterKind, ParameterName};

/// A parameter of every cmdlet ([about_CommonParameters]).
///
/// [about_CommonParameters]: https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_commonparameters
pub(super) struct Common {
    pub(super) name: &'static str,
    alias: &'static str,
    is_switch: bool,
    /// Whether its value names a variable of the server's that the engine writes to.
    pub(super) names_variable: bool,
}

impl Common {
    const fn switch(name: &'static str, alias: &'static str) -> Self {
        Self {
            name,
            alias,
            is_switch: true,
            names_variable: false,
        }
    }

    const fn valued(name: &'static str, alias: &'static str) -> Self {
        Self {
            is_switch: false,
            ..Self::switch(name, alias)
        }
    }

    const fn variable(name: &'static str, alias: &'static str) -> Self {
        Self {
            names_variable: true,
            ..Self::valued(name, alias)
        }
    }
}

pub(super) const COMMON: &[Common] = &[
    Common::switch("Confirm", "cf"),
    Common::switch("Debug", "db"),
    Common::valued("ErrorAction", "ea"),
    Common::variable("ErrorVariable", "ev"),
    Common::valued("InformationAction", "infa"),
    Common::variable("InformationVariable", "iv"),
    Common::valued("OutBuffer", "ob"),
    Common::variable("OutVariable", "ov"),
    Common::variable("PipelineVariable", "pv"),
    Common::switch("Verbose", "vb"),
    Common::valued("WarningAction", "wa"),
    Common::variable("WarningVariable", "wv"),
    Common::switch("WhatIf", "wi"),
];
/// How many commands are kept, how many parameters of each, and how many aliases of each of those.
const MAX_COMMANDS: usize = 8192;
const MAX_PARAMETERS: usize = 512;
const MAX_ALIASES: usize = 16;
const MAX_NAME_BYTES: usize = 256;
/// The type of a command that is an alias.
const ALIAS: i32 = 1;

/// Whether the catalogue has all commands of the server, with all of their parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// Names of commands that are not in it are refused; beginnings of parameters' names are completed, and positions named.
    All,
    /// There may be others, so only whole names and aliases are known.
    #[default]
    Part,
}

/// The server's commands.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    coverage: Coverage,
    commands: HashMap<String, CommandShape>,
    /// What aliases of commands stand for; nothing, where answers contradict each other or the target is no cmdlet.
    aliases: HashMap<String, Option<CmdletName>>,
}

#[derive(Clone, Debug)]
struct CommandShape {
    name: CmdletName,
    parameters: Vec<ParameterShape>,
}

#[derive(Clone, Debug)]
struct ParameterShape {
    name: ParameterName,
    aliases: Vec<ParameterName>,
    /// Nothing, where answers contradict each other.
    is_switch: Option<bool>,
    /// The place that a value without a name has, if it is the same in all sets of parameters.
    position: Option<i32>,
}

/// What a command's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// Answers contradict each other, or name a target that is no cmdlet.
    Contradicted,
    /// This cmdlet, as the server spells it.
    One(&'a CmdletName),
    /// No answer has it.
    Unknown,
}

/// What a parameter's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// More than one.
    Ambiguous,
    /// One, by name, alias or, where all are known, a beginning of its own; and whether it is a switch, if that is known.
    One(ParameterName, Option<bool>),
    /// Nothing that is known.
    Unknown,
}

impl Catalogue {
    /// An empty catalogue that will have all commands of the server, or a part of them.
    pub fn new(coverage: Coverage) -> Self {
        Self {
            coverage,
            ..Self::default()
        }
    }

    /// It with the gateway's own cmdlets, which no answer of a server changes.
    #[must_use]
    pub fn with_own(mut self, own: &[OwnCmdlet]) -> Self {
        for OwnCmdlet { name, parameters } in own {
            let parameters = parameters.iter().map(|it| ParameterShape {
                name: it.name.clone(),
                aliases: Vec::new(),
                is_switch: Some(it.kind == OwnParameterKind::Switch),
                position: None,
            });
            let shape = CommandShape {
                name: name.clone(),
                parameters: parameters.collect(),
            };
            self.commands
                .insert(name.as_str().to_ascii_lowercase(), shape);
        }
        self
    }

    /// Whether a command that it does not have may be there all the same.
    pub(super) fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// Adds a command from an object of an answer to `GET_COMMAND_METADATA`; objects that are not commands are passed over.
    pub fn add(&mut self, item: &Item) -> Result<(), Unreadable> {
        let Some(object) = item.as_object() else {
            return Ok(());
        };
        let Some(name) = object.property("Name").and_then(Item::as_text) else {
            return Ok(());
        };
        let is_own = |it: CmdletName| it.is_gateway_cmdlet();
        if name.len() > MAX_NAME_BYTES || name.parse().is_ok_and(is_own) {
            return Ok(());
        }
        let folded = name.to_ascii_lowercase();
        let is_full = self.commands.len() + self.aliases.len() >= MAX_COMMANDS;
        let full = || Unreadable::bad("catalogue-full", "the server has too many commands");
        let target = object
            .property("ResolvedCommandName")
            .and_then(Item::as_text)
            .filter(|it| !it.is_empty());
        let is_alias = object.property("CommandType").and_then(Item::as_enum) == Some(ALIAS);
        if is_alias || target.is_some() {
            let target: Option<CmdletName> = target.and_then(|it| it.parse().ok());
            match self.aliases.get_mut(&folded) {
                Some(known) if *known == target => {}
                Some(known) => *known = None,
                None if is_full => return Err(full()),
                None => {
                    self.aliases.insert(folded, target);
                }
            }
            return Ok(());
        }
        let Ok(name) = name.parse::<CmdletName>() else {
            return Ok(());
        };
        let parameters = object.property("Parameters").and_then(Item::as_object);
        let pairs = match parameters.map(|it| &it.base) {
            Some(Base::Dictionary(pairs)) => pairs.as_slice(),
            Some(Base::List(..) | Base::Nothing | Base::Scalar(_)) | None => &[],
        };
        let shapes = pairs
            .iter()
            .take(MAX_PARAMETERS)
            .filter_map(|it| ParameterShape::of(&it.1));
        if is_full && !self.commands.contains_key(&folded) {
            return Err(full());
        }
        let command = self.commands.entry(folded).or_insert_with(|| CommandShape {
            name,
            parameters: Vec::new(),
        });
        for shape in shapes {
            command.learn(shape);
        }
        Ok(())
    }

    /// How many commands it has.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The command of this name or alias.
    pub(super) fn command(&self, name: &str) -> Meaning<'_> {
        let folded = name.to_ascii_lowercase();
        match self.aliases.get(&folded) {
            // It is sent by its target's name, which must not be another alias then.
            Some(Some(target))
                if !self
                    .aliases
                    .contains_key(&target.as_str().to_ascii_lowercase()) =>
            {
                Meaning::One(target)
            }
            Some(_) => Meaning::Contradicted,
            None => self
                .commands
                .get(&folded)
                .map_or(Meaning::Unknown, |it| Meaning::One(&it.name)),
        }
    }

    /// Whether an answer has this cmdlet itself, and not only as what an alias stands for.
    pub(super) fn lists(&self, cmdlet: &CmdletName) -> bool {
        self.shape(cmdlet).is_some()
    }

    /// What `given` stands for among the parameters of `cmdlet`.
    pub(super) fn parameter(&self, cmdlet: &CmdletName, given: &ParameterName) -> Found {
        let common = COMMON
            .iter()
            .find(|it| given.is(it.name) || given.is(it.alias));
        if let Some((common, Ok(name))) = common.map(|it| (it, it.name.parse())) {
            return Found::One(name, Some(common.is_switch));
        }
        let Some(shape) = self.shape(cmdlet) else {
            return Found::Unknown;
        };
        let called = |it: &&ParameterShape| it.name == *given || it.aliases.contains(given);
        let mut exact = shape.parameters.iter().filter(called);
        match (exact.next(), exact.next()) {
            (Some(it), None) => return Found::One(it.name.clone(), it.is_switch),
            // Answers contradict each other.
            (Some(_), Some(_)) => return Found::Unknown,
            (None, _) => {}
        }
        if !self.has_all_of(cmdlet) {
            return Found::Unknown;
        }
        let begins = |full: &str| {
            let start = full.as_bytes().get(..given.as_str().len());
            start.is_some_and(|it| it.eq_ignore_ascii_case(given.as_str().as_bytes()))
        };
        let mut found = shape.parameters.iter().filter(|it| {
            begins(it.name.as_str()) || it.aliases.iter().any(|it| begins(it.as_str()))
        });
        let others_begin = COMMON.iter().any(|it| {
            (begins(it.name) || begins(it.alias))
                && !shape.parameters.iter().any(|own| own.name.is(it.name))
        });
        match (found.next(), found.next()) {
            (Some(it), None) if !others_begin => Found::One(it.name.clone(), it.is_switch),
            (None, _) if !others_begin => Found::Unknown,
            (Some(_) | None, _) => Found::Ambiguous,
        }
    }

    /// Whether it has all parameters of `cmdlet`. What answers of a server tell need not be all: it shows each caller those
    /// that their roles let them have, so another one's beginning or position may be that of a parameter that is not here.
    fn has_all_of(&self, cmdlet: &CmdletName) -> bool {
        self.coverage == Coverage::All || cmdlet.is_gateway_cmdlet()
    }

    /// The parameters of `cmdlet` that take values without a name, in their order, if all of its parameters are known.
    pub(super) fn positions(&self, cmdlet: &CmdletName) -> Vec<&ParameterName> {
        if !self.has_all_of(cmdlet) {
            return Vec::new();
        }
        let parameters = self.shape(cmdlet).map_or(&[][..], |it| &it.parameters);
        let mut placed: Vec<_> = parameters
            .iter()
            .filter_map(|it| Some((it.position?, &it.name)))
            .collect();
        placed.sort_unstable_by_key(|it| it.0);
        let is_clear = placed.windows(2).all(|it| match it {
            [(first, _), (second, _)] => first < second,
            _ => true,
        });
        // Two at one place belong to different sets of parameters.
        if is_clear {
            placed.into_iter().map(|it| it.1).collect()
        } else {
            Vec::new()
        }
    }

    fn shape(&self, cmdlet: &CmdletName) -> Option<&CommandShape> {
        self.commands.get(&cmdlet.as_str().to_ascii_lowercase())
    }
}

impl CommandShape {
    /// Adds what an answer says of a parameter to what others said of it.
    fn learn(&mut self, shape: ParameterShape) {
        let known = self.parameters.iter_mut().find(|it| it.name == shape.name);
        let Some(known) = known else {
            if self.parameters.len() < MAX_PARAMETERS {
                self.parameters.push(shape);
            }
            return;
        };
        for alias in shape.aliases {
            if known.aliases.len() < MAX_ALIASES && !known.aliases.contains(&alias) {
                known.aliases.push(alias);
            }
        }
        if known.is_switch != shape.is_switch {
            known.is_switch = None;
        }
        if known.position != shape.position {
            known.position = None;
        }
    }
}

impl ParameterShape {
    fn of(item: &Item) -> Option<Self> {
        let object = item.as_object()?;
        let name = object.property("Name")?.as_text()?.parse().ok()?;
        let aliases = match object
            .property("Aliases")
            .and_then(Item::as_object)
            .map(|it| &it.base)
        {
            Some(Base::List(_, items)) => items
                .iter()
                .filter_map(Item::as_text)
                .filter_map(|it| it.parse().ok())
                .take(MAX_ALIASES)
                .collect(),
            Some(Base::Dictionary(_) | Base::Nothing | Base::Scalar(_)) | None => Vec::new(),
        };
        let sets = match object
            .property("ParameterSets")
            .and_then(Item::as_object)
            .map(|it| &it.base)
        {
            Some(Base::Dictionary(pairs)) => pairs.as_slice(),
            Some(Base::List(..) | Base::Nothing | Base::Scalar(_)) | None => &[],
        };
        let mut positions = sets.iter().map(|it| {
            let position = it.1.as_object()?.property("Position")?.as_i32()?;
            (position >= 0).then_some(position)
        });
        let first = positions.next().flatten();
        Some(Self {
            name,
            aliases,
            is_switch: Some(
                object.property("SwitchParameter").and_then(Item::as_bool) == Some(true),
            ),
            position: first.filter(|first| positions.all(|it| it == Some(*first))),
        })
    }
}
