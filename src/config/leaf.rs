//! Single values: texts that must be something, numbers, switches, words of a closed list, and lists of such.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use config::ValueKind;
use url::Url;

use crate::model::Workload;

use super::problem::{Wrong, shown};
use super::reader::{At, Node, Read, Reader};
use super::suggest::{listed, nearest};
use super::units;

/// A value that is written as a text.
pub(super) trait Leaf: Sized {
    /// What it is, for messages: `a size such as …`.
    const EXPECTED: &'static str;

    /// Reads it from a text: what stands between quotes in the file, or in a variable.
    fn from_text(text: &str) -> Result<Self, Wrong>;

    /// Reads it from something else than a text, in the file.
    fn from_other(_: &ValueKind) -> Option<Self> {
        None
    }

    /// What to do where the file has something else than a text.
    const INSTEAD: Option<&'static str> = Some("write it between quotes");
}

impl<T: Leaf> Read for T {
    fn read(node: Node, reader: &mut Reader<'_>) -> Option<Self> {
        let result = match &node.kind {
            // Variables and defaults are texts whatever the type, so `"true"` means `true` in the file too.
            ValueKind::String(text) => T::from_text(text),
            other => T::from_other(other).ok_or_else(|| Wrong {
                message: format!("{} is not {}", named(other), T::EXPECTED),
                hint: T::INSTEAD.map(str::to_owned),
            }),
        };
        result.map_err(|wrong| reader.wrong(&node, wrong)).ok()
    }
}

fn named(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Boolean(it) => format!("`{it}`"),
        ValueKind::Float(it) => format!("`{it}`"),
        ValueKind::I64(it) => format!("`{it}`"),
        ValueKind::Table(_) => "a section".to_owned(),
        _ => "this".to_owned(),
    }
}

/// A list of values; one value alone stands for a list of one. In a variable, commas separate them.
#[derive(Clone, Debug)]
pub(super) struct List<T>(pub(super) Vec<At<T>>);

impl<T: Leaf> Read for List<T> {
    fn read(node: Node, reader: &mut Reader<'_>) -> Option<Self> {
        let part = |kind| Node {
            path: node.path.clone(),
            place: node.place.clone(),
            kind,
        };
        let nodes: Vec<Node> = match &node.kind {
            ValueKind::Array(items) => items
                .iter()
                .map(|item| {
                    let placed = reader.node(node.path.clone(), item.clone());
                    Node {
                        path: node.path.clone(),
                        ..placed
                    }
                })
                .collect(),
            ValueKind::String(text) if node.is_from_environment() || text.is_empty() => text
                .split(',')
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .map(|it| part(ValueKind::String(it.to_owned())))
                .collect(),
            other => vec![part(other.clone())],
        };
        let read = nodes.into_iter().filter_map(|node| {
            let (place, path) = (node.place.clone(), node.path.clone());
            T::read(node, reader).map(|value| At { value, place, path })
        });
        Some(Self(read.collect()))
    }
}

impl Leaf for String {
    const EXPECTED: &'static str = "a text";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text.trim().is_empty() {
            Err(Wrong {
                message: "it is empty".to_owned(),
                hint: Some("give it a value, or take the key out".to_owned()),
            })
        } else {
            Ok(text.to_owned())
        }
    }
}

impl Leaf for bool {
    const EXPECTED: &'static str = "`true` or `false`";
    const INSTEAD: Option<&'static str> = None;

    fn from_text(text: &str) -> Result<Self, Wrong> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Wrong::text(text, Self::EXPECTED)),
        }
    }

    fn from_other(kind: &ValueKind) -> Option<Self> {
        match kind {
            ValueKind::Boolean(it) => Some(*it),
            _ => None,
        }
    }
}

impl Leaf for NonZeroU32 {
    const EXPECTED: &'static str = "a whole number above zero";
    const INSTEAD: Option<&'static str> = None;

    fn from_text(text: &str) -> Result<Self, Wrong> {
        text.trim()
            .parse()
            .map_err(|_| Wrong::text(text, Self::EXPECTED))
    }

    fn from_other(kind: &ValueKind) -> Option<Self> {
        match kind {
            ValueKind::I64(it) => u32::try_from(*it).ok().and_then(Self::new),
            _ => None,
        }
    }
}

/// A size in bytes, above zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) u64);

impl Leaf for Size {
    const EXPECTED: &'static str = "a size such as `64 KiB` or `10 MiB`";
    const INSTEAD: Option<&'static str> = Some("write it between quotes, with its unit");

    fn from_text(text: &str) -> Result<Self, Wrong> {
        units::size(text).map(Self)
    }
}

impl Leaf for Duration {
    const EXPECTED: &'static str = "a span of time such as `30s` or `24h`";
    const INSTEAD: Option<&'static str> = Some("write it between quotes, with its unit");

    fn from_text(text: &str) -> Result<Self, Wrong> {
        units::duration(text)
    }
}

impl Leaf for SocketAddr {
    const EXPECTED: &'static str = "an IP address and a port, such as `127.0.0.1:8443`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let address = text
            .strip_prefix("localhost:")
            .map(|port| format!("127.0.0.1:{port}"));
        text.parse().map_err(|_| {
            let wrong = Wrong::text(text, Self::EXPECTED);
            match address.filter(|it| it.parse::<Self>().is_ok()) {
                Some(address) => wrong.hint(format!("did you mean `{address}`?")),
                None => wrong.hint(
                    "`0.0.0.0:<port>` is every IPv4 address of this host, `[::]:<port>` every one",
                ),
            }
        })
    }
}

impl Leaf for Url {
    const EXPECTED: &'static str = "a URL such as `https://host.example`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        // A URL may hold a password, and one that cannot be parsed cannot be cleared of it: it is not shown.
        let wrong = || Wrong {
            message: format!("this is not {}", Self::EXPECTED),
            hint: None,
        };
        let url = Self::parse(text).map_err(|_| wrong())?;
        if url.host().is_some() {
            Ok(url)
        } else {
            Err(wrong())
        }
    }
}

impl Leaf for Workload {
    const EXPECTED: &'static str = "a workload's name, such as `Exchange`";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| {
            Wrong::text(text, Self::EXPECTED).hint("a letter, then letters, digits and underscores")
        })
    }
}

/// A word of a closed list, and words that a later version knows.
pub(super) fn word<T: Copy>(
    text: &str,
    words: &[(&'static str, T)],
    later: &[&'static str],
) -> Result<T, Wrong> {
    if let Some(found) = words.iter().find(|it| it.0 == text) {
        return Ok(found.1);
    }
    let names: Vec<_> = words.iter().map(|it| it.0).collect();
    if later.contains(&text) {
        return Err(Wrong {
            message: format!("`{}` is not supported in this version", shown(text)),
            hint: Some(format!("one of {}", listed(&names))),
        });
    }
    let wrong = Wrong::text(text, &format!("one of {}", listed(&names)));
    Err(match nearest(text, names) {
        Some(near) => wrong.hint(format!("did you mean `{near}`?")),
        None => wrong,
    })
}

/// Makes an enum a [`Leaf`] of these words.
macro_rules! words {
    ($type:ty, $expected:literal, { $($word:literal => $value:expr),+ $(,)? }, later: [$($later:literal),*]) => {
        impl Leaf for $type {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Result<Self, Wrong> {
                word(text, &[$(($word, $value)),+], &[$($later),*])
            }
        }
    };
}

pub(super) use words;
