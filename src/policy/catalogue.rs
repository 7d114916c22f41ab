//! What cmdlets do at worst: each task has an effect, and some parameters have one of their own.
//!
//! A list of Exchange's cmdlets is part of the program (`assets/catalogue/exchange.toml`, with its sources); policy files add to
//! it with `[[cmdlet]]`. What neither lists has the effect of its verb. So every task has exactly one effect, and no name
//! that a caller makes up has none.
//!
//! A workload is a name that operators choose. So the list holds for a cmdlet of its name in each workload, and what a `[[cmdlet]]`
//! says for the workload that it names alone.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use crate::model::{CmdletName, Command, Task};

use super::folded::FoldedMap;
use super::index::FoldedTask;
use super::parameters::is_beginning;

/// What a command does at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Something is another way afterwards, and can be changed back.
    Change,
    /// Something is gone, or is no longer recorded.
    Destroy,
    /// Content leaves the place where it is protected.
    Exfiltrate,
    /// Somebody may do more than before.
    GrantPrivilege,
    /// Nothing is changed.
    Read,
}

impl Effect {
    /// All of them, from the least severe to the most.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Change,
        Self::Destroy,
        Self::Exfiltrate,
        Self::GrantPrivilege,
    ];

    /// The word that policy files use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Destroy => "destroy",
            Self::Exfiltrate => "exfiltrate",
            Self::GrantPrivilege => "grant-privilege",
            Self::Read => "read",
        }
    }

    /// Its place in [`Effect::ALL`].
    pub fn severity(self) -> usize {
        match self {
            Self::Read => 0,
            Self::Change => 1,
            Self::Destroy => 2,
            Self::Exfiltrate => 3,
            Self::GrantPrivilege => 4,
        }
    }

    /// What a cmdlet does whose name is all that is known of it. A verb that says nothing of itself may change something.
    fn of_verb(verb: &str) -> Self {
        shipped()
            .verbs
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(verb))
            .map_or(Self::Change, |it| it.1)
    }
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CmdletFacts {
    /// The task, as the catalogue spells it.
    pub task: String,
    /// What it does whatever its parameters are.
    pub effect: Effect,
    /// Parameters with which it does something else too.
    pub dangerous: Vec<DangerousParameter>,
}

/// A parameter that does something of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DangerousParameter {
    /// Its name.
    pub name: String,
    /// What a command with it does, whatever the value is.
    pub effect: Effect,
}

/// A set of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effects(u8);

impl Effects {
    /// The set of one.
    pub(super) fn of(effect: Effect) -> Self {
        Self(1 << effect.severity())
    }

    /// It, and another effect.
    pub(super) fn with(self, effect: Effect) -> Self {
        Self(self.0 | Self::of(effect).0)
    }

    /// Whether `effect` is in it.
    pub(super) fn has(self, effect: Effect) -> bool {
        self.0 & Self::of(effect).0 != 0
    }

    /// Its effects, from the most severe to the least.
    pub(super) fn most_severe_first(self) -> impl Iterator<Item = Effect> {
        Effect::ALL
            .into_iter()
            .rev()
            .filter(move |it| self.has(*it))
    }
}

/// Tasks with what is known of them.
///
/// INVARIANT: the entries have the numbers of their names.
#[derive(Clone, Debug)]
pub struct Catalogue {
    names: FoldedMap,
    entries: Vec<CmdletFacts>,
    undo: Arc<[Task]>,
}

impl Catalogue {
    /// The catalogue of `entries`; of two for one task, the first counts.
    fn new(entries: Vec<CmdletFacts>, undo: Arc<[Task]>) -> Self {
        let (names, _) = FoldedMap::number(entries.iter().map(|it| it.task.as_str()));
        Self {
            names,
            entries,
            undo,
        }
    }

