//! What is allowed in policies and yet doubtful: told as warnings, of a set that loads.

mod approvers;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;

use crate::model::{PolicyId, Task, Workload};

use super::pattern::Pattern;
use super::problem::{Place, PolicyProblem, nearest};
use super::scopes::Reach;
use super::{Approval, Catalogue, Effect, Policy, PolicySet, Source, Ungoverned};

/// How many names a warning lists.
const TOLD: usize = 5;

/// Everything doubtful in `set`, in file order. `ungoverned` is what the endpoints do with tasks that no policy governs: [`Ungoverned::Allow`]
/// if any of them lets such pass. `today` tells which exemptions have ended.
pub fn lint(set: &PolicySet, ungoverned: Ungoverned, today: NaiveDate) -> Vec<PolicyProblem> {
    let mut warnings = Vec::new();
    let known = Known::new(set);
    undoable(set, ungoverned, &mut warnings);
    unreachable(set, &known, &mut warnings);
    unknown(set, &known, &mut warnings);
    unruled(set, &known, &mut warnings);
    lax(set, &mut warnings);
    unnamed(set, &known, &mut warnings);
    exemptions(set, today, &mut warnings);
    approvers::lint(set, &mut warnings);
    warnings.sort_by(|one, two| {
        (&one.place.file, one.place.line).cmp(&(&two.place.file, two.place.line))
    });
    warnings
}

fn warning(place: Place, message: String, hint: impl Into<String>) -> PolicyProblem {
    PolicyProblem {
        place,
        message,
        hint: Some(hint.into()),
    }
}

/// Where a policy is, as a warning names it.
fn place_of(policy: &Policy) -> Place {
    match &policy.source {
        Source::File(place) => place.clone(),
        Source::Store { .. } => Place {
            file: format!("stored policy `{}`", policy.scope.text),
            line: 0,
        },
    }
}

/// `a`, `b` and 3 others.
fn listed(names: &[String]) -> String {
    let told: Vec<String> = names
        .iter()
        .take(TOLD)
        .map(|it| format!("`{it}`"))
        .collect();
    match names.len().saturating_sub(TOLD) {
        0 => told.join(", "),
        others => format!("{} and {others} more", told.join(", ")),
    }
}

/// The tasks that a set knows: those of the catalogue, and those that are named.
struct Known {
    tasks: Vec<Task>,
    /// The texts of `tasks`, in lower case.
    folded: Vec<String>,
    /// Policies' places in the set, by their numbers.
    places: HashMap<PolicyId, usize>,
    /// Workloads that the catalogue speaks of, in lower case.
    workloads: Vec<String>,
}

impl Known {
    fn new(set: &PolicySet) -> Self {
        let entries = set.catalogue().entries().iter();
        let tasks: Vec<Task> = entries.filter_map(|it| it.task.parse().ok()).collect();
        let mut workloads: Vec<String> = tasks
            .iter()
            .map(|it| it.workload.as_str().to_ascii_lowercase())
            .collect();
        workloads.sort_unstable();
        workloads.dedup();
        let numbered = set.policies().iter().enumerate();
        Self {
            folded: tasks.iter().map(Task::folded).collect(),
            places: numbered.map(|(number, it)| (it.id, number)).collect(),
            tasks,
            workloads,
        }
    }

    /// Whether the catalogue speaks of the workload of a task or pattern.
    fn speaks_of(&self, pattern: &Pattern) -> bool {
        let workload = pattern.as_str().split_once('\\').map_or("", |it| it.0);
        self.workloads.iter().any(|it| it == workload)
    }

    /// Whether the catalogue speaks of the workload of a task or pattern, and does not know it.
    fn misses(&self, pattern: &Pattern) -> bool {
        let is_own = pattern
            .noun_prefix()
            .is_some_and(|it| it.starts_with("elevatedaccess"));
        self.speaks_of(pattern)
            && !is_own
            && !self.folded.iter().any(|it| pattern.matches(it.as_bytes()))
    }

