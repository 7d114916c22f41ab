//! What operators see: log events on standard error, and metrics. Not the audit log, which is for auditors.

mod chain;
pub mod metrics;

use std::io::{self, IsTerminal as _};
use std::panic;
use std::{env, fmt};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LOG, LOG_FORMAT};

pub use chain::Chain;
pub use metrics::Metrics;

/// Events that are written for operators, when `PORTCULLIS_LOG` does not say.
const EVERYTHING_NOTABLE: &str = "info";

/// Events that are written for a person at a terminal, when `PORTCULLIS_LOG` does not say.
const TROUBLE_ONLY: &str = "warn";

/// Which events are written when `PORTCULLIS_LOG` does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// What operators want to know: life cycle, reloads, trouble.
    Notable,
    /// Trouble only: the output belongs to something else.
    Trouble,
}

/// How log events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for collectors.
    Json,
    /// For people.
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Something else has already set it up.
    #[error("logging is set up twice in this process")]
    AlreadySetUp(#[source] tracing_subscriber::util::TryInitError),
    /// `PORTCULLIS_LOG` is no filter.
    #[error("`{LOG}` is not a log filter, such as `info` or `portcullis=debug,hyper=warn`")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// `PORTCULLIS_LOG_FORMAT` is no format.
    #[error("`{LOG_FORMAT}` is `{text}`; it may be `text` or `json`")]
    Format {
        /// What it is.
        text: String,
    },
}

/// Sends log events to standard error from here on, as `PORTCULLIS_LOG` and `PORTCULLIS_LOG_FORMAT` say, and panics with them.
pub fn init(verbosity: Verbosity) -> Result<(), TelemetryError> {
    let usual = match verbosity {
        Verbosity::Notable => EVERYTHING_NOTABLE,
        Verbosity::Trouble => TROUBLE_ONLY,
    };
    let filter = env::var(LOG).ok().filter(|it| !it.is_empty());
    let filter =
        EnvFilter::try_new(filter.as_deref().unwrap_or(usual)).map_err(TelemetryError::Filter)?;
    let is_terminal = io::stderr().is_terminal();
    let format = format(env::var(LOG_FORMAT).ok().as_deref(), is_terminal)?;
    let events = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Json => registry
            .with(events.json().flatten_event(true).with_current_span(false))
            .try_init(),
        LogFormat::Text => {
            let is_coloured = is_terminal && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
            registry.with(events.with_ansi(is_coloured)).try_init()
        }
    }
    .map_err(TelemetryError::AlreadySetUp)?;
    log_panics();
    Ok(())
}

/// The format that `PORTCULLIS_LOG_FORMAT` asks for; without it, text on a terminal and JSON elsewhere.
fn format(text: Option<&str>, is_terminal: bool) -> Result<LogFormat, TelemetryError> {
    match text {
        None | Some("") if is_terminal => Ok(LogFormat::Text),
        None | Some("" | "json") => Ok(LogFormat::Json),
        Some("text") => Ok(LogFormat::Text),
        Some(other) => Err(TelemetryError::Format {
            text: other.to_owned(),
        }),
    }
}

/// A panic is a bug; it is told where the other events are, since collectors read nothing else.
fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let message = PanicMessage(info);
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(
            error = %message,
            place,
            thread = thread.name().unwrap_or("unnamed"),
            %backtrace,
            "Panicked: this is a bug, please report it"
        );
    }));
}

struct PanicMessage<'a>(&'a panic::PanicHookInfo<'a>);

impl fmt::Display for PanicMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            self.0
                .payload_as_str()
                .unwrap_or("a panic without a message"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_text_and_collectors_get_json_unless_the_variable_says_otherwise() {
        assert_eq!(format(None, true).unwrap(), LogFormat::Text);
        assert_eq!(format(None, false).unwrap(), LogFormat::Json);
        assert_eq!(format(Some("json"), true).unwrap(), LogFormat::Json);
        assert_eq!(format(Some("text"), false).unwrap(), LogFormat::Text);
        assert!(format(Some("xml"), true).is_err());
    }
}
