//! What goes on on an HTTP/2 connection, where streams come and go beside each other: calls that begin, and pieces of answers
//! that clients take.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::reply::{Broken, ReplyBody};

/// Counts what goes on on a connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    events: AtomicUsize,
    answering: AtomicUsize,
    open: AtomicUsize,
}

/// A call that has no answer yet, or waits for the next piece of it.
#[derive(Debug)]
pub(super) struct Call(Arc<Activity>);

/// A call whose answer is not yet handed on whole.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

/// An answer on its way to a client. Its pieces are asked for as the client makes room for them.
pub(super) struct Watched {
    body: ReplyBody,
    activity: Arc<Activity>,
    /// The client has room, and there is no piece yet.
    waits: Option<Call>,
    #[expect(dead_code, reason = "it is there to be dropped")]
    open: Open,
}

impl Activity {
    /// A call has no answer, or not the next piece of one, until the result is dropped.
    pub(super) fn answering(self: &Arc<Self>) -> Call {
        self.answering.fetch_add(1, Ordering::Relaxed);
        self.goes_on();
        Call(Arc::clone(self))
    }

    /// A call is open until the result is dropped.
    pub(super) fn opened(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Whether there is a call, or an answer of which something is still to be handed on.
    pub(super) fn has_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Whether a client waits for the gateway: how long that may last is bounded elsewhere.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed) > 0
    }

    /// Another number whenever something went on since.
    pub(super) fn so_far(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    fn goes_on(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.goes_on();
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watched {
    pub(super) fn new(body: ReplyBody, open: Open) -> Self {
        Self {
            body,
            activity: Arc::clone(&open.0),
            open,
            waits: None,
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.waits = None;
            self.activity.goes_on();
        } else if self.waits.is_none() {
            self.waits = Some(self.activity.answering());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
