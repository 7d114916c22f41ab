//! When a pipeline has ended: when the server says so, and as long as it does not, it counts as one that runs.

use proptest::prelude::*;

use super::*;

fn signal(signal: Signal) -> Operation {
    Operation::Signal {
        command: ONE,
        signal,
    }
}

fn gone() -> Response {
    Response::Fault(Fault::unknown("such command"))
}

/// A client of a shell with a pipeline that runs.
fn running() -> Client {
    let mut client = Client::new();
    client.run(ONE, "Get-Mailbox", true);
    client
}

/// One whose pipeline was refused as it asked for output, and has heard so; the server was told, and did not answer.
fn refused() -> Client {
    let mut client = running();
    let proposal = client.proposal(receive(ONE));
    let go = client.shell.refused(proposal, Failure::Blocked, "no");
    assert_eq!(
        go.operations,
        [signal(Signal::Stop), signal(Signal::Terminate)]
    );
    assert!(matches!(go.answer, Some(Response::Received(_))));
    client
}

#[test]
fn a_session_that_is_to_be_closed_is_there_until_the_server_says_that_it_is_not() {
    let mut client = running();
    for _ in 0..2 {
        // The answer does not come, so it is asked again.
        assert!(
            matches!(client.step(Operation::Delete), Step::Forward(it) if it == [Operation::Delete])
        );
        assert!(client.shell.runs(ONE) && !client.shell.is_closed());
        assert_eq!(client.shell.take_endings(), []);
    }
    // A revoke still stops it.
    assert_eq!(client.proposal(receive(ONE)).stage(), Stage::Onward);
    let busy = Response::Fault(Fault::quota("try again"));
    client.hear(&Operation::Delete, busy).unwrap();
    assert!(client.shell.runs(ONE) && !client.shell.is_closed());
    client.hear(&Operation::Delete, Response::Deleted).unwrap();
    assert!(client.shell.is_closed() && !client.shell.has(ONE));
    assert_eq!(client.shell.take_endings(), [(ONE, Ending::NotFetched)]);
}

#[test]
fn what_a_server_ran_that_has_lost_the_session_has_an_unclear_end() {
    for operation in [
        Operation::Delete,
        Operation::Receive {
            command: None,
            keep_alive: false,
        },
    ] {
        let mut client = running();
        client.hear(&operation, gone()).unwrap();
        assert!(client.shell.is_closed());
        assert_eq!(client.shell.take_endings(), [(ONE, Ending::Unclear)]);
    }
}

#[test]
fn what_its_client_ends_before_it_has_fetched_the_end_may_have_run_to_it() {
    let mut client = running();
    let end = signal(Signal::Terminate);
    assert!(matches!(client.step(end.clone()), Step::Forward(_)));
    assert!(client.shell.runs(ONE));
    assert_eq!(client.shell.take_endings(), []);
    client.hear(&end, Response::Signalled).unwrap();
    assert!(!client.shell.has(ONE));
    assert_eq!(client.shell.take_endings(), [(ONE, Ending::NotFetched)]);
}

/// A pipeline of two payloads whose client said early that nothing is piped into it, permitted.
fn large_and_ended_early() -> (Client, Vec<Operation>) {
    let mut client = Client::new();
    let mut item = pipeline("Get-Mailbox", false);
    let Item::Object(object) = &mut item else {
        panic!("it is an object");
    };
    let command = Item::of_properties([
        ("Cmd", Item::text("Get-Mailbox")),
        ("IsScript", Item::Bool(false)),
        (
            "Args",
            Item::list(vec![Item::of_properties([
                ("N", Item::text("Identity")),
                ("V", Item::text("z".repeat(100_000))),
            ])]),
        ),
    ]);
    let powershell = Item::of_properties([("Cmds", Item::list(vec![command]))]);
    object.extended.retain(|it| it.0 != "PowerShell");
    object.extended.push(("PowerShell".to_owned(), powershell));
    let proposal = client.proposal(super::command(ONE, &item));
    let end = whole(4, Kind::EndOfPipelineInput, ONE, &Item::Nil);
    let step = client.step(send(Some(ONE), Stream::Stdin, end));
    assert!(matches!(step, Step::Answer(Response::Sent)));
    let go = client.shell.permitted(proposal);
    assert_eq!(go.operations.len(), 3);
    (client, go.operations)
}

