//! Refusals that are not decisions: what went wrong before or around one, for the client, the log and the counters.

use http::StatusCode;
use http::header::{CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use uuid::Uuid;

use crate::audit;
use crate::dialect::exchange_rest;
use crate::dialect::{Problem, Reply, Unreadable};
use crate::identity::SignInFailure;
use crate::telemetry::metrics::RefusedReason;
use crate::upstream::{Delivery, UpstreamError};

use super::gate::Protocol;
use super::remoting;

/// Why a request is refused without a decision.
#[derive(Debug)]
pub(super) struct Rejection {
    /// The answer's status.
    pub(super) status: StatusCode,
    /// A stable word for records and counters.
    pub(super) reason: &'static str,
    /// What the client is told.
    pub(super) text: String,
    /// How it is counted; `None` where another count says it already.
    pub(super) kind: Option<RefusedReason>,
    /// With remoting: the request that it answers,
    pub(super) relates: Option<Uuid>,
    /// and the host's name that the client used.
    pub(super) machine: String,
    /// Headers that the answer needs besides.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Rejection {
    fn new(
        kind: impl Into<Option<RefusedReason>>,
        status: StatusCode,
        reason: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Self {
            status,
            reason,
            text: text.into(),
            kind: kind.into(),
            relates: None,
            machine: String::new(),
            headers: Vec::new(),
        }
    }

    /// The head is not one that the gateway passes on. The connection is closed after the answer.
    pub(super) fn head(reason: &'static str, text: &str) -> Self {
        Self::new(
            RefusedReason::Unreadable,
            StatusCode::BAD_REQUEST,
            reason,
            text,
        )
        .closing()
    }

    pub(super) fn no_such_endpoint() -> Self {
        Self::new(
            RefusedReason::Unreadable,
            StatusCode::BAD_REQUEST,
            "no-endpoint",
            "nothing is served at this path; point the tool at an endpoint of the gateway's configuration",
        )
    }

    pub(super) fn body_too_large(limit: usize) -> Self {
        Self::new(RefusedReason::Limit, StatusCode::PAYLOAD_TOO_LARGE, "body-too-large",
            format!("the request's body is larger than {limit} bytes (the gateway's `proxy.limits.body`)"),
        )
        .closing()
    }

    /// The use that the call needs of its grant cannot be stored.
    pub(super) fn no_use(text: &str) -> Self {
        Self::new(
            RefusedReason::Store,
            StatusCode::SERVICE_UNAVAILABLE,
            "use-not-stored",
            text,
        )
    }

    pub(super) fn no_room_for_body() -> Self {
        let mut rejection = Self::new(
            RefusedReason::Limit,
            StatusCode::SERVICE_UNAVAILABLE,
            "bodies-at-limit",
            "the gateway holds as many request bodies as it may; try again in a moment",
        );
        rejection
            .headers
            .push((RETRY_AFTER, HeaderValue::from_static("1")));
        rejection.closing()
    }

    pub(super) fn body_broken() -> Self {
        Self::new(
            RefusedReason::Unreadable,
            StatusCode::BAD_REQUEST,
            "body-broken",
            "the request's body ended early or is badly framed",
        )
        .closing()
    }

    pub(super) fn body_too_slow() -> Self {
        Self::new(
            RefusedReason::Limit,
            StatusCode::BAD_REQUEST,
            "body-too-slow",
            "the request's body took too long to arrive",
        )
        .closing()
    }

    pub(super) fn wrong_tenant(tenant: &str) -> Self {
        Self::new(
            RefusedReason::SignIn,
            StatusCode::FORBIDDEN,
            "wrong-tenant",
            format!("the URL names tenant `{tenant}`, which your sign-in is not for"),
        )
    }

    pub(super) fn foreign_item(id: &str) -> Self {
        Self::new(
            RefusedReason::SignIn,
            StatusCode::FORBIDDEN,
            "foreign-item",
            format!(
                "item `{id}` of the batch carries another caller's credential than the request itself"
            ),
        )
    }

    pub(super) fn regional_item(id: &str) -> Self {
        Self::new(
            RefusedReason::Unreadable,
            StatusCode::BAD_REQUEST,
            "regional-item",
            format!(
                "item `{id}` of the batch asks for a further page of a regional host; follow its `@odata.nextLink` by itself"
            ),
        )
    }

    pub(super) fn unlisted_host(host: &str) -> Self {
        Self::new(
            RefusedReason::Unreadable,
            StatusCode::FORBIDDEN,
            "unlisted-host",
            format!("`{host}` is not a regional host that this endpoint may lead to"),
        )
    }

    pub(super) fn unlisted_redirect(host: &str) -> Self {
        Self::new(
            None,
            StatusCode::BAD_GATEWAY,
            "unlisted-redirect",
            format!(
                "the upstream redirects to `{host}`, which is not in the endpoint's `regional_hosts`; an operator can add it"
            ),
        )
    }

    pub(super) fn credential_refused() -> Self {
        Self::upstream_refused(
            "the upstream refused the credential that the gateway signs in with; your own sign-in is fine, and an operator of the gateway has to look at it",
        )
    }

    /// The server answered with a status that says that it does nothing of what was asked.
    pub(super) fn upstream_refused(text: &str) -> Self {
        Self::new(None, StatusCode::BAD_GATEWAY, "upstream-refused", text)
    }

    pub(super) fn upstream_answer(text: &str) -> Self {
        Self::new(None, StatusCode::BAD_GATEWAY, "upstream-answer", text)
    }

    /// What was to go upstream is not what was decided on: a mistake of the gateway's, and refused like any other.
    pub(super) fn not_cleared() -> Self {
        Self::new(
            None,
            StatusCode::INTERNAL_SERVER_ERROR,
            "not-cleared",
            "the gateway could not tell that this was permitted, so it was not done; run it again",
        )
    }

    /// The task that carried the request out broke down: a mistake of the gateway's.
    pub(super) fn broke_down() -> Self {
        Self::new(
            None,
            StatusCode::INTERNAL_SERVER_ERROR,
            "broke-down",
            "the gateway failed at this request; what came of it may be on record",
        )
    }

    pub(super) fn session_taken() -> Self {
        Self::new(
            RefusedReason::Unreadable,
            StatusCode::CONFLICT,
            "shell-twice",
            "there is a session with this id; open one with another",
        )
    }

    pub(super) fn session_late() -> Self {
        Self::new(
            RefusedReason::Unreadable,
            StatusCode::CONFLICT,
            "shell-late",
            "a session with this id ended while the server had not answered all of it, and that may reach the server yet; open one with another id",
        )
    }

    pub(super) fn too_many_late() -> Self {
        Self::new(
            RefusedReason::Limit,
            StatusCode::FORBIDDEN,
            "sessions-late-at-limit",
            "too many of your sessions ended without an answer of the server; open another when it answers again, and some time has passed (at most the endpoint's `remoting.idle`)",
        )
    }

    pub(super) fn too_many_sessions() -> Self {
        Self::new(
            RefusedReason::Limit,
            StatusCode::SERVICE_UNAVAILABLE,
            "sessions-at-limit",
            "the gateway keeps as many sessions as it may (the endpoint's `remoting.shells`); try again later",
        )
    }

    pub(super) fn too_many_of_one(count: usize) -> Self {
        Self::new(
            RefusedReason::Limit,
            StatusCode::FORBIDDEN,
            "sessions-of-one-at-limit",
            format!(
                "you have {count} sessions open, as many as you may; close one with Remove-PSSession"
            ),
        )
    }

    /// The client of what ends a pipeline or a session went away, and the server did not answer soon.
    pub(super) fn not_waited_for() -> Self {
        Self::upstream_answer("the server behind the gateway did not answer soon enough")
    }

    /// What ends something did not leave: as much as may be is being ended at the server already.
    pub(super) fn no_turn() -> Self {
        Self::new(
            RefusedReason::Limit,
            StatusCode::SERVICE_UNAVAILABLE,
            "ends-at-limit",
            "the server behind the gateway does not answer what you want to end, and no more of it waits at once; try again later",
        )
    }

    /// What was decided did not go upstream: it does not hold any more.
    pub(super) fn withdrawn() -> Self {
        Self::new(
            None,
            StatusCode::FORBIDDEN,
            "withdrawn",
            "what permitted this was over before the server behind the gateway had room for it, so it was not sent; run it again",
        )
    }

    /// The session was closed while the server had something of it.
    pub(super) fn session_closed() -> Self {
        Self::upstream_answer("the session was closed before the server answered this")
    }

    /// What the server said has no room beside what was not read yet.
    pub(super) fn answers_unread() -> Self {
        Self::new(
            RefusedReason::Limit,
            StatusCode::SERVICE_UNAVAILABLE,
            "answers-unread",
            "the answers to this session that were not read take all the memory that they may, so this one is lost; read them, and run the pipeline again",
        )
    }

    pub(super) fn session_busy() -> Self {
        Self::new(
            RefusedReason::Limit,
            StatusCode::SERVICE_UNAVAILABLE,
            "session-busy",
            "too many requests of this session wait at once; wait for some to end",
        )
    }

    /// How the outcome of what was refused like this is recorded.
    pub(super) fn reason_of_outcome(&self) -> &'static str {
        match self.reason {
            known @ ("upstream-timeout" | "upstream-broken" | "upstream-unreachable") => known,
            "upstream-answer" | "upstream-refused" => "upstream-broken",
            "ends-at-limit" => "upstream-timeout",
            "withdrawn" => "not-run",
            _ => "failed",
        }
    }

    /// Whether what was to go upstream did not leave.
    pub(super) fn is_unsent(&self) -> bool {
        self.reason == "upstream-unreachable" || self.is_withdrawn()
    }

    /// Whether it did not leave because what was decided does not hold any more.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.reason == "withdrawn"
    }

    /// Whether the server, as far as it is told of what was to go there, does nothing of it any more.
    pub(super) fn is_certain(&self) -> bool {
        self.is_unsent() || self.reason == "upstream-refused"
    }

    /// With remoting: as an answer to the request `relates` of a client that knows the gateway as `machine`.
    pub(super) fn relating(mut self, relates: Option<Uuid>, machine: &str) -> Self {
        self.relates = relates;
        machine.clone_into(&mut self.machine);
        self
    }

    fn closing(mut self) -> Self {
        self.headers
            .push((CONNECTION, HeaderValue::from_static("close")));
        self
    }

    /// The answer in the shape of what the endpoint speaks; without an endpoint, in that of the admin API. `id` is the request's.
    pub(super) fn into_reply(self, id: Uuid, protocol: Option<&Protocol>) -> Reply {
        if let Some(Protocol::Psrp(_)) = protocol {
            let mut reply = remoting::refusal(&self, id);
            reply.headers.extend(self.headers);
            return reply;
        }
        let problem = Problem {
            status: self.status,
            target: String::new(),
            text: self.text,
        };
        let mut reply = exchange_rest::refuse(&problem, id);
        reply.headers.extend(self.headers);
        reply
    }
}

