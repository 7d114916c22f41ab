//! Bodies of answers: a whole one of the gateway's own, or the upstream's as it streams by.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::write::GzDecoder;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use std::io::Write as _;

use crate::dialect::Reply;
use crate::dialect::exchange_rest::LinkRewriter;
use crate::upstream::{UpstreamBody, UpstreamError};

use super::outcome::OutcomeGuard;
use super::reject::upstream_result;

/// The first bytes of gzip data (RFC 1952 section 2.3.1).
pub(super) const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// What one chunk of an upstream's answer may unpack to, in bytes: ten times what answers of this kind do.
const MAX_UNPACKED: usize = 64 * 1024 * 1024;

/// Why an upstream's answer broke off on its way to the client.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// It is not compressed as it says.
    #[error("the upstream's answer is badly compressed")]
    Coding(#[source] std::io::Error),
    /// It did not come whole.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl Broken {
    fn result(&self) -> &'static str {
        match self {
            Self::Coding(_) => "upstream-broken",
            Self::Upstream(error) => upstream_result(error),
        }
    }
}

/// The body of an answer to a client.
#[derive(Debug)]
pub(super) enum ReplyBody {
    /// The upstream's, as it comes.
    Streamed(Box<Streamed>),
    /// All there is; empty once it was taken.
    Whole(Bytes),
}

/// An upstream answer on its way to the client: unpacked where links must be found in it, links rewritten, the outcome
/// recorded at its end, or when the client or the upstream goes away before.
#[derive(Debug)]
pub(super) struct Streamed {
    upstream: UpstreamBody,
    unpacker: Option<GzDecoder<Vec<u8>>>,
    links: Option<LinkRewriter>,
    outcome: OutcomeGuard,
    ended: bool,
}

impl Streamed {
    pub(super) fn new(
        upstream: UpstreamBody,
        unpack: bool,
        links: Option<LinkRewriter>,
        outcome: OutcomeGuard,
    ) -> Self {
        let unpacker = unpack.then(|| GzDecoder::new(Vec::new()));
        Self {
            upstream,
            unpacker,
            links,
            outcome,
            ended: false,
        }
    }

    /// What the client gets for one chunk of the upstream's.
    fn pass(&mut self, chunk: Bytes) -> Result<Bytes, Broken> {
        let chunk = match &mut self.unpacker {
            None => chunk,
            // Declared compressed, and not: it is handed on as it is (exchange-rest section 3.5).
            Some(_) if !self.outcome.has_looked() && !chunk.starts_with(GZIP_MAGIC) => {
                self.unpacker = None;
                chunk
            }
            Some(unpacker) => {
                unpack(unpacker, &chunk, MAX_UNPACKED).map_err(Broken::Coding)?;
                std::mem::take(unpacker.get_mut()).into()
            }
        };
        self.outcome.look_at(&chunk);
        Ok(match &mut self.links {
            None => chunk,
            Some(links) => links.push(chunk),
        })
    }

    /// What the client gets after the upstream's last chunk.
    fn rest(&mut self) -> Result<Bytes, Broken> {
        let mut rest = Vec::new();
        if let Some(mut unpacker) = self.unpacker.take() {
            unpacker.try_finish().map_err(Broken::Coding)?;
            let unpacked = Bytes::from(std::mem::take(unpacker.get_mut()));
            rest.extend_from_slice(&match &mut self.links {
                None => unpacked,
                Some(links) => links.push(unpacked),
            });
        }
        if let Some(links) = &mut self.links {
            rest.extend_from_slice(&links.finish());
        }
        Ok(rest.into())
    }
}

/// Unpacks `chunk`, as long as no more than `most` bytes come of it.
fn unpack(unpacker: &mut GzDecoder<Vec<u8>>, chunk: &[u8], most: usize) -> std::io::Result<()> {
    /// Bytes that are unpacked between two looks at the size; a thousand times as many come out of them at most.
    const STEP: usize = 1024;
    for piece in chunk.chunks(STEP) {
        unpacker.write_all(piece)?;
        if unpacker.get_ref().len() > most {
            return Err(std::io::Error::other(format!(
                "a part of {} bytes unpacks to more than {most}",
                chunk.len()
            )));
        }
    }
    Ok(())
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let streamed = match &mut *self {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
            }
            Self::Streamed(streamed) => streamed,
        };
        loop {
            if streamed.ended {
                return Poll::Ready(None);
            }
            let chunk = match Pin::new(&mut streamed.upstream).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => {
                    let error = Broken::from(error);
                    streamed.ended = true;
                    streamed.outcome.finish(error.result());
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    streamed.ended = true;
                    let rest = streamed.rest();
                    match &rest {
                        Ok(_) => streamed.outcome.finish_answered(),
                        Err(error) => streamed.outcome.finish(error.result()),
                    }
                    return match rest {
                        Ok(rest) if rest.is_empty() => Poll::Ready(None),
                        rest => Poll::Ready(Some(rest.map(Frame::data))),
                    };
                }
                // Trailers are dropped: they were not part of any decision, and no client of these dialects reads them.
                Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            };
            match streamed.pass(chunk) {
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                Err(error) => {
                    streamed.ended = true;
                    streamed.outcome.finish(error.result());
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streamed(streamed) => streamed.ended,
            Self::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streamed(_) => SizeHint::default(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

/// The gateway's own answer as a response.
pub(super) fn response(reply: Reply) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Whole(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_unpacks_without_end_is_refused_before_it_fills_the_memory() {
        let zeros = vec![0; 32 * 1024 * 1024];
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&zeros).unwrap();
        let packed = encoder.finish().unwrap();
        let mut unpacker = GzDecoder::new(Vec::new());
        unpack(&mut unpacker, &packed, zeros.len()).unwrap();
        assert_eq!(unpacker.finish().unwrap().len(), zeros.len());
        let mut unpacker = GzDecoder::new(Vec::new());
        let most = 1024 * 1024;
        assert!(unpack(&mut unpacker, &packed, most).is_err());
        assert!(unpacker.get_ref().len() < 3 * most);
    }
}