#[test]
fn a_pipeline_ran_nothing_only_as_long_as_its_first_message_is_not_whole() {
    // So many payloads are taken, and the next is refused.
    for (taken, how) in [(1, Ending::Failed), (2, Ending::Unclear)] {
        let (mut client, operations) = large_and_ended_early();
        for operation in &operations[..taken] {
            let response = match operation {
                Operation::Command { command, .. } => Response::Started { command: *command },
                Operation::Create { .. }
                | Operation::Delete
                | Operation::Receive { .. }
                | Operation::Send { .. }
                | Operation::Signal { .. } => Response::Sent,
            };
            client.hear(operation, response).unwrap();
        }
        let fault = Fault::quota("too much");
        let response = Response::Fault(fault.clone());
        client.hear(&operations[taken], response).unwrap();
        client.shell.broken_off(ONE, &fault);
        assert_eq!(client.shell.take_endings(), [(ONE, how)]);
        assert_eq!(client.shell.take_to_end(), [ONE]);
    }
}

#[test]
fn a_pipeline_of_which_input_was_lost_takes_no_more_and_says_why() {
    let mut client = Client::new();
    client.run(ONE, "Get-Mailbox", false);
    client.shell.input_lost(ONE);
    assert_eq!(client.shell.take_endings(), [(ONE, Ending::Unclear)]);
    assert_eq!(client.shell.take_to_end(), [ONE]);
    let input = whole(5, Kind::PipelineInput, ONE, &Item::text("x"));
    let step = client.step(send(Some(ONE), Stream::Stdin, input));
    assert!(matches!(step, Step::Answer(Response::Sent)));
    let Step::End(go) = client.step(receive(ONE)) else {
        panic!("it is told again to end");
    };
    let Some(Response::Received(received)) = go.answer else {
        panic!("{go:?}");
    };
    let (messages, _) = messages_of(&received);
    assert!(messages[0].data.contains("what was piped in"));
    // It counts as running until the server says otherwise.
    assert!(client.shell.runs(ONE));
}

#[test]
fn a_number_of_a_message_is_used_once_whatever_numbers_the_client_gives() {
    let mut client = Client::new();
    client.run(ONE, "Get-Mailbox", false);
    let mut numbers = Vec::new();
    for text in ["a", "b"] {
        let input = whole(7, Kind::PipelineInput, ONE, &Item::text(text));
        let proposal = client.proposal(send(Some(ONE), Stream::Stdin, input));
        for operation in client.shell.permitted(proposal).operations {
            let Operation::Send { data, .. } = operation else {
                panic!("{operation:?}");
            };
            let limits = fragment::Limits::default();
            let objects = Reassembler::default().push(&data, &limits).unwrap();
            numbers.extend(objects.iter().map(|it| it.id));
        }
    }
    // Behind the two that the session was opened with, and the start.
    assert_eq!(numbers, [4, 5]);
}

#[test]
fn what_has_ended_is_forgotten_by_the_server_when_it_says_so() {
    let mut client = running();
    let done = output_of(ONE, &[], 9, CommandState::Done);
    client.hear(&receive(ONE), done).unwrap();
    let end = signal(Signal::Terminate);
    for _ in 0..2 {
        assert!(matches!(client.step(end.clone()), Step::Forward(it) if it == [end.clone()]));
    }
    client.hear(&end, Response::Signalled).unwrap();
    assert!(matches!(
        client.step(end),
        Step::Answer(Response::Signalled)
    ));
}

#[test]
fn a_refused_pipeline_has_ended_when_the_server_says_so() {
    for answer in [Response::Signalled, gone()] {
        let mut client = refused();
        assert!(client.shell.runs(ONE));
        assert_eq!(client.shell.take_endings(), []);
        client.hear(&signal(Signal::Stop), answer.clone()).ok();
        client.hear(&signal(Signal::Terminate), answer).ok();
        assert!(!client.shell.has(ONE));
        // It may have run to its end before.
        assert_eq!(client.shell.take_endings(), [(ONE, Ending::NotFetched)]);
    }
}

#[test]
fn a_refused_pipeline_is_on_record_as_the_server_says_that_it_ended() {
    for (state, how) in [
        (answer::stopped(), Ending::Refused),
        (answer::completed(), Ending::Completed),
    ] {
        let mut client = refused();
        // This was asked before it was refused.
        let output = to_client(ONE, 6, Kind::PipelineState, &state);
        let response = Response::Received(Received {
            output: vec![(Some(ONE), output)],
            state: Some((ONE, CommandState::Done)),
        });
        client.hear(&receive(ONE), response).unwrap();
        assert_eq!(client.shell.take_endings(), [(ONE, how)]);
        assert!(client.shell.runs(ONE));
        let end = signal(Signal::Terminate);
        client.hear(&end, Response::Signalled).unwrap();
        assert_eq!(client.shell.take_endings(), []);
        assert!(!client.shell.has(ONE));
    }
}

