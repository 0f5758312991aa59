//! The vocabularies as the build script arranged them: read-only tables, and lookups in them.

use crate::hash;

/// The tables of one vocabulary. A token is known by its rank, which is its id.
pub(crate) struct Vocabulary {
    mark: u64,
    piece_seed: u64,
    piece_bits: u32,
    short_slots: usize,
    long_slots: usize,
    pair_seed: u64,
    pair_bits: u32,
    pair_slots: usize,
    root: u32,
    piece_pilots: &'static Aligned<[u8]>,
    pieces: &'static Aligned<[u8]>,
    trie: &'static Aligned<[u8]>,
    trie_tokens: &'static Aligned<[u8]>,
    records: &'static Aligned<[u8]>,
    pair_pilots: &'static Aligned<[u8]>,
    pairs: &'static Aligned<[u8]>,
}

/// Starts a table on a cache line, so that no entry lies across two.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

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
    /// A number of its own, of one bit.
    #[inline(always)]
    pub(crate) const fn mark(&self) -> u64 {
        self.mark
    }

    /// Whether the piece of 1 to 15 bytes at the start of `bytes` is a token as a whole.
    #[inline(always)]
    pub(crate) fn holds(&self, bytes: [u8; 16], length: usize) -> bool {
        let (low, high) = hash::pack(bytes, length);
        let hash = hash::of_key(low, high, self.piece_seed);
        let pilot = byte(&self.piece_pilots.0, hash::bucket(hash, self.piece_bits));
        let long = length > 7;
        let size = if long { self.long_slots } else { self.short_slots };
        let slot = hash::slot(hash, pilot, size);
        let first = if long { self.short_slots + 2 * slot } else { slot };
        // A short key's second word is another key's; it is read all the same and masked away.
        let mask = if long { u64::MAX } else { 0 };
        let second = word(&self.pieces.0, first + usize::from(long));
        (word(&self.pieces.0, first) ^ low) | ((second ^ high) & mask) == 0
    }

    /// The longest token that `bytes` starts with.
    #[inline(always)]
    pub(crate) fn longest(&self, bytes: &[u8]) -> u32 {
        let (mut base, mut found) = (self.root, 0);
        for byte in bytes {
            let slot = base as usize ^ usize::from(*byte);
            let value = half(&self.trie.0, slot);
            if value & 0xff != u32::from(*byte) {
                break;
            }
            if value & 0x100 != 0 {
                found = slot;
            }
            base = value >> 9;
        }
        third(&self.trie_tokens.0, found)
    }

    #[inline(always)]
    pub(crate) fn record(&self, token: u32) -> Record {
        Record(word(&self.records.0, token as usize))
    }

    /// The token that two adjacent tokens merge into.
    #[inline(always)]
    pub(crate) fn merged(&self, left: u32, right: u32) -> Option<u32> {
        let hash = hash::of_pair(left, right, self.pair_seed);
        let pilot = byte(&self.pair_pilots.0, hash::bucket(hash, self.pair_bits));
        let slot = half(&self.pairs.0, hash::slot(hash, pilot, self.pair_slots));
        if slot >> 18 != hash::fingerprint(hash) {
            return None;
        }
        let token = slot & 0x3_ffff;
        let record = self.record(token);
        (record.left() == left && record.right() == right && record.length() > 1).then_some(token)
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
fn half(table: &[u8], at: usize) -> u32 {
    table.get(at * 4..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_le_bytes(*b))
}

#[inline(always)]
fn word(table: &[u8], at: usize) -> u64 {
    table.get(at * 8..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b))
}
