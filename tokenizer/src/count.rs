//! The loop that cuts a text into pieces and hands their tokens on: a block of ASCII at a time
//! where that goes, a piece at a time elsewhere.

use crate::bpe::{Scratch, with_scratch};
use crate::hash::PACKED;
use crate::split::block::{self, CL100K, O200K};
use crate::split::masks::BLOCK;
use crate::split::{self, Pattern};
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
    /// Takes the pieces of `window` that end where `ends` has bits.
    fn block(
        &mut self,
        vocabulary: &Vocabulary,
        window: &[u8; WINDOW],
        ends: u64,
        scratch: &mut Scratch,
    );
    /// The same of two windows, one behind the other.
    #[inline(always)]
    fn blocks(
        &mut self,
        vocabulary: &Vocabulary,
        blocks: [(&[u8; WINDOW], u64); 2],
        scratch: &mut Scratch,
    ) {
        for (window, ends) in blocks {
            self.block(vocabulary, window, ends, scratch);
        }
    }
    /// Takes the tokens of any piece.
    fn tokens(&mut self, tokens: &[u32]);
    /// Whether the rest of the text is of no interest.
    fn is_done(&self) -> bool;
}

/// Walks the whole text.
pub(crate) fn walk(pattern: Pattern, vocabulary: &Vocabulary, text: &str, sink: &mut impl Sink) {
    with_scratch(|scratch| walk_with(pattern, vocabulary, text, scratch, sink));
}

/// Walks the whole text, with scratch space in hand.
pub(crate) fn walk_with(
    pattern: Pattern,
    vocabulary: &Vocabulary,
    text: &str,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) {
    match pattern {
        Pattern::O200k => each::<O200K, false>(vocabulary, text, scratch, sink),
        Pattern::Cl100k => each::<CL100K, false>(vocabulary, text, scratch, sink),
        pattern => each_piece::<false>(pattern, vocabulary, text, scratch, sink),
    };
}

/// Walks the pieces that no later text can change, and returns where the first other one starts.
pub(crate) fn walk_settled(
    pattern: Pattern,
    vocabulary: &Vocabulary,
    text: &str,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) -> usize {
    match pattern {
        Pattern::O200k => each::<O200K, true>(vocabulary, text, scratch, sink),
        Pattern::Cl100k => each::<CL100K, true>(vocabulary, text, scratch, sink),
        pattern => each_piece::<true>(pattern, vocabulary, text, scratch, sink),
    }
}

/// Counts a text of fewer than [`BLOCK`] bytes in one go: what is settled of it, where that ends,
/// and what is not. `None` if it needs a closer look.
pub(crate) fn tail(
    pattern: Pattern,
    vocabulary: &Vocabulary,
    text: &str,
    scratch: &mut Scratch,
) -> Option<(u64, usize, u64)> {
    let mut window = [0; WINDOW];
    window.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    let block = window.first_chunk()?;
    let (settled, all) = match pattern {
        Pattern::O200k => block::ends_of_tail::<O200K>(block, text.len()),
        Pattern::Cl100k => block::ends_of_tail::<CL100K>(block, text.len()),
        _ => None,
    }?;
    // The byte after the last settled piece: zero if there is none.
    let end = (BLOCK - settled.leading_zeros() as usize).saturating_sub(1);
    let is_settled = (1_u64 << end) - 1;
    let mut missed = Counter::missing(vocabulary, &window, all);
    let count = |ends: u64, missed: u64| u64::from(ends.count_ones() - missed.count_ones());
    let mut counts = [
        Counter { total: count(settled, missed & is_settled), limit: u64::MAX },
        Counter { total: count(all & !settled, missed & !is_settled), limit: u64::MAX },
    ];
    while missed != 0 {
        let start = missed.trailing_zeros() as usize;
        missed &= missed - 1;
        let counter = &mut counts[usize::from(start >= end)];
        counter.missed(vocabulary, &window, start, all, scratch);
    }
    Some((counts[0].total, end, counts[1].total))
}

