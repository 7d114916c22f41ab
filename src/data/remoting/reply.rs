//! Answers to clients of remoting: SOAP envelopes, faults under status 500, and 401 with its challenge.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::data::reject::Rejection;
use crate::dialect::Reply;
use crate::dialect::psrp::soap::{Fault, Peer, Response, Subcode, write_response};
use crate::telemetry::metrics::{RefusedReason, StatusClass};

use super::upstream::status;

const SOAP: HeaderValue = HeaderValue::from_static("application/soap+xml;charset=UTF-8");

/// An answer to the request `relates`, in an envelope with the id `message`.
pub(super) fn reply(
    response: &Response,
    message: Uuid,
    relates: Option<Uuid>,
    peer: &Peer<'_>,
) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, SOAP);
    Reply {
        status: status(response),
        headers,
        body: Bytes::from(write_response(response, message, relates, peer)),
    }
}

/// As what an answer is counted. A fault has status 500 whatever it says, and most often it says that there is no output yet.
pub(super) fn class(response: &Response) -> StatusClass {
    let Response::Fault(fault) = response else {
        return StatusClass::Success;
    };
    match fault.subcode {
        Subcode::TimedOut => StatusClass::Success,
        Subcode::DestinationUnreachable
        | Subcode::InternalError
        | Subcode::OperationAborted
        | Subcode::QuotaLimit => StatusClass::ServerError,
        Subcode::AccessDenied
        | Subcode::ActionNotSupported
        | Subcode::AlreadyExists
        | Subcode::EncodingLimit
        | Subcode::InvalidOptions
        | Subcode::InvalidParameter
        | Subcode::InvalidResourceURI
        | Subcode::InvalidSelectors
        | Subcode::SchemaValidationError
        | Subcode::UnsupportedFeature => StatusClass::ClientError,
    }
}

/// A refusal of the request with the id `request`, as a fault. Clients of WS-Management read its text under status 500 only;
/// 401 makes them sign in.
pub(in crate::data) fn refusal(rejection: &Rejection, request: Uuid) -> Reply {
    let text = format!("{} (request {request})", rejection.text);
    let fault = match (rejection.status, rejection.kind) {
        (
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT,
            _,
        ) => Fault::unavailable(text),
        (_, Some(RefusedReason::Limit)) => Fault::quota(text),
        (_, _) => Fault::denied(text),
    };
    let peer = Peer {
        url: "",
        configuration: "",
        machine: &rejection.machine,
        owner: "",
    };
    let mut reply = reply(&Response::Fault(fault), request, rejection.relates, &peer);
    if rejection.status == StatusCode::UNAUTHORIZED {
        reply.status = rejection.status;
    }
    reply
}
