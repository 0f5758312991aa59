//! The Unicode classes the patterns speak of, pinned to the version the references use.

/// What a pattern can tell apart about a code point. The build script knows this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    /// Anything that no other class takes: punctuation, symbols, controls, unassigned.
    Other,
    /// `\p{Lu}`, `\p{Lt}`.
    Upper,
    /// `\p{Ll}`.
    Lower,
    /// `\p{Lm}`, `\p{Lo}`: letters without a case.
    Uncased,
    /// `\p{M}`.
    Mark,
    /// `\p{N}`.
    Number,
    /// `\s` without the two below.
    Space,
    /// `\r` and `\n`.
    Newline,
}

static BLOCKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.1"));
static CLASSES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classes.2"));

/// The class of a code point.
#[inline]
pub(crate) fn of(point: char) -> Class {
    let point = point as usize;
    let block = BLOCKS.get(point >> 8).copied().unwrap_or(0);
    match CLASSES.get(usize::from(block) << 8 | (point & 0xff)) {
        Some(1) => Class::Upper,
        Some(2) => Class::Lower,
        Some(3) => Class::Uncased,
        Some(4) => Class::Mark,
        Some(5) => Class::Number,
        Some(6) => Class::Space,
        Some(7) => Class::Newline,
        _ => Class::Other,
    }
}
