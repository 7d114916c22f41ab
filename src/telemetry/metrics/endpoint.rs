//! The series of one endpoint, found once and then only added to.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::policy::{Rule, Verdict};

use super::Histogram;

/// The first digit of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// 4xx.
    ClientError,
    /// The client went away before there was one.
    None,
    /// 3xx.
    Redirect,
    /// 5xx, and what is no status.
    ServerError,
    /// 1xx and 2xx.
    Success,
}

impl StatusClass {
    /// The class of `status`; `None` if the client was not answered.
    pub fn of(status: Option<u16>) -> Self {
        match status {
            None => Self::None,
            Some(100..300) => Self::Success,
            Some(300..400) => Self::Redirect,
            Some(400..500) => Self::ClientError,
            Some(_) => Self::ServerError,
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct EndpointLabels {
    endpoint: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct DecisionLabels {
    endpoint: String,
    verdict: &'static str,
    rule: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RequestLabels {
    endpoint: String,
    status: &'static str,
}

/// Every pair of verdict and rule that a decision can have (DESIGN 3.1).
const DECISIONS: [(Verdict, Rule); 25] = [
    (Verdict::Allow, Rule::AccessControlDisabled),
    (Verdict::Allow, Rule::BreakGlass),
    (Verdict::Allow, Rule::Exempt),
    (Verdict::Allow, Rule::GatewayCmdlet),
    (Verdict::Allow, Rule::Granted),
    (Verdict::Allow, Rule::SessionCall),
    (Verdict::Allow, Rule::UngovernedAllowed),
    (Verdict::Block, Rule::GrantsUnknown),
    (Verdict::Block, Rule::NeedsApproval),
    (Verdict::Block, Rule::Never),
    (Verdict::Block, Rule::OutsideWindow),
    (Verdict::Block, Rule::ParameterRule),
    (Verdict::Block, Rule::PinnedParameters),
    (Verdict::Block, Rule::SpreadLimit),
    (Verdict::Block, Rule::UngovernedBlocked),
    (Verdict::Block, Rule::UsedUp),
    (Verdict::ReportOnly, Rule::GrantsUnknown),
    (Verdict::ReportOnly, Rule::NeedsApproval),
    (Verdict::ReportOnly, Rule::Never),
    (Verdict::ReportOnly, Rule::OutsideWindow),
    (Verdict::ReportOnly, Rule::ParameterRule),
    (Verdict::ReportOnly, Rule::PinnedParameters),
    (Verdict::ReportOnly, Rule::SpreadLimit),
    (Verdict::ReportOnly, Rule::UngovernedBlocked),
    (Verdict::ReportOnly, Rule::UsedUp),
];

/// The series of one endpoint. Counting is an atomic addition.
#[derive(Clone, Debug)]
pub struct EndpointMetrics {
    path: String,
    decisions: [Counter; DECISIONS.len()],
    all_decisions: Family<DecisionLabels, Counter>,
    requests: [Counter; 5],
    request_seconds: Histogram,
    upstream_seconds: Histogram,
    shells: Gauge,
    pipelines: Gauge,
}

/// An open session of remoting, counted until it is dropped.
#[derive(Debug)]
pub struct OpenShell(Gauge);

impl Drop for OpenShell {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A pipeline that the server runs, counted until it is dropped.
#[derive(Debug)]
pub struct RunningPipeline(Gauge);

impl Drop for RunningPipeline {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl EndpointMetrics {
    pub(super) fn new(
        path: &str,
        decisions: &Family<DecisionLabels, Counter>,
        requests: &Family<RequestLabels, Counter>,
        request_seconds: &Family<EndpointLabels, Histogram>,
        upstream_seconds: &Family<EndpointLabels, Histogram>,
        shells: &Family<EndpointLabels, Gauge>,
        pipelines: &Family<EndpointLabels, Gauge>,
    ) -> Self {
        let labels = EndpointLabels {
            endpoint: path.to_owned(),
        };
        let requests_of = |status| {
            requests.get_or_create_owned(&RequestLabels {
                endpoint: path.to_owned(),
                status,
            })
        };
        Self {
            path: path.to_owned(),
            decisions: DECISIONS
                .map(|it| decisions.get_or_create_owned(&decision_labels(path, it))),
            all_decisions: decisions.clone(),
            requests: ["2xx", "3xx", "4xx", "5xx", "none"].map(requests_of),
            request_seconds: request_seconds.get_or_create_owned(&labels),
            upstream_seconds: upstream_seconds.get_or_create_owned(&labels),
            shells: shells.get_or_create_owned(&labels),
            pipelines: pipelines.get_or_create_owned(&labels),
        }
    }

    /// Counts a decision.
    pub fn decided(&self, verdict: Verdict, rule: Rule) {
        let known = DECISIONS
            .iter()
            .zip(&self.decisions)
            .find(|it| *it.0 == (verdict, rule));
        if let Some((_, counter)) = known {
            counter.inc();
        } else {
            // A pair that no decision should have is counted too, at the price of a look-up.
            let labels = decision_labels(&self.path, (verdict, rule));
            self.all_decisions.get_or_create(&labels).inc();
        }
    }

    /// Counts an answered request, and how long it took from head to end.
    pub fn answered(&self, status: StatusClass, took: Duration) {
        let [success, redirect, client, server, none] = &self.requests;
        match status {
            StatusClass::Success => success,
            StatusClass::Redirect => redirect,
            StatusClass::ClientError => client,
            StatusClass::ServerError => server,
            StatusClass::None => none,
        }
        .inc();
        self.request_seconds.observe(took);
    }

    /// Counts an open session for as long as the value lives.
    pub fn shell(&self) -> OpenShell {
        self.shells.inc();
        OpenShell(self.shells.clone())
    }

    /// Counts a running pipeline for as long as the value lives.
    pub fn pipeline(&self) -> RunningPipeline {
        self.pipelines.inc();
        RunningPipeline(self.pipelines.clone())
    }

    /// Counts how long the upstream took to the head of its answer.
    pub fn upstream(&self, took: Duration) {
        self.upstream_seconds.observe(took);
    }
}

fn decision_labels(path: &str, (verdict, rule): (Verdict, Rule)) -> DecisionLabels {
    DecisionLabels {
        endpoint: path.to_owned(),
        verdict: verdict.as_str(),
        rule: rule.as_str(),
    }
}
