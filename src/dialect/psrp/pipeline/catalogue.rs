//! What is known of the server's commands, from its own answers to `GET_COMMAND_METADATA`.

use std::collections::HashMap;

use crate::dialect::Unreadable;
use crate::dialect::psrp::clixml::{Base, Item};
use crate::model::{CmdletName, OwnCmdlet, OwnParameterKind, ParameterName};

/// Parameters of every cmdlet, and whether they are switches.
const COMMON: &[(&str, bool)] = &[
    ("Confirm", true),
    ("Debug", true),
    ("ErrorAction", false),
    ("ErrorVariable", false),
    ("InformationAction", false),
    ("InformationVariable", false),
    ("OutBuffer", false),
    ("OutVariable", false),
    ("PipelineVariable", false),
    ("Verbose", true),
    ("WarningAction", false),
    ("WarningVariable", false),
    ("WhatIf", true),
];
/// How many commands are kept, and how many parameters of each.
const MAX_COMMANDS: usize = 8192;
const MAX_PARAMETERS: usize = 512;

/// Whether the catalogue has all commands of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// Names that are not in it are refused.
    All,
    /// There may be others.
    #[default]
    Part,
}

/// The server's commands.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    coverage: Coverage,
    commands: HashMap<String, CommandShape>,
    aliases: HashMap<String, CmdletName>,
}

#[derive(Clone, Debug)]
struct CommandShape {
    name: CmdletName,
    parameters: Vec<ParameterShape>,
}

#[derive(Clone, Debug)]
struct ParameterShape {
    name: ParameterName,
    aliases: Vec<String>,
    is_switch: bool,
    /// The place that a value without a name has, if it is the same in all sets of parameters.
    position: Option<i32>,
}

/// What a parameter's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// More than one.
    Ambiguous,
    /// One, by name, alias or a beginning of its own; and whether it is a switch.
    One(ParameterName, bool),
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
                is_switch: it.kind == OwnParameterKind::Switch,
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
        if self.commands.len() + self.aliases.len() >= MAX_COMMANDS {
            return Err(Unreadable::bad(
                "catalogue-full",
                "the server has too many commands",
            ));
        }
        if let Some(target) = object
            .property("ResolvedCommandName")
            .and_then(Item::as_text)
            && let Ok(target) = target.parse()
        {
            self.aliases.insert(name.to_ascii_lowercase(), target);
            return Ok(());
        }
        let Ok(name) = name.parse::<CmdletName>() else {
            return Ok(());
        };
        if name.is_gateway_cmdlet() {
            return Ok(());
        }
        let parameters = object.property("Parameters").and_then(Item::as_object);
        let pairs = match parameters.map(|it| &it.base) {
            Some(Base::Dictionary(pairs)) => pairs.as_slice(),
            Some(Base::List(..) | Base::Nothing | Base::Scalar(_)) | None => &[],
        };
        let shapes = pairs
            .iter()
            .take(MAX_PARAMETERS)
            .filter_map(|it| ParameterShape::of(&it.1));
        let shape = CommandShape {
            parameters: shapes.collect(),
            name: name.clone(),
        };
        self.commands
            .insert(name.as_str().to_ascii_lowercase(), shape);
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

    /// The command of this name or alias, as the server spells it.
    pub(super) fn command(&self, name: &str) -> Option<&CmdletName> {
        let folded = name.to_ascii_lowercase();
        let target = self.aliases.get(&folded);
        target.or_else(|| self.commands.get(&folded).map(|it| &it.name))
    }

    /// What `given` stands for among the parameters of `cmdlet`.
    pub(super) fn parameter(&self, cmdlet: &CmdletName, given: &ParameterName) -> Found {
        let common = COMMON.iter().find(|it| given.is(it.0));
        if let Some(Ok(name)) = common.map(|it| it.0.parse()) {
            return Found::One(name, common.is_some_and(|it| it.1));
        }
        let Some(shape) = self.shape(cmdlet) else {
            return Found::Unknown;
        };
        let exact = |it: &&ParameterShape| {
            it.name == *given || it.aliases.iter().any(|alias| given.is(alias))
        };
        if let Some(it) = shape.parameters.iter().find(exact) {
            return Found::One(it.name.clone(), it.is_switch);
        }
        let begins = |full: &str| {
            let start = full.as_bytes().get(..given.as_str().len());
            start.is_some_and(|it| it.eq_ignore_ascii_case(given.as_str().as_bytes()))
        };
        let mut found = shape
            .parameters
            .iter()
            .filter(|it| begins(it.name.as_str()) || it.aliases.iter().any(|alias| begins(alias)));
        let others_begin = COMMON
            .iter()
            .any(|it| begins(it.0) && !shape.parameters.iter().any(|own| own.name.is(it.0)));
        match (found.next(), found.next()) {
            (Some(it), None) if !others_begin => Found::One(it.name.clone(), it.is_switch),
            (None, _) if !others_begin => Found::Unknown,
            (Some(_) | None, _) => Found::Ambiguous,
        }
    }

    /// The parameters of `cmdlet` that take values without a name, in their order.
    pub(super) fn positions(&self, cmdlet: &CmdletName) -> Vec<&ParameterName> {
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
                .map(str::to_owned)
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
            is_switch: object.property("SwitchParameter").and_then(Item::as_bool) == Some(true),
            position: first.filter(|first| positions.all(|it| it == Some(*first))),
        })
    }
}
