//! A client of PowerShell remoting: one session of one person, one request after the other.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request as HttpRequest, StatusCode};
use http_body_util::Full;
use portcullis::dialect::psrp::clixml::{self, Item};
use portcullis::dialect::psrp::fragment::{self, Limits, MAX_BLOB, Reassembler};
use portcullis::dialect::psrp::message::{self, Destination, Kind, Message};
use portcullis::dialect::psrp::soap::{
    CommandState, Fault, Frame, Operation, Peer, Received, Request, Response, Signal, Stream,
    Subcode, read_response, write_request,
};
use uuid::Uuid;

use super::CONFIGURATION;
use crate::client::{Answer, Http};
use crate::gateway::{Gateway, basic};

const PEER: Peer<'static> = Peer {
    url: "https://localhost/PowerShell/",
    configuration: CONFIGURATION,
    machine: "",
    owner: "",
};

/// How long a client waits for output before it asks again.
pub(super) const WAIT: Duration = Duration::from_secs(2);

/// A session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) person: &'static str,
    pub(super) shell: Uuid,
}

/// How a pipeline ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// 3 is stopped, 4 completed, 5 failed.
    pub(super) state: i32,
    /// The texts among its output.
    pub(super) texts: Vec<String>,
    /// All of its output, as CLIXML.
    pub(super) output: Vec<String>,
    /// The error's `FullyQualifiedErrorId`, text and category.
    pub(super) error: Option<(String, String, i32)>,
}

impl Ended {
    pub(super) fn error_text(&self) -> &str {
        self.error.as_ref().map_or("", |it| it.1.as_str())
    }

    /// The first property of this name in the output.
    pub(super) fn property(&self, name: &str) -> String {
        let start = format!("N=\"{name}\">");
        let found = self.output.iter().find_map(|it| it.split_once(&start));
        let (_, rest) = found.unwrap_or_else(|| panic!("no `{name}` in {:?}", self.output));
        rest.split('<').next().unwrap_or_default().to_owned()
    }
}

/// A command with its arguments, or a script, which has blanks in it; a name that is `None` leaves the server to bind the value.
pub(super) type Call<'a> = (&'a str, &'a [(Option<&'a str>, Item)]);

impl Session {
    /// A session that is open.
    pub(super) async fn open(gateway: &Gateway, person: &'static str) -> Self {
        let session = Self::closed(person);
        let answer = session.create(gateway).await;
        assert_eq!(
            answer,
            Response::Created {
                shell: session.shell
            }
        );
        session
    }

    /// A session that is not open yet.
    pub(super) fn closed(person: &'static str) -> Self {
        Self {
            person,
            shell: Uuid::now_v7(),
        }
    }

    pub(super) async fn create(&self, gateway: &Gateway) -> Response {
        let creation = [
            self.whole(1, Kind::SessionCapability, Uuid::nil(), &capability()),
            self.whole(2, Kind::InitRunspacePool, Uuid::nil(), &init()),
        ];
        let operation = Operation::Create {
            protocol: Some("2.3".to_owned()),
            creation: creation.concat(),
        };
        self.ask(gateway, operation).await
    }

    /// Asks, and reads the answer.
    pub(super) async fn ask(&self, gateway: &Gateway, operation: Operation) -> Response {
        let request = self.request(operation);
        let answer = gateway.send(Http::One, self.http(&request)).await;
        assert!(
            matches!(
                answer.status,
                StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR
            ),
            "{}",
            answer.text()
        );
        read(&answer, request.frame.message)
    }

    pub(super) fn request(&self, operation: Operation) -> Request {
        Request {
            frame: Frame {
                message: Uuid::now_v7(),
                session: None,
                timeout: Some(WAIT),
                max_envelope: None,
                locale: None,
                data_locale: None,
            },
            shell: self.shell,
            operation,
        }
    }

