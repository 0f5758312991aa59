//! Which bytes of a block are letters, digits, spaces: one bit a byte.

/// Bit `i` of each mask speaks of byte `i` of the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Masks {
    pub(crate) upper: u64,
    pub(crate) lower: u64,
    pub(crate) digit: u64,
    /// `\r` and `\n`.
    pub(crate) newline: u64,
    /// The space character alone.
    pub(crate) space: u64,
    /// Tab, vertical tab, form feed.
    pub(crate) blank: u64,
    pub(crate) apostrophe: u64,
    pub(crate) slash: u64,
    /// Bytes of characters beyond ASCII.
    pub(crate) beyond: u64,
}

/// Bytes in a block.
pub(crate) const BLOCK: usize = 64;

/// The masks of a block.
#[inline(always)]
pub(crate) fn of(block: &[u8; BLOCK]) -> Masks {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the call needs SSE2, which every x86-64 processor has")]
    // SAFETY: `sse2::of` touches no memory but the block it borrows, and asks only for SSE2, which
    // is part of the x86-64 architecture itself.
    return unsafe { sse2::of(block) };
    #[cfg(not(target_arch = "x86_64"))]
    plain(block)
}

/// The same, one byte at a time: for other processors, and what the vector form is tested against.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn plain(block: &[u8; BLOCK]) -> Masks {
    let mask = |is: fn(u8) -> bool| {
        block.iter().enumerate().fold(0, |mask, (at, byte)| mask | u64::from(is(*byte)) << at)
    };
    Masks {
        upper: mask(|byte| byte.is_ascii_uppercase()),
        lower: mask(|byte| byte.is_ascii_lowercase()),
        digit: mask(|byte| byte.is_ascii_digit()),
        newline: mask(|byte| matches!(byte, b'\r' | b'\n')),
        space: mask(|byte| byte == b' '),
        blank: mask(|byte| matches!(byte, b'\t' | 0x0b | 0x0c)),
        apostrophe: mask(|byte| byte == b'\''),
        slash: mask(|byte| byte == b'/'),
        beyond: mask(|byte| byte >= 0x80),
    }
}

/// Sixteen bytes at a time.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set_epi64x, _mm_set1_epi8,
    };

    use super::{BLOCK, Masks};

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn of(block: &[u8; BLOCK]) -> Masks {
        let mut masks = Masks::default();
        for (quarter, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
            add(&mut masks, load(bytes), 16 * quarter);
        }
        // What is between tab and carriage return and is no newline is blank.
        masks.blank &= !masks.newline;
        masks
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(bytes: &[u8; 16]) -> __m128i {
        let raw = u128::from_le_bytes(*bytes);
        _mm_set_epi64x((raw >> 64) as i64, raw as i64)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn add(masks: &mut Masks, bytes: __m128i, shift: usize) {
        let is = |byte: u8| _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed()));
        // The comparison is signed, so that bytes beyond ASCII are below every range.
        let within = |first: u8, last: u8| {
            let above = _mm_cmpgt_epi8(bytes, _mm_set1_epi8(first.cast_signed() - 1));
            _mm_and_si128(above, _mm_cmpgt_epi8(_mm_set1_epi8(last.cast_signed() + 1), bytes))
        };
        let bits = |lanes: __m128i| u64::from(_mm_movemask_epi8(lanes).cast_unsigned()) << shift;
        masks.upper |= bits(within(b'A', b'Z'));
        masks.lower |= bits(within(b'a', b'z'));
        masks.digit |= bits(within(b'0', b'9'));
        masks.newline |= bits(_mm_or_si128(is(b'\n'), is(b'\r')));
        masks.space |= bits(is(b' '));
        masks.blank |= bits(within(b'\t', b'\r'));
        masks.apostrophe |= bits(is(b'\''));
        masks.slash |= bits(is(b'/'));
        masks.beyond |= bits(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_in_every_place_has_the_same_masks_in_both_forms() {
        for place in 0..BLOCK {
            for byte in 0..=u8::MAX {
                for around in [b' ', b'a', 0, 0xff] {
                    let mut block = [around; BLOCK];
                    block[place] = byte;
                    assert_eq!(of(&block), plain(&block), "{byte} at {place} in {around}");
                }
            }
        }
    }
}
