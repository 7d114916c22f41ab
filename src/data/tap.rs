//! Keeps the raw bytes of the request head that is being read, because the HTTP library resolves a request that has both
//! `Content-Length` and `Transfer-Encoding` by dropping the former, where we want to refuse it (RFC 9112 section 6.1).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes kept of what was read since the last request. A chunked request whose head is not wholly inside is refused.
const KEPT_BYTES: usize = 128 * 1024;

/// A connection whose last read bytes can be looked at.
#[derive(Debug)]
pub(super) struct Tapped<S> {
    stream: S,
    tap: Tap,
}

/// The view on what was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Tap(Arc<Mutex<Vec<u8>>>);

impl<S> Tapped<S> {
    pub(super) fn new(stream: S) -> (Self, Tap) {
        let tap = Tap::default();
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
    /// Forgets what was read: a head or a body ends.
    pub(super) fn clear(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clear();
        kept.shrink_to(4096);
    }

    /// Whether the head just read is wholly known and frames its body by `Transfer-Encoding` alone.
    ///
    /// What is kept may begin with the end of an earlier body, so all of it is searched, and not just what looks like the
    /// first head: no body that is read here has a line that begins with the name of a framing header.
    pub(super) fn has_single_framing(&self) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_whole =
            kept.len() < KEPT_BYTES && memchr::memmem::find(&kept, b"\r\n\r\n").is_some();
        if !is_whole {
            return false;
        }
        let mut transfer_encodings = 0;
        for line in kept.split(|byte| *byte == b'\n') {
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
            let mut kept = self.tap.0.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = buf.filled().get(before..).unwrap_or_default();
            let room = KEPT_BYTES.saturating_sub(kept.len());
            kept.extend_from_slice(fresh.get(..room.min(fresh.len())).unwrap_or_default());
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
        let tap = Tap::default();
        tap.0.lock().unwrap().extend_from_slice(head.as_bytes());
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
            "x\r\nTransfer-Encoding: chunked\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "",
        ] {
            assert!(!single_framing(head), "{head:?}");
        }
        let long = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            "x".repeat(KEPT_BYTES)
        );
        assert!(!single_framing(&long));
    }
}
