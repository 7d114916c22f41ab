//! What a request means: the first half of a session's way, up to what must be decided.

use std::sync::Arc;

use uuid::Uuid;

use crate::dialect::Unreadable;
use crate::dialect::psrp::answer::{self, Failure};
use crate::dialect::psrp::clixml;
use crate::dialect::psrp::fragment;
use crate::dialect::psrp::message::{self, Destination, Kind, Message, Place};
use crate::dialect::psrp::pipeline::{Input, Pipeline, PipelineError};
use crate::dialect::psrp::soap::{Fault, Operation, Request, Response, Signal, Stream};

use super::local::Local;
use super::metadata::Listing;
use super::{
    Context, Go, Next, Proposal, Running, Shell, Stage, State, Step, Subject, Work, WorkKind, bad,
    ends, plain, pool, rewrite, sends, unknown_response,
};

/// How many ids of a client's last requests are remembered.
const REMEMBERED_MESSAGES: usize = 256;

impl Shell {
    /// What `request` of the principal with the key `caller` means. After an error the client gets it as a fault.
    pub fn step(
        &mut self,
        caller: &str,
        request: &Request,
        context: &Context<'_>,
    ) -> Result<Step, Unreadable> {
        let is_there = self.is_opened && !self.is_closed;
        if !self.is_of(caller) || request.shell != self.id || !is_there {
            return Ok(Step::Answer(Response::Fault(Fault::unknown("such shell"))));
        }
        let message = request.frame.message;
        if self.messages.contains(&message) {
            return Err(bad(
                "message-twice",
                "a request with this id was here before",
            ));
        }
        if self.messages.len() >= REMEMBERED_MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
        self.again(request, context)
    }

    /// What a request that was held means by now. It was here before, as [`Shell::step`].
    pub fn again(&mut self, request: &Request, context: &Context<'_>) -> Result<Step, Unreadable> {
        if self.is_closed {
            return Ok(Step::Answer(Response::Fault(Fault::unknown("such shell"))));
        }
        match &request.operation {
            Operation::Command { command, arguments } => self.start(*command, arguments, context),
            Operation::Create { .. } => Err(bad("shell-twice", "there is a shell with this id")),
            Operation::Delete => Ok(Step::Forward(vec![Operation::Delete])),
            Operation::Receive {
                command: None,
                keep_alive,
            } => Ok(Step::Forward(vec![Operation::Receive {
                command: None,
                keep_alive: *keep_alive,
            }])),
            Operation::Receive {
                command: Some(command),
                ..
            } => Ok(self.receive(*command, request.frame.max_envelope)),
            Operation::Send {
                command: None,
                stream,
                data,
            } => self.send(*stream, data),
            Operation::Send {
                command: Some(command),
                stream,
                data,
            } => self.send_to(*command, *stream, data, context),
            Operation::Signal { command, signal } => Ok(self.signal(*command, *signal)),
        }
    }

    fn start(
        &mut self,
        command: Uuid,
        arguments: &[u8],
        context: &Context<'_>,
    ) -> Result<Step, Unreadable> {
        if self.used.contains(&command) {
            return Err(bad(
                "command-twice",
                "there was a command with this id in this session",
            ));
        }
        if self.commands.len() >= self.limits.commands
            || self.used.len() >= self.limits.commands_ever
        {
            return Err(bad(
                "too-many-commands",
                "this session has too many commands; open a new one",
            ));
        }
        self.used.insert(command);
        self.commands.insert(command, Running::default());
        let answer = Response::Started { command };
        let step = self.add_start(command, arguments, answer, context);
        if step.is_err() {
            self.commands.remove(&command);
        }
        step
    }

    /// Adds to the first message of `command`.
    fn add_start(
        &mut self,
        command: Uuid,
        payload: &[u8],
        answer: Response,
        context: &Context<'_>,
    ) -> Result<Step, Unreadable> {
        let limits = self.object_limits(command);
        let Some(running) = self.commands.get_mut(&command) else {
            return Ok(Step::Answer(unknown_response()));
        };
        let mut objects = running.stdin.push(payload, &limits)?;
        let Some(object) = objects.pop() else {
            return Ok(Step::Answer(answer));
        };
        if !objects.is_empty() || running.stdin.is_open() {
            return Err(bad(
                "command-start",
                "a command begins with one message, and nothing behind it",
            ));
        }
        let message =
            message::read_from_client(&object.bytes, Place::CommandStart, self.id, Some(command))?;
        let size = object.bytes.len();
        running.state = State::Deciding(size);
        let propose = |subject, data, work| {
            let work = Work::new(work, size);
            Ok(Step::Decide(Box::new(Proposal {
                command,
                subject,
                stage: Stage::Start,
                next: Next::Start(message.kind, data, work, answer.clone()),
            })))
        };
        if message.kind == Kind::GetCommandMetadata {
            let (data, names) = pool::metadata(&message.data)?;
            let work = WorkKind::Listing(Listing::new(names));
            return propose(Subject::Listing, data, work);
        }
        let item = clixml::read(&message.data)?;
        let read = Pipeline::read(&item, context.workload, context.catalogue);
        let judged = read.and_then(|it| it.commands().map(|judged| (it, judged)));
        match judged {
            Ok((pipeline, judged)) => {
                let commands: Vec<_> = judged.into_iter().map(Arc::new).collect();
                let subject = match (pipeline.own_task(), commands.as_slice()) {
                    (Some(_), [own]) => Subject::Own(Arc::clone(own)),
                    (_, _) => Subject::Commands(commands.clone()),
                };
                let data = clixml::write(&pipeline.write());
                let work = WorkKind::Pipeline(Box::new(pipeline), commands);
                propose(subject, data, work)
            }
            Err(PipelineError::Malformed(problem)) => Err(problem),
            Err(PipelineError::Refused(problem)) => {
                let state = answer::failed(Failure::Unsupported, &problem.text);
                let local = Local::new(self.id, command, &[], &state, &mut self.next_own_object);
                running.state = State::Local(local);
                Ok(Step::Answer(answer))
            }
        }
    }