    pub(super) fn http(&self, request: &Request) -> HttpRequest<Full<Bytes>> {
        HttpRequest::builder()
            .method(Method::POST)
            .uri("/PowerShell/?PSVersion=5.1.19041.1")
            .header(AUTHORIZATION, basic(self.person))
            .header(CONTENT_TYPE, "application/soap+xml;charset=UTF-8")
            .body(Full::new(write_request(request, &PEER).into()))
            .unwrap()
    }

    /// Runs a pipeline to its end.
    pub(super) async fn run(&self, gateway: &Gateway, calls: &[Call<'_>]) -> Ended {
        let id = Uuid::now_v7();
        let started = self.start(gateway, id, calls, Input::None).await;
        assert_eq!(started, Response::Started { command: id });
        self.end(gateway, id).await
    }

    /// Runs one cmdlet with named arguments.
    pub(super) async fn cmdlet(
        &self,
        gateway: &Gateway,
        name: &str,
        arguments: &[(&str, &str)],
    ) -> Ended {
        let arguments: Vec<_> = arguments
            .iter()
            .map(|(name, value)| (Some(*name), Item::text(*value)))
            .collect();
        self.run(gateway, &[(name, &arguments)]).await
    }

    /// Starts a pipeline.
    pub(super) async fn start(
        &self,
        gateway: &Gateway,
        id: Uuid,
        calls: &[Call<'_>],
        input: Input,
    ) -> Response {
        self.ask(gateway, self.command(id, calls, input)).await
    }

    pub(super) fn command(&self, id: Uuid, calls: &[Call<'_>], input: Input) -> Operation {
        Operation::Command {
            command: id,
            arguments: self.whole(3, Kind::CreatePipeline, id, &pipeline(calls, input)),
        }
    }

    /// Asks for output until the pipeline has ended.
    pub(super) async fn end(&self, gateway: &Gateway, id: Uuid) -> Ended {
        let mut ended = Ended::default();
        let mut stream = Reassembler::default();
        loop {
            match self.ask(gateway, receive(id)).await {
                Response::Received(received) => {
                    if ended.take(&received, &mut stream) == CommandState::Done {
                        return ended;
                    }
                }
                Response::Fault(fault) if fault.subcode == Subcode::TimedOut => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(super) async fn signal(&self, gateway: &Gateway, id: Uuid, signal: Signal) -> Response {
        let command = id;
        self.ask(gateway, Operation::Signal { command, signal })
            .await
    }

    /// Sends values into a pipeline, and its end.
    pub(super) async fn input(&self, gateway: &Gateway, id: Uuid, values: &[&str]) -> Response {
        self.ask(gateway, self.values(id, values)).await
    }

    pub(super) fn values(&self, id: Uuid, values: &[&str]) -> Operation {
        let mut data = Vec::new();
        for (value, number) in values.iter().zip(10..) {
            data.extend(self.whole(number, Kind::PipelineInput, id, &Item::text(*value)));
        }
        Operation::Send {
            command: Some(id),
            stream: Stream::Stdin,
            data,
        }
    }

    pub(super) async fn end_input(&self, gateway: &Gateway, id: Uuid) -> Response {
        let data = self.whole(99, Kind::EndOfPipelineInput, id, &Item::Nil);
        self.send(gateway, id, data).await
    }

    pub(super) async fn send(&self, gateway: &Gateway, id: Uuid, data: Vec<u8>) -> Response {
        let send = Operation::Send {
            command: Some(id),
            stream: Stream::Stdin,
            data,
        };
        self.ask(gateway, send).await
    }

    /// The fault that a request ends with.
    pub(super) async fn fault(&self, gateway: &Gateway, operation: Operation) -> Fault {
        match self.ask(gateway, operation).await {
            Response::Fault(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn whole(&self, object: u64, kind: Kind, pipeline: Uuid, item: &Item) -> Vec<u8> {
        let data = if kind == Kind::EndOfPipelineInput {
            String::new()
        } else {
            clixml::write(item)
        };
        let bytes = message::write(&Message {
            destination: Destination::Server,
            kind,
            pool: self.shell,
            pipeline,
            data,
        });
        fragment::write(object, &bytes, MAX_BLOB).concat()
    }
}

/// Whether values are piped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Follows,
    None,
}

impl Ended {
    /// What a pipeline's only answer says.
    pub(super) fn of(received: &Received) -> Self {
        let mut ended = Self::default();
        let state = ended.take(received, &mut Reassembler::default());
        assert_eq!(state, CommandState::Done);
        ended
    }

    fn take(&mut self, received: &Received, stream: &mut Reassembler) -> CommandState {
        for (_, payload) in &received.output {
            for object in stream.push(payload, &Limits::default()).unwrap() {
                let message = message::read(&object.bytes).unwrap();
                let item = clixml::read(&message.data).unwrap();
                match message.kind {
                    Kind::PipelineOutput => {
                        self.texts.extend(item.as_text().map(str::to_owned));
                        self.output.push(message.data);
                    }
                    Kind::PipelineState => {
                        let object = item.as_object().unwrap();
                        self.state = object.property("PipelineState").unwrap().as_i32().unwrap();
                        self.error = object.property("ExceptionAsErrorRecord").map(error);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        received.state.unwrap().1
    }
}

fn error(record: &Item) -> (String, String, i32) {
    let record = record.as_object().unwrap();
    let text = |name: &str| {
        let item = record.property(name).unwrap();
        item.as_text().unwrap().to_owned()
    };
    let exception = record.property("Exception").unwrap().as_object().unwrap();
    let message = exception.property("Message").unwrap().as_text().unwrap();
    let category = record.property("ErrorCategory_Category").unwrap();
    (
        text("FullyQualifiedErrorId"),
        message.to_owned(),
        category.as_i32().unwrap(),
    )
}

pub(super) fn receive(id: Uuid) -> Operation {
    Operation::Receive {
        command: Some(id),
        keep_alive: false,
    }
}

/// What an answer to the request `message` says.
pub(super) fn read(answer: &Answer, message: Uuid) -> Response {
    read_response(&answer.body, message)
        .unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

pub(super) fn pipeline(calls: &[Call<'_>], input: Input) -> Item {
    let command = |(name, arguments): &Call<'_>| {
        let arguments = arguments.iter().map(|(name, value)| {
            let name = name.map_or(Item::Nil, Item::text);
            Item::of_properties([("N", name), ("V", value.clone())])
        });
        Item::of_properties([
            ("Cmd", Item::text(*name)),
            ("IsScript", Item::Bool(name.contains(' '))),
            ("Args", Item::list(arguments.collect())),
        ])
    };
    let commands = calls.iter().map(command).collect();
    Item::of_properties([
        ("NoInput", Item::Bool(input == Input::None)),
        ("HostInfo", host()),
        (
            "PowerShell",
            Item::of_properties([("Cmds", Item::list(commands))]),
        ),
    ])
}

fn capability() -> Item {
    let version = |text: &str| Item::Version(text.to_owned());
    Item::of_properties([
        ("protocolversion", version("2.3")),
        ("PSVersion", version("2.0")),
        ("SerializationVersion", version("1.1.0.1")),
    ])
}

fn host() -> Item {
    Item::of_properties([
        ("_isHostNull", Item::Bool(true)),
        ("_isHostUINull", Item::Bool(true)),
        ("_isHostRawUINull", Item::Bool(true)),
        ("_useRunspaceHost", Item::Bool(true)),
    ])
}

fn init() -> Item {
    Item::of_properties([
        ("MinRunspaces", Item::i32(1)),
        ("MaxRunspaces", Item::i32(1)),
        ("PSThreadOptions", Item::enumeration("T", "Default", 0)),
        ("ApartmentState", Item::enumeration("A", "UNKNOWN", 2)),
        ("HostInfo", host()),
        ("ApplicationArguments", Item::Nil),
    ])
}