    /// What was probably meant by a task that is not known; the search takes its time, so only the first few are searched for.
    fn hint(&self, text: &str, told: usize) -> String {
        const SEARCHED: usize = 50;
        let names: Vec<String> = if told < SEARCHED {
            self.tasks.iter().map(ToString::to_string).collect()
        } else {
            Vec::new()
        };
        match nearest(text, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "if there is such a cmdlet, tell what it does in a [[cmdlet]]".to_owned(),
        }
    }
}

/// Commands that could take the gate away pass beside tasks that are governed.
fn undoable(set: &PolicySet, ungoverned: Ungoverned, warnings: &mut Vec<PolicyProblem>) {
    if ungoverned == Ungoverned::Block {
        return;
    }
    let mut free: BTreeMap<String, Vec<Task>> = BTreeMap::new();
    for task in set
        .catalogue()
        .undo()
        .iter()
        .cloned()
        .chain(undo_elsewhere(set))
    {
        if set.governing(&task).is_none_or(|it| it.report_only) {
            let workload = task.workload.as_str().to_ascii_lowercase();
            free.entry(workload).or_default().push(task);
        }
    }
    for (workload, tasks) in free {
        let begins = format!("{workload}\\");
        let governs = |policy: &&Policy| match &policy.reach {
            Reach::Effect(_) => true,
            Reach::Role(_) | Reach::RoleGroup(_) => policy.scope.folded.contains(&begins),
            Reach::Task(pattern) => pattern.as_str().starts_with(&begins),
        };
        if let Some(first) = set.policies().iter().find(governs) {
            let names: Vec<String> = tasks.iter().map(ToString::to_string).collect();
            let message = format!(
                "the gate can be undone: no policy is enforced for {}",
                listed(&names)
            );
            let effects = tasks.iter().map(|it| set.catalogue().effect(it).as_str());
            let effects: BTreeSet<&str> = effects.collect();
            let effects: Vec<&str> = effects.into_iter().collect();
            let hint = format!(
                "write policies for them, or for their effects ({}); or let the endpoint block what no policy governs",
                effects.join(", ")
            );
            warnings.push(warning(place_of(first), message, hint));
        }
    }
}

/// What takes the gate away in other workloads that run the cmdlets of the program's list, as policies that name some of them say.
fn undo_elsewhere(set: &PolicySet) -> Vec<Task> {
    let undo = set.catalogue().undo();
    let is_other = |it: &Task| undo.iter().all(|task| task.workload != it.workload);
    let named = set.policies().iter().flat_map(named_tasks);
    let others = named.filter(|it| is_other(it) && Catalogue::shipped_cmdlet(&it.cmdlet));
    let workloads: BTreeMap<String, Workload> = others
        .map(|it| (it.workload.as_str().to_ascii_lowercase(), it.workload))
        .collect();
    let tasks = |workload: Workload| {
        undo.iter().map(move |task| Task {
            workload: workload.clone(),
            cmdlet: task.cmdlet.clone(),
        })
    };
    workloads.into_values().flat_map(tasks).collect()
}

/// Policies that govern no command that is known.
fn unreachable(set: &PolicySet, known: &Known, warnings: &mut Vec<PolicyProblem>) {
    let mut governs = vec![false; set.policies().len()];
    let named: Vec<Task> = set.policies().iter().flat_map(named_tasks).collect();
    for task in known.tasks.iter().chain(&named) {
        // What one says that only reports is told beside what governs.
        for policy in set.possible(task).chain(set.reporting(task)) {
            let place = known.places.get(&policy.id);
            if let Some(governs) = place.and_then(|it| governs.get_mut(*it)) {
                *governs = true;
            }
        }
    }
    for (policy, governs) in set.policies().iter().zip(governs) {
        // A task or pattern that matches nothing is told for that.
        let is_told = match &policy.reach {
            Reach::Task(pattern) => {
                pattern.is_exact() || known.misses(pattern) || !known.speaks_of(pattern)
            }
            Reach::Effect(_) | Reach::Role(_) | Reach::RoleGroup(_) => false,
        };
        if !governs && !is_told {
            let message = format!(
                "policy `{}` governs no known task: a more specific policy governs each that it is about",
                policy.scope.text
            );
            warnings.push(warning(
                place_of(policy),
                message,
                "remove it, or what is more specific",
            ));
        }
    }
}

