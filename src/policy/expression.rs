//! Regular expressions that people write: bounded in size, compiled with bounded memory, and case does not count.

use regex::{Regex, RegexBuilder};

use super::problem::printable;

/// The longest regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 4_096;

/// The most memory that a compiled expression, and a cache for running it, may take, in bytes each.
const MAX_PATTERN_MEMORY: usize = 256 << 10;

/// Compiles an expression that has to match from end to end. It is compiled alone first, for one such as `a)|(b` would get
/// out of the group that anchors it.
pub(super) fn compile_whole(source: &str) -> Result<Regex, String> {
    compile_anywhere(source).and_then(|_| compile_anywhere(&format!(r"\A(?:{source})\z")))
}

/// Compiles an expression that may match anywhere.
pub(super) fn compile_anywhere(source: &str) -> Result<Regex, String> {
    if source.len() > MAX_PATTERN_BYTES {
        return Err(format!("it is longer than {MAX_PATTERN_BYTES} bytes"));
    }
    RegexBuilder::new(source)
        .case_insensitive(true)
        .size_limit(MAX_PATTERN_MEMORY)
        .dfa_size_limit(MAX_PATTERN_MEMORY)
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
