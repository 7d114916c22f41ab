//! WS-Management SOAP, as far as a PowerShell session needs it ([MS-WSMV]).
//!
//! [`read_request`] understands six operations or refuses: one envelope, one list of headers, options and elements each, none
//! of them twice, with their exact namespaces. [`write_request`] and [`write_response`] write envelopes of our own from what
//! was understood; no byte of a client's envelope goes on. [`read_response`] reads a server's answers as strictly, but passes
//! over headers that it does not know, since only what was understood is written again.
//!
//! Absent by intent: Get, Enumerate, Pull, Connect, Disconnect and Reconnect are known and refused; compression is refused.
//!
//! [MS-WSMV]: https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv/

mod fault;
mod fields;
mod head;
mod request;
mod response;
mod write;

#[cfg(test)]
mod tests;

use std::time::Duration;

use uuid::Uuid;

pub use self::fault::{Fault, Subcode};
pub use self::head::{Target, read_head};
pub use self::request::{message_of, read_request};
pub use self::response::read_response;
pub use self::write::{Peer, write_request, write_response};

const ENVELOPE: &str = "http://www.w3.org/2003/05/soap-envelope";
const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
const WSMAN_FAULT_ACTION: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault";
const MICROSOFT: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd";
const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
const FAULT: &str = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault";
const POWERSHELL: &str = "http://schemas.microsoft.com/powershell";
const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";

/// A client's request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the answer must refer to, and how the client wants it.
    pub frame: Frame,
    /// The shell that it is about; for Create, the one that it asks for.
    pub shell: Uuid,
    /// What is asked.
    pub operation: Operation,
}

/// What a request says besides its operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The request's id.
    pub message: Uuid,
    /// The client's session, if it says.
    pub session: Option<Uuid>,
    /// How long the answer may take, if it says; at most an hour.
    pub timeout: Option<Duration>,
    /// How many bytes the answer may have, if it says.
    pub max_envelope: Option<u32>,
    /// The language for texts, if it says.
    pub locale: Option<String>,
    /// The language for numbers and dates, if it says.
    pub data_locale: Option<String>,
}

/// What is asked of a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Start a command.
    Command {
        /// The command's id.
        command: Uuid,
        /// Its first fragments.
        arguments: Vec<u8>,
    },
    /// Open the shell.
    Create {
        /// The version of PSRP that the client asks for, such as `2.3`.
        protocol: Option<String>,
        /// Fragments with the first two messages.
        creation: Vec<u8>,
    },
    /// Close the shell.
    Delete,
    /// Wait for output.
    Receive {
        /// Of this command; of the shell itself if none.
        command: Option<Uuid>,
        /// Whether the shell should be kept alive by it.
        keep_alive: bool,
    },
    /// Input.
    Send {
        /// For this command; for the shell itself if none.
        command: Option<Uuid>,
        /// Which stream.
        stream: Stream,
        /// Fragments.
        data: Vec<u8>,
    },
    /// A signal to a command.
    Signal {
        /// The command.
        command: Uuid,
        /// Which.
        signal: Signal,
    },
}

/// A stream of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Answers to the server's questions.
    Pr,
    /// Everything else.
    Stdin,
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Stop the pipeline.
    Stop,
    /// Forget the command.
    Terminate,
}

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The shell is open.
    Created {
        /// Its id.
        shell: Uuid,
    },
    /// The shell is closed.
    Deleted,
    /// It went wrong.
    Fault(Fault),
    /// Output.
    Received(Received),
    /// The input was taken.
    Sent,
    /// The signal was taken.
    Signalled,
    /// The command has started.
    Started {
        /// Its id.
        command: Uuid,
    },
}

/// Output of a shell or a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Fragments, in order, each with the command that it is of.
    pub output: Vec<(Option<Uuid>, Vec<u8>)>,
    /// How the command does.
    pub state: Option<(Uuid, CommandState)>,
}

/// How a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandState {
    /// There is no more output.
    Done,
    /// There may be more output.
    Running,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Pr => "pr",
            Self::Stdin => "stdin",
        }
    }
}

impl Operation {
    /// The action's address, and with `Response` behind it the answer's.
    fn action(&self) -> String {
        match self {
            Self::Command { .. } => format!("{SHELL}/Command"),
            Self::Create { .. } => format!("{TRANSFER}/Create"),
            Self::Delete => format!("{TRANSFER}/Delete"),
            Self::Receive { .. } => format!("{SHELL}/Receive"),
            Self::Send { .. } => format!("{SHELL}/Send"),
            Self::Signal { .. } => format!("{SHELL}/Signal"),
        }
    }
}

impl Response {
    fn action(&self) -> String {
        match self {
            Self::Created { .. } => format!("{TRANSFER}/CreateResponse"),
            Self::Deleted => format!("{TRANSFER}/DeleteResponse"),
            Self::Fault(_) => WSMAN_FAULT_ACTION.to_owned(),
            Self::Received(_) => format!("{SHELL}/ReceiveResponse"),
            Self::Sent => format!("{SHELL}/SendResponse"),
            Self::Signalled => format!("{SHELL}/SignalResponse"),
            Self::Started { .. } => format!("{SHELL}/CommandResponse"),
        }
    }
}
