//! The loop that cuts a text into pieces and hands their tokens on: a block of ASCII at a time
//! where that goes, a piece at a time elsewhere.

use crate::bpe::{Scratch, with_scratch};
use crate::split::masks::BLOCK;
use crate::split::{self, Pattern, block};
use crate::vocabulary::Vocabulary;

/// What is done with the tokens of each piece.
pub(crate) trait Sink {
    /// Takes the token of a piece of `length` bytes that `padded` starts with, if it is one.
    fn whole(&mut self, vocabulary: &Vocabulary, padded: [u8; 16], length: usize) -> bool;
    /// Takes the tokens of such a piece that is no token itself.
    fn parts(
        &mut self,
        vocabulary: &Vocabulary,
        padded: [u8; 16],
        length: usize,
        scratch: &mut Scratch,
    );
    /// Takes the tokens of any piece.
    fn tokens(&mut self, tokens: &[u32]);
    /// Whether the rest of the text is of no interest.
    fn is_done(&self) -> bool;
}

/// Walks the whole text.
pub(crate) fn walk(pattern: Pattern, vocabulary: &Vocabulary, text: &str, sink: &mut impl Sink) {
    with_scratch(|scratch| match pattern {
        Pattern::O200k => each::<{ Pattern::O200k as u8 }>(vocabulary, text, scratch, sink),
        Pattern::Cl100k => each::<{ Pattern::Cl100k as u8 }>(vocabulary, text, scratch, sink),
    });
}

fn each<const PATTERN: u8>(
    vocabulary: &Vocabulary,
    text: &str,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) {
    let pattern = if PATTERN == block::O200K { Pattern::O200k } else { Pattern::Cl100k };
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && !sink.is_done() {
        let rest = &bytes[at..];
        let mut padded;
        let (window, filled) = match rest.first_chunk::<BLOCK>() {
            Some(window) => (window, BLOCK),
            None => {
                padded = [0; BLOCK];
                padded[..rest.len()].copy_from_slice(rest);
                (&padded, rest.len())
            }
        };
        let mut ends = block::ends::<PATTERN>(window, filled, filled < BLOCK);
        if ends == 0 {
            let end = split::next(pattern, text, at).end;
            piece(vocabulary, &bytes[at..end], scratch, sink);
            at = end;
            continue;
        }
        let mut start = 0;
        while ends != 0 {
            let end = ends.trailing_zeros() as usize;
            ends &= ends - 1;
            match rest.get(start..).and_then(<[u8]>::first_chunk::<16>) {
                Some(padded) if end - start < 16 => {
                    if !sink.whole(vocabulary, *padded, end - start) {
                        slow(vocabulary, *padded, end - start, scratch, sink);
                    }
                }
                _ => piece(vocabulary, &rest[start..end], scratch, sink),
            }
            start = end;
        }
        at += start;
    }
}

/// Any piece.
#[inline(never)]
pub(crate) fn piece(
    vocabulary: &Vocabulary,
    piece: &[u8],
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) {
    if piece.len() < 16 {
        let mut padded = [0; 16];
        padded[..piece.len()].copy_from_slice(piece);
        if !sink.whole(vocabulary, padded, piece.len()) {
            sink.parts(vocabulary, padded, piece.len(), scratch);
        }
        return;
    }
    sink.tokens(scratch.encode(vocabulary, piece));
}

/// A short piece that is no token.
#[inline(never)]
fn slow(
    vocabulary: &Vocabulary,
    padded: [u8; 16],
    length: usize,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) {
    sink.parts(vocabulary, padded, length, scratch);
}

/// Counts, up to a limit.
pub(crate) struct Counter {
    pub(crate) total: u64,
    pub(crate) limit: u64,
}

impl Sink for Counter {
    #[inline(always)]
    fn whole(&mut self, vocabulary: &Vocabulary, padded: [u8; 16], length: usize) -> bool {
        let whole = vocabulary.holds(padded, length);
        self.total += u64::from(whole);
        whole
    }

    #[inline(always)]
    fn parts(
        &mut self,
        vocabulary: &Vocabulary,
        padded: [u8; 16],
        length: usize,
        scratch: &mut Scratch,
    ) {
        self.total += scratch.count_short(vocabulary, padded, length) as u64;
    }

    #[inline(always)]
    fn tokens(&mut self, tokens: &[u32]) {
        self.total += tokens.len() as u64;
    }

    #[inline(always)]
    fn is_done(&self) -> bool {
        self.total > self.limit
    }
}

/// Collects ids.
pub(crate) struct Collector<'a>(pub(crate) &'a mut Vec<u32>);

impl Sink for Collector<'_> {
    #[inline(always)]
    fn whole(&mut self, vocabulary: &Vocabulary, padded: [u8; 16], length: usize) -> bool {
        let piece = padded.get(..length).unwrap_or_default();
        let token = vocabulary.longest(piece);
        let whole = vocabulary.record(token).length() == length;
        if whole {
            self.0.push(token);
        }
        whole
    }

    #[inline(always)]
    fn parts(
        &mut self,
        vocabulary: &Vocabulary,
        padded: [u8; 16],
        length: usize,
        scratch: &mut Scratch,
    ) {
        self.tokens(scratch.encode(vocabulary, padded.get(..length).unwrap_or_default()));
    }

    #[inline(always)]
    fn tokens(&mut self, tokens: &[u32]) {
        self.0.extend_from_slice(tokens);
    }

    #[inline(always)]
    fn is_done(&self) -> bool {
        false
    }
}
