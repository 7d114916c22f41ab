//! The real binary, in front of the sample endpoint, over real TLS sockets: what each integration test stands on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::demo::exchange::{Running as Sample, SampleExchange};
use secrecy::SecretString;
use tempfile::TempDir;

/// The tenant that tests name in URLs.
pub(crate) const TENANT: &str = "1b2c3d4e-0000-4000-8000-000000000001";

/// What the sample endpoint accepts, and the gateway injects.
pub(crate) const SERVICE_TOKEN: &str = "service-token-of-the-tests";

/// How long a test waits for an event that must come.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// People of every test: name and password are the same text, hashed once.
pub(crate) const PEOPLE: &[&str] = &["ana", "amy", "bo", "ivy", "sys1"];

/// A user name as tests spell it: `ana` is `ana@contoso.example`.
pub(crate) fn upn(person: &str) -> String {
    format!("{person}@contoso.example")
}

/// The policies of every test that does not bring its own.
pub(crate) const POLICIES: &str = r#"
[[group]]
name = "mbmanagers"
email = "mbmanagers@contoso.example"
members = ["amy@contoso.example", "bo@contoso.example"]

[[policy]]
task = 'Exchange\New-MoveRequest'
approval = "manual"
approvers = ["mbmanagers"]

[[policy]]
task = 'Exchange\Remove-*'
approval = "manual"
approvers = ["mbmanagers"]

[[policy]]
task = 'Exchange\Set-Mailbox'
approval = "auto"
default_duration = "1h"

[[policy]]
task = 'Exchange\New-JournalRule'
approval = "never"

[[exemption]]
account = "sys1@contoso.example"
owner = "messaging-ops"
reason = "nightly provisioning"
from = ["127.0.0.0/8"]
"#;

/// What a test wants different from the usual.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The text of the one policy file.
    pub(crate) policies: String,
    /// Replaces the text before `=` … in the configuration: whole lines to add, by section.
    pub(crate) extra: BTreeMap<&'static str, String>,
    /// `[access_control] mode`
    pub(crate) mode: &'static str,
    /// `[audit] durability`
    pub(crate) durability: &'static str,
    /// Whether the upstream speaks TLS (and so HTTP/2).
    pub(crate) upstream_tls: bool,
    /// More environment for the process.
    pub(crate) environment: Vec<(String, String)>,
    /// Shell commands that come before the process and shape what it inherits, such as `ulimit -n 100`.
    pub(crate) before: String,
    /// People beside the usual ones; name and password are the same text.
    pub(crate) more_people: Vec<String>,
    /// Another upstream than the sample: its origin, and the file of the authority to trust if it speaks TLS.
    pub(crate) upstream: Option<(String, Option<PathBuf>)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policies: POLICIES.to_owned(),
            extra: BTreeMap::new(),
            mode: "enforce",
            durability: "strict",
            upstream_tls: true,
            environment: Vec::new(),
            before: String::new(),
            more_people: Vec::new(),
            upstream: None,
        }
    }
}

/// A gateway that runs as a process of its own, with its upstream inside the test.
pub(crate) struct Gateway {
    pub(crate) directory: TempDir,
    pub(crate) sample: Sample,
    setup: Setup,
    process: Option<Process>,
}

struct Process {
    child: Child,
    proxy: SocketAddr,
    control: SocketAddr,
    log: Receiver<String>,
}

impl Gateway {
    /// Starts a gateway with the usual set-up.
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// Starts a gateway.
    pub(crate) async fn with(setup: Setup) -> Self {
        let directory = TempDir::new().unwrap();
        let certificates = directory.path().join("certs");
        portcullis::tls::install_provider();
        portcullis::tls::write_development_certificates(&certificates, &[]).unwrap();
        let tls = setup.upstream_tls.then(|| upstream_tls(&certificates));
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let credential = SecretString::from(format!("Bearer {SERVICE_TOKEN}"));
        let sample = SampleExchange::start(listen, tls, credential).unwrap();
        fs::create_dir(directory.path().join("policies")).unwrap();
        fs::write(
            directory.path().join("policies/exchange.toml"),
            &setup.policies,
        )
        .unwrap();
        let mut known = users();
        for person in &setup.more_people {
            known.push_str(&user(person));
        }
        fs::write(directory.path().join("users.toml"), known).unwrap();
        fs::write(directory.path().join("upstream-token"), SERVICE_TOKEN).unwrap();
        let configuration = match &setup.upstream {
            None => {
                let ca = setup.upstream_tls.then(|| certificates.join("ca.pem"));
                configuration(&setup, sample.origin(), ca.as_deref())
            }
            Some((origin, ca)) => configuration(&setup, origin, ca.as_deref()),
        };
        fs::write(directory.path().join("portcullis.toml"), configuration).unwrap();
        let mut gateway = Self {
            directory,
            sample,
            setup,
            process: None,
        };
        gateway.restart();
        gateway
    }

