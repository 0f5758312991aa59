//! Cuts text without a pattern, for vocabularies that have none: between two characters that stand
//! side by side in no token, nothing can ever merge, so that a cut there changes no encoding.

use super::scalar::Look;
use crate::hash;

/// Which characters are tokens, and which of them stand side by side in some token. The latter is
/// a filter, which may say so of others too.
#[derive(Clone, Copy)]
pub(crate) struct Joints {
    known: &'static [u64],
    side_by_side: &'static [u64],
}

/// Bits of the filter: about ten for each pair of a large vocabulary.
const BITS: u32 = 22;

impl Joints {
    /// Collects the characters and the pairs of all tokens.
    #[cfg(feature = "json")]
    pub(crate) fn of<'a>(tokens: impl Iterator<Item = &'a str>) -> Self {
        let mut known = vec![0_u64; 0x11_0000 / 64];
        let mut side_by_side = vec![0_u64; 1 << (BITS - 6)];
        let set = |bits: &mut [u64], (at, bit): (usize, u32)| {
            if let Some(word) = bits.get_mut(at) {
                *word |= 1 << bit;
            }
        };
        for token in tokens {
            let mut points = token.chars();
            let Some(mut left) = points.next() else { continue };
            if token.len() == left.len_utf8() {
                set(&mut known, own_place(left));
            }
            for right in points {
                set(&mut side_by_side, place(left, right));
                left = right;
            }
        }
        Self { known: known.leak(), side_by_side: side_by_side.leak() }
    }

    /// Whether a token may hold these two side by side.
    #[inline(always)]
    pub(crate) fn joins(self, left: char, right: char) -> bool {
        get(self.side_by_side, place(left, right)) && self.knows(right) && self.knows(left)
    }

    /// Whether a character is a token. Any other is taken as its bytes, and joins nothing.
    #[inline(always)]
    pub(crate) fn knows(self, point: char) -> bool {
        get(self.known, own_place(point))
    }
}

#[inline(always)]
fn get(bits: &[u64], (at, bit): (usize, u32)) -> bool {
    bits.get(at).copied().unwrap_or(0) >> bit & 1 == 1
}

#[inline(always)]
fn own_place(point: char) -> (usize, u32) {
    (point as usize >> 6, u32::from(point) & 63)
}

impl PartialEq for Joints {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.known, other.known)
    }
}

impl Eq for Joints {}

impl std::fmt::Debug for Joints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Joints")
    }
}

#[inline(always)]
fn place(left: char, right: char) -> (usize, u32) {
    let hash = hash::of_pair(u32::from(left), u32::from(right), 0) >> (64 - BITS);
    ((hash >> 6) as usize, (hash & 63) as u32)
}

/// The end of the piece at `at`.
pub(super) fn next(look: &mut Look<'_>, at: usize, joints: Joints) -> usize {
    let mut end = at;
    let mut last = None;
    while let Some(point) = look.point(end) {
        if last.is_some_and(|last| !joints.joins(last, point)) {
            break;
        }
        end += point.len_utf8();
        last = Some(point);
    }
    end
}
