//! Why a notice did not arrive, and what that means for trying again.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::words::line;

/// Why a delivery failed. What it says is shown to operators: no secret and no URL is in it.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The far side answers, and does not take it.
    #[error("{far} answered `{answer}` to {step}")]
    Answered {
        /// Who.
        far: String,
        /// What was asked of it.
        step: &'static str,
        /// What it said.
        answer: String,
        /// Whether the same message would be refused again.
        verdict: Verdict,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The exchange broke off.
    #[error("{far} broke off at {step}: {why}")]
    Broken {
        /// Who.
        far: String,
        /// What was asked of it.
        step: &'static str,
        /// How.
        why: String,
    },
    /// There is no connection.
    #[error("cannot connect to {far}: {why}")]
    Connect {
        /// Whom.
        far: String,
        /// Why not.
        why: String,
    },
    /// What the configuration names cannot be used.
    #[error("{what}")]
    Local {
        /// What is wrong, and what to do.
        what: String,
    },
    /// A file that the configuration names cannot be read.
    #[error("cannot read `{}`: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It took too long.
    #[error("{far} did not answer within {} s, at {step}", limit.as_secs_f64())]
    TimedOut {
        /// Who.
        far: String,
        /// What it was asked last.
        step: &'static str,
        /// How long it had.
        limit: Duration,
    },
}

/// Whether a refusal is the message's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be taken later: the far side is busy, or wrongly set up.
    Later,
    /// The far side will not take this message to this recipient.
    Never,
}

impl DeliveryError {
    /// Whether trying the same again is of little use.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Answered {
                verdict: Verdict::Never,
                ..
            }
        )
    }

    /// How long the far side wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered { retry_after, .. } => *retry_after,
            Self::Broken { .. }
            | Self::Connect { .. }
            | Self::File { .. }
            | Self::Local { .. }
            | Self::TimedOut { .. } => None,
        }
    }

    pub(super) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::File {
            path: path.to_path_buf(),
            why: error.to_string(),
        }
    }
}

/// An error with its causes as one bounded line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    const LONGEST: usize = 400;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    line(&text, LONGEST)
}
