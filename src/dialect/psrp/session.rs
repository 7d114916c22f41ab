//! A shell: what a client's request means in the state that its session is in.
//!
//! Pure, as a state machine: [`Shell::step`] takes a request and says what to do ([`Step`]); where something must be decided,
//! the caller decides and comes back with [`Shell::permitted`], [`Shell::refused`] or [`Shell::answered`], which say what goes
//! upstream and what the client hears ([`Go`]); what upstream says comes back through [`Shell::heard`]. Nothing of a pipeline
//! goes upstream before it is whole and permitted, and each further step of it (input, waiting for output) is decided again.
//!
//! INVARIANT: what the server may still run counts as running here. A pipeline has ended when the server said so, and not when it
//! was told to end it: the answer may never come. Nor has it when the server does not know it, unless the server has said before
//! that it is started: its start may still be on its way. Until that is answered nothing else of the pipeline goes upstream.
//! INVARIANT: an operation in [`Go`] or [`Step::Forward`] holds no byte of a client's; it is written from what was read, under
//! numbers of the gateway's own.

mod heard;
mod local;
mod metadata;
mod pool;
mod step;
mod verdict;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use crate::model::{Command, Workload};

use super::clixml::{self, Item};
use super::fragment::{self, MAX_BLOB, Reassembler};
use super::message::{self, Kind, Message, Place};
use super::pipeline::{Catalogue, Pipeline, PipelineError};
use super::soap::{Fault, Operation, Response, Signal, Stream};
use crate::dialect::Unreadable;

use self::local::Local;
use self::metadata::Listing;
use self::watch::Watch;

/// The first number of a message of the gateway's own: far from those that servers give, since clients keep one table.
const FIRST_OWN_OBJECT: u64 = 1 << 40;

/// How much one shell may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Commands at a time.
    pub commands: usize,
    /// Commands in its life: their ids are not used twice.
    pub commands_ever: usize,
    /// Bytes in messages that are not whole yet.
    pub held_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commands: 64,
            commands_ever: 1 << 16,
            held_bytes: 32 << 20,
        }
    }
}

/// What reading needs besides the shell.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The workload that the endpoint stands for.
    pub workload: &'a Workload,
    /// What is known of the server's commands.
    pub catalogue: &'a Catalogue,
}

/// A shell of one principal.
#[derive(Debug)]
pub struct Shell {
    id: Uuid,
    owner: String,
    limits: Limits,
    stdin: Reassembler,
    pr: Reassembler,
    commands: HashMap<Uuid, Running>,
    used: HashSet<Uuid>,
    /// Those that have ended at the server, which keeps them until it is told to forget them.
    finished: HashSet<Uuid>,
    /// How pipelines ended since it was asked for the last time.
    endings: Vec<(Uuid, Ending)>,
    /// Commands that the server listed since it was asked for the last time.
    learned: Vec<Item>,
    /// Pipelines that are to be ended at the server, since it was asked for the last time.
    to_end: Vec<Uuid>,
    messages: VecDeque<Uuid>,
    next_own_object: u64,
    numbers: Numbers,
    /// The server has said that it is open: before that nothing of its client goes upstream.
    is_opened: bool,
    is_closed: bool,
}

/// Numbers of the messages that go upstream, each used once. What is late of one message so never completes another, as it could if
/// the client gave the numbers.
#[derive(Debug, Default)]
struct Numbers(u64);

#[derive(Debug, Default)]
struct Running {
    stdin: Reassembler,
    pr: Reassembler,
    /// The client has said that no more input comes.
    has_all_input: bool,
    /// It said so while the pipeline waited for a decision: that goes upstream behind the start.
    has_ended_early: bool,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Its first message is whole, and the caller decides. It was read from so many bytes, which it takes as long as it waits.
    Deciding(usize),
    /// Its first message is not whole.
    #[default]
    Incomplete,
    /// The gateway answers it.
    Local(Local),
    /// The server runs it.
    Running(Work),
    /// It is permitted and on its way: the server has not said yet that it runs it.
    Starting(Work),
    /// It was refused while it ran, or the server did not say whether it takes it, and the server has not confirmed yet that it ended there. Its client hears this, until it has
    /// heard it all or wants to hear no more.
    Stopping(Work, Option<Local>),
}

