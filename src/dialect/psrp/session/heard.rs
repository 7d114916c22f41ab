//! What the server answers, and what of it the client hears.

use uuid::Uuid;

use crate::dialect::Unreadable;
use crate::dialect::psrp::answer::{self, Failure};
use crate::dialect::psrp::soap::{
    CommandState, Fault, Operation, Received, Response, Signal, Subcode,
};
use crate::model::OwnCmdlet;

use super::local::Local;
use super::{Ending, Shell, State, WorkKind, bad, pack, unknown_response};

impl Shell {
    /// What the client hears of the server's answer to `operation`.
    pub fn heard(
        &mut self,
        operation: &Operation,
        response: Response,
        own: &[OwnCmdlet],
    ) -> Result<Response, Unreadable> {
        let odd = || Err(bad("upstream-answer", "the server answered something else"));
        match (operation, response) {
            (operation, Response::Fault(fault)) => {
                self.failed(operation, &fault);
                Ok(Response::Fault(fault))
            }
            (Operation::Command { command, .. }, Response::Started { command: started }) => {
                if started == *command {
                    self.started(started);
                    Ok(Response::Started { command: started })
                } else {
                    odd()
                }
            }
            (Operation::Create { .. }, Response::Created { shell }) if shell == self.id => {
                self.is_opened = true;
                Ok(Response::Created { shell })
            }
            (Operation::Delete, Response::Deleted) => {
                self.close(Ending::NotFetched);
                Ok(Response::Deleted)
            }
            (Operation::Receive { command, .. }, Response::Received(received)) => {
                self.received(*command, received, own)
            }
            (Operation::Send { command, .. }, Response::Sent) => {
                self.taken(*command);
                Ok(Response::Sent)
            }
            (Operation::Signal { command, signal }, Response::Signalled) => {
                match signal {
                    Signal::Stop => {}
                    Signal::Terminate => self.over(*command, Ending::NotFetched),
                }
                Ok(Response::Signalled)
            }
            (
                Operation::Command { .. }
                | Operation::Create { .. }
                | Operation::Delete
                | Operation::Receive { .. }
                | Operation::Send { .. }
                | Operation::Signal { .. },
                _,
            ) => odd(),
        }
    }

    /// What a fault in answer to `operation` means.
    fn failed(&mut self, operation: &Operation, fault: &Fault) {
        let is_gone = matches!(
            fault.subcode,
            Subcode::InvalidSelectors | Subcode::OperationAborted
        );
        match operation {
            Operation::Command { command, .. } => {
                // One that exists already is there.
                if fault.subcode.refuses() && fault.subcode != Subcode::AlreadyExists {
                    self.lost(*command);
                } else {
                    self.unanswered(*command);
                }
            }
            Operation::Create { .. } => self.is_closed = true,
            // That something broke off says nothing of the session that was to be closed.
            Operation::Delete => {
                if fault.subcode == Subcode::InvalidSelectors {
                    self.close(Ending::Unclear);
                }
            }
            Operation::Receive { command: None, .. } | Operation::Send { command: None, .. } => {
                if is_gone {
                    self.close(Ending::Unclear);
                }
            }
            Operation::Receive {
                command: Some(command),
                ..
            }
            | Operation::Send {
                command: Some(command),
                ..
            } => {
                if is_gone {
                    self.unanswered(*command);
                }
            }
            Operation::Signal { command, .. } => {
                if is_gone {
                    self.not_known(*command);
                }
            }
        }
    }

    /// The server has the pipeline: what else there is of it may go upstream.
    fn started(&mut self, command: Uuid) {
        let Some(running) = self.commands.get_mut(&command) else {
            return;
        };
        match std::mem::take(&mut running.state) {
            State::Starting(mut work) => {
                work.untaken = work.untaken.saturating_sub(1);
                work.is_taken = true;
                running.state = State::Running(work);
            }
            State::Stopping(mut work, local) => {
                work.is_taken = true;
                running.state = State::Stopping(work, local);
            }
            other @ (State::Deciding(_)
            | State::Incomplete
            | State::Local(_)
            | State::Running(_)) => running.state = other,
        }
    }

