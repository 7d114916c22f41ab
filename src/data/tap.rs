//! What an HTTP/1.1 connection reads, and where it stands, beside the HTTP library that hides both.
//!
//! Kept are the raw bytes of the request head that is being read, because the HTTP library resolves a request that has both
//! `Content-Length` and `Transfer-Encoding` by dropping the former, where we want to refuse it (RFC 9112 section 6.1); and the phase, because the library has one clock for
//! waiting and for slow heads, and we have two limits.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes kept of what was read since the last request. A chunked request whose head is not wholly inside is refused.
const KEPT_BYTES: usize = 128 * 1024;

/// A connection whose last read bytes can be looked at.
#[derive(Debug)]
pub(super) struct Tapped<S> {
    stream: S,
    tap: Tap,
}

/// The view on what was read, and on where the connection stands.
#[derive(Clone, Debug)]
pub(super) struct Tap(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    kept: Vec<u8>,
    /// The rest of a body may stand before the next head, and could look like one.
    after_unread_body: bool,
    phase: Phase,
}

/// Where an HTTP/1.1 connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request is answered.
    Answering,
    /// In a request's head, whose first byte came then.
    Head(Instant),
    /// Between requests, since then.
    Idle(Instant),
}

/// A request that is answered: the connection is idle when this is dropped.
#[derive(Debug)]
pub(super) struct Answering(Tap);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state().phase = Phase::Idle(Instant::now());
    }
}

impl<S> Tapped<S> {
    pub(super) fn new(stream: S) -> (Self, Tap) {
        let tap = Tap::new();
        (
            Self {
                stream,
                tap: tap.clone(),
            },
            tap,
        )
    }
}

impl Tap {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            kept: Vec::new(),
            after_unread_body: false,
            phase: Phase::Idle(Instant::now()),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the connection stands.
    pub(super) fn phase(&self) -> Phase {
        self.state().phase
    }

    /// A head was read whole: its request is answered until the result is dropped.
    pub(super) fn answering(&self) -> Answering {
        self.state().phase = Phase::Answering;
        Answering(self.clone())
    }

    /// Forgets the head that was just read. Until [`Tap::body_was_read`], a body follows.
    pub(super) fn head_was_read(&self) {
        self.forget(true);
    }

    /// The request's body was read to its end, or there is none: the next byte begins a head.
    pub(super) fn body_was_read(&self) {
        self.forget(false);
    }

    /// Whether a body was not read, so that what follows it is not known to be a head.
    pub(super) fn is_after_unread_body(&self) -> bool {
        self.state().after_unread_body
    }

    fn forget(&self, after_unread_body: bool) {
        let mut state = self.state();
        state.kept.clear();
        state.kept.shrink_to(4096);
        state.after_unread_body = after_unread_body;
    }

    /// Whether the head just read is wholly known, from this request line on, and frames its body by `Transfer-Encoding`
    /// alone.
    ///
    /// The request line is compared because bytes of this head may have been read, and forgotten, with the body before it.
    pub(super) fn has_single_framing(&self, request_line: &str) -> bool {
        let state = self.state();
        if state.after_unread_body {
            return false;
        }
        let begin = state
            .kept
            .iter()
            .position(|byte| !matches!(byte, b'\r' | b'\n'))
            .unwrap_or_default();
        let kept = state.kept.get(begin..).unwrap_or_default();
        let line = kept.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.strip_suffix(b"\r").unwrap_or(line) != request_line.as_bytes() {
            return false;
        }
        let Some(end) = memchr::memmem::find(kept, b"\r\n\r\n") else {
            return false;
        };
        let mut transfer_encodings = 0;
        for line in kept
            .get(..end)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
            .skip(1)
        {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            if name.eq_ignore_ascii_case(b"content-length") {
                return false;
            }
            if name.eq_ignore_ascii_case(b"transfer-encoding") {
                transfer_encodings += 1;
            }
        }
        transfer_encodings == 1
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(result, Poll::Ready(Ok(()))) {
            let mut state = self.tap.state();
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if matches!(state.phase, Phase::Idle(_)) && !fresh.is_empty() {
                state.phase = Phase::Head(Instant::now());
            }
            // What belongs to a body, and does not begin a head, is not worth keeping.
            if !state.after_unread_body {
                let room = KEPT_BYTES.saturating_sub(state.kept.len());
                let fits = fresh.get(..room.min(fresh.len())).unwrap_or_default();
                state.kept.extend_from_slice(fits);
            }
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(tap: &Tap, bytes: &str) {
        tap.state().kept.extend_from_slice(bytes.as_bytes());
    }

    fn single_framing(head: &str) -> bool {
        let tap = Tap::new();
        receive(&tap, head);
        tap.has_single_framing("POST / HTTP/1.1")
    }

    #[test]
    fn a_head_inside_a_body_does_not_stand_for_the_real_one() {
        let fake = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let real = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
        let tap = Tap::new();
        receive(&tap, "POST / HTTP/1.1\r\nContent-Length: 46\r\n\r\n");
        tap.head_was_read();
        receive(&tap, fake);
        receive(&tap, real);
        assert!(!tap.has_single_framing("POST / HTTP/1.1"));
    }

    #[test]
    fn a_head_whose_beginning_came_with_the_body_before_is_not_wholly_known() {
        let tap = Tap::new();
        tap.head_was_read();
        receive(&tap, "body POST / HTTP/1.1\r\nContent-Length: 3\r\n");
        tap.body_was_read();
        receive(&tap, "X: y\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(!tap.has_single_framing("POST / HTTP/1.1"));
    }

    #[test]
    fn a_second_request_is_judged_by_its_own_head() {
        let tap = Tap::new();
        receive(&tap, "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
        tap.head_was_read();
        receive(&tap, "abc");
        tap.body_was_read();
        receive(
            &tap,
            "\r\nPOST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        );
        assert!(tap.has_single_framing("POST /b HTTP/1.1"));
    }

    #[test]
    fn a_chunked_head_is_accepted_only_alone_and_whole() {
        assert!(single_framing(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ));
        for head in [
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nCONTENT-length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
            "",
        ] {
            assert!(!single_framing(head), "{head:?}");
        }
    }
}
