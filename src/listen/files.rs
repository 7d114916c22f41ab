//! How many files the process may have open: each connection is one, and so is each upstream.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// What is open besides: logs, the store, listeners, pipes, some connections to upstreams.
const OTHER_FILES: u64 = 256;

/// Takes as many files as the system lets this process have: the usual soft limit of 1,024 is far below `limits.connections`,
/// and is kept low for programs that use `select`. Says so if that is too few for `connections` clients.
pub fn raise_limit(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let is_raised = current != maximum
        && setrlimit(Resource::Nofile, raised)
            .inspect_err(|error| warn!(%error, "The limit of open files could not be raised"))
            .is_ok();
    let limit = if is_raised { maximum } else { current };
    let wanted = wanted(connections);
    match limit {
        Some(limit) if limit < wanted => warn!(
            limit,
            wanted,
            "This process may open too few files for `limits.connections`: raise the hard limit (LimitNOFILE, ulimit -Hn), or lower `limits.connections`"
        ),
        limit => debug!(limit, wanted, "Files that may be open"),
    }
}

/// The least that so many clients need; while each waits for an answer over HTTP/1.1, it is twice as many.
fn wanted(connections: usize) -> u64 {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    connections.saturating_add(OTHER_FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_needs_a_file_and_the_gateway_some_for_itself() {
        assert_eq!(wanted(10_000), 10_256);
        assert_eq!(wanted(usize::MAX), u64::MAX);
    }
}
