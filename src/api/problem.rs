//! What an error looks like: `application/problem+json`, with a stable kind, and all that is wrong at once.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::api::types::{FieldProblem, Problem};
use crate::control::WorkflowError;

/// Why something was not done, as it is answered.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    kind: Kind,
    detail: String,
    errors: Vec<FieldProblem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The kinds of problems. Their words and statuses are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Conflict,
    CrossSite,
    Forbidden,
    Internal,
    Invalid,
    KeyReused,
    Malformed,
    MethodNotAllowed,
    NotFound,
    PlainHttp,
    PreconditionFailed,
    PreconditionRequired,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthenticated,
    Unavailable,
    UnknownOutcome,
    UnsupportedMediaType,
    WrongHost,
}

/// Kind, stable word, status and title, in alphabetical order.
const KINDS: &[(Kind, &str, StatusCode, &str)] = &[
    (
        Kind::Conflict,
        "conflict",
        StatusCode::CONFLICT,
        "It does not go with what has happened",
    ),
    (
        Kind::CrossSite,
        "cross-site",
        StatusCode::FORBIDDEN,
        "Another site's page sent this",
    ),
    (
        Kind::Forbidden,
        "forbidden",
        StatusCode::FORBIDDEN,
        "You may not",
    ),
    (
        Kind::Internal,
        "internal",
        StatusCode::INTERNAL_SERVER_ERROR,
        "The gateway failed",
    ),
    (
        Kind::Invalid,
        "invalid",
        StatusCode::UNPROCESSABLE_ENTITY,
        "What was asked for cannot be done",
    ),
    (
        Kind::KeyReused,
        "idempotency-key-reused",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The idempotency key is another request's",
    ),
    (
        Kind::Malformed,
        "malformed",
        StatusCode::BAD_REQUEST,
        "The request is not what is read here",
    ),
    (
        Kind::MethodNotAllowed,
        "method-not-allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        "The path does not take this method",
    ),
    (
        Kind::NotFound,
        "not-found",
        StatusCode::NOT_FOUND,
        "There is no such thing",
    ),
    (
        Kind::PlainHttp,
        "plain-http",
        StatusCode::FORBIDDEN,
        "The network could read your credentials",
    ),
    (
        Kind::PreconditionFailed,
        "precondition-failed",
        StatusCode::PRECONDITION_FAILED,
        "It was changed since you read it",
    ),
    (
        Kind::PreconditionRequired,
        "precondition-required",
        StatusCode::PRECONDITION_REQUIRED,
        "Say which version you change",
    ),
    (
        Kind::TooLarge,
        "too-large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "The body is too large",
    ),
    (
        Kind::TooMany,
        "too-many-requests",
        StatusCode::TOO_MANY_REQUESTS,
        "Too many requests",
    ),
    (
        Kind::TooSlow,
        "too-slow",
        StatusCode::REQUEST_TIMEOUT,
        "The body came too slowly",
    ),
    (
        Kind::Unauthenticated,
        "unauthenticated",
        StatusCode::UNAUTHORIZED,
        "Sign in first",
    ),
    (
        Kind::Unavailable,
        "unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "It cannot be done now",
    ),
    (
        Kind::UnknownOutcome,
        "unknown-outcome",
        StatusCode::CONFLICT,
        "It is not known what came of the first request",
    ),
    (
        Kind::UnsupportedMediaType,
        "unsupported-media-type",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Only JSON is read here",
    ),
    (
        Kind::WrongHost,
        "wrong-host",
        StatusCode::MISDIRECTED_REQUEST,
        "The request names another host",
    ),
];

impl Kind {
    fn row(self) -> (&'static str, StatusCode, &'static str) {
        KINDS.iter().find(|it| it.0 == self).map_or(
            (
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "The gateway failed",
            ),
            |it| (it.1, it.2, it.3),
        )
    }
}

impl Failure {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// A request whose parts are wrong as `errors` say.
    pub(super) fn fields(detail: impl Into<String>, errors: Vec<FieldProblem>) -> Self {
        Self {
            errors,
            ..Self::new(Kind::Malformed, detail)
        }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.kind.row().1
    }

    /// The body.
    pub(super) fn body(&self) -> Vec<u8> {
        let (word, status, title) = self.kind.row();
        let problem = Problem {
            kind: format!("urn:portcullis:problem:{word}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
        };
        serde_json::to_vec(&problem).unwrap_or_default()
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status();
        response.headers_mut().extend(self.headers);
        let json = HeaderValue::from_static(PROBLEM_JSON);
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

/// The content type of problems.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

impl From<WorkflowError> for Failure {
    fn from(error: WorkflowError) -> Self {
        match error {
            WorkflowError::Conflict(text) => Self::new(Kind::Conflict, text),
            WorkflowError::Forbidden(text) => Self::new(Kind::Forbidden, text),
            WorkflowError::Invalid(text) => Self::new(Kind::Invalid, text),
            WorkflowError::NotFound(text) => Self::new(Kind::NotFound, text),
            WorkflowError::Unavailable(text) => Self::new(Kind::Unavailable, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_word_of_its_own() {
        for (index, one) in KINDS.iter().enumerate() {
            assert!(
                KINDS
                    .iter()
                    .skip(index + 1)
                    .all(|it| it.1 != one.1 && it.0 != one.0)
            );
        }
    }

    #[test]
    fn problems_look_as_they_always_did() {
        let kinds: Vec<String> = KINDS
            .iter()
            .map(|it| format!("{} {} {}", it.2.as_u16(), it.1, it.3))
            .collect();
        insta::assert_snapshot!(kinds.join("\n"));
    }
}
