//! What must hold of PowerShell remoting: envelopes, fragments, CLIXML, and what a session sends on.

use uuid::Uuid;

use crate::dialect::psrp::answer::Failure;
use crate::dialect::psrp::clixml::{self, Item};
use crate::dialect::psrp::fragment::{self, Limits as FragmentLimits, Reassembler};
use crate::dialect::psrp::message::{self, Destination, Kind, Message, Place};
use crate::dialect::psrp::pipeline::{Catalogue, Pipeline};
use crate::dialect::psrp::session::{Context, Limits, Shell, Step, Subject};
use crate::dialect::psrp::soap::{
    Frame, Operation, Peer, Received, Request, Response, Signal, Stream, read_request,
    read_response, write_request, write_response,
};

use super::policies;

const CONFIGURATION: &str = "Microsoft.Exchange";
const SHELL: Uuid = Uuid::from_u128(0x5511);
const OWNER: &str = "local:alice";
const PEER: Peer<'static> = Peer {
    url: "https://mbx1.corp.example/powershell",
    configuration: CONFIGURATION,
    machine: "gate",
    owner: "alice",
};

pub(super) fn soap(data: &[u8]) {
    if let Ok(request) = read_request(data, CONFIGURATION) {
        let written = write_request(&request, &PEER);
        let again = read_request(&written, CONFIGURATION).expect("what is written is read");
        assert_eq!(again.operation, request.operation);
        assert_eq!(again.shell, request.shell);
        assert_eq!(again.frame.message, request.frame.message);
        assert_eq!(write_request(&again, &PEER), written);
    }
    if let Ok(response) = read_response(data, SHELL) {
        let written = write_response(&response, SHELL, Some(SHELL), &PEER);
        let again = read_response(&written, SHELL).expect("what is written is read");
        assert_eq!(write_response(&again, SHELL, Some(SHELL), &PEER), written);
    }
}

pub(super) fn fragments(data: &[u8]) {
    let limits = FragmentLimits {
        object_bytes: 1 << 16,
        objects: 64,
    };
    let mut reassembler = Reassembler::default();
    for payload in data.chunks(1 << 10) {
        let Ok(objects) = reassembler.push(payload, &limits) else {
            return;
        };
        assert!(
            reassembler.held() <= limits.object_bytes,
            "what is held is bounded"
        );
        for object in objects {
            let written = fragment::write(object.id, &object.bytes, 100).concat();
            let again = Reassembler::default()
                .push(&written, &limits)
                .expect("what is written is read");
            assert_eq!(again.as_slice(), std::slice::from_ref(&object));
            message(&object.bytes);
        }
    }
}

pub(super) fn message(data: &[u8]) {
    let Ok(message) = message::read(data) else {
        return;
    };
    let again = message::read(&message::write(&message));
    // A second byte order mark is a character.
    assert!(message.data.starts_with('\u{feff}') || again.as_ref() == Ok(&message));
    let Message { pool, pipeline, .. } = message;
    let stranger = Uuid::from_u128(!pool.as_u128());
    for place in Place::ALL {
        let from_client = message::read_from_client(data, *place, pool, Some(pipeline));
        if let Ok(taken) = from_client {
            assert_eq!(taken, message);
            assert_eq!(taken.destination, Destination::Server);
            assert!(taken.kind.may_come(*place), "each kind has its places");
        }
        let others = [
            (stranger, pipeline),
            (pool, Uuid::from_u128(!pipeline.as_u128())),
        ];
        for (pool, pipeline) in others {
            let read = message::read_from_client(data, *place, pool, Some(pipeline));
            assert!(read.is_err(), "a message of another session or pipeline");
        }
    }
    values(message.data.as_bytes());
}

pub(super) fn values(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(item) = clixml::read(text) else {
        return;
    };
    let written = clixml::write(&item);
    let again = clixml::read(&written).expect("what is written is read");
    assert_eq!(clixml::write(&again), written);
    pipeline(&again);
}