#[test]
fn that_a_server_does_not_know_what_runs_is_believed_when_it_was_told_to_end_it() {
    for operation in [receive(ONE), signal(Signal::Terminate)] {
        let mut client = running();
        client.hear(&operation, gone()).unwrap();
        assert!(client.shell.runs(ONE));
        assert_eq!(client.shell.take_to_end(), [ONE]);
        client.hear(&receive(ONE), gone()).unwrap();
        assert!(client.shell.runs(ONE));
        client.hear(&signal(Signal::Terminate), gone()).unwrap();
        assert!(!client.shell.has(ONE));
        assert_eq!(client.shell.take_endings(), [(ONE, Ending::Unclear)]);
    }
}

#[test]
fn before_the_server_has_opened_a_session_nothing_of_it_goes_upstream() {
    let mut client = Client::new();
    client.shell.is_opened = false;
    for operation in [
        Operation::Delete,
        receive(ONE),
        Operation::Receive {
            command: None,
            keep_alive: false,
        },
        command(ONE, &pipeline("Get-Mailbox", true)),
    ] {
        let Step::Answer(Response::Fault(fault)) = client.step(operation) else {
            panic!("it is not there");
        };
        assert_eq!(fault.subcode, Subcode::InvalidSelectors);
    }
}

/// A message of the server's.
fn to_client(pipeline: Uuid, object: u64, kind: Kind, item: &Item) -> Vec<u8> {
    let mut bytes = message_bytes(kind, pipeline, item);
    bytes[0] = 1;
    fragment::write(object, &bytes, MAX_BLOB).concat()
}

#[test]
fn a_refused_pipeline_that_the_server_does_not_end_is_ended_again() {
    let mut client = refused();
    // Its client has heard all there is, and asks again all the same.
    let Step::End(go) = client.step(receive(ONE)) else {
        panic!("the server is told again");
    };
    assert_eq!(
        go.operations,
        [signal(Signal::Stop), signal(Signal::Terminate)]
    );
    assert_eq!(go.answer, Some(gone()));
    // Nothing else of it goes upstream, but for its end.
    let step = client.step(send(Some(ONE), Stream::Stdin, end(5)));
    assert!(matches!(step, Step::Answer(Response::Sent)), "{step:?}");
    let end = signal(Signal::Terminate);
    assert!(matches!(client.step(end.clone()), Step::Forward(_)));
    assert!(client.shell.runs(ONE));
    // With its session it ends as well.
    client.hear(&Operation::Delete, Response::Deleted).unwrap();
    assert_eq!(client.shell.take_endings(), [(ONE, Ending::NotFetched)]);
}

#[test]
fn what_a_client_has_not_heard_of_a_refusal_it_hears_after_the_end() {
    let mut client = Client::new();
    client.run(ONE, "Get-Mailbox", false);
    // It is refused at its input, so its client has fetched nothing yet.
    let proposal = client.proposal(send(Some(ONE), Stream::Stdin, end(5)));
    let go = client
        .shell
        .refused(proposal, Failure::Blocked, "it was revoked");
    assert_eq!(go.answer, Some(Response::Sent));
    for operation in &go.operations {
        client.hear(operation, Response::Signalled).unwrap();
    }
    assert!(!client.shell.runs(ONE) && client.shell.has(ONE));
    let (messages, state) = client.output(ONE);
    assert!(messages[0].data.contains("it was revoked"));
    assert_eq!(state, CommandState::Done);
    assert!(!client.shell.has(ONE));
}

#[test]
fn a_start_that_the_server_does_not_answer_may_run_and_is_to_end() {
    let mut client = Client::new();
    let proposal = client.proposal(command(ONE, &pipeline("Get-Mailbox", true)));
    client.shell.permitted(proposal);
    client.shell.unanswered(ONE);
    assert_eq!(client.shell.take_endings(), [(ONE, Ending::Unclear)]);
    assert!(client.shell.runs(ONE));
    assert!(matches!(client.step(receive(ONE)), Step::End(_)));
    client
        .hear(&signal(Signal::Terminate), Response::Signalled)
        .unwrap();
    assert!(!client.shell.has(ONE));
    assert_eq!(client.shell.take_endings(), []);
}

