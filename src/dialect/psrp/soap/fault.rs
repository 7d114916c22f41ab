//! Faults: how a refusal that no pipeline can carry reaches the client (psrp section 9, form (a)).

use crate::dialect::Unreadable;

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Windows' number for it.
    pub code: u32,
    /// WS-Management's name for it, from which it follows whose fault it is.
    pub subcode: Subcode,
    /// For the person at the client.
    pub text: String,
}

macro_rules! subcodes {
    ($($(#[$doc:meta])* $name:ident: $prefix:literal, $side:literal),* $(,)?) => {
        /// WS-Management's name for a fault ([DSP0226] section 14.6).
        ///
        /// [DSP0226]: https://www.dmtf.org/sites/default/files/standards/documents/DSP0226_1.2.0.pdf
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Subcode {
            $($(#[$doc])* $name,)*
        }

        impl Subcode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name without prefix.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The prefix under which it is written.
            pub(super) fn prefix(self) -> &'static str {
                match self {
                    $(Self::$name => $prefix,)*
                }
            }

            /// `Sender` or `Receiver`.
            pub(super) fn side(self) -> &'static str {
                match self {
                    $(Self::$name => $side,)*
                }
            }
        }
    };
}

subcodes! {
    /// The caller may not.
    AccessDenied: "w", "Sender",
    /// The action is not known.
    ActionNotSupported: "a", "Sender",
    /// It exists already.
    AlreadyExists: "w", "Sender",
    /// The destination is not known.
    DestinationUnreachable: "a", "Sender",
    /// The answer would be too large.
    EncodingLimit: "w", "Sender",
    /// Something went wrong at the server.
    InternalError: "w", "Receiver",
    /// Options are not known.
    InvalidOptions: "w", "Sender",
    /// A parameter is not known.
    InvalidParameter: "w", "Sender",
    /// The resource is not known.
    InvalidResourceURI: "w", "Sender",
    /// The shell or the command is not known.
    InvalidSelectors: "w", "Sender",
    /// The shell was closed in the meantime.
    OperationAborted: "w", "Receiver",
    /// The limits of the server are reached.
    QuotaLimit: "w", "Receiver",
    /// The envelope is not what it should be.
    SchemaValidationError: "w", "Sender",
    /// There is nothing yet: ask again.
    TimedOut: "w", "Receiver",
    /// It is not supported.
    UnsupportedFeature: "w", "Sender",
}

impl Subcode {
    /// Whether it says that nothing was done. The others may come though it was, or will be.
    pub fn refuses(self) -> bool {
        match self {
            Self::AccessDenied
            | Self::ActionNotSupported
            | Self::AlreadyExists
            | Self::DestinationUnreachable
            | Self::InvalidOptions
            | Self::InvalidParameter
            | Self::InvalidResourceURI
            | Self::InvalidSelectors
            | Self::QuotaLimit
            | Self::SchemaValidationError
            | Self::UnsupportedFeature => true,
            Self::EncodingLimit | Self::InternalError | Self::OperationAborted | Self::TimedOut => {
                false
            }
        }
    }
}

impl Fault {
    /// A fault that says no, with `text` for the person at the client.
    pub fn denied(text: impl Into<String>) -> Self {
        /// `E_ACCESSDENIED`.
        const CODE: u32 = 0x8007_0005;
        Self {
            code: CODE,
            subcode: Subcode::AccessDenied,
            text: text.into(),
        }
    }

    /// There is no output yet; the client asks again.
    pub fn timed_out() -> Self {
        /// `ERROR_WSMAN_OPERATION_TIMEDOUT`.
        const CODE: u32 = 0x8033_8029;
        Self {
            code: CODE,
            subcode: Subcode::TimedOut,
            text: "there is no output yet".to_owned(),
        }
    }

    /// There is no such shell, or not for this caller; `what` names what was asked for.
    pub fn unknown(what: &str) -> Self {
        /// `ERROR_WSMAN_UNEXPECTED_SELECTORS`.
        const CODE: u32 = 0x8033_805b;
        Self {
            code: CODE,
            subcode: Subcode::InvalidSelectors,
            text: format!("there is no {what} here; open a new session"),
        }
    }

    /// The session is over, though the client did not end it.
    pub fn aborted(text: impl Into<String>) -> Self {
        /// `ERROR_OPERATION_ABORTED`.
        const CODE: u32 = 995;
        Self {
            code: CODE,
            subcode: Subcode::OperationAborted,
            text: text.into(),
        }
    }

    /// The limits of the gateway are reached.
    pub fn quota(text: impl Into<String>) -> Self {
        /// `ERROR_WSMAN_QUOTA_MAX_SHELLS`.
        const CODE: u32 = 0x8033_81a5;
        Self {
            code: CODE,
            subcode: Subcode::QuotaLimit,
            text: text.into(),
        }
    }

    /// The gateway or the server behind it cannot do it now.
    pub fn unavailable(text: impl Into<String>) -> Self {
        /// `E_FAIL`.
        const CODE: u32 = 0x8000_4005;
        Self {
            code: CODE,
            subcode: Subcode::InternalError,
            text: text.into(),
        }
    }
}

impl From<&Unreadable> for Fault {
    fn from(problem: &Unreadable) -> Self {
        Self::denied(format!("{} ({})", problem.text, problem.reason))
    }
}