    /// How much `command` may still hold.
    fn object_limits(&self, command: Uuid) -> fragment::Limits {
        let others = self.commands.iter().filter(|it| *it.0 != command);
        let held: usize = others.map(|it| it.1.held()).sum();
        let held = held + self.stdin.held() + self.pr.held();
        let limits = fragment::Limits::default();
        fragment::Limits {
            object_bytes: limits
                .object_bytes
                .min(self.limits.held_bytes.saturating_sub(held)),
            ..limits
        }
    }

    fn receive(&mut self, command: Uuid, max_envelope: Option<u32>) -> Step {
        let Some(running) = self.commands.get(&command) else {
            return Step::Answer(unknown_response());
        };
        let operation = Operation::Receive {
            command: Some(command),
            keep_alive: false,
        };
        match &running.state {
            State::Deciding(_) | State::Incomplete | State::Starting(_) => Step::Hold,
            State::Local(_) => Step::Answer(self.take(command, max_envelope)),
            State::Running(work) => Step::Decide(Box::new(Proposal {
                command,
                subject: work.subject(),
                stage: Stage::Onward,
                next: Next::Continue(vec![operation], None),
            })),
            // The server did not say that it ended, so it is told again.
            State::Stopping(..) => Step::End(Go {
                operations: ends(command),
                answer: Some(self.take(command, max_envelope)),
            }),
        }
    }

    /// Input for the shell itself.
    fn send(&mut self, stream: Stream, data: &[u8]) -> Result<Step, Unreadable> {
        let limits = self.object_limits(Uuid::nil());
        let (reassembler, place) = match stream {
            Stream::Pr => (&mut self.pr, Place::ShellPr),
            Stream::Stdin => (&mut self.stdin, Place::ShellStdin),
        };
        let mut written = Vec::new();
        let mut answered: Option<Uuid> = None;
        for object in reassembler.push(data, &limits)? {
            let message = message::read_from_client(&object.bytes, place, self.id, None)?;
            let is_for = if message.kind == Kind::PipelineHostResponse {
                *answered.get_or_insert(message.pipeline)
            } else {
                Uuid::nil()
            };
            if message.pipeline != is_for {
                return Err(bad(
                    "message-ids",
                    "a message is not for the pipeline that it could be for",
                ));
            }
            written.push((self.numbers.next(), rewrite(&message)?));
        }
        let Some(command) = answered else {
            return Ok(forward(stream, &written));
        };
        match self.commands.get(&command).map(|it| &it.state) {
            Some(State::Running(work)) => Ok(Step::Decide(Box::new(Proposal {
                command,
                subject: work.subject(),
                stage: Stage::Onward,
                next: Next::Continue(sends(None, stream, &written), Some(Response::Sent)),
            }))),
            Some(
                State::Deciding(_)
                | State::Incomplete
                | State::Local(_)
                | State::Starting(_)
                | State::Stopping(..),
            )
            | None => Err(bad(
                "message-ids",
                "a message is for a pipeline that does not run",
            )),
        }
    }

