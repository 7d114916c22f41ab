//! Metrics, in Prometheus' text format.
//!
//! Counting costs an atomic addition: every series that a request can touch is found once, when its endpoint is set up,
//! and kept in an [`EndpointMetrics`]. Labels hold closed lists of words and configured paths, never what a client sent.

mod endpoint;
mod exposition;
mod histogram;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub use endpoint::{EndpointMetrics, OpenShell, RunningPipeline, StatusClass};
pub use histogram::Histogram;

use endpoint::{DecisionLabels, EndpointLabels, RequestLabels};

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = exposition::CONTENT_TYPE;

/// Why a request was answered before, or instead of, a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// The decision could not be recorded.
    Audit,
    /// It was larger, longer or more than the limits allow.
    Limit,
    /// The caller is not known.
    SignIn,
    /// The use that it needs of a grant could not be stored.
    Store,
    /// It could not be understood.
    Unreadable,
}

/// How reading the policy files again ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// They were wrong; the old ones stay in force.
    Rejected,
    /// They are in force.
    Succeeded,
}

/// All metrics of the gateway. Cheap to clone; all clones count into the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    registry: Registry,
    decisions: Family<DecisionLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<EndpointLabels, Histogram>,
    upstream_seconds: Family<EndpointLabels, Histogram>,
    shells: Family<EndpointLabels, Gauge>,
    pipelines: Family<EndpointLabels, Gauge>,
    connections: Gauge,
    refused: [Counter; 5],
    grants: Gauge,
    audit_records: Counter,
    audit_failing: Gauge,
    reloads: [Counter; 2],
    notifications: Family<NotificationLabels, Counter>,
    notifications_pending: Gauge,
    notifications_dead: Gauge,
}

