//! A small deterministic source of choices, seeded by what was asked.

/// FNV-1a to seed, xorshift to go on.
#[derive(Clone)]
pub(super) struct Seed(u64);

impl Seed {
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for part in parts {
            for byte in *part {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
            // Parts are told apart by where they end.
            hash = (hash ^ 0xff).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Seed(hash | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound.max(1)
    }

    pub(super) fn pick<'p, T>(&mut self, from: &'p [T]) -> Option<&'p T> {
        from.get(usize::try_from(self.below(from.len() as u64)).unwrap_or(0))
    }
}