    /// The server has taken input, or more of the first message of a pipeline, before which no input goes upstream.
    fn taken(&mut self, command: Option<Uuid>) {
        let running = command.and_then(|it| self.commands.get_mut(&it));
        if let Some(State::Running(work)) = running.map(|it| &mut it.state) {
            work.untaken = work.untaken.saturating_sub(1);
        }
    }

    /// The server was told to end a pipeline, and says that it does not know it.
    fn not_known(&mut self, command: Uuid) {
        match self.commands.get(&command).map(|it| &it.state) {
            // It is asked once more: one such answer is not enough for what ran a moment ago.
            Some(State::Running(_) | State::Starting(_)) => self.unanswered(command),
            // It may begin with it yet.
            Some(State::Stopping(work, _)) if !work.is_taken => {}
            Some(
                State::Deciding(_) | State::Incomplete | State::Local(_) | State::Stopping(..),
            )
            | None => self.over(command, Ending::Unclear),
        }
    }

    /// The server has no such session any more, and runs none of its pipelines: they ended like this, if nothing else is known.
    fn close(&mut self, how: Ending) {
        self.is_closed = true;
        for (command, mut it) in self.commands.drain() {
            self.endings.extend(it.end(command, how));
        }
    }

    /// The server has no such pipeline any more: it ended like this, if nothing else is known of it. What the gateway has to say of
    /// it the client may still hear.
    fn over(&mut self, command: Uuid, how: Ending) {
        self.finished.remove(&command);
        let Some(running) = self.commands.get_mut(&command) else {
            return;
        };
        self.endings.extend(running.end(command, how));
        match std::mem::take(&mut running.state) {
            State::Stopping(_, Some(local)) => running.state = State::Local(local),
            State::Running(_) | State::Starting(_) | State::Stopping(_, None) => {
                self.commands.remove(&command);
            }
            other @ (State::Deciding(_) | State::Incomplete | State::Local(_)) => {
                running.state = other;
            }
        }
    }

    pub(super) fn end(&mut self, command: Uuid, how: Ending) {
        let ended = self.commands.get_mut(&command);
        self.endings
            .extend(ended.and_then(|it| it.end(command, how)));
    }

    /// What the gateway says for a command that it answers itself; with the last of it, the command is over.
    pub(super) fn take(&mut self, command: Uuid, max_envelope: Option<u32>) -> Response {
        let state = self.commands.get_mut(&command).map(|it| &mut it.state);
        let Some(State::Local(local) | State::Stopping(_, Some(local))) = state else {
            return unknown_response();
        };
        let received = local.take(max_envelope);
        if received.state.is_none_or(|it| it.1 != CommandState::Done) {
            return Response::Received(received);
        }
        match state {
            // The server may run it still.
            Some(State::Stopping(_, local)) => *local = None,
            _ => {
                self.commands.remove(&command);
            }
        }
        Response::Received(received)
    }

    fn received(
        &mut self,
        command: Option<Uuid>,
        received: Received,
        own: &[OwnCmdlet],
    ) -> Result<Response, Unreadable> {
        let Some(command) = command else {
            return Ok(Response::Received(received));
        };
        // A revoke may have ended it while the answer was on its way.
        let Some(running) = self.commands.get_mut(&command) else {
            return Ok(unknown_response());
        };
        let Received { output, state } = received;
        if state.is_some_and(|it| it.0 != command)
            || output.iter().any(|it| it.0.is_some_and(|it| it != command))
        {
            return Err(bad(
                "upstream-answer",
                "the server answered for another command",
            ));
        }
        let output = match &mut running.state {
            State::Local(_) => return Ok(self.take(command, None)),
            State::Stopping(work, _) => {
                for (_, payload) in &output {
                    let how = work.watch.look(payload).map(|it| match it {
                        Ending::Stopped => Ending::Refused,
                        other @ (Ending::Completed
                        | Ending::Failed
                        | Ending::NotFetched
                        | Ending::Refused
                        | Ending::Unclear) => other,
                    });
                    self.endings
                        .extend(how.and_then(|it| work.end(command, it)));
                }
                return Ok(self.take(command, None));
            }
            State::Running(work) => {
                for (_, payload) in &output {
                    if let Some(how) = work.watch.look(payload) {
                        self.endings.extend(work.end(command, how));
                    }
                }
                let WorkKind::Listing(listing) = &mut work.kind else {
                    return Ok(self.passed(command, output, state));
                };
                let mut passed = Vec::new();
                for (_, payload) in &output {
                    let next_own_object = &mut self.next_own_object;
                    let next = || {
                        *next_own_object += 1;
                        *next_own_object
                    };
                    for object in listing.pass(payload, own, &mut self.learned, next)? {
                        passed.push((object.id, object.bytes));
                    }
                }
                pack(&passed)
                    .into_iter()
                    .map(|it| (Some(command), it))
                    .collect()
            }
            State::Deciding(_) | State::Incomplete | State::Starting(_) => {
                return Err(bad(
                    "upstream-answer",
                    "the server answered for a command that does not run",
                ));
            }
        };
        Ok(self.passed(command, output, state))
    }

