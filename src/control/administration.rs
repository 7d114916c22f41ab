//! What operators do: make, change and remove policies in the store, and switch access control off and on.
//!
//! What a file defines, only the file changes: a policy of the store that would shadow one of a file is refused, and one that
//! a file has come to shadow since is left out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use crate::policy::{Definition, Mode, Policy, PolicyFile, PolicySet, Source};
use crate::state::Snapshot;
use crate::store::{Setting, StoreError, StoredDefinition, Write};

use super::Caller;
use super::desk::{Desk, Unfinished};
use super::force::{ACCESS_CONTROL, Switch, definition, load, mode};
use super::happening::{About, HappeningKind};
use super::reading;
use super::record::{Change, Circumstances};
use super::refusals::{WorkflowError, done_but_unrecorded, not_reached};
use super::words::Words;

/// A policy in force.
#[derive(Clone, Debug)]
pub struct ListedPolicy {
    /// It.
    pub policy: Policy,
    /// What it was made from, if it is one of the store.
    pub stored: Option<StoredForm>,
}

/// A policy of the store as it was given.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredForm {
    /// What it says.
    pub definition: Definition,
    /// Counts its changes.
    pub version: i64,
}

/// Policies in force, in the order of their scopes in lower case: at most `most` of those behind `after`, and whether there
/// are more.
pub(super) async fn policies(
    desk: &Desk,
    after: Option<&str>,
    most: usize,
) -> Result<(Vec<ListedPolicy>, More), WorkflowError> {
    let stored = desk.store.policies().await.map_err(not_reached)?;
    let snapshot = desk.state.snapshot();
    let mut policies: Vec<&Policy> = snapshot.policies.policies().iter().collect();
    policies.sort_unstable_by(|one, other| one.scope.folded.cmp(&other.scope.folded));
    let after = after.map(str::to_ascii_lowercase);
    let first = after.map_or(0, |after| {
        policies.partition_point(|it| it.scope.folded <= after)
    });
    let left = policies.len() - first;
    let page = policies.into_iter().skip(first).take(most);
    let page = page
        .map(|it| listed(it, &stored))
        .collect::<Result<_, _>>()?;
    let more = if left > most { More::Some } else { More::None };
    Ok((page, more))
}

/// Whether there is more than was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// There is not.
    None,
    /// There is.
    Some,
}

/// The policy in force with this scope.
pub(super) async fn policy(
    desk: &Desk,
    caller: &Caller,
    scope: &str,
) -> Result<ListedPolicy, WorkflowError> {
    let stored = desk.store.policies().await.map_err(not_reached)?;
    let snapshot = desk.state.snapshot();
    let policy = snapshot.policies.policy(scope);
    listed(
        policy.ok_or_else(|| no_policy(scope, caller.words()))?,
        &stored,
    )
}

fn listed(policy: &Policy, stored: &[StoredDefinition]) -> Result<ListedPolicy, WorkflowError> {
    let form = match policy.source {
        Source::File(_) => None,
        Source::Store { .. } => stored.iter().find(|it| it.scope == policy.scope.folded),
    };
    Ok(ListedPolicy {
        policy: policy.clone(),
        stored: form
            .map(|it| {
                Ok::<_, WorkflowError>(StoredForm {
                    definition: definition(it).map_err(not_reached)?,
                    version: it.version,
                })
            })
            .transpose()?,
    })
}

/// The answer for a policy that is not there.
pub(super) fn no_policy(scope: &str, words: &Words) -> WorkflowError {
    WorkflowError::NotFound(format!(
        "there is no policy `{}`; {} lists them all",
        scope.escape_debug(),
        words.policies
    ))
}

/// Makes a policy.
pub(super) async fn add(
    desk: &Desk,
    caller: &Caller,
    definition: Definition,
) -> Result<ListedPolicy, WorkflowError> {
    only_operators(desk, caller, "makes policies")?;
    let scope = definition.folded_scope().ok_or_else(|| {
        WorkflowError::Invalid(
            "the policy has no scope: name a task, a role, a role group or an effect".to_owned(),
        )
    })?;
    let files = desk.files.lock().await;
    let stored = desk.store.policies().await.map_err(not_reached)?;
    if stored.iter().any(|it| it.scope == scope) {
        return Err(WorkflowError::Conflict(format!(
            "there is a policy `{scope}` already; {} changes it",
            caller.words().change_policy
        )));
    }
    refuse_files_own(desk, &scope)?;
    let new = StoredDefinition {
        scope,
        definition: written(&definition)?,
        by: caller.principal.name.clone(),
        at: desk.now(),
        version: 0,
    };
    put(desk, caller, &files, stored, new).await
}

