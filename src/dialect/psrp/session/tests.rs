//! Tests of the session: what goes upstream after which request, and what never does.

mod ending;

use crate::dialect::psrp::answer::{self, Failure};
use crate::dialect::psrp::clixml::{self, Item};
use crate::dialect::psrp::message::Destination;
use crate::dialect::psrp::soap::{CommandState, Frame, Received, Request, Signal, Subcode};
use crate::model::{Object, OwnCmdlet, Property, Value};

use super::*;

const ALICE: &str = "local:alice";
const SHELL: Uuid = Uuid::from_u128(0x5511);
const ONE: Uuid = Uuid::from_u128(0xc1);
const TWO: Uuid = Uuid::from_u128(0xc2);

/// A client of a shell, with the workload and an empty catalogue.
struct Client {
    shell: Shell,
    workload: Workload,
    catalogue: Catalogue,
    messages: u128,
}

impl Client {
    fn new() -> Self {
        let creation = [
            whole(1, Kind::SessionCapability, Uuid::nil(), &capability()),
            whole(2, Kind::InitRunspacePool, Uuid::nil(), &init(1)),
        ];
        let (mut shell, operation) = Shell::open(
            SHELL,
            Some("2.3"),
            &creation.concat(),
            ALICE,
            Limits::default(),
        )
        .unwrap();
        assert!(matches!(operation, Operation::Create { .. }));
        let created = Response::Created { shell: SHELL };
        shell.heard(&operation, created, &[]).unwrap();
        Self {
            shell,
            workload: "Exchange".parse().unwrap(),
            catalogue: Catalogue::default(),
            messages: 0,
        }
    }

    fn try_step(&mut self, operation: Operation) -> Result<Step, Unreadable> {
        self.messages += 1;
        let request = Request {
            frame: Frame {
                message: Uuid::from_u128(self.messages),
                session: None,
                timeout: None,
                max_envelope: None,
                locale: None,
                data_locale: None,
            },
            shell: SHELL,
            operation,
        };
        let context = Context {
            workload: &self.workload,
            catalogue: &self.catalogue,
        };
        self.shell.step(ALICE, &request, &context)
    }

    fn step(&mut self, operation: Operation) -> Step {
        self.try_step(operation).unwrap()
    }

    fn reason(&mut self, operation: Operation) -> &'static str {
        self.try_step(operation).unwrap_err().reason
    }

    fn proposal(&mut self, operation: Operation) -> Proposal {
        match self.step(operation) {
            Step::Decide(proposal) => *proposal,
            other @ (Step::Answer(_) | Step::End(_) | Step::Forward(_) | Step::Hold) => {
                panic!("{other:?}")
            }
        }
    }

    /// Starts a pipeline that runs upstream.
    fn run(&mut self, id: Uuid, name: &str, no_input: bool) {
        let proposal = self.proposal(command(id, &pipeline(name, no_input)));
        let go = self.shell.permitted(proposal);
        assert_eq!(go.operations.len(), 1);
        let started = Response::Started { command: id };
        assert_eq!(go.answer, Some(started.clone()));
        let heard = self.hear(&go.operations[0], started.clone());
        assert_eq!(heard, Ok(started));
    }

    fn hear(&mut self, operation: &Operation, response: Response) -> Result<Response, Unreadable> {
        let heard = self.shell.heard(operation, response, &[own()]);
        for item in self.shell.take_learned() {
            self.catalogue.add(&item).unwrap();
        }
        heard
    }

    fn output(&mut self, id: Uuid) -> (Vec<Message>, CommandState) {
        let step = self.step(receive(id));
        let Step::Answer(Response::Received(received)) = step else {
            panic!("{step:?}");
        };
        messages_of(&received)
    }
}

fn messages_of(received: &Received) -> (Vec<Message>, CommandState) {
    let mut reassembler = Reassembler::default();
    let mut messages = Vec::new();
    for (_, payload) in &received.output {
        for object in reassembler
            .push(payload, &fragment::Limits::default())
            .unwrap()
        {
            messages.push(message::read(&object.bytes).unwrap());
        }
    }
    (messages, received.state.unwrap().1)
}

fn own() -> OwnCmdlet {
    OwnCmdlet {
        name: "New-ElevatedAccessRequest".parse().unwrap(),
        parameters: Vec::new(),
    }
}

fn message_bytes(kind: Kind, pipeline: Uuid, item: &Item) -> Vec<u8> {
    let data = if kind == Kind::EndOfPipelineInput {
        String::new()
    } else {
        clixml::write(item)
    };
    message::write(&Message {
        destination: Destination::Server,
        kind,
        pool: SHELL,
        pipeline,
        data,
    })
}

