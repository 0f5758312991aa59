//! The vocabularies as the build script arranged them: read-only tables, and lookups in them.

use std::collections::HashMap;

#[cfg(feature = "json")]
use crate::arrange::tables::{Fit, Pairs, Pieces};
#[cfg(feature = "json")]
use crate::arrange::trie::Trie;
use crate::hash;

/// The tables of one vocabulary. A token is known by its rank, which is its id.
pub(crate) struct Vocabulary {
    mark: u64,
    piece_seed: u64,
    piece_bits: u32,
    rows: [Row; 64],
    pair_seed: u64,
    pair_bits: u32,
    pair_slots: usize,
    root: u32,
    /// How many tokens no merge makes: bytes or characters. They have the lowest ranks.
    initial: u32,
    /// What only loaded vocabularies have.
    more: Option<&'static More>,
    piece_pilots: &'static [u8],
    pieces: &'static [[u8; 8]],
    trie: &'static [[u8; 4]],
    trie_tokens: &'static [u8],
    records: &'static [[u8; 8]],
    pair_filter: &'static [[u8; 8]],
    pair_pilots: &'static [u8],
    pairs: &'static [[u8; 4]],
}

/// What there is to a loaded vocabulary beyond the tables.
#[cfg_attr(not(feature = "json"), expect(dead_code, reason = "only loaded vocabularies use it"))]
#[derive(Debug, Default)]
pub(crate) struct More {
    /// A bit for every token that is made of a later one, or of such a token.
    pub(crate) irregular: Vec<u64>,
    /// The file's own number of every token.
    pub(crate) ids: Vec<u32>,
    /// Tokens that no merge reaches, taken only where they are a whole piece.
    pub(crate) whole: HashMap<Box<[u8]>, u32>,
    /// The first of 256 tokens for the bytes of characters that are no tokens.
    pub(crate) bytes: u32,
}

/// Starts a table on a cache line, so that no entry lies across two.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// Where pieces of some length are found.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Row {
    packing: hash::Packing,
    slots: usize,
    /// The first word of the slots.
    base: usize,
    /// A slot has one word more than this, so that the word of a short piece is read twice.
    step: usize,
    /// What of the first word the second is compared with.
    again: u64,
}

const fn rows(short_slots: usize, long_slots: usize) -> [Row; 64] {
    let short = Row {
        packing: hash::Packing::of(0),
        slots: short_slots,
        base: 0,
        step: 0,
        again: u64::MAX,
    };
    let mut rows = [short; 64];
    let mut length = 0;
    while length < rows.len() {
        rows[length].packing = hash::Packing::of(length);
        if length > 7 {
            rows[length].slots = long_slots;
            rows[length].base = short_slots;
            rows[length].step = 1;
            rows[length].again = 0;
        }
        length += 1;
    }
    rows
}

/// A step through the trie.
pub(crate) struct Step {
    pub(crate) place: u32,
    /// The token that ends there.
    pub(crate) token: Option<u32>,
}

/// How many vocabularies can be told apart, the built-in ones included.
#[cfg(feature = "json")]
pub(crate) const MARKS: u64 = 16;

/// The bytes of the longest token.
pub(crate) const LONGEST: usize = 128;

/// What there is to know about a token: its parts, its longest proper prefix, its length.
#[derive(Clone, Copy)]
pub(crate) struct Record(u64);

impl Record {
    /// The left part of the token's last merge; the token itself if it is a single byte.
    #[inline(always)]
    pub(crate) const fn left(self) -> u32 {
        (self.0 & 0x3_ffff) as u32
    }

    /// The right part of the token's last merge; the token itself if it is a single byte.
    #[inline(always)]
    pub(crate) const fn right(self) -> u32 {
        (self.0 >> 18 & 0x3_ffff) as u32
    }

    /// The longest token that the token properly starts with; itself if it is a single byte.
    #[inline(always)]
    pub(crate) const fn prefix(self) -> u32 {
        (self.0 >> 36 & 0x3_ffff) as u32
    }

    /// The token's bytes.
    #[inline(always)]
    pub(crate) const fn length(self) -> usize {
        (self.0 >> 54) as usize
    }
}

