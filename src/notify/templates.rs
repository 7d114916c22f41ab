//! How a mail looks: a subject, a plain text and an HTML page from templates, the built-in ones or the operator's.
//!
//! A directory may hold `subject.txt`, `message.txt` and `message.html`, and the same for one kind of event, such as
//! `request-filed.subject.txt`, `request-filed.txt` and `request-filed.html`. A template that is broken is told when it is
//! opened, and one that fails later is logged: in either case the built-in one takes its place, and the message goes out. While
//! the gateway runs, a directory with a broken template never replaces the whole set before it ([`super::Channels::reload_templates`]).
//!
//! Templates come from the operator, and what they are filled with from anybody: HTML is escaped by itself, and size and
//! work are bounded.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use minijinja::{Environment, UndefinedBehavior};
use tracing::warn;

use crate::model::NoticeKind;

use super::sample;
use super::words::{Told, line, tell};

/// The largest template, in bytes.
const TEMPLATE_BYTES: u64 = 64 * 1024;

/// The largest text that a template may make, in bytes.
const OUTPUT_BYTES: usize = 256 * 1024;

/// The most instructions that a template may take.
const FUEL: u64 = 200_000;

/// The longest subject, in characters.
const SUBJECT: usize = 200;

/// The most files in a directory of templates that are looked at.
const MOST_FILES: usize = 200;

/// A part of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Html,
    Subject,
    Text,
}

/// The words of a mail, as its templates have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateProblem {
    /// It is wrong, or fails with what it is filled with.
    #[error("the template `{}` is broken{}: {message}", path.display(), line.map_or_else(String::new, |line| format!(" in line {line}")))]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where in it, if that is known.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// The directory or a file in it cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that no message would use.
    #[error("`{}` is no template's name: {NAMES}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
}

/// What templates may be called.
const NAMES: &str = "there are `subject.txt`, `message.txt` and `message.html`, and for one kind of event, such as `request-filed`, `request-filed.subject.txt`, `request-filed.txt` and `request-filed.html`";

/// What is wrong with the templates in `directory`.
pub fn template_problems(directory: &Path) -> Vec<TemplateProblem> {
    Templates::open(Some(directory)).1
}

/// What the files of a directory looked like: names, sizes and times. A change of any makes it worth reading again.
pub(super) type Looks = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// What the templates in `directory` look like now; empty if it cannot be listed.
pub(super) fn looks(directory: &Path) -> Looks {
    let paths = list(directory).unwrap_or_default();
    paths
        .into_iter()
        .map(|path| {
            let metadata = fs::metadata(&path).ok();
            let length = metadata.as_ref().map_or(0, fs::Metadata::len);
            let modified = metadata.and_then(|it| it.modified().ok());
            (path, length, modified)
        })
        .collect()
}

/// The files in `directory` that could be templates, in alphabetical order.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)?
        .take(MOST_FILES)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or("");
            !(name.starts_with('.') || name.ends_with('~'))
        })
        .collect();
    paths.sort();
    Ok(paths)
}

