//! What was permitted of a pipeline that runs: the proof for its further steps, and its outcomes, which are not known yet.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use serde_json::Map;
use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::{Event, RecordedPermit};
use crate::data::gate::{Gate, Route};
use crate::data::judge::Judged;
use crate::data::outcome::OutcomeGuard;
use crate::dialect::psrp::session::Stage;
use crate::identity::{Fallen, Voucher};
use crate::model::{Command, Principal};
use crate::policy::{Examined, PolicySet, SessionCall, Subject};
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

/// What was decided of a step of a pipeline, and by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed<'a> {
    pub(super) command: Uuid,
    pub(super) stage: Stage,
    pub(super) acts: &'a [Act],
    pub(super) stands_on: &'a StandsOn,
    /// Of which generation the state was when it was looked at, if what was looked at is in force.
    pub(super) generation: Option<u64>,
}

/// What a pipeline goes on by.
#[derive(Clone, Debug)]
pub(super) struct StandsOn {
    /// The grants that its commands passed by.
    grants: Arc<[Option<Uuid>]>,
    /// What rules say of its commands' parameters by the policies that were looked at last. They may have many values, so whoever comes while they are
    /// looked at waits for that rather than do it once more.
    examined: Arc<Mutex<Arc<[Examined]>>>,
}

impl StandsOn {
    pub(super) fn new(grants: impl IntoIterator<Item = Option<Uuid>>) -> Self {
        Self {
            grants: grants.into_iter().collect(),
            examined: Arc::new(Mutex::new(Arc::new([]))),
        }
    }

    /// The grant that the command of this number passed by, if by one.
    pub(super) fn grant(&self, index: usize) -> Option<Uuid> {
        self.grants.get(index).copied().flatten()
    }

    /// What rules say of these under `policies`, one for each that is a command.
    pub(super) fn examined(&self, acts: &[Act], policies: &Arc<PolicySet>) -> Arc<[Examined]> {
        let commands = || {
            acts.iter().filter_map(|it| match it {
                Act::Command(command) => Some(command),
                Act::Session(_) => None,
            })
        };
        let mut known = self.examined.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of =
            |(examined, command): (&Examined, &Arc<Command>)| examined.is_of(command, policies);
        let is_known = known.len() == commands().count() && known.iter().zip(commands()).all(is_of);
        if !is_known {
            *known = commands()
                .map(|it| Examined::new(Arc::clone(it), Arc::clone(policies)))
                .collect();
        }
        Arc::clone(&known)
    }
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
    pub(super) stands_on: StandsOn,
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
        stands_on: StandsOn,
        beginner: Beginner,
        outcomes: Vec<OutcomeGuard>,
        counted: RunningPipeline,
    ) -> Self {
        Self {
            permitted: permitted.into(),
            stands_on,
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