#[test]
fn nothing_of_a_pipeline_overtakes_its_start() {
    let mut client = Client::new();
    let proposal = client.proposal(command(ONE, &pipeline("Get-Mailbox", false)));
    let go = client.shell.permitted(proposal);
    for operation in [
        receive(ONE),
        signal(Signal::Stop),
        signal(Signal::Terminate),
        send(Some(ONE), Stream::Stdin, end(5)),
    ] {
        let step = client.step(operation);
        assert!(matches!(step, Step::Hold), "{step:?}");
    }
    assert!(client.shell.runs(ONE));
    let started = Response::Started { command: ONE };
    client.hear(&go.operations[0], started).unwrap();
    let proposal = client.proposal(send(Some(ONE), Stream::Stdin, end(5)));
    assert_eq!(client.shell.permitted(proposal).operations.len(), 1);
    assert!(matches!(
        client.step(signal(Signal::Terminate)),
        Step::Forward(_)
    ));
}

#[test]
fn a_start_whose_fault_is_no_refusal_may_run_and_is_to_end() {
    for subcode in [
        Subcode::AlreadyExists,
        Subcode::InternalError,
        Subcode::OperationAborted,
        Subcode::TimedOut,
    ] {
        let mut client = Client::new();
        let proposal = client.proposal(command(ONE, &pipeline("Get-Mailbox", true)));
        let go = client.shell.permitted(proposal);
        let fault = Fault {
            subcode,
            ..Fault::timed_out()
        };
        client
            .hear(&go.operations[0], Response::Fault(fault))
            .unwrap();
        assert_eq!(client.shell.take_endings(), [(ONE, Ending::Unclear)]);
        assert_eq!(client.shell.take_to_end(), [ONE]);
        // That the server does not know it says nothing: it may come yet.
        for _ in 0..2 {
            client.hear(&signal(Signal::Terminate), gone()).unwrap();
            assert!(client.shell.runs(ONE), "{subcode:?}");
            assert!(matches!(client.step(receive(ONE)), Step::End(_)));
        }
        let ended = Response::Signalled;
        client.hear(&signal(Signal::Terminate), ended).unwrap();
        assert!(!client.shell.has(ONE));
    }
}

#[test]
fn a_start_that_the_server_refuses_has_failed() {
    let mut client = Client::new();
    let proposal = client.proposal(command(ONE, &pipeline("Get-Mailbox", true)));
    let go = client.shell.permitted(proposal);
    let no = Response::Fault(Fault::denied("no"));
    client.hear(&go.operations[0], no).unwrap();
    assert!(!client.shell.has(ONE));
    assert!(client.shell.take_to_end().is_empty());
    assert_eq!(client.shell.take_endings(), [(ONE, Ending::Failed)]);
}

/// What a client does, or what is decided about it.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// The oldest start that is on its way arrives.
    Arrive,
    Delete,
    Fetch,
    Finish,
    Revoke,
    Start,
    Stop,
    Terminate,
}

/// What becomes of a request to the server.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is answered.
    Answered,
    /// It is answered with what says neither yes nor no, and is carried out; if it starts something, later.
    Confused,
    /// The server says that it does not know what it asks about, where it only asks for output; all else is answered.
    Denied,
    /// It is a start, and on its way; all else is answered.
    Late,
    /// It is a start whose answer is given up, and arrives later; all else vanishes.
    LateAndLost,
    /// It arrives, and its answer does not.
    Lost,
    /// It does not arrive.
    Vanished,
}

/// A server with its pipelines: whether each has run to its end.
struct Server {
    is_open: bool,
    pipelines: HashMap<Uuid, bool>,
}

impl Server {
    fn answer(&mut self, operation: &Operation) -> Response {
        if !self.is_open {
            return gone();
        }
        match operation {
            Operation::Command { command, .. } => {
                self.pipelines.insert(*command, false);
                Response::Started { command: *command }
            }
            Operation::Delete => {
                self.is_open = false;
                Response::Deleted
            }
            Operation::Receive {
                command: Some(command),
                ..
            } => match self.pipelines.get(command) {
                Some(true) => output_of(*command, &[], 9, CommandState::Done),
                Some(false) => Response::Fault(Fault::timed_out()),
                None => gone(),
            },
            Operation::Signal { command, signal } => {
                let there = match signal {
                    Signal::Stop => self.pipelines.get_mut(command).map(|it| *it = true),
                    Signal::Terminate => self.pipelines.remove(command).map(drop),
                };
                there.map_or_else(gone, |()| Response::Signalled)
            }
            other @ (Operation::Create { .. }
            | Operation::Receive { command: None, .. }
            | Operation::Send { .. }) => panic!("{other:?}"),
        }
    }