/// The templates of mails.
#[derive(Debug)]
pub(super) struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    /// The built-in ones, and those in `directory` that are whole; what is wrong with the others.
    pub(super) fn open(directory: Option<&Path>) -> (Self, Vec<TemplateProblem>) {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        for part in Part::ALL {
            // A test renders them all: they are whole.
            let _always_whole = environment.add_template(part.built_in(), part.source());
        }
        let mut templates = Self { environment };
        let mut problems = Vec::new();
        if let Some(directory) = directory {
            templates.load(directory, &mut problems);
        }
        (templates, problems)
    }

    fn load(&mut self, directory: &Path, problems: &mut Vec<TemplateProblem>) {
        let unread = |path: &Path, source| TemplateProblem::Read {
            path: path.to_path_buf(),
            source,
        };
        let paths = match list(directory) {
            Ok(paths) => paths,
            Err(source) => return problems.push(unread(directory, source)),
        };
        for path in paths {
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or("");
            let Some((part, kinds)) = used_for(name) else {
                problems.push(TemplateProblem::Unknown { path });
                continue;
            };
            match read(&path) {
                Err(source) => problems.push(unread(&path, source)),
                Ok(text) => {
                    if let Err(error) = self.add(name, text, part, &kinds) {
                        problems.push(TemplateProblem::Broken {
                            line: error.line(),
                            message: explained(&error),
                            path,
                        });
                    }
                }
            }
        }
    }

    /// Takes a template in, if it stands the test of being filled for each kind that it is used for.
    fn add(
        &mut self,
        name: &str,
        text: String,
        part: Part,
        kinds: &[NoticeKind],
    ) -> Result<(), minijinja::Error> {
        self.environment.add_template_owned(name.to_owned(), text)?;
        for kind in kinds {
            let link = sample::link();
            let told = tell(&sample::notice(*kind), link.as_ref());
            if let Err(error) = self.fill(name, part, &told) {
                self.environment.remove_template(name);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The mail that `told` makes.
    pub(super) fn render(&self, told: &Told) -> Rendered {
        Rendered {
            subject: self.part(Part::Subject, told),
            text: self.part(Part::Text, told),
            html: self.part(Part::Html, told),
        }
    }

    fn part(&self, part: Part, told: &Told) -> String {
        for name in [part.of_kind(told.kind), part.of_all().to_owned()] {
            if self.environment.get_template(&name).is_err() {
                continue;
            }
            match self.fill(&name, part, told) {
                Ok(text) => return text,
                Err(error) => warn!(
                    template = name,
                    kind = told.kind,
                    line = error.line(),
                    error = explained(&error),
                    "A template failed; the built-in one is used"
                ),
            }
        }
        self.fill(part.built_in(), part, told)
            .unwrap_or_else(|_| told.headline.clone())
    }

    fn fill(&self, name: &str, part: Part, told: &Told) -> Result<String, minijinja::Error> {
        let mut out = Bounded(Vec::new());
        self.environment
            .get_template(name)?
            .render_captured_to(minijinja::value::Serde(told), &mut out)?;
        let text = String::from_utf8_lossy(&out.0);
        Ok(match part {
            Part::Subject => line(&text, SUBJECT),
            Part::Html | Part::Text => text.into_owned(),
        })
    }
}

impl Part {
    const ALL: [Self; 3] = [Self::Html, Self::Subject, Self::Text];

    /// The file that replaces this part for every kind of event.
    fn of_all(self) -> &'static str {
        match self {
            Self::Html => "message.html",
            Self::Subject => "subject.txt",
            Self::Text => "message.txt",
        }
    }

    /// The file that replaces this part for one kind.
    fn of_kind(self, kind: &str) -> String {
        let ending = match self {
            Self::Html => "html",
            Self::Subject => "subject.txt",
            Self::Text => "txt",
        };
        format!("{kind}.{ending}")
    }

    fn built_in(self) -> &'static str {
        match self {
            Self::Html => "built-in/message.html",
            Self::Subject => "built-in/subject.txt",
            Self::Text => "built-in/message.txt",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Self::Html => include_str!("../../templates/message.html"),
            Self::Subject => include_str!("../../templates/subject.txt"),
            Self::Text => include_str!("../../templates/message.txt"),
        }
    }
}

/// The part that a file of this name replaces, and for which kinds of events.
fn used_for(name: &str) -> Option<(Part, Vec<NoticeKind>)> {
    for part in Part::ALL {
        if name == part.of_all() {
            return Some((part, NoticeKind::ALL.to_vec()));
        }
        let mut kinds = NoticeKind::ALL.into_iter();
        if let Some(kind) = kinds.find(|kind| name == part.of_kind(kind.as_str())) {
            return Some((part, vec![kind]));
        }
    }
    None
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(TEMPLATE_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > TEMPLATE_BYTES {
        return Err(io::Error::other("larger than 64 KiB"));
    }
    Ok(text)
}

/// What the engine says, without the line, which is told beside it, and what was below it.
fn explained(error: &minijinja::Error) -> String {
    use std::error::Error as _;
    let mut text = error.kind().to_string();
    if let Some(detail) = error.detail() {
        text = format!("{text}: {detail}");
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Takes at most [`OUTPUT_BYTES`].
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > OUTPUT_BYTES {
            return Err(io::Error::other("it makes more than 256 KiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
