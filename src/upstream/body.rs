//! An answer's body, which gives the connection back at its end and at no other moment.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::rack::Rack;
use super::turns::Turn;
use super::{Phase, Upstream, UpstreamError, http1, http2};

/// What an upstream answers, chunk by chunk.
///
/// Read to its end, it returns its connection to the pool; dropped before, it closes it (HTTP/1.1) or resets its stream (HTTP/2).
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    /// `None` once the end was reached or an error occurred.
    live: Option<Live>,
    /// What it was sent by, if it is no ordinary call, until then.
    turn: Option<Turn>,
    upstream: Upstream,
    /// Whether the timer runs for the chunk that is waited for.
    waiting: bool,
}

/// What a body that has not ended holds on to.
#[derive(Debug)]
pub(super) enum Live {
    Http1(http1::Connection, Arc<Rack>),
    /// The stream's place among those of the connection, and its timer.
    Http2(http2::Place, Pin<Box<Sleep>>),
}

impl Live {
    fn timer(&mut self) -> Pin<&mut Sleep> {
        match self {
            Self::Http1(connection, _) => connection.timer.as_mut(),
            Self::Http2(_, timer) => timer.as_mut(),
        }
    }
}

impl UpstreamBody {
    pub(super) fn new(
        incoming: Incoming,
        live: Live,
        turn: Option<Turn>,
        upstream: &Upstream,
    ) -> Self {
        let mut body = Self {
            incoming,
            live: Some(live),
            turn,
            upstream: upstream.clone(),
            waiting: false,
        };
        body.finish_at_end();
        body
    }

    fn finish_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        match self.live.take() {
            Some(Live::Http1(connection, rack)) => rack.put_back(connection, &self.upstream),
            Some(Live::Http2(place, _timer)) => drop(place),
            None => {}
        }
        self.turn = None;
    }

    fn fail(&mut self, error: UpstreamError) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        self.live = None;
        self.turn = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        let Some(live) = &mut this.live else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = false;
                this.finish_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(source))) => {
                let error = UpstreamError::after_sending(this.upstream.authority(), source);
                this.fail(error)
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let limit = this.upstream.0.timeouts.idle;
                let mut timer = live.timer();
                if !this.waiting {
                    // Set only when there is something to wait for: an answer that comes at once costs no timer at all.
                    timer.as_mut().reset(Instant::now() + limit);
                    this.waiting = true;
                }
                if timer.poll(context).is_pending() {
                    return Poll::Pending;
                }
                let authority = this.upstream.authority().clone();
                this.fail(UpstreamError::Timeout {
                    authority,
                    phase: Phase::Body,
                    limit,
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.live.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