    /// Starts the process (again), and waits until it is ready.
    pub(crate) fn restart(&mut self) {
        let (child, log) = self.spawn();
        self.wait_until_ready(child, log);
    }

    /// Starts the process, sends it a signal when it logs `line`, before it is ready, and waits until it is.
    pub(crate) fn restart_with_signal(&mut self, name: &str, line: &str) {
        let (child, log) = self.spawn_until(line);
        send_signal(name, child.id());
        self.wait_until_ready(child, log);
    }

    /// Starts the process, asks it to stop when it logs `line`, before it is ready, and waits for its end. It may have become ready
    /// meanwhile.
    pub(crate) fn stop_while_starting(&mut self, line: &str) -> ExitStatus {
        let (mut child, _log) = self.spawn_until(line);
        send_signal("TERM", child.id());
        child.wait().unwrap()
    }

    fn wait_until_ready(&mut self, mut child: Child, log: Receiver<String>) {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while let Ok(text) = log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some((proxy, control)) = ready(&text) {
                self.process = Some(Process {
                    child,
                    proxy,
                    control,
                    log,
                });
                return;
            }
            seen.push(text);
        }
        gone(&mut child, "the gateway did not start", &seen);
    }

    /// Starts the process and kills it when it logs `line`, before it is ready.
    pub(crate) fn crash_while_starting(&mut self, line: &str) {
        let (mut child, _log) = self.spawn_until(line);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts the process and waits until it logs `line`, before it is ready.
    fn spawn_until(&self, line: &str) -> (Child, Receiver<String>) {
        let (mut child, log) = self.spawn();
        if let Err(seen) = wait_while_starting(&log, line) {
            let wanted = format!("it was not to be ready before it logged `{line}`");
            gone(&mut child, &wanted, &seen);
        }
        (child, log)
    }

    fn spawn(&self) -> (Child, Receiver<String>) {
        assert!(self.process.is_none(), "it still runs");
        let mut child = self
            .command(&["serve", "--config"])
            .arg(self.configuration_file())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, log) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for text in errors.lines().map_while(Result::ok) {
                if line.send(text).is_err() {
                    break;
                }
            }
        });
        (child, log)
    }

    /// The binary with this gateway's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_portcullis");
        let mut command = if self.setup.before.is_empty() {
            Command::new(binary)
        } else {
            let script = format!("{}; exec \"$0\" \"$@\"", self.setup.before);
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", &script, binary]);
            shell
        };
        command
            .args(arguments)
            .env_clear()
            .env("PORTCULLIS_LOG_FORMAT", "json")
            .envs(self.setup.environment.iter().cloned())
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn configuration_file(&self) -> PathBuf {
        self.directory.path().join("portcullis.toml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where clients connect.
    pub(crate) fn proxy(&self) -> SocketAddr {
        self.process.as_ref().unwrap().proxy
    }

    /// Where health and metrics are.
    pub(crate) fn control(&self) -> SocketAddr {
        self.process.as_ref().unwrap().control
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().unwrap().child.id()
    }

    /// Sends a signal by name, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        send_signal(name, self.process_id());
    }

    /// Waits for a log line that contains `text`.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        let process = self.process.as_ref().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        let log_end = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match process.log.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => break error,
            }
        };
        let state = match log_end {
            RecvTimeoutError::Disconnected => "the process is over",
            RecvTimeoutError::Timeout => "the process still runs",
        };
        panic!("the log has no `{text}`, and {state}:\n{}", seen.join("\n"));
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }

    /// Ends the process as an operator would, and waits for it.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.process.take().unwrap().child.wait().unwrap()
    }

    /// Waits for the end of a process that was told to stop.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.take().unwrap().child.wait().unwrap()
    }

    /// Ends the process as an operator would; all that it logged and nobody read.
    pub(crate) fn stop_and_read_log(&mut self) -> Vec<String> {
        self.signal("TERM");
        let mut process = self.process.take().unwrap();
        process.child.wait().unwrap();
        process.log.iter().collect()
    }

    /// Replaces the policy file.
    pub(crate) fn write_policies(&self, text: &str) {
        let file = self.path("policies/exchange.toml");
        let fresh = self.path("policies/.fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, file).unwrap();
    }

    /// Runs `portcullis` with these arguments to its end: exit code and standard output, standard error on failure.
    pub(crate) fn portcullis(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        let mut text = String::from_utf8(output.stdout).unwrap();
        text.push_str(&String::from_utf8(output.stderr).unwrap());
        (output.status.code().unwrap(), text)
    }

    /// Starts a further process with this configuration, which must not start: its exit code and what it says.
    pub(crate) fn refused_start(&self) -> (i32, String) {
        let mut serve = self.command(&["serve", "--config"]);
        let mut child = serve
            .arg(self.configuration_file())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        while errors.read_line(&mut text).unwrap() > 0 {
            if text.contains("Gateway is ready") {
                child.kill().unwrap();
                panic!("it started");
            }
        }
        let output = child.wait_with_output().unwrap();
        text.push_str(&String::from_utf8(output.stdout).unwrap());
        (output.status.code().unwrap(), text)
    }

    /// All audit records, oldest first.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        read_records(&self.path("data/audit"))
    }

    /// Polls until `what` is there: for effects that reach a file soon after the answer.
    pub(crate) fn eventually<T>(
        &self,
        description: &str,
        mut what: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = what(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "never happened: {description}");
            std::thread::yield_now();
        }
    }

    /// The cmdlets that ran upstream so far.
    pub(crate) fn ran(&self) -> Vec<String> {
        self.sample
            .executed()
            .iter()
            .map(|it| it.cmdlet.to_owned())
            .collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// All records of an audit log, oldest first.
pub(crate) fn read_records(directory: &Path) -> Vec<serde_json::Value> {
    let mut segments: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "jsonl"))
        .collect();
    segments.sort();
    let mut records = Vec::new();
    for segment in segments {
        let bytes = fs::read(segment).unwrap();
        // A line without its end is still being written, and may even end within a character.
        let end = bytes.iter().rposition(|it| *it == b'\n').unwrap_or(0);
        let lines = bytes[..end].split(|it| *it == b'\n');
        records.extend(
            lines
                .filter(|it| !it.is_empty())
                .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()),
        );
    }
    records
}

