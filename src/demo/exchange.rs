//! The *sample management endpoint*: a small stand-in for Exchange's admin API, on a loopback address and in memory.
//!
//! The demo puts the gateway in front of it, and tests read its [journal](Running::executed) to see what a gateway really let
//! through. It is as forgiving as the real service (exchange-rest sections 1 to 5): names in any case, of a repeated JSON
//! member the last, unknown members ignored, doubled slashes and encoded letters in paths. What it is not: a model of Exchange's
//! permissions. Whoever holds its one service credential may do everything; nobody else may do anything.

mod answer;
mod catalogue;
mod endpoint;
mod journal;
mod lenient;
mod organisation;
mod page;
mod place;
mod record;
mod seed;
mod server;
mod session;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use endpoint::Endpoint;

pub use journal::{Arrived, Effect, Executed};

/// The sample management endpoint.
#[derive(Clone, Copy, Debug)]
pub struct SampleExchange;

impl SampleExchange {
    /// Starts the endpoint on `listen`, with TLS (HTTP/1.1 and HTTP/2) or without (HTTP/1.1). `credential` is the one value of
    /// `Authorization` that it accepts, such as `Bearer …`.
    ///
    /// To be called within a Tokio runtime. Fails if the address cannot be had.
    pub fn start(
        listen: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        credential: SecretString,
    ) -> Result<Running, io::Error> {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://{address}");
        let endpoint = Arc::new(Endpoint::new(origin.clone(), credential));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(server::serve(
            listener,
            tls,
            Arc::clone(&endpoint),
            stop.clone(),
            tasks.clone(),
        ));
        Ok(Running {
            address,
            endpoint,
            origin,
            stop: stop.drop_guard(),
            tasks,
        })
    }
}

/// The names of all cmdlets that the endpoint knows.
pub fn cmdlet_names() -> impl Iterator<Item = &'static str> {
    catalogue::Cmdlet::names()
}

/// A sample endpoint that serves; dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    endpoint: Arc<Endpoint>,
    origin: String,
    stop: DropGuard,
    tasks: TaskTracker,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its scheme and authority, as its links name them: `https://127.0.0.1:8445`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Every request that arrived, oldest first; the last 10,000, or fewer if they are large (64 MiB together).
    pub fn arrived(&self) -> Vec<Arrived> {
        self.endpoint.journal().arrived()
    }

    /// Every command that was understood, oldest first; the last 10,000, or fewer if they are large (64 MiB together).
    pub fn executed(&self) -> Vec<Executed> {
        self.endpoint.journal().executed()
    }

    /// Stops: answers what is being asked, and takes nothing new. Returns when all is closed.
    pub async fn shutdown(self) {
        drop(self.stop);
        self.tasks.close();
        self.tasks.wait().await;
    }
}
