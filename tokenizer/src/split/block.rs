//! The patterns over a block of ASCII at once: every end of a piece in it, from a few dozen
//! operations on one-bit-a-byte masks.
//!
//! A block starts where a piece starts, so nothing before it matters. What can't be told from the
//! block alone is left out; [`super::scalar`] takes over where a block settles nothing.

use super::masks::{self, BLOCK, Masks};

/// The ends of the pieces of `block`, bit `i` for an end before byte `i`. `filled` bytes of the
/// block are text; with `last` the text ends there, and so does its last piece.
#[inline(always)]
pub(crate) fn ends<const PATTERN: u8>(block: &[u8; BLOCK], filled: usize, last: bool) -> u64 {
    let masks = masks::of(block);
    let valid = filled.min(masks.beyond.trailing_zeros() as usize);
    Walk { block, masks, valid, last: last && valid == filled }.ends::<PATTERN>()
}

/// The ends that no later text can move, and all the ends if the text ends here, of a text that
/// has `filled` bytes, fewer than a block; `None` if the block doesn't tell all of them.
#[inline(always)]
pub(crate) fn ends_of_tail<const PATTERN: u8>(
    block: &[u8; BLOCK],
    filled: usize,
) -> Option<(u64, u64)> {
    let masks = masks::of(block);
    let is_ascii = masks.beyond & below(filled) == 0;
    let ends = |last| Walk { block, masks, valid: filled, last }.ends::<PATTERN>();
    let all = if is_ascii { ends(true) } else { 0 };
    (all >> filled & 1 == 1).then(|| (ends(false), all))
}

/// [`super::Pattern`] as a constant that code can be generated for.
pub(crate) const O200K: u8 = 0;
/// See [`O200K`].
pub(crate) const CL100K: u8 = 1;

struct Walk<'a> {
    block: &'a [u8; BLOCK],
    masks: Masks,
    /// How many bytes can be spoken of.
    valid: usize,
    /// Whether the text ends behind them.
    last: bool,
}

/// The bits below `at`.
#[inline(always)]
const fn below(at: usize) -> u64 {
    if at >= 64 { u64::MAX } else { (1 << at) - 1 }
}

impl Walk<'_> {
    #[inline(always)]
    fn ends<const PATTERN: u8>(&self) -> u64 {
        let o200k = PATTERN == O200K;
        let (valid, last) = (self.valid, self.last);
        if valid < 2 {
            return if last { below(valid + 1) & !below(valid) & !1 } else { 0 };
        }
        let within = below(valid);
        let m = &self.masks;
        let (upper, lower, digit) = (m.upper & within, m.lower & within, m.digit & within);
        let (newline, space, blank) = (m.newline & within, m.space & within, m.blank & within);
        let letter = upper | lower;
        let white = newline | space | blank;
        let other = within & !(letter | digit | white);
        // Whether a byte ends a piece or starts one takes at most the next byte to tell, except
        // where said below; then `sure` comes down to the first byte in doubt.
        let mut sure = if last { valid } else { valid - 1 };

        // Newlines right behind punctuation belong to it.
        let absorbed_from = newline & (other << 1);
        let absorbed = newline & !newline.wrapping_add(absorbed_from);
        if o200k {
            // And slashes behind those, in this pattern. Rare: left to the scalar form.
            let doubt = m.slash & (absorbed << 1);
            if doubt != 0 {
                sure = sure.min(doubt.trailing_zeros() as usize);
            }
        }

        // A run of whitespace is cut behind its last newline and before its last character.
        let run = white & !absorbed;
        let inner = run & !newline;
        let behind_end = if last { 1_u64.checked_shl(valid as u32 - 1).unwrap_or(0) } else { 0 };
        let before_text = inner & !((run >> 1) | behind_end);
        let run_start = run & !(run << 1);
        let inner_start = inner & !(inner << 1);
        let mut after_newline = inner_start & ((newline & run) << 1);
        let mut more = inner.wrapping_add(inner_start) & newline & !inner;
        while more != 0 {
            // This stretch is followed by another newline, so that its start cuts nothing.
            let start = 63 - (inner_start & below(more.trailing_zeros() as usize)).leading_zeros();
            after_newline &= !(1 << start);
            more &= more - 1;
        }
        if inner >> (valid - 1) & 1 == 1 {
            let start = 63 - inner_start.leading_zeros();
            if !last && after_newline >> start & 1 == 1 {
                sure = sure.min(start as usize);
            }
            if last && !o200k {
                // Whitespace to the end of the text is one piece.
                after_newline &= !(1 << start);
            }
        }

        // Digits go by threes.
        let digit_start = digit & !(digit << 1);
        let mut digit_starts = digit_start;
        let fourth = digit & (digit << 1) & (digit << 2) & (digit << 3);
        let mut next = (digit_start << 3) & fourth;
        while next != 0 {
            digit_starts |= next;
            next = (next << 3) & fourth;
        }

        // One character before a word belongs to it, if no other piece has taken it.
        let other_start = other & !(other << 1) & !(space << 1);
        let single = other_start & !(other >> 1);
        let letter_start = letter & !(letter << 1) & !((space | blank | single) << 1);

        let mut starts =
            run_start | before_text | after_newline | digit_starts | other_start | letter_start;
        if o200k {
            starts |= upper & (lower << 1);
        }
        let quotes = m.apostrophe & if o200k { letter << 1 } else { single };
        if quotes & within != 0 {
            sure = self.contractions::<PATTERN>(quotes & within, &mut starts, sure);
        }

        let ends = starts & below(sure) & !1;
        if last && sure == valid { ends | below(valid + 1) & !below(valid) } else { ends }
    }

    /// `'s`, `'ll` and the like: behind a word in one pattern, on their own in the other.
    #[inline(never)]
    fn contractions<const PATTERN: u8>(
        &self,
        mut quotes: u64,
        starts: &mut u64,
        mut sure: usize,
    ) -> usize {
        let o200k = PATTERN == O200K;
        let mut taken = 0;
        while quotes != 0 {
            let at = quotes.trailing_zeros() as usize;
            quotes &= quotes - 1;
            // Behind a contraction no word has just ended: this quote is a word's first character.
            if o200k && at == taken && at > 0 {
                continue;
            }
            if at + 2 >= self.valid && !self.last {
                return sure.min(if o200k { at } else { at + 1 });
            }
            let byte = |at: usize| match self.block.get(at) {
                Some(byte) if at < self.valid => byte | 0x20,
                _ => 0,
            };
            let length = match (byte(at + 1), byte(at + 2)) {
                (b's' | b't' | b'm' | b'd', _) => 2,
                (b'r' | b'v', b'e') | (b'l', b'l') => 3,
                _ => continue,
            };
            taken = at + length;
            let inside = below(taken) & !below(at + usize::from(!o200k));
            *starts &= !inside;
            if taken < self.valid {
                *starts |= 1 << taken;
            }
        }
        sure = sure.min(self.valid);
        sure
    }
}

