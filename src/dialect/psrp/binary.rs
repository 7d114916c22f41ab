//! Base64, in which line breaks may stand; otherwise strict: one alphabet, whole padding, no spare bits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if text.contains([' ', '\t', '\r', '\n']) {
        let joined: String = text.split_ascii_whitespace().collect();
        return STANDARD.decode(joined).ok();
    }
    STANDARD.decode(text).ok()
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
