//! Counts a text that arrives in deltas.

use crate::bpe::with_scratch;
use crate::count::{self, Counter};
use crate::encoding::Encoding;
use crate::split;

/// The exact count of everything pushed so far, however it was cut into deltas.
///
/// A piece is settled once its end was decided without looking behind what has arrived; only the
/// text after the last settled piece is kept and counted again.
#[derive(Clone, Debug)]
pub struct StreamCounter {
    encoding: Encoding,
    settled: u64,
    tail: String,
    total: u64,
}

impl StreamCounter {
    pub(crate) const fn new(encoding: Encoding) -> Self {
        Self { encoding, settled: 0, tail: String::new(), total: 0 }
    }

    /// Appends `delta` and returns the count of all the text so far.
    pub fn push(&mut self, delta: &str) -> u64 {
        self.tail.push_str(delta);
        let (pattern, vocabulary) = (self.encoding.pattern(), self.encoding.vocabulary());
        let (mut at, mut kept, mut open, mut pending) = (0, 0, false, 0);
        while at < self.tail.len() {
            let piece = split::next(pattern, &self.tail, at);
            let mut counter = Counter { total: 0, limit: u64::MAX };
            let piece_bytes = &self.tail.as_bytes()[at..piece.end];
            with_scratch(|scratch| count::piece(vocabulary, piece_bytes, scratch, &mut counter));
            let tokens = counter.total;
            open |= piece.open;
            at = piece.end;
            if open {
                pending += tokens;
            } else {
                self.settled += tokens;
                kept = at;
            }
        }
        self.tail.drain(..kept);
        self.total = self.settled + pending;
        self.total
    }

    /// The count of all the text so far.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }
}