/// The `Authorization` of one of the [`PEOPLE`].
pub(crate) fn basic(person: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{person}", upn(person)))
    )
}

/// Waits for a log line that contains `line`, of a process that is not ready yet. The error is what it logged instead.
fn wait_while_starting(log: &Receiver<String>, line: &str) -> Result<(), Vec<String>> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while let Ok(text) = log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if text.contains(line) {
            return Ok(());
        }
        let is_ready = ready(&text).is_some();
        seen.push(text);
        if is_ready {
            break;
        }
    }
    Err(seen)
}

/// Ends a process that did not do what a test waited for, and tells how it stood.
fn gone(child: &mut Child, what: &str, seen: &[String]) -> ! {
    let state = child.try_wait();
    let _ = child.kill();
    let _ = child.wait();
    panic!(
        "{what}; the process: {state:?}; its log:\n{}",
        seen.join("\n")
    );
}

fn send_signal(name: &str, process: u32) {
    let id = process.to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status();
    assert!(sent.unwrap().success());
}

fn ready(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line.get("message")?.as_str()? != "Gateway is ready" {
        return None;
    }
    let address = |name: &str| line.get(name)?.as_str()?.parse().ok();
    Some((address("proxy")?, address("control")?))
}

fn users() -> String {
    static HASHES: OnceLock<String> = OnceLock::new();
    HASHES
        .get_or_init(|| {
            let mut text = String::new();
            for person in PEOPLE {
                text.push_str(&user(person));
            }
            text
        })
        .clone()
}

fn user(person: &str) -> String {
    let hash = portcullis::identity::hash_password(&SecretString::from(person)).unwrap();
    let name = upn(person);
    format!("[[user]]\nname = \"{name}\"\npassword_hash = \"{hash}\"\n\n")
}

fn configuration(setup: &Setup, upstream: &str, upstream_ca: Option<&Path>) -> String {
    let extra = |section: &str| setup.extra.get(section).cloned().unwrap_or_default();
    let upstream_ca = upstream_ca.map_or(String::new(), |file| {
        format!("upstream_ca = \"{}\"", file.display())
    });
    format!(
        r#"
[proxy]
listen = "127.0.0.1:0"
tls = {{ certificate = "certs/server.pem", key = "certs/server-key.pem" }}
{proxy}

[control]
listen = "127.0.0.1:0"
{control}

[store]
url = "sqlite:data/portcullis.db"

[audit]
directory = "data/audit"
durability = "{durability}"
node = "test"
{audit}

[policies]
directory = "policies"
watch = true

[access_control]
mode = "{mode}"
{access_control}

[[endpoint]]
workload = "Exchange"
dialect = "exchange-rest"
path = "/adminapi"
upstream = "{upstream}"
{upstream_ca}
identity = ["people"]
ungoverned = "allow"
upstream_auth = {{ mode = "bearer", token_file = "upstream-token" }}
{endpoint}

[[identity]]
name = "people"
kind = "basic"
users = "users.toml"
{last}
"#,
        proxy = extra("proxy"),
        control = extra("control"),
        durability = setup.durability,
        access_control = extra("access_control"),
        audit = extra("audit"),
        mode = setup.mode,
        endpoint = extra("endpoint"),
        last = extra("last"),
    )
}

pub(crate) fn upstream_tls(certificates: &Path) -> Arc<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(certificates.join("server.pem")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(certificates.join("server-key.pem")).unwrap();
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
