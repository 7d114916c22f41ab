//! What the server answers, and what of it the client hears.

use uuid::Uuid;

use crate::dialect::Unreadable;
use crate::dialect::psrp::soap::{
    CommandState, Fault, Operation, Received, Response, Signal, Subcode,
};
use crate::model::OwnCmdlet;

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
                    Ok(Response::Started { command: started })
                } else {
                    odd()
                }
            }
            (Operation::Create { .. }, Response::Created { shell }) if shell == self.id => {
                Ok(Response::Created { shell })
            }
            (Operation::Delete, Response::Deleted) => {
                self.is_closed = true;
                Ok(Response::Deleted)
            }
            (Operation::Receive { command, .. }, Response::Received(received)) => {
                self.received(*command, received, own)
            }
            (Operation::Send { .. }, Response::Sent) => Ok(Response::Sent),
            (Operation::Signal { command, signal }, Response::Signalled) => {
                let state = self.commands.get(command).map(|it| &it.state);
                if *signal == Signal::Terminate && matches!(state, Some(State::Running(_))) {
                    self.end(*command, Ending::Stopped);
                    self.commands.remove(command);
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
            Operation::Command { command, .. } => self.lost(*command),
            Operation::Create { .. } => self.is_closed = true,
            Operation::Delete
            | Operation::Receive { command: None, .. }
            | Operation::Send { command: None, .. } => self.is_closed |= is_gone,
            Operation::Receive {
                command: Some(command),
                ..
            }
            | Operation::Send {
                command: Some(command),
                ..
            }
            | Operation::Signal { command, .. } => {
                let state = self.commands.get(command).map(|it| &it.state);
                if is_gone && matches!(state, Some(State::Running(_))) {
                    self.end(*command, Ending::Unclear);
                    self.commands.remove(command);
                }
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
        let Some(State::Local(local)) = self.commands.get_mut(&command).map(|it| &mut it.state)
        else {
            return unknown_response();
        };
        let received = local.take(max_envelope);
        if received.state.is_some_and(|it| it.1 == CommandState::Done) {
            self.commands.remove(&command);
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
            State::Deciding(_) | State::Incomplete => {
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

    /// The server has not taken the command.
    pub fn lost(&mut self, command: Uuid) {
        self.end(command, Ending::Failed);
        self.commands.remove(&command);
    }
}
