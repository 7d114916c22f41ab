//! Keeps the raw bytes of the request head that is being read, because the HTTP library resolves a request that has both
//! `Content-Length` and `Transfer-Encoding` by dropping the former, where we want to refuse it (RFC 9112 section 6.1).

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
    phase: Phase,
}

/// Where an HTTP/1.1 connection stands: the HTTP library has one clock for both waiting and slow heads, and we have two limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request is answered.
    Answering,
    /// Between requests, since then.
    Idle(Instant),
    /// In a request's head, whose first byte came then.
    Head(Instant),
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

    /// Forgets what was read: a request begins.
    pub(super) fn clear(&self) {
        let kept = &mut self.state().kept;
        kept.clear();
        kept.shrink_to(4096);
    }

    /// Whether the head just read is wholly known and frames its body by `Transfer-Encoding` alone.
    pub(super) fn has_single_framing(&self) -> bool {
        let kept = &self.state().kept;
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
            let room = KEPT_BYTES.saturating_sub(state.kept.len());
            let fits = fresh.get(..room.min(fresh.len())).unwrap_or_default();
            state.kept.extend_from_slice(fits);
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

    fn single_framing(head: &str) -> bool {
        let tap = Tap::new();
        tap.state().kept.extend_from_slice(head.as_bytes());
        tap.has_single_framing()
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
