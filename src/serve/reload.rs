//! What may change while the gateway runs: policies, the certificate, users, keys, secrets and templates. Noticed once a second, or
//! asked for by SIGHUP; each is validated whole before it replaces what is in force.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::audit::Event;
use crate::control::{Control, NewPolicies};
use crate::data::Gate;
use crate::notify::Channels;
use crate::policy::PolicyProblem;
use crate::telemetry::Chain;
use crate::telemetry::metrics::ReloadResult;
use crate::tls::ReloadableServer;

use super::policies::{Looks, PolicySource};

/// How often files are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Keeps what is in force as it is on disk.
pub(super) struct Reloader {
    pub(super) gate: Arc<Gate>,
    /// The control listener's certificate.
    pub(super) control_tls: Option<Arc<ReloadableServer>>,
    pub(super) control: Arc<Control>,
    pub(super) policies: PolicySource,
    /// Whose templates are read again.
    pub(super) channels: Arc<Channels>,
    /// Whether a changed policy file is read by itself.
    pub(super) watch: bool,
    /// How the policy directory looked when it was last read.
    pub(super) looked: Looks,
    /// What was wrong with credentials when they were last read: told once, not each second.
    pub(super) told: Vec<String>,
}

/// How often the refusals that got no record of their own are put on record as a number.
const COUNT_PERIOD: Duration = Duration::from_mins(1);

impl Reloader {
    /// Looks once a second, and reads everything when `asked`, until `stop` fires.
    pub(super) async fn run(mut self, asked: Arc<Notify>, stop: CancellationToken) {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = interval(COUNT_PERIOD);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.record_unrecorded();
                    return;
                }
                _ = count.tick() => self.record_unrecorded(),
                () = asked.notified() => {
                    info!("Reload was asked for");
                    self.reload_policies().await;
                    self.certificates().for_each(reload_certificate);
                    self.reload_identities().await;
                    self.reload_credentials();
                    self.reload_templates();
                    info!("Reload is done");
                }
                _ = tick.tick() => {
                    if self.watch && self.policies.looks() != self.looked {
                        self.reload_policies().await;
                    }
                    for tls in self.certificates().filter(|tls| tls.changed()) {
                        reload_certificate(tls);
                    }
                    self.reload_credentials();
                    if self.channels.templates_changed() {
                        self.reload_templates();
                    }
                }
            }
        }
    }

    /// Refusals of strangers beyond those that have a record each, as one number.
    fn record_unrecorded(&self) {
        let refusals = self.gate.strangers.take_unrecorded();
        if refusals > 0 {
            warn!(
                refusals,
                "Callers who are not signed in were refused too often to record each; somebody may be guessing credentials"
            );
            let mut details = Map::new();
            details.insert("refusals".to_owned(), refusals.into());
            self.gate
                .audit
                .event_soon(event("sign-in.flooded", details));
        }
    }

    /// Puts the policy files in force, or says where they are broken and leaves the old set.
    async fn reload_policies(&mut self) {
        self.looked = self.policies.looks();
        let new = match self.policies.load() {
            Ok(files) => self.control.put_files(files).await,
            Err(problems) => Ok(NewPolicies::Broken(problems)),
        };
        match new {
            Ok(NewPolicies::Unchanged) => {}
            Ok(NewPolicies::InForce {
                policies,
                hash,
                skipped,
            }) => {
                self.gate.metrics.policies_reloaded(ReloadResult::Succeeded);
                for problem in &skipped {
                    warn!(%problem, hint = problem.hint, "Policy of the store is left out");
                }
                // Said only now: whoever waits for this line relies on it.
                info!(policies, hash, "Policies are in force");
            }
            Ok(NewPolicies::Broken(problems)) => {
                for problem in &problems {
                    error!(%problem, hint = problem.hint, "Policy file is broken; the old policies stay in force");
                }
                self.gate.metrics.policies_reloaded(ReloadResult::Rejected);
                self.gate.audit.event_soon(policies_rejected(&problems));
            }
            Err(error) => {
                // No record, no change: it is tried again at the next tick.
                error!(%error, "Policies could not be put in force");
                self.looked.clear();
            }
        }
    }

    /// Uses the templates of messages as they are now, or says where they are broken and goes on with the old ones.
    fn reload_templates(&self) {
        match self.channels.reload_templates() {
            Ok(false) => {}
            Ok(true) => info!("Templates are in force"),
            Err(problems) => {
                for problem in &problems {
                    error!(error = %Chain(problem), "Template is broken; the old ones stay in force");
                }
            }
        }
    }

    fn certificates(&self) -> impl Iterator<Item = &ReloadableServer> {
        let both = self.gate.tls.iter().chain(&self.control_tls);
        both.map(AsRef::as_ref)
    }

    async fn reload_identities(&self) {
        for error in self.gate.identities.reload().await {
            error!(error = %Chain(&error), "Identity could not be read again; the old one stays in force");
        }
    }

    fn reload_credentials(&mut self) {
        let mut wrong = Vec::new();
        for route in &self.gate.routes {
            match route.credential.reload() {
                Ok(false) => {}
                Ok(true) => info!(endpoint = %route.path, "Upstream credential was read again"),
                Err(error) => {
                    let text = format!("{}: {}", route.path, Chain(&error));
                    if !self.told.contains(&text) {
                        error!(error = %Chain(&error), endpoint = %route.path, "Upstream credential is broken; the old one stays in use");
                    }
                    wrong.push(text);
                }
            }
        }
        self.told = wrong;
    }
}

fn reload_certificate(tls: &ReloadableServer) {
    match tls.reload() {
        Ok(()) => info!("Certificate is in force"),
        Err(error) => {
            error!(error = %Chain(&error), "Certificate is broken; the old one stays in force");
        }
    }
}

fn policies_rejected(problems: &[PolicyProblem]) -> Event {
    /// Problems that one record tells; the log has them all.
    const TOLD: usize = 20;
    let told: Vec<Value> = problems
        .iter()
        .take(TOLD)
        .map(|problem| problem.to_string().into())
        .collect();
    let mut details = Map::new();
    details.insert("problems".to_owned(), told.into());
    details.insert("problem_count".to_owned(), problems.len().into());
    event("policies.rejected", details)
}

/// An event of the gateway's own.
pub(super) fn event(kind: &str, details: Map<String, Value>) -> Event {
    Event {
        id: Uuid::now_v7(),
        at: Utc::now(),
        kind: kind.to_owned(),
        principal: None,
        source: None,
        request: None,
        grant: None,
        policy: None,
        decision: None,
        details,
    }
}
