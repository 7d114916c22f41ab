//! PSRP messages ([MS-PSRP] 2.2.1): who it is for, what it is, which runspace pool and pipeline it belongs to, and CLIXML.
//!
//! The header is the destination (4 bytes: 1 client, 2 server), the type (4), the runspace pool's id (16) and the
//! pipeline's (16, zero for the pool), all little-endian, ids in .NET's byte order. A real server obeys a message wherever
//! it comes from; here each type has the places where it may come ([`Kind::may_come`]), and all others are refused.

use uuid::Uuid;

use crate::dialect::Unreadable;

/// Who a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The client.
    Client,
    /// The server.
    Server,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal),* $(,)?) => {
        /// What a message is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number on the wire.
            pub fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number,)*
                }
            }
        }
    };
}

kinds! {
    /// Answers `CONNECT_RUNSPACEPOOL`; private data of the application.
    ApplicationPrivateData = 0x0002_1009,
    /// A client that comes back (refused).
    ConnectRunspacePool = 0x0001_0008,
    /// Commands to run.
    CreatePipeline = 0x0002_1006,
    /// A debug text.
    DebugRecord = 0x0004_1007,
    /// The session key, for the client's public key.
    EncryptedSessionKey = 0x0001_0006,
    /// No more input.
    EndOfPipelineInput = 0x0004_1003,
    /// An error that does not end the pipeline.
    ErrorRecord = 0x0004_1005,
    /// How many runspaces are free?
    GetAvailableRunspaces = 0x0002_1007,
    /// Which commands are there?
    GetCommandMetadata = 0x0002_100A,
    /// An information text.
    InformationRecord = 0x0004_1011,
    /// The pool's settings.
    InitRunspacePool = 0x0001_0004,
    /// A question to the person at the client.
    PipelineHostCall = 0x0004_1100,
    /// The answer to it.
    PipelineHostResponse = 0x0004_1101,
    /// An object piped into the pipeline.
    PipelineInput = 0x0004_1002,
    /// An object out of the pipeline.
    PipelineOutput = 0x0004_1004,
    /// How the pipeline does.
    PipelineState = 0x0004_1006,
    /// How far something is.
    ProgressRecord = 0x0004_1010,
    /// The client's public key, for secure strings.
    PublicKey = 0x0001_0005,
    /// Asks for it.
    PublicKeyRequest = 0x0001_0007,
    /// Forget variables.
    ResetRunspaceState = 0x0002_100C,
    /// Answers a call about runspaces.
    RunspaceAvailability = 0x0002_1004,
    /// A question to the person at the client, outside of pipelines.
    RunspacePoolHostCall = 0x0002_1100,
    /// The answer to it.
    RunspacePoolHostResponse = 0x0002_1101,
    /// Answers `CONNECT_RUNSPACEPOOL`.
    RunspacePoolInitData = 0x0002_100B,
    /// How the pool does.
    RunspacePoolState = 0x0002_1005,
    /// What the sender speaks.
    SessionCapability = 0x0001_0002,
    /// At most so many runspaces.
    SetMaxRunspaces = 0x0002_1002,
    /// At least so many runspaces.
    SetMinRunspaces = 0x0002_1003,
    /// An event.
    UserEvent = 0x0002_1008,
    /// A verbose text.
    VerboseRecord = 0x0004_1008,
    /// A warning.
    WarningRecord = 0x0004_1009,
}

/// Where a client's message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A command's `pr` stream.
    CommandPr,
    /// A command's first message: in `Arguments`, with what follows on the command's `stdin`.
    CommandStart,
    /// A command's `stdin`, after its first message.
    CommandStdin,
    /// The first message of `creationXml`.
    CreationFirst,
    /// The second message of `creationXml`, its last.
    CreationSecond,
    /// The shell's `pr` stream.
    ShellPr,
    /// The shell's `stdin`.
    ShellStdin,
}

impl Place {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::CommandPr,
        Self::CommandStart,
        Self::CommandStdin,
        Self::CreationFirst,
        Self::CreationSecond,
        Self::ShellPr,
        Self::ShellStdin,
    ];
}

