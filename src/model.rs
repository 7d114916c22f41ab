//! The vocabulary: what every other module means by task, command, principal, grant and request.
//!
//! Pure: no I/O, no clock, no randomness. Times and ids are arguments. Nothing here knows a wire protocol, a
//! policy file or a store.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod command;
mod grant;
mod intern;
mod name;
mod notice;
mod object;
mod own_cmdlet;
mod pin;
mod principal;
mod request;
mod sensitive;
mod value;
mod visible;

pub use command::{
    COMMON_PARAMETERS, CmdletIs, Command, Names, Parameter, Parameters, RepeatedParameter, Spelling,
};
pub use grant::{Closing, Grant, GrantState, HowClosed, Review};
pub use intern::{Interner, PolicyId, PrincipalId};
pub use name::{CmdletName, InvalidName, MAX_NAME_BYTES, ParameterName, Task, Workload};
pub use notice::{Answered, Deciders, Notice, NoticeKind, ShownParameter};
pub use object::{Object, Property};
pub use own_cmdlet::{OwnCmdlet, OwnParameter, OwnParameterKind};
pub use pin::{
    Bound, MOST_PINNED_BYTES, MOST_PINNED_PATTERNS, MOST_PINNED_VALUES, MOST_PINS, MOST_PINS_BYTES,
    Pin, Pinned, Pins,
};
pub use principal::{Principal, PrincipalKind, has_key_form, is_account, is_guid};
pub use request::{Answer, Narrowing, Request, RequestState, Vote};
pub use sensitive::{REDACTED, Redaction, is_sensitive};
pub use value::{Number, Value};
pub use visible::is_visible;
