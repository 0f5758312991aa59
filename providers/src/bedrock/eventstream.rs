//! Amazon's binary event stream: messages of a length, headers, a payload and two checksums.

use bytes::{Buf, Bytes, BytesMut};

/// The parts of a message that are not payload or headers.
const PRELUDE: usize = 12;
const TRAILER: usize = 4;

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub(super) struct Framer {
    held: BytesMut,
    cap: usize,
}

/// A message.
#[derive(Debug, Default, Clone)]
pub(super) struct Message {
    /// The bytes, whole.
    pub(super) raw: Bytes,
    /// What kind of message it is: `event`, `exception` or `error`.
    pub(super) kind: String,
    /// The event's or exception's name.
    pub(super) name: String,
    /// What it holds.
    pub(super) payload: Bytes,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// A message is larger than allowed.
    TooLarge,
    /// A length or a checksum does not hold.
    Corrupt,
}

impl Framer {
    pub(super) fn new(cap: usize) -> Self {
        Framer { held: BytesMut::new(), cap }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.held.extend_from_slice(chunk);
    }

    /// The next whole message, where there is one.
    pub(super) fn next_message(&mut self) -> Result<Option<Message>, Broken> {
        if self.held.len() < PRELUDE {
            return Ok(None);
        }
        let mut prelude = &self.held[..PRELUDE];
        let (total, headers, sum) = (prelude.get_u32(), prelude.get_u32(), prelude.get_u32());
        if crc32(&self.held[..8]) != sum {
            return Err(Broken::Corrupt);
        }
        let (total, headers) = (size(total)?, size(headers)?);
        if total > self.cap {
            return Err(Broken::TooLarge);
        }
        if total < PRELUDE + TRAILER || headers > total - PRELUDE - TRAILER {
            return Err(Broken::Corrupt);
        }
        if self.held.len() < total {
            return Ok(None);
        }
        let raw = self.held.split_to(total).freeze();
        let mut trailer = &raw[total - TRAILER..];
        if crc32(&raw[..total - TRAILER]) != trailer.get_u32() {
            return Err(Broken::Corrupt);
        }
        let payload = raw.slice(PRELUDE + headers..total - TRAILER);
        let mut message = Message { payload, ..Message::default() };
        message.headers(&raw[PRELUDE..PRELUDE + headers]).ok_or(Broken::Corrupt)?;
        message.raw = raw;
        Ok(Some(message))
    }

    /// Whether bytes are left that are no whole message.
    pub(super) fn has_rest(&self) -> bool {
        !self.held.is_empty()
    }
}

fn size(n: u32) -> Result<usize, Broken> {
    usize::try_from(n).map_err(|_| Broken::TooLarge)
}

impl Message {
    fn headers(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let length = usize::from(take(&mut bytes, 1)?[0]);
            let name = take(&mut bytes, length)?;
            let kind = take(&mut bytes, 1)?[0];
            let length = match kind {
                0 | 1 => 0,
                2 => 1,
                3 => 2,
                4 => 4,
                5 | 8 => 8,
                6 | 7 => usize::from(take(&mut bytes, 2)?.get_u16()),
                9 => 16,
                _ => return None,
            };
            let value = take(&mut bytes, length)?;
            if kind == 7 {
                let text = || String::from_utf8_lossy(value).into_owned();
                match name {
                    b":message-type" => self.kind = text(),
                    b":event-type" | b":exception-type" | b":error-code" => self.name = text(),
                    _ => {}
                }
            }
        }
        Some(())
    }
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// The checksum of zip and Ethernet.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !bytes
        .iter()
        .fold(!0, |sum, byte| TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn what_is_corrupt_or_too_large_is_refused() {
        let mut framer = Framer::new(100);
        framer.push(&[0; 11]);
        assert!(matches!(framer.next_message(), Ok(None)));
        framer.push(&[0; 1]);
        assert_eq!(framer.next_message().unwrap_err(), Broken::Corrupt);
        for (total, headers, expected) in [
            (101u32, 0u32, Broken::TooLarge),
            (15, 0, Broken::Corrupt),
            (20, 5, Broken::Corrupt),
            (u32::MAX, 0, Broken::TooLarge),
        ] {
            let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            bytes.extend(crc32(&bytes).to_be_bytes());
            let mut framer = Framer::new(100);
            framer.push(&bytes);
            assert_eq!(framer.next_message().unwrap_err(), expected, "{total}");
        }
    }
}
