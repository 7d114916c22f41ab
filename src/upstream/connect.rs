//! A new connection: name, address, TCP, TLS; all within one deadline.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::error::explain_tls;
use super::{Phase, Target, Tls, UpstreamError, http1, http2};

/// A quiet connection is probed this often: a cmdlet may run for 15 minutes, and many a firewall forgets a connection after four of silence.
const PROBE: Duration = Duration::from_secs(30);

/// A connection, by the protocol that was agreed on.
#[derive(Debug)]
pub(super) enum Connected {
    Http1(http1::Connection),
    Http2(http2::Connection),
}

/// Connects within `timeouts.connect` of `began`.
pub(super) async fn connect(target: &Target, began: Instant) -> Result<Connected, UpstreamError> {
    let limit = target.timeouts.connect;
    match timeout_at(began + limit, connect_by(target, began + limit)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(timed_out(target)),
    }
}

pub(super) fn timed_out(target: &Target) -> UpstreamError {
    UpstreamError::Timeout {
        authority: target.authority.clone(),
        phase: Phase::Connect,
        limit: target.timeouts.connect,
    }
}

async fn connect_by(target: &Target, deadline: Instant) -> Result<Connected, UpstreamError> {
    let addresses = addresses(target).await?;
    let stream = tcp(target, &addresses, deadline).await?;
    let Some(Tls { connector, name }) = &target.tls else {
        return http1::Connection::start(target, TokioIo::new(stream)).await;
    };
    let stream = connector
        .connect(name.clone(), stream)
        .await
        .map_err(|source| UpstreamError::Tls {
            authority: target.authority.clone(),
            why: explain_tls(&source),
            source,
        })?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2::Connection::start(target, TokioIo::new(stream)).await
    } else {
        http1::Connection::start(target, TokioIo::new(stream)).await
    }
}

async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, UpstreamError> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let failed = |source| UpstreamError::Dns {
        authority: target.authority.clone(),
        source,
    };
    let found: Vec<_> = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(failed)?
        .collect();
    if found.is_empty() {
        return Err(failed(io::Error::new(
            ErrorKind::NotFound,
            "the name exists but has no address",
        )));
    }
    Ok(found)
}

/// Tries the addresses in the resolver's order ([RFC 6724]); each may take its share of the time that is left, so that one that does not answer
/// leaves time for the others.
///
/// [RFC 6724]: https://www.rfc-editor.org/rfc/rfc6724
async fn tcp(
    target: &Target,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<TcpStream, UpstreamError> {
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    let mut waiting = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / waiting.max(1);
        waiting = waiting.saturating_sub(1);
        last = match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => match prepare(&stream) {
                Ok(()) => return Ok(stream),
                Err(error) => error,
            },
            Ok(Err(error)) => error,
            Err(_elapsed) => ErrorKind::TimedOut.into(),
        };
        debug!(%address, error = %last, "An upstream's address cannot be connected to");
    }
    if last.kind() == ErrorKind::TimedOut {
        return Err(timed_out(target));
    }
    Err(UpstreamError::Connect {
        authority: target.authority.clone(),
        tried: addresses.len(),
        source: last,
    })
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE))
}