#[derive(Debug)]
struct Work {
    kind: WorkKind,
    /// How many bytes it was read from, which it takes as long as it runs.
    size: usize,
    watch: Watch,
    /// How many payloads of its first message the server has not taken yet: with less than all it runs nothing.
    untaken: usize,
    /// The server has said that it is started.
    is_taken: bool,
    has_ended: bool,
}

#[derive(Debug)]
enum WorkKind {
    Listing(Listing),
    /// With its commands, as they are decided on again and again.
    Pipeline(Box<Pipeline>, Vec<Arc<Command>>),
}

/// How a pipeline that the server ran ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// To its end.
    Completed,
    /// With an error.
    Failed,
    /// Its client ended it, by itself or with its session, or a further step of it was refused, before it was fetched how it ends:
    /// it may have run to its end.
    NotFetched,
    /// A further step of it was refused, and the server said that it has stopped it.
    Refused,
    /// Its client, or whoever keeps the server, stopped it.
    Stopped,
    /// The server did not say.
    Unclear,
}

/// Where a pipeline is that the server did not say to have taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Nothing of it left.
    Here,
    /// The server may have it.
    Unknown,
}

/// What to do about a request.
#[derive(Debug)]
pub enum Step {
    /// Answer with this.
    Answer(Response),
    /// Decide, then say so.
    Decide(Box<Proposal>),
    /// Send this upstream, all of it whatever the server says, and answer with what there is to answer with: a pipeline that was
    /// refused before ends there at last.
    End(Go),
    /// Send this upstream, in order, and pass on the answer to the last one as [`Shell::heard`] returns it.
    Forward(Vec<Operation>),
    /// There is nothing to say yet: ask again when something has changed, and answer [`Fault::timed_out`] in the end.
    Hold,
}

/// What must be decided before a request goes on. It is used up by saying what was decided.
#[derive(Debug)]
pub struct Proposal {
    /// The command's id.
    command: Uuid,
    subject: Subject,
    stage: Stage,
    next: Next,
}

/// Which step of a pipeline is decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Values are piped into it, which are among the parameters.
    Input,
    /// It goes on, with nothing new in it.
    Onward,
    /// It begins.
    Start,
}

/// What is decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Each of these must pass.
    Commands(Vec<Arc<Command>>),
    /// The client lists the server's commands, which runs no cmdlet.
    Listing,
    /// The gateway answers this one.
    Own(Arc<Command>),
}

#[derive(Debug)]
enum Next {
    /// Pass these on, and answer with what upstream says to the last.
    Continue(Vec<Operation>, Option<Response>),
    /// Start, with the body of the first message.
    Start(Kind, String, Work, Response),
}

/// What to do after a decision.
#[derive(Debug, PartialEq, Eq)]
pub struct Go {
    /// These go upstream, in order; a fault in answer to one of them ends it and is passed on.
    pub operations: Vec<Operation>,
    /// What the client hears; if nothing, what [`Shell::heard`] makes of the answer to the last operation.
    pub answer: Option<Response>,
}

impl Proposal {
    /// What is decided on.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The command's id, under which the pipeline is known to the client.
    pub fn command(&self) -> Uuid {
        self.command
    }

    /// Which step of the pipeline it is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What the client hears while a pipeline waits to be decided on; `None` if it does not begin with this.
    pub fn while_waiting(&self) -> Option<Response> {
        match &self.next {
            Next::Continue(..) => None,
            Next::Start(.., answer) => Some(answer.clone()),
        }
    }
}

