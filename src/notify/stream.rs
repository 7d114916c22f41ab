//! A connection to the mail server, encrypted before lettre sees it: by our own TLS settings, and for `STARTTLS` ([RFC 3207])
//! without a buffer that could carry what was sent in the clear over into the encrypted part.
//!
//! [RFC 3207]: https://www.rfc-editor.org/rfc/rfc3207

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The most bytes that a mail server may answer in one session.
const ANSWER_BYTES: usize = 256 * 1024;

/// The longest line of an answer before TLS (RFC 5321, section 4.5.3.1.5, with room), and the most lines of one answer.
const LINE_BYTES: usize = 1_024;
const ANSWER_LINES: usize = 64;

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncryptError {
    #[error("the server answered `{answer}` to {step}")]
    Answered { step: &'static str, answer: String },
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the connection broke off")]
    Io(#[from] io::Error),
    #[error("`{0}` cannot be the name in a certificate")]
    Name(String),
    #[error(
        "the server offers no STARTTLS: use `tls = \"implicit\"` if it has a port for that, or another server"
    )]
    NotOffered,
}

/// TLS from the first byte.
pub(super) async fn encrypt(
    stream: TcpStream,
    host: &str,
    tls: Arc<ClientConfig>,
) -> Result<MailStream, EncryptError> {
    let peer = stream.peer_addr()?;
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| EncryptError::Name(host.to_owned()))?;
    let stream = TlsConnector::from(tls)
        .connect(name, stream)
        .await
        .map_err(EncryptError::Handshake)?;
    Ok(MailStream::new(Box::new(stream), peer, &[]))
}

/// Asks for TLS in the clear, and goes on encrypted.
pub(super) async fn start_tls(
    mut stream: TcpStream,
    host: &str,
    hello: &str,
    tls: Arc<ClientConfig>,
) -> Result<MailStream, EncryptError> {
    answer(&mut stream, "the connection").await?;
    stream
        .write_all(format!("EHLO {hello}\r\n").as_bytes())
        .await?;
    let offers = answer(&mut stream, "EHLO").await?;
    let is_offered = offers
        .iter()
        .skip(1)
        .any(|it| it.trim().eq_ignore_ascii_case("starttls"));
    if !is_offered {
        return Err(EncryptError::NotOffered);
    }
    stream.write_all(b"STARTTLS\r\n").await?;
    answer(&mut stream, "STARTTLS").await?;
    let mut encrypted = encrypt(stream, host, tls).await?;
    // After STARTTLS the server does not greet again, and lettre waits for a greeting.
    encrypted.greeting = b"220 encrypted\r\n";
    Ok(encrypted)
}

/// In the clear.
pub(super) fn plain(stream: TcpStream) -> io::Result<MailStream> {
    let peer = stream.peer_addr()?;
    Ok(MailStream::new(Box::new(stream), peer, &[]))
}

/// The texts of a positive answer, byte by byte: nothing behind it is read.
async fn answer(stream: &mut TcpStream, step: &'static str) -> Result<Vec<String>, EncryptError> {
    let mut texts = Vec::new();
    for _ in 0..ANSWER_LINES {
        let mut line = Vec::new();
        loop {
            let byte = stream.read_u8().await?;
            if byte == b'\n' {
                break;
            }
            if line.len() == LINE_BYTES {
                return Err(io::Error::other("a line of the server's answer is too long").into());
            }
            line.push(byte);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        if !line.starts_with('2') {
            return Err(EncryptError::Answered {
                step,
                answer: super::words::line(line, 200),
            });
        }
        texts.push(line.get(4..).unwrap_or_default().to_owned());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(texts);
        }
    }
    Err(io::Error::other("the server's answer does not end").into())
}

/// Reading and writing, whatever is below.
trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// What lettre talks over.
pub(super) struct MailStream {
    inner: Box<dyn Duplex>,
    peer: SocketAddr,
    /// Read before anything that the server says.
    greeting: &'static [u8],
    /// How much the server may still say.
    left: usize,
}

impl MailStream {
    fn new(inner: Box<dyn Duplex>, peer: SocketAddr, greeting: &'static [u8]) -> Self {
        Self {
            inner,
            peer,
            greeting,
            left: ANSWER_BYTES,
        }
    }
}

impl AsyncRead for MailStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.greeting.is_empty() {
            let (now, later) = self
                .greeting
                .split_at(self.greeting.len().min(into.remaining()));
            into.put_slice(now);
            self.greeting = later;
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(context, into))?;
        let read = into.filled().len().saturating_sub(before);
        match self.left.checked_sub(read) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => Poll::Ready(Err(io::Error::other("the server says too much"))),
        }
    }
}

impl AsyncWrite for MailStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl AsyncTokioStream for MailStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl fmt::Debug for MailStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailStream")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
