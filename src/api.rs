//! The management API: `/api/v1` on the control listener, JSON over HTTP in front of `control`.
//!
//! It decides nothing that the workflow decides: handlers read a request strictly, call `control` as every cmdlet does, and write
//! the answer. What is its own: who is signed in (identities and tokens), what a token may be used for, shapes and bounds, and
//! that a write that is sent again is done once. Absent: cookies, CORS, anything that a browser would send unasked.

mod routes;
pub mod types;

pub use routes::{BASE, ROUTES, Right, Route};