impl Shell {
    /// The shell that a Create asks for, on behalf of the principal with the key `owner`, and what goes upstream to open it.
    pub fn open(
        shell: Uuid,
        protocol: Option<&str>,
        creation: &[u8],
        owner: &str,
        limits: Limits,
    ) -> Result<(Self, Operation), Unreadable> {
        let objects = Reassembler::default().push(creation, &fragment::Limits::default())?;
        let [first, second] = objects.as_slice() else {
            return Err(bad("creation", "a session begins with two whole messages"));
        };
        let mut numbers = Numbers::default();
        let mut written = Vec::new();
        for (object, place) in [
            (first, Place::CreationFirst),
            (second, Place::CreationSecond),
        ] {
            let message =
                message::read_from_client(&object.bytes, place, shell, Some(Uuid::nil()))?;
            written.push((numbers.next(), rewrite(&message)?));
        }
        let mut payloads = pack(&written);
        let (Some(creation), true) = (payloads.pop(), payloads.is_empty()) else {
            return Err(bad("creation", "a session's first messages are too long"));
        };
        let opened = Self {
            id: shell,
            owner: owner.to_owned(),
            limits,
            stdin: Reassembler::default(),
            pr: Reassembler::default(),
            commands: HashMap::new(),
            used: HashSet::new(),
            finished: HashSet::new(),
            endings: Vec::new(),
            learned: Vec::new(),
            to_end: Vec::new(),
            messages: VecDeque::new(),
            next_own_object: FIRST_OWN_OBJECT,
            numbers,
            is_opened: false,
            is_closed: false,
        };
        let operation = Operation::Create {
            protocol: protocol.map(str::to_owned),
            creation,
        };
        Ok((opened, operation))
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether it belongs to the principal with this key. To others it must seem not to be there.
    pub fn is_of(&self, owner: &str) -> bool {
        self.owner == owner
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether the server has said that it is open, at some time.
    pub fn is_opened(&self) -> bool {
        self.is_opened
    }

    /// How many commands it has.
    pub fn commands(&self) -> usize {
        self.commands.len()
    }

    /// How many bytes it holds: messages that are not whole, pipelines that wait for a decision or run, output that was not
    /// fetched, ids that may not come again.
    pub fn held(&self) -> usize {
        const ID_BYTES: usize = 32;
        let commands: usize = self.commands.values().map(Running::held).sum();
        let ids = (self.used.len() + self.finished.len()).saturating_mul(ID_BYTES);
        commands + self.stdin.held() + self.pr.held() + ids
    }

    /// What it takes in memory, at worst: what it holds, and the values that pipelines are kept as.
    pub fn weight(&self) -> usize {
        let sizes = self.commands.values().map(Running::read_from);
        let parsed: usize = sizes.map(clixml::parsed_bytes).sum();
        self.held().saturating_add(parsed)
    }

    /// There is no room for what it holds of messages to `command`, or to itself: that is dropped, and a pipeline that has not
    /// begun with it.
    pub fn shed(&mut self, command: Option<Uuid>) {
        let Some(command) = command else {
            self.stdin = Reassembler::default();
            self.pr = Reassembler::default();
            return;
        };
        match self.commands.get_mut(&command) {
            Some(running)
                if matches!(
                    running.state,
                    State::Local(_) | State::Running(_) | State::Starting(_) | State::Stopping(..)
                ) =>
            {
                running.stdin = Reassembler::default();
                running.pr = Reassembler::default();
            }
            Some(_) => {
                self.commands.remove(&command);
            }
            None => {}
        }
    }

    /// How pipelines ended since this was asked for the last time.
    pub fn take_endings(&mut self) -> Vec<(Uuid, Ending)> {
        std::mem::take(&mut self.endings)
    }

    /// Commands that the server listed since this was asked for the last time, for [`Catalogue::add`].
    pub fn take_learned(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.learned)
    }

    /// Pipelines that the server may run, though what it said, or that it said nothing, is otherwise: since this was asked for
    /// the last time. It is to forget them.
    pub fn take_to_end(&mut self) -> Vec<Uuid> {
        std::mem::take(&mut self.to_end)
    }

    /// Whether it has a command with this id.
    pub fn has(&self, command: Uuid) -> bool {
        self.commands.contains_key(&command)
    }

    /// Whether the server runs a pipeline with this id, as far as is known.
    pub fn runs(&self, command: Uuid) -> bool {
        let state = self.commands.get(&command).map(|it| &it.state);
        matches!(
            state,
            Some(State::Running(_) | State::Starting(_) | State::Stopping(..))
        )
    }

    /// Whether the server runs a pipeline, as it said, and was not told to end it.
    pub fn is_running(&self, command: Uuid) -> bool {
        let state = self.commands.get(&command).map(|it| &it.state);
        matches!(state, Some(State::Running(_)))
    }

    /// Whether a pipeline is on its way, and the server has not said that it runs it.
    pub fn is_starting(&self, command: Uuid) -> bool {
        let state = self.commands.get(&command).map(|it| &it.state);
        matches!(state, Some(State::Starting(_)))
    }

    /// That a pipeline which the server runs goes on, though its client asks for nothing: to be decided on like a step of its
    /// client's. Nothing goes upstream if it may.
    pub fn going_on(&self, command: Uuid) -> Option<Proposal> {
        let running = self.commands.get(&command)?;
        let State::Running(work) = &running.state else {
            return None;
        };
        Some(Proposal {
            command,
            subject: work.subject(),
            stage: Stage::Onward,
            next: Next::Continue(Vec::new(), Some(Response::Sent)),
        })
    }

    /// Pipelines that the server was told to end, and did not say that they have ended.
    pub fn stopping(&self) -> Vec<Uuid> {
        let is_stopping = |it: &Running| matches!(it.state, State::Stopping(..));
        let stopping = self.commands.iter().filter(|it| is_stopping(it.1));
        stopping.map(|it| *it.0).collect()
    }

    /// Whether it has a pipeline with this id that is not decided on.
    pub fn is_deciding(&self, command: Uuid) -> bool {
        let state = self.commands.get(&command).map(|it| &it.state);
        matches!(state, Some(State::Deciding(_)))
    }
}

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl Running {
    fn held(&self) -> usize {
        let state = match &self.state {
            State::Incomplete => 0,
            State::Local(local) => local.held(),
            State::Deciding(_) | State::Running(_) | State::Starting(_) => self.read_from(),
            State::Stopping(work, local) => work.size + local.as_ref().map_or(0, Local::held),
        };
        state + self.stdin.held() + self.pr.held()
    }

    /// How many bytes it was read from, if it was read and its values are kept.
    fn read_from(&self) -> usize {
        match &self.state {
            State::Deciding(size) => *size,
            State::Incomplete | State::Local(_) => 0,
            State::Running(work) | State::Starting(work) | State::Stopping(work, _) => work.size,
        }
    }

    /// It is over at the server: `how`, if nothing else is known of it.
    fn end(&mut self, command: Uuid, how: Ending) -> Option<(Uuid, Ending)> {
        match &mut self.state {
            State::Running(work) | State::Starting(work) => work.end(command, how),
            // It may have run to its end before it was stopped.
            State::Stopping(work, _) => work.end(command, Ending::NotFetched),
            State::Deciding(_) | State::Incomplete | State::Local(_) => None,
        }
    }
}

impl Work {
    fn new(kind: WorkKind, size: usize) -> Self {
        Self {
            kind,
            size,
            watch: Watch::default(),
            untaken: 0,
            is_taken: false,
            has_ended: false,
        }
    }