    /// Input for a command.
    fn send_to(
        &mut self,
        command: Uuid,
        stream: Stream,
        data: &[u8],
        context: &Context<'_>,
    ) -> Result<Step, Unreadable> {
        let limits = self.object_limits(command);
        let Some(running) = self.commands.get_mut(&command) else {
            // What is late for a command that has ended goes nowhere.
            return Ok(Step::Answer(if self.used.contains(&command) {
                Response::Sent
            } else {
                unknown_response()
            }));
        };
        match (&running.state, stream) {
            (State::Incomplete, Stream::Stdin) => {
                let step = self.add_start(command, data, Response::Sent, context);
                if step.is_err() {
                    self.commands.remove(&command);
                }
                return step;
            }
            (State::Deciding(_), Stream::Stdin) => {
                return self.end_early(command, data, &limits);
            }
            (State::Deciding(_) | State::Incomplete, _) => return Err(early()),
            (State::Starting(_), _) => return Ok(Step::Hold),
            (State::Local(_) | State::Running(_) | State::Stopping(..), _) => {}
        }
        let (reassembler, place) = match stream {
            Stream::Pr => (&mut running.pr, Place::CommandPr),
            Stream::Stdin => (&mut running.stdin, Place::CommandStdin),
        };
        let objects = reassembler.push(data, &limits)?;
        let mut inputs = Vec::new();
        let mut written = Vec::new();
        for object in objects {
            let message = message::read_from_client(&object.bytes, place, self.id, Some(command))?;
            let is_input = matches!(message.kind, Kind::EndOfPipelineInput | Kind::PipelineInput);
            if is_input && running.has_all_input {
                return Err(bad("input-ended", "input after the end of input"));
            }
            running.has_all_input |= message.kind == Kind::EndOfPipelineInput;
            match (&running.state, message.kind) {
                (
                    State::Running(Work {
                        kind: WorkKind::Pipeline(pipeline, _),
                        ..
                    }),
                    Kind::PipelineInput,
                ) => {
                    if pipeline.input() == Input::Absent {
                        return Err(bad("input-unasked", "input for a pipeline that takes none"));
                    }
                    inputs.push(clixml::read(&message.data)?);
                }
                (State::Running(_), Kind::EndOfPipelineInput | Kind::PipelineHostResponse) => {
                    written.push(rewrite(&message)?);
                }
                // A cmdlet of the gateway takes no input, and a pipeline that has failed none any more.
                (
                    State::Local(_) | State::Stopping(..),
                    Kind::EndOfPipelineInput | Kind::PipelineInput,
                ) => {}
                _ => return Err(bad("input-unasked", "input for a command that takes none")),
            }
        }
        let State::Running(work) = &running.state else {
            return Ok(Step::Answer(Response::Sent));
        };
        let mut judged = Vec::new();
        if let (WorkKind::Pipeline(pipeline, _), false) = (&work.kind, inputs.is_empty()) {
            let (commands, items) = pipeline.commands_with_input(&inputs).map_err(plain)?;
            judged.extend(commands.into_iter().map(Arc::new));
            let message = |item| Message {
                destination: Destination::Server,
                kind: Kind::PipelineInput,
                pool: self.id,
                pipeline: command,
                data: clixml::write(item),
            };
            let items = items.iter().map(|it| message::write(&message(it)));
            // Behind the end of input there is none: what else is written comes after it.
            written.splice(0..0, items);
        }
        let numbered = written.into_iter().map(|it| (self.numbers.next(), it));
        let written: Vec<_> = numbered.collect();
        if written.is_empty() {
            return Ok(Step::Answer(Response::Sent));
        }
        let (subject, stage) = if judged.is_empty() {
            (work.subject(), Stage::Onward)
        } else {
            (Subject::Commands(judged), Stage::Input)
        };
        Ok(Step::Decide(Box::new(Proposal {
            command,
            subject,
            stage,
            next: Next::Continue(sends(Some(command), stream, &written), Some(Response::Sent)),
        })))
    }

    /// Input for a command that waits for a decision: only that there is none, which clients say right behind the start.
    fn end_early(
        &mut self,
        command: Uuid,
        data: &[u8],
        limits: &fragment::Limits,
    ) -> Result<Step, Unreadable> {
        let Some(running) = self.commands.get_mut(&command) else {
            return Ok(Step::Answer(unknown_response()));
        };
        let objects = running.stdin.push(data, limits)?;
        let [object] = objects.as_slice() else {
            return Err(early());
        };
        let place = Place::CommandStdin;
        let message = message::read_from_client(&object.bytes, place, self.id, Some(command))?;
        if message.kind != Kind::EndOfPipelineInput || running.has_all_input {
            return Err(early());
        }
        running.has_all_input = true;
        running.has_ended_early = true;
        Ok(Step::Answer(Response::Sent))
    }

    fn signal(&mut self, command: Uuid, signal: Signal) -> Step {
        let Some(running) = self.commands.get_mut(&command) else {
            if self.finished.contains(&command) {
                return Step::Forward(vec![Operation::Signal { command, signal }]);
            }
            return Step::Answer(if self.used.contains(&command) {
                Response::Signalled
            } else {
                unknown_response()
            });
        };
        // It would overtake the start, and end nothing.
        if let State::Starting(_) = running.state {
            return Step::Hold;
        }
        if let State::Stopping(_, local) = &mut running.state
            && signal == Signal::Terminate
        {
            *local = None;
        }
        if let State::Running(_) | State::Stopping(..) = running.state {
            return Step::Forward(vec![Operation::Signal { command, signal }]);
        }
        match signal {
            Signal::Stop => {
                let state = answer::stopped();
                let local = Local::new(self.id, command, &[], &state, &mut self.next_own_object);
                running.state = State::Local(local);
            }
            Signal::Terminate => {
                self.commands.remove(&command);
            }
        }
        Step::Answer(Response::Signalled)
    }
}

fn early() -> Unreadable {
    bad(
        "input-early",
        "values cannot be piped into a command that has not started, or waits for approval; run it again once it is approved",
    )
}

fn forward(stream: Stream, messages: &[(u64, Vec<u8>)]) -> Step {
    if messages.is_empty() {
        Step::Answer(Response::Sent)
    } else {
        Step::Forward(sends(None, stream, messages))
    }
}