    /// What is part of the program.
    pub fn shipped() -> &'static Arc<Self> {
        &shipped().catalogue
    }

    /// Whether what is part of the program has a cmdlet of this name.
    pub(super) fn shipped_cmdlet(cmdlet: &CmdletName) -> bool {
        Self::shipped_facts(cmdlet).is_some()
    }

    /// What is part of the program about a cmdlet of this name, in whatever workload.
    fn shipped_facts(cmdlet: &CmdletName) -> Option<&'static CmdletFacts> {
        let shipped = shipped();
        let folded = FoldedTask::of_cmdlet(&shipped.workload, cmdlet);
        let number = shipped.catalogue.names.find(folded.as_bytes())?;
        shipped.catalogue.entries.get(number)
    }

    /// The version of what is part of the program.
    pub fn shipped_version() -> &'static str {
        &shipped().version
    }

    /// This catalogue with what `more` says: a task's effect in place of the one that it had, its parameters beside those that
    /// it had.
    pub(super) fn extended(&self, more: Vec<Extension>) -> Self {
        let mut entries = self.entries.clone();
        let mut known = self.names.clone();
        for Extension {
            task,
            effect,
            dangerous,
        } in more
        {
            let number = known.find(task.as_bytes());
            if let Some(entry) = number.and_then(|it| entries.get_mut(it)) {
                entry.effect = effect.unwrap_or(entry.effect);
                entry.dangerous = judged_anew(&entry.dangerous, dangerous);
            } else {
                let cmdlet = task.split_once('\\').map_or("", |it| it.1);
                let verb = cmdlet.split_once('-').map_or("", |it| it.0);
                let shipped = cmdlet.parse().ok().and_then(|it| Self::shipped_facts(&it));
                let as_it_is = || shipped.map_or_else(|| Effect::of_verb(verb), |it| it.effect);
                let inherited = shipped.map_or(&[][..], |it| &it.dangerous);
                entries.push(CmdletFacts {
                    effect: effect.unwrap_or_else(as_it_is),
                    dangerous: judged_anew(inherited, dangerous),
                    task,
                });
                // A file may speak of one task several times; there are few that it adds.
                known = FoldedMap::number(entries.iter().map(|it| it.task.as_str())).0;
            }
        }
        Self::new(entries, Arc::clone(&self.undo))
    }

    /// Tasks with which somebody can take the gate away, or walk around it.
    pub fn undo(&self) -> &[Task] {
        &self.undo
    }

    /// All tasks that are listed.
    pub fn entries(&self) -> &[CmdletFacts] {
        &self.entries
    }

    /// What is known of a task, if it is listed: for its own workload, or as a cmdlet of this name in the program's list.
    pub fn facts(&self, task: &Task) -> Option<&CmdletFacts> {
        self.facts_of(task, &FoldedTask::new(task))
    }

    fn facts_of(&self, task: &Task, folded: &FoldedTask) -> Option<&CmdletFacts> {
        match self.names.find(folded.as_bytes()) {
            Some(number) => self.entries.get(number),
            None => Self::shipped_facts(&task.cmdlet),
        }
    }

    /// What a task does, whatever its parameters are.
    pub fn effect(&self, task: &Task) -> Effect {
        self.facts(task)
            .map_or_else(|| Effect::of_verb(task.cmdlet.verb()), |it| it.effect)
    }

    /// What a command does: its task, and its parameters with an effect of their own. A beginning of a parameter's name counts
    /// as that parameter, since the server may complete it.
    pub(super) fn effects<'p>(
        &self,
        task: &Task,
        folded: &FoldedTask,
        parameters: impl IntoIterator<Item = &'p str>,
    ) -> Effects {
        let Some(facts) = self.facts_of(task, folded) else {
            return Effects::of(Effect::of_verb(task.cmdlet.verb()));
        };
        let effects = Effects::of(facts.effect);
        if facts.dangerous.is_empty() {
            return effects;
        }
        parameters.into_iter().fold(effects, |effects, given| {
            facts
                .dangerous
                .iter()
                .filter(|it| is_beginning(given, &it.name))
                .fold(effects, |effects, it| effects.with(it.effect))
        })
    }

    /// The most severe effect of a command.
    pub fn effect_of_command(&self, command: &Command) -> Effect {
        let names = command.parameters.iter().map(|it| it.name.as_str());
        let effects = self.effects(&command.task, &FoldedTask::new(&command.task), names);
        let most_severe = effects.most_severe_first().next();
        most_severe.unwrap_or(Effect::Change)
    }

    /// Of parameters with these names, the first that makes a command of `task` have `effect`, as the catalogue spells it.
    pub(super) fn raising<'p>(
        &self,
        task: &Task,
        effect: Effect,
        parameters: impl IntoIterator<Item = &'p str>,
    ) -> Option<&str> {
        let dangerous = &self.facts(task)?.dangerous;
        parameters.into_iter().find_map(|given| {
            dangerous
                .iter()
                .find(|it| it.effect == effect && is_beginning(given, &it.name))
                .map(|it| it.name.as_str())
        })
    }

    /// All effects that a command of `task` can have, with whatever parameters.
    pub(super) fn possible_effects(&self, task: &Task) -> Effects {
        let effects = Effects::of(self.effect(task));
        let dangerous = self.facts(task).map_or(&[][..], |it| &it.dangerous);
        dangerous
            .iter()
            .fold(effects, |effects, it| effects.with(it.effect))
    }
}

