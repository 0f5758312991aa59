// The hashes of the lookup tables, shared by the build script that fills the tables and the code
// that reads them. Plain items without `//!` docs, because the build script includes the text.

/// Multiplies to 128 bits and folds the halves: two words in, one well-mixed word out.
#[inline(always)]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hash of a short piece, packed into two words.
#[inline(always)]
pub(crate) fn of_key(low: u64, high: u64, seed: u64) -> u64 {
    fold(low ^ seed, high ^ 0x9e37_79b9_7f4a_7c15)
}

/// The hash of two adjacent tokens.
#[inline(always)]
pub(crate) fn of_pair(left: u32, right: u32, seed: u64) -> u64 {
    fold(((left as u64) << 32 | right as u64) ^ seed, 0x9e37_79b9_7f4a_7c15)
}

/// The bucket of a hash: its top bits.
#[inline(always)]
pub(crate) fn bucket(hash: u64, bits: u32) -> usize {
    (hash >> (64 - bits)) as usize
}

/// The slot that a bucket's pilot sends a hash to.
#[inline(always)]
pub(crate) fn slot(hash: u64, pilot: u8, size: usize) -> usize {
    let mixed = (hash ^ (pilot as u64).wrapping_mul(0xa076_1d64_78bd_642f))
        .wrapping_mul(0xe703_7ed1_a0b4_28db);
    (((mixed >> 32) * size as u64) >> 32) as usize
}

/// What tells most pairs that aren't in a slot from the one that is.
#[inline(always)]
pub(crate) fn fingerprint(hash: u64) -> u32 {
    (hash as u32) & 0x3fff
}

/// Packs a piece of up to 15 bytes, given the 16 bytes at its start, into two words: up to seven
/// bytes into the first alone, and the length into the last byte of the last word used.
#[inline(always)]
pub(crate) fn pack(bytes: [u8; 16], length: usize) -> (u64, u64) {
    let raw = u128::from_le_bytes(bytes);
    let (mask, tag) = PACK[length & 15];
    let packed = (raw & mask) | tag;
    (packed as u64, (packed >> 64) as u64)
}

/// For each length, the bytes to keep and the length's mark.
static PACK: [(u128, u128); 16] = {
    let mut table = [(0, 0); 16];
    let mut length = 0;
    while length < 16 {
        let mark = if length < 8 { 56 } else { 120 };
        table[length] = ((1_u128 << (8 * length)) - 1, (length as u128) << mark);
        length += 1;
    }
    table
};