impl Vocabulary {
    /// A vocabulary of tables made by this process, which stay for its life.
    #[cfg(feature = "json")]
    #[expect(clippy::too_many_arguments, reason = "a table each")]
    pub(crate) fn new(
        mark: u64,
        initial: u32,
        more: More,
        fit: Fit,
        pieces: Pieces,
        pairs: Pairs,
        records: &[u64],
        trie: &Trie,
    ) -> Self {
        let of_u64 = |words: &[u64]| -> &'static [[u8; 8]] {
            words.iter().map(|word| word.to_le_bytes()).collect::<Vec<_>>().leak()
        };
        let of_u32 = |words: &[u32]| -> &'static [[u8; 4]] {
            words.iter().map(|word| word.to_le_bytes()).collect::<Vec<_>>().leak()
        };
        // Three bytes a token, and one more so that the last can be read as four.
        let mut trie_tokens: Vec<u8> =
            trie.tokens.iter().flat_map(|token| token.to_le_bytes().into_iter().take(3)).collect();
        trie_tokens.push(0);
        Self {
            mark,
            piece_seed: pieces.seed,
            piece_bits: fit.bits,
            rows: rows(pieces.short_slots, pieces.long_slots),
            pair_seed: pairs.seed,
            pair_bits: fit.bits,
            pair_slots: pairs.slots.len(),
            root: trie.root,
            initial,
            more: Some(Box::leak(Box::new(more))),
            piece_pilots: pieces.pilots.leak(),
            pieces: of_u64(&pieces.words),
            trie: of_u32(&trie.slots),
            trie_tokens: trie_tokens.leak(),
            records: of_u64(records),
            pair_filter: of_u64(&pairs.filter),
            pair_pilots: pairs.pilots.leak(),
            pairs: of_u32(&pairs.slots),
        }
    }

    /// A number of its own, below [`MARKS`].
    #[inline(always)]
    pub(crate) const fn mark(&self) -> u64 {
        self.mark
    }

    /// How many tokens no merge makes.
    #[inline(always)]
    pub(crate) const fn initial(&self) -> u32 {
        self.initial
    }

    /// Whether it comes with the crate: every byte is a token of it, and no token is made of later
    /// ones.
    #[inline(always)]
    pub(crate) const fn is_built_in(&self) -> bool {
        self.more.is_none()
    }

    /// Whether the token's merges are not in the order of their ranks.
    #[inline(always)]
    pub(crate) fn is_irregular(&self, token: u32) -> bool {
        let Some(more) = self.more else { return false };
        let word = more.irregular.get(token as usize / 64).copied().unwrap_or(0);
        word >> (token % 64) & 1 == 1
    }

    /// The token that a piece is although no merge reaches it.
    #[inline(always)]
    pub(crate) fn unreached(&self, piece: &[u8]) -> Option<u32> {
        self.more.and_then(|more| more.whole.get(piece).copied())
    }

    /// Hands on the tokens of a character that is taken as its bytes.
    pub(crate) fn bytes_of(&self, piece: &[u8], mut token: impl FnMut(u32)) {
        let first = self.more.map_or(0, |more| more.bytes);
        piece.iter().for_each(|byte| token(first + u32::from(*byte)));
    }

    /// What there is beyond the tables.
    #[cfg(feature = "json")]
    pub(crate) const fn more(&self) -> Option<&'static More> {
        self.more
    }

    /// The bytes of all tables.
    pub(crate) fn size(&self) -> usize {
        self.tables().iter().map(|table| table.len()).sum()
    }

    fn tables(&self) -> [&'static [u8]; 8] {
        [
            self.piece_pilots,
            self.pieces.as_flattened(),
            self.trie.as_flattened(),
            self.trie_tokens,
            self.records.as_flattened(),
            self.pair_filter.as_flattened(),
            self.pair_pilots,
            self.pairs.as_flattened(),
        ]
    }

    /// Reads a byte of every page.
    pub(crate) fn touch(&self) -> u64 {
        self.tables()
            .iter()
            .flat_map(|table| table.iter().step_by(4096))
            .map(|byte| u64::from(*byte))
            .sum()
    }

    /// Whether the piece of `length` bytes that these 16 start with is a token of up to
    /// [`hash::PACKED`] bytes. No branch depends on the answer.
    #[inline(always)]
    pub(crate) fn holds(&self, bytes: &[u8; 16], length: usize) -> bool {
        let row = &self.rows[length & 63];
        let [low, high] = bytes.as_chunks::<8>().0 else { return false };
        let (low, high) = row.packing.pack(u64::from_le_bytes(*low), u64::from_le_bytes(*high));
        let hash = hash::of_key(low, high, self.piece_seed);
        let pilot = byte(self.piece_pilots, hash::bucket(hash, self.piece_bits));
        let slot = hash::slot(hash, pilot, row.slots);
        let first = row.base + (slot << row.step);
        let second = word(self.pieces, first + row.step);
        (word(self.pieces, first) ^ low) | (second ^ (high | low & row.again)) == 0
    }

    /// The longest token that `bytes` starts with, and its length.
    #[inline(always)]
    pub(crate) fn longest(&self, bytes: &[u8]) -> (u32, usize) {
        let (mut place, mut found, mut length) = (self.root, 0, 0);
        for (at, byte) in bytes.iter().enumerate() {
            let slot = place as usize ^ usize::from(*byte);
            let value = half(self.trie, slot);
            if value & 0xff != u32::from(*byte) {
                break;
            }
            if value & 0x100 != 0 {
                (found, length) = (slot, at + 1);
            }
            place = value >> 9;
        }
        (third(self.trie_tokens, found), length)
    }

    /// Where tokens start in the trie.
    pub(crate) const fn root(&self) -> u32 {
        self.root
    }

    /// Goes on by one byte from a place in the trie, if a token does.
    #[inline(always)]
    pub(crate) fn step(&self, place: u32, byte: u8) -> Option<Step> {
        let slot = place as usize ^ usize::from(byte);
        let value = half(self.trie, slot);
        (value & 0xff == u32::from(byte)).then(|| Step {
            place: value >> 9,
            token: (value & 0x100 != 0).then(|| third(self.trie_tokens, slot)),
        })
    }

    #[inline(always)]
    pub(crate) fn record(&self, token: u32) -> Record {
        Record(word(self.records, token as usize))
    }

    /// The token that two adjacent tokens merge into.
    #[inline(always)]
    pub(crate) fn merged(&self, left: u32, right: u32) -> Option<u32> {
        self.merged_below(left, right, u32::MAX)
    }

    /// The token below `limit` that two adjacent tokens merge into. What isn't below needs no
    /// record to be read, which would mostly have to be waited for.
    #[inline(always)]
    pub(crate) fn merged_below(&self, left: u32, right: u32, limit: u32) -> Option<u32> {
        let hash = hash::of_pair(left, right, self.pair_seed);
        let (at, bit) = hash::filter(hash);
        if word(self.pair_filter, at) >> bit & 1 == 0 {
            return None;
        }
        let pilot = byte(self.pair_pilots, hash::bucket(hash, self.pair_bits));
        let slot = half(self.pairs, hash::slot(hash, pilot, self.pair_slots));
        let token = slot & 0x3_ffff;
        if slot >> 18 != hash::fingerprint(hash) || token >= limit {
            return None;
        }
        let record = self.record(token);
        (record.left() == left && record.right() == right && token >= self.initial).then_some(token)
    }
}

// The tables are built with every index that can be asked for; a read outside would be a bug, and
// gives zero, which no lookup takes for a match.

#[inline(always)]
fn byte(table: &[u8], at: usize) -> u8 {
    table.get(at).copied().unwrap_or(0)
}

#[inline(always)]
fn third(table: &[u8], at: usize) -> u32 {
    let bytes = table.get(at * 3..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) & 0xff_ffff)
}

#[inline(always)]
fn half(table: &[[u8; 4]], at: usize) -> u32 {
    table.get(at).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[inline(always)]
fn word(table: &[[u8; 8]], at: usize) -> u64 {
    table.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
