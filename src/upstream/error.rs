//! What can go wrong on the way to an upstream, told twice: to operators with cause and remedy, to clients in a few words.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::StatusCode;
use http::uri::Authority;
use rustls::CertificateError;

/// An upstream that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` cannot be an upstream: {why}")]
pub struct InvalidUpstream {
    /// What was given.
    pub url: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Whether the upstream may have carried out a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It may have; nobody can tell from here.
    MayHaveArrived,
    /// It certainly has not: not a byte of the request was sent.
    NotSent,
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The next piece of an answer that had begun.
    Body,
    /// Name look-up, TCP and TLS.
    Connect,
    /// The answer's beginning.
    Head,
}

/// Why a request got no answer, or not the whole of it.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The connection ended before the answer did.
    #[error("`{authority}` closed the connection {}", match delivery {
        Delivery::MayHaveArrived => "before its answer was complete; whether it carried out the call is not known",
        Delivery::NotSent => "before the call was sent, each time it was tried",
    })]
    Closed {
        /// The upstream.
        authority: Authority,
        /// Whether the request had been sent.
        delivery: Delivery,
        /// How it ended.
        source: hyper::Error,
    },
    /// No connection to any of its addresses.
    #[error(
        "cannot connect to `{authority}` ({tried} address(es) tried); check the endpoint's `upstream`, the network and the firewall"
    )]
    Connect {
        /// The upstream.
        authority: Authority,
        /// How many addresses were tried.
        tried: usize,
        /// What the last one said.
        source: io::Error,
    },
    /// Its name has no address.
    #[error(
        "cannot find the address of `{authority}`; check the endpoint's `upstream` and this machine's DNS"
    )]
    Dns {
        /// The upstream.
        authority: Authority,
        /// Why.
        source: io::Error,
    },
    /// It does not speak HTTP as it should.
    #[error("`{authority}` does not answer as HTTP requires")]
    Protocol {
        /// The upstream.
        authority: Authority,
        /// What is wrong; `None` if it switched to another protocol unasked.
        source: Option<hyper::Error>,
    },
    /// Something took too long.
    #[error("`{authority}` {} within {limit:?}", match phase {
        Phase::Body => "did not go on with its answer",
        Phase::Connect => "could not be connected to",
        Phase::Head => "did not begin to answer",
    })]
    Timeout {
        /// The upstream.
        authority: Authority,
        /// What it was that took too long.
        phase: Phase,
        /// How long it may take.
        limit: Duration,
    },
    /// TLS could not be agreed on.
    #[error("no TLS with `{authority}`: {why}")]
    Tls {
        /// The upstream.
        authority: Authority,
        /// What is wrong and what to do.
        why: &'static str,
        /// The details.
        source: io::Error,
    },
    /// Whoever wanted to send it does not want to any more, when a connection would take it.
    #[error("what was to go to `{authority}` was taken back before it was sent")]
    Withdrawn {
        /// The upstream.
        authority: Authority,
    },
}

impl UpstreamError {
    /// Whether the upstream may have carried out the request.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Closed { delivery, .. } => *delivery,
            Self::Connect { .. } | Self::Dns { .. } | Self::Tls { .. } | Self::Withdrawn { .. } => {
                Delivery::NotSent
            }
            Self::Protocol { .. } => Delivery::MayHaveArrived,
            Self::Timeout { phase, .. } => match phase {
                Phase::Body | Phase::Head => Delivery::MayHaveArrived,
                Phase::Connect => Delivery::NotSent,
            },
        }
    }

    /// What a client may know: nothing of hosts, addresses or certificates.
    pub fn client_text(&self) -> &'static str {
        match self {
            Self::Closed {
                delivery: Delivery::MayHaveArrived,
                ..
            } => {
                "the management endpoint closed the connection before its answer was complete; the call may have been carried out"
            }
            Self::Closed { .. } | Self::Connect { .. } | Self::Dns { .. } => {
                "the management endpoint cannot be reached; the call was not sent"
            }
            Self::Protocol { .. } => {
                "the management endpoint gave an answer that cannot be understood; the call may have been carried out"
            }
            Self::Timeout { phase, .. } => match phase {
                Phase::Body => {
                    "the management endpoint stopped in the middle of its answer; the call may have been carried out"
                }
                Phase::Connect => {
                    "the management endpoint cannot be reached in time; the call was not sent"
                }
                Phase::Head => {
                    "the management endpoint did not answer in time; the call may have been carried out"
                }
            },
            Self::Tls { .. } => {
                "no trusted connection to the management endpoint can be made; the call was not sent"
            }
            Self::Withdrawn { .. } => {
                "what permitted the call was over before the management endpoint had room for it; the call was not sent"
            }
        }
    }

    /// The status that says so in HTTP ([RFC 9110], sections 15.6.3 and 15.6.5).
    ///
    /// [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Closed { .. }
            | Self::Connect { .. }
            | Self::Dns { .. }
            | Self::Protocol { .. }
            | Self::Tls { .. } => StatusCode::BAD_GATEWAY,
            Self::Withdrawn { .. } => StatusCode::FORBIDDEN,
        }
    }

    /// A failure of a connection that a request (or its beginning) had gone out on.
    pub(super) fn after_sending(authority: &Authority, source: hyper::Error) -> Self {
        let authority = authority.clone();
        if is_loss(&source) {
            Self::Closed {
                authority,
                delivery: Delivery::MayHaveArrived,
                source,
            }
        } else {
            Self::Protocol {
                authority,
                source: Some(source),
            }
        }
    }
}

/// Whether the connection was lost, rather than used wrongly.
fn is_loss(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || error.is_timeout()
        || error.is_user()
        || find::<io::Error>(error).is_some()
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// What a failed handshake means to an operator.
pub(super) fn explain_tls(error: &io::Error) -> &'static str {
    let Some(error) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return "the connection ended during the handshake; does this port speak TLS?";
    };
    match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::BadSignature | CertificateError::UnknownIssuer => {
                "its certificate is not from a CA that the gateway trusts; name the right CA file in the endpoint's `upstream_ca`"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired; have it renewed, and check this machine's clock"
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "its certificate is not one for servers; have it replaced"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name; use a name that it holds in the endpoint's `upstream`"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet; check this machine's clock"
            }
            CertificateError::Revoked => "its certificate has been revoked; have it replaced",
            _ => "its certificate cannot be accepted",
        },
        rustls::Error::InvalidMessage(_) => {
            "it answers with something else than TLS; is the port right, or should `upstream` be http?"
        }
        rustls::Error::AlertReceived(_) => {
            "it refused the handshake; does it want a client certificate?"
        }
        rustls::Error::PeerIncompatible(_) => {
            "it offers nothing of TLS 1.2 or 1.3 that is still considered safe"
        }
        _ => "the handshake failed",
    }
}