/// Dangerous parameters with what is said of them anew.
fn judged_anew(
    old: &[DangerousParameter],
    new: Vec<DangerousParameter>,
) -> Vec<DangerousParameter> {
    let is_judged = |it: &DangerousParameter| {
        let mut named = new.iter();
        named.any(|judged| judged.name.eq_ignore_ascii_case(&it.name))
    };
    let mut all: Vec<_> = old.iter().filter(|it| !is_judged(it)).cloned().collect();
    all.extend(new);
    all
}

/// What a policy file says of a task.
#[derive(Clone, Debug)]
pub(super) struct Extension {
    pub(super) task: String,
    pub(super) effect: Option<Effect>,
    pub(super) dangerous: Vec<DangerousParameter>,
}

/// What is part of the program.
struct Shipped {
    version: String,
    workload: String,
    verbs: Vec<(String, Effect)>,
    catalogue: Arc<Catalogue>,
}

fn shipped() -> &'static Shipped {
    static SHIPPED: LazyLock<Shipped> = LazyLock::new(|| {
        #[expect(
            clippy::expect_used,
            reason = "a test reads the same text, which is part of the program"
        )]
        let raw: RawCatalogue = toml::from_str(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/assets/catalogue/exchange.toml"
        )))
        .expect("the catalogue is well-formed");
        raw.lower()
    });
    &SHIPPED
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalogue {
    version: String,
    workload: String,
    /// Cmdlets with which somebody can take the gate away.
    undo: Vec<String>,
    /// Each effect, and the verbs that have it.
    verbs: Vec<RawVerbs>,
    cmdlet: Vec<RawEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVerbs {
    effect: Effect,
    verbs: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    effect: Effect,
    names: Vec<String>,
    #[serde(default)]
    dangerous: Vec<RawDangerous>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDangerous {
    effect: Effect,
    parameters: Vec<String>,
}

impl RawCatalogue {
    fn lower(self) -> Shipped {
        let Self {
            version,
            workload,
            undo,
            verbs,
            cmdlet,
        } = self;
        let undo = undo
            .iter()
            .filter_map(|name| format!("{workload}\\{name}").parse().ok())
            .collect();
        let verbs = verbs.into_iter().flat_map(|RawVerbs { effect, verbs }| {
            verbs.into_iter().map(move |verb| (verb, effect))
        });
        let entries = cmdlet.into_iter().flat_map(
            |RawEntry {
                 effect,
                 names,
                 dangerous,
             }| {
                let dangerous: Vec<DangerousParameter> = dangerous
                    .into_iter()
                    .flat_map(|RawDangerous { effect, parameters }| {
                        parameters
                            .into_iter()
                            .map(move |name| DangerousParameter { name, effect })
                    })
                    .collect();
                let workload = workload.clone();
                names.into_iter().map(move |name| CmdletFacts {
                    task: format!("{workload}\\{name}"),
                    effect,
                    dangerous: dangerous.clone(),
                })
            },
        );
        let catalogue = Arc::new(Catalogue::new(entries.collect(), undo));
        Shipped {
            version,
            workload,
            verbs: verbs.collect(),
            catalogue,
        }
    }
}

#[cfg(test)]
mod tests;
