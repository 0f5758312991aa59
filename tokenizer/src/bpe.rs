//! Byte-pair encoding of one piece, in time linear in its length: the longest token is tried
//! first, and given up where it can't stand beside the one before it.
//!
//! Two adjacent tokens stand in an encoding exactly if encoding the two alone gives them back,
//! and a sequence is the encoding exactly if all its neighbours stand so (the observation behind
//! the `bpe` crate). So a depth-first walk over tokens, longest first, that never returns to a
//! position it has left, finds the one encoding without merging anything.
//!
//! A short piece takes longer to walk than to merge, as nearly every walk tries tokens that can't
//! stand: those are merged.

use std::cell::RefCell;

use crate::hash;
use crate::vocabulary::Vocabulary;

/// Room for the walk over one piece, and a small memory of what was found before: how many tokens
/// a short piece came to, and whether two tokens stand together. Text repeats itself, so both save
/// most of the work; neither can change a result.
pub(crate) struct Scratch {
    tokens: Vec<u32>,
    closed: Vec<u64>,
    pairs: Box<[u64]>,
    pieces: Box<[u128]>,
    counts: Box<[u8]>,
}

/// 2^13 pairs of 8 bytes, 2^12 pieces of 16 bytes: 128 KiB a thread.
const PAIR_BITS: u32 = 13;
const PIECE_BITS: u32 = 12;

/// Lends the thread's scratch space.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Option<Box<Scratch>>> = const { RefCell::new(None) };
    }
    // Taken out while it is lent: where there is none, as in a thread that is ending, a new one
    // does as well.
    let held = SCRATCH.try_with(RefCell::take).ok().flatten();
    let mut scratch = held.unwrap_or_else(|| Box::new(Scratch::new()));
    let done = work(&mut scratch);
    drop(SCRATCH.try_with(|held| held.replace(Some(scratch))));
    done
}

impl Scratch {
    fn new() -> Self {
        Self {
            tokens: vec![0; 256],
            closed: vec![0; 4],
            pairs: vec![0; 1 << PAIR_BITS].into(),
            pieces: vec![0; 1 << PIECE_BITS].into(),
            counts: vec![0; 1 << PIECE_BITS].into(),
        }
    }

    /// How many tokens a piece comes to that is at most 15 bytes long and no token itself.
    #[inline(always)]
    pub(crate) fn count_short(
        &mut self,
        vocabulary: &Vocabulary,
        padded: [u8; 16],
        length: usize,
    ) -> usize {
        let mark = (length as u64 | vocabulary.mark() << 4) << 56;
        let kept = (1_u128 << (8 * (length & 15))) - 1;
        let key = u128::from_le_bytes(padded) & kept | u128::from(mark) << 64;
        let mixed = hash::of_key(key as u64, (key >> 64) as u64, 0xa076_1d64_78bd_642f);
        let at = (mixed >> (64 - PIECE_BITS)) as usize;
        if self.pieces[at] != key {
            let piece = padded.get(..length).unwrap_or_default();
            let count = if vocabulary.is_built_in() {
                count_by_merging(vocabulary, padded, length)
            } else {
                self.encode(vocabulary, piece).len()
            };
            self.counts[at] = count as u8;
            self.pieces[at] = key;
        }
        usize::from(self.counts[at])
    }

    /// The tokens of `piece`, which may not be empty.
    pub(crate) fn encode(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> &[u32] {
        if self.tokens.len() < piece.len() {
            self.tokens.resize(piece.len(), 0);
        }
        let words = piece.len() / 64 + 1;
        if self.closed.len() < words {
            self.closed.resize(words, 0);
        }
        self.closed[..words].fill(0);
        let count = self.walk(vocabulary, piece);
        self.tokens.get(..count).unwrap_or_default()
    }

    /// Fills `tokens` from the front and returns how many there are. `closed` has a bit for every
    /// position that no encoding passes through.
    #[inline(always)]
    fn walk(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> usize {
        let (mut at, mut count) = (0, 0);
        // The length comes from the search itself, so that the next search needs not wait for the
        // token's record, nor for the answer whether the token can stand here.
        let (mut token, mut length) = vocabulary.longest(piece);
        loop {
            let end = at + length;
            let is_closed = end < piece.len() && self.closed[end / 64] >> (end % 64) & 1 == 1;
            if !is_closed && (count == 0 || self.stand(vocabulary, self.tokens[count - 1], token)) {
                self.tokens[count] = token;
                count += 1;
                at = end;
                if at >= piece.len() {
                    return count;
                }
                (token, length) = vocabulary.longest(&piece[at..]);
                continue;
            }
            let shorter = vocabulary.record(token).prefix();
            if shorter != token {
                token = shorter;
                length = vocabulary.record(token).length();
            } else if count > 0 {
                self.closed[at / 64] |= 1 << (at % 64);
                count -= 1;
                token = self.tokens[count];
                length = vocabulary.record(token).length();
                at -= length;
            } else {
                // Not reached: every byte or character is a token, so some sequence always stands.
                return 0;
            }
        }
    }

    /// [`stand`], remembered.
    #[inline(always)]
    pub(crate) fn stand(&mut self, vocabulary: &Vocabulary, left: u32, right: u32) -> bool {
        let key = 1 << 63 | vocabulary.mark() << 36 | u64::from(left) << 18 | u64::from(right);
        let at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PAIR_BITS)) as usize;
        let held = self.pairs[at];
        if held & !(1 << 62) == key {
            return held >> 62 & 1 == 1;
        }
        let stands = stand(vocabulary, left, right);
        self.pairs[at] = key | u64::from(stands) << 62;
        stands
    }
}

