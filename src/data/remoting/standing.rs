//! What was permitted of a pipeline that runs: the proof for its further steps, and its outcomes, which are not known yet.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::Utc;
use serde_json::Map;
use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::{Event, RecordedPermit};
use crate::data::gate::{Gate, Route};
use crate::data::judge::Judged;
use crate::data::outcome::OutcomeGuard;
use crate::identity::{Fallen, Voucher};
use crate::model::{Command, Principal};
use crate::policy::{SessionCall, Subject};
use crate::telemetry::metrics::RunningPipeline;

/// What is decided on in a session.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A command of a pipeline.
    Command(Arc<Command>),
    /// Something that runs no cmdlet.
    Session(&'static SessionCall),
}

/// A session is opened.
pub(super) const CREATE: &SessionCall = &SessionCall {
    name: "CreateShell",
};
/// A session is closed by its client.
pub(super) const DELETE: &SessionCall = &SessionCall {
    name: "DeleteShell",
};
/// The server's commands are listed.
pub(super) const LISTING: &SessionCall = &SessionCall {
    name: "GetCommandMetadata",
};

impl Judged for Act {
    fn subject(&self) -> Subject<'_> {
        match self {
            Self::Command(command) => Subject::Command(command),
            Self::Session(call) => Subject::Session(call),
        }
    }

    fn is_trial(&self) -> bool {
        self.command().is_some_and(Command::is_what_if)
    }
}

/// A command of a pipeline that runs, permitted and on record.
#[derive(Debug)]
pub(super) struct Permitted {
    pub(super) permit: RecordedPermit<Act>,
    /// The grant that it passed by: it goes on with the use that it took of that.
    pub(super) grant: Option<Uuid>,
}

/// Who began a pipeline.
#[derive(Clone, Debug)]
pub(super) struct Beginner {
    pub(super) voucher: Voucher,
    /// Where their request came from.
    pub(super) source: IpAddr,
}

impl Beginner {
    pub(super) fn principal(&self) -> &Arc<Principal> {
        self.voucher.principal()
    }

    /// Whether they would still be signed in at this endpoint by what they were.
    pub(super) fn check(&self, gate: &Gate, route: &Route) -> Result<(), Fallen> {
        gate.identities
            .vouch(&route.identities, &self.voucher, Utc::now())
    }

    /// Puts on record that a pipeline does not run, or not on, since they would not. No decision is about that.
    pub(super) fn record(&self, gate: &Gate, route: &Route, pipeline: Uuid, fallen: Fallen) {
        let at = Utc::now();
        let principal = self.principal();
        let mut details = Map::new();
        details.insert("reason".to_owned(), fallen.reason().into());
        details.insert("endpoint".to_owned(), route.path.to_string().into());
        details.insert("pipeline".to_owned(), pipeline.to_string().into());
        gate.audit.event_soon(Event {
            id: gate.audit.new_id(at),
            at,
            kind: "sign-in.failed".to_owned(),
            principal: Some((principal.key.clone(), principal.name.clone())),
            source: Some(self.source),
            request: None,
            grant: None,
            policy: None,
            decision: None,
            details,
        });
    }
}

/// What was permitted of a pipeline that runs.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) permitted: Arc<[Permitted]>,
    pub(super) beginner: Beginner,
    /// Requests of its client that are decided on, or wait while it is permitted: they see to its end themselves.
    pub(super) attended: usize,
    /// Since when nothing covers it any more, as far as the gateway noticed by itself.
    pub(super) uncovered: Option<Instant>,
    /// The gateway stops it by itself, or did.
    pub(super) is_being_stopped: bool,
    outcomes: Vec<OutcomeGuard>,
    counted: Option<RunningPipeline>,
}

impl Standing {
    pub(super) fn new(
        permitted: Vec<Permitted>,
        beginner: Beginner,
        outcomes: Vec<OutcomeGuard>,
        counted: RunningPipeline,
    ) -> Self {
        Self {
            permitted: permitted.into(),
            beginner,
            attended: 0,
            uncovered: None,
            is_being_stopped: false,
            outcomes,
            counted: Some(counted),
        }
    }

    /// The pipeline has ended like this.
    pub(super) fn finish(&mut self, result: &'static str) {
        for mut outcome in self.outcomes.drain(..) {
            outcome.finish(result);
        }
        self.counted = None;
    }

    /// The server answered with this status.
    pub(super) fn upstream_answered(&mut self, status: u16) {
        for outcome in &mut self.outcomes {
            outcome.upstream_answered(status);
        }
    }

    /// The client is answered with this status, though the server did not take the pipeline.
    pub(super) fn answers(&mut self, status: u16) {
        for outcome in &mut self.outcomes {
            outcome.answers(status);
        }
    }
}