    /// Output that goes to the client; with the last of it, the command is over.
    fn passed(
        &mut self,
        command: Uuid,
        output: Vec<(Option<Uuid>, Vec<u8>)>,
        state: Option<(Uuid, CommandState)>,
    ) -> Response {
        if state.is_some_and(|it| it.1 == CommandState::Done) {
            self.end(command, Ending::Unclear);
            self.commands.remove(&command);
            self.finished.insert(command);
        }
        Response::Received(Received { output, state })
    }

    /// The server did not say whether it has taken the command, or says that it has it no more, which is not believed of what ran:
    /// it may run there, with nobody to fetch its output, so it is to end.
    pub fn unanswered(&mut self, command: Uuid) {
        self.end(command, Ending::Unclear);
        let Some(running) = self.commands.get_mut(&command) else {
            return;
        };
        match std::mem::take(&mut running.state) {
            State::Running(work) | State::Starting(work) => {
                running.state = State::Stopping(work, None);
                self.to_end.push(command);
            }
            other @ (State::Deciding(_)
            | State::Incomplete
            | State::Local(_)
            | State::Stopping(..)) => running.state = other,
        }
    }

    /// The server did not say that it took input of a pipeline, or took only some of it, so what it reads next of that is not known:
    /// it gets no more, and the pipeline is to end.
    pub fn input_lost(&mut self, command: Uuid) {
        const TEXT: &str = "the server behind the gateway did not say that it took all of what was piped in, so the pipeline was ended. What it took before may have run";
        if !self.is_running(command) {
            return;
        }
        self.unanswered(command);
        let state = answer::failed(Failure::Unavailable, TEXT);
        let told = Local::new(self.id, command, &[], &state, &mut self.next_own_object);
        if let Some(State::Stopping(_, local)) =
            self.commands.get_mut(&command).map(|it| &mut it.state)
        {
            *local = Some(told);
        }
    }

    /// The server has taken the beginning of the command, and said this to the rest.
    pub fn broken_off(&mut self, command: Uuid, fault: &Fault) {
        let state = self.commands.get(&command).map(|it| &it.state);
        // What comes behind the first message (that no input follows) the pipeline may run without.
        if let Some(State::Running(work)) = state
            && work.untaken > 0
            && fault.subcode.refuses()
        {
            self.end(command, Ending::Failed);
        }
        self.unanswered(command);
    }

    /// The server has not taken the command.
    pub fn lost(&mut self, command: Uuid) {
        self.end(command, Ending::Failed);
        let Some(running) = self.commands.get_mut(&command) else {
            return;
        };
        match std::mem::take(&mut running.state) {
            // It was refused meanwhile, and its client may still hear of that.
            State::Stopping(_, Some(local)) => running.state = State::Local(local),
            State::Deciding(_)
            | State::Incomplete
            | State::Local(_)
            | State::Running(_)
            | State::Starting(_)
            | State::Stopping(_, None) => {
                self.commands.remove(&command);
            }
        }
    }
}
