//! What the management API says and is told: the JSON of requests and answers, for the gateway and for its clients alike.
//!
//! INVARIANT: what is sent to the gateway refuses unknown members, and its bounds stand here; the schemas that the gateway
//! publishes and checks bodies against are made of these types. Answers may gain members, so clients skip what they do not know.
//! Durations are in seconds, times in RFC 3339, states in lower case.

mod audit;
mod decisions;
mod events;
mod forms;
mod grants;
mod listings;
mod parameters;
mod people;
mod policies;
mod problems;
mod requests;
mod tokens;

pub use audit::AuditQuery;
pub use decisions::{Explain, Explanation, ExplanationStep, WhoCan, WhoCanPolicy, WhoCanQuery};
pub use events::{Event, Lost};
pub use grants::{Extension, Grant, GrantQuery, GrantStatus};
pub use listings::{ListingQuery, Page, Whose};
pub use parameters::{ParameterPin, Scalar};
pub use people::{DeviceLogin, Login, LoginIdentity, LoginKind, Me};
pub use policies::{
    AccessControl, AccessControlMode, AccessControlSwitch, Exemption, Group, Policy, PolicyKind,
    PolicyQuery, PolicySource,
};
pub use problems::{FieldProblem, Problem};
pub use requests::{
    Approval, NewRequest, Remark, Request, RequestQuery, RequestStatus, Vote, VoteAnswer,
};
pub use tokens::{MadeToken, NewToken, Token, TokenQuery, TokenScope};