impl From<SignInFailure> for Rejection {
    fn from(failure: SignInFailure) -> Self {
        let mut rejection = Self::new(
            RefusedReason::SignIn,
            failure.status(),
            failure.reason(),
            failure.public_text(),
        );
        if failure.status() == StatusCode::UNAUTHORIZED {
            rejection
                .headers
                .push((WWW_AUTHENTICATE, failure.challenge()));
        }
        rejection
    }
}

impl From<Unreadable> for Rejection {
    fn from(unreadable: Unreadable) -> Self {
        Self::new(
            RefusedReason::Unreadable,
            unreadable.status,
            unreadable.reason,
            unreadable.text,
        )
    }
}

impl From<audit::Unavailable> for Rejection {
    fn from(unavailable: audit::Unavailable) -> Self {
        let mut rejection = Self::new(
            RefusedReason::Audit,
            StatusCode::SERVICE_UNAVAILABLE,
            "audit-unavailable",
            format!(
                "nothing runs without a record, and {unavailable}; the gateway goes on by itself when it can be"
            ),
        );
        rejection
            .headers
            .push((RETRY_AFTER, HeaderValue::from_static("5")));
        rejection
    }
}

impl From<&UpstreamError> for Rejection {
    fn from(error: &UpstreamError) -> Self {
        if matches!(error, UpstreamError::Withdrawn { .. }) {
            return Self::withdrawn();
        }
        Self::new(
            None,
            error.status(),
            upstream_result(error),
            error.client_text(),
        )
    }
}

/// The word for an outcome record of a call that the upstream did not answer. What never left is `upstream-unreachable`, however that came.
pub(super) fn upstream_result(error: &UpstreamError) -> &'static str {
    match (error, error.delivery()) {
        (UpstreamError::Withdrawn { .. }, _) => "not-run",
        (_, Delivery::NotSent) => "upstream-unreachable",
        (UpstreamError::Timeout { .. }, Delivery::MayHaveArrived) => "upstream-timeout",
        (_, Delivery::MayHaveArrived) => "upstream-broken",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::upstream::Phase;

    #[test]
    fn what_never_left_is_told_from_what_may_have_arrived() {
        let late = |phase| UpstreamError::Timeout {
            authority: "mail.contoso.example".parse().unwrap(),
            phase,
            limit: Duration::from_secs(1),
        };
        for (phase, word, is_unsent) in [
            (Phase::Connect, "upstream-unreachable", true),
            (Phase::Head, "upstream-timeout", false),
            (Phase::Body, "upstream-timeout", false),
        ] {
            let error = late(phase);
            assert_eq!(upstream_result(&error), word);
            assert_eq!(Rejection::from(&error).is_unsent(), is_unsent);
        }
    }
}
