//! What is wrong in a configuration, where, and what to do about it.

use std::fmt;

/// Where a configuration value was set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file as a whole.
    File(String),
    /// A line of a file.
    Line {
        /// The file, as it was named on the command line.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.write_str(file),
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// Something wrong, or doubtful, in the configuration. Displayed as `place: message`; never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigProblem {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
    /// What to do, if it is not obvious.
    pub hint: Option<String>,
}

/// A value that is not what its key asks for, before it is known where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    /// `text` is not `expected`, such as `an address and port`.
    pub(super) fn text(text: &str, expected: &str) -> Self {
        Self {
            message: format!("`{}` is not {expected}", shown(text)),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A text as messages show it: escaped, and not longer than a line can bear.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut short: String = text.escape_debug().take(LONGEST).collect();
    if text.chars().count() > LONGEST {
        short.push('…');
    }
    short
}
