//! What to type next about a notice: on the command line, and as a cmdlet where a tool is connected through the gateway. Pure.
//!
//! INVARIANT: each command is one bounded line; nothing that a requester wrote is part of one, but for ids, and scopes and
//! tasks in quotes that nothing in them can end.

use serde::Serialize;
use uuid::Uuid;

use crate::model::{Notice, NoticeKind};

use super::words::{LINE, line};

/// Something that can be done about a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct NextCommand {
    /// What it does, and who may where that is not who reads this.
    pub(super) what: &'static str,
    /// On the command line.
    pub(super) shell: String,
    /// In a session that is connected through the gateway, where there is a cmdlet for it.
    pub(super) cmdlet: Option<String>,
}

/// What can be done about `notice`, the likeliest first.
pub(super) fn commands(notice: &Notice) -> Vec<NextCommand> {
    let request = notice.request;
    // An extension makes no grant of its own.
    let grant = notice.grant.or(notice.extends).unwrap_or(request);
    match notice.kind {
        NoticeKind::RequestEscalated
        | NoticeKind::RequestFiled
        | NoticeKind::RequestReminder
        | NoticeKind::RequestVoted => vec![
            command(
                "Approve it",
                format!("portcullis request approve {request} --comment '…'"),
                format!("Approve-ElevatedAccessRequest -RequestId {request} -Comment '…'"),
            ),
            command(
                "Deny it",
                format!("portcullis request deny {request} --comment '…'"),
                format!("Deny-ElevatedAccessRequest -RequestId {request} -Comment '…'"),
            ),
        ],
        NoticeKind::BreakGlassReminder | NoticeKind::BreakGlassTaken => vec![
            command(
                "Review it (an approver)",
                format!("portcullis grant review {grant} --comment '…'"),
                format!("Set-ElevatedAccessAuthorization -RequestId {grant} -Review -Comment '…'"),
            ),
            command(
                "Take it away (an approver)",
                format!("portcullis grant revoke {grant} --comment '…'"),
                format!("Revoke-ElevatedAccessAuthorization -RequestId {grant} -Comment '…'"),
            ),
            give_back(grant),
        ],
        NoticeKind::RequestApproved => vec![look_at_grant(grant), give_back(grant)],
        NoticeKind::BreakGlassReviewed => vec![look_at_grant(grant)],
        NoticeKind::GrantEnded
        | NoticeKind::GrantExpired
        | NoticeKind::GrantRevoked
        | NoticeKind::GrantUsedUp => {
            let again = ask_again(notice);
            [look_at_grant(grant)].into_iter().chain(again).collect()
        }
        NoticeKind::RequestDenied | NoticeKind::RequestExpired => {
            let again = ask_again(notice);
            [look_at_request(request)]
                .into_iter()
                .chain(again)
                .collect()
        }
        NoticeKind::RequestWithdrawn => vec![look_at_request(request)],
        NoticeKind::Test => vec![NextCommand {
            what: "See what else waits to be sent (an operator)",
            shell: "portcullis notify ls".to_owned(),
            cmdlet: None,
        }],
    }
}

fn command(what: &'static str, shell: String, cmdlet: String) -> NextCommand {
    NextCommand {
        what,
        shell,
        cmdlet: Some(cmdlet),
    }
}

fn look_at_request(request: Uuid) -> NextCommand {
    command(
        "Look at the request",
        format!("portcullis request show {request}"),
        format!("Get-ElevatedAccessRequest -RequestId {request}"),
    )
}

fn look_at_grant(grant: Uuid) -> NextCommand {
    command(
        "Look at the grant",
        format!("portcullis grant show {grant}"),
        format!("Get-ElevatedAccessAuthorization -RequestId {grant}"),
    )
}

fn give_back(grant: Uuid) -> NextCommand {
    command(
        "Give it back (its holder)",
        format!("portcullis grant end {grant}"),
        format!("Set-ElevatedAccessAuthorization -RequestId {grant} -End"),
    )
}

/// How to file it once more; nothing where its scope could leave its quotes.
fn ask_again(notice: &Notice) -> Option<NextCommand> {
    if notice.extends.is_some() {
        let grant = notice.extends?;
        return Some(command(
            "Ask again (its requester)",
            format!("portcullis grant extend {grant} --duration … --reason '…'"),
            format!("New-ElevatedAccessRequest -Extend {grant} -DurationHours … -Reason '…'"),
        ));
    }
    let scope = line(notice.what(), LINE);
    // PowerShell takes typographic quotes for plain ones.
    let stays_quoted = |it: char| !matches!(it, '\'' | '\u{2018}'..='\u{201b}');
    if !scope.chars().all(stays_quoted) {
        return None;
    }
    let option = if notice.task.is_some() {
        "--task"
    } else {
        "--policy"
    };
    Some(command(
        "Ask again (its requester)",
        format!("portcullis request create {option} '{scope}' --reason '…'"),
        format!("New-ElevatedAccessRequest -Task '{scope}' -Reason '…'"),
    ))
}

#[cfg(test)]
mod tests {
    use crate::notify::sample;

    use super::*;

    #[test]
    fn each_kind_names_a_command_and_a_cmdlet() {
        for kind in NoticeKind::ALL {
            let commands = commands(&sample::notice(kind));
            assert!(!commands.is_empty(), "{kind:?}");
            for it in commands {
                assert!(it.shell.starts_with("portcullis "), "{kind:?}: {it:?}");
                assert_eq!(it.cmdlet.is_none(), kind == NoticeKind::Test, "{it:?}");
            }
        }
    }

    #[test]
    fn a_scope_that_would_leave_its_quotes_is_in_no_command() {
        let mut notice = sample::notice(NoticeKind::RequestDenied);
        notice.extends = None;
        notice.task = None;
        notice.scope = "role:Exchange\\Mail Recipients\r\nrm".to_owned();
        let again = ask_again(&notice).unwrap();
        assert_eq!(
            again.shell,
            r"portcullis request create --policy 'role:Exchange\Mail Recipients rm' --reason '…'"
        );
        for quote in ["'", "\u{2019}"] {
            notice.scope = format!("role:O{quote}; rm -rf /");
            assert_eq!(ask_again(&notice), None);
        }
    }
}
