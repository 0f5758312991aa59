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
    // Each word has a seed's part in it, so that no two keys collide under every seed.
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    fold(low ^ mixed.rotate_left(32), high ^ mixed)
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
    let within = (hash as u32) ^ SHIFTS[pilot as usize];
    ((within as u64).wrapping_mul(size as u64) >> 32) as usize
}

/// Where each pilot moves its bucket: numbers without a pattern, since moves at even distances
/// would fill some slots' neighbourhoods long before others.
static SHIFTS: [u32; 256] = {
    let mut shifts = [0; 256];
    let (mut at, mut state) = (0, 0x9e37_79b9_7f4a_7c15_u64);
    while at < shifts.len() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        shifts[at] = (state >> 32) as u32;
        at += 1;
    }
    shifts
};

/// Bits in the filter of pairs: five or more for each pair there is.
pub(crate) const FILTER_BITS: u32 = 20;

/// The word and the bit of the filter that a pair sets. Most pairs that are asked for don't exist,
/// and the filter, unlike the table behind it, stays in the nearest caches.
#[inline(always)]
pub(crate) fn filter(hash: u64) -> (usize, u32) {
    let bit = hash >> (64 - FILTER_BITS);
    ((bit >> 6) as usize, (bit & 63) as u32)
}

/// What tells most pairs that aren't in a slot from the one that is.
#[inline(always)]
pub(crate) fn fingerprint(hash: u64) -> u32 {
    (hash as u32) & 0x3fff
}

/// How a piece of some length is packed into two words: the bytes of it to keep, and the length's
/// mark. Up to seven bytes go into the first word alone; the mark is the last byte of the last
/// word used.
#[derive(Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) keep: [u64; 2],
    pub(crate) mark: [u64; 2],
}

/// The longest piece that can be packed.
pub(crate) const PACKED: usize = 15;

impl Packing {
    /// How pieces of `length` bytes are packed. What is longer gets a mark that no piece has.
    pub(crate) const fn of(length: usize) -> Self {
        let kept = if length > PACKED { 0 } else { (1_u128 << (8 * length)) - 1 };
        let mark = if length > PACKED { 0xff } else { length as u64 };
        Self {
            keep: [kept as u64, (kept >> 64) as u64],
            mark: if length < 8 { [mark << 56, 0] } else { [0, mark << 56] },
        }
    }

    /// Packs the piece that these 16 bytes start with.
    #[inline(always)]
    pub(crate) fn pack(&self, low: u64, high: u64) -> (u64, u64) {
        (low & self.keep[0] | self.mark[0], high & self.keep[1] | self.mark[1])
    }
}