    fn runs(&self) -> impl Iterator<Item = Uuid> {
        let still = self.pipelines.iter().filter(|it| self.is_open && !it.1);
        still.map(|it| *it.0)
    }
}

fn deeds() -> impl Strategy<Value = Vec<(Deed, u128, [Fate; 2])>> {
    let deed = prop_oneof![
        4 => Just(Deed::Arrive),
        1 => Just(Deed::Delete),
        6 => Just(Deed::Fetch),
        2 => Just(Deed::Finish),
        4 => Just(Deed::Revoke),
        8 => Just(Deed::Start),
        2 => Just(Deed::Stop),
        4 => Just(Deed::Terminate),
    ];
    let fate = prop_oneof![
        3 => Just(Fate::Answered),
        1 => Just(Fate::Confused),
        1 => Just(Fate::Denied),
        2 => Just(Fate::Late),
        1 => Just(Fate::LateAndLost),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Vanished),
    ];
    prop::collection::vec((deed, 1..4_u128, [fate.clone(), fate]), 1..60)
}

proptest! {
    #[test]
    fn what_the_server_runs_counts_as_running_whatever_is_lost(deeds in deeds()) {
        let mut client = Client::new();
        let mut server = Server { is_open: true, pipelines: HashMap::new() };
        let mut ended: HashMap<Uuid, Ending> = HashMap::new();
        let mut under_way: VecDeque<(Operation, bool)> = VecDeque::new();
        for (deed, id, fates) in deeds {
            let id = Uuid::from_u128(id);
            let request = match deed {
                Deed::Arrive => {
                    if let Some((operation, is_awaited)) = under_way.pop_front() {
                        let answer = server.answer(&operation);
                        if is_awaited {
                            client.hear(&operation, answer).ok();
                        }
                    }
                    continue;
                }
                Deed::Delete => Operation::Delete,
                Deed::Fetch | Deed::Revoke => receive(id),
                Deed::Finish => {
                    server.pipelines.entry(id).and_modify(|it| *it = true);
                    continue;
                }
                Deed::Start => command(id, &pipeline("Get-Mailbox", true)),
                Deed::Stop => Operation::Signal { command: id, signal: Signal::Stop },
                Deed::Terminate => Operation::Signal { command: id, signal: Signal::Terminate },
            };
            let operations = match (client.try_step(request), deed) {
                (Ok(Step::Decide(proposal)), Deed::Revoke) => {
                    client.shell.refused(*proposal, Failure::Blocked, "no").operations
                }
                (Ok(Step::Decide(proposal)), _) => client.shell.permitted(*proposal).operations,
                (Ok(Step::End(go)), _) => go.operations,
                (Ok(Step::Forward(operations)), _) => operations,
                (Ok(Step::Answer(_) | Step::Hold) | Err(_), _) => Vec::new(),
            };
            for (operation, fate) in operations.iter().zip(fates) {
                let is_start = matches!(operation, Operation::Command { .. });
                let answer = match fate {
                    Fate::Late if is_start => {
                        under_way.push_back((operation.clone(), true));
                        continue;
                    }
                    Fate::Denied if matches!(operation, Operation::Receive { .. }) => Some(gone()),
                    Fate::Answered | Fate::Denied | Fate::Late => Some(server.answer(operation)),
                    Fate::Confused => {
                        if is_start {
                            under_way.push_back((operation.clone(), false));
                        } else {
                            server.answer(operation);
                        }
                        Some(Response::Fault(Fault::timed_out()))
                    }
                    Fate::LateAndLost if is_start => {
                        under_way.push_back((operation.clone(), false));
                        None
                    }
                    Fate::Lost => {
                        server.answer(operation);
                        None
                    }
                    Fate::LateAndLost | Fate::Vanished => None,
                };
                match (answer, operation) {
                    (Some(answer), _) => drop(client.hear(operation, answer)),
                    (None, Operation::Command { command, .. }) => client.shell.unanswered(*command),
                    (None, _) => {}
                }
            }
            for command in server.runs() {
                prop_assert!(client.shell.runs(command), "{command} after {deed:?}");
            }
            for (command, how) in client.shell.take_endings() {
                prop_assert!(ended.insert(command, how).is_none(), "it ends once");
            }
            for (command, how) in &ended {
                let is_known = *how != Ending::Unclear;
                prop_assert!(!is_known || server.runs().all(|it| it != *command), "{how:?}");
            }
        }
    }
}
