//! The guided tour: lines to paste into a second terminal, in order, each of which works exactly as it is printed.
//!
//! INVARIANT: a line that begins with two blanks is for the shell and every other line is not, so that the whole tour can be
//! run by `sed -n 's/^  //p' | bash`.

use std::net::SocketAddr;
use std::path::Path;

use anstyle::{AnsiColor, Style};

use super::directory::Age;

const HEADING: Style = AnsiColor::Cyan.on_default().bold();

/// What the tour must know to print lines that work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tour<'a> {
    /// Where the demo was started; relative paths begin there.
    pub(super) home: &'a Path,
    /// The demo's directory, as it was named.
    pub(super) directory: &'a Path,
    /// This program.
    pub(super) program: &'a Path,
    /// Whether the directory has been used before.
    pub(super) age: Age,
    /// Where the gateway listens.
    pub(super) gateway: SocketAddr,
    /// Where health and metrics are.
    pub(super) control: SocketAddr,
    /// Where the sample endpoint listens.
    pub(super) sample: SocketAddr,
}

impl Tour<'_> {
    /// The text, with colours.
    pub(super) fn render(&self) -> String {
        let directory = self.directory.display();
        let program = self.program.strip_prefix(self.home);
        let program = quoted(program.unwrap_or(self.program));
        let mut blocks = vec![format!(
            "{HEADING}Portcullis demo{HEADING:#}\n\
             The gateway is at https://{}, health and metrics at http://{}.\n\
             Behind it, at https://{}, is a sample management endpoint that nobody else gets into.\n\
             Ana is an administrator, Amy and Bo approve, sys1 is a system account, Ivy an auditor.\n\
             Their passwords are in {directory}/<name>.curl; policies to change are in {directory}/policies.\n",
            self.gateway, self.control, self.sample,
        )];
        if self.age == Age::UsedBefore {
            blocks.push(format!(
                "This directory was used before: its requests, grants and audit records are still in force, so that\n\
                 step 2 passes if an earlier grant has not ended. The sample endpoint's mailboxes are new.\n\
                 To begin afresh, stop the demo and delete {directory}.\n"
            ));
        }
        blocks.push(format!(
            "Paste the lines below into a second terminal, step by step. Press Ctrl-C here to stop.\n\n\
             {HEADING}0. Go to where the demo was started.{HEADING:#}\n  cd {}\n",
            quoted(self.home)
        ));
        for (number, (heading, line)) in (1..).zip(STEPS) {
            let line = line
                .replace("{dir}", &quoted(self.directory))
                .replace("{portcullis}", &program)
                .replace('\n', "\n  ");
            blocks.push(format!(
                "{HEADING}{number}. {heading}{HEADING:#}\n  {line}\n"
            ));
        }
        blocks.join("\n") + "\n"
    }
}

/// What each step shows, and its line.
const STEPS: [(&str, &str); 10] = [
    (
        "A read passes: no policy governs it.",
        r#"curl -sK {dir}/ana.curl -d '{"CmdletInput":
  {"CmdletName":"Get-MailboxStatistics","Parameters":{"Identity":"ben"}}}'"#,
    ),
    (
        "A move is blocked, and the answer says what to type next.",
        MOVE,
    ),
    (
        "Ana types it: she asks for the task, with a reason.",
        r#"ID=$(curl -sK {dir}/ana.curl -d '{"CmdletInput":{"CmdletName":"New-ElevatedAccessRequest",
  "Parameters":{"Task":"Exchange\\New-MoveRequest","Reason":"Ticket 4711","DurationHours":1}}}' |
  sed -n 's/.*"Identity":"\([^"]*\)".*/\1/p'); echo "Request $ID""#,
    ),
    (
        "Amy approves it.",
        r#"curl -sK {dir}/amy.curl -d '{"CmdletInput":{"CmdletName":"Approve-ElevatedAccessRequest",
  "Parameters":{"RequestId":"'$ID'","Comment":"Go ahead"}}}'"#,
    ),
    ("The same move passes.", MOVE),
    (
        "The system account moves a mailbox without a grant: it is exempt, from this machine only.",
        r#"curl -sK {dir}/sys1.curl -d '{"CmdletInput":
  {"CmdletName":"New-MoveRequest","Parameters":{"Identity":"cleo"}}}'"#,
    ),
    (
        "Amy takes the grant away.",
        r#"curl -sK {dir}/amy.curl -d '{"CmdletInput":{"CmdletName":"Revoke-ElevatedAccessAuthorization",
  "Parameters":{"RequestId":"'$ID'","Comment":"Done"}}}'"#,
    ),
    ("The move is blocked again.", MOVE),
    (
        "All of this is on record: what was done with the task, and what became of the request.",
        r"{portcullis} audit search --directory {dir}/audit \
  --task 'Exchange\New-MoveRequest'
{portcullis} audit search --directory {dir}/audit --request $ID",
    ),
    (
        "The audit log verifies: no record was changed, removed or put in.",
        "{portcullis} audit verify {dir}/audit",
    ),
];