/// The tasks that a policy's scope names one by one.
fn named_tasks(policy: &Policy) -> Vec<Task> {
    let exact = |pattern: &Pattern| {
        let text = pattern.as_str();
        pattern.is_exact().then(|| text.parse().ok()).flatten()
    };
    match &policy.reach {
        Reach::Effect(_) => Vec::new(),
        Reach::Role(tasks) | Reach::RoleGroup(tasks) => tasks.iter().filter_map(exact).collect(),
        Reach::Task(pattern) => exact(pattern).into_iter().collect(),
    }
}

/// Tasks and patterns that match no known task.
fn unknown(set: &PolicySet, known: &Known, warnings: &mut Vec<PolicyProblem>) {
    for policy in set.policies() {
        if let Reach::Task(pattern) = &policy.reach
            && known.misses(pattern)
        {
            let text = &policy.scope.text;
            let message = format!("`{text}` matches no known cmdlet");
            let hint = known.hint(text, warnings.len());
            warnings.push(warning(place_of(policy), message, hint));
        }
    }
    for role in set.roles() {
        let texts = role.tasks.iter().zip(&*role.patterns);
        let missed: Vec<String> = texts
            .filter(|(_, pattern)| known.misses(pattern))
            .map(|(text, _)| text.clone())
            .collect();
        if let Some(first) = missed.first() {
            let message = format!(
                "role `{}` has tasks that match no known cmdlet: {}",
                role.name,
                listed(&missed)
            );
            let hint = known.hint(first, warnings.len());
            warnings.push(warning(role.place.clone(), message, hint));
        }
    }
    for exemption in set.exemptions() {
        let texts = exemption.tasks.iter().zip(&exemption.patterns);
        for (text, _) in texts.filter(|(_, pattern)| known.misses(pattern)) {
            let message = format!(
                "the exemption of `{}` is for `{text}`, which matches no known cmdlet",
                exemption.account
            );
            let hint = known.hint(text, warnings.len());
            warnings.push(warning(exemption.place.clone(), message, hint));
        }
    }
}

/// Policies that take commands with dangerous parameters out of the stricter policy of an effect, and have no rule for those.
fn unruled(set: &PolicySet, known: &Known, warnings: &mut Vec<PolicyProblem>) {
    let asked = Effect::ALL.map(|effect| of_effect(set, effect).map(strictness));
    let is_laxer = |policy: &Policy, effect: Effect| {
        let asked = asked.get(effect.severity()).copied().flatten();
        asked.is_some_and(|it| strictness(policy) < it)
    };
    // By policy: tasks with their parameters.
    let mut free: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for task in &known.tasks {
        let Some(facts) = set.catalogue().facts(task) else {
            continue;
        };
        let Some(policy) = set.governing(task) else {
            continue;
        };
        // One that only reports takes nothing out of a policy that is enforced.
        let is_lenient = policy.approval != Approval::Never && !policy.report_only;
        if matches!(policy.reach, Reach::Effect(_)) || !is_lenient {
            continue;
        }
        let parameters = facts.dangerous.iter().filter(|it| {
            it.effect.severity() > facts.effect.severity()
                && is_laxer(policy, it.effect)
                && !policy.parameters.speaks_of(&it.name)
        });
        let told: Vec<String> = parameters.map(|it| format!("-{}", it.name)).collect();
        if let (false, Some(number)) = (told.is_empty(), known.places.get(&policy.id)) {
            let more = if told.len() > 2 { " …" } else { "" };
            let told: Vec<&str> = told.iter().take(2).map(String::as_str).collect();
            let told = format!("{} {}{more}", task.cmdlet, told.join(" "));
            free.entry(*number).or_default().push(told);
        }
    }
    for (number, commands) in free {
        if let Some(policy) = set.policies().get(number) {
            let message = format!(
                "policy `{}` governs commands that the stricter policy of an effect would without it, and has no rule for their dangerous parameters: {}",
                policy.scope.text,
                listed(&commands)
            );
            let hint = "add a rule, such as ForwardingSmtpAddress = { absent = true }, or list what is allowed";
            warnings.push(warning(place_of(policy), message, hint));
        }
    }
}