/// Whether two tokens can be neighbours: whether no merge across their border would have come
/// before the merges that made them.
#[inline(never)]
fn stand(vocabulary: &Vocabulary, mut left: u32, mut right: u32) -> bool {
    if vocabulary.is_irregular(left) || vocabulary.is_irregular(right) {
        return stand_by_merging(vocabulary, left, right);
    }
    // What merges across the border must rank below this to come first.
    let mut limit = u32::MAX;
    loop {
        if vocabulary.merged_below(left, right, limit).is_some() {
            return false;
        }
        // Undo the later of the two last merges; the parts at the border are the new neighbours.
        // What no merge makes ranks lowest, so that once the later one is such a token both are.
        let later = left.max(right);
        if later < vocabulary.initial() {
            return true;
        }
        // Which of the two it is can't be foreseen, so no branch depends on it.
        let record = vocabulary.record(later);
        let is_left = u32::from(left > right).wrapping_neg();
        limit = later.wrapping_add(1).wrapping_add(is_left);
        (left, right) = (
            record.right() & is_left | left & !is_left,
            right & is_left | record.left() & !is_left,
        );
    }
}

/// The same by merging the two tokens' parts anew, lowest rank first: for tokens that are made of
/// later ones, where undoing merges by rank would not undo them in their order.
#[cold]
fn stand_by_merging(vocabulary: &Vocabulary, left: u32, right: u32) -> bool {
    let mut parts = Vec::new();
    let mut open = vec![right, left];
    while let Some(token) = open.pop() {
        let record = vocabulary.record(token);
        if token < vocabulary.initial() {
            parts.push(token);
        } else {
            open.extend([record.right(), record.left()]);
        }
    }
    loop {
        let merges = parts.windows(2).zip(0..).filter_map(|(pair, at)| match pair {
            [left, right] => Some((vocabulary.merged(*left, *right)?, at)),
            _ => None,
        });
        let Some((token, at)): Option<(u32, usize)> = merges.min() else { break };
        parts.remove(at);
        if let Some(part) = parts.get_mut(at) {
            *part = token;
        }
    }
    parts == [left, right]
}

/// How many tokens a piece of 1 to 15 bytes comes to in a vocabulary that has every byte and no
/// token of later ones: its bytes merged as the encoding is defined, the lowest token first.
#[inline(never)]
fn count_by_merging(vocabulary: &Vocabulary, piece: [u8; 16], length: usize) -> usize {
    let mut tokens = [0; 16];
    // What the token at a place and the one behind it merge into, with the place below it, so that
    // the least of them says both.
    let mut merges = [u32::MAX; 16];
    let merge =
        |into: Option<u32>, at: usize| into.map_or(u32::MAX, |token| token << 4 | at as u32);
    for (at, byte) in piece.iter().enumerate().take(length) {
        let Some(first) = vocabulary.step(vocabulary.root(), *byte) else { return 0 };
        tokens[at] = first.token.unwrap_or(0);
        if at + 1 < length {
            // Two bytes merge into the token that they spell, if there is one.
            let both = vocabulary.step(first.place, piece[(at + 1) & 15]);
            merges[at] = merge(both.and_then(|both| both.token), at);
        }
    }
    // A bit for every place where a token starts.
    let mut starts = (1_u32 << length) - 1;
    loop {
        let (mut rest, mut least) = (starts, u32::MAX);
        while rest != 0 {
            least = least.min(merges[rest.trailing_zeros() as usize & 15]);
            rest &= rest - 1;
        }
        if least == u32::MAX {
            return starts.count_ones() as usize;
        }
        let (token, at) = (least >> 4, least as usize & 15);
        let behind = |starts: u32| starts & !1 << at;
        let gone = behind(starts).trailing_zeros();
        starts &= !(1 << gone);
        tokens[at] = token;
        merges[at] = u32::MAX;
        merges[gone as usize & 15] = u32::MAX;
        if behind(starts) != 0 {
            let next = tokens[behind(starts).trailing_zeros() as usize & 15];
            merges[at] = merge(vocabulary.merged(token, next), at);
        }
        let before = starts & !(u32::MAX << at);
        if before != 0 {
            let previous = 31 - before.leading_zeros() as usize;
            let left = tokens[previous & 15];
            merges[previous & 15] = merge(vocabulary.merged(left, token), previous);
        }
    }
}
