//! What the themes stand on: requests written by hand, and the book that is kept of what became of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use portcullis::demo::exchange::Arrived;
use serde_json::json;

use crate::gateway::{Gateway, SERVICE_TOKEN, Setup, TENANT, basic};

/// How long the audit log may take to tell of a request.
const PATIENCE: Duration = crate::gateway::PATIENCE;

/// What must become of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome<'a> {
    /// It is allowed as no policy governs it, and arrives upstream with this body, byte for byte.
    Arrives(&'a str),
    /// It is allowed under this rule, and arrives upstream with this body.
    ArrivesBy(&'a str, &'a str),
    /// It is understood, decided, and blocked under this rule.
    Blocked(&'a str),
    /// It is refused for this reason on record, and the connection cut off, perhaps before the answer is out.
    CutOff(&'a str),
    /// It is no request: answered with 400 or cut off, before there is anything to put on record.
    Dropped,
    /// It is refused with this status, for this reason on record.
    Refused(u16, &'a str),
}

/// A gateway, and the book of what was tried at it.
pub(super) struct Catalogue {
    pub(super) gateway: Gateway,
    /// How many bytes of the audit log are accounted for.
    told: usize,
    wrong: String,
}

impl Catalogue {
    pub(super) async fn open(setup: Setup) -> Self {
        Self {
            gateway: Gateway::with(setup).await,
            told: 0,
            wrong: String::new(),
        }
    }

    /// Sends one request over a connection of its own, and notes whether `outcome` is what became of it. What arrived.
    pub(super) async fn attempt(
        &mut self,
        trick: &str,
        request: &Raw,
        outcome: Outcome<'_>,
    ) -> Vec<Arrived> {
        let before = self.arrived().len();
        let answer = self.gateway.raw(&request.bytes(), |_| false).await;
        let arrived = self.arrived().split_off(before);
        let status = status(&answer);
        let bodies: Vec<_> = arrived
            .iter()
            .map(|it| String::from_utf8_lossy(&it.body))
            .collect();
        let (fits, word) = match outcome {
            Outcome::Arrives(body) => (status < 500 && bodies == [body], "ungoverned-allowed"),
            Outcome::ArrivesBy(rule, body) => (status < 500 && bodies == [body], rule),
            Outcome::Blocked(rule) => (status == 403 && bodies.is_empty(), rule),
            Outcome::CutOff(reason) => (matches!(status, 0 | 400) && bodies.is_empty(), reason),
            Outcome::Dropped => (matches!(status, 0 | 400) && bodies.is_empty(), ""),
            Outcome::Refused(expected, reason) => (status == expected && bodies.is_empty(), reason),
        };
        if !fits {
            let text = String::from_utf8_lossy(&answer);
            self.note(format!(
                "{trick}: expected {outcome:?}\n  answer: {text}\n  arrived: {bodies:?}"
            ));
        }
        for it in &arrived {
            self.is_clean(trick, it);
        }
        self.expect_record(trick, word);
        arrived
    }

    /// Whether what arrived carries the gateway's credential and nothing that only the client's hop needs.
    fn is_clean(&mut self, trick: &str, arrived: &Arrived) {
        let credentials: Vec<_> = arrived.headers.get_all("authorization").iter().collect();
        if credentials != [format!("Bearer {SERVICE_TOKEN}").as_str()] {
            self.note(format!("{trick}: arrived with another credential"));
        }
        for name in arrived.headers.keys() {
            if !GOES_ON.contains(&name.as_str()) {
                self.note(format!("{trick}: the header `{name}` arrived"));
            }
        }
    }

    /// Waits until the audit log has these words next: a decision's rule, or a refusal's reason. Empty: nothing.
    pub(super) fn expect_record(&mut self, trick: &str, words: &str) {
        let expected: Vec<_> = words.split_whitespace().collect();
        let deadline = Instant::now() + PATIENCE;
        let found = loop {
            let (found, end) = words_on_record(&self.gateway, self.told);
            if found.len() >= expected.len() || Instant::now() > deadline {
                self.told = end;
                break found;
            }
            std::thread::yield_now();
        };
        if found != expected {
            self.note(format!("{trick}: on record is {found:?}, not {expected:?}"));
        }
    }

    /// Files a request that needs nobody's approval.
    pub(super) async fn file(&mut self, person: &str, task: &str) {
        let parameters = json!({"Task": task, "Reason": "because"});
        let filed = self
            .gateway
            .invoke(person, "New-ElevatedAccessRequest", parameters)
            .await;
        assert_eq!(filed.first("RequestStatus"), "Approved", "{}", filed.text());
        self.skip_records();
    }

    /// Passes over what was put on record by requests outside of the catalogue, each of which was answered.
    pub(super) fn skip_records(&mut self) {
        self.told = words_on_record(&self.gateway, self.told).1;
    }

    /// Notes something that is not as it must be.
    pub(super) fn note(&mut self, text: impl AsRef<str>) {
        writeln!(self.wrong, "{}", text.as_ref()).unwrap();
    }

    /// Notes `text` unless `holds`.
    pub(super) fn check(&mut self, holds: bool, text: &str) {
        if !holds {
            self.note(text);
        }
    }

    /// What reached the upstream so far.
    pub(super) fn arrived(&self) -> Vec<Arrived> {
        self.gateway.sample.arrived()
    }

    /// Closes the book: the audit log tells of each case, in order, and nothing ran upstream but `may_run`.
    pub(super) async fn close(self, may_run: &[&str]) {
        self.close_under("ungoverned-allowed", may_run).await;
    }

    /// As [`Catalogue::close`], where an honest read is allowed under another rule.
    pub(super) async fn close_under(mut self, rule: &str, may_run: &[&str]) {
        const LAST: &str = "Get-AcceptedDomain";
        let last = Raw::invoke(format!(
            r#"{{"CmdletInput":{{"CmdletName":"{LAST}","Parameters":{{}}}}}}"#
        ));
        // Records are written in order, so nothing is late behind that of this one.
        self.gateway.raw(&last.by("ivy").bytes(), |_| false).await;
        let ran: BTreeSet<String> = self.gateway.ran().into_iter().collect();
        let allowed: BTreeSet<String> = may_run
            .iter()
            .chain([&LAST])
            .map(|it| (*it).to_owned())
            .collect();
        if ran != allowed {
            self.note(format!("upstream ran {ran:?}, and not {allowed:?}"));
        }
        let (code, text) = self.gateway.portcullis(&["audit", "verify", "data/audit"]);
        self.check(code == 0, &text);
        self.expect_record("the last", rule);
        assert!(self.wrong.is_empty(), "{}", self.wrong);
    }
}

/// The headers that a request may have when it arrives upstream.
const GOES_ON: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "client-request-id",
    "content-length",
    "content-type",
    "host",
    "prefer",
    "user-agent",
    "warningaction",
    "x-anchormailbox",
    "x-clientapplication",
    "x-cmdletname",
    "x-responseformat",
    "xparameter-identity",
];

/// The rules of decisions and the reasons of refusals in the audit log from byte `from` on, and where its last whole record
/// ends. The log of a theme is one segment.
fn words_on_record(gateway: &Gateway, from: usize) -> (Vec<String>, usize) {
    let segments = fs::read_dir(gateway.path("data/audit")).unwrap();
    let mut segments = segments.map(|it| it.unwrap().path());
    let segment = segments.find(|it| it.extension().is_some_and(|it| it == "jsonl"));
    let mut file = fs::File::open(segment.unwrap()).unwrap();
    file.seek(SeekFrom::Start(from as u64)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    // A line without its end is still being written.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let word = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = match record["kind"].as_str()? {
            "decision" => &record["rule"],
            "call.unreadable" | "sign-in.failed" => &record["details"]["reason"],
            _ => return None,
        };
        Some(text.as_str()?.to_owned())
    };
    let words = whole.lines().filter_map(word).collect();
    (words, from + whole.len())
}

/// The status of the first answer that is not an interim one; 0 if there is none.
pub(super) fn status(answer: &[u8]) -> u16 {
    statuses(answer).first().copied().unwrap_or_default()
}

/// The statuses of all answers on a connection, interim ones left out.
pub(super) fn statuses(answers: &[u8]) -> Vec<u16> {
    String::from_utf8_lossy(answers)
        .split("HTTP/1.")
        .skip(1)
        .filter_map(|it| it.get(2..5)?.parse().ok())
        .filter(|it| *it >= 200)
        .collect()
}

/// An HTTP/1.1 request, written as the test says and not as a library would.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    method: String,
    target: Vec<u8>,
    version: &'static str,
    lines: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Raw {
    /// An `InvokeCommand` by `ana` with this body.
    pub(super) fn invoke(body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST".to_owned(),
            target: format!("/adminapi/beta/{TENANT}/InvokeCommand").into_bytes(),
            version: "HTTP/1.1",
            lines: vec![
                b"Host: localhost".to_vec(),
                b"Connection: close".to_vec(),
                b"Content-Type: application/json".to_vec(),
                format!("Authorization: {}", basic("ana")).into_bytes(),
            ],
            body: body.into(),
        }
    }

    /// A GET by `ana`.
    pub(super) fn get(target: &str) -> Self {
        Self::invoke("")
            .method("GET")
            .to(target)
            .without("Content-Type")
    }

    /// By somebody else.
    pub(super) fn by(self, person: &str) -> Self {
        self.without("Authorization")
            .line(format!("Authorization: {}", basic(person)))
    }

    pub(super) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// With this request target; `{t}` stands for the tenant.
    pub(super) fn to(mut self, target: impl AsRef<[u8]>) -> Self {
        self.target = match std::str::from_utf8(target.as_ref()) {
            Ok(text) => text.replace("{t}", TENANT).into_bytes(),
            Err(_) => target.as_ref().to_vec(),
        };
        self
    }

    pub(super) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// With one more line in its head.
    pub(super) fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.lines.push(line.as_ref().to_vec());
        self
    }

    /// Without the lines of this header.
    pub(super) fn without(mut self, name: &str) -> Self {
        let start = format!("{name}:").into_bytes();
        self.lines.retain(|it| !it.starts_with(&start));
        self
    }

    /// As it goes over the wire. Without a `Content-Length` or `Transfer-Encoding` of its own it gets the right length.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} ", self.method).into_bytes();
        bytes.extend_from_slice(&self.target);
        bytes.extend_from_slice(format!(" {}\r\n", self.version).as_bytes());
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
        let is_framed = self.lines.iter().any(|it| {
            let line = it.to_ascii_lowercase();
            line.starts_with(b"content-length") || line.starts_with(b"transfer-encoding")
        });
        if !is_framed && !self.body.is_empty() {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The plain read that is every theme's control, as it is sent and as it arrives.
pub(super) const READ: &str = r#"{"CmdletInput":{"CmdletName":"Get-Mailbox","Parameters":{}}}"#;

/// The governed command that the tricks would like to run.
pub(super) const REMOVE: &str =
    r#"{"CmdletInput":{"CmdletName":"Remove-Mailbox","Parameters":{"Identity":"eva"}}}"#;
