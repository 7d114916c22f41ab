//! The way to a management endpoint: connections kept alive, one pool for each worker.
//!
//! Built on hyper's connections directly. A request goes out once: it is tried again only when hyper hands it back, which it does when not a byte
//! of it was sent. A connection comes back to the pool only when the answer was read to its end, so an answer can never be taken for that to
//! another request.
//!
//! Whoever sends a request is asked once more right before a connection takes it, since it may have waited for one. Where all HTTP/2 connections are full, requests wait
//! here, in their order, and not behind others on a connection, from where nobody could take them back.
//!
//! HTTP/2 connections are shared, but not by everything: what waits for long and what ends something each have connections of their own (`turns`).
//!
//! Absent: any reading of what is sent or answered, redirects, decompression, proxies, HTTP/2 without TLS.

mod body;
mod connect;
mod error;
mod http1;
mod http2;
mod pool;
mod rack;
mod shares;
mod turns;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, Scheme};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::Notify;
use url::Url;

pub use self::body::UpstreamBody;
pub use self::error::{Delivery, InvalidUpstream, Phase, UpstreamError};
pub use self::pool::{Handover, Pool};
pub use self::turns::{Purpose, Turn};

/// What an upstream is made from.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Scheme (`http` or `https`), host and port; the rest is not looked at.
    pub url: &'a Url,
    /// Whom to trust, from `tls::client`; needed for `https`.
    pub tls: Option<Arc<ClientConfig>>,
    /// Limits on time.
    pub timeouts: Timeouts,
    /// Limits on what is kept.
    pub keep: Keep,
}

/// How long each step may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Name look-up, TCP and TLS together.
    pub connect: Duration,
    /// From sending the request to the head of its answer.
    pub head: Duration,
    /// Between two chunks of the answer.
    pub idle: Duration,
}

/// What a pool keeps of connections that are not in use, for each upstream.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// HTTP/1.1 connections at most. Default 64, as many as one worker is likely to use at once.
    pub connections: usize,
    /// How long one may lie unused. Default 60 s: shorter than the keep-alive of the servers we know (IIS 120 s, nginx 75 s), so that
    /// it is us who close, and a request rarely meets a connection that the server is just closing.
    pub age: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            connections: 64,
            age: Duration::from_mins(1),
        }
    }
}

/// A server that requests can be sent to. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Target>);

#[derive(Debug)]
struct Target {
    /// Where each pool keeps this upstream's connections; unique in the process.
    index: usize,
    /// For connecting, without brackets around an IPv6 address.
    host: String,
    port: u16,
    /// What it is called in `Host`, in `:authority` and in messages; the port only if it is not the scheme's own.
    authority: Authority,
    /// The same, ready to be put into a request.
    host_header: HeaderValue,
    scheme: Scheme,
    tls: Option<Tls>,
    timeouts: Timeouts,
    keep: Keep,
    /// How many requests at a time the upstream allows on an HTTP/2 connection, as it last said; a guess until the first answer came.
    /// Kept here because a new connection is filled before the upstream has said it there.
    streams: Arc<AtomicUsize>,
    /// Fires when an HTTP/2 connection may have room for a request again.
    freed: Arc<Notify>,
}

struct Tls {
    connector: tokio_rustls::TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Tls({:?})", self.name.to_str())
    }
}

impl Upstream {
    /// The upstream that `settings` describe. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The URL has no host, is not http or https, or is https without anyone to trust.
    pub fn new(settings: Settings<'_>) -> Result<Self, InvalidUpstream> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);

        let Settings {
            url,
            tls,
            timeouts,
            keep,
        } = settings;
        let invalid = |why| InvalidUpstream {
            url: url.to_string(),
            why,
        };
        let (scheme, own_port) = match url.scheme() {
            "http" => (Scheme::HTTP, 80),
            "https" => (Scheme::HTTPS, 443),
            _ => return Err(invalid("its scheme is neither http nor https")),
        };
        let bracketed = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| invalid("it names no host"))?;
        let host = bracketed
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = url.port().unwrap_or(own_port);
        let mut authority = bracketed.to_owned();
        if port != own_port {
            // Writing to a string cannot fail.
            let _infallible = write!(authority, ":{port}");
        }
        let not_a_host = |_| invalid("its host is not one that HTTP can name");
        let host_header = HeaderValue::try_from(&authority)
            .map_err(|_| invalid("its host is not one that HTTP can name"))?;
        let authority = Authority::try_from(authority).map_err(not_a_host)?;
        let tls = if scheme == Scheme::HTTPS {
            let config = tls.ok_or_else(|| invalid("https needs to know whom to trust"))?;
            Some(Tls {
                connector: tokio_rustls::TlsConnector::from(config),
                name: ServerName::try_from(host.clone())
                    .map_err(|_| invalid("its host is not a name that a certificate can hold"))?,
            })
        } else {
            None
        };
        Ok(Self(Arc::new(Target {
            index: NEXT.fetch_add(1, Ordering::Relaxed),
            host,
            port,
            authority,
            host_header,
            scheme,
            tls,
            timeouts,
            keep,
            streams: Arc::new(AtomicUsize::new(http2::MOST_STREAMS)),
            freed: Arc::default(),
        })))
    }

    /// What it is called in `Host` and `:authority`.
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }
}

#[cfg(test)]
mod tests;
