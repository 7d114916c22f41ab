//! Fragments: how PSRP messages are cut for transport, and put together again ([MS-PSRP] 2.2.4).
//!
//! A fragment is an object id (8 bytes), a fragment id (8), flags (1: start is 1, end is 2), the blob's length (4), all
//! big-endian, then the blob. The real receiver takes a stream of bytes and forgives much; here each payload holds whole
//! fragments, one object is open at a time, its fragments are numbered 0, 1, 2 …, and only 0 starts it.
//!
//! INVARIANT: a [`Reassembler`] never holds more than [`Limits::object_bytes`].
//!
//! [MS-PSRP]: https://learn.microsoft.com/openspecs/windows_protocols/ms-psrp/497ac440-89fb-4cb3-9cc1-3434c1aa74c3

use crate::dialect::Unreadable;

/// The longest blob that is written: in base64 with an envelope around it, it stays below the smallest envelope that a
/// server takes (153 600 bytes).
pub const MAX_BLOB: usize = 90_000;

const HEADER: usize = 21;
const START: u8 = 1;
const END: u8 = 2;

/// How much is put together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of one object.
    pub object_bytes: usize,
    /// The most objects in one payload.
    pub objects: usize,
}

impl Default for Limits {
    /// 16 MiB an object: a message with a large attachment; 8192 objects: as many small ones as an envelope of 512 000 bytes
    /// holds.
    fn default() -> Self {
        Self {
            object_bytes: 16 << 20,
            objects: 8192,
        }
    }
}

/// A message, put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its id, from 1 to 2^63 − 1.
    pub id: u64,
    /// The blobs of its fragments, joined.
    pub bytes: Vec<u8>,
}

/// What is left over between payloads of one stream.
#[derive(Debug, Default)]
pub struct Reassembler {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    object: Object,
    next_fragment: u64,
}

/// The fragments of a payload, in order; none after one that cannot be read.
pub(super) struct Fragments<'a>(&'a [u8]);

impl<'a> Fragments<'a> {
    pub(super) fn of(payload: &'a [u8]) -> Self {
        Self(payload)
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Result<Fragment<'a>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        Some(match split(self.0) {
            Ok((fragment, rest)) => {
                self.0 = rest;
                Ok(fragment)
            }
            Err(error) => {
                self.0 = &[];
                Err(error)
            }
        })
    }
}

pub(super) struct Fragment<'a> {
    object: u64,
    number: u64,
    flags: u8,
    blob: &'a [u8],
}

impl<'a> Fragment<'a> {
    pub(super) fn starts(&self) -> bool {
        self.flags & START != 0
    }

    pub(super) fn ends(&self) -> bool {
        self.flags & END != 0
    }

    pub(super) fn blob(&self) -> &'a [u8] {
        self.blob
    }
}

impl Reassembler {
    /// Takes a payload, and returns the objects that it completes. After an error the stream must not be used any more.
    pub fn push(&mut self, mut payload: &[u8], limits: &Limits) -> Result<Vec<Object>, Unreadable> {
        let mut complete = Vec::new();
        if payload.is_empty() {
            return Err(bad("empty-payload", "a stream's payload holds no fragment"));
        }
        while !payload.is_empty() {
            let (fragment, rest) = split(payload)?;
            payload = rest;
            if let Some(object) = self.add(&fragment, limits)? {
                if complete.len() >= limits.objects {
                    return Err(bad("too-many-objects", "a payload holds too many messages"));
                }
                complete.push(object);
            }
        }
        Ok(complete)
    }

    /// Whether an object has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        self.open.as_ref().map_or(0, |it| it.object.bytes.len())
    }

    fn add(
        &mut self,
        fragment: &Fragment<'_>,
        limits: &Limits,
    ) -> Result<Option<Object>, Unreadable> {
        let starts = fragment.flags & START != 0;
        let mut open = match (self.open.take(), starts) {
            (None, true) if fragment.number == 0 => Open {
                object: Object {
                    id: fragment.object,
                    bytes: Vec::new(),
                },
                next_fragment: 0,
            },
            (Some(open), false)
                if open.object.id == fragment.object && open.next_fragment == fragment.number =>
            {
                open
            }
            (None | Some(_), _) => {
                return Err(bad(
                    "fragment-order",
                    "fragments must come in order, one message after the other, each from number 0 on",
                ));
            }
        };
        if open.object.bytes.len() + fragment.blob.len() > limits.object_bytes {
            return Err(bad(
                "message-too-large",
                "a message has more bytes than are read here",
            ));
        }
        open.object.bytes.extend_from_slice(fragment.blob);
        open.next_fragment += 1;
        if fragment.flags & END != 0 {
            return Ok(Some(open.object));
        }
        self.open = Some(open);
        Ok(None)
    }
}

fn split(payload: &[u8]) -> Result<(Fragment<'_>, &[u8]), Unreadable> {
    let truncated = || bad("fragment-truncated", "a payload must hold whole fragments");
    let (object, rest) = payload.split_first_chunk::<8>().ok_or_else(truncated)?;
    let (number, rest) = rest.split_first_chunk::<8>().ok_or_else(truncated)?;
    let ([flags], rest) = rest.split_first_chunk::<1>().ok_or_else(truncated)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    let object = u64::from_be_bytes(*object);
    let number = u64::from_be_bytes(*number);
    let flags = *flags;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if object == 0 || object > i64::MAX.unsigned_abs() {
        return Err(bad(
            "object-id",
            "a message's number must be from 1 to 2^63 - 1",
        ));
    }
    if flags > START | END {
        return Err(bad(
            "fragment-flags",
            "a fragment has flags that are not known",
        ));
    }
    if length == 0 {
        return Err(bad("fragment-empty", "a fragment holds nothing"));
    }
    let (blob, rest) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let fragment = Fragment {
        object,
        number,
        flags,
        blob,
    };
    Ok((fragment, rest))
}

/// Cuts a message into fragments with blobs of at most `max_blob` bytes (at least 1), each on its own.
pub fn write(object: u64, message: &[u8], max_blob: usize) -> Vec<Vec<u8>> {
    let blobs = message.chunks(max_blob.clamp(1, MAX_BLOB));
    let last = blobs.len().saturating_sub(1);
    let fragment = |(index, blob): (usize, &[u8])| {
        let mut out = Vec::with_capacity(HEADER + blob.len());
        out.extend_from_slice(&object.to_be_bytes());
        out.extend_from_slice(&u64::try_from(index).unwrap_or(u64::MAX).to_be_bytes());
        let start = if index == 0 { START } else { 0 };
        let end = if index == last { END } else { 0 };
        out.push(start | end);
        out.extend_from_slice(&u32::try_from(blob.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(blob);
        out
    };
    blobs.enumerate().map(fragment).collect()
}

fn bad(reason: &'static str, text: &str) -> Unreadable {
    Unreadable::bad(reason, text)
}

#[cfg(test)]
mod tests;
