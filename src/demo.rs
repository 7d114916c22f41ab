//! x
pub mod exchange;
/// What the demo is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its data lies.
    pub directory: std::path::PathBuf,
    /// Where the gateway listens.
    pub listen: std::net::SocketAddr,
    /// Where health and metrics are.
    pub control: std::net::SocketAddr,
}

/// Runs the demo until it is told to stop.
pub async fn run(options: Options) -> anyhow::Result<()> {
    anyhow::bail!("the demo is not built in: {}", options.directory.display())
}