/// What became of a channel's notices since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Given up.
    pub dead: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Taken by the far side.
    pub sent: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NotificationLabels {
    channel: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VersionLabels {
    version: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("portcullis");
        let decisions = Family::default();
        registry.register(
            "decisions",
            "Commands decided, by endpoint, verdict and the rule that spoke",
            decisions.clone(),
        );
        let requests = Family::default();
        registry.register(
            "requests",
            "Requests answered, by endpoint and class of the status given",
            requests.clone(),
        );
        let request_seconds: Family<EndpointLabels, Histogram> = Family::default();
        registry.register_with_unit(
            "request",
            "From the head of a request to the end of its answer",
            Unit::Seconds,
            request_seconds.clone(),
        );
        let upstream_seconds: Family<EndpointLabels, Histogram> = Family::default();
        registry.register_with_unit(
            "upstream",
            "From sending a call upstream to the head of its answer",
            Unit::Seconds,
            upstream_seconds.clone(),
        );
        let shells: Family<EndpointLabels, Gauge> = Family::default();
        registry.register(
            "shells",
            "Open sessions of PowerShell remoting, by endpoint",
            shells.clone(),
        );
        let pipelines: Family<EndpointLabels, Gauge> = Family::default();
        registry.register(
            "pipelines",
            "Pipelines that servers behind remoting run, by endpoint",
            pipelines.clone(),
        );
        let connections = Gauge::default();
        registry.register(
            "connections",
            "Open client connections",
            connections.clone(),
        );
        let refused = Family::<ReasonLabels, Counter>::default();
        registry.register(
            "refused",
            "Requests refused without a decision in force, by reason",
            refused.clone(),
        );
        let grants = Gauge::default();
        registry.register(
            "grants",
            "Grants in memory, active and scheduled",
            grants.clone(),
        );
        let audit_records = Counter::default();
        registry.register(
            "audit_records",
            "Records written to the audit log",
            audit_records.clone(),
        );
        let audit_failing = Gauge::default();
        registry.register(
            "audit_failing",
            "1 while the audit log cannot be written and calls are refused, else 0",
            audit_failing.clone(),
        );
        let reloads = Family::<ResultLabels, Counter>::default();
        registry.register(
            "policy_reloads",
            "Readings of the policy files after the start, by result",
            reloads.clone(),
        );
        let notifications = Family::default();
        registry.register(
            "notifications",
            "Attempts to deliver notices, by channel: sent, failed (tried again) and dead (given up)",
            notifications.clone(),
        );
        let notifications_pending = Gauge::default();
        registry.register(
            "notifications_pending",
            "Notices that wait to be delivered, reminders that are not yet due among them",
            notifications_pending.clone(),
        );
        let notifications_dead = Gauge::default();
        registry.register(
            "notifications_dead",
            "Notices that were given up in the last 30 days",
            notifications_dead.clone(),
        );
        // A gauge, as is usual: the plain text format has no metric of the type `info`.
        let build = Family::<VersionLabels, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&VersionLabels { version }).set(1);
        registry.register("build_info", "The version that runs", build);
        let refused = ["audit", "limit", "sign-in", "store", "unreadable"]
            .map(|reason| refused.get_or_create_owned(&ReasonLabels { reason }));
        let reloads = ["rejected", "succeeded"]
            .map(|result| reloads.get_or_create_owned(&ResultLabels { result }));
        Self {
            shared: Arc::new(Shared {
                registry,
                decisions,
                requests,
                request_seconds,
                upstream_seconds,
                shells,
                pipelines,
                connections,
                refused,
                grants,
                audit_records,
                audit_failing,
                reloads,
                notifications,
                notifications_pending,
                notifications_dead,
            }),
        }
    }

    /// The series of the endpoint at `path`. To be called once an endpoint, and kept.
    pub fn endpoint(&self, path: &str) -> EndpointMetrics {
        EndpointMetrics::new(
            path,
            &self.shared.decisions,
            &self.shared.requests,
            &self.shared.request_seconds,
            &self.shared.upstream_seconds,
            &self.shared.shells,
            &self.shared.pipelines,
        )
    }

    /// Counts an open connection for as long as the value lives.
    pub fn connection(&self) -> OpenConnection {
        self.shared.connections.inc();
        OpenConnection {
            connections: self.shared.connections.clone(),
        }
    }

    /// Counts a refusal.
    pub fn refused(&self, reason: RefusedReason) {
        let [audit, limit, sign_in, store, unreadable] = &self.shared.refused;
        match reason {
            RefusedReason::Audit => audit,
            RefusedReason::Limit => limit,
            RefusedReason::SignIn => sign_in,
            RefusedReason::Store => store,
            RefusedReason::Unreadable => unreadable,
        }
        .inc();
    }

    /// Sets how many grants are in memory.
    pub fn set_grants(&self, count: usize) {
        self.shared
            .grants
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts records of the audit log.
    pub fn set_audit_records(&self, total: u64) {
        let records = self.shared.audit_records.inner();
        records.store(total, std::sync::atomic::Ordering::Relaxed);
    }

    /// Sets whether the audit log can be written.
    pub fn set_audit_failing(&self, is_failing: bool) {
        self.shared.audit_failing.set(i64::from(is_failing));
    }

    /// Counts what became of the notices of the channel of this name.
    pub fn set_notifications(&self, channel: &str, delivered: Delivered) {
        for (result, count) in [
            ("dead", delivered.dead),
            ("failed", delivered.failed),
            ("sent", delivered.sent),
        ] {
            let labels = NotificationLabels {
                channel: channel.to_owned(),
                result,
            };
            let counter = self.shared.notifications.get_or_create_owned(&labels);
            let counter = counter.inner();
            counter.store(count, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Sets how many notices wait, and how many were given up.
    pub fn set_notifications_waiting(&self, pending: i64, dead: i64) {
        self.shared.notifications_pending.set(pending);
        self.shared.notifications_dead.set(dead);
    }

    /// Counts a reading of the policy files.
    pub fn policies_reloaded(&self, result: ReloadResult) {
        let [rejected, succeeded] = &self.shared.reloads;
        match result {
            ReloadResult::Rejected => rejected,
            ReloadResult::Succeeded => succeeded,
        }
        .inc();
    }

    /// All series as text, of type [`CONTENT_TYPE`].
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.shared.registry)?;
        Ok(exposition::prometheus(&page))
    }
}

/// An open connection, counted until it is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    connections: Gauge,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.dec();
    }
}

#[cfg(test)]
mod tests;
