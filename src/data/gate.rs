//! What a worker needs to serve a request: shared parts once in a [`Gate`], its own upstream connections in a [`Worker`].

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::audit::AuditLog;
use crate::config::{Limits, Timeouts};
use crate::dialect::exchange_rest::LinkHosts;
use crate::identity::{Identities, Strangers};
use crate::model::Workload;
use crate::policy;
use crate::state::{GrantUses, OwnCmdlets, State};
use crate::telemetry::metrics::{EndpointMetrics, Metrics};
use crate::tls::ReloadableServer;
use crate::upstream::{Pool, Upstream};

use super::body::BodyBudget;
use super::credential::UpstreamCredential;
use super::remoting::Remoting;

/// What an endpoint speaks, with what it keeps for that.
#[derive(Debug)]
pub enum Protocol {
    /// Exchange's admin API.
    ExchangeRest,
    /// PowerShell remoting.
    Psrp(Arc<Remoting>),
}

/// An endpoint, ready to serve.
#[derive(Debug)]
pub struct Route {
    /// The first half of its tasks' names.
    pub workload: Workload,
    /// Its wire protocol.
    pub protocol: Protocol,
    /// Its path at the gateway: lower case, no trailing slash.
    pub path: Arc<str>,
    /// Names of the identities that may sign in here.
    pub identities: Vec<String>,
    /// Domains that a URL may name in place of a tenant's GUID: domain (lower case) and GUID.
    pub tenants: Vec<(String, String)>,
    /// What the decision needs to know.
    pub rules: policy::Endpoint,
    /// Where its calls go.
    pub upstream: Upstream,
    /// Authorities, lower case, of the other hosts that a redirect or a nextLink may lead to,
    pub regional_hosts: Vec<String>,
    /// and those hosts, in the same order.
    pub regional: Vec<Upstream>,
    /// The hosts that links in answers may name.
    pub link_hosts: Arc<LinkHosts>,
    /// Authorities that URLs inside a request may name.
    pub authorities: Vec<String>,
    /// How the gateway signs in upstream.
    pub credential: UpstreamCredential,
    /// Its counters.
    pub metrics: EndpointMetrics,
}

impl Route {
    /// The regional upstream with this authority (lower case), if it is listed.
    pub(super) fn regional(&self, authority: &str) -> Option<&Upstream> {
        let at = self.regional_hosts.iter().position(|it| it == authority)?;
        self.regional.get(at)
    }
}

/// What all workers share.
pub struct Gate {
    /// Policies, grants, settings.
    pub state: Arc<State>,
    /// The audit log.
    pub audit: AuditLog,
    /// Who may be who.
    pub identities: Arc<Identities>,
    /// Who answers the gateway's own cmdlets.
    pub own_cmdlets: Arc<dyn OwnCmdlets>,
    /// Who counts the uses of grants.
    pub uses: Arc<dyn GrantUses>,
    /// The endpoints.
    pub routes: Vec<Route>,
    /// How clients reach the gateway: scheme and authority, lower case; `None`: as each request names it.
    pub public_base: Option<String>,
    /// Whether clients speak TLS to the gateway.
    pub tls: Option<Arc<ReloadableServer>>,
    /// Limits on size and number.
    pub limits: Limits,
    /// Limits on time.
    pub timeouts: Timeouts,
    /// Bytes of request bodies that may be held at once.
    pub bodies: BodyBudget,
    /// Bounds the records that callers who are not signed in cause.
    pub strangers: Arc<Strangers>,
    /// Fires when the gateway stops: whoever only waits is told so.
    pub stopping: CancellationToken,
    /// Counters.
    pub metrics: Metrics,
}

impl Gate {
    /// The endpoint whose path `path` lies under, compared without case by whole segments.
    pub fn route(&self, path: &str) -> Option<&Route> {
        self.routes.iter().find(|route| {
            let prefix = route.path.len();
            path.get(..prefix)
                .is_some_and(|start| start.eq_ignore_ascii_case(&route.path))
                && path.as_bytes().get(prefix).is_none_or(|next| *next == b'/')
        })
    }
}

/// One worker's share: the gate, and connections upstream that no other worker touches.
pub struct Worker {
    /// What all workers share.
    pub gate: Arc<Gate>,
    /// This worker's upstream connections.
    pub pool: Pool,
}
