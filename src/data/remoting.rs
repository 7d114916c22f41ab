//! PowerShell remoting, from a request's operation on: what it means in its session → judgement → record → upstream or
//! answer → outcome.
//!
//! `visit` is a request's life. A session ([`shells`]) outlives connections and requests; what was permitted of a pipeline
//! stands with it ([`standing`]) until it ends. What goes upstream is [`clearance::Cleared`], and nothing else.

mod clearance;
mod closing;
mod decide;
mod going;
mod hold;
mod lanes;
mod leave;
mod own;
mod reply;
mod shells;
mod standing;
mod starting;
mod unasked;
mod unread;
mod upstream;
mod visit;

use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use http::Response;
use uuid::Uuid;

use crate::config;
use crate::dialect::Unreadable;
use crate::dialect::psrp::clixml::Item;
use crate::dialect::psrp::pipeline::{Catalogue, Coverage};
use crate::dialect::psrp::session::Limits;
use crate::dialect::psrp::soap::{self, Peer};
use crate::model::OwnCmdlet;

use super::call::{Arrival, Seen};
use super::reject::Rejection;
use super::reply::{ReplyBody, response};

use self::shells::Shells;
use self::unread::Charged;
use self::visit::Visit;

pub use self::closing::{close_sessions, reserved_for_sessions, tend_sessions};
pub(super) use self::reply::refusal;

/// What an endpoint for remoting keeps.
pub struct Remoting {
    settings: config::Remoting,
    /// The server's scheme and authority.
    origin: String,
    /// How long the gateway waits for an answer of the server.
    upstream_timeout: Duration,
    /// The gateway's own cmdlets.
    own: Vec<OwnCmdlet>,
    /// What is known of the server's commands, from its own answers.
    catalogue: RwLock<Catalogue>,
    shells: Shells,
}

impl Remoting {
    /// An endpoint without sessions. `origin` is the server's scheme and authority.
    pub fn new(
        settings: config::Remoting,
        origin: String,
        upstream_timeout: Duration,
        own: Vec<OwnCmdlet>,
    ) -> Self {
        let catalogue = RwLock::new(Catalogue::new(Coverage::Part).with_own(&own));
        // Nothing that the server keeps waiting is kept for longer than a session that nobody uses.
        let shells = Shells::new(settings.idle.max(upstream_timeout));
        Self {
            settings,
            origin,
            upstream_timeout,
            own,
            catalogue,
            shells,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            commands: self.settings.pipelines_per_shell,
            held_bytes: self.settings.reassembly_bytes,
            ..Limits::default()
        }
    }

    /// How long a request may be held: less than any proxy or client would wait.
    fn longest_hold(&self) -> Duration {
        self.upstream_timeout
    }

    fn catalogue(&self) -> RwLockReadGuard<'_, Catalogue> {
        self.catalogue
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns commands from an answer of the server.
    fn learn(&self, items: &[Item]) {
        if items.is_empty() {
            return;
        }
        let mut catalogue = self
            .catalogue
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for item in items {
            // What does not fit is not known, and so refused where it matters.
            if catalogue.add(item).is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Remoting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remoting")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Answers a request to a session.
pub(super) async fn answer(
    arrival: &Arrival<'_>,
    remoting: &Remoting,
    seen: &mut Seen<'_>,
) -> Result<Response<ReplyBody>, Rejection> {
    let machine = machine(arrival.authority);
    let relates = soap::message_of(arrival.body);
    let refused = |rejection: Rejection| rejection.relating(relates, machine);
    let route = arrival.scene.route;
    let parts = arrival.parts;
    let path_and_query = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let (target, request) =
        soap::read_head(&parts.method, path_and_query, &parts.headers, &route.path)
            .and_then(|target| {
                let request = soap::read_request(arrival.body, &remoting.settings.configuration)?;
                Ok((target, request))
            })
            .map_err(|unreadable: Unreadable| refused(unreadable.into()))?;
    let charged = Charged::default();
    let mut visit = Visit {
        arrival,
        remoting,
        charged: &charged,
        request: &request,
        target: &target,
        decided: false,
    };
    // On the heap, as it is large.
    let answer = Box::pin(visit.answer()).await;
    seen.decided |= visit.decided;
    let answer = answer.map_err(refused)?;
    let peer = Peer {
        url: arrival.gateway_base,
        configuration: &remoting.settings.configuration,
        machine,
        owner: &arrival.caller.principal.name,
    };
    let relates = Some(request.frame.message);
    let class = reply::class(&answer);
    let mut reply = reply::reply(&answer, Uuid::now_v7(), relates, &peer);
    reply.body = charged.onto(reply.body);
    let mut answer = response(reply);
    answer.extensions_mut().insert(class);
    Ok(answer)
}

/// The host's name that faults show.
fn machine(authority: &str) -> &str {
    authority
        .rsplit_once(':')
        .filter(|it| it.1.bytes().all(|it| it.is_ascii_digit()))
        .map_or(authority, |it| it.0)
}