/// Changes a policy.
pub(super) async fn change(
    desk: &Desk,
    caller: &Caller,
    scope: &str,
    definition: Definition,
    expected: Option<i64>,
) -> Result<ListedPolicy, WorkflowError> {
    only_operators(desk, caller, "changes policies")?;
    let files = desk.files.lock().await;
    let mut stored = desk.store.policies().await.map_err(not_reached)?;
    let old = take(desk, &mut stored, scope, expected, caller.words())?;
    if definition.folded_scope().as_ref() != Some(&old.scope) {
        return Err(WorkflowError::Invalid(format!(
            "a policy keeps its scope, `{}`: remove it and make another",
            old.scope
        )));
    }
    let new = StoredDefinition {
        definition: written(&definition)?,
        by: caller.principal.name.clone(),
        at: desk.now(),
        ..old
    };
    put(desk, caller, &files, stored, new).await
}

/// Removes a policy.
pub(super) async fn remove(
    desk: &Desk,
    caller: &Caller,
    scope: &str,
    expected: Option<i64>,
) -> Result<(), WorkflowError> {
    only_operators(desk, caller, "removes policies")?;
    let files = desk.files.lock().await;
    let mut stored = desk.store.policies().await.map_err(not_reached)?;
    let old = take(desk, &mut stored, scope, expected, caller.words())?;
    let set = load(desk, &files, &stored)?;
    let mut change = Change::default();
    let kind = HappeningKind::PolicyRemoved;
    let details = vec![("policy_set", json!(set.hash()))];
    change
        .administered(kind, About::Policy(&old.scope), details, by(desk, caller))
        .map_err(not_reached)?;
    let what = format!("the policy `{}` is removed", old.scope);
    change.writes.push(Write::RemovePolicy(old));
    publish(desk, set, desk.make(change).await, &what)
}

/// Enables or disables access control.
pub(super) async fn switch(desk: &Desk, caller: &Caller, to: Switch) -> Result<(), WorkflowError> {
    only_operators(desk, caller, "switches access control")?;
    if to == Switch::Enabled && desk.settings.mode == Mode::Disabled {
        return Err(WorkflowError::Conflict(
            "the gateway's configuration disables access control, and only it can enable it: set `[access_control] mode` there"
                .to_owned(),
        ));
    }
    // Publishing takes turns with that of policies.
    let _files = desk.files.lock().await;
    let old = desk
        .store
        .setting(ACCESS_CONTROL)
        .await
        .map_err(not_reached)?;
    if old
        .as_ref()
        .map_or(Switch::Enabled.as_str(), |it| it.value.as_str())
        == to.as_str()
    {
        return Ok(());
    }
    let mut change = Change::default();
    let kind = match to {
        Switch::Disabled => HappeningKind::AccessControlDisabled,
        Switch::Enabled => HappeningKind::AccessControlEnabled,
    };
    change
        .administered(kind, About::Setting, Vec::new(), by(desk, caller))
        .map_err(not_reached)?;
    change.writes.push(Write::PutSetting(Setting {
        name: ACCESS_CONTROL.to_owned(),
        value: to.as_str().to_owned(),
        by: caller.principal.name.clone(),
        at: desk.now(),
        version: old.map_or(0, |it| it.version),
    }));
    let done = desk.make(change).await.map_err(changed_by_others)?;
    let what = format!("access control is {}", to.as_str());
    if let Err(error) = done {
        desk.stale.store(true, Ordering::Release);
        return Err(done_but_unrecorded(&error, &what));
    }
    desk.state.publish(Snapshot {
        policies: Arc::clone(&desk.state.snapshot().policies),
        mode: mode(desk, to),
    });
    Ok(())
}