#[cfg(test)]
mod tests {
    use super::super::scalar;
    use super::*;
    use crate::split::Pattern;

    /// Follows the ends of a block, which are the pieces that the scalar form gives, one by one.
    fn check<const P: u8>(pattern: Pattern, text: &str) {
        let mut block = [0; BLOCK];
        let filled = text.len().min(BLOCK);
        block[..filled].copy_from_slice(&text.as_bytes()[..filled]);
        for last in [false, true] {
            if last && text.len() >= BLOCK {
                continue;
            }
            let (mut ends, mut at) = (ends::<P>(&block, filled, last), 0);
            while ends != 0 {
                let end = ends.trailing_zeros() as usize;
                ends &= ends - 1;
                let expected = scalar::next(pattern, text, at);
                assert_eq!(end, expected.end, "{pattern:?} of {text:?} from {at}, last: {last}");
                assert!(last || !expected.open, "{pattern:?} of {text:?} from {at} is open");
                at = end;
            }
        }
    }

    fn check_both(text: &str) {
        check::<O200K>(Pattern::O200k, text);
        check::<CL100K>(Pattern::Cl100k, text);
    }

    #[test]
    fn every_text_of_up_to_six_bytes_is_cut_as_in_the_scalar_form() {
        const ALPHABET: &[u8] = b"aS1 \n\t!'/l";
        for length in 1..=6_u32 {
            for number in 0..(ALPHABET.len()).pow(length) {
                let mut rest = number;
                let text: String = (0..length)
                    .map(|_| {
                        let byte = ALPHABET[rest % ALPHABET.len()];
                        rest /= ALPHABET.len();
                        char::from(byte)
                    })
                    .collect();
                check_both(&text);
            }
        }
    }

    #[test]
    fn long_texts_are_cut_as_in_the_scalar_form() {
        const WORDS: [&str; 20] = [
            "a", "B", "word", " ", "  ", "\n", "\t", "1", "2345", "!", "'s", "'re", "'", "/", "é",
            " the", "(x", "中", "\r\n", "Aa",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..300_000 {
            let mut text = String::new();
            // Some rounds keep to few words, so that runs grow over a block's edges.
            let kinds = if round % 2 == 0 { WORDS.len() } else { 2 };
            let shift = round % WORDS.len();
            while text.len() < 50 + round % 50 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                text.push_str(WORDS[((state >> 20) as usize % kinds + shift) % WORDS.len()]);
            }
            check_both(&text);
        }
    }
}
