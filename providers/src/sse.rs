//! Server-sent events, by the WHATWG rules, from bytes in any split to frames that keep their bytes.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

/// The default bound on one frame.
pub const FRAME_CAP: usize = 1 << 20;

/// Cuts a stream of bytes into frames. A frame lies in the chunk it came in where it came in one
/// piece; only one that spans chunks is copied. It never holds more than its cap and one chunk.
#[derive(Debug)]
pub struct Framer {
    /// What is left of the last chunk.
    chunk: Bytes,
    /// The beginning of a frame whose end has not come.
    held: BytesMut,
    cap: usize,
    /// The line being read has a byte.
    in_line: bool,
    /// The frame being read has a line that is not empty.
    has_line: bool,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
    /// No frame was given yet: a byte order mark may come first.
    at_start: bool,
}

/// A frame was larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// The bound.
    pub cap: usize,
}

/// One frame: its bytes, and its fields in them.
#[derive(Debug, Clone, Default)]
pub struct RawFrame {
    /// The bytes, the ending blank line included.
    pub raw: Bytes,
    event: Option<Range<usize>>,
    data: Data,
}

#[derive(Debug, Clone, Default)]
enum Data {
    #[default]
    None,
    At(Range<usize>),
    Joined(Vec<u8>),
}

impl Framer {
    /// A framer that refuses frames larger than `cap`.
    pub fn new(cap: usize) -> Self {
        Framer {
            chunk: Bytes::new(),
            held: BytesMut::new(),
            cap,
            in_line: false,
            has_line: false,
            after_cr: false,
            at_start: true,
        }
    }

    /// Takes the next chunk. What the previous one still held comes first.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
            joined.extend_from_slice(&self.chunk);
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// The next whole frame, where there is one.
    pub fn next_frame(&mut self) -> Result<Option<RawFrame>, TooLarge> {
        let end = self.scan();
        let length = self.held.len() + end.unwrap_or(self.chunk.len());
        if length > self.cap {
            self.chunk.clear();
            self.held = BytesMut::new();
            return Err(TooLarge { cap: self.cap });
        }
        match end {
            Some(end) if self.held.is_empty() => Ok(Some(self.parse(end))),
            Some(end) => {
                self.held.extend_from_slice(&self.chunk[..end]);
                self.chunk.advance(end);
                let raw = self.held.split().freeze();
                Ok(Some(RawFrame::parse(raw, std::mem::take(&mut self.at_start))))
            }
            None => {
                self.held.extend_from_slice(&self.chunk);
                self.chunk.clear();
                Ok(None)
            }
        }
    }

    /// What is left when no byte follows: a frame that its blank line never ended, ended for it; or
    /// empty lines.
    pub fn rest(&mut self) -> Option<RawFrame> {
        let mut left = std::mem::take(&mut self.held);
        left.extend_from_slice(&std::mem::take(&mut self.chunk));
        let line_open = std::mem::take(&mut self.in_line);
        let has_line = std::mem::take(&mut self.has_line) || line_open;
        if left.is_empty() {
            return None;
        }
        if !has_line {
            // Empty lines, such as the end of a CRLF that came alone: bytes all the same.
            return Some(RawFrame { raw: left.freeze(), ..RawFrame::default() });
        }
        left.extend_from_slice(if line_open { b"\n\n" } else { b"\n" });
        Some(RawFrame::parse(left.freeze(), std::mem::take(&mut self.at_start)))
    }

    fn parse(&mut self, end: usize) -> RawFrame {
        RawFrame::parse(self.chunk.split_to(end), std::mem::take(&mut self.at_start))
    }

    /// Reads on in the chunk; gives the end of the frame where its blank line is met. Empty lines
    /// before a frame belong to it.
    fn scan(&mut self) -> Option<usize> {
        let bytes = &self.chunk[..];
        let mut at = 0;
        // Beyond the cap the frame is refused, wherever it would have ended.
        while at < bytes.len() && at <= self.cap {
            if std::mem::take(&mut self.after_cr) && bytes[at] == b'\n' {
                at += 1;
                continue;
            }
            let Some(found) = memchr2(b'\n', b'\r', &bytes[at..]) else {
                self.in_line = true;
                return None;
            };
            let empty = found == 0 && !self.in_line;
            self.in_line = false;
            self.after_cr = bytes[at + found] == b'\r';
            at += found + 1;
            if !empty {
                self.has_line = true;
            } else if std::mem::take(&mut self.has_line) {
                // A CRLF that came in one piece is kept in one frame.
                if self.after_cr && bytes.get(at) == Some(&b'\n') {
                    self.after_cr = false;
                    at += 1;
                }
                return Some(at);
            }
        }
        None
    }
}

impl RawFrame {
    /// The event's name.
    pub fn event(&self) -> Option<&[u8]> {
        self.event.clone().map(|at| &self.raw[at])
    }

    /// The data, its lines joined. `None` where the frame is comments only.
    pub fn data(&self) -> Option<&[u8]> {
        match &self.data {
            Data::None => None,
            Data::At(at) => Some(&self.raw[at.clone()]),
            Data::Joined(bytes) => Some(bytes),
        }
    }

    fn parse(raw: Bytes, at_start: bool) -> Self {
        let mut frame = RawFrame::default();
        let mut at = if at_start && raw.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        while at < raw.len() {
            let length = memchr2(b'\n', b'\r', &raw[at..]).unwrap_or(raw.len() - at);
            let line = at..at + length;
            // The LF of a CRLF reads as one more empty line, which says nothing.
            at = line.end + 1;
            if !line.is_empty() {
                frame.line(&raw, line);
            }
        }
        frame.raw = raw;
        frame
    }

    fn line(&mut self, raw: &[u8], line: Range<usize>) {
        let text = &raw[line.clone()];
        let (name, mut value) = match memchr::memchr(b':', text) {
            Some(colon) => (&text[..colon], line.start + colon + 1..line.end),
            None => (text, line.end..line.end),
        };
        if raw[value.clone()].first() == Some(&b' ') {
            value.start += 1;
        }
        match name {
            b"data" => match &mut self.data {
                Data::None => self.data = Data::At(value),
                Data::At(first) => {
                    let mut joined = raw[first.clone()].to_vec();
                    joined.push(b'\n');
                    joined.extend_from_slice(&raw[value]);
                    self.data = Data::Joined(joined);
                }
                Data::Joined(joined) => {
                    joined.push(b'\n');
                    joined.extend_from_slice(&raw[value]);
                }
            },
            b"event" => self.event = Some(value),
            // Comments, `id`, `retry` and whatever else say nothing to us.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
