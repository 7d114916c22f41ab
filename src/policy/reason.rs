//! What the reason of a request has to be: there at all, long enough, with a ticket's number in it.

use regex::Regex;

/// What a request's reason has to be.
#[derive(Clone, Debug)]
pub struct ReasonRule {
    /// Whether there has to be one.
    pub required: bool,
    /// How long it has to be at least, in characters, if it is given.
    pub min_length: usize,
    /// What it has to contain, if it is given.
    pub pattern: Option<ReasonPattern>,
}

/// What a reason has to contain, such as a ticket's number.
#[derive(Clone, Debug)]
pub struct ReasonPattern {
    /// The regular expression as it is written; it ignores case, and may match anywhere.
    pub source: String,
    /// What people are told of it, such as `name a ticket, such as CHG0012345`.
    pub hint: Option<String>,
    pub(super) regex: Regex,
}

/// What is wrong with a reason, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReasonProblem {
    /// There is none.
    #[error("a reason is required")]
    Missing,
    /// It does not contain what it has to.
    #[error("the reason must contain what `{0}` matches")]
    Pattern(String),
    /// As the policy's own hint says it.
    #[error("the reason does not fit: {0}")]
    PatternHint(String),
    /// It is too short.
    #[error("the reason must have at least {least} characters, and has {length}")]
    Short {
        /// The least length, in characters.
        least: usize,
        /// Its length, in characters.
        length: usize,
    },
}

impl ReasonRule {
    /// Whether `reason` will do. Blanks around it do not count.
    pub fn check(&self, reason: &str) -> Result<(), ReasonProblem> {
        let reason = reason.trim();
        let length = reason.chars().count();
        if length == 0 {
            return if self.required {
                Err(ReasonProblem::Missing)
            } else {
                Ok(())
            };
        }
        if length < self.min_length {
            return Err(ReasonProblem::Short {
                least: self.min_length,
                length,
            });
        }
        match &self.pattern {
            Some(pattern) if !pattern.regex.is_match(reason) => Err(match &pattern.hint {
                Some(hint) => ReasonProblem::PatternHint(hint.clone()),
                None => ReasonProblem::Pattern(pattern.source.clone()),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Default for ReasonRule {
    /// A reason is required, and any will do.
    fn default() -> Self {
        Self {
            required: true,
            min_length: 0,
            pattern: None,
        }
    }
}