async fn put(
    desk: &Desk,
    caller: &Caller,
    files: &[PolicyFile],
    mut stored: Vec<StoredDefinition>,
    new: StoredDefinition,
) -> Result<ListedPolicy, WorkflowError> {
    stored.push(new.clone());
    stored.sort_by(|one, two| one.scope.cmp(&two.scope));
    let set = load(desk, files, &stored)?;
    let policy = set.policy(&new.scope).cloned();
    let policy = policy.ok_or_else(|| left_out(desk, &set))?;
    let kind = if new.version == 0 {
        HappeningKind::PolicyCreated
    } else {
        HappeningKind::PolicyChanged
    };
    let definition = definition(&new).map_err(not_reached)?;
    let details = vec![
        (
            "definition",
            json!(definition.clone().without(desk.redaction())),
        ),
        ("policy_set", json!(set.hash())),
    ];
    let mut change = Change::default();
    change
        .administered(kind, About::Policy(&new.scope), details, by(desk, caller))
        .map_err(not_reached)?;
    let what = format!("the policy `{}` is stored", new.scope);
    let version = new.version + 1;
    change.writes.push(Write::PutPolicy(new));
    publish(desk, set, desk.make(change).await, &what)?;
    Ok(ListedPolicy {
        policy,
        stored: Some(StoredForm {
            definition,
            version,
        }),
    })
}

/// Puts a set in force whose change is stored, if it is on record as well.
fn publish(
    desk: &Desk,
    set: PolicySet,
    outcome: Result<Result<(), Unfinished>, StoreError>,
    what: &str,
) -> Result<(), WorkflowError> {
    if let Err(error) = outcome.map_err(changed_by_others)? {
        desk.stale.store(true, Ordering::Release);
        return Err(done_but_unrecorded(
            &error,
            &format!("{what} and takes effect once it is on record"),
        ));
    }
    let mode = desk.state.snapshot().mode;
    desk.state.publish(Snapshot {
        policies: set.into(),
        mode,
    });
    Ok(())
}

/// Why a policy of the store would be left out: what is wrong with it that is not wrong in the set in force.
fn left_out(desk: &Desk, set: &PolicySet) -> WorkflowError {
    let snapshot = desk.state.snapshot();
    let known = snapshot.policies.skipped();
    let new = set.skipped().iter().filter(|it| !known.contains(it));
    let told: Vec<String> = new
        .map(|problem| match &problem.hint {
            Some(hint) => format!("{} ({hint})", problem.message),
            None => problem.message.clone(),
        })
        .collect();
    WorkflowError::Invalid(if told.is_empty() {
        "the policy would not be in force".to_owned()
    } else {
        told.join("; ")
    })
}

/// The stored policy with this scope, out of all.
fn take(
    desk: &Desk,
    stored: &mut Vec<StoredDefinition>,
    scope: &str,
    expected: Option<i64>,
    words: &Words,
) -> Result<StoredDefinition, WorkflowError> {
    let scope = scope.to_ascii_lowercase();
    let Some(at) = stored.iter().position(|it| it.scope == scope) else {
        refuse_files_own(desk, &scope)?;
        return Err(no_policy(&scope, words));
    };
    let old = stored.remove(at);
    match expected {
        Some(expected) if expected != old.version => Err(WorkflowError::Conflict(format!(
            "the policy `{scope}` was changed by {} since you read it: read it again",
            old.by
        ))),
        Some(_) | None => Ok(old),
    }
}

fn refuse_files_own(desk: &Desk, scope: &str) -> Result<(), WorkflowError> {
    let snapshot = desk.state.snapshot();
    match snapshot.policies.policy(scope).map(|it| &it.source) {
        Some(Source::File(place)) => Err(WorkflowError::Conflict(format!(
            "the policy `{scope}` is defined in {place}, and what a file defines, only the file changes"
        ))),
        Some(Source::Store { .. }) | None => Ok(()),
    }
}

fn written(definition: &Definition) -> Result<String, WorkflowError> {
    serde_json::to_string(definition).map_err(|error| WorkflowError::Invalid(error.to_string()))
}

fn changed_by_others(error: StoreError) -> WorkflowError {
    match error {
        StoreError::Changed => WorkflowError::Conflict(
            "somebody else changed it at the same moment: read it again".to_owned(),
        ),
        error => not_reached(error),
    }
}

/// Refuses who is not an operator, and says which right is missing.
fn only_operators(desk: &Desk, caller: &Caller, does: &str) -> Result<(), WorkflowError> {
    let snapshot = desk.state.snapshot();
    if reading::is_operator(desk, &caller.principal, &snapshot.policies) {
        return Ok(());
    }
    Err(WorkflowError::Forbidden(match &desk.settings.operators {
        Some(group) => format!("only an operator {does}: a member of the group `{group}`"),
        None => format!(
            "only an operator {does}, and there are none: name their group as `operators` under [access_control] of the gateway's configuration"
        ),
    }))
}

fn by<'a>(desk: &'a Desk, caller: &'a Caller) -> Circumstances<'a> {
    desk.at(Some(caller), desk.now())
}
