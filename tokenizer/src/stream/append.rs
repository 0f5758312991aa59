//! The encoding of a piece that grows byte by byte: the last token of every prefix, of which each
//! needs only the ones a token's length before it.

use crate::bpe::Scratch;
use crate::vocabulary::{LONGEST, Vocabulary};

/// How many tokens the bytes so far come to as one piece.
#[derive(Clone, Debug)]
pub(super) struct Append {
    length: u64,
    /// For the latest prefixes, by length modulo [`KEPT`]: the last token and the tokens in all.
    prefixes: Box<[(u32, u64); KEPT]>,
    /// Where tokens may have begun that still go on: their start and their place in the trie.
    begun: Vec<(u64, u32)>,
}

/// Longer than any token, and a power of two.
const KEPT: usize = 256;
const _: () = assert!(LONGEST < KEPT);

impl Append {
    pub(super) fn new() -> Self {
        Self { length: 0, prefixes: Box::new([(0, 0); KEPT]), begun: Vec::new() }
    }

    /// Starts again with nothing.
    pub(super) fn clear(&mut self) {
        self.length = 0;
        self.begun.clear();
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The tokens so far.
    pub(super) fn count(&self) -> u64 {
        if self.length == 0 { 0 } else { self.prefix(self.length).1 }
    }

    pub(super) fn push(&mut self, vocabulary: &Vocabulary, scratch: &mut Scratch, text: &str) {
        for byte in text.bytes() {
            self.push_byte(vocabulary, scratch, byte);
        }
    }

    /// Of all the tokens that end with this byte, one can stand behind the encoding of what is
    /// before it.
    fn push_byte(&mut self, vocabulary: &Vocabulary, scratch: &mut Scratch, byte: u8) {
        self.begun.push((self.length, vocabulary.root()));
        let mut found = None;
        let mut begun = std::mem::take(&mut self.begun);
        begun.retain_mut(|(start, place)| {
            let Some(step) = vocabulary.step(*place, byte) else { return false };
            *place = step.place;
            if let (None, Some(token)) = (found, step.token) {
                if *start == 0 {
                    found = Some((token, 1));
                } else {
                    let (last, count) = self.prefix(*start);
                    if scratch.stand(vocabulary, last, token) {
                        found = Some((token, count + 1));
                    }
                }
            }
            true
        });
        self.begun = begun;
        self.length += 1;
        // Every byte is a token, so that one is always found.
        self.prefixes[self.length as usize % KEPT] = found.unwrap_or((0, 0));
    }

    fn prefix(&self, length: u64) -> (u32, u64) {
        self.prefixes[length as usize % KEPT]
    }
}
