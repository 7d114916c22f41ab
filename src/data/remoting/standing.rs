//! What was permitted of a pipeline that runs: the proof for its further steps, and its outcomes, which are not known yet.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::RecordedPermit;
use crate::data::judge::Judged;
use crate::data::outcome::OutcomeGuard;
use crate::dialect::psrp::session::Stage;
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

/// What was decided of a step of a pipeline, and by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed<'a> {
    pub(super) command: Uuid,
    pub(super) stage: Stage,
    pub(super) acts: &'a [Act],
    /// The grants that the commands passed by.
    pub(super) grants: &'a [Option<Uuid>],
    /// Of which generation the state was when it was looked at, if what was looked at is in force.
    pub(super) generation: Option<u64>,
}

/// Who began a pipeline.
#[derive(Clone, Debug)]
pub(super) struct Beginner {
    pub(super) principal: Arc<Principal>,
    /// Where their request came from.
    pub(super) source: IpAddr,
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