/// What a pipeline is decided on does not change when it is written.
fn pipeline(item: &Item) {
    let workload = "Exchange".parse().expect("it is a name");
    let catalogue = Catalogue::default();
    let Ok(read) = Pipeline::read(item, &workload, &catalogue) else {
        return;
    };
    let Ok(judged) = read.commands() else {
        return;
    };
    assert!(!judged.is_empty(), "a pipeline has commands");
    for it in &judged {
        policies::govern(it);
    }
    let written = read.write();
    assert!(!written.holds_script(), "no program text goes on");
    let again = Pipeline::read(&written, &workload, &catalogue).expect("what is written is read");
    assert_eq!(again.commands().as_ref(), Ok(&judged));
    assert_eq!(again.write(), written);
}

/// `data` is requests one after the other: what to do, a length, and the body of a message.
pub(super) fn session(data: &[u8]) {
    let Some(mut shell) = opened() else {
        return;
    };
    let workload = "Exchange".parse().expect("it is a name");
    let catalogue = Catalogue::default();
    let context = Context {
        workload: &workload,
        catalogue: &catalogue,
    };
    let mut rest = data;
    let mut number = 0_u128;
    while let Some(([what, low, high], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (body, after) = after.split_at_checked(length).unwrap_or_default();
        rest = after;
        number += 1;
        let request = Request {
            frame: Frame {
                message: Uuid::from_u128(number),
                session: None,
                timeout: None,
                max_envelope: None,
                locale: None,
                data_locale: None,
            },
            shell: SHELL,
            operation: operation(*what, body),
        };
        match shell.step(OWNER, &request, &context) {
            Ok(Step::Decide(proposal)) => {
                let is_start = matches!(request.operation, Operation::Command { .. });
                let id = proposal.command();
                if what & 0x80 != 0 {
                    let go = shell.refused(*proposal, Failure::Blocked, "no");
                    assert!(
                        go.operations
                            .iter()
                            .all(|it| matches!(it, Operation::Signal { .. })),
                        "what is refused does not go on"
                    );
                } else if matches!(proposal.subject(), Subject::Own(_)) {
                    let go = shell.answered(*proposal, &[]);
                    assert!(go.operations.is_empty(), "the gateway answers");
                } else {
                    let go = shell.permitted(*proposal);
                    go.operations.iter().for_each(|it| check(it, is_start, id));
                    if is_start {
                        let started = Response::Started { command: id };
                        if let Some(start) = go.operations.first() {
                            drop(shell.heard(start, started, &[]));
                        }
                    }
                    if let Some(operation) = go.operations.last() {
                        answered(&mut shell, operation, body);
                    }
                }
            }
            Ok(Step::End(go)) => {
                let ends = |it: &Operation| matches!(it, Operation::Signal { .. });
                assert!(go.operations.iter().all(ends), "what is refused only ends");
            }
            Ok(Step::Forward(operations)) => {
                for it in &operations {
                    check(it, false, Uuid::nil());
                }
            }
            Ok(Step::Answer(_) | Step::Hold) | Err(_) => {}
        }
        assert!(
            shell.commands() <= Limits::default().commands,
            "commands are bounded"
        );
    }
}

fn operation(what: u8, body: &[u8]) -> Operation {
    let command = Uuid::from_u128(u128::from(what >> 5 & 3) + 1);
    let kinds = Kind::ALL;
    let kind = body.first().map_or(0, |it| usize::from(*it)) % kinds.len();
    let kind = kinds.get(kind).copied().unwrap_or(Kind::PipelineInput);
    let text = String::from_utf8_lossy(body.get(1..).unwrap_or_default()).into_owned();
    let bytes = |kind, pipeline| {
        let bytes = message::write(&Message {
            destination: Destination::Server,
            kind,
            pool: SHELL,
            pipeline,
            data: text.clone(),
        });
        fragment::write(7, &bytes, 1000).concat()
    };
    let send = |command, stream, data| Operation::Send {
        command,
        stream,
        data,
    };
    match what & 0x1f {
        0 => Operation::Command {
            command,
            arguments: bytes(Kind::CreatePipeline, command),
        },
        1 => Operation::Command {
            command,
            arguments: bytes(Kind::GetCommandMetadata, command),
        },
        2 => Operation::Command {
            command,
            arguments: body.to_vec(),
        },
        3 => send(
            Some(command),
            Stream::Stdin,
            bytes(Kind::PipelineInput, command),
        ),
        4 => send(Some(command), Stream::Stdin, body.to_vec()),
        5 => send(Some(command), Stream::Stdin, bytes(kind, command)),
        6 => send(Some(command), Stream::Pr, bytes(kind, command)),
        7 => send(None, Stream::Stdin, bytes(kind, Uuid::nil())),
        8 => send(None, Stream::Pr, bytes(kind, command)),
        9 => Operation::Signal {
            command,
            signal: Signal::Stop,
        },
        10 => Operation::Signal {
            command,
            signal: Signal::Terminate,
        },
        11 => Operation::Delete,
        _ => Operation::Receive {
            command: Some(command),
            keep_alive: false,
        },
    }
}

/// Whatever a server answers, a pipeline ends once at most.
fn answered(shell: &mut Shell, operation: &Operation, body: &[u8]) {
    let Operation::Receive { command, .. } = operation else {
        return;
    };
    let response = Response::Received(Received {
        output: vec![(*command, body.to_vec())],
        state: None,
    });
    drop(shell.heard(operation, response.clone(), &[]));
    let ended = shell.take_endings().len();
    drop(shell.heard(operation, response, &[]));
    assert!(ended + shell.take_endings().len() <= 1, "it ends once");
}

/// Commands start only with a decision, and every payload is whole messages of ours.
fn check(operation: &Operation, is_start: bool, id: Uuid) {
    let data = match operation {
        Operation::Command { command, arguments } => {
            assert_eq!(*command, id, "a command starts under its own id");
            arguments
        }
        Operation::Send { data, .. } => data,
        Operation::Create { .. } => {
            assert!(is_start, "a session is opened once");
            return;
        }
        Operation::Delete | Operation::Receive { .. } | Operation::Signal { .. } => return,
    };
    let objects = Reassembler::default().push(data, &FragmentLimits::default());
    for object in objects.expect("payloads are whole fragments") {
        let message = message::read(&object.bytes).expect("messages are whole");
        assert_eq!(message.pool, SHELL);
        if message.data.is_empty() {
            continue;
        }
        let item = clixml::read(&message.data).expect("bodies are CLIXML");
        assert_eq!(
            clixml::write(&item),
            message.data,
            "bodies are in our spelling"
        );
        assert!(!item.holds_script(), "no program text goes on");
    }
}

fn opened() -> Option<Shell> {
    let version = |text: &str| Item::Version(text.to_owned());
    let capability = Item::of_properties([
        ("protocolversion", version("2.3")),
        ("PSVersion", version("2.0")),
        ("SerializationVersion", version("1.1.0.1")),
    ]);
    let host = Item::of_properties([
        ("_isHostNull", Item::Bool(true)),
        ("_isHostUINull", Item::Bool(true)),
        ("_isHostRawUINull", Item::Bool(true)),
        ("_useRunspaceHost", Item::Bool(true)),
    ]);
    let init = Item::of_properties([
        ("MinRunspaces", Item::i32(1)),
        ("MaxRunspaces", Item::i32(1)),
        ("PSThreadOptions", Item::i32(0)),
        ("ApartmentState", Item::i32(2)),
        ("HostInfo", host),
    ]);
    let mut creation = Vec::new();
    for (id, kind, item) in [
        (1, Kind::SessionCapability, capability),
        (2, Kind::InitRunspacePool, init),
    ] {
        let bytes = message::write(&Message {
            destination: Destination::Server,
            kind,
            pool: SHELL,
            pipeline: Uuid::nil(),
            data: clixml::write(&item),
        });
        creation.extend(fragment::write(id, &bytes, 1000).concat());
    }
    let opened = Shell::open(SHELL, None, &creation, OWNER, Limits::default());
    let (mut shell, operation) = opened.ok()?;
    let created = Response::Created { shell: SHELL };
    let heard = shell.heard(&operation, created, &[]);
    heard.is_ok().then_some(shell)
}