/// Effects whose policy is easier to get by than that of a milder effect: a dangerous parameter would then help. (It never takes a
/// command out of a `never`, nor to a policy that only reports.)
fn lax(set: &PolicySet, warnings: &mut Vec<PolicyProblem>) {
    for (position, milder) in Effect::ALL.into_iter().enumerate() {
        for severe in Effect::ALL.into_iter().skip(position + 1) {
            if let (Some(one), Some(two)) = (of_effect(set, milder), of_effect(set, severe))
                && strictness(two) < strictness(one)
                && !two.report_only
            {
                let why = match one.approval {
                    Approval::Auto | Approval::Manual => {
                        ": a dangerous parameter makes a command easier to run"
                    }
                    Approval::Never => "",
                };
                let message = format!(
                    "`{}` is easier to get than `{}`, although it is more severe{why}",
                    two.scope.text, one.scope.text
                );
                warnings.push(warning(
                    place_of(two),
                    message,
                    "ask at least for the same approval",
                ));
            }
        }
    }
}

/// Policies that count identities, of cmdlets that make something: most of those name it by neither of the parameters that
/// count, and are blocked.
fn unnamed(set: &PolicySet, known: &Known, warnings: &mut Vec<PolicyProblem>) {
    // Those of the catalogue that have `Identity` or `Mailbox`.
    const NAMING: [&str; 5] = [
        "New-InboxRule",
        "New-MailboxExportRequest",
        "New-MailboxImportRequest",
        "New-MailboxRepairRequest",
        "New-MoveRequest",
    ];
    let mut making: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for task in &known.tasks {
        let cmdlet = task.cmdlet.as_str();
        let is_naming = NAMING.iter().any(|it| it.eq_ignore_ascii_case(cmdlet));
        let Some(policy) = set.governing(task) else {
            continue;
        };
        let counts = policy.approval != Approval::Never
            && policy.spread.is_some_and(|it| it.counts_identities());
        if counts
            && task.cmdlet.verb().eq_ignore_ascii_case("new")
            && !is_naming
            && let Some(number) = known.places.get(&policy.id)
        {
            making.entry(*number).or_default().push(cmdlet.to_owned());
        }
    }
    for (number, cmdlets) in making {
        if let Some(policy) = set.policies().get(number) {
            let message = format!(
                "policy `{}` limits identities, and blocks calls without -Identity and -Mailbox, which these may not have: {}",
                policy.scope.text,
                listed(&cmdlets)
            );
            let hint = "limit their calls with `calls_per_minute` and `calls_per_grant`, in a policy of their own";
            warnings.push(warning(place_of(policy), message, hint));
        }
    }
}

/// The policy for an effect.
fn of_effect(set: &PolicySet, effect: Effect) -> Option<&Policy> {
    let mut policies = set.policies().iter();
    policies.find(|it| matches!(it.reach, Reach::Effect(of) if of == effect))
}

/// How hard a policy makes it to run a command.
fn strictness(policy: &Policy) -> u8 {
    match policy.approval {
        _ if policy.report_only => 0,
        Approval::Auto => 1,
        Approval::Manual => 2,
        Approval::Never => 3,
    }
}

fn exemptions(set: &PolicySet, today: NaiveDate, warnings: &mut Vec<PolicyProblem>) {
    for exemption in set.exemptions() {
        let (account, owner) = (&exemption.account, &exemption.owner);
        match exemption.expires {
            None => warnings.push(warning(
                exemption.place.clone(),
                format!("the exemption of `{account}` has no end"),
                format!("`{owner}` owns it: give it a last day in `expires`, such as 2027-03-31"),
            )),
            Some(last) if last < today => warnings.push(warning(
                exemption.place.clone(),
                format!("the exemption of `{account}` ended on {last}"),
                format!("`{owner}` owns it: set a later day, or take it out"),
            )),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
