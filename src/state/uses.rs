//! The port through which the hot path takes uses of grants that count them, and how a call is recognised again.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use uuid::Uuid;

use crate::model::{Command, PrincipalId};
use crate::policy::{Spread, Withheld};

use super::BoxFuture;

/// Keeps count of the uses of grants. `control` does; `data` knows no more of it than this.
pub trait GrantUses: Send + Sync {
    /// Whether any use was taken lately: without one, no call goes on with one.
    fn remembers(&self) -> bool;

    /// The grant of which `mark`'s call goes on with an earlier use: a further page of it, or a repetition of a call that the
    /// upstream did not take. Each failure is repeated once for its use. Whether the call has pages is the caller's to know.
    fn continued(&self, mark: &CallMark) -> Option<Uuid>;

    /// Takes a use; stored when it returns.
    fn take<'a>(&'a self, taking: Taking<'a>) -> BoxFuture<'a, Result<(), NotTaken>>;

    /// The upstream gave no answer to the call that counts: its repetition needs no further use. One that may have run all the
    /// same is repeated a few times and no more.
    fn failed(&self, mark: &CallMark, how: Failure);
}

/// What is known of a call that the upstream did not answer as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may have run, and changed something.
    MayHaveRun,
    /// It did not run, or only read.
    NotTaken,
}

/// A use that is to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Taking<'a> {
    /// Of this grant,
    pub grant: Uuid,
    /// for this command,
    pub command: &'a Command,
    /// which this tells from others,
    pub mark: &'a CallMark,
    /// within this bound of the grant's policy.
    pub spread: Option<Spread>,
}

/// Why a use was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The grant is over since the decision: it has to be decided again.
    Gone,
    /// It cannot be stored now.
    Unavailable(String),
    /// There is none left, for now or at all.
    Withheld(Withheld),
}

/// What a call is recognised by: its caller, the endpoint that it came to, its command with all parameters, and the client's
/// own id for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallMark {
    /// Who calls.
    pub principal: PrincipalId,
    /// The path of the endpoint: no page of one endpoint's call is at another.
    pub endpoint: Arc<str>,
    /// SHA-256 of the task in lower case and the parameters as they go upstream.
    pub command: [u8; 32],
    /// `client-request-id`, which a client keeps over pages and retries.
    pub client_request_id: Option<String>,
    /// Whether it asks for a further page of an earlier call.
    pub is_page: bool,
}

impl CallMark {
    /// What a command is recognised by.
    pub fn digest(command: &Command) -> [u8; 32] {
        let mut digest = Context::new(&SHA256);
        digest.update(command.task.folded().as_bytes());
        let mut json = Vec::new();
        for parameter in &command.parameters {
            // Neither a name nor JSON has a line break in it.
            json.extend_from_slice(b"\n");
            json.extend(
                parameter
                    .name
                    .as_str()
                    .bytes()
                    .map(|it| it.to_ascii_lowercase()),
            );
            json.extend_from_slice(b"=");
            parameter.value.write_json(&mut json);
        }
        digest.update(&json);
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest.finish().as_ref()) {
            *to = *from;
        }
        hash
    }
}
