//! Byte-pair encoding of one piece, in time linear in its length: the longest token is tried
//! first, and given up where it can't stand beside the one before it.
//!
//! Two adjacent tokens stand in an encoding exactly if encoding the two alone gives them back,
//! and a sequence is the encoding exactly if all its neighbours stand so (the observation behind
//! the `bpe` crate). So a depth-first walk over tokens, longest first, that never returns to a
//! position it has left, finds the one encoding without merging anything.

use crate::vocabulary::Vocabulary;

/// Room for the walk over one piece, made once a call; it grows on the heap for long pieces only.
pub(crate) struct Scratch {
    few: [u32; SMALL],
    many: Vec<u32>,
    closed: Vec<u64>,
}

/// Pieces of up to this many bytes need no heap.
const SMALL: usize = 64;

impl Scratch {
    pub(crate) const fn new() -> Self {
        Self { few: [0; SMALL], many: Vec::new(), closed: Vec::new() }
    }

    /// The tokens of `piece`, which may not be empty.
    pub(crate) fn encode(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> &[u32] {
        if piece.len() <= SMALL {
            let count = walk(vocabulary, piece, &mut self.few, &mut [0]);
            return self.few.get(..count).unwrap_or_default();
        }
        if self.many.len() < piece.len() {
            self.many.resize(piece.len(), 0);
        }
        self.closed.clear();
        self.closed.resize(piece.len() / 64 + 1, 0);
        let count = walk(vocabulary, piece, &mut self.many, &mut self.closed);
        self.many.get(..count).unwrap_or_default()
    }
}

/// Fills `tokens` from the front and returns how many there are. `closed` has a bit for every
/// position that no encoding passes through.
#[inline(always)]
fn walk(vocabulary: &Vocabulary, piece: &[u8], tokens: &mut [u32], closed: &mut [u64]) -> usize {
    let (mut at, mut count) = (0, 0);
    let mut token = vocabulary.longest(piece);
    loop {
        let record = vocabulary.record(token);
        let end = at + record.length();
        let is_closed = end < piece.len() && closed[end / 64] >> (end % 64) & 1 == 1;
        if !is_closed && (count == 0 || stand(vocabulary, tokens[count - 1], token)) {
            tokens[count] = token;
            count += 1;
            at = end;
            if at >= piece.len() {
                return count;
            }
            token = vocabulary.longest(&piece[at..]);
        } else if record.length() > 1 {
            token = record.prefix();
        } else if count > 0 {
            closed[at / 64] |= 1 << (at % 64);
            count -= 1;
            token = tokens[count];
            at -= vocabulary.record(token).length();
        } else {
            // Not reached: every byte is a token, so some sequence always stands.
            return 0;
        }
    }
}

/// Whether two tokens can be neighbours: whether no merge across their border would have come
/// before the merges that made them.
#[inline(always)]
fn stand(vocabulary: &Vocabulary, mut left: u32, mut right: u32) -> bool {
    // What may merge across the border must rank below this to come first.
    let mut limit = u32::MAX;
    loop {
        if vocabulary.merged(left, right).is_some_and(|token| token < limit) {
            return false;
        }
        // Undo the later of the two last merges; the parts at the border are the new neighbours.
        if left > right {
            limit = left;
            left = vocabulary.record(left).right();
            if left == limit {
                limit = right + 1;
                right = vocabulary.record(right).left();
                if right + 1 == limit {
                    return true;
                }
            }
        } else {
            limit = right + 1;
            right = vocabulary.record(right).left();
            if right + 1 == limit {
                limit = left;
                left = vocabulary.record(left).right();
                if left == limit {
                    return true;
                }
            }
        }
    }
}