/// Returns where it stopped: at the end or, if only what is `SETTLED` counts, before it.
fn each<const PATTERN: u8, const SETTLED: bool>(
    vocabulary: &Vocabulary,
    text: &str,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) -> usize {
    let pattern = if PATTERN == O200K { Pattern::O200k } else { Pattern::Cl100k };
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && !sink.is_done() {
        let rest = &bytes[at..];
        let mut padded;
        let window = match rest.first_chunk::<WINDOW>() {
            Some(window) => window,
            None => {
                padded = [0; WINDOW];
                padded[..rest.len()].copy_from_slice(rest);
                &padded
            }
        };
        let filled = rest.len().min(BLOCK);
        let ends = ends_of::<PATTERN>(window, filled, filled < BLOCK && !SETTLED);
        if ends == 0 {
            let next = split::next(pattern, text, at);
            if SETTLED && next.open {
                return at;
            }
            let length = next.end - at;
            if length <= PACKED {
                short(vocabulary, sixteen(window, 0), length, scratch, sink);
            } else {
                sink.tokens(scratch.encode(vocabulary, &bytes[at..next.end]));
            }
            at = next.end;
        } else {
            let step = BLOCK - 1 - ends.leading_zeros() as usize;
            at += step;
            // Two at once where there are two: the second's look-ups don't wait for the first's.
            let second = rest.get(step..).and_then(<[u8]>::first_chunk::<WINDOW>);
            let Some(second) = second else {
                sink.block(vocabulary, window, ends, scratch);
                continue;
            };
            let more = ends_of::<PATTERN>(second, BLOCK, false);
            sink.blocks(vocabulary, [(window, ends), (second, more)], scratch);
            at += (BLOCK - more.leading_zeros() as usize).saturating_sub(1);
        }
    }
    at
}

/// The ends of the pieces of a window's block, of which so many bytes are text; none where it needs
/// a closer look.
#[inline(always)]
fn ends_of<const PATTERN: u8>(window: &[u8; WINDOW], filled: usize, last: bool) -> u64 {
    match window.first_chunk() {
        Some(block) if block.first_chunk::<8>().is_some_and(|first| first.is_ascii()) => {
            block::ends::<PATTERN>(block, filled, last)
        }
        _ => 0,
    }
}

/// The same a piece at a time, for the patterns that have no form for blocks.
fn each_piece<const SETTLED: bool>(
    pattern: Pattern,
    vocabulary: &Vocabulary,
    text: &str,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) -> usize {
    let mut at = 0;
    while at < text.len() && !sink.is_done() {
        let next = split::next(pattern, text, at);
        if SETTLED && next.open {
            return at;
        }
        let rest = text.get(at..).unwrap_or_default();
        let piece = rest.as_bytes().get(..next.end - at).unwrap_or_default();
        if is_unknown(pattern, rest) {
            vocabulary.bytes_of(piece, |token| sink.tokens(&[token]));
        } else if piece.len() <= PACKED {
            let mut padded = [0; 16];
            padded.iter_mut().zip(piece).for_each(|(to, byte)| *to = *byte);
            short(vocabulary, &padded, piece.len(), scratch, sink);
        } else if let Some(token) = vocabulary.unreached(piece) {
            sink.tokens(&[token]);
        } else {
            sink.tokens(scratch.encode(vocabulary, piece));
        }
        at = next.end;
    }
    at
}

/// Whether the text starts with a character that the vocabulary only has as bytes.
fn is_unknown(pattern: Pattern, text: &str) -> bool {
    let Pattern::Joined(joints) = pattern else { return false };
    text.chars().next().is_some_and(|point| !joints.knows(point))
}

/// Takes the pieces of `window` that end where `ends` has bits, one after the other.
#[inline(always)]
fn one_by_one(
    vocabulary: &Vocabulary,
    window: &[u8; WINDOW],
    mut ends: u64,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) {
    let mut start = 0;
    while ends != 0 {
        let end = ends.trailing_zeros() as usize;
        ends &= ends - 1;
        if end - start <= PACKED {
            short(vocabulary, sixteen(window, start), end - start, scratch, sink);
        } else {
            sink.tokens(scratch.encode(vocabulary, &window[start..end]));
        }
        start = end;
    }
}

/// A block, and enough behind it to read 16 bytes from every byte of the block.
const WINDOW: usize = BLOCK + 16;

