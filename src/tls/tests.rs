mod certificates;
mod handshakes;

use std::path::Path;

use tempfile::TempDir;

use super::{ReloadableServer, TlsError, write_development_certificates};
use crate::config::ServerTls;

/// A directory with development certificates, and the settings that name them.
fn development() -> (TempDir, ServerTls) {
    let directory = TempDir::new().unwrap();
    let written = write_development_certificates(directory.path(), &[]).unwrap();
    let settings = ServerTls {
        certificate: written.certificate,
        key: written.key,
    };
    (directory, settings)
}

/// Puts the server certificate and key of `from` in the place of those of `settings`.
fn replace(settings: &ServerTls, from: &ServerTls) {
    std::fs::copy(&from.certificate, &settings.certificate).unwrap();
    replace_key(settings, from);
}

fn replace_key(settings: &ServerTls, from: &ServerTls) {
    std::fs::copy(&from.key, &settings.key).unwrap();
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// What is said when `settings` cannot be used.
fn refusal(settings: &ServerTls) -> String {
    said(super::server(settings))
}

fn said<T>(outcome: Result<T, TlsError>) -> String {
    match outcome {
        Ok(_) => panic!("these files were to be refused"),
        Err(error) => error.to_string(),
    }
}

fn load(settings: &ServerTls) -> std::sync::Arc<ReloadableServer> {
    super::server(settings).unwrap()
}
