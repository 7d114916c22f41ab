//! What a decision comes to: the second half of a session's way, from what was decided to what goes upstream.

use uuid::Uuid;

use crate::dialect::psrp::answer::{self, Failure};
use crate::dialect::psrp::message::{self, Destination, Kind, Message};
use crate::dialect::psrp::soap::{Operation, Stream};
use crate::model::Object;

use super::local::Local;
use super::{Go, Next, Proposal, Shell, State, Whereabouts, ends, pack, unknown_command};

impl Shell {
    /// Nobody decides on the proposal any more: a pipeline that has not begun never was.
    pub fn dropped(&mut self, proposal: Proposal) {
        let Proposal { command, next, .. } = proposal;
        let state = self.commands.get(&command).map(|it| &it.state);
        if let (Next::Start(..), Some(State::Deciding(_))) = (next, state) {
            self.commands.remove(&command);
        }
    }

    /// The proposal is permitted: what goes upstream.
    pub fn permitted(&mut self, proposal: Proposal) -> Go {
        let Proposal { command, next, .. } = proposal;
        let (kind, data, mut work, answer) = match next {
            Next::Continue(operations, answer) => {
                // It may have been ended while it was decided on.
                return match self.commands.get(&command).map(|it| &it.state) {
                    Some(State::Running(_)) => Go { operations, answer },
                    Some(
                        State::Deciding(_)
                        | State::Incomplete
                        | State::Local(_)
                        | State::Starting(_)
                        | State::Stopping(..),
                    )
                    | None => unknown_command(),
                };
            }
            Next::Start(kind, data, work, answer) => (kind, data, work, answer),
        };

        let Some(running) = self.commands.get_mut(&command) else {
            return unknown_command();
        };
        let State::Deciding(_) = running.state else {
            return Go {
                operations: Vec::new(),
                answer: Some(answer),
            };
        };
        let message = |kind, data| {
            message::write(&Message {
                destination: Destination::Server,
                kind,
                pool: self.id,
                pipeline: command,
                data,
            })
        };
        let mut payloads = pack(&[(self.numbers.next(), message(kind, data))]);
        work.untaken = payloads.len();
        if std::mem::take(&mut running.has_ended_early) {
            let end = message(Kind::EndOfPipelineInput, String::new());
            payloads.extend(pack(&[(self.numbers.next(), end)]));
        }
        running.state = State::Starting(work);
        let operations = payloads.into_iter().enumerate().map(|(index, data)| {
            if index == 0 {
                Operation::Command {
                    command,
                    arguments: data,
                }
            } else {
                Operation::Send {
                    command: Some(command),
                    stream: Stream::Stdin,
                    data,
                }
            }
        });
        Go {
            operations: operations.collect(),
            answer: Some(answer),
        }
    }

    /// The proposal is refused, with `text` for the person at the client: the pipeline fails, and the server is told to stop it
    /// if it runs there. Whatever the server says to that, the client hears the same; but as long as it says nothing, the
    /// pipeline counts as one that runs.
    pub fn refused(&mut self, proposal: Proposal, why: Failure, text: &str) -> Go {
        let Proposal { command, next, .. } = proposal;
        let state = answer::failed(why, text);
        let local = Local::new(self.id, command, &[], &state, &mut self.next_own_object);
        let Some(running) = self.commands.get_mut(&command) else {
            return unknown_command();
        };
        match next {
            Next::Start(.., answer) => {
                if let State::Deciding(_) = running.state {
                    running.state = State::Local(local);
                }
                Go {
                    operations: Vec::new(),
                    answer: Some(answer),
                }
            }
            Next::Continue(_, answer) => {
                let operations = match std::mem::take(&mut running.state) {
                    // It ends when the server says that it does.
                    State::Running(work) => {
                        running.state = State::Stopping(work, Some(local));
                        ends(command)
                    }
                    other @ (State::Deciding(_)
                    | State::Incomplete
                    | State::Local(_)
                    | State::Starting(_)
                    | State::Stopping(..)) => {
                        running.state = other;
                        Vec::new()
                    }
                };
                Go {
                    answer: Some(answer.unwrap_or_else(|| self.take(command, None))),
                    operations,
                }
            }
        }
    }

    /// What was permitted is so no more, and not all of it went up, or it did and the server did not say so: the pipeline fails, with `text`
    /// for the person at the client. What goes upstream ends it there, if the server may have it.
    pub fn withdrawn(&mut self, command: Uuid, at: Whereabouts, text: &str) -> Vec<Operation> {
        let state = answer::failed(Failure::Blocked, text);
        let local = Local::new(self.id, command, &[], &state, &mut self.next_own_object);
        let Some(running) = self.commands.get_mut(&command) else {
            return Vec::new();
        };
        match (std::mem::take(&mut running.state), at) {
            (State::Starting(_), Whereabouts::Here) => {
                running.state = State::Local(local);
                Vec::new()
            }
            (State::Running(work) | State::Starting(work), _) => {
                running.state = State::Stopping(work, Some(local));
                ends(command)
            }
            (
                other @ (State::Deciding(_)
                | State::Incomplete
                | State::Local(_)
                | State::Stopping(..)),
                _,
            ) => {
                running.state = other;
                Vec::new()
            }
        }
    }

    /// The gateway has run the proposal's cmdlet itself, and returns `objects`.
    pub fn answered(&mut self, proposal: Proposal, objects: &[Object]) -> Go {
        let Proposal { command, next, .. } = proposal;
        let local = Local::new(
            self.id,
            command,
            objects,
            &answer::completed(),
            &mut self.next_own_object,
        );
        let Some(running) = self.commands.get_mut(&command) else {
            return unknown_command();
        };
        if let State::Deciding(_) = running.state {
            running.state = State::Local(local);
        }
        Go {
            operations: Vec::new(),
            answer: match next {
                Next::Continue(_, answer) => answer,
                Next::Start(.., answer) => Some(answer),
            },
        }
    }
}