/// The 16 bytes at `start`, which is in the block.
#[inline(always)]
fn sixteen(window: &[u8; WINDOW], start: usize) -> &[u8; 16] {
    let from = window.get(start & (BLOCK - 1)..).and_then(<[u8]>::first_chunk);
    from.unwrap_or(&[0; 16])
}

/// A piece of up to [`PACKED`] bytes, which `padded` starts with.
#[inline(always)]
fn short(
    vocabulary: &Vocabulary,
    padded: &[u8; 16],
    length: usize,
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) {
    if !sink.whole(vocabulary, *padded, length) {
        sink.parts(vocabulary, *padded, length, scratch);
    }
}

/// Counts, up to a limit.
pub(crate) struct Counter {
    pub(crate) total: u64,
    pub(crate) limit: u64,
}

impl Counter {
    pub(crate) const fn unlimited() -> Self {
        Self { total: 0, limit: u64::MAX }
    }

    /// The starts of the pieces that are no token. No branch depends on what is found, so that the
    /// look-ups overlap.
    #[inline(always)]
    fn missing(vocabulary: &Vocabulary, window: &[u8; WINDOW], mut ends: u64) -> u64 {
        let (mut start, mut missed) = (0, 0_u64);
        while ends != 0 {
            let end = ends.trailing_zeros() as usize;
            ends &= ends - 1;
            let whole = vocabulary.holds(sixteen(window, start), end.wrapping_sub(start));
            missed |= u64::from(!whole) << start;
            start = end;
        }
        missed
    }

    /// Counts the pieces of a window, of which some are no tokens.
    #[inline(always)]
    fn found(
        &mut self,
        vocabulary: &Vocabulary,
        window: &[u8; WINDOW],
        ends: u64,
        mut missed: u64,
        scratch: &mut Scratch,
    ) {
        self.total += u64::from(ends.count_ones() - missed.count_ones());
        while missed != 0 {
            let start = missed.trailing_zeros() as usize;
            missed &= missed - 1;
            self.missed(vocabulary, window, start, ends, scratch);
        }
    }

    /// Counts the piece that starts at `start` and is no token.
    #[inline(never)]
    fn missed(
        &mut self,
        vocabulary: &Vocabulary,
        window: &[u8; WINDOW],
        start: usize,
        ends: u64,
        scratch: &mut Scratch,
    ) {
        let length = (ends >> start >> 1).trailing_zeros() as usize + 1;
        if length <= PACKED {
            self.parts(vocabulary, *sixteen(window, start), length, scratch);
        } else {
            self.tokens(scratch.encode(vocabulary, &window[start..start + length]));
        }
    }
}

impl Sink for Counter {
    #[inline(always)]
    fn block(
        &mut self,
        vocabulary: &Vocabulary,
        window: &[u8; WINDOW],
        ends: u64,
        scratch: &mut Scratch,
    ) {
        let missed = Self::missing(vocabulary, window, ends);
        self.found(vocabulary, window, ends, missed, scratch);
    }

    #[inline(always)]
    fn blocks(
        &mut self,
        vocabulary: &Vocabulary,
        blocks: [(&[u8; WINDOW], u64); 2],
        scratch: &mut Scratch,
    ) {
        let missed = blocks.map(|(window, ends)| Self::missing(vocabulary, window, ends));
        for ((window, ends), missed) in blocks.into_iter().zip(missed) {
            self.found(vocabulary, window, ends, missed, scratch);
        }
    }

    #[inline(always)]
    fn whole(&mut self, vocabulary: &Vocabulary, padded: [u8; 16], length: usize) -> bool {
        let whole = vocabulary.holds(&padded, length);
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
    fn block(
        &mut self,
        vocabulary: &Vocabulary,
        window: &[u8; WINDOW],
        ends: u64,
        scratch: &mut Scratch,
    ) {
        one_by_one(vocabulary, window, ends, scratch, self);
    }

    #[inline(always)]
    fn whole(&mut self, vocabulary: &Vocabulary, padded: [u8; 16], length: usize) -> bool {
        let piece = padded.get(..length).unwrap_or_default();
        let (token, matched) = vocabulary.longest(piece);
        let whole = matched == length;
        let token = if whole { Some(token) } else { vocabulary.unreached(piece) };
        self.0.extend(token);
        token.is_some()
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
