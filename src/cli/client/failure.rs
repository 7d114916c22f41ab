//! Why a gateway did not do what it was asked, and what people can do about it.

use crate::api::types::{FieldProblem, Problem};
use crate::cli::Hint;
use crate::cli::output::printable;
use crate::telemetry::Chain;

use super::transport::ExchangeError;

/// Why a gateway did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What answered is no gateway, or another version.
    #[error("what answers at `{url}` is not the management API of a gateway ({what})")]
    NotGateway { url: String, what: String },
    /// It does not take the credential that was just given.
    #[error("`{server}` does not take this sign-in{}", reason(why.as_ref()))]
    NotTaken { server: String, why: Option<String> },
    /// It says no to what is at `path`.
    #[error("{}", printable(&problem.detail))]
    Refused { path: String, problem: Box<Problem> },
    /// It does not know who asks.
    #[error("you are not signed in at `{server}`{}", reason(why.as_ref()))]
    SignedOut { server: String, why: Option<String> },
    /// There was no answer.
    #[error("`{url}` cannot be asked")]
    Unreachable {
        url: String,
        done: Done,
        source: ExchangeError,
    },
}

/// Whether what was asked for may have been done without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Maybe,
    No,
}

impl Failure {
    /// With what to do about it.
    pub(super) fn explained(self) -> anyhow::Error {
        let hint = match &self {
            Self::NotGateway { .. } => Some(
                "name the gateway's control address (`[control] listen`, port 8444 by default), not the one that tools connect to".to_owned(),
            ),
            Self::NotTaken { .. } => Some(
                "see whether name, password or token are right, and whether this way to sign in is one of the gateway's (`[control] identity`)".to_owned(),
            ),
            // Who may, and what there is, is of requests and grants alone.
            Self::Refused { path, .. } if !is_about_access(path) => None,
            Self::Refused { problem, .. } => match problem.status {
                403 => Some("see who may with `portcullis who-can TASK --online`".to_owned()),
                404 => Some(
                    "see what there is with `portcullis request ls`, `portcullis grant ls` and `portcullis who-can TASK --online`".to_owned(),
                ),
                409 => Some("see how it stands with `portcullis request show ID` or `portcullis grant show ID`".to_owned()),
                _ => None,
            },
            Self::SignedOut { server, .. } => {
                Some(format!("sign in with `portcullis login --server {server}`"))
            }
            Self::Unreachable { done: Done::Maybe, .. } => Some(
                "it may have been done all the same: look with `portcullis request ls --mine` or `portcullis grant ls --mine` before you repeat it".to_owned(),
            ),
            Self::Unreachable { source, .. } => Some(what_to_try(&Chain(source).to_string()).to_owned()),
        };
        let mut lines = vec![Chain(&self).to_string()];
        if let Self::Refused { problem, .. } = &self {
            lines.extend(problem.errors.iter().map(field_text));
        }
        let root = match hint {
            Some(hint) => anyhow::Error::new(Hint(hint)),
            None => anyhow::Error::msg(lines.pop().unwrap_or_default()),
        };
        lines.into_iter().rev().fold(root, anyhow::Error::context)
    }
}

/// Whether what is at this path is a request or a grant.
fn is_about_access(path: &str) -> bool {
    ["/requests", "/grants"]
        .iter()
        .any(|it| path.starts_with(it))
}

/// What to look at first, by what the libraries below say of a connection that did not come about.
fn what_to_try(why: &str) -> &'static str {
    let says = |text: &str| why.contains(text);
    if says("UnknownIssuer") {
        "its certificate is of an authority that is not trusted here: name the authority's PEM file by `--ca FILE`"
    } else if says("NotValidForName") {
        "its certificate is for another name: use the name that it was made for"
    } else if says("Expired") || says("NotValidYet") {
        "its certificate is not valid now: see its dates, and this computer's clock"
    } else if says("InvalidContentType") {
        "it does not speak TLS there: `http://` if it is on this host, or another port"
    } else if says("invalid HTTP version") || says("InvalidHttpVersion") {
        "it does not speak plain HTTP there: `https://`, or another port"
    } else if says("Connection refused") {
        "nobody listens there: see whether the gateway runs, and which address `[control] listen` names"
    } else if says("dns error") {
        "there is no host of this name, or the network is down"
    } else {
        "see whether the address is right, the gateway runs, and its certificate is trusted (`--ca FILE` for a private authority); nothing else was tried, and no proxy is used"
    }
}

fn reason(why: Option<&String>) -> String {
    why.map(|it| format!(": {}", printable(it)))
        .unwrap_or_default()
}

/// What is wrong with one member, by the option that people gave it with.
fn field_text(field: &FieldProblem) -> String {
    let member = field.pointer.trim_start_matches(['/', '?']);
    let member = member.split('/').next().unwrap_or_default();
    let name = match member {
        "duration_seconds" => "--duration",
        "effect" => "--effect",
        "expires_in_seconds" => "--expires",
        "external_identity" => "--ticket",
        "comment" => "--comment",
        "parameters" => "--parameter",
        "policy" => "--policy",
        "principal" => "--principal",
        "reason" => "--reason",
        "role" => "--role",
        "role_group" => "--role-group",
        "since" => "--since",
        "starts" => "--start",
        "task" => "--task",
        "uses" => "--uses",
        _ => &field.pointer,
    };
    format!("`{}`: {}", printable(name), printable(&field.detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_told_by_the_names_that_people_typed() {
        let problem = Problem {
            kind: "urn:portcullis:problem:invalid".to_owned(),
            title: "Invalid".to_owned(),
            status: 422,
            detail: "2 members are wrong".to_owned(),
            errors: vec![
                FieldProblem {
                    pointer: "/duration_seconds".to_owned(),
                    detail: "at most 8h".to_owned(),
                },
                FieldProblem {
                    pointer: "/parameters/0/pattern".to_owned(),
                    detail: "no regular\u{1b}[2J expression".to_owned(),
                },
                FieldProblem {
                    pointer: "/else".to_owned(),
                    detail: "odd".to_owned(),
                },
            ],
        };
        let error = Failure::Refused {
            path: "/requests".to_owned(),
            problem: Box::new(problem),
        }
        .explained();
        let lines: Vec<String> = error.chain().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        2 members are wrong
        `--duration`: at most 8h
        `--parameter`: no regular�[2J expression
        `/else`: odd
        ");
    }

    #[test]
    fn a_hint_fits_what_was_asked_and_what_went_wrong() {
        for (why, word) in [
            ("invalid peer certificate: UnknownIssuer", "--ca"),
            (
                "invalid peer certificate: certificate not valid for name: NotValidForNameContext",
                "another name",
            ),
            ("received corrupt message of type InvalidContentType", "TLS"),
            ("invalid HTTP version parsed", "https://"),
            (
                "tcp connect error: Connection refused (os error 111)",
                "listens",
            ),
            ("dns error: failed to lookup address information", "host"),
            ("something new", "no proxy"),
        ] {
            assert!(what_to_try(why).contains(word), "{why}");
        }
        assert!(is_about_access("/requests/1/approve") && is_about_access("/grants"));
        assert!(!is_about_access("/notifications/retry"));
    }
}
