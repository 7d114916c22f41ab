//! Where things are defined, and everything that is wrong with the files: collected, sorted, told all at once.

use memchr::memchr_iter;

use super::PolicyFile;

/// How many problems are told; a set with more is told to have more. Ten screens is past what anyone reads in one go.
const MAX_PROBLEMS: usize = 1_000;

/// Where in the policy files something is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// [`PolicyFile::path`].
    pub file: String,
    /// The line, from 1; 0 for the file as a whole, or a directory.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// How closely a reader is told where something is defined: where files lie on the gateway's host is for those who keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// The file's name alone.
    FileName,
    /// The file with its path, and the line.
    Line,
}

impl Place {
    /// The place, as closely as `to` says.
    pub fn told(&self, to: Whereabouts) -> String {
        match to {
            Whereabouts::FileName => {
                let name = self.file.rsplit(['/', '\\']).next();
                name.unwrap_or_default().to_owned()
            }
            Whereabouts::Line => self.to_string(),
        }
    }
}

/// Something wrong in a policy file. Displayed as `file:line: message`; `hint` says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct PolicyProblem {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do, if it is not obvious.
    pub hint: Option<String>,
}

/// A byte of a policy file: what a [`Place`] is before anybody needs to read it. Ordered as files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    /// The file's index in the set.
    pub(super) file: usize,
    /// The byte in its text.
    pub(super) offset: usize,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// Collects the problems of a set of files.
pub(super) struct Report<'f> {
    files: &'f [PolicyFile],
    /// Per file, the offsets of its line feeds.
    line_feeds: Vec<Vec<usize>>,
    problems: Vec<(At, String, Option<String>)>,
    untold: usize,
}

impl<'f> Report<'f> {
    pub(super) fn new(files: &'f [PolicyFile]) -> Self {
        Self {
            files,
            line_feeds: files
                .iter()
                .map(|file| memchr_iter(b'\n', file.text.as_bytes()).collect())
                .collect(),
            problems: Vec::new(),
            untold: 0,
        }
    }

    /// Where `at` is, as people say it.
    pub(super) fn place(&self, at: At) -> Place {
        let file = self.files.get(at.file);
        let line_feeds = self.line_feeds.get(at.file);
        Place {
            file: file.map(|it| it.path.clone()).unwrap_or_default(),
            line: 1 + line_feeds.map_or(0, |it| it.partition_point(|feed| *feed < at.offset)),
        }
    }

    /// Notes a problem whose message says what to do.
    pub(super) fn problem(&mut self, at: At, message: impl Into<String>) {
        self.note(at, message.into(), None);
    }

    /// Notes a problem, and what to do about it.
    pub(super) fn problem_with_hint(
        &mut self,
        at: At,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.note(at, message.into(), Some(hint.into()));
    }

    fn note(&mut self, at: At, message: String, hint: Option<String>) {
        if self.is_full() {
            self.untold += 1;
        } else {
            self.problems.push((at, message, hint));
        }
    }

    /// Whether further problems are only counted, so that work to word them is wasted.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// All problems in file and line order; none if the files are good.
    pub(super) fn finish(mut self) -> Vec<PolicyProblem> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort_by_key(|it| it.0);
        if let Some((last, ..)) = problems.last()
            && self.untold > 0
        {
            let untold = format!("and {} more problems, not shown", self.untold);
            problems.push((*last, untold, Some("mend the ones above first".to_owned())));
        }
        problems
            .into_iter()
            .map(|(at, message, hint)| PolicyProblem {
                place: self.place(at),
                message,
                hint,
            })
            .collect()
    }
}

/// `text` fit for a message: of bounded length, and without anything that a terminal would not show as it is.
pub(super) fn printable(text: &str) -> String {
    const LONGEST: usize = 128;
    let mut shown = String::new();
    for character in text.chars().take(LONGEST) {
        match character {
            '\\' | '\'' | '"' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// The candidate that `word` is most likely a slip of the pen for.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    const LONGEST: usize = 64;
    let word = word.to_lowercase();
    let allowed = 1 + word.chars().count() / 4;
    if word.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter(|it| it.len() <= LONGEST)
        .map(|it| (strsim::damerau_levenshtein(&word, &it.to_lowercase()), it))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_one_and_end_with_their_line_feed() {
        let files = [PolicyFile {
            path: "a.toml".to_owned(),
            text: "x\ny\r\n\nz".to_owned(),
        }];
        let report = Report::new(&files);
        let line = |offset| report.place(At { file: 0, offset }).line;
        assert_eq!([0, 1, 2, 4, 5, 6, 7].map(line), [1, 1, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn problems_are_told_in_order_and_their_number_is_bounded() {
        let files = [PolicyFile {
            path: "a.toml".to_owned(),
            text: "\n".repeat(3),
        }];
        let mut report = Report::new(&files);
        for offset in [3, 1] {
            report.problem(At { file: 0, offset }, "bad");
        }
        let lines = |problems: &[PolicyProblem]| {
            problems.iter().map(|it| it.place.line).collect::<Vec<_>>()
        };
        let mut many = Report::new(&files);
        (0..MAX_PROBLEMS + 5).for_each(|_| many.problem(At { file: 0, offset: 0 }, "bad"));
        assert_eq!(lines(&report.finish()), [2, 4]);
        let many = many.finish();
        assert_eq!(many.len(), MAX_PROBLEMS + 1);
        assert_eq!(
            many.last().unwrap().message,
            "and 5 more problems, not shown"
        );
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["approvals", "approvers", "task"];
        assert_eq!(nearest("aprovers", known), Some("approvers"));
        assert_eq!(nearest("Task", known), Some("task"));
        assert_eq!(nearest("colour", known), None);
    }
}
