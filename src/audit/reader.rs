//! Reading segments line by line, in bounded memory, whatever they hold.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::chain::MAX_LINE;

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The file ended without an LF.
    File,
    /// With its LF.
    Newline,
    /// It was longer than [`MAX_LINE`]; the rest of it was skipped.
    TooLong,
}

/// A line as it lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawLine<'a> {
    /// Its bytes, without its LF.
    pub bytes: &'a [u8],
    /// Where it begins in the file.
    pub offset: u64,
    /// Its number, from 1; from where reading began, if that was not the file's start.
    pub number: u64,
    /// How it ended.
    pub end: End,
}

/// The lines of a file.
#[derive(Debug)]
pub struct Lines {
    input: BufReader<File>,
    offset: u64,
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    /// The lines of the file at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_at(path, 0)
    }

    /// The lines of the file at `path` from `offset` on.
    pub fn open_at(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self {
            input: BufReader::with_capacity(256 * 1024, file),
            offset,
            number: 0,
            line: Vec::new(),
        })
    }

    /// The next line; `None` at the end of the file.
    pub fn next_line(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.line.clear();
        let offset = self.offset;
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX) + 1;
        let read = (&mut self.input)
            .take(limit)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.advance(read);
        let end = if self.line.last() == Some(&b'\n') {
            self.line.pop();
            End::Newline
        } else if self.line.len() > MAX_LINE {
            self.skip_line()?;
            End::TooLong
        } else {
            End::File
        };
        Ok(Some(RawLine {
            bytes: &self.line,
            offset,
            number: self.number,
            end,
        }))
    }

    /// Where the next line begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let newline = memchr::memchr(b'\n', buffer);
            let used = newline.map_or(buffer.len(), |at| at + 1);
            self.input.consume(used);
            self.advance(used);
            if newline.is_some() || used == 0 {
                return Ok(());
            }
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.offset += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

/// Where the last `count` lines of a file begin, and how many there are (fewer in a short file).
/// A last line without an LF does not count: it is being written.
pub fn last_lines(path: &Path, count: usize) -> io::Result<(u64, usize)> {
    const BLOCK: u64 = 64 * 1024;
    let mut file = File::open(path)?;
    let mut position = file.metadata()?.len();
    let mut newlines = 0;
    let mut block = Vec::new();
    if count == 0 {
        return Ok((position, 0));
    }
    while position > 0 {
        let size = position.min(BLOCK);
        position -= size;
        file.seek(SeekFrom::Start(position))?;
        block.clear();
        (&mut file).take(size).read_to_end(&mut block)?;
        for at in memchr::memrchr_iter(b'\n', &block) {
            newlines += 1;
            // The newline before the first of the lines.
            if newlines > count {
                let start = position + u64::try_from(at).unwrap_or(u64::MAX) + 1;
                return Ok((start, count));
            }
        }
    }
    Ok((0, newlines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn an_endless_line_is_skipped_in_bounded_memory() {
        let mut content = vec![b'x'; 3 * MAX_LINE];
        content.extend_from_slice(b"\nnext\nlast");
        let file = file(&content);
        let mut lines = Lines::open(file.path()).unwrap();
        let long = lines.next_line().unwrap().unwrap();
        assert_eq!((long.end, long.bytes.len()), (End::TooLong, MAX_LINE + 1));
        let next = lines.next_line().unwrap().unwrap();
        assert_eq!((next.bytes, next.end), (&b"next"[..], End::Newline));
        assert_eq!((next.number, next.offset), (2, 3 * 1024 * 1024 + 1));
        let last = lines.next_line().unwrap().unwrap();
        assert_eq!((last.bytes, last.end), (&b"last"[..], End::File));
        assert!(lines.next_line().unwrap().is_none());
    }

    #[test]
    fn the_last_lines_are_found_across_blocks() {
        let line = [&vec![b'y'; 40_000][..], b"\n"].concat();
        let mut content = line.repeat(5);
        content.extend_from_slice(b"half");
        let file = file(&content);
        for (count, found) in [(0, 0), (1, 1), (3, 3), (5, 5), (9, 5)] {
            let (start, number) = last_lines(file.path(), count).unwrap();
            assert_eq!(number, found);
            if count > 0 {
                assert_eq!(start, 40_001 * (5 - found as u64));
            }
        }
    }
}
