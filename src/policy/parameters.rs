//! A policy's parameter rules (`[policy.parameters]`): which parameters a command may have, and with which values.
//!
//! A rule on a value also asks that the parameter be there, unless it is `optional`: `New-MoveRequest` without
//! `TargetDatabase` lets the server choose a database, and a rule that lists two of them would not have meant that. Once a
//! policy has a rule, a parameter that it does not list is blocked, since a rule on `Identity` says little while another
//! parameter can name another object. Parameters' aliases are the server's knowledge: where a dialect learns them, a name that
//! it could not resolve passes only if it cannot stand for a parameter with a rule; where it does not, a policy that sets
//! `other_parameters = "allow"` lets them pass unseen.

use crate::model::{
    COMMON_PARAMETERS, Names, Parameter, ParameterName, Parameters, Redaction, Value,
};

use super::requirement::Requirement;

/// What a policy asks of a command's parameters; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct ParameterRules {
    pub(super) rules: Vec<ParameterRule>,
    pub(super) others: Others,
}

/// What happens to a parameter that no rule names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Others {
    #[default]
    Allow,
    Block,
}

/// What is asked of one parameter.
#[derive(Clone, Debug)]
pub(super) struct ParameterRule {
    pub(super) name: ParameterName,
    pub(super) presence: Presence,
    /// Each must hold for the value, if the parameter is there.
    pub(super) requirements: Vec<Requirement>,
    /// Its values are not shown: not those that would do, either.
    pub(super) visibility: Visibility,
}

/// Whether the values of a parameter are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    Hidden,
    Shown,
}

/// Whether a parameter has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Forbidden,
    Optional,
    Required,
}

