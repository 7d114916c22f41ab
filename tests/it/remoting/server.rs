//! A server of PowerShell remoting that does what a test needs, and keeps a journal of what it was told.
//!
//! What a pipeline does, its first cmdlet says: `Wait-Release` runs until the test releases it, `…-Silence` never answers,
//! `Test-Death` ends the connection, `…-Refusal` is refused with a fault, `…-Doubt` is run and answered as if there was no time for
//! it, `Test-Failure` fails; all others return their names and what was piped into them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request as HttpRequest, Response as HttpResponse, StatusCode};
use portcullis::dialect::psrp::clixml::{self, Item};
use portcullis::dialect::psrp::fragment::{self, Limits, Reassembler};
use portcullis::dialect::psrp::message::{self, Destination, Kind, Message};
use portcullis::dialect::psrp::pipeline::{Catalogue, Input, Pipeline};
use portcullis::dialect::psrp::soap::{
    CommandState, Fault, Operation, Peer, Received, Request, Response, Signal, read_request,
    write_response,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::CONFIGURATION;
use crate::scripted::{Deed, Piece, Pieces, Scripted, Speaks};

const PEER: Peer<'static> = Peer {
    url: "http://server.example/powershell",
    configuration: CONFIGURATION,
    machine: "server.example",
    owner: "svc@contoso.example",
};

/// The server, running until it is dropped.
pub(super) struct Server {
    scripted: Scripted,
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    journal: Vec<String>,
    shells: HashMap<Uuid, HashMap<Uuid, Job>>,
    is_released: bool,
    /// Cancelled by the release.
    released: CancellationToken,
    /// Cancelled when a session is closed.
    closed: CancellationToken,
    weakness: Weakness,
}

/// What the server does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Weakness {
    /// It closes sessions, says at once to who waits for their output that they are gone, and to who closes them at the release.
    ClosesSlowly,
    /// It fails to close sessions, and says so.
    FailsToClose,
    /// It does not answer who closes a session, and does not close it.
    Hangs,
    /// It takes input, and says so at the release.
    HoldsInput,
    /// It runs pipelines, and says so at the release.
    HoldsStarts,
    /// It does not answer who stops or ends a pipeline, and does neither.
    IgnoresSignals,
    /// Of whatever is asked for output or told to end it says that it is not there, but for sessions that are closed.
    KnowsNothing,
    /// It opens sessions, and the connection ends before it says so.
    LosesCreation,
    /// It takes input, and the connection ends before it says so.
    LosesInput,
    #[default]
    None,
    /// It takes the beginning of a pipeline and no more of it.
    TakesBeginnings,
}

struct Job {
    names: Vec<String>,
    takes_input: bool,
    input: Vec<String>,
    is_stopped: bool,
    stream: Reassembler,
}

impl Server {
    pub(super) async fn start() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let seen = Arc::clone(&world);
        let scripted = Scripted::start(Speaks::Plain, move |request| {
            seen.lock().unwrap().answer(request)
        })
        .await;
        Self { scripted, world }
    }

    /// One that speaks HTTP/2 and allows this many requests at a time on a connection.
    pub(super) async fn http2(streams: u32) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let seen = Arc::clone(&world);
        let scripted =
            Scripted::http2(streams, move |request| seen.lock().unwrap().answer(request)).await;
        Self { scripted, world }
    }

    /// What an endpoint in front of it says of it.
    pub(super) fn lines(&self) -> String {
        let authority = self.scripted.authority_file();
        let trust = authority.map(|it| format!("upstream_ca = \"{}\"", it.display()));
        let origin = self.scripted.origin();
        format!("upstream = \"{origin}\"\n{}", trust.unwrap_or_default())
    }

    pub(super) fn connections(&self) -> usize {
        self.scripted.connections()
    }

    /// What it was told, in order.
    pub(super) fn journal(&self) -> Vec<String> {
        self.world.lock().unwrap().journal.clone()
    }

    /// The cmdlets that it ran.
    pub(super) fn ran(&self) -> Vec<String> {
        let ran = self.journal();
        ran.iter()
            .filter_map(|it| it.strip_prefix("run ").map(str::to_owned))
            .collect()
    }

    /// Ends all `Wait-Release`, and answers to input that are held.
    pub(super) fn release(&self) {
        let mut world = self.world.lock().unwrap();
        world.is_released = true;
        world.released.cancel();
    }

    /// Forgets all sessions, as a server does that starts anew.
    pub(super) fn forget(&self) {
        self.world.lock().unwrap().shells.clear();
    }

    /// From now on it does this wrong.
    pub(super) fn weaken(&self, weakness: Weakness) {
        self.world.lock().unwrap().weakness = weakness;
    }

    /// How many sessions it has.
    pub(super) fn shells(&self) -> usize {
        self.world.lock().unwrap().shells.len()
    }
}

