//! `portcullis demo`: a gateway with sample policies, people and a [sample management endpoint](exchange) in one process, and a
//! tour of what it does.
//!
//! All that it needs it makes in one directory, and a second start goes on with what the first left. It listens on loopback
//! addresses only and prints no secret: passwords are in files that only their owner can read. Nothing of the gateway is faked;
//! only what is behind it is.

mod directory;
pub mod exchange;
mod people;
#[cfg(test)]
mod tests;
mod tour;

use std::env;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::serve;

use directory::Directory;
use exchange::SampleExchange;
use tour::Tour;

/// What the demo is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its data lies; made if it is not there.
    pub directory: PathBuf,
    /// Where the gateway listens: a loopback address.
    pub listen: SocketAddr,
    /// Where health and metrics are: a loopback address.
    pub control: SocketAddr,
}

/// Runs the demo until Ctrl-C or SIGTERM, in a runtime with several threads.
///
/// # Errors
///
/// An address is taken or not of this machine alone, the directory is not the demo's or cannot be written, or the gateway
/// cannot start: with what to do about it.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let ports = [("--listen", options.listen), ("--control", options.control)];
    for (option, address) in ports {
        check_free(option, address)?;
    }
    let directory = Directory::open(&options.directory)?;
    let credential = directory.complete()?;
    let people = people::prepare(&directory)?;
    people::write(&people, &directory, options.listen)?;

    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let sample = SampleExchange::start(anywhere, Some(directory.server_tls()?), credential)
        .context("the sample endpoint cannot start")?;
    let config = directory.configure(options.listen, options.control, sample.origin())?;
    let gateway = serve::start(config)
        .await
        .context("the gateway cannot start")?;
    if gateway.proxy_address() != options.listen {
        people::write(&people, &directory, gateway.proxy_address())?;
    }

    let tour = Tour {
        home: &env::current_dir().context("cannot tell the current directory")?,
        directory: directory.root(),
        program: &env::current_exe().context("cannot tell where this program is")?,
        age: directory.age(),
        gateway: gateway.proxy_address(),
        control: gateway.control_address(),
        sample: sample.address(),
    };
    // Without a reader there is nothing to wait for; the end is orderly all the same.
    let shown = print(&tour.render());
    if shown.is_ok() {
        signals.next().await;
    }
    gateway.stop();
    let _nobody_reads = print("\nStopping; press Ctrl-C again not to wait for calls in flight.\n");
    let stopped = async {
        gateway.stopped().await;
        sample.shutdown().await;
    };
    tokio::select! {
        () = stopped => {}
        () = signals.next() => {}
    }
    let _nobody_reads = print(&format!(
        "Stopped. Requests, grants and the audit log are kept in {}; start again to go on.\n",
        directory.root().display()
    ));
    shown
}

/// Fails with what to do if `address` cannot be listened on.
fn check_free(option: &str, address: SocketAddr) -> anyhow::Result<()> {
    if !address.ip().is_loopback() {
        bail!(
            "`{option} {address}`: the demo listens on this machine only, such as on 127.0.0.1:{}; `portcullis serve` is for others",
            address.port()
        );
    }
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!(
                "port {} on {} is taken; is another demo running? Stop it, or choose another port with {option}",
                address.port(),
                address.ip()
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

/// Prints for people, in colours where the terminal has them.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.context("cannot print")
}

/// What asks the demo to stop.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
