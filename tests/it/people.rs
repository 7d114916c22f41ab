//! The command line as people use it: the real binary, with a home of its own.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Somebody at a computer.
pub(crate) struct Person {
    home: TempDir,
    environment: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) results: String,
    pub(crate) messages: String,
}

impl Ended {
    /// All of it, for a golden; times and ids by their kind.
    pub(crate) fn golden(&self) -> String {
        let text = format!(
            "exit {}\n--- results\n{}--- messages\n{}",
            self.code, self.results, self.messages
        );
        plain(&text)
    }

    /// The results as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.results).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The same, if it was done.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// A text in which what differs from run to run is named by its kind.
pub(crate) fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, kind) in [
        (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "<time>"),
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
            "<id>",
        ),
        (r"127\.0\.0\.1:\d+", "<here>"),
        (r"/\S*/portcullis/credentials\.toml", "<credentials>"),
        (r"\b\d+ s ago\b", "now"),
    ] {
        let pattern = regex::Regex::new(pattern).unwrap();
        text = pattern.replace_all(&text, kind).into_owned();
    }
    text
}

impl Person {
    pub(crate) fn new() -> Self {
        Self {
            home: TempDir::new().unwrap(),
            environment: Vec::new(),
        }
    }

    /// With one more variable in the environment.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Where credentials are kept.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.home.path().join("portcullis/credentials.toml")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The binary with this person's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command
            .args(arguments)
            .env_clear()
            .env("XDG_CONFIG_HOME", self.home.path())
            .envs(self.environment.iter().cloned())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Types a command.
    pub(crate) fn types(&self, arguments: &[&str]) -> Ended {
        self.types_with(arguments, "")
    }

    /// Types a command, and `input` when it asks.
    pub(crate) fn types_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            results: String::from_utf8(output.stdout).unwrap(),
            messages: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