fn whole(object: u64, kind: Kind, pipeline: Uuid, item: &Item) -> Vec<u8> {
    fragment::write(object, &message_bytes(kind, pipeline, item), MAX_BLOB).concat()
}

fn capability() -> Item {
    let version = |text: &str| Item::Version(text.to_owned());
    Item::of_properties([
        ("protocolversion", version("2.3")),
        ("PSVersion", version("2.0")),
        ("SerializationVersion", version("1.1.0.1")),
        ("TimeZone", Item::Bytes(vec![0, 1, 0, 0])),
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

fn init(runspaces: i32) -> Item {
    Item::of_properties([
        ("MinRunspaces", Item::i32(1)),
        ("MaxRunspaces", Item::i32(runspaces)),
        ("PSThreadOptions", Item::enumeration("T", "Default", 0)),
        ("ApartmentState", Item::enumeration("A", "UNKNOWN", 2)),
        ("HostInfo", host()),
        ("ApplicationArguments", Item::Nil),
    ])
}

fn pipeline(name: &str, no_input: bool) -> Item {
    let command = Item::of_properties([
        ("Cmd", Item::text(name)),
        ("IsScript", Item::Bool(false)),
        ("Args", Item::list(Vec::new())),
    ]);
    Item::of_properties([
        ("NoInput", Item::Bool(no_input)),
        ("HostInfo", host()),
        (
            "PowerShell",
            Item::of_properties([("Cmds", Item::list(vec![command]))]),
        ),
    ])
}

fn command(id: Uuid, item: &Item) -> Operation {
    Operation::Command {
        command: id,
        arguments: whole(3, Kind::CreatePipeline, id, item),
    }
}

fn send(command: Option<Uuid>, stream: Stream, data: Vec<u8>) -> Operation {
    Operation::Send {
        command,
        stream,
        data,
    }
}

fn receive(id: Uuid) -> Operation {
    Operation::Receive {
        command: Some(id),
        keep_alive: false,
    }
}

fn names(proposal: &Proposal) -> Vec<String> {
    match proposal.subject() {
        Subject::Commands(judged) => judged.iter().map(|it| it.task.cmdlet.to_string()).collect(),
        Subject::Own(command) => vec![format!("own {}", command.task.cmdlet)],
        Subject::Listing => vec!["listing".to_owned()],
    }
}

#[test]
fn a_pipeline_goes_upstream_when_it_is_permitted_and_not_before() {
    let mut client = Client::new();
    let bytes = message_bytes(Kind::CreatePipeline, ONE, &pipeline("Get-Mailbox", true));
    let fragments = fragment::write(3, &bytes, 200);
    let (first, rest) = fragments.split_first().unwrap();
    let started = Response::Started { command: ONE };
    let begin = Operation::Command {
        command: ONE,
        arguments: first.clone(),
    };
    assert!(matches!(client.step(begin), Step::Answer(it) if it == started));
    assert!(matches!(client.step(receive(ONE)), Step::Hold));
    let (last, between) = rest.split_last().unwrap();
    for part in between {
        let step = client.step(send(Some(ONE), Stream::Stdin, part.clone()));
        assert!(matches!(step, Step::Answer(Response::Sent)));
    }
    let proposal = client.proposal(send(Some(ONE), Stream::Stdin, last.clone()));
    assert_eq!(names(&proposal), ["Get-Mailbox"]);
    let go = client.shell.permitted(proposal);
    assert_eq!(go.answer, Some(Response::Sent));
    let [Operation::Command { command, arguments }] = go.operations.as_slice() else {
        panic!("{go:?}");
    };
    assert_eq!(*command, ONE);
    let objects = Reassembler::default()
        .push(arguments, &fragment::Limits::default())
        .unwrap();
    let sent = message::read(&objects[0].bytes).unwrap();
    assert_eq!(
        (sent.kind, sent.pool, sent.pipeline),
        (Kind::CreatePipeline, SHELL, ONE)
    );
    assert!(sent.data.contains("Get-Mailbox"));
}

#[test]
fn a_large_pipeline_is_sent_in_parts_that_fit() {
    let mut client = Client::new();
    let mut item = pipeline("Get-Mailbox", true);
    let text = "z".repeat(400_000);
    let argument = Item::of_properties([("N", Item::text("Identity")), ("V", Item::text(text))]);
    let large = clixml::write(&item).replace("<LST></LST>", &{
        let written = clixml::write(&argument).replace("RefId=\"0\"", "RefId=\"99\"");
        format!("<LST>{written}</LST>")
    });
    item = clixml::read(&large).unwrap();
    let arguments: Vec<_> =
        fragment::write(3, &message_bytes(Kind::CreatePipeline, ONE, &item), 32_000);
    let proposal = client.proposal(Operation::Command {
        command: ONE,
        arguments: arguments.concat(),
    });
    let go = client.shell.permitted(proposal);
    assert_eq!(go.operations.len(), 5);
    for operation in &go.operations {
        let (Operation::Command {
            arguments: data, ..
        }
        | Operation::Send { data, .. }) = operation
        else {
            panic!("{operation:?}");
        };
        assert!(data.len() <= MAX_BLOB + 21);
    }
}

#[test]
fn a_refused_pipeline_fails_with_its_reason_and_the_session_goes_on() {
    let mut client = Client::new();
    let proposal = client.proposal(command(ONE, &pipeline("Remove-Mailbox", false)));
    let go = client.shell.refused(
        proposal,
        Failure::Blocked,
        "Remove-Mailbox needs approval. <Request it>",
    );
    assert_eq!(go.operations, []);
    assert_eq!(go.answer, Some(Response::Started { command: ONE }));
    // Input that was on its way goes nowhere.
    let input = whole(4, Kind::PipelineInput, ONE, &Item::text("x"));
    let step = client.step(send(Some(ONE), Stream::Stdin, input));
    assert!(matches!(step, Step::Answer(Response::Sent)));
    let (messages, state) = client.output(ONE);
    assert_eq!((messages.len(), state), (1, CommandState::Done));
    assert_eq!(messages[0].kind, Kind::PipelineState);
    for part in [
        r#"<I32 N="PipelineState">5</I32>"#,
        r#"<S N="FullyQualifiedErrorId">PortcullisBlocked</S>"#,
        r#"<I32 N="ErrorCategory_Category">18</I32>"#,
        "<ToString>Remove-Mailbox needs approval. &lt;Request it&gt;</ToString>",
    ] {
        assert!(
            messages[0].data.contains(part),
            "{part} in {}",
            messages[0].data
        );
    }
    let end = Operation::Signal {
        command: ONE,
        signal: Signal::Terminate,
    };
    assert!(matches!(
        client.step(end),
        Step::Answer(Response::Signalled)
    ));
    client.run(TWO, "Get-Mailbox", true);
}

#[test]
fn a_form_that_is_not_let_through_fails_without_a_decision() {
    let mut client = Client::new();
    let step = client.step(command(ONE, &pipeline("Invoke-Expression", true)));
    assert!(matches!(step, Step::Answer(Response::Started { .. })));
    let (messages, _) = client.output(ONE);
    assert!(messages[0].data.contains("PortcullisUnsupported"));
}

#[test]
fn what_runs_can_be_refused_though_its_client_asks_for_nothing() {
    let mut client = Client::new();
    assert!(client.shell.going_on(ONE).is_none());
    client.run(ONE, "Get-Mailbox", false);
    let proposal = client.shell.going_on(ONE).unwrap();
    assert_eq!(names(&proposal), ["Get-Mailbox"]);
    assert_eq!(proposal.stage(), Stage::Onward);
    let go = client.shell.permitted(proposal);
    assert_eq!(go.operations, [], "nothing goes upstream if it may");
    let proposal = client.shell.going_on(ONE).unwrap();
    let go = client
        .shell
        .refused(proposal, Failure::Blocked, "it was revoked");
    assert_eq!(go.operations.len(), 2);
    assert!(client.shell.going_on(ONE).is_none(), "once is enough");
    // The client hears it when it asks.
    let Step::End(go) = client.step(receive(ONE)) else {
        panic!("it is told to end again");
    };
    let Some(Response::Received(received)) = go.answer else {
        panic!("{go:?}");
    };
    assert_eq!(received.state, Some((ONE, CommandState::Done)));
}

#[test]
fn a_revoke_stops_a_running_pipeline_at_its_next_step() {
    let mut client = Client::new();
    client.run(ONE, "Get-Mailbox", false);
    let input = whole(4, Kind::PipelineInput, ONE, &Item::text("x"));
    let end = whole(5, Kind::EndOfPipelineInput, ONE, &Item::Nil);
    for operation in [
        receive(ONE),
        send(Some(ONE), Stream::Stdin, input),
        send(Some(ONE), Stream::Stdin, end),
    ] {
        let proposal = client.proposal(operation);
        assert_eq!(names(&proposal), ["Get-Mailbox"]);
        let go = client.shell.permitted(proposal);
        assert_eq!(go.operations.len(), 1);
    }
    let proposal = client.proposal(receive(ONE));
    let go = client
        .shell
        .refused(proposal, Failure::Blocked, "it was revoked");
    let signal = |signal| Operation::Signal {
        command: ONE,
        signal,
    };
    assert_eq!(
        go.operations,
        [signal(Signal::Stop), signal(Signal::Terminate)]
    );
    let Some(Response::Received(received)) = go.answer else {
        panic!("{go:?}");
    };
    assert_eq!(messages_of(&received).1, CommandState::Done);
    for operation in &go.operations {
        client.hear(operation, Response::Signalled).unwrap();
    }
    // An answer to an earlier request that comes now says nothing any more.
    let late = client.hear(&receive(ONE), Response::Received(Received::default()));
    assert!(
        matches!(late, Ok(Response::Fault(fault)) if fault.subcode == Subcode::InvalidSelectors)
    );
}

#[test]
fn input_is_decided_on_with_its_value() {
    let mut client = Client::new();
    client.run(ONE, "Set-Mailbox", false);
    let input = [
        whole(4, Kind::PipelineInput, ONE, &Item::text("anna")),
        whole(5, Kind::PipelineInput, ONE, &Item::text("bo")),
    ];
    let proposal = client.proposal(send(Some(ONE), Stream::Stdin, input.concat()));
    let Subject::Commands(judged) = proposal.subject() else {
        panic!("{proposal:?}");
    };
    let [command] = judged.as_slice() else {
        panic!("what comes together is decided on together: {judged:?}");
    };
    assert_eq!(
        command.parameters.get("PipelineInput"),
        Some(&Value::List(vec![Value::text("anna"), Value::text("bo")]))
    );
    client.run(TWO, "Set-Mailbox", true);
    let input = whole(6, Kind::PipelineInput, TWO, &Item::text("x"));
    assert_eq!(
        client.reason(send(Some(TWO), Stream::Stdin, input)),
        "input-unasked"
    );
}

/// The end of input of the first command, in the message of this number.
fn end(number: u64) -> Vec<u8> {
    let end = Message {
        destination: Destination::Server,
        kind: Kind::EndOfPipelineInput,
        pool: SHELL,
        pipeline: ONE,
        data: String::new(),
    };
    fragment::write(number, &message::write(&end), MAX_BLOB).concat()
}

#[test]
fn what_waits_for_a_decision_may_have_no_input_and_say_so() {
    let mut client = Client::new();
    let proposal = client.proposal(command(ONE, &pipeline("Set-Mailbox", false)));
    let input = whole(4, Kind::PipelineInput, ONE, &Item::text("anna"));
    let reason = client.reason(send(Some(ONE), Stream::Stdin, input));
    assert_eq!(reason, "input-early");
    let step = client.step(send(Some(ONE), Stream::Stdin, end(5)));
    assert!(matches!(step, Step::Answer(Response::Sent)));
    let reason = client.reason(send(Some(ONE), Stream::Stdin, end(6)));
    assert_eq!(reason, "input-early");
    let go = client.shell.permitted(proposal);
    let [Operation::Command { .. }, last] = go.operations.as_slice() else {
        panic!("{go:?}");
    };
    // Under a number of the gateway's own, behind the two of the session's opening and the start.
    assert_eq!(*last, send(Some(ONE), Stream::Stdin, end(4)));
}

#[test]
fn after_the_end_of_input_there_is_no_more() {
    let mut client = Client::new();
    client.run(ONE, "Set-Mailbox", false);
    let input = || whole(5, Kind::PipelineInput, ONE, &Item::text("anna"));
    let behind = [end(4), input()].concat();
    let reason = client.reason(send(Some(ONE), Stream::Stdin, behind));
    assert_eq!(reason, "input-ended");
    for more in [input(), end(6)] {
        let reason = client.reason(send(Some(ONE), Stream::Stdin, more));
        assert_eq!(reason, "input-ended");
    }
}

#[test]
fn the_gateways_own_cmdlets_never_go_upstream() {
    let mut client = Client::new();
    let proposal = client.proposal(command(ONE, &pipeline("New-ElevatedAccessRequest", true)));
    assert_eq!(names(&proposal), ["own New-ElevatedAccessRequest"]);
    let object = Object {
        type_name: "ElevatedAccessRequest",
        properties: vec![
            ("Identity", Property::Guid(TWO)),
            ("Status", Property::from("Pending")),
        ],
    };
    let go = client.shell.answered(proposal, &[object]);
    assert_eq!(go.operations, []);
    let (messages, state) = client.output(ONE);
    assert_eq!(state, CommandState::Done);
    let kinds: Vec<_> = messages.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Kind::PipelineOutput, Kind::PipelineState]);
    assert!(
        messages[0]
            .data
            .contains("<T>Portcullis.ElevatedAccessRequest</T>")
    );
    assert!(messages[0].data.contains(r#"<S N="Status">Pending</S>"#));
    assert!(
        messages[1]
            .data
            .contains(r#"<I32 N="PipelineState">4</I32>"#)
    );
    assert_eq!(client.shell.commands(), 0);
}

#[test]
fn the_servers_list_of_commands_has_the_gateways_in_it_and_is_learnt() {
    let mut client = Client::new();
    let ask = Item::of_properties([
        (
            "Name",
            Item::list(vec![Item::text("*Elevated*"), Item::text("Get-M*")]),
        ),
        ("CommandType", Item::i32(511)),
        ("Namespace", Item::Nil),
        ("ArgumentList", Item::Nil),
    ]);
    let proposal = client.proposal(Operation::Command {
        command: ONE,
        arguments: whole(3, Kind::GetCommandMetadata, ONE, &ask),
    });
    assert_eq!(*proposal.subject(), Subject::Listing);
    let go = client.shell.permitted(proposal);
    let to_client = |object: u64, kind: Kind, item: &Item| {
        let mut bytes = message_bytes(kind, ONE, item);
        bytes[0] = 1;
        fragment::write(object, &bytes, MAX_BLOB).concat()
    };
    let known = Item::of_properties([("Name", Item::text("Get-Mailbox"))]);
    let output = [
        to_client(
            4,
            Kind::PipelineOutput,
            &Item::of_properties([("Count", Item::i32(1))]),
        ),
        to_client(5, Kind::PipelineOutput, &known),
        to_client(6, Kind::PipelineState, &answer::completed()),
    ];
    let started = Response::Started { command: ONE };
    client.hear(&go.operations[0], started).unwrap();
    let proposal = client.proposal(receive(ONE));
    let go = client.shell.permitted(proposal);
    let response = Response::Received(Received {
        output: vec![(Some(ONE), output.concat())],
        state: Some((ONE, CommandState::Done)),
    });
    let Ok(Response::Received(heard)) = client.hear(&go.operations[0], response) else {
        panic!("no output");
    };
    let (messages, _) = messages_of(&heard);
    let said: Vec<_> = messages.iter().map(|it| it.data.as_str()).collect();
    assert_eq!(said.len(), 4);
    assert!(said[0].contains(r#"<I32 N="Count">2</I32>"#), "{}", said[0]);
    assert!(said[1].contains(r#"<S N="Name">New-ElevatedAccessRequest</S>"#));
    assert!(said[2].contains("Get-Mailbox"));
    assert_eq!(client.catalogue.len(), 1);
}

#[test]
fn tricks_with_places_and_ids_are_refused() {
    let create = |id| {
        whole(
            9,
            Kind::CreatePipeline,
            id,
            &pipeline("Remove-Mailbox", true),
        )
    };
    let mut client = Client::new();
    // A pipeline in every place but the one, beside the control that runs.
    client.run(ONE, "Get-Mailbox", false);
    for (command, stream) in [
        (None, Stream::Stdin),
        (None, Stream::Pr),
        (Some(ONE), Stream::Stdin),
        (Some(ONE), Stream::Pr),
    ] {
        for id in [ONE, TWO, Uuid::nil()] {
            assert_eq!(
                client.reason(send(command, stream, create(id))),
                "message-place"
            );
        }
    }
    // Under another command's id, and two in one.
    let under_other = |id, bytes| Operation::Command {
        command: id,
        arguments: bytes,
    };
    assert_eq!(client.reason(under_other(TWO, create(ONE))), "message-ids");
    let three = Uuid::from_u128(3);
    assert_eq!(
        client.reason(under_other(three, [create(three), create(three)].concat())),
        "command-start"
    );
    // An id is used once, and not at all after a refusal.
    assert_eq!(
        client.reason(command(ONE, &pipeline("Get-Mailbox", true))),
        "command-twice"
    );
    assert_eq!(
        client.reason(under_other(TWO, create(TWO))),
        "command-twice"
    );
    // Input of one pipeline under another.
    client.run(Uuid::from_u128(4), "Set-Mailbox", false);
    let input = whole(5, Kind::PipelineInput, Uuid::from_u128(4), &Item::text("x"));
    assert_eq!(
        client.reason(send(Some(ONE), Stream::Stdin, input)),
        "message-ids"
    );
    // An answer for a pipeline that does not run.
    let response = Item::of_properties([
        ("ci", Item::Integer(clixml::Integer::I64, 1)),
        ("mi", Item::i32(26)),
        ("mr", Item::i32(0)),
    ]);
    let answer_to = |id| whole(6, Kind::PipelineHostResponse, id, &response);
    assert_eq!(
        client.reason(send(None, Stream::Pr, answer_to(TWO))),
        "message-ids"
    );
    let proposal = client.proposal(send(None, Stream::Pr, answer_to(ONE)));
    assert_eq!(names(&proposal), ["Get-Mailbox"]);
}

#[test]
fn a_session_begins_with_its_two_messages_only() {
    let of = |parts: &[Vec<u8>]| {
        Shell::open(SHELL, None, &parts.concat(), ALICE, Limits::default()).map_err(|it| it.reason)
    };
    let first = || whole(1, Kind::SessionCapability, Uuid::nil(), &capability());
    let second = || whole(2, Kind::InitRunspacePool, Uuid::nil(), &init(1));
    let third = whole(
        3,
        Kind::CreatePipeline,
        Uuid::nil(),
        &pipeline("Get-Mailbox", true),
    );
    let Ok((_, Operation::Create { creation, .. })) = of(&[first(), second()]) else {
        panic!("the control is refused");
    };
    let text = String::from_utf8_lossy(&creation).into_owned();
    assert!(text.contains("SerializationVersion") && !text.contains("TimeZone"));
    assert_eq!(of(&[first()]).err(), Some("creation"));
    assert_eq!(
        of(&[first(), second(), third.clone()]).err(),
        Some("creation")
    );
    assert_eq!(of(&[first(), third]).err(), Some("message-place"));
    assert_eq!(of(&[second(), first()]).err(), Some("message-place"));
    let with = |property: usize, item: Item| {
        let Item::Object(mut object) = init(1) else {
            panic!("it is an object");
        };
        object.extended[property].1 = item;
        let item = Item::Object(object);
        of(&[
            first(),
            whole(2, Kind::InitRunspacePool, Uuid::nil(), &item),
        ])
        .err()
    };
    let console = |class: &str| {
        let value = Item::of_properties([("T", Item::text(class)), ("V", Item::i32(7))]);
        let data = Item::of_properties([("data", Item::table(vec![("9".to_owned(), value)]))]);
        let Item::Object(mut object) = host() else {
            panic!("it is an object");
        };
        object.extended.push(("_hostDefaultData".to_owned(), data));
        Item::Object(object)
    };
    assert_eq!(with(4, console("System.ConsoleColor")), None);
    assert_eq!(
        with(4, console("System.Diagnostics.Process")),
        Some("pipeline-shape")
    );
    let arguments = |item| Item::table(vec![("PSVersionTable".to_owned(), item)]);
    assert_eq!(with(5, arguments(Item::table(Vec::new()))), None);
    let block = Item::ScriptBlock("x".to_owned());
    assert_eq!(with(5, arguments(block)), Some("pool-message"));
    assert_eq!(with(5, arguments(init(1))), Some("pool-message"));
    let many = whole(2, Kind::InitRunspacePool, Uuid::nil(), &init(1000));
    assert_eq!(of(&[first(), many]).err(), Some("pool-size"));
}

#[test]
fn to_others_the_shell_is_not_there() {
    let mut client = Client::new();
    client.run(ONE, "Get-Mailbox", true);
    let request = Request {
        frame: Frame {
            message: Uuid::max(),
            session: None,
            timeout: None,
            max_envelope: None,
            locale: None,
            data_locale: None,
        },
        shell: SHELL,
        operation: receive(ONE),
    };
    let (workload, catalogue) = (client.workload.clone(), Catalogue::default());
    let context = Context {
        workload: &workload,
        catalogue: &catalogue,
    };
    let step = client.shell.step("local:mallory", &request, &context);
    assert!(
        matches!(step, Ok(Step::Answer(Response::Fault(fault))) if fault.subcode == Subcode::InvalidSelectors)
    );
    assert!(matches!(
        client.shell.step(ALICE, &request, &context),
        Ok(Step::Decide(_))
    ));
    let again = client.shell.step(ALICE, &request, &context);
    assert_eq!(again.unwrap_err().reason, "message-twice");
}

#[test]
fn messages_about_the_pool_pass_in_our_spelling() {
    let mut client = Client::new();
    let call = Item::Integer(clixml::Integer::I64, 7);
    let set =
        |number| Item::of_properties([("MaxRunspaces", Item::i32(number)), ("CI", call.clone())]);
    let resize = |item: &Item| {
        send(
            None,
            Stream::Stdin,
            whole(3, Kind::SetMaxRunspaces, Uuid::nil(), item),
        )
    };
    let Step::Forward(operations) = client.step(resize(&set(3))) else {
        panic!("it is not passed on");
    };
    let [Operation::Send { data, .. }] = operations.as_slice() else {
        panic!("{operations:?}");
    };
    assert!(String::from_utf8_lossy(data).contains(r#"<I64 N="ci">7</I64>"#));
    assert_eq!(client.reason(resize(&set(500))), "pool-size");
    let key = |text: &str| {
        let item = Item::of_properties([("PublicKey", Item::text(text))]);
        send(
            None,
            Stream::Stdin,
            whole(4, Kind::PublicKey, Uuid::nil(), &item),
        )
    };
    assert!(matches!(client.step(key("BgIAAA==")), Step::Forward(_)));
    assert_eq!(client.reason(key("<x>")), "pool-message");
}

#[test]
fn a_client_that_stops_or_leaves_is_heard() {
    let mut client = Client::new();
    client.run(ONE, "Get-Mailbox", true);
    let signal = |command, signal| Operation::Signal { command, signal };
    let stop = signal(ONE, Signal::Stop);
    assert!(matches!(client.step(stop.clone()), Step::Forward(it) if it == [stop]));
    let end = signal(ONE, Signal::Terminate);
    assert!(matches!(client.step(end.clone()), Step::Forward(_)));
    assert_eq!(
        client.hear(&end, Response::Signalled),
        Ok(Response::Signalled)
    );
    assert_eq!(client.shell.commands(), 0);
    // One that is decided on can be stopped: the permit that comes late starts nothing.
    let proposal = client.proposal(command(TWO, &pipeline("Get-Mailbox", true)));
    assert!(matches!(
        client.step(signal(TWO, Signal::Stop)),
        Step::Answer(Response::Signalled)
    ));
    assert_eq!(client.shell.permitted(proposal).operations, []);
    let (messages, _) = client.output(TWO);
    assert!(
        messages[0]
            .data
            .contains(r#"<I32 N="PipelineState">3</I32>"#)
    );
    assert!(matches!(client.step(Operation::Delete), Step::Forward(_)));
    assert_eq!(
        client.hear(&Operation::Delete, Response::Deleted),
        Ok(Response::Deleted)
    );
    assert!(client.shell.is_closed());
    assert!(matches!(
        client.step(receive(ONE)),
        Step::Answer(Response::Fault(_))
    ));
}

#[test]
fn what_a_shell_holds_is_bounded() {
    let mut client = Client::new();
    client.shell.limits = Limits {
        commands: 2,
        commands_ever: 3,
        held_bytes: 3000,
    };
    let begin = |id: u128, size: usize| {
        let bytes = vec![0; size];
        Operation::Command {
            command: Uuid::from_u128(id),
            arguments: fragment::write(3, &bytes, size.div_ceil(2))[0].clone(),
        }
    };
    assert!(matches!(client.step(begin(1, 4000)), Step::Answer(_)));
    assert_eq!(client.reason(begin(2, 4000)), "message-too-large");
    assert!(matches!(client.step(begin(3, 400)), Step::Answer(_)));
    assert_eq!(client.reason(begin(4, 400)), "too-many-commands");
}

/// Output of a pipeline, cut into pieces of this many bytes.
fn output_of(
    command: Uuid,
    messages: &[(Kind, Item)],
    blob: usize,
    state: CommandState,
) -> Response {
    let mut output = Vec::new();
    for ((kind, item), number) in messages.iter().zip(1..) {
        let bytes = message::write(&Message {
            destination: Destination::Client,
            kind: *kind,
            pool: SHELL,
            pipeline: command,
            data: clixml::write(item),
        });
        for fragment in fragment::write(number, &bytes, blob) {
            output.push((Some(command), fragment));
        }
    }
    Response::Received(Received {
        output,
        state: Some((command, state)),
    })
}

fn pipeline_state(number: i32) -> Item {
    Item::of_properties([("PipelineState", Item::i32(number))])
}

#[test]
fn how_a_pipeline_ends_is_seen_as_its_output_passes() {
    for (number, ending) in [
        (3, Ending::Stopped),
        (4, Ending::Completed),
        (5, Ending::Failed),
    ] {
        for blob in [1, 7, 8, 39, 41, 90_000] {
            let mut client = Client::new();
            client.run(ONE, "Get-Mailbox", true);
            // A text that says the same as a state is none.
            let messages = [
                (Kind::PipelineOutput, pipeline_state(5)),
                (Kind::PipelineState, pipeline_state(1)),
                (Kind::PipelineState, pipeline_state(number)),
            ];
            let Step::Decide(proposal) = client.step(receive(ONE)) else {
                panic!("it runs");
            };
            let go = client.shell.permitted(*proposal);
            let response = output_of(ONE, &messages, blob, CommandState::Running);
            let heard = client.hear(&go.operations[0], response.clone());
            assert_eq!(heard, Ok(response), "it passes as it is");
            assert_eq!(client.shell.take_endings(), [(ONE, ending)], "{blob}");
            // It ends once, whatever follows.
            let done = output_of(ONE, &[], blob, CommandState::Done);
            client.hear(&go.operations[0], done).unwrap();
            assert_eq!(client.shell.take_endings(), []);
            assert!(!client.shell.has(ONE));
        }
    }
}

#[test]
fn a_pipeline_that_ends_without_a_word_has_an_unclear_end() {
    let wait = |ended: &dyn Fn(&mut Client)| {
        let mut client = Client::new();
        client.run(ONE, "Get-Mailbox", true);
        ended(&mut client);
        client.shell.take_endings()
    };
    let hear = |client: &mut Client, response| {
        let operation = receive(ONE);
        drop(client.hear(&operation, response));
    };
    let unclear = [(ONE, Ending::Unclear)];
    let done = output_of(ONE, &[], 9, CommandState::Done);
    assert_eq!(wait(&|it| hear(it, done.clone())), unclear);
    let gone = Response::Fault(Fault::unknown("such command"));
    assert_eq!(wait(&|it| hear(it, gone.clone())), unclear);
    let broken = Response::Received(Received {
        output: vec![(Some(ONE), vec![1, 2, 3])],
        state: None,
    });
    assert_eq!(wait(&|it| hear(it, broken.clone())), []);
    let later = Response::Fault(Fault::timed_out());
    assert_eq!(wait(&|it| hear(it, later.clone())), []);
}

#[test]
fn a_proposal_that_nobody_decides_on_leaves_nothing() {
    let mut client = Client::new();
    let proposal = client.proposal(command(ONE, &pipeline("Get-Mailbox", true)));
    assert!(client.shell.is_deciding(ONE));
    assert_eq!(
        proposal.while_waiting(),
        Some(Response::Started { command: ONE })
    );
    client.shell.dropped(proposal);
    assert!(!client.shell.has(ONE));
    // A step of one that runs leaves it as it was.
    client.run(TWO, "Get-Mailbox", true);
    let proposal = client.proposal(receive(TWO));
    assert_eq!(
        (proposal.stage(), proposal.while_waiting()),
        (Stage::Onward, None)
    );
    client.shell.dropped(proposal);
    assert!(client.shell.runs(TWO));
}

#[test]
fn a_first_message_that_cannot_be_read_leaves_nothing() {
    let mut client = Client::new();
    let bytes = message_bytes(Kind::CreatePipeline, ONE, &Item::text("not a pipeline"));
    let parts = fragment::write(3, &bytes, bytes.len().div_ceil(2));
    let begin = Operation::Command {
        command: ONE,
        arguments: parts[0].clone(),
    };
    assert!(matches!(client.step(begin), Step::Answer(_)));
    let rest = send(Some(ONE), Stream::Stdin, parts[1].clone());
    client.try_step(rest).unwrap_err();
    assert!(!client.shell.has(ONE));
}

#[test]
fn what_waits_for_a_decision_is_held_with_what_its_values_take() {
    let mut client = Client::new();
    let before = (client.shell.held(), client.shell.weight());
    let proposal = client.proposal(command(ONE, &pipeline("Get-Mailbox", true)));
    let size = client.shell.held() - before.0;
    assert!(size > 500, "{size}");
    let weight = client.shell.weight() - before.1;
    assert!(weight > 10 * size, "{weight} for {size}");
    client.shell.limits.held_bytes = 2 * size;
    let two = client.proposal(command(TWO, &pipeline("Get-Mailbox", true)));
    let third = command(Uuid::from_u128(33), &pipeline("Get-Mailbox", true));
    assert_eq!(client.reason(third), "message-too-large");
    // One that begins takes as much still; one that is refused does not.
    client.shell.permitted(proposal);
    assert_eq!(client.shell.weight() - before.1, 2 * weight + 32);
    client.shell.refused(two, Failure::Blocked, "no");
    let fourth = command(Uuid::from_u128(34), &pipeline("Get-Mailbox", true));
    client.shell.limits.held_bytes = 4 * size;
    client.proposal(fourth);
    assert!(client.shell.weight() - before.1 < 3 * weight);
}

#[test]
fn what_there_is_no_room_for_is_dropped() {
    let mut client = Client::new();
    let half = |object| fragment::write(object, &vec![0; 2000], 1000)[0].clone();
    let before = client.shell.held();
    client.step(Operation::Command {
        command: ONE,
        arguments: half(3),
    });
    assert!(client.shell.held() >= before + 1000);
    client.shell.shed(Some(ONE));
    assert!(!client.shell.has(ONE) && client.shell.held() < before + 1000);
    client.run(TWO, "Get-Mailbox", false);
    let running = client.shell.held();
    client.step(send(Some(TWO), Stream::Stdin, half(4)));
    client.step(send(None, Stream::Stdin, half(5)));
    assert!(client.shell.held() >= running + 2000);
    client.shell.shed(Some(TWO));
    client.shell.shed(None);
    assert!(client.shell.runs(TWO));
    assert_eq!(client.shell.held(), running);
}
