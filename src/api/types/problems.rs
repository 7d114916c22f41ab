//! Errors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An error ([RFC 9457], `application/problem+json`).
///
/// [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What kind of error it is: stable, such as `urn:portcullis:problem:forbidden`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do.
    pub detail: String,
    /// All that is wrong with the request, where several things can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// What is wrong with one part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldProblem {
    /// Where: a JSON pointer into the body such as `/duration_seconds`, or `?name` of the query.
    pub pointer: String,
    /// What, and what would be right.
    pub detail: String,
}
