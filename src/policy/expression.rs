//! Regular expressions that people write: bounded in size, compiled with bounded memory, and case does not count.

use regex::{Regex, RegexBuilder};

use super::problem::printable;

/// The longest regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 4_096;

/// The most memory that a compiled expression, and a cache for running it, may take, in bytes each.
const MAX_PATTERN_MEMORY: usize = 256 << 10;

/// The same of an expression that a requester pins a parameter to: there may be thousands of them at once. Ordinary ones take 1 to
/// 50 KiB.
const MAX_PINNED_MEMORY: usize = 64 << 10;

/// Compiles an expression of a policy that has to match from end to end.
pub(super) fn compile_whole(source: &str) -> Result<Regex, String> {
    anchored(source, MAX_PATTERN_MEMORY)
}

/// Compiles an expression of a pin, which has to match from end to end.
pub(super) fn compile_pinned(source: &str) -> Result<Regex, String> {
    anchored(source, MAX_PINNED_MEMORY)
}

/// Compiles an expression of a policy that may match anywhere.
pub(super) fn compile_anywhere(source: &str) -> Result<Regex, String> {
    compile(source, MAX_PATTERN_MEMORY)
}

/// It is compiled alone first, for one such as `a)|(b` would get out of the group that anchors it.
fn anchored(source: &str, memory: usize) -> Result<Regex, String> {
    compile(source, memory).and_then(|_| compile(&format!(r"\A(?:{source})\z"), memory))
}

fn compile(source: &str, memory: usize) -> Result<Regex, String> {
    if source.len() > MAX_PATTERN_BYTES {
        return Err(format!("it is longer than {MAX_PATTERN_BYTES} bytes"));
    }
    RegexBuilder::new(source)
        .case_insensitive(true)
        .size_limit(memory)
        .dfa_size_limit(memory)
        .nest_limit(50)
        .build()
        .map_err(|error| {
            if let regex::Error::CompiledTooBig(limit) = error {
                return format!("it takes more than {limit} bytes of memory");
            }
            // The last line says what; those before it draw the place, which the file's line already tells.
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            printable(last.trim_start_matches("error: "))
        })
}