impl World {
    fn answer(&mut self, http: &HttpRequest<Bytes>) -> Deed {
        assert_eq!(http.method(), "POST");
        assert!(http.uri().path() == "/powershell");
        let request = read_request(http.body(), CONFIGURATION).unwrap();
        let Some(response) = self.respond(&request) else {
            return if self.journal.last().is_some_and(|it| it == "silence") {
                Deed::Silence
            } else {
                Deed::Die
            };
        };
        let status = match response {
            Response::Fault(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        };
        let body = write_response(
            &response,
            Uuid::now_v7(),
            Some(request.frame.message),
            &PEER,
        );
        let mut pieces = vec![Piece::Data(body.into())];
        let is_held = match response {
            Response::Deleted => self.weakness == Weakness::ClosesSlowly,
            Response::Sent => self.weakness == Weakness::HoldsInput,
            Response::Started { .. } => self.weakness == Weakness::HoldsStarts,
            _ => false,
        };
        if is_held {
            pieces.insert(0, Piece::Until(self.released.clone()));
        }
        if self.waits_for_the_close(&request) {
            pieces.insert(0, Piece::Until(self.closed.clone()));
        }
        let answer = HttpResponse::builder()
            .status(status)
            .header("content-type", "application/soap+xml;charset=UTF-8")
            .body(Pieces::new(pieces))
            .unwrap();
        Deed::Answer(answer)
    }

    fn waits_for_the_close(&self, request: &Request) -> bool {
        let waits = matches!(request.operation, Operation::Receive { command: None, .. });
        waits && self.weakness == Weakness::ClosesSlowly
    }

    /// The answer; none if the connection falls silent or ends.
    fn respond(&mut self, request: &Request) -> Option<Response> {
        let shell = request.shell;
        if matches!(request.operation, Operation::Create { .. }) {
            self.shells.insert(shell, HashMap::new());
        }
        let Some(jobs) = self.shells.get_mut(&shell) else {
            return Some(Response::Fault(Fault::unknown("such shell")));
        };
        match &request.operation {
            Operation::Delete if self.weakness == Weakness::Hangs => {
                self.journal.push("silence".to_owned());
                None
            }
            Operation::Delete if self.weakness == Weakness::FailsToClose => {
                self.journal.push("no close".to_owned());
                Some(Response::Fault(Fault::unavailable("not now")))
            }
            Operation::Send {
                command: Some(_), ..
            } if self.weakness == Weakness::TakesBeginnings => {
                Some(Response::Fault(Fault::quota("too much")))
            }
            Operation::Create { .. } => {
                self.journal.push("create".to_owned());
                if self.weakness == Weakness::LosesCreation {
                    return None;
                }
                Some(Response::Created { shell })
            }
            Operation::Delete => {
                self.journal.push("delete".to_owned());
                self.shells.remove(&shell);
                self.closed.cancel();
                Some(Response::Deleted)
            }
            Operation::Command { command, arguments } => {
                let mut job = Job {
                    names: Vec::new(),
                    takes_input: false,
                    input: Vec::new(),
                    is_stopped: false,
                    stream: Reassembler::default(),
                };
                job.feed(arguments, &mut self.journal);
                if job.names.first().is_some_and(|it| it == "Test-Death") {
                    return None;
                }
                if job.names.first().is_some_and(|it| it.ends_with("-Refusal")) {
                    return Some(Response::Fault(Fault::aborted("no pipelines today")));
                }
                let is_doubtful = job.names.first().is_some_and(|it| it.ends_with("-Doubt"));
                jobs.insert(*command, job);
                if is_doubtful {
                    return Some(Response::Fault(Fault::timed_out()));
                }
                Some(Response::Started { command: *command })
            }
            Operation::Send { command: None, .. } => {
                self.journal.push("pool input".to_owned());
                Some(Response::Sent)
            }
            Operation::Send {
                command: Some(command),
                data,
                ..
            } => {
                let job = jobs.get_mut(command).unwrap();
                job.feed(data, &mut self.journal);
                (self.weakness != Weakness::LosesInput).then_some(Response::Sent)
            }
            Operation::Signal { .. } if self.weakness == Weakness::IgnoresSignals => {
                self.journal.push("silence".to_owned());
                None
            }
            Operation::Receive { .. } | Operation::Signal { .. }
                if self.weakness == Weakness::KnowsNothing =>
            {
                if matches!(request.operation, Operation::Signal { .. }) {
                    self.journal.push("knows nothing".to_owned());
                }
                Some(Response::Fault(Fault::unknown("such thing")))
            }
            Operation::Signal { command, signal } => {
                match signal {
                    Signal::Stop => {
                        self.journal.push("stop".to_owned());
                        if let Some(job) = jobs.get_mut(command) {
                            job.is_stopped = true;
                        }
                    }
                    Signal::Terminate => {
                        self.journal.push("terminate".to_owned());
                        jobs.remove(command);
                    }
                }
                Some(Response::Signalled)
            }
            Operation::Receive { command: None, .. } if self.weakness == Weakness::ClosesSlowly => {
                self.journal.push("wait".to_owned());
                Some(Response::Fault(Fault::unknown("such shell")))
            }
            Operation::Receive { command: None, .. } => Some(Response::Fault(Fault::timed_out())),
            Operation::Receive {
                command: Some(command),
                ..
            } => {
                let Some(job) = jobs.get(command) else {
                    return Some(Response::Fault(Fault::unknown("such command")));
                };
                if job.names.first().is_some_and(|it| it.ends_with("-Silence")) && !job.is_stopped {
                    self.journal.push("silence".to_owned());
                    return None;
                }
                Some(job.receive(shell, *command, self.is_released))
            }
        }
    }
}

impl Job {
    fn feed(&mut self, payload: &[u8], journal: &mut Vec<String>) {
        for object in self.stream.push(payload, &Limits::default()).unwrap() {
            let message = message::read(&object.bytes).unwrap();
            match message.kind {
                Kind::CreatePipeline => {
                    let item = clixml::read(&message.data).unwrap();
                    let workload = "Exchange".parse().unwrap();
                    let pipeline = Pipeline::read(&item, &workload, &Catalogue::default()).unwrap();
                    self.takes_input = pipeline.input() == Input::Expected;
                    for command in pipeline.commands().unwrap() {
                        let name = command.task.cmdlet.to_string();
                        journal.push(format!("run {name}"));
                        self.names.push(name);
                    }
                }
                Kind::GetCommandMetadata => {
                    journal.push("list".to_owned());
                    self.names.push("(listing)".to_owned());
                }
                Kind::PipelineInput => {
                    let item = clixml::read(&message.data).unwrap();
                    let text = item.as_text().unwrap_or("?").to_owned();
                    journal.push(format!("input {text}"));
                    self.input.push(text);
                }
                Kind::EndOfPipelineInput => self.takes_input = false,
                other => journal.push(format!("{other:?}")),
            }
        }
    }

