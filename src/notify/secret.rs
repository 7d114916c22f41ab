//! Secrets from files, read anew for each message, so that a changed one counts at once.

use std::path::Path;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::DeliveryError;

/// The largest secret file that is read, in bytes.
const SECRET_BYTES: usize = 16 * 1024;

/// The one line that the file holds.
pub(super) async fn read(path: &Path) -> Result<Zeroizing<String>, DeliveryError> {
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES + 1));
    let most = u64::try_from(SECRET_BYTES + 1).unwrap_or(u64::MAX);
    let file = File::open(path).await;
    match file {
        Ok(file) => file.take(most).read_to_string(&mut text).await,
        Err(error) => Err(error),
    }
    .map_err(|error| DeliveryError::file(path, &error))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.len() > SECRET_BYTES || line.chars().any(char::is_control) {
        return Err(DeliveryError::Local {
            what: format!(
                "secret file `{}` must hold one line of text, at most 16 KiB",
                path.display()
            ),
        });
    }
    Ok(Zeroizing::new(line.to_owned()))
}
