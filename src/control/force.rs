//! Which policies and which mode are in force: those of the files and of the store put together, and the operators' switch.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::audit::Event;
use crate::policy::{Definition, Mode, PolicyFile, PolicyProblem, PolicySet, StoredPolicy};
use crate::state::Snapshot;
use crate::store::{StoreError, StoredDefinition};

use super::desk::{Desk, chain};
use super::refusals::{WorkflowError, not_reached};

/// What came of policy files that were to be put in force.
#[derive(Clone, Debug)]
pub enum NewPolicies {
    /// They are broken; what was in force still is.
    Broken(Vec<PolicyProblem>),
    /// They are in force, with the policies of the store that go with them.
    InForce {
        /// How many policies there are now.
        policies: usize,
        /// The hash of the set.
        hash: String,
        /// What is wrong with policies of the store, which were left out for it.
        skipped: Vec<PolicyProblem>,
    },
    /// They are in force already.
    Unchanged,
}

/// What access control is switched to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Commands pass, and are recorded. Policies and groups stay.
    Disabled,
    /// Commands are controlled as the configuration says.
    Enabled,
}

/// The setting that keeps the switch.
pub(super) const ACCESS_CONTROL: &str = "access_control";

impl Switch {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
        }
    }
}

/// Puts policy files in force with the policies of the store, once that is on record.
pub(super) async fn put_files(
    desk: &Desk,
    files: Vec<PolicyFile>,
) -> Result<NewPolicies, WorkflowError> {
    let mut current = desk.files.lock().await;
    let stored = desk.store.policies().await.map_err(not_reached)?;
    let set = match compose(desk, &files, &stored).map_err(not_reached)? {
        Ok(set) => set,
        Err(problems) => return Ok(NewPolicies::Broken(problems)),
    };
    let snapshot = desk.state.snapshot();
    if set.hash() == snapshot.policies.hash() {
        *current = files;
        return Ok(NewPolicies::Unchanged);
    }
    // No record, no change.
    desk.ledger
        .event(loaded(&set, desk.now()))
        .await
        .map_err(|error| {
            WorkflowError::Unavailable(format!(
                "the policies are not put in force: {}",
                chain(&error)
            ))
        })?;
    let new = NewPolicies::InForce {
        policies: set.policies().len(),
        hash: set.hash().to_owned(),
        skipped: set.skipped().to_vec(),
    };
    *current = files;
    desk.state.publish(Snapshot {
        policies: set.into(),
        mode: snapshot.mode,
    });
    Ok(new)
}

/// Puts in force what is stored: the switch at the start; policies and the switch when a change of them could not be recorded
/// at first, and now is.
pub(super) async fn refresh(desk: &Desk) -> Result<(), StoreError> {
    let files = desk.files.lock().await;
    let stored = desk.store.policies().await?;
    let switch = desk.store.setting(ACCESS_CONTROL).await?;
    let switch = match switch.as_ref().map(|it| it.value.as_str()) {
        Some("disabled") => Switch::Disabled,
        Some("enabled") | None => Switch::Enabled,
        Some(other) => {
            return Err(StoreError::Damaged {
                what: format!("the switch `{other}`"),
            });
        }
    };
    // Broken files never got here.
    if let Ok(set) = compose(desk, &files, &stored)? {
        desk.state.publish(Snapshot {
            policies: set.into(),
            mode: mode(desk, switch),
        });
    }
    Ok(())
}

/// A disabled gateway can be enabled only where it was disabled: an operator's switch adds to the configuration.
pub(super) fn mode(desk: &Desk, switch: Switch) -> Mode {
    match switch {
        Switch::Disabled => Mode::Disabled,
        Switch::Enabled => desk.settings.mode,
    }
}

/// The policies of files and store as one set; the files are good already.
pub(super) fn load(
    desk: &Desk,
    files: &[PolicyFile],
    stored: &[StoredDefinition],
) -> Result<PolicySet, WorkflowError> {
    compose(desk, files, stored)
        .map_err(not_reached)?
        .map_err(|problems| {
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            WorkflowError::Unavailable(format!("the policy files are broken: {}", told.join("; ")))
        })
}

fn compose(
    desk: &Desk,
    files: &[PolicyFile],
    stored: &[StoredDefinition],
) -> Result<Result<PolicySet, Vec<PolicyProblem>>, StoreError> {
    let stored = stored
        .iter()
        .map(|it| {
            Ok(StoredPolicy {
                definition: definition(it)?,
                by: it.by.clone(),
                at: it.at,
            })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let set = PolicySet::load(
        files,
        &stored,
        desk.settings.default_approver_group.as_deref(),
        &desk.state.interner,
    );
    Ok(set.map(|it| it.with_redaction(desk.redaction())))
}

pub(super) fn definition(stored: &StoredDefinition) -> Result<Definition, StoreError> {
    serde_json::from_str(&stored.definition).map_err(|error| StoreError::Damaged {
        what: format!("the policy `{}`: {error}", stored.scope),
    })
}

/// The record of a policy set that goes in force.
fn loaded(policies: &PolicySet, at: DateTime<Utc>) -> Event {
    let details = Map::from_iter([
        ("policy_set".to_owned(), json!(policies.hash())),
        ("policies".to_owned(), json!(policies.policies().len())),
        ("groups".to_owned(), json!(policies.groups().len())),
        ("exemptions".to_owned(), json!(policies.exemptions().len())),
        (
            "skipped".to_owned(),
            Json::Array(
                policies
                    .skipped()
                    .iter()
                    .take(20)
                    .map(|it| json!(it.to_string()))
                    .collect(),
            ),
        ),
    ]);
    Event {
        id: Uuid::now_v7(),
        at,
        kind: "policies.loaded".to_owned(),
        principal: None,
        source: None,
        request: None,
        grant: None,
        policy: None,
        decision: None,
        details,
    }
}