    fn receive(&self, shell: Uuid, command: Uuid, is_released: bool) -> Response {
        let first = self.names.first().map_or("", String::as_str);
        let waits = self.takes_input || (first == "Wait-Release" && !is_released);
        if waits && !self.is_stopped {
            return Response::Fault(Fault::timed_out());
        }
        let mut messages = Vec::new();
        let state = if self.is_stopped {
            3
        } else if first == "Test-Failure" {
            5
        } else {
            4
        };
        if first == "(listing)" {
            messages.push((
                Kind::PipelineOutput,
                Item::of_properties([("Count", Item::i32(1))]),
            ));
            messages.push((Kind::PipelineOutput, known("Get-Mailbox", "Identity")));
        } else {
            let told = self.names.iter().chain(&self.input);
            messages.extend(told.map(|it| (Kind::PipelineOutput, Item::text(it.as_str()))));
        }
        messages.push((
            Kind::PipelineState,
            Item::of_properties([("PipelineState", Item::i32(state))]),
        ));
        let output = messages.into_iter().zip(1..).map(|((kind, item), number)| {
            let bytes = message::write(&Message {
                destination: Destination::Client,
                kind,
                pool: shell,
                pipeline: command,
                data: clixml::write(&item),
            });
            (
                Some(command),
                fragment::write(number, &bytes, 1000).concat(),
            )
        });
        Response::Received(Received {
            output: output.collect(),
            state: Some((command, CommandState::Done)),
        })
    }
}

/// A command in the answer to a listing, with one parameter that takes the first value without a name.
fn known(name: &str, parameter: &str) -> Item {
    let set = Item::of_properties([("Position", Item::i32(0))]);
    let shape = Item::of_properties([
        ("Name", Item::text(parameter)),
        ("Aliases", Item::list(Vec::new())),
        ("SwitchParameter", Item::Bool(false)),
        (
            "ParameterSets",
            Item::table(vec![("__AllParameterSets".to_owned(), set)]),
        ),
    ]);
    Item::of_properties([
        ("Name", Item::text(name)),
        (
            "Parameters",
            Item::table(vec![(parameter.to_owned(), shape)]),
        ),
    ])
}