impl Kind {
    /// Whether a client may send this kind there.
    pub fn may_come(self, place: Place) -> bool {
        match place {
            Place::CommandStart => matches!(self, Self::CreatePipeline | Self::GetCommandMetadata),
            Place::CommandStdin => matches!(self, Self::EndOfPipelineInput | Self::PipelineInput),
            Place::CreationFirst => matches!(self, Self::SessionCapability),
            Place::CreationSecond => matches!(self, Self::InitRunspacePool),
            // A common client answers a pipeline's questions on the shell's stream. To questions of the pool itself there are
            // no answers: nothing tells a careless server that one was meant for a pipeline that may not go on.
            Place::CommandPr | Place::ShellPr => matches!(self, Self::PipelineHostResponse),
            Place::ShellStdin => matches!(
                self,
                Self::GetAvailableRunspaces
                    | Self::PublicKey
                    | Self::ResetRunspaceState
                    | Self::SetMaxRunspaces
                    | Self::SetMinRunspaces
            ),
        }
    }

    fn of_number(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.number() == number)
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who it is for.
    pub destination: Destination,
    /// What it is.
    pub kind: Kind,
    /// The runspace pool.
    pub pool: Uuid,
    /// The pipeline; nil for the pool itself.
    pub pipeline: Uuid,
    /// CLIXML without a byte order mark, or nothing.
    pub data: String,
}

/// Reads a message.
pub fn read(bytes: &[u8]) -> Result<Message, Unreadable> {
    let bad = |reason, text: &str| Unreadable::bad(reason, text);
    let truncated = || bad("message-truncated", "a message ends within its header");
    let (destination, rest) = bytes.split_first_chunk::<4>().ok_or_else(truncated)?;
    let (kind, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    let (pool, rest) = rest.split_first_chunk::<16>().ok_or_else(truncated)?;
    let (pipeline, data) = rest.split_first_chunk::<16>().ok_or_else(truncated)?;
    let destination = match u32::from_le_bytes(*destination) {
        1 => Destination::Client,
        2 => Destination::Server,
        _ => {
            return Err(bad(
                "message-destination",
                "a message is for nobody that is known",
            ));
        }
    };
    let number = u32::from_le_bytes(*kind);
    let kind = Kind::of_number(number).ok_or_else(|| {
        Unreadable::bad(
            "message-type",
            format!("message type `{number:08X}` is not one that is known"),
        )
    })?;
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let data = std::str::from_utf8(data)
        .map_err(|_| bad("not-utf-8", "a message is not UTF-8"))?
        .to_owned();
    if (kind == Kind::EndOfPipelineInput) != data.is_empty() {
        return Err(bad(
            "message-body",
            "a message has no body, or one that it must not have",
        ));
    }
    Ok(Message {
        destination,
        kind,
        pool: Uuid::from_bytes_le(*pool),
        pipeline: Uuid::from_bytes_le(*pipeline),
        data,
    })
}

/// Reads a message that a client sent to `place`, for `pool` and `pipeline` (nil for the pool).
///
/// `pipeline` is `None` where the message itself says which; the caller must check that.
pub fn read_from_client(
    bytes: &[u8],
    place: Place,
    pool: Uuid,
    pipeline: Option<Uuid>,
) -> Result<Message, Unreadable> {
    let message = read(bytes)?;
    if message.destination != Destination::Server {
        return Err(Unreadable::bad(
            "message-destination",
            "a client's message must be for the server",
        ));
    }
    if !message.kind.may_come(place) {
        let text = format!(
            "a message of type `{:08X}` may not come here",
            message.kind.number()
        );
        return Err(Unreadable::bad("message-place", text));
    }
    if message.pool != pool || pipeline.is_some_and(|it| it != message.pipeline) {
        return Err(Unreadable::bad(
            "message-ids",
            "a message must carry the ids of the shell and the command that it comes under",
        ));
    }
    Ok(message)
}

/// Writes a message.
pub fn write(message: &Message) -> Vec<u8> {
    let Message {
        destination,
        kind,
        pool,
        pipeline,
        data,
    } = message;
    let mut out = Vec::with_capacity(40 + data.len());
    let destination: u32 = match destination {
        Destination::Client => 1,
        Destination::Server => 2,
    };
    out.extend_from_slice(&destination.to_le_bytes());
    out.extend_from_slice(&kind.number().to_le_bytes());
    out.extend_from_slice(&pool.to_bytes_le());
    out.extend_from_slice(&pipeline.to_bytes_le());
    out.extend_from_slice(data.as_bytes());
    out
}

#[cfg(test)]
mod tests;
