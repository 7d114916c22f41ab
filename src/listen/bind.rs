//! The listening socket.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel holds for us until they are accepted; its own limit, `net.core.somaxconn`, may be lower.
const BACKLOG: i32 = 1024;

/// Why the gateway cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is not one of this machine's.
    #[error(
        "cannot listen on {address}: this machine has no such address; see which it has with: ip -brief address"
    )]
    AddressNotHere {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Another process listens there.
    #[error(
        "cannot listen on {address}: the port is taken; see by whom with: ss -ltnp 'sport = :{port}', \
         then stop that process or choose another port",
        port = address.port()
    )]
    AddressTaken {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on {address}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The port is one that not everybody may use.
    #[error(
        "cannot listen on {address}: no permission; ports below 1024 need the capability CAP_NET_BIND_SERVICE \
         (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or choose a higher port"
    )]
    PermissionDenied {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A worker thread cannot be started.
    #[error(
        "cannot start worker {index} of {count}; lower `workers` or raise the process's limit on threads (ulimit -u)"
    )]
    Worker {
        /// Which, from 0.
        index: usize,
        /// How many there were to be.
        count: usize,
        /// Why.
        source: io::Error,
    },
}

/// Listens on `address`, alone: a port that is taken is an error, never shared with another process.
///
/// # Errors
///
/// The port is taken or not permitted, or the address not this machine's.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    listener(address).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => ListenError::AddressTaken { address, source },
        ErrorKind::AddrNotAvailable => ListenError::AddressNotHere { address, source },
        ErrorKind::PermissionDenied => ListenError::PermissionDenied { address, source },
        _ => ListenError::Other { address, source },
    })
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // SO_REUSEADDR lets a restart have the port while old connections linger in TIME_WAIT; on Linux it never lets two sockets
    // listen on it. SO_REUSEPORT would: a second gateway would silently take half the connections.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
