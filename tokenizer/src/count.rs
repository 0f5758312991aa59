//! The loop that cuts a text into pieces and hands their tokens on: a block of ASCII at a time
//! where that goes, a piece at a time elsewhere.

use crate::bpe::Scratch;
use crate::split::masks::BLOCK;
use crate::split::{self, Pattern, block};
use crate::vocabulary::Vocabulary;

/// What is done with the tokens of each piece.
pub(crate) trait Sink {
    /// Takes the tokens of a piece of `length` bytes that `padded` starts with.
    fn short(&mut self, vocabulary: &Vocabulary, padded: [u8; 16], length: usize) -> bool;
    /// Takes the tokens of any piece.
    fn tokens(&mut self, tokens: &[u32]);
    /// Whether the rest of the text is of no interest.
    fn is_done(&self) -> bool;
}

/// Walks the whole text.
pub(crate) fn walk(pattern: Pattern, vocabulary: &Vocabulary, text: &str, sink: &mut impl Sink) {
    match pattern {
        Pattern::O200k => each::<{ Pattern::O200k as u8 }>(pattern, vocabulary, text, sink),
        Pattern::Cl100k => each::<{ Pattern::Cl100k as u8 }>(pattern, vocabulary, text, sink),
    }
}

fn each<const PATTERN: u8>(
    pattern: Pattern,
    vocabulary: &Vocabulary,
    text: &str,
    sink: &mut impl Sink,
) {
    let bytes = text.as_bytes();
    let mut scratch = Scratch::new();
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
            piece(vocabulary, &bytes[at..end], &mut scratch, sink);
            at = end;
            continue;
        }
        let mut start = 0;
        while ends != 0 {
            let end = ends.trailing_zeros() as usize;
            ends &= ends - 1;
            match rest.get(start..).and_then(<[u8]>::first_chunk::<16>) {
                Some(padded) if end - start < 16 => {
                    if !sink.short(vocabulary, *padded, end - start) {
                        slow(vocabulary, &rest[start..end], &mut scratch, sink);
                    }
                }
                _ => piece(vocabulary, &rest[start..end], &mut scratch, sink),
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
        if sink.short(vocabulary, padded, piece.len()) {
            return;
        }
    }
    sink.tokens(scratch.encode(vocabulary, piece));
}

/// A piece that is known not to be a token.
#[inline(never)]
fn slow(vocabulary: &Vocabulary, piece: &[u8], scratch: &mut Scratch, sink: &mut impl Sink) {
    sink.tokens(scratch.encode(vocabulary, piece));
}

/// Counts, up to a limit.
pub(crate) struct Counter {
    pub(crate) total: u64,
    pub(crate) limit: u64,
}

impl Sink for Counter {
    #[inline(always)]
    fn short(&mut self, vocabulary: &Vocabulary, padded: [u8; 16], length: usize) -> bool {
        let whole = vocabulary.holds(padded, length);
        self.total += u64::from(whole);
        whole
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
    fn short(&mut self, vocabulary: &Vocabulary, padded: [u8; 16], length: usize) -> bool {
        let piece = padded.get(..length).unwrap_or_default();
        let token = vocabulary.longest(piece);
        let whole = vocabulary.record(token).length() == length;
        if whole {
            self.0.push(token);
        }
        whole
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
