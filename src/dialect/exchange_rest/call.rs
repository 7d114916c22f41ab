//! One call, understood.

use crate::model::Command;
use crate::policy::Subject;

use super::headers::Passed;
use super::odata::EntityRead;
use super::query::{Query, SKIPTOKEN};
use super::route::{Resource, Session};
use super::version::Version;

/// One call: a command, or a session set-up call, with what is needed to write it upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub(super) version: Version,
    pub(super) tenant: String,
    pub(super) form: Form,
    pub(super) query: Query,
    pub(super) headers: Passed,
    pub(super) regional_host: Option<String>,
}

/// What is called, and how it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// `InvokeCommand`
    Invoke(Command),
    /// A GET that is mapped to a cmdlet.
    Read(EntityRead),
    /// A resource of the official API.
    Resource(&'static Resource, Command),
    /// A session's set-up.
    Session(Session),
}

impl Call {
    /// What is decided on.
    pub fn subject(&self) -> Subject<'_> {
        match &self.form {
            Form::Invoke(command) | Form::Resource(_, command) => Subject::Command(command),
            Form::Read(read) => Subject::Command(&read.command),
            Form::Session(session) => Subject::Session(&session.call),
        }
    }

    /// The command, unless it is a session call.
    pub fn command(&self) -> Option<&Command> {
        match self.subject() {
            Subject::Command(command) => Some(command),
            Subject::Session(_) => None,
        }
    }

    /// The tenant in the URL: a GUID or a domain, as the client spelled it.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Whether it asks for a further page of an earlier call.
    pub fn is_page(&self) -> bool {
        self.query.get(SKIPTOKEN).is_some()
    }

    /// The upstream authority that a nextLink rewritten by the gateway names, if it is not the endpoint's own: one of the
    /// regional hosts of the configuration (the caller checks that it is listed).
    pub fn regional_host(&self) -> Option<&str> {
        self.regional_host.as_deref()
    }
}