/// How a command breaks the rules.
#[derive(Clone, Copy, Debug)]
pub(super) enum Breach<'a> {
    /// A parameter's name is the beginning of one that a rule names, and the server may complete it.
    Abbreviated {
        given: &'a ParameterName,
        listed: &'a ParameterName,
    },
    /// A parameter is there that must not be.
    Forbidden(&'a ParameterRule),
    /// A parameter is not there that must be.
    Missing(&'a ParameterRule),
    /// A name could be an alias of a parameter that matters and is not there by its own name: of that, if a rule names it.
    Strange {
        given: &'a ParameterName,
        listed: Option<&'a ParameterName>,
    },
    /// Which value belongs to which parameter is not known.
    Unclear,
    /// No rule names the parameter.
    Unlisted(&'a ParameterName),
    /// A parameter's value is not what it must be.
    Unmet(&'a ParameterRule, &'a Requirement),
}

impl ParameterRules {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.others == Others::Allow
    }

    /// The rules as sentences, such as "`TargetDatabase` must be one of `DB01`, `DB02`", in file order.
    pub fn sentences(&self) -> impl Iterator<Item = String> {
        self.rules.iter().map(ParameterRule::sentence)
    }

    /// Whether a command with the parameter of this name is checked for it: by a rule, or as one that no rule names.
    pub fn speaks_of(&self, name: &str) -> bool {
        self.others == Others::Block || self.rules.iter().any(|rule| rule.name.is(name))
    }

    /// The first way in which `parameters` break the rules.
    pub(super) fn check<'a>(&'a self, parameters: &'a Parameters) -> Result<(), Breach<'a>> {
        if parameters.names() != Names::Known && !self.is_empty() {
            return Err(Breach::Unclear);
        }
        for Parameter { name, .. } in parameters {
            self.check_name(name)?;
        }
        self.check_unresolved(parameters)?;
        self.rules
            .iter()
            .try_for_each(|rule| rule.check(parameters.get(rule.name.as_str())))
    }

    /// Each name that could be an alias is that of a rule, or there is no rule whose parameter it could stand for: those that
    /// are given by their own names are not given once more.
    fn check_unresolved<'a>(&'a self, parameters: &'a Parameters) -> Result<(), Breach<'a>> {
        let is_listed = |name: &ParameterName| self.rules.iter().any(|rule| rule.name == *name);
        let mut unresolved = parameters.unresolved().iter();
        let given = unresolved.find(|it| !is_listed(it) && !is_common(it));
        let is_given = |rule: &&ParameterRule| parameters.get(rule.name.as_str()).is_some();
        let open = self.rules.iter().find(|rule| !is_given(rule));
        match (given, open) {
            (Some(given), Some(rule)) => Err(Breach::Strange {
                given,
                listed: Some(&rule.name),
            }),
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// Hides what `redaction` hides.
    pub(super) fn hide(&mut self, redaction: &Redaction) {
        for rule in &mut self.rules {
            rule.visibility = Visibility::of(&rule.name, redaction);
        }
    }

    fn check_name<'a>(&'a self, name: &'a ParameterName) -> Result<(), Breach<'a>> {
        let is_listed = self.rules.iter().any(|rule| rule.name == *name);
        if is_listed || is_common(name) {
            return Ok(());
        }
        if let Some(rule) = self
            .rules
            .iter()
            .find(|rule| is_beginning(name.as_str(), rule.name.as_str()))
        {
            return Err(Breach::Abbreviated {
                given: name,
                listed: &rule.name,
            });
        }
        match self.others {
            Others::Allow => Ok(()),
            Others::Block => Err(Breach::Unlisted(name)),
        }
    }
}

impl Visibility {
    /// What `redaction` says of parameters of this name.
    pub(super) fn of(name: &ParameterName, redaction: &Redaction) -> Self {
        if redaction.hides(name.as_str()) {
            Self::Hidden
        } else {
            Self::Shown
        }
    }
}

/// Whether every cmdlet has a parameter of this name.
pub(super) fn is_common(name: &ParameterName) -> bool {
    COMMON_PARAMETERS.iter().any(|common| name.is(common))
}

/// Whether `given` is `full` or a beginning of it, in any case.
pub(super) fn is_beginning(given: &str, full: &str) -> bool {
    full.as_bytes()
        .get(..given.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(given.as_bytes()))
}

impl ParameterRule {
    fn check(&self, value: Option<&Value>) -> Result<(), Breach<'_>> {
        match (value, self.presence) {
            (None, Presence::Forbidden | Presence::Optional) => Ok(()),
            (None, Presence::Required) => Err(Breach::Missing(self)),
            (Some(_), Presence::Forbidden) => Err(Breach::Forbidden(self)),
            (Some(value), Presence::Optional | Presence::Required) => self
                .requirements
                .iter()
                .find(|it| !it.holds(value))
                .map_or(Ok(()), |it| Err(Breach::Unmet(self, it))),
        }
    }

    /// What the rule asks, whole.
    fn sentence(&self) -> String {
        let must: Vec<String> = self.requirements.iter().map(|it| self.shown(it)).collect();
        let must = must.join(" and ");
        let name = &self.name;
        match (self.presence, must.is_empty()) {
            (Presence::Forbidden, _) => format!("`{name}` must not be given"),
            (Presence::Optional, true) => format!("`{name}` may have any value"),
            (Presence::Optional, false) => format!("`{name}`, if given, must {must}"),
            (Presence::Required, true) => format!("`{name}` must be given"),
            (Presence::Required, false) => format!("`{name}` must be given and {must}"),
        }
    }

    /// A requirement in words; of a parameter that holds secrets, without the values that would do.
    fn shown(&self, requirement: &Requirement) -> String {
        match self.visibility {
            Visibility::Hidden => "be what the policy asks for".to_owned(),
            Visibility::Shown => requirement.to_string(),
        }
    }
}

/// What is wrong and what would be right; never a value that the caller sent.
impl std::fmt::Display for Breach<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Abbreviated { given, listed } => write!(
                f,
                "`{given}` could be read as `{listed}`, so write parameter names in full"
            ),
            Self::Forbidden(rule) | Self::Missing(rule) => f.write_str(&rule.sentence()),
            Self::Strange { given, listed } => {
                let listed = listed.map_or_else(
                    || "a parameter that matters here".to_owned(),
                    |it| format!("`{it}`"),
                );
                write!(
                    f,
                    "`{given}` is not known here to be a parameter's own name, and could stand for {listed}, so write parameter names in full, and if this one is, load the server's list of its commands first (Import-PSSession)"
                )
            }
            Self::Unclear => f.write_str(
                "values that are piped in, or given without a parameter's whole name, cannot be checked, so write each as `-Name value`",
            ),
            Self::Unlisted(name) => write!(f, "`{name}` is not among the parameters it allows"),
            Self::Unmet(rule, requirement) => {
                write!(f, "`{}` must {}", rule.name, rule.shown(requirement))
            }
        }
    }
}

#[cfg(test)]
mod tests;
