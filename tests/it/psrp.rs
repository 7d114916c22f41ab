//! Recorded sessions of real clients, replayed byte for byte through the readers of the `psrp` dialect: each request as the
//! session understands it, each answer as it is passed on, and everything that is written read again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis::dialect::psrp::clixml::{self, Item};
use portcullis::dialect::psrp::fragment::{Limits as FragmentLimits, Reassembler};
use portcullis::dialect::psrp::message::{self, Kind};
use portcullis::dialect::psrp::pipeline::Catalogue;
use portcullis::dialect::psrp::session::{Context, Limits, Shell, Step, Subject};
use portcullis::dialect::psrp::soap::{
    Operation, Peer, Received, Request, Response, read_head, read_request, read_response,
    write_request, write_response,
};
use portcullis::model::Names;

const CONFIGURATION: &str = "Microsoft.Exchange";
const OWNER: &str = "local:alice";

const PEER: Peer<'static> = Peer {
    url: "https://mbx1.corp.example/powershell",
    configuration: CONFIGURATION,
    machine: "gate.corp.example",
    owner: "alice@corp.example",
};

struct Recorded {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn recorded(path: &Path) -> Recorded {
    let bytes = std::fs::read(path).unwrap();
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let method = Method::from_bytes(first.next().unwrap().as_bytes()).unwrap_or(Method::GET);
    let target = first.next().unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.trim()).unwrap(),
        );
    }
    Recorded {
        method,
        target,
        headers,
        body: bytes[end + 4..].to_vec(),
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A session with everything permitted.
struct Replay {
    shell: Option<Shell>,
    catalogue: Catalogue,
}

impl Replay {
    /// What comes of one exchange.
    fn exchange(&mut self, sent: &Recorded, answer: Option<&Recorded>) -> String {
        let read = read_head(&sent.method, &sent.target, &sent.headers, "/powershell").and_then(
            |target| {
                let upstream = target.path_and_query("/powershell");
                read_request(&sent.body, CONFIGURATION).map(|request| (upstream, request))
            },
        );
        let (upstream, request) = match read {
            Ok(read) => read,
            Err(error) => return format!("refused: {}", error.reason),
        };
        let mut out = format!("{upstream} ");
        let (operations, told) = match self.understood(&request, &mut out) {
            Ok(done) => done,
            Err(error) => return format!("refused: {}", error.reason),
        };
        for operation in &operations {
            let request = Request {
                operation: operation.clone(),
                ..request.clone()
            };
            let again = read_request(&write_request(&request, &PEER), CONFIGURATION).unwrap();
            assert_eq!(again.operation, *operation);
            check_payload(operation);
        }
        // What begins has begun, where the answer to that was not recorded or answers something else.
        let has_begun = match operations.first() {
            Some(Operation::Command { command, .. }) => {
                Some(Response::Started { command: *command })
            }
            Some(Operation::Create { .. }) => Some(Response::Created {
                shell: request.shell,
            }),
            _ => None,
        };
        let is_answered = answer.is_some() && !matches!(told, Some(Response::Sent));
        if let (Some(begun), Some(shell), false) = (has_begun, &mut self.shell, is_answered) {
            shell.heard(&operations[0], begun, &[]).unwrap();
        }
        if let (Some(answer), Some(operation), Some(shell)) =
            (answer, operations.first(), &mut self.shell)
        {
            let response = read_response(&answer.body, request.frame.message).unwrap();
            let heard = match told {
                // What follows on the first operation is the gateway's own affair.
                Some(Response::Sent) if matches!(operation, Operation::Command { .. }) => {
                    return out;
                }
                _ => shell.heard(operation, response, &[]).unwrap(),
            };
            let written = write_response(
                &heard,
                request.frame.message,
                Some(request.frame.message),
                &PEER,
            );
            assert_eq!(
                read_response(&written, request.frame.message).unwrap(),
                heard
            );
            write!(out, " -> {}", shown(&heard)).unwrap();
        }
        out
    }

    fn understood(
        &mut self,
        request: &Request,
        out: &mut String,
    ) -> Result<(Vec<Operation>, Option<Response>), portcullis::dialect::Unreadable> {
        if let Operation::Create { protocol, creation } = &request.operation {
            let limits = Limits::default();
            let (shell, operation) =
                Shell::open(request.shell, protocol.as_deref(), creation, OWNER, limits)?;
            self.shell = Some(shell);
            out.push_str("open");
            return Ok((vec![operation], None));
        }
        let workload = "Exchange".parse().unwrap();
        let context = Context {
            workload: &workload,
            catalogue: &self.catalogue,
        };
        let shell = self.shell.as_mut().unwrap();
        Ok(match shell.step(OWNER, request, &context)? {
            Step::Answer(response) => {
                write!(out, "answered {}", shown(&response)).unwrap();
                (Vec::new(), Some(response))
            }
            Step::End(go) => {
                out.push_str("end");
                (go.operations, go.answer)
            }
            Step::Forward(operations) => {
                out.push_str("forward");
                (operations, None)
            }
            Step::Hold => {
                out.push_str("hold");
                (Vec::new(), None)
            }
            Step::Decide(proposal) => {
                write!(out, "decide {}", subject(proposal.subject())).unwrap();
                let go = shell.permitted(*proposal);
                (go.operations, go.answer)
            }
        })
    }
}

fn subject(subject: &Subject) -> String {
    let judged = match subject {
        Subject::Commands(judged) => judged.as_slice(),
        Subject::Own(judged) => std::slice::from_ref(judged),
        Subject::Listing => return "listing".to_owned(),
    };
    let mut out = Vec::new();
    for it in judged {
        let mut text = it.task.to_string();
        for parameter in &it.parameters {
            let value: String = parameter.value.display().escape_debug().take(40).collect();
            write!(text, " {}={value}", parameter.name).unwrap();
        }
        if it.parameters.names() != Names::Known {
            text.push_str(" (names unknown)");
        }
        out.push(text);
    }
    out.join("; ")
}

fn shown(response: &Response) -> String {
    match response {
        Response::Created { .. } => "created".to_owned(),
        Response::Deleted => "deleted".to_owned(),
        Response::Fault(fault) => format!("fault {:?} {}", fault.subcode, fault.code),
        Response::Received(Received { output, state }) => {
            let state = state.map(|it| format!(" {:?}", it.1)).unwrap_or_default();
            let mut reassembler = Reassembler::default();
            let mut kinds = Vec::new();
            for (_, payload) in output {
                for object in reassembler
                    .push(payload, &FragmentLimits::default())
                    .unwrap()
                {
                    kinds.push(format!("{:?}", check_message(&object.bytes)));
                }
            }
            kinds.dedup();
            format!("received {}{state}", kinds.join(" "))
        }
        Response::Sent => "sent".to_owned(),
        Response::Signalled => "signalled".to_owned(),
        Response::Started { .. } => "started".to_owned(),
    }
}

fn check_payload(operation: &Operation) {
    let payload = match operation {
        Operation::Command {
            arguments: data, ..
        }
        | Operation::Create { creation: data, .. }
        | Operation::Send { data, .. } => data,
        Operation::Delete | Operation::Receive { .. } | Operation::Signal { .. } => return,
    };
    let objects = Reassembler::default().push(payload, &FragmentLimits::default());
    for object in objects.unwrap_or_default() {
        check_message(&object.bytes);
    }
}

/// Whatever a message says is the same after it was written.
fn check_message(bytes: &[u8]) -> Kind {
    let message = message::read(bytes).unwrap();
    assert_eq!(message::read(&message::write(&message)).unwrap(), message);
    if !message.data.is_empty() {
        let item = clixml::read(&message.data).unwrap();
        let written = clixml::write(&item);
        let again: Item = clixml::read(&written).unwrap();
        assert_eq!(clixml::write(&again), written);
    }
    message.kind
}

#[test]
fn recorded_sessions_are_understood() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/psrp");
    let mut out = String::new();
    for folder in children(&fixtures).iter().filter(|it| it.is_dir()) {
        writeln!(out, "{}", name(folder)).unwrap();
        let mut replay = Replay {
            shell: None,
            catalogue: Catalogue::default(),
        };
        for path in children(folder) {
            let file = name(&path);
            let Some(exchange) = file.strip_suffix(".request.http") else {
                continue;
            };
            let answer = folder.join(format!("{exchange}.response.http"));
            let answer = answer
                .exists()
                .then(|| recorded(&answer))
                .filter(|it| !it.body.is_empty());
            let outcome = replay.exchange(&recorded(&path), answer.as_ref());
            writeln!(out, "  {exchange}: {outcome}").unwrap();
        }
    }
    insta::assert_snapshot!(out);
}