    fn subject(&self) -> Subject {
        match &self.kind {
            WorkKind::Listing(_) => Subject::Listing,
            WorkKind::Pipeline(_, commands) => Subject::Commands(commands.clone()),
        }
    }

    /// Marks it as ended, once.
    fn end(&mut self, command: Uuid, how: Ending) -> Option<(Uuid, Ending)> {
        (!std::mem::replace(&mut self.has_ended, true)).then_some((command, how))
    }
}

fn plain(error: PipelineError) -> Unreadable {
    match error {
        PipelineError::Malformed(problem) | PipelineError::Refused(problem) => problem,
    }
}

fn rewrite(message: &Message) -> Result<Vec<u8>, Unreadable> {
    let data = pool::rewritten(message.kind, &message.data)?;
    Ok(message::write(&Message {
        data,
        ..message.clone()
    }))
}

/// Fragments of these messages, as many to a payload as fit.
fn pack(messages: &[(u64, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for (id, bytes) in messages {
        for fragment in fragment::write(*id, bytes, MAX_BLOB) {
            match payloads.last_mut() {
                Some(last) if last.len() + fragment.len() <= MAX_BLOB => {
                    last.extend_from_slice(&fragment);
                }
                Some(_) | None => payloads.push(fragment),
            }
        }
    }
    payloads
}

fn sends(command: Option<Uuid>, stream: Stream, messages: &[(u64, Vec<u8>)]) -> Vec<Operation> {
    let send = |data| Operation::Send {
        command,
        stream,
        data,
    };
    pack(messages).into_iter().map(send).collect()
}

/// What ends a pipeline at the server: first its commands, then what is kept of it.
fn ends(command: Uuid) -> Vec<Operation> {
    [Signal::Stop, Signal::Terminate]
        .map(|signal| Operation::Signal { command, signal })
        .into()
}

fn unknown_response() -> Response {
    Response::Fault(Fault::unknown("such command"))
}

fn unknown_command() -> Go {
    Go {
        operations: Vec::new(),
        answer: Some(unknown_response()),
    }
}

fn bad(reason: &'static str, text: &str) -> Unreadable {
    Unreadable::bad(reason, text)
}