const MOVE: &str = r#"curl -sK {dir}/ana.curl -d '{"CmdletInput":
  {"CmdletName":"New-MoveRequest","Parameters":{"Identity":"ben"}}}'"#;

/// A path as one word of a shell's line.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+,@".contains(it);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn tour(home: &str, directory: &str, age: Age) -> String {
        let tour = Tour {
            home: Path::new(home),
            directory: Path::new(directory),
            program: &Path::new(home).join("target/release/portcullis"),
            age,
            gateway: "127.0.0.1:8443".parse().unwrap(),
            control: "127.0.0.1:8444".parse().unwrap(),
            sample: "127.0.0.1:45678".parse().unwrap(),
        };
        anstream::adapter::strip_str(&tour.render()).to_string()
    }

    #[test]
    fn the_tour_of_a_first_start_reads_well() {
        insta::assert_snapshot!(tour("/home/ana/portcullis", "demo-data", Age::New));
    }

    #[test]
    fn a_second_start_says_what_the_first_left() {
        let text = tour("/home/ana/portcullis", "demo-data", Age::UsedBefore);
        assert!(
            text.contains("grants and audit records are still in force"),
            "{text}"
        );
    }

    #[test]
    fn lines_fit_a_terminal_of_a_hundred_columns() {
        for line in tour("/home/ana/portcullis", "demo-data", Age::UsedBefore).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    /// Runs the tour's lines in bash with a `curl` that prints its last argument.
    #[test]
    fn the_indented_lines_are_a_script_whose_bodies_are_json() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().join("it's here");
        std::fs::create_dir_all(home.join("target/release")).unwrap();
        let text = tour(home.to_str().unwrap(), "demo data", Age::New);
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|it| it.strip_prefix("  "))
            .collect();
        let fake = r#"
            curl() { case $4 in *New-Elev*) echo '{"Identity":"7e57"}';; *) printf '%s\0' "$4";; esac; }
            mkdir -p target/release; printf 'printf "%%s " "$@"' > target/release/portcullis; chmod +x target/release/portcullis"#;
        let (cd, rest) = lines.split_first().unwrap();
        let script = format!("set -eu\n{cd}\n{fake}\n{}", rest.join("\n"));
        let output = Command::new("bash").arg("-c").arg(script).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let printed = String::from_utf8(output.stdout)
            .unwrap()
            .replace("Request 7e57\n", "");
        let mut printed: Vec<&str> = printed.split('\0').collect();
        assert_eq!(
            printed.pop().unwrap(),
            r"audit search --directory demo data/audit --task Exchange\New-MoveRequest audit search --directory demo data/audit --request 7e57 audit verify demo data/audit "
        );
        let names = printed.iter().map(|body| {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let id = body["CmdletInput"]["Parameters"]["RequestId"].as_str();
            assert!(id.is_none_or(|id| id == "7e57"));
            body["CmdletInput"]["CmdletName"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        assert_eq!(
            names.collect::<Vec<_>>().join(" "),
            "Get-MailboxStatistics New-MoveRequest Approve-ElevatedAccessRequest New-MoveRequest New-MoveRequest \
             Revoke-ElevatedAccessAuthorization New-MoveRequest"
        );
    }
}
